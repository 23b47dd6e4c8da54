"""What an infeasible answer names is enough: said to `plan`, it makes the job feasible. On the bundled prices."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import lru_cache

import pytest

from optimizer.search.flags import dollars_flag, flags_for, span_flag
from optimizer.search.planner import plan
from optimizer.search.results import PlanStatus
from optimizer.workload.job import complete_job
from optimizer.workload.job_input import JobInput
from optimizer.workload.matrices import COMPLEXITY_ORDER, QUALITY_ORDER
from optimizer.workload.models import load_models
from providers.bundled import load_bundled_snapshot
from providers.offer import PricingModel
from tests.fixtures.search_world import GIB, NOW, USD, make_job, make_offer, make_snapshot, model, tables

NO_OFFLOAD = {"stack": "unsloth", "loss": "fused", "deadline_at": None}
SMALL = {"model": "llama-3.1-8b", "samples": 13300, "tokens_per_sample": 140, "epochs": 4}
SCENARIOS = {
    "deadline": SMALL | {"deadline": "9m"},
    "budget": SMALL | {"budget": "0.10"},
    "budget and deadline": SMALL | {"budget": "0.20", "deadline": "20m"},
    "places": SMALL | {"provider": ["aws"], "gpu": ["RTX-4090-24GB"]},
    "full on a small card": SMALL | {"method": ["full"], "gpu": ["RTX-4090-24GB"]},
    "floor and ceiling": SMALL | {"quality_floor": "highest", "max_complexity": "low"},
    "old prices": SMALL | {"max_price_age": "1d"},
    "sweep": SMALL | {"runs": 20, "max_gpus": 4},
    "sweep within a budget": SMALL | {"runs": 20, "max_gpus": 4, "budget": "2"},
    "long context": {"model": "llama-3.1-8b", "tokens": 10_000_000, "seq_len": 131072},
}


@lru_cache(maxsize=1)
def bundled():
    return load_bundled_snapshot(tables().gpus)


@lru_cache(maxsize=1)
def models():
    return load_models()


def job_of(said):
    return complete_job(JobInput(**said), models=models(), gpus=tables().gpus, now=NOW, where="test")


def with_flags(said, flags):
    told = dict(said)
    for flag, values in flags:
        key = flag.removeprefix("--").replace("-", "_")
        repeats = key in {"method", "quantization", "provider", "region", "gpu", "exclude_gpu", "pricing_model"}
        whole = key in {"quantization", "max_gpus", "max_nodes"}
        read = [int(value) if whole else value for value in values]
        told[key] = read if repeats else read[0]
    return told


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_way_out_leads_out(name):
    said = SCENARIOS[name]
    found = plan(job_of(said), bundled(), tables(), now=NOW, top=0)
    assert found.status is PlanStatus.INFEASIBLE
    open_ways = [miss for miss in found.near_misses if miss.flags]
    assert open_ways
    for miss in open_ways:
        assert miss.priced
        relaxed = plan(job_of(with_flags(said, miss.flags)), bundled(), tables(), now=NOW, top=0)
        assert relaxed.choices, miss.sentence
        assert relaxed.choices[0].quote.expected_usd_micro <= miss.candidate.quote.expected_usd_micro


@pytest.mark.parametrize("name", sorted(SCENARIOS.keys() - {"long context", "places", "full on a small card"}))
def test_relaxing_exactly_the_limits_that_are_named_is_enough(name):
    job = job_of(SCENARIOS[name])
    for miss in plan(job, bundled(), tables(), now=NOW, top=0).near_misses:
        assert set(miss.broken) == {miss.limit, *miss.also} == set(miss.allows)
        assert (miss.broken[miss.limit], miss.allows[miss.limit]) == (miss.required, miss.allowed)
        assert plan(_relaxed(job, miss.broken), bundled(), tables(), now=NOW, top=0).choices, miss.sentence


def _relaxed(job, broken):
    change = {
        "deadline": lambda value: {"deadline_at": NOW + timedelta(seconds=value + 1)},
        "budget": lambda value: {"budget_usd": Decimal(int(value)) / 1_000_000},
        "max_price_age": lambda value: {"max_price_age_s": value},
        "max_gpus": lambda value: {"max_gpus": int(value)},
        "max_nodes": lambda value: {"max_nodes": int(value)},
        "quality_floor": lambda value: {"quality_floor": QUALITY_ORDER[int(value)]},
        "max_complexity": lambda value: {"max_complexity": COMPLEXITY_ORDER[int(value)]},
        "method": lambda _: {"methods": (), "quantization_bits": ()},
        "provider": lambda _: {"providers": ()},
        "pricing_model": lambda _: {"pricing_models": ("on_demand", "spot")},
    }
    for limit, value in broken.items():
        job = replace(job, **change[limit](value))
    return job


def test_several_limits_are_all_named_in_the_sentence():
    job = make_job(deadline_at=NOW + timedelta(minutes=1), budget_usd=Decimal("0.01"))
    (miss,) = plan(job, make_snapshot([make_offer()]), tables(), now=NOW).near_misses
    assert (miss.limit, miss.also) == ("deadline", ("budget",))
    assert miss.allows == {"deadline": 60.0, "budget": 10_000.0}
    assert "and the deadline leaves 1m, and it may cost" in miss.sentence
    assert "set the deadline to" in miss.sentence
    assert "and raise the budget to $" in miss.sentence
    assert [flag for flag, _ in miss.flags] == ["--deadline", "--budget"]


def test_memory_is_priced_on_the_cheapest_known_machine_that_has_it():
    job = make_job(gpus=("T4-16GB",), **NO_OFFLOAD)
    small = make_offer(gpu="T4-16GB", unit_price_nano=USD // 5)
    large, dear = make_offer(region="large"), make_offer(gpu="H100-SXM-80GB", region="dear", unit_price_nano=9 * USD)
    misses = {
        miss.limit: miss for miss in plan(job, make_snapshot([small, large, dear]), tables(), now=NOW).near_misses
    }
    miss = misses["memory"]
    assert miss.allowed == tables().gpus.by_id["T4-16GB"].usable_bytes < miss.required
    assert (miss.candidate.offer.region, miss.priced) == ("large", True)
    assert "on 1x T4-16GB (examplecloud toy.large in region-1) needs" in miss.sentence
    assert "lies outside the GPU asked for: lora at 16 bits on 1x A100-SXM-80GB" in miss.sentence
    assert miss.flags == (("--gpu", ("T4-16GB", "A100-SXM-80GB")),)
    # Without a machine that has it no dollars are told, and no command.
    (alone,) = (
        one for one in plan(job, make_snapshot([small]), tables(), now=NOW).near_misses if one.limit == "memory"
    )
    assert (alone.priced, alone.flags) == (False, ())
    assert "$" not in alone.sentence


def test_the_other_machine_must_keep_the_budget_too():
    job = make_job(gpus=("T4-16GB",), budget_usd=Decimal("0.50"), **NO_OFFLOAD)
    offers = (
        make_offer(gpu="T4-16GB", unit_price_nano=USD // 100),
        make_offer(region="large", unit_price_nano=9 * USD),
    )
    misses = plan(job, make_snapshot(offers), tables(), now=NOW).near_misses
    (miss,) = (one for one in misses if one.limit == "memory")
    assert (miss.priced, miss.candidate.gpu.id) == (False, "T4-16GB")


def test_one_larger_machine_is_told_once():
    job = make_job(methods=("full",), gpus=("RTX-4090-24GB",), deadline_at=None)
    small = make_offer(gpu="RTX-4090-24GB", host_ram_bytes=32 * GIB)
    large = make_offer(gpu="MI300X-OAM-192GB", region="large")
    misses = plan(job, make_snapshot([small, large]), tables(), now=NOW).near_misses
    assert [miss.limit for miss in misses if miss.candidate.offer.region == "large"] == ["memory", "gpu"]


def test_a_fused_loss_is_a_way_out_of_a_long_context():
    job = make_job(seq_len=131072, tokens=1_000_000, sequences=8, deadline_at=None)
    offer = make_offer(gpu="MI300X-OAM-192GB")
    found = plan(job, make_snapshot([offer]), tables(), now=NOW)
    assert found.rejected["memory"] == found.solver.candidates
    (miss,) = (one for one in found.near_misses if one.limit == "loss")
    assert (miss.kind, miss.flags, miss.broken) == ("recipe", (("--loss", ("fused",)),), {})
    assert miss.candidate.recipe.loss.value == "fused"
    assert "With a fused cross-entropy (loss fused)" in miss.sentence
    fused = plan(replace(job, loss="fused"), make_snapshot([offer]), tables(), now=NOW)
    assert fused.choices == (miss.candidate,)


def test_no_fused_loss_where_memory_is_not_in_the_way_or_where_it_does_not_help():
    late = plan(make_job(deadline_at=NOW + timedelta(minutes=1)), make_snapshot([make_offer()]), tables(), now=NOW)
    huge = make_job(model=model("llama-3.1-405b"), deadline_at=None)
    small = plan(huge, make_snapshot([make_offer(gpu="T4-16GB")]), tables(), now=NOW)
    has_it = plan(replace(huge, loss="fused"), make_snapshot([make_offer(gpu="T4-16GB")]), tables(), now=NOW)
    for found in (late, small, has_it):
        assert found.status is PlanStatus.INFEASIBLE
        assert "loss" not in {miss.limit for miss in found.near_misses}


@pytest.mark.parametrize(
    ("limit", "value", "job", "flags"),
    [
        ("deadline", 7201.0, {}, (("--deadline", ("121m",)),)),
        ("deadline", 40_000.0, {}, (("--deadline", ("12h",)),)),
        ("budget", 520_001.0, {}, (("--budget", ("0.53",)),)),
        ("max_price_age", 86_401.0, {}, (("--max-price-age", ("2d",)),)),
        ("max_gpus", 20.0, {}, (("--max-gpus", ("20",)),)),
        ("provider", 1.0, {"providers": ("aws",)}, (("--provider", ("aws", "examplecloud")),)),
        ("region", 1.0, {"regions": ("mars",)}, (("--region", ("mars", "region-1")),)),
        ("exclude_gpu", 1.0, {"exclude_gpus": ("A100-SXM-80GB", "T4-16GB")}, (("--exclude-gpu", ("T4-16GB",)),)),
        ("exclude_gpu", 1.0, {"exclude_gpus": ("A100-SXM-80GB",)}, (("--exclude-gpu", ()),)),
        ("pricing_model", 1.0, {"pricing_models": ("spot",)}, (("--pricing-model", ("spot", "on_demand")),)),
        ("method", 1.0, {"methods": ("full",), "quantization_bits": ()}, (("--method", ("full", "lora")),)),
        ("method", 1.0, {"methods": (), "quantization_bits": (8,)}, (("--quantization", ("8", "16")),)),
        ("quality_floor", 4.0, {}, (("--quality-floor", ("medium",)),)),
        ("max_complexity", 1.0, {}, (("--max-complexity", ("low",)),)),
        ("memory", 1.0, {}, ()),
        ("deadline", float("inf"), {}, ()),
        ("deadline", 1e12, {}, ()),
    ],
)
def test_flags(limit, value, job, flags):
    (candidate,) = plan(make_job(), make_snapshot([make_offer()]), tables(), now=NOW).choices
    assert flags_for(make_job(**job), candidate, {limit: value}) == flags
    assert flags_for(make_job(**job), candidate, {limit: value, "memory": 1.0}) == ()


def test_spot_that_nobody_asked_for_is_added_to_on_demand():
    offer = make_offer(pricing_model=PricingModel.SPOT)
    (candidate,) = plan(make_job(pricing_models=("spot",)), make_snapshot([offer]), tables(), now=NOW).choices
    assert flags_for(make_job(), candidate, {"pricing_model": 1.0}) == (("--pricing-model", ("on_demand", "spot")),)


def test_figures_are_rounded_to_the_generous_side():
    spans = {1.0: "1m", 60.0: "1m", 61.0: "2m", 36_000.0: "600m", 36_001.0: "11h"}
    assert {seconds: span_flag(seconds) for seconds in spans} == spans
    amounts = {1.0: "0.01", 10_000.0: "0.01", 10_000.5: "0.02", 12_345_678.0: "12.35"}
    assert {micro: dollars_flag(micro) for micro in amounts} == amounts
