"""From the columns of all scenarios to the figures of one candidate. Integers: no sum depends on its order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .scenario_results import Outcome, Spread
from .scenarios import NOBODY
from .showing import candidate_at

if TYPE_CHECKING:
    from optimizer.physics.runs import Ints

    from .market import Market
    from .scenarios import Assessed, Winners


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A candidate of a study: place and hardware row in the market, and in how many scenarios it was the best.

    `kind` stands for its offer, node count and variant: recipes that differ in less count as one.
    """

    kind: int
    place: int
    hardware: int
    best: int


def judge(market: Market, entry: Entry, winners: Winners, assessed: Assessed, *, at: int) -> Outcome:
    """Return the figures of an entry, which stands in column `at` of `assessed`."""
    cost, in_time, in_budget = assessed.cost_micro[:, at], assessed.in_time[:, at], assessed.in_budget[:, at]
    kept = in_time & in_budget
    comparable = kept & (winners.bill != NOBODY)
    # Both were rounded once, by the same formula: nothing that keeps the limits is cheaper than the winner.
    regret = np.maximum(cost[comparable] - winners.cost_micro[comparable], 0)
    candidate = candidate_at(market, entry.place, entry.hardware)
    return Outcome(
        candidate=candidate,
        best=entry.best,
        in_time=int(np.count_nonzero(in_time)),
        in_budget=int(np.count_nonzero(in_budget)),
        kept=int(np.count_nonzero(kept)),
        cost_usd_micro=spread_of(cost),
        duration_s=spread_of(assessed.seconds[:, at]),
        regret_usd_micro=spread_of(regret) if regret.size else None,
        admitted=all(slack >= 0.0 for slack in candidate.slacks.values()),
    )


def spread_of(values: Ints) -> Spread:
    """Return 10 %, 50 % and 90 % quantile (nearest rank) and mean (half rounds up) of integers, at least one."""
    ordered = np.sort(values)
    count = int(ordered.shape[0])

    def quantile(percent: int) -> int:
        return int(ordered[-(-percent * count // 100) - 1])

    # Python's integers: a million scenarios of a billion dollars do not fit in 64 bits.
    total = sum(ordered.tolist())
    return Spread(p10=quantile(10), p50=quantile(50), p90=quantile(90), mean=(2 * total + count) // (2 * count))
