"""Scenarios: what they draw, and that they agree with what the plan says of itself."""

from __future__ import annotations

import statistics
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pytest

from optimizer.search.candidates import affordable_bills
from optimizer.search.choice import best_of
from optimizer.search.market import survey
from optimizer.search.planner import plan
from optimizer.search.scenario_market import lay_out_scenarios, rows_of
from optimizer.search.scenario_outcomes import spread_of
from optimizer.search.scenario_speeds import common_variance
from optimizer.search.scenario_study import UNDER_A_POLICY, study
from optimizer.search.scenarios import Block, blocks_of, costs_micro, durations_s, find_winners, steps_of
from optimizer.search.solve import Quota
from optimizer.workload.job import Overheads
from providers.errors import JobError
from providers.offer import BillingTerms, PriceClass, PricingModel
from tests.fixtures.search_world import GIB, NOW, USD, make_job, make_offer, make_snapshot, tables

OLD = NOW - timedelta(days=200)
OFFERS = (
    make_offer(unit_price_nano=2 * USD, observed_at=OLD),
    make_offer("H100-SXM-80GB", unit_price_nano=5 * USD, observed_at=OLD, provider="othercloud"),
    make_offer("L4-24GB", unit_price_nano=USD // 2, observed_at=OLD, provider="thirdcloud"),
)


BY_THE_SECOND = {offer.provider: BillingTerms() for offer in OFFERS}


def world(offers=OFFERS, **job):
    return survey(make_job(**job), make_snapshot(offers, billing=BY_THE_SECOND), tables(), now=NOW)


def studied(offers=OFFERS, *, scenarios=2000, seed=3, **job):
    snapshot = make_snapshot(offers, billing=BY_THE_SECOND)
    return study(make_job(**job), snapshot, tables(), now=NOW, scenarios=scenarios, seed=seed)


def test_a_scenario_depends_on_its_seed_and_number_alone():
    field = lay_out_scenarios(world())
    whole = find_winners(field, Block(seed=9, start=0, stop=60))
    for size in (1, 7, 60):
        parts = [find_winners(field, block) for block in blocks_of(60, seed=9, size=size)]
        for name in ("bill", "row", "cost_micro"):
            assert np.concatenate([getattr(one, name) for one in parts]).tolist() == getattr(whole, name).tolist()
    assert find_winners(field, Block(seed=10, start=0, stop=60)).cost_micro.tolist() != whole.cost_micro.tolist()


def test_blocks_cover_every_scenario_once():
    blocks = blocks_of(1001, seed=0, size=250)
    assert [one.count for one in blocks] == [250, 250, 250, 250, 1]
    assert [n for one in blocks for n in range(one.start, one.stop)] == list(range(1001))


def test_steps_are_standard_normal_and_speeds_go_together_as_far_as_they_share_causes():
    field = lay_out_scenarios(world())
    steps = np.array([steps_of(field, seed=1, scenario=k) for k in range(6000)])
    assert np.abs(steps.mean(axis=0)).max() < 0.05
    assert np.abs(steps.std(axis=0) - 1.0).max() < 0.04
    first, second, _ = steps[:, 1 : 1 + len(field.gpus)].T
    assert field.common.min() > 0.3  # nobody said which stack: most of the error is common
    expected = np.sqrt(field.common[0] * field.common[1])
    assert np.corrcoef(first, second)[0, 1] == pytest.approx(expected, abs=0.03)
    assert abs(np.corrcoef(first, steps[:, -1])[0, 1]) < 0.05


def test_a_stack_that_was_named_leaves_less_in_common():
    named, guessed = make_job(stack_known=True), make_job(stack_known=False)
    constants = tables().speed
    assert common_variance(guessed, constants) - common_variance(named, constants) == pytest.approx(
        constants.sigma.unknown_stack**2
    )
    assert common_variance(make_job(objective="dpo"), constants) > common_variance(make_job(), constants)


@pytest.mark.parametrize("probability", [0.02, 0.5, 0.9, 0.999])
def test_a_step_at_a_quantile_gives_the_duration_at_that_quantile(probability):
    market = world()
    field = lay_out_scenarios(market)
    every = np.arange(market.hardware.count)
    steps = np.zeros(1 + len(field.gpus) + field.groups)
    steps[1 : 1 + len(field.gpus)] = NormalDist().inv_cdf(probability)
    wanted = market.physics.duration.quantile(probability)[market.hardware.row]
    assert durations_s(field, rows_of(market, every), steps) == pytest.approx(wanted, rel=1e-12)


def test_nothing_moved_costs_what_the_plan_says():
    market = world()
    field = lay_out_scenarios(market)
    steps = np.zeros(1 + len(field.gpus) + field.groups)
    bills, _ = affordable_bills(market)
    cost = bills.expected_micro[best_of(market, bills)]
    of_row = durations_s(field, field.rows, steps)
    seconds = np.minimum.reduceat(of_row, field.start[:-1])[field.bills.slot]
    assert np.rint(costs_micro(field, field.bills, steps, seconds)).min() == cost


def test_the_share_of_scenarios_in_time_is_the_chance_that_the_plan_gives():
    median_s = studied(OFFERS[:1], scenarios=200).base.duration_s.p50
    tight = NOW + timedelta(seconds=1.25 * median_s)
    found = studied(OFFERS[:1], deadline_at=tight, confidence_ppm=500_000, scenarios=8000)
    chance = found.base.candidate.finish_probability_ppm / 1e6
    assert 0.6 < chance < 0.9
    assert found.base.in_time / found.scenarios == pytest.approx(chance, abs=4 * (chance * (1 - chance) / 8000) ** 0.5)


def test_the_cost_has_the_quantiles_that_the_quote_has():
    found = studied(scenarios=8000)
    quote, spread = found.base.candidate.quote, found.base.cost_usd_micro
    assert spread.p50 == pytest.approx(quote.expected_usd_micro, rel=0.02)
    assert spread.p10 == pytest.approx(quote.low_usd_micro, rel=0.03)
    assert spread.p90 == pytest.approx(quote.high_usd_micro, rel=0.03)


def test_own_prices_do_not_move_and_one_offer_leaves_no_regret():
    own = make_offer(unit_price_nano=2 * USD, observed_at=OLD, price_class=PriceClass.OWN)
    market = world((own,))
    assert lay_out_scenarios(market).bills.price_sigma.tolist() == [0.0]
    found = studied((own,), scenarios=300)
    assert found.alternatives == ()
    assert (found.base.best, found.base.in_budget) == (300, 300)
    assert (found.base.regret_usd_micro.p90, found.base.regret_usd_micro.mean) == (0, 0)
    assert found.steadiest is found.base is found.cheapest_on_average


def test_a_cheaper_offer_of_the_same_machine_hides_the_dearer_ones():
    dearer = [make_offer(unit_price_nano=n * USD, region=f"far-{n}", observed_at=OLD) for n in range(3, 9)]
    assert lay_out_scenarios(world((OFFERS[0], *dearer))).bills.count == 1


def test_a_budget_counts_what_a_scenario_costs():
    high = studied(scenarios=10).base.candidate.quote.high_usd_micro
    found = studied(budget_usd=Decimal(high + 1) / 1_000_000, scenarios=4000)
    assert found.base.in_budget / 4000 == pytest.approx(0.9, abs=0.02)
    assert found.base.kept == found.base.in_budget


def test_a_job_without_a_plan_is_studied_all_the_same():
    found = studied(deadline_at=NOW + timedelta(hours=1, minutes=15), confidence_ppm=990_000, scenarios=400)
    assert found.base is None
    assert not found.feasible
    assert found.steadiest is found.cheapest_on_average is None
    assert 0 < found.nothing_fits < 400
    assert sum(one.best for one in found.alternatives) == 400 - found.nothing_fits


def test_nothing_possible_is_an_answer():
    found = studied((make_offer("T4-16GB", host_ram_bytes=GIB),), methods=("full",), scenarios=20)
    assert (found.base, found.alternatives, found.nothing_fits) == (None, (), 20)
    assert dict(found.best_by_gpu) == {}


def test_a_policy_on_spot_keeps_the_deadline_where_the_machine_would_and_says_what_it_rests_on():
    spot = make_offer(unit_price_nano=USD // 2, pricing_model=PricingModel.SPOT, observed_at=OLD)
    mixed = {"executor": "policy", "pricing_models": ("on_demand", "spot")}
    found = studied((OFFERS[0], spot), scenarios=400, **mixed)
    assert found.base.candidate.offer.pricing_model is PricingModel.SPOT
    assert found.notes == (UNDER_A_POLICY,)
    assert found.base.in_time >= 0.97 * 400
    assert studied((OFFERS[0], spot), scenarios=20).notes == ()


def test_what_is_beyond_a_quota_takes_part_in_no_scenario():
    everywhere = [make_offer("L4-24GB", gpu_count=2, unit_price_nano=USD // 20, provider="cheap"), *OFFERS]
    snapshot = make_snapshot(everywhere, billing=BY_THE_SECOND)
    ask = {"now": NOW, "scenarios": 200, "seed": 3}
    assert study(make_job(), snapshot, tables(), **ask).best_by_provider["cheap"] == 200
    capped = study(make_job(), snapshot, tables(), quotas=[Quota(gpus=1, provider="cheap")], **ask)
    assert "cheap" not in capped.best_by_provider
    assert sum(capped.best_by_provider.values()) == 200


def test_the_robust_plan_is_studied_where_it_was_asked_for():
    tight = {"deadline_at": NOW + timedelta(hours=3), "confidence_ppm": 600_000}
    snapshot = make_snapshot(OFFERS, billing=BY_THE_SECOND)
    plain = study(make_job(**tight), snapshot, tables(), now=NOW, scenarios=500)
    robust = study(make_job(**tight), snapshot, tables(), now=NOW, scenarios=500, robust=True)
    assert robust.base.in_time >= plain.base.in_time
    planned = plan(make_job(**tight), snapshot, tables(), now=NOW, top=0, robust=True)
    assert robust.base.candidate.offer.key == planned.choices[0].offer.key


def test_a_sweep_is_refused():
    with pytest.raises(JobError, match="runs = 4: 1 for a study"):
        studied(runs=4)


def test_hidden_costs_and_disk_are_part_of_every_scenario():
    plain = studied(scenarios=200)
    dearer = studied(scenarios=200, overheads=Overheads(disk_bytes=0.0, labelling_usd=Decimal(7)))
    assert dearer.base.cost_usd_micro.p10 - plain.base.cost_usd_micro.p10 == 7_000_000


@pytest.mark.parametrize("count", [1, 2, 9, 10, 11, 99])
def test_quantiles_are_values_that_occur(count):
    values = np.random.default_rng(count).integers(0, 2**61, count)
    spread, ordered = spread_of(values), sorted(values.tolist())
    assert spread.p50 == statistics.median_low(ordered)
    assert spread.p90 == next(one for at, one in enumerate(ordered, 1) if at >= Fraction(9, 10) * count)
    assert spread.p10 == next(one for at, one in enumerate(ordered, 1) if at >= Fraction(1, 10) * count)
    assert abs(spread.mean - Fraction(sum(ordered), count)) <= Fraction(1, 2)
