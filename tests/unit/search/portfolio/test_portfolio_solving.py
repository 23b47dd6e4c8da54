"""The solver of portfolios against brute force, its bound at every stage, and its refusal of what does not add up."""

from __future__ import annotations

import itertools
from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from optimizer.search.portfolio import solving, within_budgets
from optimizer.search.portfolio.column_generation import relax
from optimizer.search.portfolio.goal import UNIT_MICRO, least_cost
from optimizer.search.portfolio.instance import usable
from optimizer.search.portfolio.master import WholeAnswer
from optimizer.search.portfolio.placement import Placement, verify
from optimizer.search.portfolio.pricing import Duals, no_duals, price
from optimizer.search.portfolio.solving import gap_ppm, solve_portfolio
from providers.errors import SolverFailed
from tests.fixtures.portfolio_worlds import brute_force, random_instance


def name(kind: str, at: int) -> str:
    return f"{kind} number {at}"


@pytest.mark.parametrize("seed", range(24))
def test_the_plan_is_that_of_brute_force_with_and_without_budgets_and_priorities(seed):
    instance = random_instance(seed, jobs=6 + seed % 5, budgets=seed % 3 > 0, classes=1 + seed % 3)
    least = brute_force(instance)
    found = solve_portfolio(instance)
    assert found.plan.key(instance) == least
    assert found.fewest_proven
    assert found.bound_micro == least[1]


@pytest.mark.parametrize("seed", [100, 101, 102])
def test_twelve_jobs_of_five_columns_are_brute_force(seed):
    instance = random_instance(seed, jobs=12, columns=5)
    assert solve_portfolio(instance).plan.key(instance) == brute_force(instance)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("steps", [0, 1, 3, 6, 12])
def test_a_solve_stopped_at_any_step_has_a_plan_and_a_bound_that_holds(seed, steps):
    instance = random_instance(seed, jobs=8, classes=1 + seed % 2)
    least = brute_force(instance)
    ticks = count()
    found = solve_portfolio(instance, time_limit_s=float(steps), clock=lambda: float(next(ticks)))
    assert found.plan.key(instance) >= least
    out = found.plan.key(instance)[0]
    if out == least[0]:
        assert found.bound_micro <= least[1]
    assert found.bound_micro <= found.plan.cost_micro(instance)
    if found.fewest_proven:
        assert out == least[0]


def test_a_time_limit_of_zero_answers_without_calling_a_solver(monkeypatch):
    instance = random_instance(3, jobs=8)

    def never(*_args, **_values):
        raise AssertionError("no solver should be called")

    monkeypatch.setattr(within_budgets, "solve_whole", never)
    found = solve_portfolio(instance, time_limit_s=0.0, clock=lambda: 5.0)
    assert found.timed_out
    assert found.iterations == 0


@pytest.mark.parametrize("seed", range(20))
def test_any_duals_give_a_bound_that_holds(seed):
    instance = random_instance(seed, jobs=8, budgets=True, classes=2)
    out, cost = brute_force(instance)
    rng = np.random.default_rng(seed)
    kept = instance.only(usable(instance))
    goal = least_cost(kept, np.array(out))
    owner = kept.owner()
    for scale in (0.0, 10.0, 1e3, 1e5):
        duals = Duals(
            quota=-scale * rng.random(kept.capacity.shape[0]),
            budget=-rng.random(kept.budgets.shape[0]) * min(scale, 1.0),
            own_gpus=np.zeros(kept.jobs),
            own_budget=np.zeros(kept.jobs),
        )
        assert price(kept, goal, duals, owner).bound * UNIT_MICRO <= cost * (1 + 1e-12) + 1.0


@pytest.mark.parametrize("seed", range(10))
def test_every_round_of_column_generation_has_a_bound_that_holds_and_the_last_is_the_linear_optimum(seed):
    instance = random_instance(seed, jobs=9, columns=5, budgets=False)
    out, cost = brute_force(instance)
    kept = instance.only(usable(instance))
    goal = least_cost(kept, np.array(out))
    relaxed = relax(kept, goal, None, left_s=lambda: np.inf)
    assert relaxed.finished
    assert relaxed.bound * UNIT_MICRO <= cost + 1.0
    assert relaxed.bound >= price(kept, goal, no_duals(kept), kept.owner()).bound - 1e-6
    assert relaxed.answer is not None
    value = float(goal.cost[relaxed.solved] @ relaxed.answer.value)
    assert relaxed.bound == pytest.approx(value, rel=1e-6, abs=1e-6)


