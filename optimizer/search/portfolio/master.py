"""The restricted master: the shared rows over a few columns, as a linear program and as an integer one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from providers.errors import SolverFailed

from .goal import UNIT_MICRO
from .placement import Placement
from .pricing import Duals

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from optimizer.physics.runs import Floats, Ints

    from .goal import Goal
    from .instance import Instance

NODES_WITHOUT_LIMIT = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows of a master over K columns and L kinds of lump that may be left out.

    Shared rows, in this order: quotas, budgets, classes that may leave only so many out, GPUs and budgets of single
    jobs. `job` has a row a job: its units.
    """

    shared: csr_matrix
    limit: Floats
    job: csr_matrix
    leaving: Ints
    """Jobs of which lumps may be left out, shape (L,)."""
    classes: Ints
    gpus_of: Ints
    """Jobs with a row of GPUs of their own."""
    money_of: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearAnswer:
    """The linear master solved: duals of all rows, the price of each job, units on each column."""

    duals: Duals
    job_price: Floats
    value: Floats
    """Shape (K,)."""
    missing: float
    """Units that no column carries and that may not be left out: the columns do not suffice yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeAnswer:
    """The integer master solved: a plan, if one was found, and the solver's own bound in the unit of the goal."""

    plan: Placement | None
    bound: float
    """-infinity where the solver has none; infinite where the columns hold no plan."""


def master_rows(instance: Instance, goal: Goal, columns: Ints) -> Rows:
    """Return the rows over the given columns (ascending)."""
    from scipy.sparse import csr_matrix, hstack, vstack

    owner = np.searchsorted(instance.start, columns, side="right") - 1
    leaving = goal.may_leave(instance)
    count = columns.size
    at = np.arange(count)
    gpus = instance.gpus[columns].astype(np.float64)
    high = instance.high_micro[columns] / UNIT_MICRO
    covers = csr_matrix(instance.patterns[instance.pattern[columns]].T.astype(np.float64))
    quota = csr_matrix(covers.multiply(gpus[None, :]))
    money = csr_matrix(csr_matrix(instance.charged[:, owner].astype(np.float64)).multiply(high[None, :]))
    gpus_of = np.flatnonzero(np.isfinite(instance.most_gpus))
    money_of = np.flatnonzero(np.isfinite(instance.own_budget))
    alone = [_of_single_jobs(owner, gpus, gpus_of), _of_single_jobs(owner, high, money_of)]
    bound = np.flatnonzero(np.isfinite(goal.most_out) & (goal.most_out > 0))
    member = instance.rank[leaving][None, :] == bound[:, None]
    on_columns = vstack([quota, money, csr_matrix((bound.size, count)), *alone])
    height = on_columns.shape[0]
    above = instance.capacity.shape[0] + instance.budgets.shape[0]
    below = height - above - bound.size
    on_leaving = vstack(
        [csr_matrix((above, leaving.size)), csr_matrix(member.astype(np.float64)), csr_matrix((below, leaving.size))]
    )
    job = csr_matrix((np.ones(count), (owner, at)), shape=(instance.jobs, count))
    leaves = csr_matrix(
        (instance.lump[leaving].astype(np.float64), (leaving, np.arange(leaving.size))),
        shape=(instance.jobs, leaving.size),
    )
    limit = [
        instance.capacity.astype(np.float64),
        # Half a micro-dollar changes nothing between whole ones and keeps every plan clear of the edge.
        (instance.budgets + 0.5) / UNIT_MICRO,
        goal.most_out[bound],
        instance.most_gpus[gpus_of],
        (instance.own_budget[money_of] + 0.5) / UNIT_MICRO,
    ]
    return Rows(
        shared=csr_matrix(hstack([on_columns, on_leaving])),
        limit=np.concatenate(limit),
        job=csr_matrix(hstack([job, leaves])),
        leaving=leaving,
        classes=bound,
        gpus_of=gpus_of,
        money_of=money_of,
    )


def _within_reason(time_limit_s: float) -> float:
    """Return a time limit that the solver takes: more than nothing, and finite."""
    return min(max(time_limit_s, 1e-3), 1e9)


def _of_single_jobs(owner: Ints, weight: Floats, jobs: Ints) -> csr_matrix:
    from scipy.sparse import csr_matrix

    row = np.searchsorted(jobs, owner)
    mine = np.flatnonzero((row < jobs.size) & (jobs[np.minimum(row, jobs.size - 1)] == owner)) if jobs.size else row[:0]
    return csr_matrix((weight[mine], (row[mine], mine)), shape=(jobs.size, owner.size))


