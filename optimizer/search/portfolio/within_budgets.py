"""The integer master asked until its plan keeps every budget to the micro-dollar, which the solver does not promise.

It takes 0.999999 for one: times thousands of dollars that is more than a micro-dollar, and where a budget binds there
are many plans so close to it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from optimizer.search.solve import NARROWER

from .master import WholeAnswer, solve_whole

if TYPE_CHECKING:
    from optimizer.physics.runs import Floats, Ints

    from .column_generation import TimeLeft
    from .goal import Goal
    from .instance import Instance
    from .placement import Placement


def solve_within(
    instance: Instance, goal: Goal, columns: Ints, *, relative_gap: float, left_s: TimeLeft, nodes: int | None
) -> WholeAnswer:
    """Return the integer master solved over the columns; its plan keeps every budget, or there is none.

    Budgets that a plan exceeds are narrowed by what it spends too much, and by a little more each time. The bound is
    that of the whole budgets.
    """
    first, narrower = None, instance
    for share in (*NARROWER, None):
        found = solve_whole(narrower, goal, columns, relative_gap=relative_gap, time_limit_s=left_s(), nodes=nodes)
        first = found if first is None else first
        if found.plan is None:
            break
        shared, own = overspent(instance, found.plan)
        if not shared.any() and not own.any():
            return replace(first, plan=found.plan)
        if share is None or left_s() <= 0.0:
            break
        narrower = replace(
            instance,
            budgets=_narrowed(narrower.budgets, shared, share),
            own_budget=_narrowed(narrower.own_budget, own, share),
        )
    return WholeAnswer(plan=None, bound=-np.inf if first is None else first.bound)


def overspent(instance: Instance, plan: Placement) -> tuple[Floats, Floats]:
    """Return by how many micro-dollars a plan exceeds each budget, shape (B,), and each job's own, shape (J,)."""
    owner = np.searchsorted(instance.start, plan.columns, side="right") - 1
    spent = np.bincount(owner, weights=instance.high_micro[plan.columns] * plan.counts, minlength=instance.jobs)
    shared: Floats = np.maximum(instance.charged.astype(np.float64) @ spent - instance.budgets, 0.0)
    own: Floats = np.maximum(spent - instance.own_budget, 0.0)
    return shared, own


def _narrowed(budget: Floats, over: Floats, share: float) -> Floats:
    """Return budgets, narrowed where they are exceeded."""
    exceeded = over > 0.0
    narrower: Floats = budget.copy()
    narrower[exceeded] = np.maximum(np.floor(budget[exceeded] * (1.0 - share)) - over[exceeded], 0.0)
    return narrower