def test_alike_jobs_as_units_of_one_cost_what_they_cost_one_by_one():
    for seed in range(6):
        one = random_instance(seed, jobs=1, columns=5, budgets=False)
        if one.count == 0:
            continue
        together = replace(one, units=np.array([6]))
        apart = replace(
            one,
            start=np.arange(7) * one.count,
            **{name: np.tile(getattr(one, name), 6) for name in ("cost_micro", "high_micro", "gpus", "pattern")},
            charged=np.zeros((0, 6), dtype=np.bool_),
            **{name: np.tile(getattr(one, name), 6) for name in ("units", "lump", "most_gpus", "own_budget", "rank")},
        )
        assert solve_portfolio(together).plan.key(together) == brute_force(apart)


def test_the_runs_of_a_sweep_are_placed_together_or_not_at_all():
    instance = replace(
        random_instance(1, jobs=1, columns=1, budgets=False),
        start=np.array([0, 2, 3]),
        cost_micro=np.array([1e6, 3e6, 5e6]),
        high_micro=np.array([1e6, 3e6, 5e6]),
        gpus=np.array([2, 2, 4]),
        pattern=np.array([0, 1, 0]),
        patterns=np.array([[True], [False]]),
        capacity=np.array([4]),
        units=np.array([3, 1]),
        lump=np.array([3, 1]),
        most_gpus=np.array([6.0, np.inf]),
        own_budget=np.array([np.inf, np.inf]),
        charged=np.zeros((0, 2), dtype=np.bool_),
        rank=np.array([0, 0]),
    )
    found = solve_portfolio(instance)
    # The single job takes the quota: on the free machines the sweep costs 9, with the quota 5 and the job stays out.
    assert found.plan.key(instance) == ((0,), 14_000_000)
    assert list(found.plan.counts) == [3, 1]
    fewer = replace(instance, most_gpus=np.array([4.0, np.inf]))
    assert solve_portfolio(fewer).plan.left_out.tolist() == [1, 0]
    poor = replace(instance, own_budget=np.array([6e6, np.inf]), capacity=np.array([2]))
    assert solve_portfolio(poor).plan.left_out.tolist()[0] == 1


def test_a_higher_priority_is_never_left_out_for_more_of_a_lower_one():
    instance = replace(
        random_instance(1, jobs=1, columns=1, budgets=False),
        start=np.array([0, 1, 2, 3]),
        cost_micro=np.array([9e6, 1e6, 1e6]),
        high_micro=np.array([9e6, 1e6, 1e6]),
        gpus=np.array([4, 2, 2]),
        pattern=np.zeros(3, dtype=np.int64),
        patterns=np.array([[True]]),
        capacity=np.array([4]),
        units=np.ones(3, dtype=np.int64),
        lump=np.ones(3, dtype=np.int64),
        most_gpus=np.full(3, np.inf),
        own_budget=np.full(3, np.inf),
        charged=np.zeros((0, 3), dtype=np.bool_),
        rank=np.array([0, 1, 1]),
    )
    assert solve_portfolio(instance).plan.left_out.tolist() == [0, 1, 1]
    equal = replace(instance, rank=np.zeros(3, dtype=np.int64))
    assert solve_portfolio(equal).plan.left_out.tolist() == [1, 0, 0]


def test_quotas_of_zero_place_nothing_and_a_portfolio_without_any_column_is_answered():
    instance = replace(random_instance(5, jobs=6, budgets=False), patterns=np.ones((6, 1), dtype=np.bool_))
    instance = replace(instance, pattern=instance.pattern * 0, capacity=np.array([0]))
    found = solve_portfolio(instance)
    assert found.plan.columns.size == 0
    assert (found.plan.left_out == 1).all()
    assert found.fewest_proven
    assert found.bound_micro == 0


@pytest.mark.parametrize(
    ("row", "change"),
    [
        ("job number", lambda plan: replace(plan, counts=plan.counts * 2)),
        ("job number", lambda plan: replace(plan, columns=plan.columns[1:], counts=plan.counts[1:])),
        ("units on a machine", lambda plan: replace(plan, counts=-plan.counts)),
        ("job number", lambda plan: replace(plan, left_out=plan.left_out + 1)),
    ],
)
def test_a_plan_that_does_not_add_up_is_refused_and_the_row_named(row, change):
    instance = random_instance(2, jobs=8)
    plan = solve_portfolio(instance).plan
    verify(instance, plan, name)
    with pytest.raises(SolverFailed, match=row):
        verify(instance, change(plan), name)


