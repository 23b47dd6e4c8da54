"""The choice: integer counts of candidates that sum to the runs, by `scipy.optimize.milp`, re-checked in plain Python.

    min sum c_k x_k    sum x_k = runs    sum h_k x_k <= budget    sum over the class of a quota g_k x_k <= its GPUs

c is the expected cost, h the high end, g the GPUs. Deadline, memory and the other limits of a single run are settled
before; so is dominance: of candidates under the same quotas with the same GPUs only those stay that no other beats in
both c and h. What is left is a handful, and never the million that the market holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optimizer.search.results import PlanStatus
from providers.errors import SolverFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scipy.optimize import LinearConstraint, OptimizeResult

    from optimizer.physics.runs import Bools, Floats, Ints
    from providers.offer import Offer

REL_GAP = 1e-9
"""Relative gap asked of the solver: its default of 1e-4 would let it stop at a plan a cent too dear."""
UNIT_MICRO = 1000.0
"""The solver counts thousandths of a dollar: it forgives 1e-6 in a row and in the objective, and a micro-dollar, the
smallest difference there is, must stay well above that."""
NARROWER = (0.0, 1e-7, 1e-6, 4e-6)
"""Shares of a budget by which it is narrowed, try after try, where the solver's plan exceeds it: it takes 0.999999 for
one, which times thousands of dollars is more than a micro-dollar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """At most `gpus` GPUs at once where the fields agree with an offer; None agrees with everything."""

    gpus: int
    provider: str | None = None
    region: str | None = None
    gpu: str | None = None
    pricing_model: str | None = None

    def covers(self, offer: Offer) -> bool:
        """Return whether an offer counts against this quota."""
        pairs = (
            (self.provider, offer.provider),
            (self.region, offer.region),
            (self.gpu, offer.gpu),
            (self.pricing_model, offer.pricing_model.value),
        )
        return all(wanted is None or wanted == has for wanted, has in pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """n candidates for the solver, best tie first: shape (n,), micro-dollars as whole float64.

    `covered` has shape (quotas, n): whether candidate k counts against a quota.
    """

    cost_micro: Floats
    high_micro: Floats
    gpus: Ints
    covered: Bools


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """How many runs each chosen column carries (position, runs), and how far from the bound the cost may be."""

    status: PlanStatus
    chosen: tuple[tuple[int, int], ...]
    gap_ppm: int
    columns: int
    """Candidates that the solver saw."""


def solve(
    columns: Columns,
    *,
    runs: int,
    budget_micro: int | None = None,
    quotas: Sequence[Quota] = (),
    time_limit_s: float = 20.0,
) -> Solution:
    """Return the cheapest assignment of `runs` runs; INFEASIBLE with nothing chosen when there is none.

    Of equals the first column wins. Raises SolverFailed when the answer does not survive the re-check.
    """
    kept = worth_solving(columns)
    if kept.size == 0:
        return Solution(status=PlanStatus.INFEASIBLE, chosen=(), gap_ppm=0, columns=0)
    result = _within_budget(
        columns, kept, runs=runs, budget_micro=budget_micro, quotas=quotas, time_limit_s=time_limit_s
    )
    # 0 optimal, 1 time or iteration limit (x is the incumbent, if there is one), 2 infeasible.
    if result.status == 2 or (result.status == 1 and result.x is None):
        status = PlanStatus.INFEASIBLE if result.status == 2 else PlanStatus.TIME_LIMIT
        return Solution(status=status, chosen=(), gap_ppm=0, columns=int(kept.size))
    if result.status not in (0, 1) or result.x is None:
        raise SolverFailed(f"the solver ended with status {result.status}: {result.message}")
    counts = _counts(kept, result)
    _verify(columns, counts, runs=runs, budget_micro=budget_micro, quotas=quotas)
    gap_ppm = _gap_ppm(columns, counts, result)
    status = PlanStatus.OPTIMAL if result.status == 0 else PlanStatus.TIME_LIMIT
    if status is PlanStatus.OPTIMAL and gap_ppm > 1:
        raise SolverFailed(f"the rounded plan is {gap_ppm} ppm above the solver's own bound")
    return Solution(status=status, chosen=tuple(sorted(counts.items())), gap_ppm=gap_ppm, columns=int(kept.size))


def worth_solving(columns: Columns) -> Ints:
    """Return the columns (positions, ascending) that no other under the same quotas beats in cost and high end.

    Fewer GPUs under the same quotas are an advantage too, so columns with different counts do not dominate each other;
    without quotas GPUs do not matter.
    """
    count = columns.cost_micro.shape[0]
    if count == 0:
        return np.zeros(0, dtype=np.int64)
    if not columns.covered.any():
        return _staircase(columns, np.arange(count))
    signature = np.vstack([columns.covered, np.where(columns.covered.any(axis=0), columns.gpus, 0)])
    _, group = np.unique(signature, axis=1, return_inverse=True)
    groups = (np.flatnonzero(group.ravel() == one) for one in range(int(group.max()) + 1))
    return np.sort(np.concatenate([_staircase(columns, members) for members in groups]))


def _staircase(columns: Columns, members: Ints) -> Ints:
    cost, high = columns.cost_micro[members], columns.high_micro[members]
    cheapest = cost.min()
    # Everything dearer than the cheapest with no lower high end than it has is dominated: few rows need sorting.
    low_high = high[cost == cheapest].min()
    rows = np.flatnonzero((cost == cheapest) | (high < low_high))
    order = rows[np.lexsort((rows, high[rows], cost[rows]))]
    running = np.minimum.accumulate(high[order])
    fresh = np.concatenate([[True], high[order][1:] < running[:-1]])
    return np.sort(members[order[fresh]])


def _within_budget(
    columns: Columns,
    kept: Ints,
    *,
    runs: int,
    budget_micro: int | None,
    quotas: Sequence[Quota],
    time_limit_s: float,
) -> OptimizeResult:
    """Return the solver's answer, asked again with a slightly narrower budget where its plan exceeds the budget."""
    allowed = budget_micro
    for share in (*NARROWER, None):
        result = _milp(columns, kept, runs=runs, budget_micro=allowed, quotas=quotas, time_limit_s=time_limit_s)
        if budget_micro is None or result.x is None or share is None:
            break
        over = _high_micro(columns, _counts(kept, result)) - budget_micro
        if over <= 0:
            break
        allowed = max(0, budget_micro - over - int(share * budget_micro))
    return result


def _counts(kept: Ints, result: OptimizeResult) -> dict[int, int]:
    return {int(kept[k]): round(value) for k, value in enumerate(result.x) if round(value)}


def _high_micro(columns: Columns, counts: dict[int, int]) -> int:
    return sum(int(columns.high_micro[k]) * count for k, count in counts.items())


def _milp(
    columns: Columns,
    kept: Ints,
    *,
    runs: int,
    budget_micro: int | None,
    quotas: Sequence[Quota],
    time_limit_s: float,
) -> OptimizeResult:
    from scipy.optimize import Bounds, LinearConstraint, milp  # a fifth of a second: as late as possible

    rows: list[LinearConstraint] = [LinearConstraint(np.ones((1, kept.size)), runs, runs)]
    if budget_micro is not None:
        # Half a micro-dollar of slack changes nothing between whole ones, and keeps every plan clear of the edge.
        high = columns.high_micro[kept][None, :] / UNIT_MICRO
        rows.append(LinearConstraint(high, -np.inf, (budget_micro + 0.5) / UNIT_MICRO))
    if quotas:
        used = np.where(columns.covered[:, kept], columns.gpus[kept], 0).astype(np.float64)
        rows.append(LinearConstraint(used, -np.inf, np.array([quota.gpus for quota in quotas], dtype=np.float64)))
    return milp(
        columns.cost_micro[kept] / UNIT_MICRO,
        integrality=np.ones(kept.size, dtype=np.int64),
        bounds=Bounds(0, runs),
        constraints=rows,
        options={"mip_rel_gap": REL_GAP, "time_limit": time_limit_s},
    )


def _verify(
    columns: Columns, counts: dict[int, int], *, runs: int, budget_micro: int | None, quotas: Sequence[Quota]
) -> None:
    """Check every row in integers. Raises SolverFailed naming the row."""
    if any(count < 0 for count in counts.values()) or sum(counts.values()) != runs:
        raise SolverFailed(f"the solver assigned {sum(counts.values())} of {runs} runs")
    if budget_micro is not None:
        high = _high_micro(columns, counts)
        if high > budget_micro:
            raise SolverFailed(f"the solver's plan may cost {high} micro-dollars, the budget is {budget_micro}")
    for row, quota in enumerate(quotas):
        used = sum(int(columns.gpus[k]) * count for k, count in counts.items() if columns.covered[row, k])
        if used > quota.gpus:
            raise SolverFailed(f"the solver's plan uses {used} GPUs of a quota of {quota.gpus}")


def _gap_ppm(columns: Columns, counts: dict[int, int], result: OptimizeResult) -> int:
    """Return how far the rounded plan lies above the solver's bound, in millionths (rounded up; 0 at the bound)."""
    cost = sum(int(columns.cost_micro[k]) * count for k, count in counts.items()) / UNIT_MICRO
    bound = result.mip_dual_bound
    if bound is None or cost <= bound * (1.0 + 1e-9) + 1e-6:
        return 0
    return int(np.ceil((cost - bound) / max(cost, 1e-9) * 1e6))
