"""The cheapest policy for spot under a deadline, by backward induction over time left, slack, state and age.

State: time left R, slack s = R - work left, what runs (nothing, spot, on-demand), whether spot can be had, and the age
of that, in buckets. Work keeps the slack, waiting spends it, a start spends a restart, an interruption the lost work.
    V_R = min over {wait, spot, on-demand} of price x time + E[V_(R - dt)]
with V = 0 where no work is left (s >= R). In slack instead of work nothing moves while a machine works, so the grid is
exact there; restarts and losses interpolate. One pass holds the cost for every shorter deadline and every smaller work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .availability import AGE_FROM_H, HOUR_S
from .policy_table import CONTEXTS, ROWS, PolicyTable
from .problem import Mode, SpotProblem

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.physics.runs import Floats, Ints

STEPS = 320
"""Time steps of a pass at most."""
MOST_SLACKS = 240
WORTH_WAITING = 0.1
"""Share of what a restart costs on-demand that waiting beside a spot machine must save, hoping that it proves to stay.

In the model it always saves a little; on published traces it saves nothing, and nobody who watches understands it.
"""
LATE_PENALTY = 10.0
"""Unfinished work costs so many times the on-demand price: what is late must never be worth its saving."""

IDLE_UP, IDLE_DOWN, ON_DEMAND_UP, ON_DEMAND_DOWN = range(len(CONTEXTS))
Codes = "NDArray[np.int8]"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotSolution:
    """The policy of a problem, and what it costs in expectation (micro-dollars of machines, storage not counted)."""

    problem: SpotProblem
    table: PolicyTable
    time_left_s: Floats
    """Shape (steps + 1,), descending to 0."""
    slack_s: Floats
    """Shape (slacks,), ascending from 0."""
    start_micro: Floats
    """Cost from nothing running, the market met at random: shape (steps + 1, slacks)."""

    def expected_micro(self, *, deadline_s: float | None = None, work_s: float | None = None) -> float:
        """Return the expected cost for a deadline at most the problem's, and at most so much slack; NaN outside."""
        problem = self.problem
        left = problem.deadline_s if deadline_s is None else deadline_s
        work = problem.work_s if work_s is None else work_s
        if not 0.0 <= left <= problem.deadline_s or not 0.0 <= left - work <= self.slack_s[-1] * (1.0 + 1e-9):
            return float("nan")
        return float(_bilinear(self.start_micro, self.time_left_s, self.slack_s, left, left - work))

    def cost_by_deadline(self) -> tuple[Floats, Floats]:
        """Return deadlines (seconds from now, ascending, from the least that the work allows) and the cost at each."""
        deadlines = self.time_left_s[::-1]
        kept = deadlines[deadlines >= self.problem.work_s]
        return kept, np.array([self.expected_micro(deadline_s=float(one)) for one in kept])


def solve_policy(problem: SpotProblem, *, steps: int = STEPS) -> SpotSolution:
    """Return the cheapest policy of a problem. A deadline that leaves no room for the work goes on-demand at once.

    A step is never shorter than the time between two looks: a policy for who looks more often than the launcher does
    counts on chances that the launcher does not see.
    """
    if problem.poll_s > 0.0:
        steps = max(min(steps, int(problem.deadline_s / problem.poll_s)), 1)
    grid = _Grid(problem, steps)
    value = np.zeros((3, 2, len(AGE_FROM_H), grid.slack_s.shape[0]))
    chosen = np.zeros((steps, len(CONTEXTS), len(AGE_FROM_H), grid.slack_s.shape[0]), dtype=np.int8)
    start = np.zeros((steps + 1, grid.slack_s.shape[0]))
    for step in range(steps - 1, -1, -1):
        value = grid.before(value, left_s=(steps - step) * grid.step_s, chosen=chosen[step])
        start[step] = grid.at_random(value)
    time_left_s = np.arange(steps, -1, -1, dtype=np.float64) * grid.step_s
    rows = np.unique(np.linspace(0, steps - 1, min(ROWS, steps)).round().astype(np.int64))
    whole = problem.in_whole_seconds()
    table = PolicyTable(
        # Whole seconds, as a document holds them.
        time_left_s=np.rint(time_left_s[rows]),
        slack_step_s=grid.slack_step_s,
        actions=np.ascontiguousarray(chosen[rows].transpose(1, 0, 2, 3)),
        restart_s=whole.restart_s,
        net_idle_s=whole.net_idle_s,
        net_spot_s=whole.net_spot_s,
        deadline_s=whole.deadline_s,
        work_s=whole.work_s,
    )
    return SpotSolution(problem=problem, table=table, time_left_s=time_left_s, slack_s=grid.slack_s, start_micro=start)