def test_a_plan_beyond_a_quota_or_a_budget_is_refused_and_the_row_named():
    instance = random_instance(2, jobs=8)
    plan = solve_portfolio(instance).plan
    used = np.zeros(instance.capacity.shape[0], dtype=np.int64)
    for column, units in zip(plan.columns, plan.counts, strict=True):
        used += np.where(instance.patterns[instance.pattern[column]], instance.gpus[column] * units, 0)
    row = int(np.argmax(used))
    assert used[row] > 0
    smaller = instance.capacity.copy()
    smaller[row] = used[row] - 1
    with pytest.raises(SolverFailed, match=f"quota number {row} is exceeded by 1 GPUs"):
        verify(replace(instance, capacity=smaller), plan, name)
    spent = float(instance.high_micro[plan.columns] @ plan.counts)
    with pytest.raises(SolverFailed, match="budget number 0 is exceeded"):
        verify(replace(instance, budgets=np.array([spent - 1.0, 1e18])), plan, name)


def test_a_solver_that_breaks_a_row_is_caught(monkeypatch):
    instance = random_instance(0, jobs=8)
    honest = solving.improved

    def careless(part, plan, **values):
        found = honest(part, plan, **values)
        return Placement(columns=found.columns, counts=found.counts + 1, left_out=found.left_out)

    monkeypatch.setattr(solving, "improved", careless)
    with pytest.raises(SolverFailed):
        solve_portfolio(instance)


@pytest.mark.parametrize("seed", [72, 117, 125, 145, 149, 224])
def test_budgets_a_few_micro_dollars_short_of_a_plan_are_kept_to_the_micro_dollar(seed):
    # The solver takes 0.999999 for one, which times thousands of dollars breaks such a budget.
    rng = np.random.default_rng(seed)
    plain = random_instance(seed, jobs=5, columns=3, budgets=False)
    scaled = {
        name: np.rint(getattr(plain, name) * 137.0 + rng.integers(0, 999)) for name in ("cost_micro", "high_micro")
    }
    taken = [int(rng.integers(a, b)) for a, b in itertools.pairwise(plain.start) if b > a]
    instance = replace(
        plain,
        **scaled,
        capacity=plain.capacity + 40,
        charged=np.ones((1, plain.jobs), dtype=np.bool_),
        budgets=np.array([scaled["high_micro"][taken].sum() - rng.integers(1, 3)]),
    )
    found = solve_portfolio(instance)
    out, cost = brute_force(instance)
    assert found.plan.key(instance) == (out, cost)
    assert found.bound_micro <= cost


def test_a_master_whose_plans_break_a_budget_gives_none_but_its_bound(monkeypatch):
    instance = random_instance(3, jobs=6, budgets=False)
    instance = replace(instance, charged=np.ones((1, 6), dtype=np.bool_), budgets=np.array([1e9]))
    goal = least_cost(instance, np.array([6]))
    columns = np.arange(instance.count)
    asked = []

    def careless(part, goal, columns, **values):
        asked.append(float(part.budgets[0]))
        plan = Placement(columns=columns[:1], counts=np.array([1]), left_out=np.zeros(6, dtype=np.int64))
        return WholeAnswer(plan=plan, bound=7.0 if len(asked) == 1 else 9.0)

    monkeypatch.setattr(within_budgets, "solve_whole", careless)
    short = replace(instance, budgets=instance.high_micro[:1] - 5.0)
    found = within_budgets.solve_within(short, goal, columns, relative_gap=0.0, left_s=lambda: np.inf, nodes=None)
    assert (found.plan, found.bound) == (None, 7.0)
    assert asked == sorted(asked, reverse=True)
    assert len(asked) > 2
    found = within_budgets.solve_within(instance, goal, columns, relative_gap=0.0, left_s=lambda: np.inf, nodes=None)
    assert found.plan is not None


def test_gaps_are_rounded_up():
    assert gap_ppm(100, 100) == 0
    assert gap_ppm(1_000_000, 999_999) == 1
    assert gap_ppm(3, 2) == 333_334
