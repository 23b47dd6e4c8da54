"""Recipes that shard or offload where a simpler one fits: left out, counted, and let in where nothing else will do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from optimizer.physics.axes import Offload, Sharding, Tuning
from optimizer.physics.recipe import Recipe
from optimizer.search.admission import OFFLOADED, PLAIN, SHARDED, not_needed, rank_of
from optimizer.search.choice import settle
from optimizer.search.constraints import SIMPLER, bit
from optimizer.search.explain import why_not
from optimizer.search.market import survey
from optimizer.search.narration import plan_notes
from optimizer.search.planner import plan
from tests.fixtures.search_world import GIB, NOW, make_job, make_offer, make_snapshot, model, tables


def planned(job, *offers):
    return plan(job, make_snapshot(offers), tables(), now=NOW)


@pytest.mark.parametrize(
    ("tuning", "sharding", "offload", "rank"),
    [
        ("lora", "none", "none", PLAIN),
        ("lora", "ddp", "none", PLAIN),
        ("lora", "zero2", "none", PLAIN),
        ("lora", "zero3", "none", SHARDED),
        ("dora", "fsdp", "none", SHARDED),
        ("full", "zero3", "none", PLAIN),
        ("full", "fsdp", "none", PLAIN),
        ("full", "zero3", "nvme", OFFLOADED),
        ("lora", "fsdp", "cpu", OFFLOADED),
        ("full", "zero2", "cpu", OFFLOADED),
    ],
)
def test_rank(tuning, sharding, offload, rank):
    recipe = Recipe(tuning=Tuning(tuning), sharding=Sharding(sharding), offload=Offload(offload))
    assert rank_of(recipe) == rank


def test_not_needed_is_judged_group_by_group():
    #          plain fits | sharded fits | nothing but offload fits | nothing fits
    group = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3])
    rank = np.array([PLAIN, SHARDED, OFFLOADED] * 4)
    fits = np.array([1, 1, 1, 0, 1, 1, 0, 0, 1, 0, 0, 0], dtype=np.bool_)
    expected = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    assert not_needed(group, rank, fits=fits).astype(int).tolist() == expected
    assert not_needed(group[:0], rank[:0], fits=fits[:0]).tolist() == []


def test_one_gpu_that_holds_the_run_does_not_offload():
    found = planned(make_job(methods=("qlora",), quantization_bits=(4,)), make_offer(gpu="V100-PCIE-16GB"))
    assert found.choices[0].recipe.offload is Offload.NONE
    # Candidates are counted before anything is left out: plain, and CPU offload under FSDP (ZeRO-3 refuses 4 bits).
    assert found.solver.candidates == 5 * 2 * 2
    assert found.rejected["simpler"] == 5 * 2


def test_offload_where_nothing_else_fits():
    found = planned(make_job(methods=("full",), deadline_at=None), make_offer())
    assert found.choices[0].recipe.offload is Offload.CPU
    assert "simpler" not in found.rejected


def test_adapters_are_sharded_where_whole_weights_do_not_fit():
    big = make_job(model=model("llama-3.1-70b"), deadline_at=None)
    sharded = planned(big, make_offer(gpu_count=4)).choices[0].recipe
    assert sharded.sharding in {Sharding.ZERO3, Sharding.FSDP}
    assert sharded.offload is Offload.NONE
    whole = planned(make_job(deadline_at=None), make_offer(gpu_count=4)).choices[0].recipe
    assert whole.sharding is Sharding.DDP


def test_host_memory_counts_as_fitting():
    # FSDP with offload is needed on 16 GiB of GPU only while the plain run does not fit the node either.
    job = make_job(methods=("qlora",), quantization_bits=(4,))
    offer = make_offer(gpu="V100-PCIE-16GB", host_ram_bytes=1 * GIB)
    market = survey(job, make_snapshot([offer]), tables(), now=NOW)
    assert (market.hardware.broken & bit("host_memory")).all()
    assert SIMPLER not in market.hardware.slacks


def test_a_preference_never_makes_a_job_infeasible():
    market = survey(make_job(), make_snapshot([make_offer()]), tables(), now=NOW)
    surplus = (market.hardware.broken & bit(SIMPLER)) != 0
    assert surplus.any()
    # As if only the offloaded runs were fast enough.
    slow = replace(
        market, hardware=replace(market.hardware, broken=market.hardware.broken | np.where(surplus, 0, bit("deadline")))
    )
    settled = settle(slow)
    assert settled.lifted
    assert settled.market.rejected(SIMPLER) == 0
    ((at, _),) = settled.solution.chosen
    assert surplus[settled.bills.hardware[at]]
    assert any("without sharding or offload" in note for note in plan_notes(settled, ()))
    plain = settle(market)
    assert not plain.lifted
    assert not surplus[plain.bills.hardware[plain.solution.chosen[0][0]]]


def test_nothing_is_lifted_where_that_helps_nobody():
    market = survey(make_job(), make_snapshot([make_offer()]), tables(), now=NOW)
    broken = market.hardware.broken | bit("deadline")
    settled = settle(replace(market, hardware=replace(market.hardware, broken=broken)))
    assert not settled.lifted
    assert settled.solution.chosen == ()
    assert settled.market.rejected(SIMPLER) > 0


def test_explain_says_that_it_is_not_needed():
    found = why_not(make_job(), make_snapshot([make_offer()]), tables(), now=NOW, spec="offload")
    assert (found.verdict, set(found.broken)) == ("infeasible", {"simpler"})
    assert "is not needed: without offload the method fits that machine too" in found.sentence
    sharded = why_not(make_job(), make_snapshot([make_offer(gpu_count=2)]), tables(), now=NOW, spec="zero3 no offload")
    assert "is not needed: without ZeRO-3 the method fits" in sharded.sentence