class _Grid:
    """The grid of one problem, and one step back in time on it."""

    def __init__(self, problem: SpotProblem, steps: int) -> None:
        self.problem = problem
        self.step_s = problem.deadline_s / steps if problem.deadline_s else 1.0
        slack_s = max(problem.slack_s, self.step_s)
        count = int(np.clip(np.ceil(2.0 * slack_s / self.step_s), 40, MOST_SLACKS))
        # Whole seconds, so that a document can hold the table without rounding.
        self.slack_step_s = float(max(np.ceil(slack_s / count), 1.0))
        count = int(np.ceil(slack_s / self.slack_step_s))
        self.slack_s = np.arange(count + 1, dtype=np.float64) * self.slack_step_s
        model = problem.availability
        self.lost, self.older_up = _ageing(model.loss_per_hour, self.step_s)
        self.back, self.older_down = _ageing(model.return_per_hour, self.step_s)
        self.met_up, self.met_down = model.stationary()
        late = LATE_PENALTY * problem.on_demand_micro_per_s
        self.waited = _Shift(self.slack_s, self.step_s, late)
        self.started = _Shift(self.slack_s, problem.restart_s, late)
        # Lost in the middle of the step: the rest of it is waited for.
        self.interrupted = _Shift(self.slack_s, self.step_s / 2.0 + problem.loss_s, late)
        self.worth_waiting = WORTH_WAITING * problem.restart_s * problem.on_demand_micro_per_s
        # A slack of just the net is caught by it; a grid in whole seconds meets that often.
        self.may_wait = self.slack_s > problem.net_idle_s
        self.may_stay = self.slack_s > problem.net_spot_s

    def before(self, value: Floats, *, left_s: float, chosen: NDArray[np.int8]) -> Floats:
        """Return the values one step earlier, shape (modes, up or down, ages, slacks), and fill in what was chosen."""
        work_s = np.clip(left_s - self.slack_s, 0.0, self.step_s)
        idle_up, idle_down = self._market(value[Mode.IDLE])
        paid_up, paid_down = self._market(value[Mode.ON_DEMAND])
        on_demand = work_s * self.problem.on_demand_micro_per_s
        keep_up, keep_down = on_demand + paid_up, on_demand + paid_down
        # A start spends slack; its time is paid like work, because what is needed is counted with it: R - s.
        start_up, start_down = self.started(keep_up), self.started(keep_down)
        keep_spot = self._spot(value, work_s)
        start_spot = np.where(self.may_wait, self.started(keep_spot), np.inf)
        wait_up, wait_down = (np.where(self.may_wait, self.waited(one), np.inf) for one in (idle_up, idle_down))
        before = np.empty_like(value)
        choices = {
            IDLE_UP: (wait_up, start_spot, start_up),
            IDLE_DOWN: (wait_down, None, start_down),
            ON_DEMAND_UP: (wait_up, start_spot, keep_up),
            ON_DEMAND_DOWN: (wait_down, None, keep_down),
        }
        for context, (wait, spot, paid) in choices.items():
            mode = Mode.IDLE if context in {IDLE_UP, IDLE_DOWN} else Mode.ON_DEMAND
            up = int(context in {IDLE_UP, ON_DEMAND_UP})
            before[mode, up], chosen[context] = _cheapest(wait, spot, paid, worth=self.worth_waiting if up else 0.0)
        # A spot machine is left only for the net: while it works nothing is cheaper.
        before[Mode.SPOT, 1] = np.where(self.may_stay, keep_spot, start_up)
        before[Mode.SPOT, 0] = before[Mode.IDLE, 0]
        before[..., self.slack_s >= left_s] = 0.0
        return before

    def at_random(self, value: Floats) -> Floats:
        """Return the cost of starting with nothing, whatever state the market is met in; shape (slacks,)."""
        met: Floats = self.met_up @ value[Mode.IDLE, 1] + self.met_down @ value[Mode.IDLE, 0]
        return met

    def _market(self, value: Floats) -> tuple[Floats, Floats]:
        """Return the expected value after a step of the market, from up and from down; nothing is held."""
        up = (1.0 - self.lost) * (self.older_up @ value[1]) + self.lost * value[0, 0]
        down = (1.0 - self.back) * (self.older_down @ value[0]) + self.back * value[1, 0]
        return up, down

    def _spot(self, value: Floats, work_s: Floats) -> Floats:
        paid = work_s * self.problem.spot_micro_per_s
        kept = paid + self.older_up @ value[Mode.SPOT, 1]
        gone = paid / 2.0 + self.interrupted(value[Mode.IDLE, 0, :1])
        expected: Floats = (1.0 - self.lost) * kept + self.lost * gone
        return expected


