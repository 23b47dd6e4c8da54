"""Laws of spot policies: never late, never cheaper than knowing all, under the model never dearer than simpler ones."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from optimizer.search.spot.drawing import draw_market
from optimizer.search.spot.dynamic_program import solve_policy
from optimizer.search.spot.omniscient import omniscient_micro
from optimizer.search.spot.policies import Greedy, OnDemand, UniformProgress, with_net
from optimizer.search.spot.policy_document import policy_document, read_policy
from optimizer.search.spot.replay import Market, replay
from optimizer.search.spot.zone_counts import load_zone_models
from tests.fixtures.spot_world import HOUR, ON_DEMAND, SPOT, invented_model, invented_problem

if TYPE_CHECKING:
    from optimizer.physics.runs import Bools, Floats, Ints
    from optimizer.search.spot.policies import Policy
    from optimizer.search.spot.problem import SpotProblem

STEPS = 30


@dataclass
class Erratic:
    """Does anything at any time; the net alone keeps it in time."""

    problem: SpotProblem
    random: np.random.Generator

    def act(self, *, left_s: Floats | float, need_s: Floats, mode: Ints, up: Bools, age_s: Floats) -> Ints:
        wished = np.where(self.random.random(need_s.shape) < 0.6, mode, self.random.integers(0, 3, need_s.shape))
        return with_net(self.problem, wished, left_s=left_s, need_s=need_s, mode=mode, up=up)


@st.composite
def runs_and_markets(draw: st.DrawFn) -> tuple[SpotProblem, Market]:
    """A run whose deadline leaves room for work, two restarts, a loss and a look; a market that may be against it."""
    step_s = draw(st.sampled_from([60.0, 195.0, 600.0]))
    restart_s = draw(st.floats(0.0, 3.0)) * step_s
    loss_s = draw(st.sampled_from([0.0, 0.5, 2.5])) * step_s
    steps = draw(st.integers(3, 40))
    deadline_s = steps * step_s - draw(st.sampled_from([0.0, 0.4])) * step_s
    spare = draw(st.sampled_from([1.0, 0.9, 0.4]))
    work_s = (deadline_s - 2.0 * restart_s - loss_s - step_s) * spare
    assume(work_s > 0.0)
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    stay = draw(st.integers(1, 6))
    up = np.repeat(random.random((6, steps)) < draw(st.floats(0.0, 1.0)), stay, axis=1)[:, :steps]
    price = random.uniform(0.1, 1.4, up.shape) * ON_DEMAND
    problem = invented_problem(work_s=work_s, deadline_s=deadline_s, restart_s=restart_s, loss_s=loss_s, poll_s=step_s)
    return problem, Market(up=up, spot_micro_per_s=price, step_s=step_s, age_s=np.zeros(6))


def every_policy(problem: SpotProblem) -> list[Policy]:
    table = solve_policy(problem, steps=STEPS).table
    return [
        table,
        Greedy(problem),
        UniformProgress(problem),
        OnDemand(problem),
        Erratic(problem, np.random.default_rng(1)),
    ]


@settings(max_examples=40, deadline=None)
@given(runs_and_markets())
def test_no_policy_with_a_net_is_late_and_none_is_cheaper_than_knowing_all(asked: tuple[SpotProblem, Market]) -> None:
    problem, market = asked
    bound = omniscient_micro(problem, market)
    assert np.isfinite(bound).all()
    for policy in every_policy(problem):
        outcome = replay(policy, problem, market)
        assert outcome.missed(problem.deadline_s) == 0, policy
        assert (outcome.cost_micro >= bound * (1.0 - 1e-9)).all(), policy


@settings(max_examples=20, deadline=None)
@given(runs_and_markets())
def test_the_net_stands_the_largest_loss_and_not_only_the_mean(asked: tuple[SpotProblem, Market]) -> None:
    problem, market = asked
    assume(problem.slack_s >= problem.net_idle_s)
    # Every machine is lost just before its next checkpoint; the policy knows the mean.
    harsh = replace(problem, loss_s=problem.largest_loss_s)
    for policy in every_policy(problem):
        assert replay(policy, harsh, market).missed(problem.deadline_s) == 0, policy


def test_what_is_late_is_ended_without_a_look_at_every_step() -> None:
    # Twelve years of work: at a look every ten minutes that would be 600,000 of them.
    problem = invented_problem(work_s=1e5 * HOUR, deadline_s=HOUR, restart_s=900.0, loss_s=0.0, poll_s=600.0)
    for row in ("111111", "000000"):
        up = np.array([[one == "1" for one in row]])
        market = Market(up=up, spot_micro_per_s=np.full(up.shape, SPOT), step_s=600.0, age_s=np.zeros(1))
        for policy in (OnDemand(problem), Greedy(problem)):
            outcome = replay(policy, problem, market)
            assert outcome.finish_s[0] == pytest.approx(problem.work_s + 900.0)
            assert outcome.cost_micro[0] == pytest.approx((problem.work_s + 900.0) * ON_DEMAND)
            assert (outcome.starts[0], outcome.wasted_s[0], outcome.missed(problem.deadline_s)) == (1, 900.0, 1)


@settings(max_examples=20, deadline=None)
@given(runs_and_markets())
def test_knowing_all_costs_the_work_and_a_start_at_the_cheapest_price_at_least(
    asked: tuple[SpotProblem, Market],
) -> None:
    problem, market = asked
    cheapest = np.where(market.up, market.spot_micro_per_s, ON_DEMAND).min(axis=1)
    assert (omniscient_micro(problem, market) >= (problem.work_s + problem.restart_s) * cheapest * (1 - 1e-9)).all()


def test_knowing_all_finds_the_one_cheap_way() -> None:
    # Ten steps, work for six and a start of one: spot is there for the last seven.
    up = np.array([[False] * 3 + [True] * 7])
    market = Market(up=up, spot_micro_per_s=np.full(up.shape, SPOT), step_s=600.0, age_s=np.zeros(1))
    problem = invented_problem(work_s=3600.0, deadline_s=6000.0, restart_s=600.0, loss_s=0.0, poll_s=600.0)
    assert omniscient_micro(problem, market)[0] == pytest.approx(7 * 600 * SPOT)
    assert np.isnan(omniscient_micro(replace(problem, deadline_s=4100.0), market)).all()


@settings(max_examples=20, deadline=None)
@given(
    work_h=st.floats(0.5, 30.0),
    spare=st.floats(0.0, 2.0),
    restart_s=st.floats(0.0, 1500.0),
    loss_s=st.floats(0.0, 900.0),
)
def test_a_policy_written_down_and_read_again_does_the_same(
    work_h: float, spare: float, restart_s: float, loss_s: float
) -> None:
    problem = invented_problem(
        work_s=work_h * HOUR, deadline_s=work_h * HOUR * (1 + spare), restart_s=restart_s, loss_s=loss_s
    )
    table = solve_policy(problem, steps=STEPS).table
    document = json.loads(json.dumps(policy_document(problem, table)))
    again, read = read_policy(document, where="plan.json")
    assert policy_document(again, read) == document
    assert (read.actions == table.actions).all()
    random = np.random.default_rng(3)
    count = 400
    states = {
        "need_s": random.uniform(-1.0, problem.work_s, count),
        "mode": random.integers(0, 3, count),
        "up": random.random(count) < 0.5,
        "age_s": random.uniform(0.0, 90 * HOUR, count),
    }
    for left_s in random.uniform(0.0, problem.deadline_s, 5):
        assert (table.act(left_s=left_s, **states) == read.act(left_s=left_s, **states)).all()


@pytest.mark.parametrize(("loss", "returning"), [(0.4, 0.6), (1.5, 0.3)])
@pytest.mark.parametrize("restart_s", [180.0, 720.0])
def test_under_the_model_the_dynamic_program_is_the_best_policy(
    loss: float, returning: float, restart_s: float
) -> None:
    problem = invented_problem(
        restart_s=restart_s, availability=invented_model(loss=loss, returning=returning), deadline_s=10.5 * HOUR
    )
    solution = solve_policy(problem)
    market = draw_market(
        problem.availability,
        episodes=400,
        span_s=problem.deadline_s,
        step_s=problem.poll_s,
        spot_micro_per_s=SPOT,
        seed=11,
    )
    costs = {
        type(policy).__name__: replay(policy, problem, market).cost_micro
        for policy in (solution.table, UniformProgress(problem), Greedy(problem))
    }
    ours = costs.pop("PolicyTable")
    bound = omniscient_micro(problem, market)
    assert bound.mean() < ours.mean()
    for name, cost in costs.items():
        noise = (ours - cost).std() / np.sqrt(cost.shape[0])
        assert ours.mean() <= cost.mean() + 3.0 * noise, name
    # What the program expects is what its table costs, within the noise and the grid.
    noise = ours.std() / np.sqrt(ours.shape[0])
    assert abs(solution.expected_micro() - ours.mean()) <= 3.0 * noise + 0.03 * ours.mean()


@pytest.mark.parametrize(("hours", "work_h", "restart_s"), [(11, 8, 600.0), (5, 4, 300.0), (9.5, 8, 300.0)])
def test_what_a_policy_should_cost_is_what_it_costs_a_launcher_that_looks_every_poll(
    hours: float, work_h: float, restart_s: float
) -> None:
    # Times in whole looks: a slack of just the net comes up all the time.
    problem = invented_problem(
        work_s=work_h * HOUR, deadline_s=hours * HOUR, restart_s=restart_s, loss_s=restart_s,
        availability=load_zone_models().pooled,
    )  # fmt: skip
    solution = solve_policy(problem)
    market = draw_market(
        problem.availability, episodes=2000, span_s=problem.deadline_s, step_s=problem.poll_s, spot_micro_per_s=SPOT,
        seed=3,
    )  # fmt: skip
    drawn = replay(solution.table, problem, market).cost_micro.mean()
    assert drawn == pytest.approx(solution.expected_micro(), rel=0.02)


def test_without_interruptions_all_is_spot_and_without_spot_all_is_on_demand() -> None:
    problem = invented_problem(availability=invented_model(loss=0.0, returning=1e5))
    spot = solve_policy(problem)
    assert spot.expected_micro() == pytest.approx((problem.work_s + problem.restart_s) * SPOT, rel=1e-6)
    never = solve_policy(replace(problem, availability=invented_model(loss=1e5, returning=0.0)))
    assert never.expected_micro() == pytest.approx((problem.work_s + problem.restart_s) * ON_DEMAND, rel=1e-6)
    market = Market(
        up=np.ones((1, 132), dtype=np.bool_), spot_micro_per_s=np.full((1, 132), SPOT), step_s=300.0, age_s=np.zeros(1)
    )
    outcome = replay(spot.table, problem, market)
    assert outcome.on_demand_s[0] == 0.0
    assert outcome.spot_s[0] == pytest.approx(problem.work_s + problem.restart_s)


def expected(**changes: object) -> float:
    return solve_policy(invented_problem(**changes), steps=120).expected_micro()


def test_the_cost_falls_with_the_deadline_and_rises_with_price_and_restart() -> None:
    tolerance = 1.0 + 2e-3
    by_deadline = [expected(deadline_s=one * HOUR) for one in (9.0, 10.0, 12.0, 16.0)]
    by_price = [expected(spot_micro_per_s=one) for one in (100.0, 300.0, 500.0, 700.0, 899.0)]
    by_on_demand = [expected(on_demand_micro_per_s=one) for one in (400.0, 900.0, 1500.0)]
    by_restart = [expected(restart_s=one) for one in (0.0, 180.0, 600.0, 1200.0)]
    assert all(later <= sooner * tolerance for sooner, later in pairwise(by_deadline))
    for rising in (by_price, by_on_demand, by_restart):
        assert all(low <= high * tolerance for low, high in pairwise(rising))


def test_one_pass_knows_the_cost_of_every_shorter_deadline() -> None:
    whole = solve_policy(invented_problem(deadline_s=16 * HOUR), steps=320)
    for hours in (9.0, 11.0, 14.0):
        alone = solve_policy(invented_problem(deadline_s=hours * HOUR), steps=round(hours * 20))
        assert whole.expected_micro(deadline_s=hours * HOUR) == pytest.approx(alone.expected_micro(), rel=0.015)
    deadlines, costs = whole.cost_by_deadline()
    assert deadlines[0] >= 8 * HOUR
    assert (np.diff(costs[np.isfinite(costs)]) <= 1e-3 * costs[-1]).all()


def test_drawn_episodes_are_up_as_often_as_the_model_says_and_the_same_for_a_seed() -> None:
    model = invented_model()
    one, again = (
        draw_market(model, episodes=400, span_s=40 * HOUR, step_s=300.0, spot_micro_per_s=SPOT, seed=seed)
        for seed in (2, 2)
    )
    assert (one.up == again.up).all()
    assert one.up.mean() == pytest.approx(model.available_fraction, abs=0.03)
    assert one.up[:, 0].mean() == pytest.approx(model.available_fraction, abs=0.08)


def test_a_spot_machine_is_never_started_where_there_is_none() -> None:
    problem = invented_problem()
    market = Market(
        up=np.zeros((1, 132), dtype=np.bool_), spot_micro_per_s=np.full((1, 132), SPOT), step_s=300.0, age_s=np.zeros(1)
    )
    outcome = replay(solve_policy(problem, steps=STEPS).table, problem, market)
    assert outcome.spot_s[0] == 0.0
    assert outcome.on_demand_s[0] >= problem.work_s + problem.restart_s
