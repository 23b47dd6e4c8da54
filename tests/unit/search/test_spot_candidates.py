from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from optimizer.search.results import PlanStatus
from optimizer.search.spot_candidates import (
    beside_machines_micro,
    checkpoint_advice,
    finish_probability_ppm,
    problem_of,
    rounding_of,
    spot_run,
)
from optimizer.workload.job import Overheads
from providers.offer import BillingTerms
from tests.fixtures.spot_market import cost, market_of, on_demand, planned, spot_job, spot_offer

BY_SECOND = {"examplecloud": BillingTerms(increment_s=1)}


def run_of(job, offers, *, nodes=1):
    market = market_of(job, offers)
    spot = market.offers.spot[market.places.offer] & (market.places.nodes == nodes)
    place = int(np.flatnonzero(spot)[0])
    rows = np.flatnonzero((market.hardware.klass == market.places.klass[place]) & (market.hardware.broken == 0))
    return spot_run(market, place, int(rows[0]))


def test_a_problem_holds_the_work_with_its_checkpoints_and_both_prices():
    run = run_of(spot_job(), [spot_offer(1.0), on_demand(3.0)])
    problem = problem_of(run)
    times = run.times
    assert problem.work_s == np.ceil(times.machine_s[0]) > times.work_s[0]
    assert problem.deadline_s == 24 * 3600.0
    assert (problem.spot_micro_per_s, problem.on_demand_micro_per_s) == (
        pytest.approx(1e6 / 3600.0), pytest.approx(3e6 / 3600.0),
    )  # fmt: skip


@pytest.mark.parametrize("change", [{"hours": None}, {"executor": "none"}, {"executor": "skypilot"}])
def test_no_problem_without_a_deadline_or_a_policy_to_solve_it(change):
    run = run_of(spot_job(**change), [spot_offer(1.0), on_demand(3.0)])
    if change == {"executor": "skypilot"}:
        assert not run.has_net
        return
    with pytest.raises(ValueError, match="needs a deadline and an on-demand machine"):
        problem_of(run)


def test_without_a_deadline_every_run_is_in_time():
    assert finish_probability_ppm(run_of(spot_job(hours=None), [spot_offer(), on_demand()])) == 1_000_000


@pytest.mark.parametrize("executor", ["none", "skypilot", "policy"])
def test_the_chance_of_finishing_grows_with_the_deadline(executor):
    chances = [
        finish_probability_ppm(run_of(spot_job(hours=hours, executor=executor, confidence_ppm=1), [
            spot_offer(), on_demand(),
        ]))
        for hours in (2.4, 3.0, 6.0, 24.0, 96.0)
    ]  # fmt: skip
    assert chances == sorted(chances)
    assert chances[0] < chances[-1]
    assert chances[-1] > 950_000


def test_a_spot_policy_is_as_sure_as_on_demand_with_time_to_spare():
    job = spot_job(hours=3.0)
    (stays,) = planned(replace(job, pricing_models=("on_demand",)), [spot_offer(), on_demand()]).choices
    run = run_of(job, [spot_offer(), on_demand()])
    assert finish_probability_ppm(run) < stays.finish_probability_ppm


def test_what_lies_between_increments_is_paid():
    job = spot_job()
    offers = [spot_offer(1.0), on_demand(3.0)]
    hourly = run_of(job, offers)
    seconds, micro = rounding_of(hourly)
    # Rentals end half an hour early on average; there is at least about one.
    assert 1700.0 < seconds < 2 * 3600.0
    assert 1e6 * 1700.0 / 3600.0 < micro < 3e6 * 2.0

    def bill(billing):
        (choice,) = planned(job, offers, billing=billing).choices
        return {item.name: item.usd_micro for item in choice.quote.items}

    assert bill({})["billing_rounding"] > 400_000
    assert bill(BY_SECOND)["billing_rounding"] == 0


def test_disk_and_hidden_costs_lie_beside_the_machines():
    overheads = Overheads(disk_bytes=100e9, labelling_usd=7)
    run = run_of(spot_job(overheads=overheads), [spot_offer(), on_demand()])
    disk, hidden = beside_machines_micro(run)
    assert disk > 0.0
    assert hidden == 7_000_000


def test_checkpoints_are_as_stated_or_chosen():
    chosen = checkpoint_advice(run_of(spot_job(), [spot_offer(), on_demand()]))
    assert chosen.chosen
    assert chosen.every_s == max(chosen.best_every_s, 300.0)
    overheads = Overheads(disk_bytes=0.0, checkpoint_every_s=3600.0)
    stated = checkpoint_advice(run_of(spot_job(overheads=overheads), [spot_offer(), on_demand()]))
    assert (stated.chosen, stated.every_s) == (False, 3600.0)
    assert stated.waste_fraction > chosen.waste_fraction


def test_notice_is_the_providers():
    ours = checkpoint_advice(run_of(spot_job(), [spot_offer(), on_demand()]))
    assert (ours.notice_s, ours.waste_on_notice_fraction) == (0.0, None)
    aws = checkpoint_advice(run_of(spot_job(), [spot_offer(provider="aws"), on_demand(provider="aws")]))
    assert aws.notice_s == 120.0
    assert aws.waste_on_notice_fraction < aws.waste_fraction


def test_spot_as_dear_as_on_demand_is_dropped_and_the_limit_named():
    dear = [spot_offer(3.0), on_demand(3.0)]
    found = planned(spot_job(), dear)
    assert found.choices[0].offer.pricing_model.value == "on_demand"
    assert found.rejected["spot_price"] > 0
    alone = planned(spot_job(pricing_models=("spot",)), dear)
    assert alone.status is PlanStatus.INFEASIBLE
    assert "costs no less as spot than on-demand" in " ".join(miss.sentence for miss in alone.near_misses)


@pytest.mark.parametrize("robust", [False, True])
def test_a_policy_without_a_machine_to_fall_back_on_is_infeasible_and_says_why(robust):
    found = planned(spot_job(pricing_models=("spot",)), [spot_offer(), on_demand(gpu="T4-16GB")], robust=robust)
    assert found.status is PlanStatus.INFEASIBLE
    assert found.rejected["fallback"] > 0
    told = next(miss for miss in found.near_misses if "fallback" in miss.broken)
    assert "has no on-demand machine of its kind to fall back on" in told.sentence
    # What is said of it is what would happen there: no policy, and nothing that bounds the cost.
    assert told.candidate.spot.policy is None
    assert np.isfinite(told.candidate.quote.high_usd_micro)


def test_spot_alone_still_falls_back_on_demand():
    (choice,) = planned(spot_job(pricing_models=("spot",)), [spot_offer(), on_demand()]).choices
    assert choice.offer.pricing_model.value == "spot"
    assert choice.spot.fallback.offer.pricing_model.value == "on_demand"


def test_a_deadline_that_leaves_no_room_for_spot_goes_on_demand():
    offers = [spot_offer(0.5), on_demand(3.0)]
    (stays,) = planned(spot_job(pricing_models=("on_demand",)), offers).choices
    hours = stays.finish_s_at_confidence / 3600.0 + 0.02
    found = planned(spot_job(hours=hours), offers)
    assert found.choices[0].offer.pricing_model.value == "on_demand"
    assert cost(found) == cost(planned(spot_job(hours=hours, pricing_models=("on_demand",)), offers))
