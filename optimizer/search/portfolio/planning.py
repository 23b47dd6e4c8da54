"""The use case `portfolio`: from jobs, quotas, slots and budgets to who runs where, or why not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from optimizer.search.constraints import SIMPLER
from optimizer.search.planner import snapshot_report
from optimizer.search.showing import candidate_at
from providers.errors import SolverFailed

from .assembling import Group, groups_of, instance_of, likeness, row_name
from .job_columns import Markets, Patterns, columns_of, job_of, starting
from .reasons import Explainer, Told, own_limits
from .results import (
    PlacedJob,
    Portfolio,
    PortfolioSolver,
    PortfolioStatus,
    QuotaUse,
    Reason,
    SolverStatus,
    UnplacedJob,
)
from .solving import ASKED_GAP, gap_ppm, solve_portfolio
from .totals import team_totals, total_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from optimizer.search.results import Candidate

    from .instance import Instance
    from .job_columns import JobColumns
    from .request import Limits, Request
    from .solving import Solved

MOST_EXPLAINED = 12
"""Kinds of jobs that fit nowhere of which the way out is looked for: each takes a wide survey, up to half a second."""


def plan_portfolio(
    requests: Sequence[Request],
    limits: Limits,
    *,
    now: datetime,
    time_limit_s: float | None = None,
    clock: Callable[[], float] | None = None,
) -> Portfolio:
    """Return who runs where at the least expected cost, as many jobs as can be being placed, priority by priority.

    `requests` have different names, at least one. `clock` (seconds, monotonic) is what `time_limit_s`, for the solver
    alone, is measured by. Raises JobError when no recipe makes sense for a job, PricesUnavailable when no offer can be
    used, SolverFailed when the answer does not survive its checks.
    """
    return _Planning(requests, limits, now=now, time_limit_s=time_limit_s, clock=clock).answer()


class _Planning:
    """One portfolio on its way from requests to an answer."""

    def __init__(
        self,
        requests: Sequence[Request],
        limits: Limits,
        *,
        now: datetime,
        time_limit_s: float | None,
        clock: Callable[[], float] | None,
    ) -> None:
        self.requests, self.limits, self.now = requests, limits, now
        self.clock = clock
        self.time_limit_s = time_limit_s
        self.started = clock() if clock else 0.0
        self.surveyed_s = 0.0
        self.markets = Markets(now)
        self.patterns = Patterns(limits)
        self.money_matters = bool(limits.budgets()) or any(
            one.content.job.runs > 1 and one.budget_usd is not None for one in requests
        )

    def answer(self) -> Portfolio:
        columns = self._columns()
        self.surveyed_s = self._seconds()
        groups, instance, solved = self._solve(columns)
        lifted = self._lifted(groups, columns, solved)
        if lifted is not None:
            again = self._solve(lifted)
            if again[2].plan.key(again[1])[0] < solved.plan.key(instance)[0]:
                groups, instance, solved = again
        done = self._seconds()
        placed, told = self._shown(groups, instance, solved)
        return self._portfolio(
            placed, told, instance, solved, timings={"survey": self.surveyed_s, "solver": done - self.surveyed_s}
        )

    def _seconds(self) -> float:
        return self.clock() - self.started if self.clock else 0.0

    def _columns(self) -> list[JobColumns]:
        """Return the columns of every request; alike ones share theirs. Contents are looked at one after the other."""
        found: dict[tuple[object, ...], JobColumns] = {}
        for at in self._by_content(range(len(self.requests))):
            key = likeness(self.requests[at])
            if key not in found:
                found[key] = columns_of(
                    self.requests[at], self.markets, self.patterns, money_matters=self.money_matters
                )
        return [found[likeness(request)] for request in self.requests]

    def _by_content(self, requests: Sequence[int]) -> list[int]:
        """Return the positions of requests so that those of one content follow each other: few markets are held."""
        first: dict[int, int] = {}
        for at, one in enumerate(requests):
            first.setdefault(id(self.requests[one].content), at)
        return sorted(range(len(requests)), key=lambda at: (first[id(self.requests[requests[at]].content)], at))

    def _solve(self, columns: Sequence[JobColumns]) -> tuple[tuple[Group, ...], Instance, Solved]:
        groups = groups_of(self.requests, columns)
        instance = instance_of(self.requests, groups, self.patterns)
        left = self.time_limit_s
        if left is not None:
            left = max(0.0, left - (self._seconds() - self.surveyed_s))
        solved = solve_portfolio(
            instance,
            names=lambda kind, at: row_name(self.requests, groups, self.patterns, kind, at),
            time_limit_s=left,
            clock=self.clock,
        )
        return groups, instance, solved

    def _lifted(
        self, groups: Sequence[Group], columns: Sequence[JobColumns], solved: Solved
    ) -> list[JobColumns] | None:
        """Return the columns with recipes that are not needed, for jobs left out; None where that adds nothing.

        As in `plan`: the preference for simpler recipes never keeps a job from being placed.
        """
        changed = list(columns)
        found: dict[tuple[object, ...], JobColumns] = {}
        for at in np.flatnonzero(solved.plan.left_out).tolist():
            group = groups[at]
            if group.columns.lifted or group.columns.count == 0:
                continue
            request = self.requests[group.members[0]]
            key = likeness(request)
            if key not in found:
                found[key] = columns_of(
                    request, self.markets, self.patterns, money_matters=self.money_matters, lifted=True
                )
            if found[key].count:
                for member in group.members:
                    changed[member] = found[key]
        return changed if any(one is not other for one, other in zip(changed, columns, strict=True)) else None

    def _shown(
        self, groups: Sequence[Group], instance: Instance, solved: Solved
    ) -> tuple[dict[int, PlacedJob], dict[int, Told]]:
        """Return what carries each placed request, and why the others are not placed, by position."""
        placed: dict[int, PlacedJob] = {}
        told: dict[int, Told] = {}
        plan = solved.plan
        explainer = Explainer(instance, plan, self.limits)
        owner = np.searchsorted(instance.start, plan.columns, side="right") - 1
        looked = 0
        for at in self._by_content([group.members[0] for group in groups]):
            group = groups[at]
            mine = np.flatnonzero(owner == at)
            units = [(int(plan.columns[one] - instance.start[at]), int(plan.counts[one])) for one in mine]
            for member, share in _shares(group, units, lump=int(instance.lump[at])):
                placed[member] = self._placed(self.requests[member], group.columns, share)
            left = [member for member in group.members if member not in placed]
            if not left:
                continue
            if group.columns.count:
                why = explainer.why(at)
            elif looked < MOST_EXPLAINED:
                looked += 1
                why = own_limits(self.requests[left[0]], self.limits, now=self.now)
            else:
                why = Told(
                    reason=Reason.LIMITS,
                    limit="",
                    sentence="No machine keeps the job's own limits; `tunefare plan` on it alone says which to relax.",
                )
            told.update(dict.fromkeys(left, why))
        return placed, told

    def _placed(self, request: Request, columns: JobColumns, share: Sequence[tuple[int, int]]) -> PlacedJob:
        job = job_of(request)
        choices = [self._candidate(request, columns, at, units) for at, units in share]
        order = sorted(range(len(choices)), key=lambda one: choices[one].quote.expected_usd_micro)
        slots = [self.limits.slots[int(columns.slot[share[one][0]])] for one in order]
        return PlacedJob(
            job=job,
            priority=request.priority,
            team=request.team,
            choices=tuple(choices[one] for one in order),
            starts_s=tuple(slot.start_s for slot in slots),
            slots=tuple(slot.name for slot in slots),
        )

    def _candidate(self, request: Request, columns: JobColumns, at: int, runs: int) -> Candidate:
        """Return a column as a candidate. Raises SolverFailed where its exact cost is not that of the column."""
        start_s = self.limits.slots[int(columns.slot[at])].start_s
        market = self.markets.of(request.content, starting(job_of(request), start_s))
        if columns.lifted:
            market = market.without(SIMPLER)
        found = candidate_at(market, int(columns.place[at]), int(columns.hardware[at]), runs=runs)
        exact = found.quote.expected_usd_micro
        if abs(exact - columns.cost_micro[at]) > 3.0 + 1e-9 * exact:
            raise SolverFailed(
                f"job {request.name!r} costs {exact} micro-dollars in Decimal, {columns.cost_micro[at]:.0f} in columns"
            )
        return found

    def _portfolio(
        self,
        placed: dict[int, PlacedJob],
        told: dict[int, Told],
        instance: Instance,
        solved: Solved,
        *,
        timings: dict[str, float],
    ) -> Portfolio:
        shown = [placed[at] for at in sorted(placed)]
        total = total_of(shown)
        first = self.requests[0]
        snapshot = snapshot_report(self.markets.of(first.content, job_of(first)), first.content.snapshot)
        unplaced = tuple(
            UnplacedJob(
                job=job_of(self.requests[at]),
                priority=self.requests[at].priority,
                team=self.requests[at].team,
                reason=told[at].reason,
                limit=told[at].limit,
                sentence=told[at].sentence,
            )
            for at in sorted(told)
        )
        return Portfolio(
            status=_status(len(shown), len(unplaced)),
            made_at=self.now,
            placed=tuple(shown),
            unplaced=unplaced,
            total=total,
            teams=team_totals(self.requests, shown, self.limits),
            quotas=self._quota_use(instance, solved),
            solver=_report(solved, total.expected_usd_micro, timings if self.clock else {}),
            snapshot=snapshot,
            notes=(),
            order=tuple(request.name for request in self.requests),
        )

    def _quota_use(self, instance: Instance, solved: Solved) -> tuple[QuotaUse, ...]:
        used = np.zeros(len(self.limits.quotas), dtype=np.int64)
        for column, count in zip(solved.plan.columns, solved.plan.counts, strict=True):
            used += np.where(instance.patterns[instance.pattern[column]], instance.gpus[column] * count, 0)
        lists = {request.content.snapshot.sha256: request.content.snapshot.offers for request in self.requests}
        offers = {offer.key: offer for known in lists.values() for offer in known}.values()
        return tuple(
            QuotaUse(
                quota=row.quota,
                slot=self.limits.slots[row.slot].name,
                used=int(used[at]),
                saves_usd_micro=round(float(solved.quota_prices[at])),
                places_ppm=round(float(solved.placing[at]) * 1e6),
                offers=sum(row.quota.covers(offer) for offer in offers),
            )
            for at, row in enumerate(self.limits.quotas)
        )


def _shares(group: Group, units: Sequence[tuple[int, int]], *, lump: int) -> list[tuple[int, list[tuple[int, int]]]]:
    """Return which member takes which columns: a sweep all of them, of alike jobs the first the cheapest."""
    if lump > 1:
        return [(group.members[0], list(units))] if units else []
    spread = [column for column, count in sorted(units) for _ in range(count)]
    return [(member, [(column, 1)]) for member, column in zip(group.members, spread, strict=False)]


def _status(placed: int, unplaced: int) -> PortfolioStatus:
    if not unplaced:
        return PortfolioStatus.COMPLETE
    return PortfolioStatus.PARTIAL if placed else PortfolioStatus.INFEASIBLE


def _report(solved: Solved, total_micro: int, timings: dict[str, float]) -> PortfolioSolver:
    # The exact total may lie a few micro-dollars beside the columns that were compared with the bound.
    bound = min(solved.bound_micro, total_micro)
    gap = gap_ppm(total_micro, bound)
    proven = solved.fewest_proven and gap <= ASKED_GAP * 1e6 + 1
    status = SolverStatus.OPTIMAL if proven else SolverStatus.TIME_LIMIT if solved.timed_out else SolverStatus.GAP
    return PortfolioSolver(
        status=status,
        gap_ppm=gap,
        bound_usd_micro=bound,
        fewest_unplaced_proven=solved.fewest_proven,
        columns=solved.columns,
        iterations=solved.iterations,
        held=solved.held,
        timings_s=timings,
    )


def with_notes(answer: Portfolio, notes: Sequence[str]) -> Portfolio:
    """Return the answer with further notes in front of its own."""
    return replace(answer, notes=(*notes, *answer.notes))
