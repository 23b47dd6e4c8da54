from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from optimizer.physics.axes import Precision, Sharding, Tuning
from optimizer.physics.recipe import Recipe
from optimizer.physics.results import Interval
from optimizer.physics.throughput import estimate_throughput
from optimizer.search.evaluate import evaluate_one
from optimizer.search.offers_columns import machine_of
from optimizer.search.planner import plan
from providers.errors import JobError, KnowledgeMissing
from providers.offer import BillingTerms, PriceClass, PricingModel
from tests.fixtures.search_world import GIB, NOW, make_job, make_offer, make_snapshot, tables

TERMS = BillingTerms(increment_s=60, minimum_s=600)


@pytest.mark.parametrize(
    "offer",
    [
        make_offer(gpu_count=2),
        make_offer(price_class=PriceClass.LIST, observed_at=NOW - timedelta(days=100), disk_bytes=4000 * GIB),
        make_offer(pricing_model=PricingModel.SPOT),
        make_offer(price_class=PriceClass.OWN),
    ],
)
def test_an_estimate_of_the_choice_is_the_choice(offer):
    job = make_job(
        pricing_models=(offer.pricing_model.value,), overheads=replace(make_job().overheads, disk_bytes=None)
    )
    choice = plan(job, make_snapshot([offer], billing={"examplecloud": TERMS}), tables(), now=NOW).choices[0]
    machine = machine_of(offer, tables().gpus)
    found = evaluate_one(job, choice.recipe, machine, offer, tables(), NOW, terms=TERMS)
    assert found.quote == choice.quote
    assert found.memory == choice.memory
    assert found.speed == choice.speed
    assert found.duration_s == choice.duration_s
    assert found.duration_parts_s == pytest.approx(choice.duration_parts_s)
    assert found.finish_probability_ppm == choice.finish_probability_ppm
    assert found.finish_s_at_confidence == choice.finish_s_at_confidence
    assert (found.quality, found.complexity) == (choice.quality, choice.complexity)
    assert found.fits
    assert found.fits_expected
    assert found.host_fits


def one_a100():
    return machine_of(make_offer(), tables().gpus)


def recipe():
    return plan(make_job(), make_snapshot([make_offer()]), tables(), now=NOW).choices[0].recipe


def test_without_an_offer_there_is_no_quote_and_without_a_deadline_no_probability():
    machine = replace(machine_of(make_offer(), tables().gpus), host_ram_bytes=None)
    found = evaluate_one(make_job(deadline_at=None), recipe(), machine, None, tables(), NOW)
    assert found.quote is None
    assert found.finish_probability_ppm is None
    assert found.host_fits is None


def test_fits_looks_at_the_high_end_and_fits_expected_at_the_middle():
    machine = machine_of(make_offer(), tables().gpus)
    memory = evaluate_one(make_job(), recipe(), machine, None, tables(), NOW).memory
    between = int((memory.needed.high + memory.needed.expected) / 2)
    tight = replace(machine, gpu=replace(machine.gpu, usable_bytes=between))
    found = evaluate_one(make_job(), recipe(), tight, None, tables(), NOW)
    assert (found.fits, found.fits_expected) == (False, True)


def test_a_senseless_mix_is_refused_with_the_reason():
    machine = machine_of(make_offer(gpu="T4-16GB"), tables().gpus)
    with pytest.raises(JobError, match="no bf16 units"):
        evaluate_one(make_job(), recipe(), machine, None, tables(), NOW)
    with pytest.raises(JobError, match="there is one"):
        evaluate_one(make_job(), replace(recipe(), sharding=Sharding.DDP), one_a100(), None, tables(), NOW)


def test_pure_bf16_needs_less_memory_than_mixed_when_everything_trains():
    machine = machine_of(make_offer(gpu="B200-SXM-180GB"), tables().gpus)
    full = replace(recipe(), tuning=Tuning.FULL)
    mixed = evaluate_one(make_job(), full, machine, None, tables(), NOW).memory
    pure = evaluate_one(make_job(), replace(full, precision=Precision.BF16_PURE), machine, None, tables(), NOW).memory
    assert pure.allocated.expected < 0.7 * mixed.allocated.expected


def test_an_unknown_speed_is_missing_knowledge(monkeypatch):
    def silent(runs, constants):
        nothing = np.full(runs.count, np.nan)
        speed = estimate_throughput(runs, constants)
        return replace(speed, tokens_per_s=Interval(low=nothing, expected=nothing, high=nothing))

    monkeypatch.setattr("optimizer.search.physics_rows.estimate_throughput", silent)
    with pytest.raises(KnowledgeMissing, match="the speed of A100-SXM-80GB is unknown"):
        evaluate_one(make_job(), Recipe(tuning=Tuning.LORA, grad_accum=16), one_a100(), None, tables(), NOW)
