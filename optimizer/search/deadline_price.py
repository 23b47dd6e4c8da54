"""The price of the deadline: the cheapest cost as a function of the time there is, and its differences.

cost*(D) is the least expected cost of one run among the candidates that keep every other limit and end within D at the
confidence asked for. It is a step function that never rises, known exactly at every D: a candidate that ends earlier
also keeps a later deadline. The runs of a sweep are all on the same machine here; a mix may be cheaper.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from .candidates import allowed_places, allowed_rows, budget_micro, factorise, join
from .constraints import SIMPLER
from .near_misses import all_runs_alike

if TYPE_CHECKING:
    from datetime import datetime

    from optimizer.physics.runs import Floats

    from .market import Market

HOUR_S = 3600.0
DEADLINE = "deadline"


@dataclass(frozen=True, slots=True, kw_only=True)
class CostSteps:
    """cost*(D): `cost_micro[i]` from `time_s[i]` on, until the next step; times rise, costs fall. Shape (n,)."""

    time_s: Floats
    cost_micro: Floats

    def at(self, time_s: float) -> int | None:
        """Return the cheapest cost in micro-dollars with `time_s` seconds from now; None where nothing is in time."""
        found = int(np.searchsorted(self.time_s, time_s, side="right")) - 1
        return None if found < 0 else round(float(self.cost_micro[found]))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlinePrice:
    """What moving the deadline of a job changes, per run and in micro-dollars; nothing here is below zero."""

    cost_usd_micro: int | None
    """The cheapest cost in time; None where nothing is."""
    saved_by_one_hour_more_usd_micro: int | None
    """None where nothing is in time now, or not even then."""
    cost_of_one_hour_less_usd_micro: int | None
    """None where nothing would be in time."""
    next_saving_at: datetime | None
    """The earliest later deadline at which anything gets cheaper (or possible), in whole seconds; None: never."""
    next_saving_after_s: float | None
    """How much later than the deadline of the job that is, in seconds."""
    next_saving_usd_micro: int | None
    """What is saved then; None where nothing is in time now."""
    next_cost_usd_micro: int | None
    """What a run costs then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineStretch:
    """What an hour is worth on average between two deadlines, both in seconds from now and steps of cost*(D)."""

    from_s: float
    to_s: float
    from_usd_micro: int
    to_usd_micro: int

    @property
    def usd_micro_per_hour(self) -> int:
        """Micro-dollars that each hour more saves."""
        return round((self.from_usd_micro - self.to_usd_micro) / (self.to_s - self.from_s) * HOUR_S)


def deadline_price(market: Market, steps: CostSteps | None = None) -> DeadlinePrice | None:
    """Return what one more hour of deadline saves and one less costs, in micro-dollars; None without a deadline.

    `market` is what `survey` returned for the job; `steps` those of `cost_steps`, where the caller has them.
    """
    job = market.job
    if job.deadline_at is None:
        return None
    steps = cost_steps(market) if steps is None else steps
    left_s = (job.deadline_at - market.now).total_seconds()
    cost, later, sooner = steps.at(left_s), steps.at(left_s + HOUR_S), steps.at(left_s - HOUR_S)
    following = int(np.searchsorted(steps.time_s, left_s, side="right"))
    further = following < steps.time_s.shape[0]
    next_s = float(steps.time_s[following]) if further else None
    next_cost = round(float(steps.cost_micro[following])) if further else None
    return DeadlinePrice(
        cost_usd_micro=cost,
        saved_by_one_hour_more_usd_micro=None if cost is None or later is None else cost - later,
        cost_of_one_hour_less_usd_micro=None if cost is None or sooner is None else sooner - cost,
        next_saving_at=None if next_s is None else _moment(market.now, next_s),
        next_saving_after_s=None if next_s is None else next_s - left_s,
        next_saving_usd_micro=None if cost is None or next_cost is None else cost - next_cost,
        next_cost_usd_micro=next_cost,
    )


def deadline_stretches(steps: CostSteps, *, most: int = 8) -> tuple[DeadlineStretch, ...]:
    """Return what an hour is worth along the whole of cost*(D), in at most `most` stretches, shortest deadline first.

    Stretches end at steps. Where there are more steps those stay between which the logarithm of cost bends most.
    """
    kept = _bends(steps, most + 1)
    return tuple(
        DeadlineStretch(
            from_s=float(steps.time_s[a]),
            to_s=float(steps.time_s[b]),
            from_usd_micro=round(float(steps.cost_micro[a])),
            to_usd_micro=round(float(steps.cost_micro[b])),
        )
        for a, b in pairwise(kept)
    )


def cost_steps(market: Market) -> CostSteps:
    """Return cost*(D) of a job, the deadline of the job itself left aside.

    As in a plan, recipes that are not needed take part only where nothing else is in time: before the first step of
    the others.
    """
    free = all_runs_alike(market).without(DEADLINE)
    steps = _steps(free)
    if SIMPLER not in market.hardware.slacks:
        return steps
    everything = _steps(free.without(SIMPLER))
    first = steps.time_s[0] if steps.time_s.size else np.inf
    early = everything.time_s < first
    time_s = np.concatenate([everything.time_s[early], steps.time_s])
    cost = np.concatenate([everything.cost_micro[early], steps.cost_micro])
    # What keeps a deadline keeps a later one: a step up is none.
    return _falling(time_s, cost)


def _steps(market: Market) -> CostSteps:
    bills = join(market, factorise(market, allowed_rows(market)), allowed_places(market))
    allowed = budget_micro(market.job)
    if allowed is not None:
        bills = bills.take(bills.high_micro * market.job.runs <= allowed)
    finish = market.hardware.finish_s[bills.hardware]
    order = np.lexsort((bills.expected_micro, finish))
    return _falling(finish[order], bills.expected_micro[order])


def _falling(time_s: Floats, cost: Floats) -> CostSteps:
    """Return the steps at which a running minimum of cost falls; times ascend."""
    if cost.size == 0:
        return CostSteps(time_s=time_s, cost_micro=cost)
    fresh = np.concatenate([[True], cost[1:] < np.minimum.accumulate(cost)[:-1]])
    return CostSteps(time_s=time_s[fresh], cost_micro=cost[fresh])


def _bends(steps: CostSteps, most: int) -> list[int]:
    """Return at most `most` positions, both ends among them: one by one the farthest from the line between those kept.

    Time and cost count as logarithms (Ramer 1972, Douglas and Peucker 1973).
    """
    count = steps.time_s.shape[0]
    if count <= most:
        return list(range(count))
    x, y = np.log(np.maximum(steps.time_s, 1.0)), np.log(np.maximum(steps.cost_micro, 1.0))
    kept = [0, count - 1]
    while len(kept) < most:
        off = np.abs(y - np.interp(x, x[kept], y[kept]))
        off[kept] = -1.0
        kept = sorted([*kept, int(np.argmax(off))])
    return kept


def _moment(now: datetime, seconds: float) -> datetime | None:
    try:
        return now + timedelta(seconds=ceil(seconds))
    except OverflowError:
        return None
