from __future__ import annotations

from itertools import combinations_with_replacement
from types import SimpleNamespace

import numpy as np
import pytest

from optimizer.search.results import PlanStatus
from optimizer.search.solve import Columns, Quota, solve, worth_solving
from providers.errors import SolverFailed
from providers.offer import PricingModel
from tests.fixtures.search_world import make_offer


def columns(cost, high=None, gpus=None, covered=None):
    count = len(cost)
    return Columns(
        cost_micro=np.array(cost, dtype=float),
        high_micro=np.array(high if high is not None else cost, dtype=float),
        gpus=np.array(gpus if gpus is not None else [1] * count, dtype=np.int64),
        covered=np.array(covered if covered is not None else np.zeros((0, count)), dtype=bool),
    )


def brute_force(table, *, runs, budget=None, quotas=()):
    """Every multiset of candidates: smallest total cost, or None."""
    best = None
    for picks in combinations_with_replacement(range(len(table.cost_micro)), runs):
        high = sum(table.high_micro[k] for k in picks)
        if budget is not None and high > budget:
            continue
        used = [sum(table.gpus[k] for k in picks if table.covered[row, k]) for row in range(len(quotas))]
        if any(one > quota.gpus for one, quota in zip(used, quotas, strict=True)):
            continue
        cost = sum(table.cost_micro[k] for k in picks)
        best = cost if best is None else min(best, cost)
    return best


def cost_of(table, solution):
    return sum(table.cost_micro[k] * runs for k, runs in solution.chosen)


def test_one_run_takes_the_cheapest():
    solution = solve(columns([5e6, 3e6, 4e6]), runs=1)
    assert solution.chosen == ((1, 1),)
    assert (solution.status, solution.gap_ppm, solution.columns) == (PlanStatus.OPTIMAL, 0, 1)


def test_of_equals_the_first():
    assert solve(columns([4e6, 3e6, 3e6]), runs=2).chosen == ((1, 2),)


def test_a_tight_budget_mixes_the_cheap_with_the_sure():
    table = columns([10e6, 11e6], high=[20e6, 12e6])
    assert solve(table, runs=2, budget_micro=40_000_000).chosen == ((0, 2),)
    assert solve(table, runs=2, budget_micro=32_000_000).chosen == ((0, 1), (1, 1))
    assert solve(table, runs=2, budget_micro=31_999_999).chosen == ((1, 2),)
    assert solve(table, runs=2, budget_micro=23_999_999).status is PlanStatus.INFEASIBLE


def test_a_quota_spreads_a_sweep():
    table = columns([1e6, 2.5e6, 3e6], gpus=[8, 4, 1], covered=[[1, 1, 0]])
    solution = solve(table, runs=4, quotas=[Quota(gpus=12, provider="a")])
    assert solution.chosen == ((0, 1), (1, 1), (2, 2))


def test_fewer_gpus_under_a_quota_are_not_dominated_by_a_lower_price():
    table = columns([1e6, 2e6], gpus=[8, 1], covered=[[1, 1]])
    assert worth_solving(table).tolist() == [0, 1]
    assert solve(table, runs=3, quotas=[Quota(gpus=10)]).chosen == ((0, 1), (1, 2))


def test_nothing_to_choose_from():
    assert solve(columns([]), runs=1).status is PlanStatus.INFEASIBLE


def test_dominated_columns_never_reach_the_solver():
    table = columns([1e6, 2e6, 3e6, 4e6], high=[9e6, 8e6, 8e6, 7e6])
    assert worth_solving(table).tolist() == [0, 1, 3]


@pytest.mark.parametrize("seed", range(25))
def test_solver_agrees_with_brute_force(seed):
    rng = np.random.default_rng(seed)
    count, runs = int(rng.integers(1, 7)), int(rng.integers(1, 5))
    cost = rng.integers(1, 12, count) * 1_000_000
    table = columns(
        cost, high=cost + rng.integers(0, 8, count) * 1_000_000, gpus=rng.choice([1, 2, 4, 8], count),
        covered=rng.random((2, count)) < 0.6,
    )  # fmt: skip
    quotas = [Quota(gpus=int(rng.integers(1, 20))), Quota(gpus=int(rng.integers(1, 20)))]
    budget = int(rng.integers(5, 60)) * 1_000_000
    solution = solve(table, runs=runs, budget_micro=budget, quotas=quotas)
    expected = brute_force(table, runs=runs, budget=budget, quotas=quotas)
    if expected is None:
        assert solution.status is PlanStatus.INFEASIBLE
        assert solution.chosen == ()
    else:
        assert solution.status is PlanStatus.OPTIMAL
        assert cost_of(table, solution) == expected


