"""The use case `study`: how the plan of a job fares over many scenarios of prices and speeds, on any engine."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from optimizer.search import scenario_study
from optimizer.search.offers_columns import machine_of
from providers.errors import JobError

from .calibration_notes import calibration_notes, report_on
from .preparing import COMMAND_LINE, prepare
from .quotas import idle_note, idle_quotas, job_quotas
from .study_engines import Engine, default_workers, opened_engine

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from cache.store import PriceStore
    from optimizer.search.scenario_results import Study
    from optimizer.workload.job import Job
    from optimizer.workload.job_input import JobInput

    from .settings import Settings
    from .tables import Knowledge

DEFAULT_SCENARIOS = 10_000
MOST_SCENARIOS = 1_000_000
MOST_WORKERS = 1_024


def study_job(
    inputs: JobInput | Job | Path | str | None = None,
    *,
    flags: JobInput | None = None,
    scenarios: int = DEFAULT_SCENARIOS,
    engine: str = Engine.SERIAL,
    workers: int | None = None,
    now: datetime | str | None = None,
    settings: Settings | None = None,
    store: PriceStore | None = None,
    tables: Knowledge | None = None,
    where: str = COMMAND_LINE,
) -> Study:
    """Return the study of a job: the same for every engine and number of workers. The job as in `planning.plan_job`.

    The seed, quotas and whether the plan is the robust one are read from the merged input. `workers` defaults to the
    processors that there are. Raises JobError for figures out of range, an unknown engine, one that is not installed,
    and a sweep; WorkersFailed where workers die; else as `plan_job` does.
    """
    _within("scenarios", scenarios, 1, MOST_SCENARIOS, where)
    if workers is not None:
        _within("workers", workers, 1, MOST_WORKERS, where)
    if engine not in set(Engine):
        raise JobError(where=where, key="engine", value=engine, allowed=f"one of {', '.join(Engine)}")
    ready = prepare(inputs, flags=flags, now=now, settings=settings, store=store, tables=tables, where=where)
    quotas = job_quotas(ready.inputs.quota, offers=ready.snapshot.offers, gpus=ready.tables.gpus, where=ready.where)
    with opened_engine(Engine(engine), workers=default_workers() if workers is None else workers) as map_blocks:
        answer = scenario_study.study(
            ready.job,
            ready.snapshot,
            ready.tables.search,
            now=ready.now,
            scenarios=scenarios,
            seed=ready.inputs.seed or 0,
            robust=bool(ready.inputs.robust),
            quotas=quotas,
            map_blocks=map_blocks,
        )
    gpus = ready.tables.gpus
    base = [] if answer.base is None else [answer.base.candidate]
    placed = [(one.recipe, machine_of(one.offer, gpus, nodes=one.nodes)) for one in base]
    idle = idle_note(idle_quotas(quotas, ready.snapshot.offers))
    notes = [*idle, *calibration_notes(ready.calibration, ready.job, placed)]
    return replace(
        answer, notes=(*ready.price_notes, *answer.notes, *notes), calibration=report_on(ready.calibration, ready.job)
    )


def _within(key: str, value: int, least: int, most: int, where: str) -> None:
    if not least <= value <= most:
        raise JobError(where=where, key=key, value=value, allowed=f"{least:,} to {most:,}")
