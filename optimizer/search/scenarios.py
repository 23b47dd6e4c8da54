"""Scenarios: prices and speeds as they may turn out, and which way to train would have been the cheapest then.

Scenario k depends on the seed and on k alone (a counter-based generator: Philox, Salmon et al. 2011), so a study can be
cut into blocks anywhere, worked on by anybody, and comes out the same. Costs are whole micro-dollars, counted and
sorted as integers: sums do not depend on their order.

Of one run the best is the smallest cost; no solver is called. Deadline and budget are judged by the time that the run
takes in the scenario and by what it costs there, not by quantiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .cost import billed_seconds
from .scenario_market import FARTHEST, bills_of, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.physics.runs import Bools, Floats, Ints

    from .market import Market
    from .scenario_market import BillColumns, RowColumns, ScenarioMarket

NOBODY = -1
"""The winner of a scenario in which nothing keeps the limits."""
MOST_LOG_STRETCH = 50.0
"""Such a run never ends in practice; its time stays a number."""
MOST_MICRO = 2.0**62
"""What costs more than any number of dollars is booked at this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The scenarios `start` to `stop` of a seed."""

    seed: int
    start: int
    stop: int

    @property
    def count(self) -> int:
        """Number of scenarios."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class Finalists:
    """Candidates that are looked at in every scenario: one hardware row and one bill each, shape (f,)."""

    rows: RowColumns
    bills: BillColumns


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    """Finalists to look at in the scenarios of a block."""

    block: Block
    finalists: Finalists


@dataclass(frozen=True, slots=True, kw_only=True)
class Winners:
    """The best of each scenario, int64, shape (n,): its bill and row in the scenario market, and its cost.

    `bill` is NOBODY, and the cost 0, where nothing keeps the limits.
    """

    bill: Ints
    row: Ints
    cost_micro: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessed:
    """What finalists cost and take in each scenario, shape (n, f): micro-dollars, whole seconds, limits kept."""

    cost_micro: Ints
    seconds: Ints
    in_time: Bools
    in_budget: Bools


def blocks_of(count: int, *, seed: int, size: int) -> list[Block]:
    """Return `count` scenarios in blocks of `size`."""
    return [Block(seed=seed, start=start, stop=min(start + size, count)) for start in range(0, count, size)]


def steps_of(market: ScenarioMarket, *, seed: int, scenario: int) -> Floats:
    """Return the steps of one scenario in standard deviations: interruptions, then the GPU models, then the prices.

    Those of the GPU models share the first draw as far as their errors go together.
    Philox counts its own draws in the low words; the scenario stands in the highest one, so no two ever meet.
    """
    generator = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 0, scenario]))
    draws = generator.standard_normal(2 + len(market.gpus) + market.groups)
    steps: Floats = draws[1:]
    own = steps[1 : 1 + len(market.gpus)]
    steps[1 : 1 + len(market.gpus)] = np.sqrt(market.common) * draws[0] + np.sqrt(1.0 - market.common) * own
    return np.clip(steps, -FARTHEST, FARTHEST, out=steps)


def durations_s(market: ScenarioMarket, rows: RowColumns, steps: Floats) -> Floats:
    """Return the seconds that rows take, shape (m,); (n, m) for the steps of n scenarios, shape (n, drivers)."""
    z = steps[..., 1 : 1 + len(market.gpus)]
    fixed = np.exp(market.fixed_sigma * z)[..., rows.gpu] * rows.fixed_s
    undisturbed: Floats = fixed + rows.variable_s * np.exp(rows.sigma * z[..., rows.gpu])
    if not rows.log_stretch.any():
        return undisturbed
    w = steps[..., :1]
    luck = rows.log_stretch + np.where(w > 0.0, rows.luck_up, rows.luck_down) * w
    lengthened = undisturbed * np.exp(np.clip(luck, 0.0, MOST_LOG_STRETCH))
    in_the_net: Floats = np.minimum(lengthened, np.maximum(market.left_s, undisturbed + rows.reserve_s))
    return in_the_net


