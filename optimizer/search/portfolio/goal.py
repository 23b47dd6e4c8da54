"""What a solve aims at: first as few jobs left out as can be, class by class of priority, then the least cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from optimizer.physics.runs import Floats, Ints

    from .instance import Instance

UNIT_MICRO = 1000.0
"""The solver counts thousandths of a dollar, as in `search.solve`."""
OUT = 1e6
"""What a job left out costs where their number is the goal; all costs together are a hundredth of one then."""
SHARE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a unit on each column costs, shape (n,), and a lump left out, shape (J,), in the solver's unit.

    `most_out`, shape (classes,), is how many lumps of each class of priority may be left out.
    """

    cost: Floats
    left_out: Floats
    most_out: Floats

    def may_leave(self, instance: Instance) -> Ints:
        """Return the jobs of which lumps may be left out."""
        return np.flatnonzero(self.most_out[instance.rank] > 0)


def least_cost(instance: Instance, most_out: Ints) -> Goal:
    """Return the goal of the least cost where at most so many jobs of each class are left out."""
    return Goal(
        cost=instance.cost_micro / UNIT_MICRO,
        left_out=np.zeros(instance.jobs),
        most_out=most_out.astype(np.float64),
    )


def fewest_out(instance: Instance, *, rank: int, most_out: Ints) -> Goal:
    """Return the goal of leaving out as few jobs of a class as can be, those of the classes before it being bound.

    `instance` holds no job of a later class. Of plans with as many jobs the solver prefers the cheaper; all costs
    together weigh less than `SHARE` of a job.
    """
    sizes = np.diff(instance.start)
    worst = np.zeros(instance.jobs)
    if instance.count:
        worst[sizes > 0] = np.maximum.reduceat(instance.cost_micro, instance.start[:-1][sizes > 0])
    total = float((worst * instance.units).sum())
    limits = most_out.astype(np.float64)
    limits[rank] = np.inf
    return Goal(
        cost=instance.cost_micro * (SHARE * OUT / total if total > 0.0 else 0.0),
        left_out=np.where(instance.rank == rank, OUT, 0.0),
        most_out=limits,
    )
