"""The columns of one job: every bill that keeps its own limits, in every slot where it may start."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from optimizer.search.candidates import affordable_bills
from optimizer.search.choice import ranking
from optimizer.search.constraints import SIMPLER, Slack, bit
from optimizer.search.market import survey
from optimizer.search.pareto import undominated
from optimizer.search.spot_vetted import vetted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from optimizer.physics.runs import Bools, Floats, Ints
    from optimizer.search.market import Market
    from optimizer.workload.job import Job

    from .request import Content, Limits, Request

DEADLINE = "deadline"
MOST_MARKETS = 6
"""Surveyed markets that are kept at one time: each takes tens of megabytes, and another survey less than 0.1 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobColumns:
    """The columns of a job, best first: place and hardware row of the market, start slot, money, GPUs, pattern."""

    place: Ints
    hardware: Ints
    slot: Ints
    cost_micro: Floats
    high_micro: Floats
    gpus: Ints
    pattern: Ints
    lifted: bool = False
    """Recipes that are not needed take part, because nothing keeps the job's limits without them."""

    @property
    def count(self) -> int:
        """Number of columns."""
        return int(self.place.shape[0])


class Markets:
    """Surveyed markets by content; those asked for last are kept.

    What a job may cost and where it may run hangs on its deadline through one limit alone, so jobs that differ in
    deadline share a survey; not so on spot machines, whose bills may depend on the time that is left.
    """

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._held: dict[tuple[int, datetime | None], Market] = {}
        self._spot: dict[int, bool] = {}

    def of(self, content: Content, job: Job) -> Market:
        """Return the market of a job of that content, judged by the job's own deadline and budget.

        Raises as `survey` does.
        """
        spot = self._spot.get(id(content))
        key = (id(content), job.deadline_at if spot else None)
        market = self._held.pop(key, None)
        if market is None:
            asked = content.job if not spot else replace(content.job, deadline_at=job.deadline_at)
            market = survey(asked, content.snapshot, content.tables, now=self._now)
        if spot is None:
            self._spot[id(content)] = bool(market.offers.spot[market.places.offer[market.places.broken == 0]].any())
            if self._spot[id(content)] and job.deadline_at is not None:
                return self.of(content, job)
        self._held[key] = market
        while len(self._held) > MOST_MARKETS:
            self._held.pop(next(iter(self._held)))
        return judged(market, job)


def judged(market: Market, job: Job) -> Market:
    """Return a market, surveyed without a deadline or with the job's own, as the job sees it."""
    rows = market.hardware
    if job.deadline_at is None or DEADLINE in rows.slacks:
        return replace(market, job=job)
    allowed = np.full(rows.finish_s.shape, (job.deadline_at - market.now).total_seconds())
    slack = Slack(needed=rows.finish_s, allowed=allowed, margin=allowed - rows.finish_s)
    hardware = replace(
        rows,
        slacks={**rows.slacks, DEADLINE: slack},
        broken=rows.broken | np.where(slack.broken, bit(DEADLINE), 0),
    )
    return replace(market, job=job, hardware=hardware)


