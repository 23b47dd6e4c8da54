"""The use case `sensitivity`: what the cost of the plan of a job hangs on, and what its deadline costs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from optimizer.search.offers_columns import machine_of
from optimizer.search.sensitivity import sensitivity_of
from optimizer.search.sensitivity_drivers import DataCount

from .calibration_notes import calibration_notes, report_on
from .planning import plan_job
from .preparing import COMMAND_LINE, prepare
from .quotas import quotas_of

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from cache.store import PriceStore
    from optimizer.search.results import Plan
    from optimizer.search.sensitivity_results import Sensitivity
    from optimizer.workload.job import Job
    from optimizer.workload.job_input import JobInput

    from .settings import Settings
    from .tables import Knowledge


def sensitivity_job(
    inputs: JobInput | Job | Path | str | None = None,
    *,
    flags: JobInput | None = None,
    now: datetime | str | None = None,
    settings: Settings | None = None,
    store: PriceStore | None = None,
    tables: Knowledge | None = None,
    where: str = COMMAND_LINE,
) -> Sensitivity | Plan:
    """Return what the cost of the cheapest plan hangs on, or the infeasible plan of a job that nothing fits.

    Arguments and errors as in `plan_job`.
    """
    ready = prepare(inputs, flags=flags, now=now, settings=settings, store=store, tables=tables, where=where)
    quotas, quota_notes = quotas_of(ready)
    found = sensitivity_of(
        ready.job,
        ready.snapshot,
        ready.tables.search,
        now=ready.now,
        data=_data_count(ready.inputs, ready.job),
        quotas=quotas,
    )
    if found is None:
        return plan_job(inputs, flags=flags, now=ready.now, settings=settings, store=store, tables=tables, where=where)
    choice = found.choice
    placed = [(choice.recipe, machine_of(choice.offer, ready.tables.gpus, nodes=choice.nodes))]
    return replace(
        found,
        notes=(*ready.price_notes, *quota_notes, *calibration_notes(ready.calibration, ready.job, placed)),
        calibration=report_on(ready.calibration, ready.job),
    )


def _data_count(said: JobInput, job: Job) -> DataCount:
    """Return how the data was counted: in samples, pairs or rollouts times epochs, or in tokens alone."""
    counted = [one for one in (said.samples, said.dataset, said.pairs, said.rollouts) if one is not None]
    if not counted:
        return DataCount()
    epochs = said.epochs or 1
    return DataCount(items=max(1, job.sequences // epochs), epochs=epochs)