def costs_micro(market: ScenarioMarket, bills: BillColumns, steps: Floats, seconds: Floats) -> Floats:
    """Return what bills come to in whole micro-dollars, of the shape of `seconds`: that of the bills.

    Whole, so that equal bills tie (twice the GPUs for one billed hour instead of two), whatever floats make of them.
    """
    u = steps[..., 1 + len(market.gpus) :]
    price = bills.price_micro_per_s * np.exp(bills.price_sigma * u[..., bills.group])
    cost: Floats = price * billed_seconds(seconds, bills.increment_s, bills.minimum_s)
    return np.rint(cost + bills.disk_micro_per_s * seconds + bills.other_micro)


def find_winners(market: ScenarioMarket, block: Block) -> Winners:
    """Return the best of every scenario of a block.

    Ties as in `choice.best_of`: cost, time, share of the memory that is filled, then the order of bills and rows.
    """
    found = np.full((3, block.count), NOBODY, dtype=np.int64)
    found[2] = 0
    if market.bills.count:
        for at in range(block.count):
            steps = steps_of(market, seed=block.seed, scenario=block.start + at)
            best = _best(market, steps)
            if best is not None:
                found[:, at] = best
    return Winners(bill=found[0], row=found[1], cost_micro=found[2])


def _best(market: ScenarioMarket, steps: Floats) -> tuple[int, int, int] | None:
    rows, bills = market.rows, market.bills
    of_row = durations_s(market, rows, steps)
    quickest = np.minimum.reduceat(of_row, market.start[:-1])
    seconds = quickest[bills.slot]
    costs = costs_micro(market, bills, steps, seconds)
    costs[seconds > market.left_s] = np.inf
    bill = int(costs.argmin())
    cost = costs[bill]
    if cost > market.budget_micro or cost == np.inf:
        return None  # the cheapest is beyond the budget: everything is
    tied = np.flatnonzero(costs == cost)
    if tied.size > 1:
        share = np.array([rows.filled[_row(market, of_row, int(slot))] for slot in bills.slot[tied]])
        bill = int(tied[np.lexsort((tied, share, seconds[tied]))[0]])
    return bill, _row(market, of_row, int(bills.slot[bill])), int(min(cost, MOST_MICRO))


def _row(market: ScenarioMarket, of_row: Floats, slot: int) -> int:
    """Return the quickest row of a slot, of equals the one that fills least memory."""
    begin, end = int(market.start[slot]), int(market.start[slot + 1])
    tied = begin + np.flatnonzero(of_row[begin:end] == of_row[begin:end].min())
    return int(tied[np.argmin(market.rows.filled[tied])])


def finalists_at(market: Market, places: Sequence[int], hardware: Sequence[int]) -> Finalists:
    """Return places and hardware rows of a market as candidates to look at in every scenario."""
    at, rows = np.array(places, dtype=np.int64), np.array(hardware, dtype=np.int64)
    return Finalists(rows=rows_of(market, rows), bills=bills_of(market, at, rows, np.arange(at.shape[0])))


def assess(market: ScenarioMarket, heat: Heat) -> Assessed:
    """Return what the finalists cost and take in every scenario of a block, and which limits they keep."""
    block, finalists = heat.block, heat.finalists
    steps = np.stack(
        [steps_of(market, seed=block.seed, scenario=scenario) for scenario in range(block.start, block.stop)]
    )
    seconds = durations_s(market, finalists.rows, steps)
    costs = costs_micro(market, finalists.bills, steps, seconds)
    return Assessed(
        cost_micro=np.minimum(costs, MOST_MICRO).astype(np.int64),
        seconds=np.rint(np.minimum(seconds, MOST_MICRO)).astype(np.int64),
        in_time=seconds <= market.left_s,
        in_budget=costs <= market.budget_micro,
    )
