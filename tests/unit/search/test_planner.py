from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from statistics import NormalDist

import numpy as np
import pytest

from optimizer.physics.results import Interval
from optimizer.search.candidates import affordable_bills, rejected_by_budget
from optimizer.search.choice import best_of, choose
from optimizer.search.market import survey
from optimizer.search.planner import plan
from optimizer.search.results import PlanStatus
from optimizer.search.rivals import rivals_of
from optimizer.search.showing import fit_probability
from optimizer.search.solve import Quota
from optimizer.workload.job import Overheads
from providers.errors import JobError, PricesUnavailable, SolverFailed
from providers.offer import BillingTerms, PriceClass, PricingModel, TokenPrice
from tests.fixtures.search_world import GIB, NOW, USD, make_job, make_offer, make_snapshot, model, tables


def planned(job, *offers, billing=None, **options):
    return plan(job, make_snapshot(offers, billing=billing), tables(), now=NOW, **options)


def test_the_cheapest_job_and_not_the_cheapest_hour():
    slow = make_offer(gpu="T4-16GB", instance_type="slow", unit_price_nano=4 * USD // 10)
    fast = make_offer(gpu="H100-SXM-80GB", instance_type="fast", unit_price_nano=2 * USD)
    in_time = NOW + timedelta(hours=72)
    found = planned(make_job(methods=("qlora",), quantization_bits=(4,), deadline_at=in_time), slow, fast)
    assert found.status is PlanStatus.OPTIMAL
    assert found.choices[0].offer.instance_type == "fast"
    assert found.choices[0].quote.expected_usd_micro < min(c.quote.expected_usd_micro for c in found.runners_up)


def test_candidates_are_counted_before_pruning_and_twins_count():
    # one GPU, 16 sequences: 5 batch shapes; LoRA at 16 bits: 3 ways to hold state x checkpointing or not
    assert planned(make_job(), make_offer()).solver.candidates == 5 * 3 * 2
    both = make_job(methods=("lora", "rslora"))
    found = planned(both, make_offer())
    assert found.solver.candidates == 2 * 5 * 3 * 2
    assert found.solver.physics_rows == 5 * 3 * 2
    assert found.choices[0].recipe.tuning.value == "lora"
    assert any("rsLoRA" in note for note in found.notes)
    assert planned(make_job(), make_offer(), make_offer(region="r2")).solver.candidates == 60


def test_nodes_are_enumerated_for_machines_of_several_gpus_only():
    job = make_job(max_nodes=2)
    one, two = make_offer(), make_offer(gpu_count=2, instance_type="toy.two")
    market = survey(job, make_snapshot([one, two]), tables(), now=NOW)
    places = zip(market.places.offer, market.places.nodes, strict=True)
    held = [(market.offers.offers[offer].instance_type, int(nodes)) for offer, nodes in places]
    assert held == [("toy.large", 1), ("toy.two", 1), ("toy.two", 2)]


def test_ties_go_to_the_earlier_name():
    offers = [
        make_offer(provider="b"),
        make_offer(provider="a", region="r2"),
        make_offer(provider="a", region="r1", instance_type="z"),
        make_offer(provider="a", region="r1", instance_type="y", zone="r1-b"),
        make_offer(provider="a", region="r1", instance_type="y", zone="r1-a"),
    ]
    for order in (offers, offers[::-1]):
        chosen = planned(make_job(), *order).choices[0].offer
        assert (chosen.provider, chosen.region, chosen.instance_type, chosen.zone) == ("a", "r1", "y", "r1-a")


def test_equal_cost_goes_to_the_earlier_finish():
    # A minimum charge that no recipe reaches makes all recipes cost the same.
    terms = {"examplecloud": BillingTerms(minimum_s=40 * 3600)}
    found = planned(make_job(), make_offer(), billing=terms)
    job = make_job()
    market = survey(job, make_snapshot([make_offer()], billing=terms), tables(), now=NOW)
    fits = market.hardware.broken == 0
    assert found.choices[0].quote.expected_usd_micro == 40_000_000
    assert found.choices[0].finish_s_at_confidence == market.hardware.finish_s[fits].min()


def test_free_machines_are_chosen_by_finish_time():
    free = make_offer(price_class=PriceClass.OWN, unit_price_nano=0)
    found = planned(make_job(), free, make_offer(region="r2"))
    choice = found.choices[0]
    assert (choice.offer.region, choice.quote.expected_usd_micro, choice.quote.high_usd_micro) == ("region-1", 0, 0)


def test_slacks_name_every_limit_that_is_set():
    job = make_job(budget_usd=Decimal(100), quality_floor="medium", max_complexity="low", max_price_age_s=3600.0)
    (choice,) = planned(job, make_offer(observed_at=NOW - timedelta(minutes=10))).choices
    assert set(choice.slacks) == {
        "memory", "host_memory", "deadline", "quality_floor", "max_complexity", "max_gpus", "max_nodes",
        "pricing_model", "max_price_age", "budget",
    }  # fmt: skip
    assert choice.slacks["memory"] == choice.gpu.usable_bytes - choice.memory.needed.high or (
        abs(choice.slacks["memory"] - (choice.gpu.usable_bytes - choice.memory.needed.high)) < 1
    )
    assert choice.slacks["deadline"] == 86400.0 - choice.finish_s_at_confidence
    assert choice.slacks["budget"] == 100_000_000 - choice.quote.high_usd_micro
    assert choice.slacks["max_gpus"] == 63
    assert choice.slacks["max_price_age"] == 3000.0
    assert (choice.slacks["quality_floor"], choice.slacks["max_complexity"]) == (0.0, 0.0)


def test_confidence_decides_which_quantile_meets_the_deadline():
    found = planned(make_job(), make_offer()).choices[0]
    hours = found.finish_s_at_confidence / 3600.0
    at_90 = make_job(deadline_at=NOW + timedelta(hours=hours * 1.0001))
    at_99 = replace(at_90, confidence_ppm=990_000)
    assert planned(at_90, make_offer()).choices
    assert planned(at_99, make_offer()).status is PlanStatus.INFEASIBLE
    assert planned(at_90, make_offer()).choices[0].finish_probability_ppm == pytest.approx(900_000, abs=200)


def test_without_a_deadline_the_probability_is_one():
    assert planned(make_job(deadline_at=None), make_offer()).choices[0].finish_probability_ppm == 1_000_000


def test_rejected_counts_a_candidate_under_every_limit_it_breaks():
    job = make_job(deadline_at=NOW + timedelta(seconds=1), providers=("elsewhere",), max_gpus=1)
    found = planned(job, make_offer(), make_offer(gpu_count=2, region="r2"))
    assert found.rejected["deadline"] == found.rejected["provider"] == found.solver.candidates
    assert found.rejected["max_gpus"] == found.solver.candidates - 30
    assert "budget" not in found.rejected


def test_rejected_by_budget_bills_every_tuple():
    job = make_job(budget_usd=Decimal("0.01"))
    market = survey(job, make_snapshot([make_offer(), make_offer(region="r2")]), tables(), now=NOW)
    assert rejected_by_budget(market) == 60
    assert rejected_by_budget(replace(market, job=make_job())) == 0


def test_spot_only_when_asked_for_or_live_and_fresh():
    ondemand = make_offer()
    listed = make_offer(
        pricing_model=PricingModel.SPOT, unit_price_nano=USD // 5, price_class=PriceClass.LIST, region="spot"
    )
    assert planned(make_job(), ondemand, listed).choices[0].offer.region == "region-1"
    assert planned(make_job(), ondemand, listed).rejected["pricing_model"] == 30
    live = replace(listed, price_class=PriceClass.LIVE)
    assert planned(make_job(), ondemand, live).choices[0].offer.region == "spot"
    asked = planned(make_job(pricing_models=("spot",)), ondemand, listed)
    assert asked.choices[0].offer.region == "spot"
    assert any("no safety net" in note for note in asked.notes)
    kept = planned(make_job(pricing_models=("spot",), executor="skypilot"), listed)
    assert not any("no safety net" in note for note in kept.notes)
    # Without anybody who acts a lost machine stands idle for longer.
    assert kept.choices[0].duration_s.expected < asked.choices[0].duration_s.expected


def test_spot_takes_longer_and_is_less_certain():
    (steady,) = planned(make_job(), make_offer()).choices
    (spot,) = planned(make_job(pricing_models=("spot",)), make_offer(pricing_model=PricingModel.SPOT)).choices
    assert spot.duration_s.expected > steady.duration_s.expected
    assert spot.duration_s.high / spot.duration_s.expected > steady.duration_s.high / steady.duration_s.expected
    assert spot.duration_parts_s["interruptions"] > 0
    assert sum(spot.duration_parts_s.values()) == pytest.approx(spot.duration_s.expected)
    assert spot.duration_s.basis == "assumed"
    assert spot.finish_probability_ppm < steady.finish_probability_ppm or steady.finish_probability_ppm == 1_000_000


def test_stale_list_prices_widen_the_interval_and_own_prices_do_not():
    year = timedelta(days=365)
    fresh = planned(make_job(), make_offer()).choices[0].quote
    stale = planned(make_job(), make_offer(price_class=PriceClass.LIST, observed_at=NOW - year)).choices[0].quote
    own = planned(make_job(), make_offer(price_class=PriceClass.OWN, observed_at=NOW - year)).choices[0].quote
    assert stale.expected_usd_micro == fresh.expected_usd_micro == own.expected_usd_micro
    assert stale.high_usd_micro > fresh.high_usd_micro == own.high_usd_micro
    assert stale.low_usd_micro < fresh.low_usd_micro


def test_unknown_host_memory_is_no_candidate_when_offloading():
    job = make_job(methods=("full",), deadline_at=None)
    offer = make_offer(gpu="A100-SXM-80GB", host_ram_bytes=None)
    found = planned(job, offer)
    assert found.status is PlanStatus.INFEASIBLE
    known = planned(job, replace(offer, host_ram_bytes=2048 * GIB))
    assert known.choices[0].recipe.offload.value == "cpu"
    assert known.choices[0].slacks["host_memory"] > 0


def test_runners_up_differ_in_what_matters():
    offers = [make_offer(region=f"r{k}", unit_price_nano=USD + k) for k in range(6)]
    offers += [make_offer(gpu="H100-SXM-80GB", region="h", unit_price_nano=3 * USD)]
    offers += [make_offer(gpu_count=2, region="two", unit_price_nano=2 * USD)]
    job = make_job(methods=("lora", "qlora", "dora"), quantization_bits=())
    found = planned(job, *offers, top=9)
    shown = [(c.gpu.id, c.offer.gpu_count, c.recipe.method, c.recipe.bits) for c in (*found.choices, *found.runners_up)]
    assert len(shown) == len(set(shown)) == 6
    assert max(sum(one[:2] == other[:2] for one in shown) for other in shown) == 2
    costs = [c.quote.expected_usd_micro for c in found.runners_up]
    assert costs == sorted(costs)
    assert len(planned(job, *offers, top=2).runners_up) == 2
    assert planned(job, *offers, top=0).runners_up == ()


def test_a_sweep_puts_all_runs_on_the_cheapest_and_shares_hidden_costs():
    job = make_job(runs=4, overheads=Overheads(disk_bytes=0.0, labelling_usd=Decimal(10)))
    (choice,) = planned(job, make_offer(), make_offer(region="dear", unit_price_nano=2 * USD)).choices
    assert (choice.runs, choice.offer.region) == (4, "region-1")
    assert {item.name: item.usd_micro for item in choice.quote.items}["labelling"] == 2_500_000


def test_a_sweep_under_a_quota_spreads_over_providers():
    job = make_job(runs=5)
    cheap, dear = make_offer(provider="cheap"), make_offer(provider="dear", unit_price_nano=2 * USD)
    found = planned(job, cheap, dear, quotas=[Quota(gpus=3, provider="cheap")])
    assert [(c.offer.provider, c.runs) for c in found.choices] == [("cheap", 3), ("dear", 2)]


def test_a_sweep_keeps_the_budget_over_all_runs():
    one = planned(make_job(), make_offer()).choices[0].quote.high_usd_micro
    enough = Decimal(one * 3) / 1_000_000
    offers = (make_offer(), make_offer(region="other", unit_price_nano=3 * USD))
    assert planned(make_job(runs=3, budget_usd=enough), *offers).choices[0].runs == 3
    short = planned(make_job(runs=3, budget_usd=enough - Decimal("0.000001")), *offers)
    assert short.status is PlanStatus.INFEASIBLE
    misses = {miss.limit: miss for miss in short.near_misses}
    assert misses["budget"].required == one * 3


def test_two_budgeted_runs_may_mix_offers():
    # The stale price is a little cheaper, its high end higher: the budget allows it for one run of two.
    stale = make_offer(
        region="stale",
        price_class=PriceClass.LIST,
        observed_at=NOW - timedelta(days=900),
        unit_price_nano=USD * 99 // 100,
    )
    sure = make_offer(region="sure")
    highs = {c.offer.region: c.quote.high_usd_micro for s in (stale, sure) for c in planned(make_job(), s).choices}
    assert highs["stale"] > highs["sure"]
    both = planned(make_job(runs=2, budget_usd=Decimal(sum(highs.values())) / 1_000_000), stale, sure)
    assert [(c.offer.region, c.runs) for c in both.choices] == [("stale", 1), ("sure", 1)]


def test_empty_price_lists_and_impossible_batches_say_so():
    with pytest.raises(PricesUnavailable, match="the price list is empty"):
        planned(make_job())
    with pytest.raises(PricesUnavailable, match="1 x price not in USD"):
        planned(make_job(), make_offer(currency="EUR"))
    with pytest.raises(JobError, match="global_batch = 16"):
        planned(make_job(), make_offer(gpu_count=3))


def test_offers_that_do_not_divide_the_batch_are_reported():
    found = planned(make_job(), make_offer(), make_offer(gpu_count=3, region="r2"))
    assert found.snapshot.unusable == {"no recipe: the GPUs do not divide the global batch of 16": 1}
    assert (found.snapshot.offers, found.snapshot.sha256) == (2, "0" * 64)
    assert found.snapshot.oldest_observed_at == found.snapshot.newest_observed_at == NOW


def test_rivals_are_priced_per_token_and_unknown_stays_unknown():
    def price(vendor, low, high, currency="USD"):
        return TokenPrice(
            vendor=vendor,
            model="m",
            method="sft",
            low_nano_per_token=low,
            high_nano_per_token=high,
            source="s",
            source_date="d",
            currency=currency,
        )

    prices = (price("z", None, None), price("y", 3000, 25_000), price("x", 1, 1), price("w", 1, 1, "EUR"))
    other = replace(price("v", 1, 1), method="dpo")
    rivals = rivals_of(make_job(tokens=1_000_001, runs=2), make_snapshot([], token_prices=(*prices, other)))
    assert [(one.vendor, one.low_usd_micro, one.high_usd_micro) for one in rivals] == [
        ("x", 2001, 2001),  # 2,000,002 tokens at a billionth, rounded up
        ("y", 6_000_006, 50_000_050),
        ("z", None, None),
    ]
    assert {one.tokens for one in rivals} == {2_000_002}


def test_lost_sentences_hold_numbers():
    job = make_job(methods=("lora", "qlora"), quantization_bits=(16, 4))
    found = planned(
        job,
        make_offer(),
        make_offer(gpu="H100-SXM-80GB", region="h", unit_price_nano=20 * USD),
        make_offer(region="s", pricing_model=PricingModel.SPOT, unit_price_nano=USD // 10, price_class=PriceClass.LIST),
    )
    text = " ".join(found.lost)
    assert "The fastest, lora at 16 bits on 1x H100-SXM-80GB, ends in" in text
    assert "Other methods at their cheapest: qlora $" in text
    assert "but is spot, which was not asked for" in text
    assert all("$" in sentence for sentence in found.lost)


def test_notes_name_what_is_assumed():
    job = make_job(methods=("full",), overheads=Overheads(), max_nodes=2, deadline_at=None)
    offer = make_offer(gpu_count=8, price_class=PriceClass.LIST, observed_at=NOW - timedelta(days=3))
    notes = " ".join(planned(job, offer).notes)
    assert "a list price observed 3 days ago" in notes
    assert "Disk is priced at an assumed rate" in notes
    assert "fp32 master weights" in notes


def test_phases_are_timed_by_the_clock_that_is_given():
    ticks = iter(range(100))
    timings = planned(make_job(), make_offer(), clock=lambda: float(next(ticks))).solver.timings_s
    assert timings == {"physics": 1.0, "solver": 1.0, "explanation": 1.0}
    assert planned(make_job(), make_offer()).solver.timings_s == {}


def test_a_solver_that_disagrees_with_the_cheapest_candidate_is_an_error(monkeypatch):
    market = survey(make_job(), make_snapshot([make_offer()]), tables(), now=NOW)
    bills, _ = affordable_bills(market)
    worst = int(np.argmax(bills.expected_micro))
    real = choose(market, bills)
    monkeypatch.setattr("optimizer.search.choice.solve", lambda *_, **__: replace(real, chosen=((worst, 1),)))
    doubled = replace(bills, expected_micro=bills.expected_micro + 10.0 * np.arange(bills.count))
    if bills.count > 1:
        with pytest.raises(SolverFailed, match="the cheapest candidate"):
            choose(market, doubled)


def test_moe_and_large_models_plan_too():
    job = make_job(model=model("mixtral-8x7b"), methods=("qlora",), quantization_bits=(4,))
    assert planned(job, make_offer()).choices[0].recipe.method == "qlora"


def test_the_network_that_nobody_states_is_named():
    job = make_job(model=model("llama-3.1-70b"), methods=("full",), max_nodes=2, deadline_at=None)
    unknown = make_offer(gpu="H200-SXM-141GB", gpu_count=8, host_ram_bytes=256 * GIB)
    found = planned(job, unknown)
    assert found.choices[0].nodes == 2
    assert any("The network between 2 nodes is unknown (toy.large)" in note for note in found.notes)
    missed = planned(replace(job, max_nodes=1), unknown)
    assert {miss.candidate.nodes for miss in missed.near_misses if miss.limit == "max_nodes"} == {2}
    assert any("The network between 2 nodes is unknown (toy.large)" in note for note in missed.notes)
    known = planned(job, replace(unknown, network_bytes_per_s=50e9))
    assert not any("The network between" in note for note in known.notes)


def test_providers_with_prices_of_single_gpus_only_are_named():
    single = make_offer(provider="runpod")
    assert any("at runpod are not known" in note for note in planned(make_job(providers=("RunPod",)), single).notes)
    # Not where nothing is restricted, where another provider may be used too, or where own prices fill the gap.
    both = make_job(providers=("runpod", "examplecloud"))
    own = make_offer(provider="runpod", instance_type="toy.two", gpu_count=2, price_class=PriceClass.OWN)
    for found in (
        planned(make_job(), single),
        planned(both, single, make_offer()),
        planned(make_job(providers=("runpod",)), single, own),
    ):
        assert not any("several GPUs" in note for note in found.notes)


def test_providers_and_regions_are_the_same_in_any_case():
    job = make_job(providers=("ExampleCloud",), regions=("REGION-1",))
    assert planned(job, make_offer()).choices[0].offer == make_offer()


def test_a_mix_that_needs_care_is_told():
    job = make_job(methods=("qlora",), quantization_bits=(4,))
    assert any("ROCm" in note for note in planned(job, make_offer(gpu="MI300X-OAM-192GB")).notes)


def test_the_chance_of_fitting_comes_from_the_interval():
    (choice,) = planned(make_job(), make_offer()).choices
    memory = choice.memory
    sigma = math.log(memory.required.high / memory.required.expected) / 1.2815515655446004
    chance = NormalDist().cdf(math.log(memory.usable_bytes / memory.required.expected) / sigma)
    load = math.log(memory.load_required.high / memory.load_required.expected) / 1.2815515655446004
    loads = NormalDist().cdf(math.log(memory.usable_bytes / memory.load_required.expected) / load)
    assert memory.fit_probability_ppm == pytest.approx(min(chance, loads) * 1e6, abs=1)
    assert memory.fit_probability_ppm >= 900_000


@pytest.mark.parametrize(
    ("usable", "chance"), [(100.0, 0.5), (120.0, 0.9), (100.0 / 1.2, 0.1), (1000.0, 1.0), (1.0, 0.0)]
)
def test_fit_probability_is_that_of_a_lognormal(usable, chance):
    need = Interval(low=np.array([100.0 / 1.2]), expected=np.array([100.0]), high=np.array([120.0]))
    assert fit_probability(need, usable) == pytest.approx(chance, abs=1e-6)


def test_a_need_without_spread_fits_or_does_not():
    need = Interval(low=np.array([100.0]), expected=np.array([100.0]), high=np.array([100.0]))
    assert (fit_probability(need, 100.0), fit_probability(need, 99.0)) == (1.0, 0.0)


def test_equal_cost_and_time_go_to_the_one_with_more_headroom():
    market = survey(make_job(), make_snapshot([make_offer()]), tables(), now=NOW)
    rows = market.hardware
    same = np.full(rows.count, 5000.0)
    equal = replace(market, hardware=replace(rows, low_s=same, expected_s=same, high_s=same, finish_s=same))
    bills, _ = affordable_bills(equal)
    chosen = bills.hardware[choose(equal, bills).chosen[0][0]]
    fits = rows.broken == 0
    assert fits.sum() > 1
    assert rows.slacks["memory"].needed[chosen] == rows.slacks["memory"].needed[fits].min()
    # Headroom never buys a higher cost: a micro-dollar decides first.
    dearer = replace(bills, expected_micro=bills.expected_micro + (np.arange(bills.count) == bills.count - 1))
    assert best_of(equal, dearer) != bills.count - 1 or bills.count == 1


def test_the_interval_of_checkpoints_is_told():
    (assumed,) = planned(make_job(), make_offer()).choices
    assert assumed.checkpoint_every_s >= 1800.0
    (stated,) = planned(make_job(overheads=Overheads(disk_bytes=0.0, checkpoint_every_s=600.0)), make_offer()).choices
    assert stated.checkpoint_every_s == 600.0


def test_spot_without_checkpoints_loses_all_of_its_work():
    spot = make_offer(pricing_model=PricingModel.SPOT)

    def stretched(every):
        overheads = Overheads(disk_bytes=0.0, checkpoint_every_s=every)
        job = make_job(pricing_models=("spot",), overheads=overheads, deadline_at=None)
        (choice,) = planned(job, spot).choices
        return choice.duration_parts_s["interruptions"]

    assert stretched(0.0) > stretched(1800.0) > 0.0
