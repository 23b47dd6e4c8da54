"""One infeasible job a limit: what is said, and that relaxing exactly that limit lets the candidate through."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest

from optimizer.physics.results import Interval
from optimizer.physics.throughput import estimate_throughput
from optimizer.search.constraints import LIMITS, UNITS, bit, names_of
from optimizer.search.market import survey
from optimizer.search.near_misses import cheaper_than
from optimizer.search.planner import plan
from optimizer.search.results import PlanStatus
from providers.offer import PriceClass, PricingModel
from tests.fixtures.search_world import GIB, NOW, USD, make_job, make_offer, make_snapshot, model, tables


def missed(job, *offers):
    found = plan(job, make_snapshot(offers), tables(), now=NOW)
    assert found.status is PlanStatus.INFEASIBLE
    assert found.choices == found.runners_up == ()
    assert found.solver.status == "infeasible"
    return {(miss.limit, miss.kind): miss for miss in found.near_misses}


def fits(job, *offers):
    return bool(plan(job, make_snapshot(offers), tables(), now=NOW).choices)


def test_memory_names_the_nearest():
    # Unsloth does not shard and so does not offload: nothing but a larger GPU helps a 70B model.
    misses = missed(
        make_job(model=model("llama-3.1-70b"), stack="unsloth", deadline_at=None), make_offer(gpu="L4-24GB")
    )
    miss = misses["memory", "least"]
    assert ("memory", "cheapest") not in misses
    assert miss.required > miss.allowed == tables().gpus.by_id["L4-24GB"].usable_bytes
    assert miss.unit == "bytes"
    assert "GiB of GPU memory (high end)" in miss.sentence
    assert "no machine with a known price has it" in miss.sentence
    assert not miss.priced


def test_host_memory():
    job = make_job(methods=("full",), deadline_at=None)
    small = make_offer(host_ram_bytes=16 * GIB)
    miss = missed(job, small)["host_memory", "least"]
    assert miss.allowed == 16 * GIB < miss.required
    assert fits(job, replace(small, host_ram_bytes=int(miss.required) + 1))


def test_unknown_host_memory_is_said_to_be_unknown():
    miss = missed(make_job(methods=("full",), deadline_at=None), make_offer(host_ram_bytes=None))[
        "host_memory", "least"
    ]
    assert miss.allowed is None
    assert miss.allows == {"host_memory": None}
    assert miss.priced
    assert "the memory of the node is unknown" in miss.sentence


def test_nvme():
    job = make_job(methods=("full",), deadline_at=None)
    offer = make_offer(host_ram_bytes=60 * GIB)
    miss = missed(job, offer)["nvme", "least"]
    assert miss.candidate.recipe.offload.value == "nvme"
    assert "the node's disk is unknown" in miss.sentence
    assert fits(job, replace(offer, disk_bytes=int(miss.required) + 1))
    short = missed(job, replace(offer, disk_bytes=int(miss.required) - GIB))["nvme", "least"]
    assert short.required - short.allowed == pytest.approx(GIB, abs=2)
    assert "and the node has" in short.sentence


def test_deadline_gives_the_cheapest_and_the_least():
    job = make_job(deadline_at=NOW + timedelta(minutes=20))
    slow, fast = make_offer(), make_offer(gpu="H100-SXM-80GB", region="h", unit_price_nano=90 * USD)
    misses = missed(job, slow, fast)
    cheapest, least = misses["deadline", "cheapest"], misses["deadline", "least"]
    assert cheapest.candidate.gpu.id == "A100-SXM-80GB"
    assert least.candidate.gpu.id == "H100-SXM-80GB"
    assert cheapest.allowed == least.allowed == 1200.0
    assert least.required < cheapest.required
    assert cheapest.required == cheapest.candidate.finish_s_at_confidence
    assert fits(replace(job, deadline_at=NOW + timedelta(seconds=least.required + 1)), slow, fast)
    assert not fits(replace(job, deadline_at=NOW + timedelta(seconds=least.required - 1)), slow, fast)


def test_budget():
    job = make_job(budget_usd=Decimal("0.50"))
    misses = missed(job, make_offer(), make_offer(region="dear", unit_price_nano=2 * USD))
    miss = misses["budget", "least"]
    assert miss.allowed == 500_000
    assert miss.required == miss.candidate.quote.high_usd_micro
    assert fits(replace(job, budget_usd=Decimal(int(miss.required)) / 1_000_000), make_offer())
    assert not fits(replace(job, budget_usd=Decimal(int(miss.required) - 1) / 1_000_000), make_offer())


def test_quality_floor():
    miss = missed(make_job(quality_floor="high"), make_offer())["quality_floor", "cheapest"]
    assert "reaches quality medium, and the floor is high" in miss.sentence


def test_max_complexity():
    job = make_job(methods=("qlora",), quantization_bits=(4,), max_complexity="low")
    miss = missed(job, make_offer())["max_complexity", "cheapest"]
    assert "is of complexity medium, and the ceiling is low" in miss.sentence


def test_method():
    job = make_job(methods=("full",), deadline_at=None)
    miss = missed(job, make_offer(host_ram_bytes=16 * GIB))["method", "cheapest"]
    assert miss.candidate.recipe.tuning.value != "full"
    assert "was not asked for" in miss.sentence


def test_max_gpus():
    miss = missed(make_job(max_gpus=1), make_offer(gpu_count=2))["max_gpus", "least"]
    assert (miss.required, miss.allowed) == (2.0, 1.0)
    assert fits(make_job(max_gpus=2), make_offer(gpu_count=2))


def test_max_nodes():
    job = make_job(deadline_at=NOW + timedelta(minutes=40), confidence_ppm=500_000, tokens=60_000_000)
    offer = make_offer(gpu_count=8, network_bytes_per_s=400e9 / 8)
    misses = missed(job, offer)
    miss = misses["max_nodes", "cheapest"] if ("max_nodes", "cheapest") in misses else misses["max_nodes", "least"]
    assert (miss.required, miss.allowed) == (2.0, 1.0)
    assert fits(replace(job, max_nodes=2), offer)


@pytest.mark.parametrize(
    ("limit", "changes", "clause"),
    [
        ("provider", {"providers": ("elsewhere",)}, "is at examplecloud, and only elsewhere may be used"),
        ("region", {"regions": ("mars",)}, "is in region-1, and only mars may be used"),
        ("gpu", {"gpus": ("T4-16GB",)}, "is a A100-SXM-80GB, and only T4-16GB may be used"),
        ("exclude_gpu", {"exclude_gpus": ("A100-SXM-80GB",)}, "which is excluded"),
        ("pricing_model", {"pricing_models": ("spot",)}, "is on_demand, and only spot may be used"),
    ],
)
def test_places(limit, changes, clause):
    misses = missed(make_job(**changes), make_offer())
    assert [name for name, _ in misses] == [limit]
    assert clause in misses[limit, "cheapest"].sentence


def test_price_age():
    job = make_job(max_price_age_s=3600.0)
    old = make_offer(observed_at=NOW - timedelta(hours=5), price_class=PriceClass.LIST)
    miss = missed(job, old)["max_price_age", "least"]
    assert (miss.required, miss.allowed, miss.unit) == (18_000.0, 3600.0, "s")
    assert "5h old, and at most 1h are accepted" in miss.sentence
    assert fits(replace(job, max_price_age_s=18_000.0), old)


def test_two_limits_at_once():
    job = make_job(deadline_at=NOW + timedelta(minutes=1), providers=("elsewhere",))
    ((_, miss),) = missed(job, make_offer()).items()
    assert (miss.limit, miss.also) == ("deadline", ("provider",))
    assert "set the deadline to" in miss.sentence
    assert "allow this provider" in miss.sentence


def test_speed_unknown_is_never_fast(monkeypatch):
    def silent(runs, constants):
        speed = estimate_throughput(runs, constants)
        nothing = np.full(runs.count, np.nan)
        return replace(speed, tokens_per_s=Interval(low=nothing, expected=nothing, high=nothing))

    monkeypatch.setattr("optimizer.search.physics_rows.estimate_throughput", silent)
    found = plan(make_job(), make_snapshot([make_offer()]), tables(), now=NOW)
    assert found.status is PlanStatus.INFEASIBLE
    assert found.rejected["speed_known"] == found.solver.candidates
    assert found.near_misses == ()


def test_cheaper_ones_that_break_a_limit():
    spot = make_offer(pricing_model=PricingModel.SPOT, unit_price_nano=USD // 10, price_class=PriceClass.LIST)
    market = survey(make_job(), make_snapshot([make_offer(), spot]), tables(), now=NOW)
    found = cheaper_than(market, 10_000_000)
    assert [miss.limit for miss in found][-1] == "pricing_model"
    assert all(miss.candidate.quote.expected_usd_micro < 10_000_000 for miss in found)
    assert cheaper_than(market, 1) == ()


def test_a_machine_that_is_too_small_is_told_with_the_recipe_that_needs_least():
    job = make_job(stack="unsloth", loss="fused", deadline_at=None)
    small = make_offer(gpu="T4-16GB", region="small", unit_price_nano=USD // 100)
    market = survey(job, make_snapshot([make_offer(), small]), tables(), now=NOW)
    (miss,) = cheaper_than(market, 10_000_000)
    on_t4 = market.hardware.slacks["memory"].needed[market.hardware.slacks["memory"].margin < 0]
    assert (miss.limit, miss.candidate.gpu.id) == ("memory", "T4-16GB")
    assert miss.required == on_t4.min()
    # The choice's own machine fits, so its recipes that do not are no answer to "why not".
    roomy = survey(job, make_snapshot([make_offer()]), tables(), now=NOW)
    assert cheaper_than(roomy, 10_000_000) == ()
    said = plan(job, make_snapshot([make_offer(), small]), tables(), now=NOW).lost
    assert any("if it fitted: it needs" in sentence and "T4-16GB" in sentence for sentence in said)


def test_masks_are_read_back():
    assert names_of(bit("memory") | bit("budget")) == ("memory", "budget")
    assert len({bit(limit) for limit in LIMITS}) == len(LIMITS)
    assert set(UNITS) == set(LIMITS)