@pytest.mark.parametrize("costs", [[1.0, 2.0], [3e15, 4e15]])
def test_very_small_and_very_large_amounts(costs):
    assert solve(columns(costs), runs=1).chosen == ((0, 1),)


def answer(**fields):
    return SimpleNamespace(
        **({"status": 0, "x": np.array([1.0]), "mip_dual_bound": 1000.0, "message": "made up"} | fields)
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"status": 3, "x": None}, "status 3"),
        ({"x": np.array([2.0])}, "2 of 1 runs"),
        ({"mip_dual_bound": 500.0}, "above the solver's own bound"),
    ],
)
def test_an_answer_that_does_not_survive_the_check_is_an_error(monkeypatch, fields, message):
    monkeypatch.setattr("scipy.optimize.milp", lambda *_, **__: answer(**fields))
    with pytest.raises(SolverFailed, match=message):
        solve(columns([1e6]), runs=1)


def test_a_plan_over_budget_or_quota_is_an_error(monkeypatch):
    monkeypatch.setattr("scipy.optimize.milp", lambda *_, **__: answer())
    with pytest.raises(SolverFailed, match="the budget is 999999"):
        solve(columns([1e6]), runs=1, budget_micro=999_999)
    with pytest.raises(SolverFailed, match="8 GPUs of a quota of 4"):
        solve(columns([1e6], gpus=[8], covered=[[1]]), runs=1, quotas=[Quota(gpus=4)])


@pytest.mark.parametrize(
    ("cost", "high", "budget", "runs", "chosen"),
    [
        ([2250274.0, 3317745.0, 4761424.0], [6611526.0, 5173151.0, 4945839.0], 13_223_051, 2, ((0, 1), (1, 1))),
        ([4150920.0, 6502653.0, 8986028.0], [13806990.0, 13108632.0, 9573494.0], 27_613_979, 2, ((0, 1), (1, 1))),
    ],
)
def test_a_budget_a_micro_dollar_short_of_a_plan_takes_the_next_one(cost, high, budget, runs, chosen):
    # The solver takes 1.9999999 for two, which breaks such a budget: it is asked again.
    found = solve(columns(cost, high), runs=runs, budget_micro=budget)
    assert found.chosen == chosen


def test_a_time_limit_keeps_the_incumbent_and_says_so(monkeypatch):
    monkeypatch.setattr("scipy.optimize.milp", lambda *_, **__: answer(status=1, mip_dual_bound=750.0))
    solution = solve(columns([1e6]), runs=1)
    assert (solution.status, solution.gap_ppm, solution.chosen) == (PlanStatus.TIME_LIMIT, 250_000, ((0, 1),))
    monkeypatch.setattr("scipy.optimize.milp", lambda *_, **__: answer(status=1, x=None))
    assert solve(columns([1e6]), runs=1).status is PlanStatus.TIME_LIMIT


def test_the_gap_is_asked_for_explicitly(monkeypatch):
    seen = {}

    def spy(*_, options, **__):
        seen.update(options)
        return answer()

    monkeypatch.setattr("scipy.optimize.milp", spy)
    solve(columns([1e6]), runs=1)
    assert seen["mip_rel_gap"] == 1e-9


@pytest.mark.parametrize(
    ("fields", "covers"),
    [
        ({}, True),
        ({"provider": "examplecloud", "region": "region-1"}, True),
        ({"provider": "other"}, False),
        ({"gpu": "T4-16GB"}, False),
        ({"pricing_model": "spot"}, False),
        ({"pricing_model": PricingModel.ON_DEMAND.value, "gpu": "A100-SXM-80GB"}, True),
    ],
)
def test_quota_covers(fields, covers):
    assert Quota(gpus=1, **fields).covers(make_offer()) is covers
