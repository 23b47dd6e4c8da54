"""The next action: the same as a replay takes, with a reason that holds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from optimizer.search.spot.dynamic_program import solve_policy
from optimizer.search.spot.next_step import ACTIONS, Action, NextStep, Reason, RunState, most_starts, next_step
from optimizer.search.spot.problem import WASTE_ALLOWED, Mode
from optimizer.search.spot.replay import Market, replay
from tests.fixtures.spot_world import HOUR, ON_DEMAND, SPOT, invented_problem

if TYPE_CHECKING:
    from optimizer.physics.runs import Bools, Floats, Ints
    from optimizer.search.spot.policy_table import PolicyTable
    from optimizer.search.spot.problem import SpotProblem

PROBLEM = invented_problem()
TABLE = solve_policy(PROBLEM, steps=160).table


def state(**changes: object) -> RunState:
    values: dict[str, object] = {
        "left_s": 10 * HOUR, "done_fraction": 0.2, "mode": Mode.IDLE, "spot_up": True, "age_s": 1200.0,
    }  # fmt: skip
    return RunState(**{**values, **changes})  # type: ignore[arg-type]


def answer(**changes: object) -> NextStep:
    return next_step(PROBLEM, TABLE, state(**changes))


@dataclass
class Asking:
    """The table, asked as a launcher would ask `next`, one run at a time."""

    table: PolicyTable
    asked: list[tuple[Action, Action]] = field(default_factory=list)

    def act(self, *, left_s: Floats | float, need_s: Floats, mode: Ints, up: Bools, age_s: Floats) -> Ints:
        found = self.table.act(left_s=left_s, need_s=need_s, mode=mode, up=up, age_s=age_s)
        for at in range(need_s.shape[0]):
            done = 1.0 - float(need_s[at]) / PROBLEM.work_s
            if not 0.0 <= done <= 1.0:
                continue
            step = next_step(
                PROBLEM,
                self.table,
                RunState(
                    left_s=float(left_s),  # type: ignore[arg-type]
                    done_fraction=done,
                    mode=Mode(int(mode[at])),
                    spot_up=bool(up[at]),
                    age_s=float(age_s[at]),
                ),
            )
            expected = Action.DONE if need_s[at] <= 0 else ACTIONS[Mode(int(found[at]))]
            self.asked.append((step.action, expected))
        return found


def test_along_a_path_it_says_what_a_replay_does() -> None:
    up = np.repeat(np.random.default_rng(4).random((3, 44)) < 0.5, 3, axis=1)
    market = Market(up=up, spot_micro_per_s=np.full(up.shape, SPOT), step_s=300.0, age_s=np.zeros(3))
    asking = Asking(TABLE)
    replay(asking, PROBLEM, market)
    said, done = zip(*asking.asked, strict=True)
    assert len(said) > 100
    assert said == done
    assert {Action.SPOT, Action.WAIT, Action.ON_DEMAND} <= set(said)


def test_reasons() -> None:
    assert (answer(done_fraction=1.0).action, answer(done_fraction=1.0).reason) == (Action.DONE, Reason.DONE)
    assert answer(done_fraction=1.0).ask_again_s is None
    late = answer(left_s=HOUR)
    assert (late.action, late.reason) == (Action.ON_DEMAND, Reason.LATE)
    caught = answer(left_s=0.8 * 8 * HOUR + PROBLEM.net_idle_s)
    assert (caught.action, caught.reason) == (Action.ON_DEMAND, Reason.NET)
    held = answer(left_s=0.8 * 8 * HOUR + PROBLEM.net_idle_s, mode=Mode.SPOT)
    assert (held.action, held.reason) == (Action.SPOT, Reason.HOLD)
    assert held.net_s == PROBLEM.net_spot_s < caught.net_s
    table = answer()
    assert (table.action, table.reason) == (Action.SPOT, Reason.TABLE)
    assert table.ask_again_s == PROBLEM.poll_s


@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize("mode", [Mode.IDLE, Mode.ON_DEMAND])
def test_the_action_changes_where_it_says(mode: Mode, up: bool) -> None:
    checked = 0
    for left_h in (9.0, 10.0, 11.0):
        one = answer(left_s=left_h * HOUR, mode=mode, spot_up=up, done_fraction=0.15)
        if one.reason is not Reason.TABLE:
            continue
        for threshold, below in ((one.below, True), (one.above, False)):
            if threshold is None:
                continue

            def at(slack_s: float, left_h: float = left_h) -> Action:
                done = 1.0 - (left_h * HOUR - slack_s) / PROBLEM.work_s
                return answer(left_s=left_h * HOUR, mode=mode, spot_up=up, done_fraction=done).action

            checked += 1
            assert at(threshold.slack_s - 1.0) is (threshold.action if below else one.action)
            assert at(threshold.slack_s + 1.0) is (one.action if below else threshold.action)
    assert checked


def test_what_starts_may_waste_is_a_share_of_the_run() -> None:
    most = most_starts(PROBLEM)
    assert most is not None
    paid = PROBLEM.restart_s * ON_DEMAND
    waste = most * max((PROBLEM.restart_s + PROBLEM.loss_s) * SPOT, paid) + paid
    assert waste <= WASTE_ALLOWED * PROBLEM.work_s * ON_DEMAND
    assert answer(starts=most - 1).action is Action.SPOT
    given_up = answer(starts=most)
    assert (given_up.action, given_up.reason) == (Action.ON_DEMAND, Reason.WASTE)
    # A spot machine that runs is kept: only another start would waste.
    assert answer(starts=most, mode=Mode.SPOT).action is Action.SPOT
    assert most_starts(replace(PROBLEM, restart_s=0.0, loss_s=0.0)) is None
    assert most_starts(replace(PROBLEM, restart_s=5000.0)) == 1


@pytest.mark.parametrize("restart_s", [300.0, 900.0])
@pytest.mark.parametrize("comes_back", ["at once", "beside on-demand"])
def test_a_market_against_it_costs_a_launcher_that_counts_a_tenth_more_at_most(
    restart_s: float, comes_back: str
) -> None:
    # A far deadline and cheap spot: every machine goes when it would begin to work, and comes back to be tried again.
    problem = replace(PROBLEM, deadline_s=30 * HOUR, restart_s=restart_s, loss_s=0.0, spot_micro_per_s=0.1 * ON_DEMAND)
    table = solve_policy(problem, steps=160).table
    cost, starts = counted_run(problem, table, comes_back)
    assert starts >= 3
    assert cost <= (1.0 + WASTE_ALLOWED) * problem.work_s * ON_DEMAND


def counted_run(problem: SpotProblem, table: PolicyTable, comes_back: str) -> tuple[float, int]:
    """Return cost and starts of a launcher that passes `--starts`, on a market that watches it."""
    work_s, starting_s, cost, starts, mode, up, age_s = problem.work_s, 0.0, 0.0, 0, Mode.IDLE, True, 0.0
    for look in range(1000):
        before = up
        if mode is Mode.SPOT:
            up = starting_s > 0.0
        else:
            up = comes_back == "at once" or (mode is Mode.ON_DEMAND and starting_s <= 0.0)
        age_s = age_s + problem.poll_s if up == before else 0.0
        mode = Mode.IDLE if mode is Mode.SPOT and not up else mode
        step = next_step(
            problem,
            table,
            RunState(
                left_s=problem.deadline_s - look * problem.poll_s, done_fraction=1.0 - work_s / problem.work_s,
                mode=mode, spot_up=up, age_s=age_s, starting_s=starting_s, starts=starts,
            ),
        )  # fmt: skip
        if step.action is Action.DONE:
            return cost, starts
        wished = next(one for one, word in ACTIONS.items() if word is step.action)
        if wished not in (mode, Mode.IDLE):
            starts, starting_s = starts + 1, problem.restart_s
        mode = wished
        if mode is not Mode.IDLE:
            held_s = min(problem.poll_s, starting_s + work_s)
            cost += held_s * (problem.spot_micro_per_s if mode is Mode.SPOT else ON_DEMAND)
            begun_s = min(starting_s, held_s)
            starting_s, work_s = starting_s - begun_s, max(work_s - (held_s - begun_s), 0.0)
    raise AssertionError("the run never ended")


def test_the_start_of_a_machine_that_is_gone_is_not_waited_for() -> None:
    gone = answer(mode=Mode.SPOT, spot_up=False, starting_s=300.0)
    assert gone.need_s == answer(mode=Mode.IDLE, spot_up=False).need_s == 0.8 * PROBLEM.work_s
    assert answer(mode=Mode.SPOT, starting_s=300.0).need_s == 0.8 * PROBLEM.work_s + 300.0


def test_spot_that_cannot_be_had_is_never_the_answer() -> None:
    for mode in Mode:
        for left_h in np.linspace(0.5, 11.0, 12):
            assert answer(mode=mode, spot_up=False, left_s=left_h * HOUR).action is not Action.SPOT
