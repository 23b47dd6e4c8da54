from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from optimizer.search.evaluate import evaluate_one
from optimizer.search.offers_columns import machine_of
from optimizer.search.spot_simulated import Draws
from optimizer.workload.job import Overheads
from providers.basis import Basis
from providers.offer import BillingTerms
from tests.fixtures.search_world import NOW, tables
from tests.fixtures.spot_market import on_demand, planned, spot_job, spot_offer

OFFERS = [spot_offer(1.0), spot_offer(1.1, region="region-2"), on_demand(3.0)]
OVERHEADS = Overheads(disk_bytes=50e9, egress_bytes=5e9, eval_fraction=0.1, failed_run_multiplier=1.2)


def choice_of(executor, *, hours=48.0, **how):
    job = spot_job(executor=executor, hours=hours, pricing_models=("spot",), overheads=OVERHEADS)
    (choice,) = planned(job, OFFERS, **how).choices
    return choice


EVERY = [("none", 48.0), ("none", None), ("skypilot", 48.0), ("policy", 48.0), ("policy", 4.0), ("policy", None)]


@pytest.mark.parametrize(("executor", "hours"), EVERY)
def test_parts_and_items_sum_to_the_whole_and_ends_are_in_order(executor, hours):
    choice = choice_of(executor, hours=hours)
    quote, span, answer = choice.quote, choice.duration_s, choice.spot
    assert sum(item.usd_micro for item in quote.items) == quote.expected_usd_micro
    assert sum(choice.duration_parts_s.values()) == pytest.approx(span.expected)
    assert min(choice.duration_parts_s.values()) >= 0.0
    assert quote.low_usd_micro <= quote.expected_usd_micro <= quote.high_usd_micro
    assert span.low <= span.expected <= span.high
    for one in (answer.cost, answer.interruptions, answer.rate_per_hour):
        assert one.low <= one.expected <= one.high
    assert answer.basis is span.basis is Basis.ASSUMED
    assert (answer.cost.low, answer.cost.high) == (quote.low_usd_micro, quote.high_usd_micro)
    assert answer.executor == executor


@pytest.mark.parametrize(("executor", "hours"), EVERY)
def test_a_policy_is_there_only_where_it_can_be_followed(executor, hours):
    answer = choice_of(executor, hours=hours).spot
    kept = executor == "policy" and hours is not None
    assert (answer.policy is not None, answer.problem is not None, answer.fallback is not None) == (kept, kept, kept)
    assert (answer.worst_usd_micro is not None) == kept
    assert bool(answer.deadline_costs) == kept
    assert (answer.on_demand_s > 0.0) == kept
    assert bool(answer.failover) == (executor != "none")


def test_the_worst_case_bounds_everything_that_is_said():
    choice = choice_of("policy")
    assert choice.spot.worst_usd_micro >= choice.quote.high_usd_micro
    assert choice.most_usd_micro == choice.spot.worst_usd_micro


def test_shorter_deadlines_cost_more_and_the_last_is_the_jobs():
    choice = choice_of("policy")
    deadlines, costs = zip(*choice.spot.deadline_costs, strict=True)
    assert list(deadlines) == sorted(set(deadlines))
    assert deadlines[-1] == 48 * 3600
    assert costs[-1] == pytest.approx(choice.quote.expected_usd_micro, abs=2)
    assert costs[0] > costs[-1]


@pytest.mark.parametrize("runs", [1, 7])
@pytest.mark.parametrize("executor", ["none", "policy"])
def test_few_drawn_runs_make_no_nonsense(executor, runs):
    for seed in range(2):
        choice = choice_of(executor, draws=Draws(runs=runs, seed=seed))
        # The chance of making the deadline is never told from a handful of runs.
        assert choice.spot.simulated == (runs if executor == "policy" else max(runs, 4_000))
        assert min(choice.duration_parts_s.values()) >= 0.0
        assert sum(choice.duration_parts_s.values()) == pytest.approx(choice.duration_s.expected)
        assert choice.quote.low_usd_micro <= choice.quote.expected_usd_micro <= choice.quote.high_usd_micro


def test_equal_seeds_say_the_same_and_others_do_not():
    one, same, other = (choice_of("policy", draws=Draws(runs=50, seed=seed)) for seed in (1, 1, 2))
    assert one.quote == same.quote
    assert one.duration_s == same.duration_s
    assert one.duration_s != other.duration_s
    # What is expected is the dynamic program's, whatever is drawn.
    assert one.quote.expected_usd_micro == other.quote.expected_usd_micro


@pytest.mark.parametrize("hours", [48.0, None])
@pytest.mark.parametrize("terms", [BillingTerms(increment_s=1), BillingTerms(increment_s=3600)])
def test_an_estimate_says_what_the_plan_says_where_nobody_acts(hours, terms):
    job = spot_job(executor="none", hours=hours, pricing_models=("spot",), overheads=OVERHEADS)
    (choice,) = planned(job, OFFERS, billing={"examplecloud": terms}).choices
    machine = machine_of(choice.offer, tables().gpus)
    found = evaluate_one(job, choice.recipe, machine, choice.offer, tables(), NOW, terms=terms)
    assert found.quote == choice.quote
    assert found.duration_s == choice.duration_s
    assert found.duration_parts_s == pytest.approx(choice.duration_parts_s)
    assert found.finish_s_at_confidence == choice.finish_s_at_confidence
    assert found.checkpoint_every_s == choice.checkpoint_every_s
    assert found.finish_probability_ppm == (None if hours is None else choice.finish_probability_ppm)


def test_the_deadline_slack_is_that_of_the_finish_time_shown():
    for executor in ("none", "skypilot", "policy"):
        choice = choice_of(executor)
        assert choice.slacks["deadline"] == pytest.approx(48 * 3600 - choice.finish_s_at_confidence)


def test_without_losses_spot_costs_its_price_times_the_work(monkeypatch):
    from optimizer.search import offers_columns

    known = offers_columns.availability_for(provider="", region="", instance_type="")
    calm = replace(known, **{end: getattr(known, end).scaled(loss=0.0) for end in ("low", "expected", "high")})
    monkeypatch.setattr(offers_columns, "availability_for", lambda **_: calm)
    job = spot_job(hours=48.0, pricing_models=("spot",), overheads=Overheads(disk_bytes=0.0))
    for executor in ("none", "policy"):
        (choice,) = planned(replace(job, executor=executor), [spot_offer(1.0), on_demand(3.0)]).choices
        held = sum(choice.duration_parts_s.values()) - choice.duration_parts_s["waiting"]
        rounding = next(item.usd_micro for item in choice.quote.items if item.name == "billing_rounding")
        assert choice.spot.interruptions.expected == pytest.approx(0.0, abs=1e-6)
        assert choice.spot.waiting_s == pytest.approx(0.0, abs=60.0)
        machines = choice.quote.expected_usd_micro - rounding
        assert machines == pytest.approx(held / 3600.0 * 1e6, rel=0.05)
        assert np.isclose(choice.spot.available_fraction, 1.0)
