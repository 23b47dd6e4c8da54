"""The use case `portfolio`: from a file of many jobs to who runs where, under shared quotas and budgets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from optimizer.search.offers_columns import machine_of
from optimizer.search.portfolio.planning import plan_portfolio, with_notes
from optimizer.workload.portfolio_file import PortfolioInput, read_portfolio_file

from .calibration_notes import calibration_notes, report_on
from .clock import current_time
from .portfolio_limits import budget_notes, limits_of, quota_notes, with_known_places
from .portfolio_requests import prepare_requests
from .preparing import COMMAND_LINE
from .settings import load_settings
from .tables import load_tables

if TYPE_CHECKING:
    from datetime import datetime

    from cache.store import PriceStore
    from optimizer.search.portfolio.request import Limits
    from optimizer.search.portfolio.results import Portfolio
    from optimizer.workload.job_input import JobInput

    from .settings import Settings
    from .tables import Knowledge

TIME_LIMIT_S = 20.0


def plan_jobs(
    source: PortfolioInput | Path | str,
    *,
    flags: JobInput | None = None,
    now: datetime | str | None = None,
    time_limit_s: float = TIME_LIMIT_S,
    settings: Settings | None = None,
    store: PriceStore | None = None,
    tables: Knowledge | None = None,
    where: str = COMMAND_LINE,
) -> Portfolio:
    """Return who runs where at the least expected cost; who cannot be placed is named with the reason, no error.

    `source` is the path of a file, or what was read from one; `flags` (prices only) win over what every job says.
    `time_limit_s` is for the solver alone: when it runs out, which may be at once, the best plan so far is the answer.
    Raises JobError, KnowledgeMissing (exit 2) and PricesUnavailable (exit 9), as `plan_job` does for each job.
    """
    asked = source if isinstance(source, PortfolioInput) else read_portfolio_file(Path(source))
    known = load_tables() if tables is None else tables
    stated = load_settings() if settings is None else settings
    idle_budgets = budget_notes(asked)
    moment = _moment(now, asked, stated, where)
    ready = prepare_requests(asked, flags=flags, now=moment, settings=stated, store=store, tables=known)
    limits = with_known_places(limits_of(asked, now=moment, gpus=known.gpus), ready.offers(), where=asked.where)
    answer = plan_portfolio(ready.requests, limits, now=moment, time_limit_s=time_limit_s, clock=perf_counter)
    first = ready.prepared[0]
    placed = [
        (one.recipe, machine_of(one.offer, known.gpus, nodes=one.nodes)) for job in answer.placed for one in job.choices
    ]
    notes = [
        *dict.fromkeys(note for one in ready.prepared for note in one.price_notes),
        *quota_notes(answer),
        *idle_budgets,
        *calibration_notes(first.calibration, first.job, placed),
        *_notes(answer, limits),
    ]
    return replace(with_notes(answer, notes), calibration=report_on(first.calibration, first.job))


def _moment(now: datetime | str | None, asked: PortfolioInput, settings: Settings, where: str) -> datetime:
    if now is not None:
        return current_time(now, where=where)
    if asked.now is not None:
        return current_time(asked.now, where=asked.where)  # type: ignore[arg-type]  # judged there
    if settings.now is not None:
        return current_time(settings.now, where="environment", key="TUNEFARE_NOW")
    return current_time()


def _notes(answer: Portfolio, limits: Limits) -> list[str]:
    """Return what a reader has to know of the answer to trust it."""
    notes = []
    if limits.slotted:
        notes.append(
            "A job holds its GPUs from its start slot to its end at the confidence asked for; prices are those of now."
        )
    elif limits.quotas:
        notes.append("All jobs start now and run at the same time: quotas hold for all of them together.")
    spot = [one for job in answer.placed for one in job.choices if one.offer.pricing_model.value == "spot"]
    if spot:
        notes.append("Interruptions of spot machines are assumed; `tunefare plan` on a job says more.")
    return notes
