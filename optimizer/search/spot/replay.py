"""Runs of a policy through availability that is known step by step: published traces, or drawn from a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .problem import Mode, SpotProblem

if TYPE_CHECKING:
    from optimizer.physics.runs import Bools, Floats, Ints

    from .policies import Policy

AFTER_DEADLINE = 2.0
"""A run that missed its deadline is followed on on-demand machines for so many restarts and steps more at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What n runs came to, shape (n,) each. Seconds and micro-dollars; a run that never ended finishes at infinity."""

    cost_micro: Floats
    finish_s: Floats
    spot_s: Floats
    on_demand_s: Floats
    starts: Ints
    interruptions: Ints
    wasted_s: Floats
    """Paid for without progress that lasted: starts, and work that was lost."""

    def missed(self, deadline_s: float) -> int:
        """Return how many runs ended after the deadline, or never."""
        return int(np.count_nonzero(self.finish_s > deadline_s + 1e-6))


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """Availability and price of n episodes, shape (n, steps), `step_s` apart. Prices in micro-dollars per second.

    `age_s` of shape (n,) is for how long the first state has held already.
    """

    up: Bools
    spot_micro_per_s: Floats
    step_s: float
    age_s: Floats


def replay(policy: Policy, problem: SpotProblem, market: Market, *, work_s: Floats | None = None) -> Outcome:
    """Return what a policy makes of each episode; `work_s` of shape (n,) replaces the problem's work.

    The policy looks at the market once a step. A start takes the restart, during which nothing gets done; a machine
    that is lost takes the work since its last checkpoint with it. After the last step, and for work that is late,
    on-demand machines go on.
    """
    run = _Runs(problem, market, work_s)
    steps = market.up.shape[1]
    longest = float(run.work_s.max(initial=0.0)) + AFTER_DEADLINE * (problem.restart_s + market.step_s)
    beyond = int(np.ceil(longest / market.step_s))
    for step in range(steps + beyond):
        if not run.open.any():
            break
        run.look(step)
        left_s = problem.deadline_s - step * market.step_s
        action = policy.act(left_s=left_s, need_s=run.need_s, mode=run.mode, up=run.up, age_s=run.age_s)
        if step >= steps and left_s <= 0.0 and (action[run.open] == Mode.ON_DEMAND).all():
            # Late, and nothing but on-demand from here on: a month of it need not be walked through look by look.
            run.go_to_the_end(step)
            break
        run.go(step, action)
    return run.outcome()


class _Runs:
    """n runs on their way."""

    def __init__(self, problem: SpotProblem, market: Market, work_s: Floats | None) -> None:
        count = market.up.shape[0]
        self._problem, self._market = problem, market
        self.work_s = np.full(count, problem.work_s) if work_s is None else work_s.astype(np.float64)
        self.mode = np.zeros(count, dtype=np.int64)
        self.up = np.zeros(count, dtype=np.bool_)
        self.age_s = market.age_s.astype(np.float64)
        self._starting_s = np.zeros(count)
        self._cost = np.zeros(count)
        self._finish = np.where(self.work_s > 0.0, np.inf, 0.0)
        self._spot_s, self._on_demand_s, self._wasted_s = np.zeros(count), np.zeros(count), np.zeros(count)
        self._starts = np.zeros(count, dtype=np.int64)
        self._interruptions = np.zeros(count, dtype=np.int64)
        self._done_s = np.zeros(count)

    @property
    def open(self) -> Bools:
        """Which runs have work left."""
        unfinished: Bools = self.work_s > 0.0
        return unfinished

    @property
    def need_s(self) -> Floats:
        """Machine time still needed, the rest of a start included; 0 once the work is done."""
        return np.where(self.open, self.work_s + self._starting_s, 0.0)

    def look(self, step: int) -> None:
        """See the market of a step: spot machines that are gone are lost, with the work since their checkpoint."""
        market, problem = self._market, self._problem
        up = market.up[:, step] if step < market.up.shape[1] else np.zeros(self.up.shape, dtype=np.bool_)
        if step:
            self.age_s = np.where(up == self.up, self.age_s + market.step_s, 0.0)
        self.up = up
        gone = (self.mode == Mode.SPOT) & ~up & self.open
        lost_s = np.where(gone, np.minimum(problem.loss_s, self._done_s), 0.0)
        self.work_s = self.work_s + lost_s
        self._wasted_s += lost_s
        self._interruptions += gone
        self.mode = np.where(gone, int(Mode.IDLE), self.mode)
        self._starting_s = np.where(self.mode == Mode.IDLE, 0.0, self._starting_s)

    def go(self, step: int, action: Ints) -> None:
        """Run what was decided until the next look. Spot that is not there cannot be started."""
        market = self._market
        action = np.where((action == Mode.SPOT) & ~self.up, int(Mode.IDLE), action)
        action = np.where(self.open, action, int(Mode.IDLE))
        fresh = (action != self.mode) & (action != Mode.IDLE)
        self._starts += fresh
        self._starting_s = np.where(fresh, self._problem.restart_s, self._starting_s)
        self._done_s = np.where(fresh, 0.0, self._done_s)
        runs = action != Mode.IDLE
        idle_part = np.minimum(self._starting_s, market.step_s)
        worked = np.where(runs, np.clip(market.step_s - self._starting_s, 0.0, self.work_s), 0.0)
        held = np.where(runs, idle_part + worked, 0.0)
        last = min(step, market.up.shape[1] - 1)
        price = np.where(action == Mode.SPOT, market.spot_micro_per_s[:, last], self._problem.on_demand_micro_per_s)
        self._cost += held * price
        self._spot_s += np.where(action == Mode.SPOT, held, 0.0)
        self._on_demand_s += np.where(action == Mode.ON_DEMAND, held, 0.0)
        self._wasted_s += np.where(runs, idle_part, 0.0)
        before = self.open
        self.work_s = np.maximum(self.work_s - worked, 0.0)
        self.work_s = np.where(self.work_s < 1e-6, 0.0, self.work_s)
        self._finish = np.where(before & ~self.open, step * market.step_s + held, self._finish)
        self._done_s += worked
        self._starting_s = np.where(runs, np.maximum(self._starting_s - market.step_s, 0.0), 0.0)
        self.mode = action

    def go_to_the_end(self, step: int) -> None:
        """Run what is left on on-demand machines, without another look."""
        fresh = self.open & (self.mode != Mode.ON_DEMAND)
        self._starts += fresh
        idle_part = np.where(fresh, self._problem.restart_s, self._starting_s) * self.open
        held = idle_part + self.work_s
        self._cost += held * self._problem.on_demand_micro_per_s
        self._on_demand_s += held
        self._wasted_s += idle_part
        self._finish = np.where(self.open, step * self._market.step_s + held, self._finish)
        self.work_s = np.zeros(self.work_s.shape)

    def outcome(self) -> Outcome:
        """Return what the runs came to."""
        return Outcome(
            cost_micro=self._cost,
            finish_s=self._finish,
            spot_s=self._spot_s,
            on_demand_s=self._on_demand_s,
            starts=self._starts,
            interruptions=self._interruptions,
            wasted_s=self._wasted_s,
        )
