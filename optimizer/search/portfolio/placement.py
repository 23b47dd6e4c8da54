"""Which units stand on which columns: built up by hand, always within every row, and verified in integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from providers.errors import SolverFailed

from .instance import least_room

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from optimizer.physics.runs import Floats, Ints

    from .instance import Instance


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A plan: `columns` (ascending, distinct) carry `counts` units; `left_out` counts lumps of each job, shape (J,)."""

    columns: Ints
    counts: Ints
    left_out: Ints

    def out_by_class(self, instance: Instance) -> Ints:
        """Return how many jobs of each class of priority are left out, shape (classes,)."""
        return np.bincount(instance.rank, weights=self.left_out, minlength=instance.classes).astype(np.int64)

    def cost_micro(self, instance: Instance) -> int:
        """Return the expected cost in micro-dollars."""
        return sum(
            int(instance.cost_micro[at]) * int(count) for at, count in zip(self.columns, self.counts, strict=True)
        )

    def key(self, instance: Instance) -> tuple[tuple[int, ...], int]:
        """Return what plans are compared by: jobs left out, the first class of priority first, then the cost."""
        return tuple(int(one) for one in self.out_by_class(instance)), self.cost_micro(instance)


def placement_of(instance: Instance, counts: dict[int, int]) -> Placement:
    """Return the placement of `counts` (column to units), jobs with too few units being left out for the rest."""
    columns = np.array(sorted(at for at, count in counts.items() if count), dtype=np.int64)
    values = np.array([counts[int(at)] for at in columns], dtype=np.int64)
    owner = np.searchsorted(instance.start, columns, side="right") - 1
    placed = np.bincount(owner, weights=values, minlength=instance.jobs).astype(np.int64)
    return Placement(columns=columns, counts=values, left_out=(instance.units - placed) // instance.lump)


class Load:
    """What a plan that is being built leaves of every row."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.room: Ints = instance.capacity.copy()
        self.money: Floats = instance.budgets.copy()
        self.own_gpus: Floats = instance.most_gpus.copy()
        self.own_money: Floats = instance.own_budget.copy()
        self.counts: dict[int, int] = {}
        self.placed: Ints = np.zeros(instance.jobs, dtype=np.int64)
        self._least: Ints | None = None

    def put(self, job: int, column: int, units: int = 1) -> None:
        """Put units of a job on one of its columns; a negative number takes them off again."""
        one = self.instance
        gpus, high = int(one.gpus[column]) * units, float(one.high_micro[column]) * units
        self.room = self.room - np.where(one.patterns[one.pattern[column]], gpus, 0)
        self.money = self.money - np.where(one.charged[:, job], high, 0.0)
        self.own_gpus[job] -= gpus
        self.own_money[job] -= high
        self.counts[column] = self.counts.get(column, 0) + units
        self.placed[job] += units
        self._least = None

    def fitting(self, job: int) -> Ints:
        """Return the columns of a job that one more unit fits, ascending."""
        one = self.instance
        if self._least is None:
            self._least = least_room(one.patterns, self.room)
        here = slice(int(one.start[job]), int(one.start[job + 1]))
        fits = one.gpus[here] <= np.minimum(self._least[one.pattern[here]], self.own_gpus[job])
        money = min(self.own_money[job], *self.money[one.charged[:, job]], np.inf)
        if money < np.inf:
            fits &= one.high_micro[here] <= money
        return np.flatnonzero(fits) + here.start

    def most_units(self, job: int, column: int) -> int:
        """Return how many units fit on a column at once."""
        one = self.instance
        gpus, high = int(one.gpus[column]), float(one.high_micro[column])
        rows = self.room[one.patterns[one.pattern[column]]]
        most = [int(room) // gpus for room in rows]
        limits = [self.own_money[job], *self.money[one.charged[:, job]]]
        most += [int(limit // high) for limit in limits if np.isfinite(limit) and high > 0.0]
        if np.isfinite(self.own_gpus[job]):
            most.append(int(self.own_gpus[job]) // gpus)
        return max(0, min(most, default=int(one.units[job])))


def greedy(instance: Instance, price: Floats, order: Sequence[int] | Ints) -> Placement:
    """Return the plan in which each job in turn takes the column of least `price` (shape (n,)) that still fits.

    The units of a lump are placed together or taken off again.
    """
    return place_rest(Load(instance), price, order)


def place_rest(load: Load, price: Floats, order: Sequence[int] | Ints) -> Placement:
    """Return the plan after each job in turn has taken the column of least `price` that what is left has room for."""
    instance = load.instance
    for job in order:
        left = int(instance.units[job] - load.placed[job])
        lump = int(instance.lump[job])
        while left >= lump and _place_lump(load, int(job), price, lump, left):
            left = int(instance.units[job] - load.placed[job])
    return placement_of(instance, load.counts)


def _place_lump(load: Load, job: int, price: Floats, lump: int, left: int) -> bool:
    """Place at least one lump, alike ones at once; False, and nothing placed, where none fits."""
    taken: list[tuple[int, int]] = []
    missing = lump
    while missing > 0:
        fits = load.fitting(job)
        if fits.size == 0:
            for column, units in taken:
                load.put(job, column, -units)
            return False
        column = int(fits[np.argmin(price[fits])])
        units = min(load.most_units(job, column), left if lump == 1 else missing)
        load.put(job, column, units)
        taken.append((column, units))
        missing -= units
    return True


def by_need(instance: Instance) -> Ints:
    """Return the jobs in the order in which a greedy plan places them: priority, then who needs the most GPUs."""
    has = np.diff(instance.start) > 0
    need = np.zeros(instance.jobs)
    if instance.count:
        need[has] = np.minimum.reduceat(instance.gpus, instance.start[:-1][has])
    dear = np.zeros(instance.jobs)
    if instance.count:
        dear[has] = np.minimum.reduceat(instance.cost_micro, instance.start[:-1][has])
    return np.lexsort((np.arange(instance.jobs), -dear, -need, instance.rank))


def improved(instance: Instance, plan: Placement, *, rounds: int = 3, stop: Callable[[], bool] = bool) -> Placement:
    """Return the plan after every unit has moved to its first column that fits, and what was left out was tried again.

    Columns stand in the order of cost and ties, so a move never costs more; it ends when nothing moves.
    """
    load = Load(instance)
    owner = np.searchsorted(instance.start, plan.columns, side="right") - 1
    for job, column, count in zip(owner, plan.columns, plan.counts, strict=True):
        load.put(int(job), int(column), int(count))
    for _ in range(rounds):
        moved = False
        held = sorted(column for column, count in load.counts.items() if count)
        for column in held:
            if stop():
                return placement_of(instance, load.counts)
            moved |= _move(load, column)
        if not moved:
            break
    return place_rest(load, instance.cost_micro, by_need(instance))


def _move(load: Load, column: int) -> bool:
    """Move the units of a column to better ones of its job, as many as fit; return whether any moved."""
    job = int(np.searchsorted(load.instance.start, column, side="right")) - 1
    if column == load.instance.start[job]:
        return False
    moved = False
    for _ in range(load.counts[column]):
        load.put(job, column, -1)
        better = int(load.fitting(job)[0])
        load.put(job, better)
        if better == column:
            break
        moved = True
    return moved


def verify(instance: Instance, plan: Placement, names: Callable[[str, int], str]) -> None:
    """Check in integers that every job stands or is left out as a whole, and that every row is kept.

    `names` turns a kind of row ("job", "quota", "budget") and its index into words. Raises SolverFailed naming the row.
    """
    placed, gpus, money = ([0] * instance.jobs for _ in range(3))
    rooms = [int(one) for one in instance.capacity]
    budgets = [0] * instance.budgets.shape[0]
    for column, count in zip(plan.columns.tolist(), plan.counts.tolist(), strict=True):
        job = int(np.searchsorted(instance.start, column, side="right")) - 1
        if count < 0:
            raise SolverFailed(f"{names('job', job)} has {count} units on a machine")
        placed[job] += count
        gpus[job] += int(instance.gpus[column]) * count
        money[job] += int(instance.high_micro[column]) * count
        for row in np.flatnonzero(instance.patterns[instance.pattern[column]]).tolist():
            rooms[row] -= int(instance.gpus[column]) * count
        for row in np.flatnonzero(instance.charged[:, job]).tolist():
            budgets[row] += int(instance.high_micro[column]) * count
    for job in range(instance.jobs):
        _verify_job(instance, plan, job, names, used=(placed[job], gpus[job], money[job]))
    for row, left in enumerate(rooms):
        if left < 0:
            raise SolverFailed(f"{names('quota', row)} is exceeded by {-left} GPUs")
    for row, spent in enumerate(budgets):
        if spent > instance.budgets[row]:
            raise SolverFailed(f"{names('budget', row)} is exceeded: {spent} micro-dollars may be spent")


def _verify_job(
    instance: Instance, plan: Placement, job: int, names: Callable[[str, int], str], *, used: tuple[int, int, int]
) -> None:
    placed, gpus, money = used
    wanted = int(instance.units[job]) - int(instance.lump[job]) * int(plan.left_out[job])
    if placed != wanted or plan.left_out[job] < 0:
        raise SolverFailed(f"{names('job', job)} has {placed} of {wanted} units placed")
    if gpus > instance.most_gpus[job]:
        raise SolverFailed(f"{names('job', job)} uses {gpus} GPUs, {instance.most_gpus[job]:.0f} are allowed")
    if money > instance.own_budget[job]:
        raise SolverFailed(f"{names('job', job)} may cost {money} micro-dollars, more than its budget")
