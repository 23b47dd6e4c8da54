"""The use case `plan`: from a job file, flags or keyword arguments to the cheapest way to train it in time."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING

from optimizer.search import planner
from optimizer.search.offers_columns import machine_of
from optimizer.search.spot_policies import DRAWN
from optimizer.search.spot_simulated import Draws

from .calibration_notes import calibration_notes, report_on
from .plan_action import narrowed, old_plan, with_action
from .preparing import COMMAND_LINE, prepare
from .quotas import idle_note, idle_quotas, job_quotas

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from cache.store import PriceStore
    from optimizer.search.results import Plan
    from optimizer.workload.job import Job
    from optimizer.workload.job_input import JobInput

    from .settings import Settings
    from .tables import Knowledge

DEFAULT_TOP = 5


def plan_job(
    inputs: JobInput | Job | Path | str | None = None,
    *,
    flags: JobInput | None = None,
    now: datetime | str | None = None,
    settings: Settings | None = None,
    store: PriceStore | None = None,
    tables: Knowledge | None = None,
    top: int | None = None,
    where: str = COMMAND_LINE,
) -> Plan:
    """Return the plan for a job: optimal, or infeasible with near misses (an answer, not an error).

    `inputs` is a job file's path, a `JobInput` or a complete `Job`; `flags` win over what it says. Own offers,
    discounts, `only_offers`, the largest price age, `now` and `top` are read from the merged input, then from
    `settings` (environment and configuration files when None). `store` defaults to the bundled prices. `where` names
    the origin of flags in error messages. Raises JobError, KnowledgeMissing (exit 2) and PricesUnavailable (exit 9)
    for an empty price list.
    """
    ready = prepare(inputs, flags=flags, now=now, settings=settings, store=store, tables=tables, where=where)
    gpus = ready.tables.gpus
    shown = DEFAULT_TOP if ready.inputs.top is None else ready.inputs.top
    offers = ready.snapshot.offers
    quotas = job_quotas(ready.inputs.quota, offers=offers, gpus=gpus, where=ready.where)
    job, snapshot = ready.job, ready.snapshot
    old = old_plan(ready.inputs, where=ready.where)
    if old is not None:
        job, snapshot = narrowed(job, snapshot, old, now=ready.now)
    plan = planner.plan(
        job,
        snapshot,
        ready.tables.search,
        now=ready.now,
        top=shown if top is None else top,
        quotas=quotas,
        robust=bool(ready.inputs.robust),
        draws=_draws(ready.inputs),
        clock=perf_counter,
    )
    placed = [(choice.recipe, machine_of(choice.offer, gpus, nodes=choice.nodes)) for choice in plan.choices]
    plan = with_action(plan, ready.inputs, old=old)
    notes = [*idle_note(idle_quotas(quotas, offers)), *calibration_notes(ready.calibration, ready.job, placed)]
    return replace(
        plan, notes=(*ready.price_notes, *plan.notes, *notes), calibration=report_on(ready.calibration, ready.job)
    )


def _draws(inputs: JobInput) -> Draws | None:
    """Return how many runs on spot to draw; None where nothing was said. A seed alone draws as many as ever."""
    if inputs.simulate is None and inputs.seed is None:
        return None
    runs = DRAWN.runs if inputs.simulate is None else inputs.simulate
    return Draws(runs=runs, seed=DRAWN.seed if inputs.seed is None else inputs.seed)
