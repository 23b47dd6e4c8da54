"""A portfolio solved: who can be placed, class by class of priority, then at what least cost, with a proven gap."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor
from typing import TYPE_CHECKING

import numpy as np

from providers.errors import SolverFailed

from .column_generation import TimeLeft, relax, worth_of_more
from .goal import OUT, SHARE, UNIT_MICRO, fewest_out, least_cost
from .instance import usable
from .placement import Load, Placement, by_need, greedy, improved, place_rest, verify
from .pricing import best_of_each, no_duals
from .within_budgets import solve_within

if TYPE_CHECKING:
    from collections.abc import Callable

    from optimizer.physics.runs import Bools, Floats, Ints

    from .column_generation import Relaxation
    from .goal import Goal
    from .instance import Instance

EXACT_COLUMNS = 4_000
"""Up to so many columns left by reduced cost the integer master is solved to the end, beyond it to `ASKED_GAP`."""
ASKED_GAP = 5e-5
MOST_INTEGER_COLUMNS = 30_000
NODES = 2_000
FEW = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """A verified plan, the bound on its cost, and what the linear relaxation says of its rows.

    `columns` of the plan are positions in the instance that was given.
    """

    plan: Placement
    bound_micro: int
    """No plan that leaves out as many jobs of each class costs less."""
    fewest_proven: bool
    """Whether it is proven that no plan leaves out fewer, class by class."""
    timed_out: bool
    iterations: int
    columns: int
    """Columns that keep every row on their own."""
    held: int
    """Columns that the masters held in the end."""
    quota_prices: Floats
    """Shape (Q,): micro-dollars that one more GPU saves, at least 0, by the linear relaxation."""
    budget_prices: Floats
    """Shape (B,): dollars that one more dollar of budget saves, at least 0."""
    placing: Floats
    """Shape (Q,): jobs that one more GPU places, by the relaxation of the first class that is not placed whole."""


def gap_ppm(cost_micro: int, bound_micro: int) -> int:
    """Return how far a cost may be above the least, in millionths of the cost, rounded up."""
    if cost_micro <= bound_micro:
        return 0
    return ceil((cost_micro - bound_micro) * 1_000_000 / cost_micro)


def solve_portfolio(
    instance: Instance,
    *,
    names: Callable[[str, int], str] = lambda kind, at: f"{kind} {at}",
    time_limit_s: float | None = None,
    clock: Callable[[], float] | None = None,
) -> Solved:
    """Return a plan of all jobs with its bound; the best found when the time runs out, which may be at once.

    `clock` gives seconds; without one nothing stops early. Raises SolverFailed when the answer does not survive the
    check in integers, or costs less than the bound allows.
    """
    ends = None if time_limit_s is None or clock is None else clock() + time_limit_s
    left_s: TimeLeft = (lambda: np.inf) if ends is None or clock is None else (lambda: ends - clock())
    kept = usable(instance)
    small = instance.only(kept)
    search = _Search(small, left_s)
    search.start()
    search.place()
    search.cheapen()
    positions = np.flatnonzero(kept)
    found = search.best
    plan = Placement(columns=positions[found.columns], counts=found.counts, left_out=found.left_out)
    verify(instance, plan, names)
    cost = plan.cost_micro(instance)
    bound = search.bound_micro()
    if bound > cost:
        raise SolverFailed(f"the plan costs {cost} micro-dollars, less than the bound of {bound} allows")
    return Solved(
        plan=plan,
        bound_micro=bound,
        fewest_proven=search.fewest_proven,
        timed_out=search.timed_out,
        iterations=search.iterations,
        columns=small.count,
        held=search.held,
        quota_prices=np.maximum(-search.duals.quota, 0.0) * UNIT_MICRO,
        budget_prices=np.maximum(-search.duals.budget, 0.0),
        placing=search.placing,
    )


class _Search:
    """The state of one solve: the best plan so far, and what is proven of it."""

    def __init__(self, instance: Instance, left_s: TimeLeft) -> None:
        self.instance = instance
        self.left_s = left_s
        self.fewest_proven = True
        self.timed_out = False
        self.iterations = 0
        self.held = 0
        self.placing: Floats = np.zeros(instance.capacity.shape[0])
        self.duals = no_duals(instance)
        self._bound = -np.inf

    def start(self) -> None:
        """Find a plan by hand: greedy by cost, and by cost a GPU where that places more."""
        one = self.instance
        order = by_need(one)
        plans = [greedy(one, one.cost_micro, order), greedy(one, one.gpus.astype(np.float64), order)]
        self.best = improved(one, min(plans, key=lambda plan: plan.key(one)), stop=lambda: self.left_s() <= 0.0)

    def place(self) -> None:
        """Leave out as few jobs as can be, class by class; what is proven of a class binds the later ones."""
        one = self.instance
        for rank in range(one.classes):
            out = self.best.out_by_class(one)
            if out[rank] == self._hopeless(rank):
                continue
            if self.left_s() <= 0.0:
                self.timed_out, self.fewest_proven = True, False
                return
            self._place_class(rank, out)

    def _hopeless(self, rank: int) -> int:
        """Return how many jobs of a class have no column that keeps every row on its own."""
        one = self.instance
        return int(one.lumps[(one.rank == rank) & (np.diff(one.start) == 0)].sum())

    def _place_class(self, rank: int, out: Ints) -> None:
        jobs = np.flatnonzero(self.instance.rank <= rank)
        part = self.instance.of_jobs(jobs)
        columns = np.flatnonzero((self.instance.rank <= rank)[self.instance.owner()])
        known = self._restricted(jobs, columns)
        goal = fewest_out(part, rank=rank, most_out=out[: part.classes])
        relaxed = relax(part, goal, known, left_s=self.left_s)
        self.iterations += relaxed.rounds
        least = _jobs_at_least(relaxed.bound)
        if out[rank] > least:
            # What greedy by cost leaves no room for, greedy by reduced cost often does: it knows what is scarce.
            by_hand = greedy(part, relaxed.pricing.reduced, by_need(part))
            if by_hand.out_by_class(part).tolist() < out[: part.classes].tolist():
                self._adopt(jobs, columns, by_hand)
                out = self.best.out_by_class(self.instance)
        for near in self._of_stage(part, relaxed):
            if self.best.out_by_class(self.instance)[rank] <= least or self.left_s() <= 0.0:
                break
            least = max(least, self._place_by_solver(rank, (jobs, columns), part, goal, near))
        still_out = self.best.out_by_class(self.instance)[rank]
        if still_out > self._hopeless(rank) and not self.placing.any():
            worth = worth_of_more(part, goal, relaxed, left_s=self.left_s)
            self.placing = np.maximum(-worth.quota, 0.0) / OUT
        if still_out > least:
            self.fewest_proven = False
            self.timed_out |= self.left_s() <= 0.0

    def _of_stage(self, part: Instance, relaxed: Relaxation) -> tuple[Ints, Ints]:
        """Return the columns of a first, quick integer master, and of the one that is to prove something."""
        few = np.zeros(part.count, dtype=np.bool_)
        few[best_of_each(part, relaxed.pricing.reduced, np.arange(part.count), per_job=FEW)] = True
        if relaxed.answer is not None:
            few[relaxed.solved[relaxed.answer.value > 1e-9]] = True
        every = part.count <= EXACT_COLUMNS
        return np.flatnonzero(few), np.arange(part.count) if every else np.flatnonzero(relaxed.held)

    def _place_by_solver(self, rank: int, whose: tuple[Ints, Ints], part: Instance, goal: Goal, near: Ints) -> int:
        """Leave out fewer jobs of a class by an integer master; return how many must be left out, as far as proven."""
        out = self.best.out_by_class(self.instance)
        gap = min(0.02, 0.4 / max(1, int(out.max())))
        found = solve_within(part, goal, near, relative_gap=gap, left_s=self.left_s, nodes=NODES)
        if found.plan is not None and found.plan.out_by_class(part)[rank] < out[rank]:
            self._adopt(*whose, found.plan)
        return _jobs_at_least(found.bound) if near.size == part.count and np.isfinite(found.bound) else 0

    def _restricted(self, jobs: Ints, columns: Ints) -> Placement:
        """Return the best plan for some of the jobs alone, its columns counted among theirs."""
        mine = np.isin(self.best.columns, columns)
        return Placement(
            columns=np.searchsorted(columns, self.best.columns[mine]),
            counts=self.best.counts[mine],
            left_out=self.best.left_out[jobs],
        )

    def _adopt(self, jobs: Ints, columns: Ints, found: Placement) -> None:
        """Take over a plan of some jobs and let the others be placed by hand around it."""
        one = self.instance
        counts = dict(zip(columns[found.columns].tolist(), found.counts.tolist(), strict=True))
        self.best = improved(one, _completed(one, counts, jobs))

    def cheapen(self) -> None:
        """Make the plan as cheap as can be without leaving out more jobs of any class."""
        one = self.instance
        goal = least_cost(one, self.best.out_by_class(one))
        owner = one.owner()
        relaxed = relax(one, goal, self.best, left_s=self.left_s, owner=owner)
        self.iterations += relaxed.rounds
        self._bound = relaxed.bound
        self.duals = worth_of_more(one, goal, relaxed, left_s=self.left_s)
        self.held = int(np.count_nonzero(relaxed.held))
        if not relaxed.finished:
            self.timed_out = True
        elif not self._is_closed():
            self._try(greedy(one, relaxed.pricing.reduced, by_need(one)))
            self._integer(goal, relaxed)

    def _integer(self, goal: Goal, relaxed: Relaxation) -> None:
        """Solve integer masters: over the columns nearest to the relaxation, then over all that may be in a better."""
        few_left = self._near(relaxed, None).size <= EXACT_COLUMNS
        for most in (None,) if few_left else (FEW, None):
            if self._is_closed():
                return
            if self.left_s() <= 0.0:
                self.timed_out = True
                return
            near = self._near(relaxed, most)
            whole = most is None and near.size <= MOST_INTEGER_COLUMNS
            exact = near.size <= EXACT_COLUMNS
            self.held = max(self.held, int(near.size))
            found = solve_within(
                self.instance,
                goal,
                near[:MOST_INTEGER_COLUMNS],
                relative_gap=1e-9 if exact else ASKED_GAP / 2,
                left_s=self.left_s,
                nodes=None if exact else NODES,
            )
            if found.plan is not None:
                self._try(found.plan)
            if whole:
                # A plan with any other column costs more than the best one did before this solve.
                self._bound = max(self._bound, min(found.bound, self.best.cost_micro(self.instance) / UNIT_MICRO))
            self.timed_out |= self.left_s() <= 0.0

    def _near(self, relaxed: Relaxation, most: int | None) -> Ints:
        """Return the columns that may stand in a better plan by reduced cost; with `most` few of each job."""
        one = self.instance
        sizes = np.diff(one.start)
        above = relaxed.pricing.reduced - np.repeat(np.where(sizes > 0, relaxed.pricing.least, 0.0), sizes)
        room = self.best.cost_micro(one) / UNIT_MICRO - self._bound
        near = np.flatnonzero(above <= room + 1e-6)
        if most is not None:
            near = best_of_each(one, above, near, per_job=most)
            extra: Bools = np.zeros(one.count, dtype=np.bool_)
            extra[near] = True
            extra[self.best.columns] = True
            if relaxed.answer is not None:
                extra[relaxed.solved[relaxed.answer.value > 1e-9]] = True
            return np.flatnonzero(extra)
        return near

    def _try(self, plan: Placement) -> None:
        plan = improved(self.instance, plan, stop=lambda: self.left_s() <= 0.0)
        if plan.key(self.instance) < self.best.key(self.instance):
            self.best = plan

    def _is_closed(self) -> bool:
        cost = self.best.cost_micro(self.instance) / UNIT_MICRO
        exact = self.instance.count <= EXACT_COLUMNS
        return cost - self._bound <= (5e-4 if exact else ASKED_GAP * cost)

    def bound_micro(self) -> int:
        """Return the bound in whole micro-dollars: costs are whole, so a broken bound may be rounded up."""
        bound = self._bound * UNIT_MICRO
        cost = self.best.cost_micro(self.instance)
        if not np.isfinite(bound):
            return 0
        rounded = ceil(bound - 1e-3 - 1e-12 * abs(bound))
        # Between the bound and the plan there may be nothing but what floats lose.
        return cost if floor(bound) <= cost < rounded <= cost + 2 else rounded


def _jobs_at_least(bound: float) -> int:
    """Return how many jobs of the class are left out at least, by a bound on the goal `fewest_out`."""
    return ceil(bound / OUT - SHARE - 1e-6)


def _completed(instance: Instance, counts: dict[int, int], jobs: Ints) -> Placement:
    """Return the plan that holds `counts` for some jobs and places the others by hand, in the order of need."""
    load = Load(instance)
    for column, units in counts.items():
        load.put(int(np.searchsorted(instance.start, column, side="right")) - 1, column, units)
    rest = [int(job) for job in by_need(instance) if job not in set(jobs.tolist())]
    return place_rest(load, instance.cost_micro, rest)
