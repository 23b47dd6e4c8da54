"""The use case `explain --why-not`: why an instance, a region or a method lost, in a sentence with numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from optimizer.search import explain
from optimizer.search.offers_columns import machine_of

from .calibration_notes import calibration_notes, report_on
from .preparing import COMMAND_LINE, prepare
from .quotas import quotas_of

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from cache.store import PriceStore
    from optimizer.search.results import Explanation
    from optimizer.workload.job import Job
    from optimizer.workload.job_input import JobInput

    from .settings import Settings
    from .tables import Knowledge


def explain_job(
    inputs: JobInput | Job | Path | str | None = None,
    *,
    why_not: str,
    flags: JobInput | None = None,
    now: datetime | str | None = None,
    settings: Settings | None = None,
    store: PriceStore | None = None,
    tables: Knowledge | None = None,
    where: str = COMMAND_LINE,
) -> Explanation:
    """Return why `why_not` ("H100 in us-east-1", "qlora", "spot") is not the choice. Errors as in `plan_job`."""
    ready = prepare(inputs, flags=flags, now=now, settings=settings, store=store, tables=tables, where=where)
    quotas, quota_notes = quotas_of(ready)
    answer = explain.why_not(ready.job, ready.snapshot, ready.tables.search, now=ready.now, spec=why_not, quotas=quotas)
    shown = [one for one in (answer.candidate, answer.choice) if one is not None]
    placed = [(one.recipe, machine_of(one.offer, ready.tables.gpus, nodes=one.nodes)) for one in shown]
    return replace(
        answer,
        made_at=ready.now,
        notes=(*ready.price_notes, *quota_notes, *calibration_notes(ready.calibration, ready.job, placed)),
        calibration=report_on(ready.calibration, ready.job),
    )
