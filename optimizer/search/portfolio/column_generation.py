"""Column generation: a linear master over few columns, all others priced in one pass, a bound at every step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from .master import LinearAnswer, solve_linear
from .pricing import Pricing, no_duals, price, worth_adding

if TYPE_CHECKING:
    from optimizer.physics.runs import Bools, Ints

    from .goal import Goal
    from .instance import Instance
    from .placement import Placement
    from .pricing import Duals

FIRST_COLUMNS = 20
COLUMNS_A_ROUND = 6
MOST_ROUNDS = 200
CLOSE = 1e-7
"""Relative distance of the linear optimum from the bound at which there is nothing left to gain."""
MORE = 0.05
"""GPUs by which every quota grows where the worth of more is asked for."""

TimeLeft = Callable[[], float]
"""Seconds that are left, infinite without a limit."""


@dataclass(slots=True)
class Relaxation:
    """What column generation found: the best bound with its pricing, the columns held, the last linear answer."""

    held: Bools
    pricing: Pricing
    duals: Duals
    answer: LinearAnswer | None = None
    solved: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """The columns of that answer."""
    penalty: float = 0.0
    rounds: int = 0
    finished: bool = False
    """No column was left with negative reduced cost."""

    @property
    def bound(self) -> float:
        """The best lower bound, in the unit of the goal."""
        return self.pricing.bound


def relax(
    instance: Instance, goal: Goal, seed: Placement | None, *, left_s: TimeLeft, owner: Ints | None = None
) -> Relaxation:
    """Return the linear relaxation over all columns, solved with few of them, or as far as the time went.

    It starts with the cheapest columns of every job and those of `seed`, a plan that is known.
    """
    owner = instance.owner() if owner is None else owner
    duals = no_duals(instance)
    pricing = price(instance, goal, duals, owner)
    found = Relaxation(held=_first(instance, seed), pricing=pricing, duals=duals)
    found.penalty = 4.0 * max(float(goal.cost.max(initial=0.0)), float(goal.left_out.max(initial=0.0))) + 1.0
    while found.rounds < MOST_ROUNDS and left_s() > 0.0 and instance.count:
        columns = np.flatnonzero(found.held)
        answer = solve_linear(instance, goal, columns, penalty=found.penalty, time_limit_s=left_s())
        if answer is None:
            break
        found.answer, found.solved = answer, columns
        found.rounds += 1
        pricing = price(instance, goal, answer.duals, owner)
        if pricing.bound > found.bound:
            found.pricing, found.duals = pricing, answer.duals
        new = worth_adding(instance, pricing, answer.job_price, found.held, per_job=COLUMNS_A_ROUND)
        if new.size:
            found.held[new] = True
        elif answer.missing > 1e-6 and found.penalty < 1e12:
            found.penalty *= 100.0  # what is missing was too cheap to look for columns that carry it
        else:
            found.finished = True
            break
    return found


def worth_of_more(instance: Instance, goal: Goal, relaxed: Relaxation, *, left_s: TimeLeft) -> Duals:
    """Return what a little more of every quota is worth, by the linear relaxation over the columns held.

    Where a quota is used up to the last GPU its dual may be any number between what one less costs and what one more
    saves; with a little more room it is what more saves.
    """
    if relaxed.answer is None or left_s() <= 0.0 or instance.capacity.size == 0:
        return relaxed.duals
    answer = solve_linear(
        instance, goal, relaxed.solved, penalty=relaxed.penalty, time_limit_s=left_s(), more_gpus=MORE
    )
    return relaxed.answer.duals if answer is None else answer.duals


def _first(instance: Instance, seed: Placement | None) -> Bools:
    """Return which columns the first master holds: the cheapest of every job, the smallest, and those of the seed.

    Columns stand in the order of cost, so nothing has to be sorted.
    """
    sizes = np.diff(instance.start)
    held: Bools = np.arange(instance.count) - np.repeat(instance.start[:-1], sizes) < FIRST_COLUMNS
    has = sizes > 0
    if instance.count:
        least = np.repeat(np.minimum.reduceat(instance.gpus, instance.start[:-1][has]), sizes[has])
        smallest = np.flatnonzero(instance.gpus == least)
        owner = np.searchsorted(instance.start, smallest, side="right") - 1
        held[smallest[np.flatnonzero(np.diff(owner, prepend=-1))]] = True
    if seed is not None:
        held[seed.columns] = True
    return held
