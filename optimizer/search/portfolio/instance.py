"""A portfolio as flat columns: every way to run every job, and the rows that all of them share.

    min sum c_jk y_jk    sum_k y_jk + l_j u_j = d_j    sum over a quota row g_jk y_jk <= its GPUs
                         sum over a budget h_jk y_jk <= its dollars    y, u whole

c is the expected cost, h its high end, g the GPUs, d the units of a job (alike jobs, or runs of a sweep), l how many of
them stand or fall together (all runs of a sweep), u how often a job is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from optimizer.physics.runs import Bools, Floats, Ints

NO_LIMIT = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """J jobs with n columns in all, those of job j at `start[j]` to `start[j + 1]`, cheapest first; maybe none.

    Money is whole micro-dollars in float64. Q quota rows, P patterns (sets of quota rows), B budgets, classes of
    priority counted from 0, which goes first.
    """

    start: Ints
    """Shape (J + 1,)."""
    cost_micro: Floats
    high_micro: Floats
    gpus: Ints
    pattern: Ints
    """Shape (n,): which pattern of quota rows a unit on the column counts against, with all its GPUs in each row."""
    patterns: Bools
    """Shape (P, Q)."""
    capacity: Ints
    """Shape (Q,): GPUs of each quota row."""
    budgets: Floats
    """Shape (B,): micro-dollars that the high ends may sum to."""
    charged: Bools
    """Shape (B, J): whether a job counts against a budget."""
    units: Ints
    lump: Ints
    """Shape (J,): units that are placed together or not at all."""
    most_gpus: Floats
    """Shape (J,): most GPUs of a job over all its units; infinite where only the columns limit them."""
    own_budget: Floats
    """Shape (J,): most micro-dollars of a job over all its units (high end); infinite likewise."""
    rank: Ints
    """Shape (J,): class of priority."""

    @property
    def jobs(self) -> int:
        """Number of jobs."""
        return int(self.units.shape[0])

    @property
    def count(self) -> int:
        """Number of columns."""
        return int(self.cost_micro.shape[0])

    @property
    def classes(self) -> int:
        """Number of classes of priority."""
        return int(self.rank.max(initial=-1)) + 1

    @property
    def lumps(self) -> Ints:
        """How often each job can be placed or left out, shape (J,)."""
        return self.units // self.lump

    def owner(self) -> Ints:
        """Return the job of every column, shape (n,)."""
        return np.repeat(np.arange(self.jobs), np.diff(self.start))

    def only(self, columns: Bools) -> Instance:
        """Return the instance with the columns where a mask is true; jobs may be left without any."""
        before = np.concatenate([[0], np.cumsum(columns)]).astype(np.int64)
        return replace(
            self,
            start=before[self.start],
            cost_micro=self.cost_micro[columns],
            high_micro=self.high_micro[columns],
            gpus=self.gpus[columns],
            pattern=self.pattern[columns],
        )

    def of_jobs(self, jobs: Ints) -> Instance:
        """Return the instance of the given jobs (ascending) alone."""
        kept = np.zeros(self.jobs, dtype=np.bool_)
        kept[jobs] = True
        columns = np.repeat(kept, np.diff(self.start))
        return replace(
            self,
            start=np.concatenate([[0], np.cumsum(np.diff(self.start)[jobs])]).astype(np.int64),
            cost_micro=self.cost_micro[columns],
            high_micro=self.high_micro[columns],
            gpus=self.gpus[columns],
            pattern=self.pattern[columns],
            charged=self.charged[:, jobs],
            units=self.units[jobs],
            lump=self.lump[jobs],
            most_gpus=self.most_gpus[jobs],
            own_budget=self.own_budget[jobs],
            rank=self.rank[jobs],
        )


def least_room(patterns: Bools, room: Ints) -> Ints:
    """Return the GPUs that the tightest row of each pattern has left, shape (P,); very many without a row."""
    if patterns.shape[1] == 0:
        return np.full(patterns.shape[0], np.iinfo(np.int64).max)
    left: Ints = np.where(patterns, room[None, :], np.iinfo(np.int64).max).min(axis=1)
    return left


def budget_of(instance: Instance, room: Floats) -> Floats:
    """Return the micro-dollars that the tightest budget of each job has left, shape (J,); infinite without one."""
    if instance.budgets.shape[0] == 0:
        return np.full(instance.jobs, NO_LIMIT)
    left: Floats = np.where(instance.charged, room[:, None], NO_LIMIT).min(axis=0)
    return left


def usable(instance: Instance) -> Bools:
    """Return where a column keeps every row on its own, shape (n,): the others are in no plan.

    Dropping them removes most of what the linear relaxation promises too much.
    """
    fits = instance.gpus <= least_room(instance.patterns, instance.capacity)[instance.pattern]
    sizes = np.diff(instance.start)
    money = np.minimum(budget_of(instance, instance.budgets), instance.own_budget)
    if np.isfinite(money).any():
        fits &= instance.high_micro <= np.repeat(money, sizes)
    if np.isfinite(instance.most_gpus).any():
        fits &= instance.gpus <= np.repeat(instance.most_gpus, sizes)
    return fits
