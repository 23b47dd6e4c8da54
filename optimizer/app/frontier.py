"""The use case `frontier`: what a job costs against the time it takes and the quality it reaches."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from optimizer.search.choice import settle
from optimizer.search.frontier import frontier_of
from optimizer.search.market import survey
from optimizer.search.offers_columns import machine_of
from optimizer.search.planner import snapshot_report
from optimizer.search.quota_places import within_quotas

from .calibration_notes import calibration_notes, report_on
from .planning import plan_job
from .preparing import COMMAND_LINE, prepare
from .quotas import quotas_of

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from cache.store import PriceStore
    from optimizer.search.frontier import Frontier
    from optimizer.search.results import Plan
    from optimizer.workload.job import Job
    from optimizer.workload.job_input import JobInput

    from .settings import Settings
    from .tables import Knowledge


def frontier_job(
    inputs: JobInput | Job | Path | str | None = None,
    *,
    flags: JobInput | None = None,
    now: datetime | str | None = None,
    settings: Settings | None = None,
    store: PriceStore | None = None,
    tables: Knowledge | None = None,
    where: str = COMMAND_LINE,
) -> Frontier | Plan:
    """Return the cost, time and quality frontier of a job, or the infeasible plan where it would have no point.

    Arguments and errors as in `plan_job`. Deadline, budget and quality floor do not narrow the frontier: its points
    say whether they keep them.
    """
    ready = prepare(inputs, flags=flags, now=now, settings=settings, store=store, tables=tables, where=where)
    quotas, quota_notes = quotas_of(ready)
    market = within_quotas(survey(ready.job, ready.snapshot, ready.tables.search, now=ready.now), quotas)
    found = frontier_of(market, settle(market, quotas))
    if not found.points:
        return plan_job(inputs, flags=flags, now=ready.now, settings=settings, store=store, tables=tables, where=where)
    shown = [point.candidate for point in found.points]
    placed = [(one.recipe, machine_of(one.offer, ready.tables.gpus, nodes=one.nodes)) for one in shown]
    return replace(
        found,
        snapshot=snapshot_report(market, ready.snapshot),
        notes=(*ready.price_notes, *quota_notes, *calibration_notes(ready.calibration, ready.job, placed)),
        calibration=report_on(ready.calibration, ready.job),
    )