class Patterns:
    """The sets of quota rows that columns count against, numbered as they turn up."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._starts = np.array([slot.start_s for slot in limits.slots])
        self._index: dict[tuple[int, ...], int] = {}
        self._sets: dict[int, tuple[Ints, list[Ints]]] = {}

    def matrix(self) -> Bools:
        """Return the patterns so far, shape (P, Q)."""
        found = np.zeros((max(1, len(self._index)), len(self.limits.quotas)), dtype=np.bool_)
        for rows, at in self._index.items():
            found[at, list(rows)] = True
        return found

    def of(self, content: Content, market: Market, offer: Ints, *, slot: int, finish_s: Floats) -> Ints:
        """Return the pattern of runs on offers that start in a slot and are over `finish_s` later, shape (n,)."""
        group, covered = self._covered(content, market)
        start = self._starts[slot]
        # A run that ends as a slot begins takes nothing of it.
        last = np.maximum(np.searchsorted(self._starts, start + finish_s, side="left") - 1, slot)
        pair = group[offer] * len(self.limits.slots) + last
        pairs, inverse = np.unique(pair, return_inverse=True)
        found = [
            self._number(covered[one // len(self.limits.slots)], slot, one % len(self.limits.slots)) for one in pairs
        ]
        return np.array(found, dtype=np.int64)[inverse.ravel()] if found else np.zeros(0, dtype=np.int64)

    def _number(self, rows: Ints, first: int, last: int) -> int:
        kept = tuple(int(row) for row in rows if first <= self.limits.quotas[row].slot <= last)
        return self._index.setdefault(kept, len(self._index))

    def _covered(self, content: Content, market: Market) -> tuple[Ints, list[Ints]]:
        """Return for each offer its group, and for each group the quota rows, of all slots, that cover it."""
        if id(content) not in self._sets:
            quotas = {row.quota for row in self.limits.quotas}
            masks = {quota: np.array([quota.covers(offer) for offer in market.offers.offers]) for quota in quotas}
            rows = [masks[row.quota] for row in self.limits.quotas]
            table = np.array(rows, dtype=np.bool_).reshape(len(rows), market.offers.count)
            groups, index = np.unique(table, axis=1, return_inverse=True)
            self._sets[id(content)] = (index.ravel(), [np.flatnonzero(groups[:, at]) for at in range(groups.shape[1])])
        return self._sets[id(content)]


def job_of(request: Request) -> Job:
    """Return the complete job of a request."""
    return replace(
        request.content.job,
        name=request.name,
        deadline_at=request.deadline_at,
        budget_usd=request.budget_usd,
    )


def starting(job: Job, start_s: float) -> Job:
    """Return a job as one sees it that starts so much later: with so much less time."""
    if job.deadline_at is None or start_s == 0.0:
        return job
    return replace(job, deadline_at=job.deadline_at - timedelta(seconds=start_s))


def columns_of(
    request: Request, markets: Markets, patterns: Patterns, *, money_matters: bool, lifted: bool = False
) -> JobColumns:
    """Return the columns of a job that no other of its pattern beats in cost, GPUs and, with budgets, high end.

    Of equals the one stays that `plan` would take, of the same machine the earlier start. `lifted` lets recipes take
    part that are not needed; they do anyway where nothing keeps the job's limits without them.
    """
    limits = patterns.limits
    slots = request.slots or tuple(range(len(limits.slots)))
    parts = [_in_slot(request, markets, patterns, slot, lifted=lifted) for slot in slots]
    merged = _joined(parts, lifted=lifted)
    if merged.count == 0:
        return merged if lifted else columns_of(request, markets, patterns, money_matters=money_matters, lifted=True)
    order = np.argsort(merged.pattern, kind="stable")
    values = [order.astype(np.float64), merged.gpus[order].astype(np.float64)]
    if money_matters:
        values.append(merged.high_micro[order])
    kept = np.sort(order[undominated(merged.pattern[order], values)])
    return _taken(merged, kept)


def _in_slot(request: Request, markets: Markets, patterns: Patterns, slot: int, *, lifted: bool) -> JobColumns:
    """Return the columns of a start slot in the order of `plan`."""
    start_s = patterns.limits.slots[slot].start_s
    job = starting(job_of(request), start_s)
    market = markets.of(request.content, job)
    late = job.deadline_at is not None and job.deadline_at <= market.now
    if lifted:
        if SIMPLER not in market.hardware.slacks:
            late = True  # nothing to lift: what there is was looked at
        market = market.without(SIMPLER)
    affordable, _ = affordable_bills(market)
    bills = vetted(market, affordable)
    bills = bills.take(np.zeros(0, dtype=np.int64) if late else ranking(market, bills))
    offer = market.places.offer[bills.place]
    counts = np.array([one.gpu_count for one in market.offers.offers], dtype=np.int64)
    return JobColumns(
        place=bills.place,
        hardware=bills.hardware,
        slot=np.full(bills.count, slot),
        cost_micro=bills.expected_micro,
        high_micro=bills.high_micro,
        gpus=counts[offer] * market.places.nodes[bills.place],
        pattern=patterns.of(
            request.content, market, offer, slot=slot, finish_s=market.hardware.finish_s[bills.hardware]
        ),
        lifted=lifted,
    )


def _joined(parts: Sequence[JobColumns], *, lifted: bool) -> JobColumns:
    """Return the columns of all slots, cheapest first; of equal cost in the order of each slot, the earlier first."""
    names = ("place", "hardware", "slot", "cost_micro", "high_micro", "gpus", "pattern")
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    position = np.concatenate([np.arange(part.count) for part in parts])
    order = np.lexsort((arrays["slot"], position, arrays["cost_micro"]))
    return JobColumns(**{name: values[order] for name, values in arrays.items()}, lifted=lifted)


def _taken(columns: JobColumns, rows: Ints) -> JobColumns:
    return JobColumns(
        place=columns.place[rows],
        hardware=columns.hardware[rows],
        slot=columns.slot[rows],
        cost_micro=columns.cost_micro[rows],
        high_micro=columns.high_micro[rows],
        gpus=columns.gpus[rows],
        pattern=columns.pattern[rows],
        lifted=columns.lifted,
    )
