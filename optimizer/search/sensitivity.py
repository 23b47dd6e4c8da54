"""What the cost of a plan hangs on: one driver at a time over its interval, by the physics that planned it.

The choice is held and worked out anew at each end. Beside it, for the few ends that move it most, the best plan there
is sought, because a choice that no longer fits, or is no longer the cheapest, says more than its cost.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING

from providers.errors import JobError, KnowledgeMissing

from .candidates import budget_micro
from .choice import settle
from .deadline_price import cost_steps, deadline_price, deadline_stretches
from .evaluate import evaluate_one
from .market import survey
from .offers_columns import machine_of
from .planner import snapshot_report
from .quota_places import within_quotas
from .sensitivity_drivers import DataCount, driver_spans
from .sensitivity_replan import ReplanChoices, best_at_width, best_of_job
from .sensitivity_results import Driver, DriverPoint, Sensitivity
from .sensitivity_uncertain import Held, uncertain_drivers
from .showing import candidate_at

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from optimizer.physics.recipe import Recipe
    from optimizer.workload.job import Job
    from providers.offer import PriceSnapshot

    from .results import Candidate, Evaluation
    from .sensitivity_drivers import DriverSpan, Variation
    from .solve import Quota
    from .tables import Tables

REPLANNED = 2
"""Ends at which the best plan is sought by a new survey, which takes as long as a plan: those that matter most."""


def sensitivity_of(
    job: Job,
    snapshot: PriceSnapshot,
    tables: Tables,
    *,
    now: datetime,
    data: DataCount | None = None,
    quotas: Sequence[Quota] = (),
) -> Sensitivity | None:
    """Return what the cost of the cheapest plan hangs on; None where no plan keeps every limit.

    Of a sweep over several machines the cheapest one is looked at, per run. Raises as `planner.plan` does.
    """
    market = within_quotas(survey(job, snapshot, tables, now=now), quotas)
    settled = settle(market, quotas)
    if not settled.solution.chosen:
        return None
    bills = settled.bills
    at, _ = min(settled.solution.chosen, key=lambda one: (float(bills.expected_micro[one[0]]), one[0]))
    place, hardware = int(bills.place[at]), int(bills.hardware[at])
    choice = candidate_at(settled.market, place, hardware, runs=job.runs)
    held = Held(market=settled.market, settled=settled, place=place, hardware=hardware, choice=choice, quotas=quotas)
    spans = driver_spans(job, choice, data or DataCount())
    planned = _evaluation(held, job, choice.recipe, tables)
    drivers = _with_best(held, [_driver(held, span, planned, tables) for span in spans], spans, snapshot, tables)
    drivers += uncertain_drivers(held)
    steps = cost_steps(market)
    return Sensitivity(
        job=job,
        made_at=now,
        choice=choice,
        drivers=tuple(sorted(drivers, key=lambda one: (-one.swing_usd_micro, -one.swing_s, one.name))),
        deadline=deadline_price(market, steps),
        stretches=deadline_stretches(steps),
        snapshot=snapshot_report(market, snapshot),
    )


def _driver(held: Held, span: DriverSpan, planned: Evaluation, tables: Tables) -> Driver:
    base = held.point(span.base)
    points = [base, *(_evaluated(held, end, planned, tables) for end in span.ends)]
    return Driver(
        name=span.name,
        unit=span.unit,
        base=base,
        points=tuple(sorted(points, key=lambda point: point.value)),
        why=span.why,
        one_sided=span.one_sided,
    )


def _evaluated(held: Held, end: Variation, planned: Evaluation, tables: Tables) -> DriverPoint:
    """Return the choice with the job and recipe of one end: as planned, and what `evaluate_one` says that adds."""
    try:
        found = _evaluation(held, end.job, end.recipe, tables)
    except JobError as err:
        return DriverPoint(value=end.value, detail=end.detail, senseless=str(err.allowed))
    except KnowledgeMissing as err:
        return DriverPoint(value=end.value, detail=end.detail, senseless=str(err))
    choice, allowed, left_s = held.choice, budget_micro(held.market.job), held.left_s
    cost, high = (_moved_cost(choice, found, planned, one) for one in ("expected_usd_micro", "high_usd_micro"))
    moved = functools.partial(_moved, spot=choice.spot is not None)
    finish_s = moved(choice.finish_s_at_confidence, found.finish_s_at_confidence, planned.finish_s_at_confidence)
    needed_s = finish_s
    if choice.spot is not None and choice.spot.needed_s is not None and left_s is not None:
        # Under a policy the net decides what is in time; the run itself may then take until the deadline.
        needed_s = moved(choice.spot.needed_s, found.finish_s_at_confidence, planned.finish_s_at_confidence)
        finish_s = min(finish_s, left_s) if needed_s <= left_s else needed_s
    return DriverPoint(
        value=end.value,
        detail=end.detail,
        usd_micro=cost,
        duration_s=moved(choice.duration_s.expected, found.duration_s.expected, planned.duration_s.expected),
        finish_s=finish_s,
        needed_bytes=found.memory.needed.high,
        usable_bytes=float(found.memory.usable_bytes),
        fits=found.fits and found.host_fits is not False,
        in_time=None if left_s is None else needed_s <= left_s,
        in_budget=None if allowed is None else high * held.market.job.runs <= allowed,
    )


def _evaluation(held: Held, job: Job, recipe: Recipe, tables: Tables) -> Evaluation:
    """Return a recipe on the machine of the choice. For on-demand machines that of the choice is the choice itself; of
    spot machines the plan may know more (where to fall back on), so that only differences count."""
    choice = held.choice
    machine = machine_of(choice.offer, tables.gpus, nodes=choice.nodes)
    # A deadline changes no figure that is looked at here, and the chance of making it takes long to work out on spot.
    free = replace(job, deadline_at=None)
    return evaluate_one(free, recipe, machine, choice.offer, tables, held.market.now, terms=held.terms)


def _moved_cost(choice: Candidate, found: Evaluation, planned: Evaluation, figure: str) -> int:
    base, after, before = (getattr(one.quote, figure) for one in (choice, found, planned))
    return round(_moved(base, after, before, spot=choice.spot is not None))


def _moved(base: float, after: float, before: float, *, spot: bool) -> float:
    """Return a figure of the choice with what another evaluation says changes: as much more, on spot as many times.

    On spot the plan knows more than an evaluation of one machine does (where to turn to, a policy): a difference might
    be larger than the figure itself.
    """
    return base * after / before if spot and before > 0.0 else base + after - before


def _with_best(
    held: Held, drivers: list[Driver], spans: list[DriverSpan], snapshot: PriceSnapshot, tables: Tables
) -> list[Driver]:
    """Return the drivers with the best plan at each width, and at the ends that move the choice most."""
    jobs = {(span.name, end.value): end.job for span in spans if span.changes_job for end in span.ends}
    asked = sorted(
        ((driver, point) for driver in drivers for point in driver.points if (driver.name, point.value) in jobs),
        key=lambda pair: _weight(pair[1], held.choice),
        reverse=True,
    )
    chosen = {(driver.name, point.value) for driver, point in asked[:REPLANNED] if any(_weight(point, held.choice))}
    choices = ReplanChoices.of(held.market, snapshot, held.quotas)

    def sought(driver: Driver, point: DriverPoint) -> DriverPoint:
        key = (driver.name, point.value)
        if driver.name == "precision" and point.value != driver.base.value:
            return replace(point, sought=True, best=best_at_width(held.settled, held.choice, int(point.value)))
        if key in chosen:
            return replace(point, sought=True, best=best_of_job(jobs[key], choices, tables, held.market, held.choice))
        return point

    return [replace(driver, points=tuple(sought(driver, point) for point in driver.points)) for driver in drivers]


def _weight(point: DriverPoint, choice: Candidate) -> tuple[int, int]:
    """Return how much an end asks for another plan: first those that break a limit, then by the change of cost."""
    if point.usd_micro is None:
        return (1, 0)
    broken = False in (point.fits, point.in_time, point.in_budget)
    return (int(broken), abs(point.usd_micro - choice.quote.expected_usd_micro))