def solve_linear(
    instance: Instance, goal: Goal, columns: Ints, *, penalty: float, time_limit_s: float, more_gpus: float = 0.0
) -> LinearAnswer | None:
    """Return the linear master solved over the columns; None when the time ran out.

    A unit that nothing carries costs `penalty`, so that few columns always suffice for an answer. Every quota has
    `more_gpus` beyond its own.
    """
    from scipy.optimize import linprog
    from scipy.sparse import csr_matrix, hstack, identity

    rows = master_rows(instance, goal, columns)
    empty = csr_matrix((rows.shared.shape[0], instance.jobs))
    cost = np.concatenate([goal.cost[columns], goal.left_out[rows.leaving], np.full(instance.jobs, penalty)])
    # The stubs of `linprog` know no sparse matrices, which it takes all the same.
    inequalities: Any = hstack([rows.shared, empty], format="csc")
    equalities: Any = hstack([rows.job, identity(instance.jobs)], format="csc")
    result = linprog(
        cost,
        A_ub=inequalities,
        b_ub=rows.limit + more_gpus * (np.arange(rows.limit.size) < instance.capacity.size),
        A_eq=equalities,
        b_eq=instance.units.astype(np.float64),
        bounds=(0.0, None),
        method="highs-ds",
        options={"time_limit": _within_reason(time_limit_s)},
    )
    if result.status == 1:
        return None
    if result.status != 0:
        raise SolverFailed(f"the linear master ended with status {result.status}: {result.message}")
    spare = columns.size + rows.leaving.size
    values = np.asarray(result.x, dtype=np.float64)
    return LinearAnswer(
        duals=_duals(instance, rows, np.minimum(result.ineqlin.marginals, 0.0)),
        job_price=np.asarray(result.eqlin.marginals),
        value=values[: columns.size],
        missing=float(values[spare:].sum()),
    )


def _duals(instance: Instance, rows: Rows, marginals: Floats) -> Duals:
    quotas, budgets = instance.capacity.shape[0], instance.budgets.shape[0]
    own_gpus, own_budget = np.zeros(instance.jobs), np.zeros(instance.jobs)
    first = quotas + budgets + rows.classes.size
    own_gpus[rows.gpus_of] = marginals[first : first + rows.gpus_of.size]
    own_budget[rows.money_of] = marginals[first + rows.gpus_of.size :]
    return Duals(
        quota=marginals[:quotas],
        budget=marginals[quotas : quotas + budgets],
        own_gpus=own_gpus,
        own_budget=own_budget,
    )


def solve_whole(
    instance: Instance, goal: Goal, columns: Ints, *, relative_gap: float, time_limit_s: float, nodes: int | None = None
) -> WholeAnswer:
    """Return the integer master solved over the columns to a relative gap, or as far as time and nodes went."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    rows = master_rows(instance, goal, columns)
    owner = np.searchsorted(instance.start, columns, side="right") - 1
    most = np.concatenate([instance.units[owner], instance.lumps[rows.leaving]]).astype(np.float64)
    units = instance.units.astype(np.float64)
    constraints = [LinearConstraint(rows.job, units, units)]
    if rows.limit.size:
        constraints.append(LinearConstraint(rows.shared, -np.inf, rows.limit))
    result = milp(
        np.concatenate([goal.cost[columns], goal.left_out[rows.leaving]]),
        integrality=np.ones(most.size, dtype=np.int64),
        bounds=Bounds(0, most),
        constraints=constraints,
        options={
            "mip_rel_gap": relative_gap,
            "time_limit": _within_reason(time_limit_s),
            "node_limit": NODES_WITHOUT_LIMIT if nodes is None else nodes,
        },
    )
    # 0 optimal, 1 time or node limit (x is the incumbent, if there is one), 2 infeasible.
    if result.x is None:
        if result.status in {1, 2}:
            return WholeAnswer(plan=None, bound=np.inf if result.status == 2 else -np.inf)
        raise SolverFailed(f"the integer master ended with status {result.status}: {result.message}")
    counts = np.rint(result.x).astype(np.int64)
    chosen = counts[: columns.size]
    placed = np.bincount(owner, weights=chosen, minlength=instance.jobs).astype(np.int64)
    on = np.flatnonzero(chosen)
    plan = Placement(columns=columns[on], counts=chosen[on], left_out=(instance.units - placed) // instance.lump)
    bound = -np.inf if result.mip_dual_bound is None else float(result.mip_dual_bound)
    # What the solver forgives in a row or in the objective must not be taken for proof.
    return WholeAnswer(plan=plan, bound=bound - 1e-9 * abs(bound) - (0.0 if result.status == 0 else 1e-6))
