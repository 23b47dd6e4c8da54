"""Every job of a portfolio completed, with its prices and tables: alike jobs are prepared once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from optimizer.search.portfolio.request import Content, Request
from optimizer.workload.job_limits import deadline_moment

from .portfolio_limits import slot_numbers
from .preparing import prepare
from .price_store import opened

if TYPE_CHECKING:
    from datetime import datetime

    from cache.store import PriceStore
    from optimizer.workload.job_input import JobInput
    from optimizer.workload.portfolio_file import PortfolioInput, PortfolioJob
    from providers.gpus import GpuTable
    from providers.offer import Offer, PriceSnapshot

    from .preparing import Prepared
    from .settings import Settings
    from .tables import Knowledge

FAR_DEADLINE = "1h"
"""Stands in for the deadline of a job while what it shares with others is prepared; never judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRequests:
    """The requests in the order of the file, and what each distinct content was prepared from."""

    requests: tuple[Request, ...]
    prepared: tuple[Prepared, ...]

    def offers(self) -> tuple[Offer, ...]:
        """Return the offers of all price lists that the jobs see."""
        lists = {one.snapshot.sha256: one.snapshot.offers for one in self.prepared}
        return tuple(offer for offers in lists.values() for offer in offers)


class _OneReading:
    """A store that is opened when it is needed and read once: every job sees the same prices."""

    def __init__(self, settings: Settings, gpus: GpuTable, store: PriceStore | None) -> None:
        self._settings, self._gpus, self._store = settings, gpus, store
        self._read: dict[datetime, PriceSnapshot] = {}

    def snapshot(self, *, now: datetime) -> PriceSnapshot:
        """Return the prices known at `now`."""
        if now not in self._read:
            with opened(self._settings, self._gpus, self._store) as here:
                self._read[now] = here.snapshot(now=now)
        return self._read[now]


def prepare_requests(
    asked: PortfolioInput,
    *,
    flags: JobInput | None,
    now: datetime,
    settings: Settings,
    store: PriceStore | None,
    tables: Knowledge,
) -> PreparedRequests:
    """Return the jobs as the search takes them. Raises as `preparing.prepare` does, naming the job."""
    numbers = slot_numbers(asked, now=now)
    found: dict[str, tuple[Content, Prepared]] = {}
    requests = []
    once = _OneReading(settings, tables.gpus, store)
    for job in asked.jobs:
        said = job.said.overridden_by(flags)
        key = _likeness(said)
        if key not in found:
            # Own offers alone need no database.
            alone = store is None and bool(settings.only_offers if said.only_offers is None else said.only_offers)
            given = None if alone else once
            ready = prepare(said, now=now, settings=settings, store=given, tables=tables, where=job.where)
            plain = replace(ready.job, name="", deadline_at=None, budget_usd=None)
            found[key] = (Content(job=plain, snapshot=ready.snapshot, tables=ready.tables.search), ready)
        requests.append(_request(job, said, found[key][0], numbers, now=now))
    return PreparedRequests(requests=tuple(requests), prepared=tuple(ready for _, ready in found.values()))


def _likeness(said: JobInput) -> str:
    """Return what alike jobs share: all that was said but name, deadline and budget (and whether those were said)."""
    values = {key: value for key, value in said.said().items() if key != "name"}
    values |= {key: FAR_DEADLINE for key in ("deadline", "budget") if key in values}
    return repr(sorted(values.items()))


def _request(job: PortfolioJob, said: JobInput, content: Content, numbers: dict[str, int], *, now: datetime) -> Request:
    return Request(
        name=job.name,
        content=content,
        deadline_at=deadline_moment(said.deadline, now=now, where=job.where),
        budget_usd=said.budget,
        priority=job.priority,
        team=job.team,
        slots=tuple(sorted(numbers[name] for name in job.slots)),
    )
