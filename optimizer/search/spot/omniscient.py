"""What a run would cost that knew all of an episode beforehand: no policy can be cheaper and in time.

By backward induction over step, what runs, and slack, with the price of every step, in the rules of `replay`. Where a
figure has to be rounded (a restart, lost work and slack to whole units of slack) it is rounded so that the run gets
cheaper: the result stays a lower bound. The same bound without restarts, the work at the cheapest hours of the episode,
is taken where it is higher, and alone where the induction would take too long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from optimizer.physics.runs import Bools, Floats

    from .problem import SpotProblem
    from .replay import Market

UNITS_WANTED = 800
"""Units of slack that are enough; a step of the market is split into as many units as that allows."""
FINEST = 16
"""Most units of slack that a step is split into."""
MOST_CELLS = 3_000_000_000
"""Steps x units of slack x episodes of an induction: about a minute."""
NOTHING_S = 1e-6
"""Work below this is done, as in `replay`."""
CHUNK_CELLS = 40_000
"""Episodes x units of slack that are worked on at once: what fits a processor's cache."""


def omniscient_micro(problem: SpotProblem, market: Market) -> Floats:
    """Return the least cost of each episode with the deadline kept, in micro-dollars, shape (n,).

    NaN where the deadline leaves no room for the work and one start. The market must reach to the deadline.
    """
    if problem.work_s <= 0.0:
        return np.zeros(market.up.shape[0])
    if problem.slack_s < problem.restart_s:
        return np.full(market.up.shape[0], np.nan)
    steps = int(np.ceil(problem.deadline_s / market.step_s - 1e-9))
    if steps > market.up.shape[1]:
        raise ValueError(f"an episode of {market.up.shape[1]} steps is shorter than the deadline: {steps} steps")
    up, price = market.up[:, :steps], market.spot_micro_per_s[:, :steps]
    bound = _cheapest_hours(problem, up, price, market.step_s)
    unit_s = _unit_s(problem, market.step_s)
    units = int(np.ceil(problem.slack_s / unit_s - 1e-9)) + 1
    if float(steps) * units * up.shape[0] > MOST_CELLS:
        return bound
    chunk = max(CHUNK_CELLS // units, 1)
    for first in range(0, up.shape[0], chunk):
        part = slice(first, first + chunk)
        induced = _Induction(problem, up[part], price[part], market.step_s, unit_s).start()
        bound[part] = np.maximum(bound[part], induced)
    return bound


def _unit_s(problem: SpotProblem, step_s: float) -> float:
    """Return the unit of slack, in seconds: a whole part of a step."""
    slack_steps = max(problem.slack_s / step_s, 1.0)
    return step_s / float(np.clip(np.floor(UNITS_WANTED / slack_steps), 1, FINEST))


def _cheapest_hours(problem: SpotProblem, up: Bools, price: Floats, step_s: float) -> Floats:
    """Return what the work and one start cost at the cheapest moments before the deadline, shape (n,)."""
    steps = up.shape[1]
    span_s = np.full(steps, step_s)
    span_s[-1] = problem.deadline_s - (steps - 1) * step_s
    at = np.where(up, np.minimum(price, problem.on_demand_micro_per_s), problem.on_demand_micro_per_s)
    order = np.argsort(at, axis=1, kind="stable")
    spans = span_s[order]
    before = np.cumsum(spans, axis=1) - spans
    used = np.clip(problem.work_s + problem.restart_s - before, 0.0, spans)
    cost: Floats = (used * np.take_along_axis(at, order, axis=1)).sum(axis=1)
    return cost


class _Induction:
    """The values of some episodes, shape (episodes, slacks), one step after the other from the deadline back."""

    def __init__(self, problem: SpotProblem, up: Bools, price: Floats, step_s: float, unit_s: float) -> None:
        self._problem, self._up, self._price, self._step_s = problem, up, price, step_s
        count = int(np.ceil(problem.slack_s / unit_s - 1e-9)) + 1
        self._slack_s = np.arange(count, dtype=np.float64) * unit_s
        self._wait = round(step_s / unit_s)
        self._start = int(problem.restart_s / unit_s + 1e-9)
        self._lose = int(min(problem.loss_s, step_s) / unit_s + 1e-9)
        # What rounding leaves of a restart costs no slack, but money: at the cheapest price that there is.
        cheapest = np.where(up, price, np.inf).min(axis=1)
        cheapest = np.minimum(cheapest, problem.on_demand_micro_per_s)
        self._rest = ((problem.restart_s - self._start * unit_s) * cheapest)[:, None]

    def start(self) -> Floats:
        """Return the least cost from nothing running and all of the slack, shape (episodes,)."""
        shape = (self._up.shape[0], self._slack_s.shape[0])
        idle, spot, on_demand = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        for step in range(self._up.shape[1] - 1, -1, -1):
            idle, spot, on_demand = self._before(step, idle, spot, on_demand)
        first: Floats = idle[:, -1]
        return first

    def _before(self, step: int, idle: Floats, spot: Floats, on_demand: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the values one step earlier: nothing, a spot machine, an on-demand machine held."""
        need_s = self._problem.deadline_s - step * self._step_s - self._slack_s
        held_s = np.clip(need_s, 0.0, self._step_s)
        keep_paid = held_s * self._problem.on_demand_micro_per_s + on_demand
        nothing = np.minimum(self._after(idle, self._wait), self._after(keep_paid, self._start) + self._rest)
        up = self._up[:, step, None]
        keep_spot = nothing
        if up.any():
            last = step + 1 == self._up.shape[1]
            lost = np.zeros(up.shape, dtype=np.bool_) if last else up & ~self._up[:, step + 1, None]
            # Whoever knows that the machine goes after this step loses the step's work at most: or leaves before.
            later = np.where(lost, self._after(idle, self._lose), spot)
            later = np.where(need_s > self._step_s + NOTHING_S, later, 0.0)
            kept = np.where(up, held_s * self._price[:, step, None] + later, np.inf)
            nothing = np.minimum(nothing, self._after(kept, self._start) + self._rest)
            keep_spot = np.minimum(kept, nothing)
        keep_paid = np.minimum(keep_paid, nothing)
        done = need_s <= NOTHING_S
        if done.any():
            for value in (nothing, keep_spot, keep_paid):
                value[:, done] = 0.0
        return nothing, keep_spot, keep_paid

    @staticmethod
    def _after(value: Floats, units: int) -> Floats:
        """Return the values with so many units of slack spent; infinite where there is not so much."""
        if not units:
            return value
        shifted = np.full_like(value, np.inf)
        if units < value.shape[1]:
            shifted[:, units:] = value[:, :-units]
        return shifted