class _Shift:
    """Values at a slack that is smaller by `by_s`, interpolated; below zero a penalty for each second that is late."""

    def __init__(self, slack_s: Floats, by_s: float, late_micro_per_s: float) -> None:
        step = float(slack_s[1])
        position = slack_s / step - by_s / step
        inside = np.maximum(position, 0.0)
        self._low: Ints = inside.astype(np.int64)
        self._high: Ints = np.minimum(self._low + 1, slack_s.shape[0] - 1)
        self._share: Floats = inside - self._low
        self._late: Floats = np.maximum(-position, 0.0) * step * late_micro_per_s

    def __call__(self, value: Floats) -> Floats:
        low = value[..., self._low]
        shifted: Floats = low + self._share * (value[..., self._high] - low) + self._late
        return shifted


def _cheapest(wait: Floats, spot: Floats | None, paid: Floats, *, worth: float) -> tuple[Floats, NDArray[np.int8]]:
    """Return the least cost and its action; of equals on-demand, which keeps the most slack, then spot.

    Waiting must save `worth` at least.
    """
    best, action = paid, np.full(paid.shape, int(Mode.ON_DEMAND), dtype=np.int8)
    for mode, cost, least in ((Mode.SPOT, spot, 0.0), (Mode.IDLE, wait, worth)):
        if cost is not None:
            better = cost + least < best
            best, action = np.where(better, cost, best), np.where(better, int(mode), action).astype(np.int8)
    return best, action


def _ageing(rates_per_hour: Floats, step_s: float) -> tuple[Floats, Floats]:
    """Return the chance that a state ends within a step (ages, 1), and where its age goes otherwise (ages, ages).

    A state is anywhere within its bucket with equal chance; the last bucket is open, and its ages stay there.
    """
    edges = np.array(AGE_FROM_H) * HOUR_S
    upper = np.append(edges[1:], edges[-1] + max(edges[-1], step_s))
    older = np.zeros((edges.shape[0], edges.shape[0]))
    for bucket, (low, high) in enumerate(zip(edges, upper, strict=True)):
        inside = np.clip(
            np.minimum(high + step_s, np.append(edges[1:], np.inf)) - np.maximum(low + step_s, edges), 0, None
        )
        older[bucket] = inside / inside.sum()
    older[-1] = 0.0
    older[-1, -1] = 1.0
    middle = (edges + upper) / 2.0
    ends = np.array([_hazard_within(rates_per_hour, age, step_s) for age in middle])
    return -np.expm1(-ends)[:, None], older


def _hazard_within(rates_per_hour: Floats, age_s: float, step_s: float) -> float:
    """Return the integral of the hazard from an age over a step."""
    edges = np.append(np.array(AGE_FROM_H) * HOUR_S, np.inf)
    spent = np.clip(np.minimum(edges[1:], age_s + step_s) - np.maximum(edges[:-1], age_s), 0.0, None)
    return float((spent * rates_per_hour).sum() / HOUR_S)


def _bilinear(values: Floats, time_left_s: Floats, slack_s: Floats, left: float, slack: float) -> float:
    steps = time_left_s.shape[0] - 1
    row = (time_left_s[0] - left) / time_left_s[0] * steps if time_left_s[0] else 0.0
    column = np.clip(slack / slack_s[1], 0.0, slack_s.shape[0] - 1)
    r, c = min(int(row), steps - 1), min(int(column), slack_s.shape[0] - 2)
    f, g = row - r, column - c
    near = values[r, c] * (1.0 - g) + values[r, c + 1] * g
    far = values[r + 1, c] * (1.0 - g) + values[r + 1, c + 1] * g
    return float(near * (1.0 - f) + far * f)
