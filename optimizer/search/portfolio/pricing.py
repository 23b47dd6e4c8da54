"""All columns priced in one pass: reduced costs under given duals, and the lower bound that they prove."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from optimizer.physics.runs import Bools, Floats, Ints

    from .goal import Goal
    from .instance import Instance


@dataclass(frozen=True, slots=True, kw_only=True)
class Duals:
    """What one more unit of every shared row is worth, at most 0: quota rows (Q,), budgets (B,), and what limits a
    job alone: its GPUs and its own budget, (J,)."""

    quota: Floats
    budget: Floats
    own_gpus: Floats
    own_budget: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Pricing:
    """Reduced costs before the price of the job itself, shape (n,), the least of each job, (J,), and the bound."""

    reduced: Floats
    least: Floats
    bound: float
    """No plan costs less, in the unit of the goal; -infinity for a job without any way that must be placed."""


def no_duals(instance: Instance) -> Duals:
    """Return the duals of rows that bind nowhere."""
    return Duals(
        quota=np.zeros(instance.capacity.shape[0]),
        budget=np.zeros(instance.budgets.shape[0]),
        own_gpus=np.zeros(instance.jobs),
        own_budget=np.zeros(instance.jobs),
    )


def price(instance: Instance, goal: Goal, duals: Duals, owner: Ints) -> Pricing:
    """Return every column priced under the duals: one pass over flat arrays.

    The bound is the Lagrangian one (Geoffrion 1974): shared rows are paid for at their duals and may be broken, every
    job then takes its cheapest column, and of each class as many lumps as may be are left out where that is cheaper.
    It holds for any duals that are at most 0, so a solve that is stopped early has it too.
    """
    per_gpu = instance.patterns.astype(np.float64) @ duals.quota
    reduced = goal.cost - instance.gpus * per_gpu[instance.pattern]
    by_money = instance.charged.T.astype(np.float64) @ (duals.budget) + duals.own_budget
    if by_money.any():
        reduced -= instance.high_micro / 1000.0 * by_money[owner]
    if duals.own_gpus.any():
        reduced -= instance.gpus * duals.own_gpus[owner]
    least = np.full(instance.jobs, np.inf)
    has = np.diff(instance.start) > 0
    if instance.count:
        least[has] = np.minimum.reduceat(reduced, instance.start[:-1][has])
    return Pricing(reduced=reduced, least=least, bound=_bound(instance, goal, duals, least))


def _bound(instance: Instance, goal: Goal, duals: Duals, least: Floats) -> float:
    paid = float(instance.capacity @ duals.quota)
    paid += float((instance.budgets / 1000.0) @ duals.budget) if duals.budget.any() else 0.0
    for limit, dual in ((instance.most_gpus, duals.own_gpus), (instance.own_budget / 1000.0, duals.own_budget)):
        bound = dual != 0.0
        paid += float(limit[bound] @ dual[bound])
    per_lump = least * instance.lump
    gains = per_lump - goal.left_out
    stays = np.isfinite(least)
    total = paid + float((per_lump[stays] * instance.lumps[stays]).sum())
    for rank in range(instance.classes):
        forced = ~stays & (instance.rank == rank)
        total += float((goal.left_out[forced] * instance.lumps[forced]).sum())
        most = float(goal.most_out[rank]) - int(instance.lumps[forced].sum())
        total -= _most_saved(gains, instance, rank, most)
    return total


def _most_saved(gains: Floats, instance: Instance, rank: int, most: float) -> float:
    """Return what leaving out the right lumps of a class saves at most; jobs without a column are left out anyway."""
    here = np.flatnonzero((instance.rank == rank) & np.isfinite(gains) & (gains > 0.0))
    if here.size == 0 or most <= 0.0:
        return 0.0
    order = here[np.argsort(-gains[here], kind="stable")]
    before = np.cumsum(instance.lumps[order]) - instance.lumps[order]
    taken = np.clip(most - before, 0, instance.lumps[order])
    return float((gains[order] * taken).sum())


def worth_adding(instance: Instance, pricing: Pricing, job_price: Floats, held: Bools, *, per_job: int) -> Ints:
    """Return up to `per_job` columns of each job with negative reduced cost that are not held yet, ascending.

    `job_price`, shape (J,), is the dual of each job: what its unit costs in the restricted master.
    """
    sizes = np.diff(instance.start)
    tolerance = 1e-7 * np.maximum(1.0, np.abs(job_price))
    found = np.flatnonzero((pricing.reduced < np.repeat(job_price - tolerance, sizes)) & ~held)
    return best_of_each(instance, pricing.reduced, found, per_job=per_job)


def best_of_each(instance: Instance, value: Floats, found: Ints, *, per_job: int) -> Ints:
    """Return of the found columns (ascending) the `per_job` of each job with the least value, ascending."""
    if found.size == 0:
        return found
    owner = np.searchsorted(instance.start, found, side="right") - 1
    order = np.lexsort((value[found], owner))
    starts = np.flatnonzero(np.concatenate([[True], owner[order][1:] != owner[order][:-1]]))
    position = np.arange(found.size) - np.repeat(starts, np.diff(np.concatenate([starts, [found.size]])))
    return np.sort(found[order[position < per_job]])
