"""Laws of the frontier and of the price of the deadline, on random small markets; brute force over all bills."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from math import ceil

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimizer.search.candidates import allowed_places, allowed_rows, budget_micro, join
from optimizer.search.choice import settle
from optimizer.search.deadline_price import cost_steps, deadline_price
from optimizer.search.frontier import frontier_of, qualities
from optimizer.search.frontier_steps import steps_along, telling_points
from optimizer.search.market import survey
from optimizer.search.planner import plan
from optimizer.workload.matrices import quality_rank
from tests.fixtures.search_world import NOW, make_snapshot, tables
from tests.property.test_search_laws import BILLING, jobs, markets

law = settings(max_examples=12, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def surveyed(job, market):
    return survey(job, make_snapshot(market, billing=BILLING), tables(), now=NOW)


def cheapest(job, market):
    """Expected cost of the plan in micro-dollars, None when nothing fits."""
    choices = plan(job, make_snapshot(market, billing=BILLING), tables(), now=NOW, top=0).choices
    return choices[0].quote.expected_usd_micro if choices else None


def figures(point):
    one = point.candidate
    return (
        one.quote.expected_usd_micro,
        one.finish_s_at_confidence,
        quality_rank(one.quality),
        point.keeps_budget is not False,
    )


def undominated_by_hand(market):
    """Every bill that no other beats, by comparing all with all; nothing factorised."""
    for limit in ("deadline", "quality_floor"):
        market = market.without(limit)
    bills = join(market, allowed_rows(market), allowed_places(market))
    if bills.count == 0:
        return set()
    allowed = budget_micro(market.job)
    within = np.ones(bills.count) if allowed is None else (bills.high_micro <= allowed).astype(float)
    worse = np.stack(
        [
            bills.expected_micro,
            market.hardware.finish_s[bills.hardware],
            -qualities(market)[bills.hardware],
            -within,
        ]
    )
    worse = np.unique(worse, axis=1)
    kept = []
    for at in range(worse.shape[1]):
        here = worse[:, at : at + 1]
        beaten = (worse <= here).all(axis=0) & (worse < here).any(axis=0)
        if not beaten.any():
            cost, finish, quality, keeps = worse[:, at]
            kept.append((int(cost), float(finish), int(-quality), bool(-keeps)))
    return set(kept)


@law
@given(job=jobs, market=markets)
def test_no_point_is_beaten_and_none_is_missing(job, market):
    here = surveyed(job, market)
    settled = settle(here)
    found = frontier_of(here, settled)
    # Columns and Decimal may differ by the rounding of a line, at most three micro-dollars.
    by_hand = undominated_by_hand(settled.market)
    assert len(found.points) == len(by_hand)
    for mine, its in zip(sorted(map(figures, found.points)), sorted(by_hand), strict=True):
        assert abs(mine[0] - its[0]) <= 3
        assert mine[1:] == its[1:]
    assert found.feasible == bool(settled.solution.chosen)


@law
@given(job=jobs, market=markets)
def test_the_choice_of_the_plan_is_on_it(job, market):
    found = frontier_of(surveyed(job, market))
    choices = plan(job, make_snapshot(market, billing=BILLING), tables(), now=NOW, top=0).choices
    if not choices:
        assert found.chosen is None
        assert not any(point.allowed for point in found.points)
        return
    point = found.chosen
    assert point is not None
    assert point.allowed
    assert point.candidate.quote.expected_usd_micro == choices[0].quote.expected_usd_micro
    assert point.candidate.finish_s_at_confidence == choices[0].finish_s_at_confidence
    # Nothing else that is allowed costs less.
    costs = [one.candidate.quote.expected_usd_micro for one in found.points if one.allowed]
    assert min(costs) == point.candidate.quote.expected_usd_micro


@law
@given(job=jobs, market=markets)
def test_within_a_level_more_money_buys_time(job, market):
    points = frontier_of(surveyed(job, market)).points
    for before, after in pairwise(points):
        ranks = quality_rank(before.candidate.quality), quality_rank(after.candidate.quality)
        assert ranks[0] <= ranks[1]
        if ranks[0] == ranks[1] and before.keeps_budget == after.keeps_budget:
            assert after.candidate.quote.expected_usd_micro > before.candidate.quote.expected_usd_micro
            assert after.candidate.finish_s_at_confidence < before.candidate.finish_s_at_confidence
    steps = steps_along(points)
    assert [step is None for step in steps] == [at == 0 for at in range(len(points))]
    for most in (1, 5, len(points)):
        shown = telling_points(points, most)
        assert shown == sorted(set(shown))
        assert all(at in shown for at, point in enumerate(points) if point.chosen)
        assert not points or {0, len(points) - 1} <= set(shown)
    assert telling_points(points, len(points)) == list(range(len(points)))


@law
@given(job=jobs, market=markets, factor=st.integers(2, 50))
def test_scaling_all_prices_scales_costs_and_keeps_the_points(job, market, factor):
    free = replace(job, budget_usd=None)
    scaled = [replace(offer, unit_price_nano=offer.unit_price_nano * factor) for offer in market]
    one, other = frontier_of(surveyed(free, market)), frontier_of(surveyed(free, scaled))
    assert [(p.candidate.offer.key, p.candidate.nodes, p.candidate.recipe) for p in one.points] == [
        (p.candidate.offer.key, p.candidate.nodes, p.candidate.recipe) for p in other.points
    ]
    for low, high in zip(one.points, other.points, strict=True):
        ratio = high.candidate.quote.expected_usd_micro / low.candidate.quote.expected_usd_micro
        assert abs(ratio - factor) < 1e-4 * factor


@law
@given(job=jobs, market=markets, data=st.data())
def test_shuffling_and_duplicating_offers_changes_no_point(job, market, data):
    shuffled = data.draw(st.permutations(market + market[: len(market) // 2]))
    one, other = frontier_of(surveyed(job, market)), frontier_of(surveyed(job, shuffled))
    assert one == other


@law
@given(job=jobs, market=markets, hours=st.integers(1, 30))
def test_the_price_of_the_deadline_is_what_other_deadlines_cost(job, market, hours):
    job = replace(job, deadline_at=NOW + timedelta(hours=hours))
    price = deadline_price(surveyed(job, market))
    hour = timedelta(hours=1)
    now, more = cheapest(job, market), cheapest(replace(job, deadline_at=job.deadline_at + hour), market)
    less = cheapest(replace(job, deadline_at=job.deadline_at - hour), market) if hours > 1 else None
    assert price is not None
    assert close(price.cost_usd_micro, now)
    assert close(price.saved_by_one_hour_more_usd_micro, None if None in (now, more) else now - more)
    assert close(price.cost_of_one_hour_less_usd_micro, None if None in (now, less) else less - now)
    for amount in (price.saved_by_one_hour_more_usd_micro, price.cost_of_one_hour_less_usd_micro):
        assert amount is None or amount >= 0
    if price.next_saving_at is not None:
        then = cheapest(replace(job, deadline_at=price.next_saving_at), market)
        before = cheapest(replace(job, deadline_at=price.next_saving_at - timedelta(seconds=2)), market)
        assert close(price.next_cost_usd_micro, then)
        assert price.next_saving_at - timedelta(seconds=2) < job.deadline_at or close(before, now)
        assert now is None or price.next_saving_usd_micro > 0


def close(one, other):
    return one is None and other is None if None in (one, other) else abs(one - other) <= 6


@law
@given(job=jobs, market=markets)
def test_the_cost_of_a_deadline_never_rises_with_it(job, market):
    steps = cost_steps(surveyed(job, market))
    assert (np.diff(steps.time_s) > 0).all()
    assert (np.diff(steps.cost_micro) < 0).all()
    for time_s, cost in zip(steps.time_s, steps.cost_micro, strict=True):
        assert close(steps.at(time_s), round(cost))
        there = cheapest(replace(job, deadline_at=NOW + timedelta(seconds=ceil(time_s))), market)
        assert close(there, round(cost))
        break  # one of them: the law above looks at more
