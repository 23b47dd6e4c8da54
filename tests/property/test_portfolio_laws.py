"""Laws that every portfolio keeps, on small random instances."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.search.portfolio.solving import solve_portfolio
from tests.fixtures.portfolio_worlds import random_instance

law = settings(max_examples=20, derandomize=True, deadline=None)
seeds = st.integers(0, 10_000)


def key(instance):
    return solve_portfolio(instance).plan.key(instance)


@law
@given(seed=seeds, more=st.integers(1, 8), row=st.integers(0, 3))
def test_a_larger_quota_never_places_fewer_nor_costs_more(seed, more, row):
    instance = random_instance(seed, classes=2)
    capacity = instance.capacity.copy()
    capacity[row % capacity.size] += more
    assert key(replace(instance, capacity=capacity)) <= key(instance)


@law
@given(seed=seeds, factor=st.floats(1.0, 3.0))
def test_a_larger_budget_never_places_fewer_nor_costs_more(seed, factor):
    instance = random_instance(seed, budgets=True)
    assert key(replace(instance, budgets=np.rint(instance.budgets * factor))) <= key(instance)


@law
@given(seed=seeds, which=st.integers(0, 50), factor=st.floats(0.2, 0.99))
def test_a_lower_price_never_costs_more(seed, which, factor):
    instance = random_instance(seed, budgets=False)
    if instance.count == 0:
        return
    cost, high = instance.cost_micro.copy(), instance.high_micro.copy()
    at = which % instance.count
    # Columns stand in the order of cost, which is what ties go by; brute costs do not hang on it.
    cost[at], high[at] = np.floor(cost[at] * factor), np.floor(high[at] * factor)
    job = int(np.searchsorted(instance.start, at, side="right")) - 1
    here = slice(int(instance.start[job]), int(instance.start[job + 1]))
    order = np.arange(instance.count)
    order[here] = order[here][np.argsort(cost[here], kind="stable")]
    lower = replace(
        instance,
        cost_micro=cost[order],
        high_micro=high[order],
        gpus=instance.gpus[order],
        pattern=instance.pattern[order],
    )
    assert key(lower) <= key(instance)


@law
@given(seed=seeds, factor=st.integers(2, 40))
def test_without_budgets_scaling_all_prices_scales_the_cost_and_places_the_same_number(seed, factor):
    instance = random_instance(seed, budgets=False, classes=2)
    scaled = replace(instance, cost_micro=instance.cost_micro * factor, high_micro=instance.high_micro * factor)
    (out, cost), (out_scaled, cost_scaled) = key(instance), key(scaled)
    assert out == out_scaled
    assert cost_scaled == factor * cost


@law
@given(seed=seeds, data=st.data())
def test_the_order_of_the_jobs_changes_nothing(seed, data):
    instance = random_instance(seed, classes=2)
    order = np.array(data.draw(st.permutations(range(instance.jobs))), dtype=np.int64)
    sizes = np.diff(instance.start)[order]
    columns = np.concatenate([np.arange(instance.start[job], instance.start[job + 1]) for job in order]).astype(
        np.int64
    )
    shuffled = replace(
        instance,
        start=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        **{name: getattr(instance, name)[columns] for name in ("cost_micro", "high_micro", "gpus", "pattern")},
        **{name: getattr(instance, name)[order] for name in ("units", "lump", "most_gpus", "own_budget")},
        charged=instance.charged[:, order],
        rank=instance.rank[order],
    )
    assert key(shuffled) == key(instance)


@law
@given(seed=seeds)
def test_a_dearer_twin_of_every_column_changes_nothing(seed):
    instance = random_instance(seed)
    twice = np.repeat(np.arange(instance.count), 2)
    dearer = np.tile([0.0, 1.0], instance.count)
    doubled = replace(
        instance,
        start=instance.start * 2,
        cost_micro=instance.cost_micro[twice] + dearer,
        high_micro=instance.high_micro[twice] + dearer,
        gpus=instance.gpus[twice],
        pattern=instance.pattern[twice],
    )
    assert key(doubled) == key(instance)


@law
@given(seed=seeds)
def test_independent_halves_sum_to_the_whole_within_the_gap(seed):
    left, right = (random_instance(at, jobs=6, budgets=False) for at in (seed, seed + 77_777))
    rows = left.capacity.size
    patterns = np.zeros((left.patterns.shape[0] + right.patterns.shape[0], rows + right.capacity.size), dtype=np.bool_)
    patterns[: left.patterns.shape[0], :rows] = left.patterns
    patterns[left.patterns.shape[0] :, rows:] = right.patterns
    names = ("cost_micro", "high_micro", "gpus", "units", "lump", "most_gpus", "own_budget", "rank", "capacity")
    whole = replace(
        left,
        start=np.concatenate([left.start, right.start[1:] + left.start[-1]]),
        **{name: np.concatenate([getattr(left, name), getattr(right, name)]) for name in names},
        pattern=np.concatenate([left.pattern, right.pattern + left.patterns.shape[0]]),
        patterns=patterns,
        charged=np.zeros((0, left.jobs + right.jobs), dtype=np.bool_),
    )
    found = solve_portfolio(whole)
    halves = [solve_portfolio(one) for one in (left, right)]
    out, cost = found.plan.key(whole)
    parts = [half.plan.key(one) for half, one in zip(halves, (left, right), strict=True)]
    assert out == tuple(sum(values) for values in zip(*(part[0] for part in parts), strict=True))
    assert sum(half.bound_micro for half in halves) <= cost
    assert found.bound_micro <= sum(part[1] for part in parts)
