"""The document `tunefare.plan/v1`: what `plan --json` prints and `--output` writes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from optimizer.search.constraints import UNITS
from optimizer.search.results import PlanStatus
from optimizer.version import VERSION

from .json_candidate import candidate_object, choice_object, outcome_objects, whole_quantity
from .json_deadline_price import deadline_price_object
from .json_job import job_object
from .json_text import Json, JsonObject, exact_or_null, moment, to_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from optimizer.search.results import (
        CalibrationReport,
        Candidate,
        NearMiss,
        Plan,
        Rival,
        RobustReport,
        SnapshotReport,
        SolverReport,
    )

SCHEMA = "tunefare.plan/v1"

NOTHING_CHOSEN: JsonObject = {
    "choice": None,
    "choices": [],
    "memory": None,
    "throughput": None,
    "duration_s": None,
    "duration_parts_s": None,
    "finish_s_at_confidence": None,
    "finish_probability_ppm": None,
    "cost_usd_micro": None,
    "billed_s": None,
    "components": [],
    "slacks": {},
}


def plan_text(plan: Plan) -> str:
    """Return the plan as JSON text: equal bytes for an equal plan, no timings in it."""
    return to_text(plan_document(plan))


def plan_document(plan: Plan) -> JsonObject:
    """Return the plan as a document of integers, texts, lists and objects; unknown is null."""
    now = plan.made_at
    return {
        "schema": SCHEMA,
        "status": plan.status.value,
        "made_at": moment(now),
        "tool_version": VERSION,
        "job": job_object(plan.job),
        **(chosen_objects(plan.choices, now) if plan.choices else NOTHING_CHOSEN),
        "runners_up": [candidate_object(candidate, now) for candidate in plan.runners_up],
        "rejected": dict(plan.rejected),
        "near_misses": [_near_miss(miss, now) for miss in plan.near_misses],
        "rivals": [_rival(rival) for rival in plan.rivals],
        "lost": list(plan.lost),
        "solver": _solver(plan.solver),
        "snapshot": snapshot_object(plan.snapshot, now),
        "calibration": calibration_report_object(plan.calibration),
        "notes": list(plan.notes),
        "deadline_price": deadline_price_object(plan.deadline_price),
        "robust": _robust(plan.robust),
        "confidence_prices": [
            {"confidence_ppm": one.confidence_ppm, "cost_usd_micro": one.cost_usd_micro}
            for one in plan.confidence_prices
        ],
        "action": {} if plan.action is None else _action(plan.action),
    }


def _action(action: Mapping[str, object]) -> JsonObject:
    document: JsonObject = dict(action)  # type: ignore[arg-type]  # canonical already: integers, texts, lists, objects
    return document


def _robust(report: RobustReport | None) -> JsonObject | None:
    if report is None:
        return None
    return {
        "expected_usd_micro": report.expected_usd_micro,
        "worst_usd_micro": report.worst_usd_micro,
        "least_expected_usd_micro": report.least_expected_usd_micro,
        "worst_of_least_usd_micro": report.worst_of_least_usd_micro,
        "same": report.same,
    }


def is_feasible(plan: Plan) -> bool:
    """Return whether the plan chooses anything: a stopped solve may, an infeasible job never does."""
    return plan.status is not PlanStatus.INFEASIBLE and bool(plan.choices)


def snapshot_object(snapshot: SnapshotReport, now: datetime) -> JsonObject:
    """Return which prices were seen, and how old they are at `now`."""
    return {
        "sha256": snapshot.sha256,
        "oldest_observed_at": moment(snapshot.oldest_observed_at),
        "newest_observed_at": moment(snapshot.newest_observed_at),
        "oldest_age_s": _age_s(snapshot.oldest_observed_at, now),
        "newest_age_s": _age_s(snapshot.newest_observed_at, now),
        "offers": snapshot.offers,
        "unusable": dict(snapshot.unusable),
    }


def calibration_report_object(report: CalibrationReport | None) -> JsonObject | None:
    """Return which measured runs an answer is calibrated with; None without any."""
    if report is None:
        return None
    return {
        "sha256": report.sha256,
        "files": list(report.files),
        "stacks": list(report.stacks),
        "runs": report.runs,
        "applied": report.applied,
    }


def _age_s(observed_at: datetime | None, now: datetime) -> int | None:
    return None if observed_at is None else max(0, int((now - observed_at).total_seconds()))


def chosen_objects(choices: tuple[Candidate, ...], now: datetime) -> JsonObject:
    """Return the chosen candidate at the top level; a sweep over several offers sums money and takes the slowest."""
    first = choices[0]
    head: JsonObject = {"choice": choice_object(first, now), **outcome_objects(first)}
    head["choices"] = []
    if len(choices) == 1 and first.runs == 1:
        return head
    head["choices"] = [candidate_object(candidate, now) for candidate in choices]
    slowest = outcome_objects(max(choices, key=lambda candidate: candidate.duration_s.expected))
    for key in ("duration_s", "duration_parts_s", "finish_s_at_confidence", "billed_s"):
        head[key] = slowest[key]
    head["finish_probability_ppm"] = min(candidate.finish_probability_ppm for candidate in choices)
    head["cost_usd_micro"] = {
        "low": sum(candidate.quote.low_usd_micro * candidate.runs for candidate in choices),
        "expected": sum(candidate.quote.expected_usd_micro * candidate.runs for candidate in choices),
        "high": sum(candidate.quote.high_usd_micro * candidate.runs for candidate in choices),
    }
    head["components"] = _summed_components(choices)
    return head


def _summed_components(choices: tuple[Candidate, ...]) -> list[Json]:
    """Return the lines of all bills, summed by name and unit in the order of their first appearance."""
    sums: dict[tuple[str, str], tuple[int, int]] = {}
    for candidate in choices:
        for item in candidate.quote.items:
            quantity, unit = whole_quantity(item.quantity, item.unit)
            before = sums.get((item.name, unit), (0, 0))
            sums[item.name, unit] = (
                before[0] + quantity * candidate.runs,
                before[1] + item.usd_micro * candidate.runs,
            )
    return [
        {"name": name, "quantity": quantity, "unit": unit, "usd_micro": usd_micro}
        for (name, unit), (quantity, usd_micro) in sums.items()
    ]


def _near_miss(miss: NearMiss, now: datetime) -> JsonObject:
    unit = _limit(None, miss.unit)[1]
    return {
        "limit": miss.limit,
        "required": _limit(miss.required, miss.unit)[0],
        "allowed": _limit(miss.allowed, miss.unit)[0],
        "unit": unit,
        "kind": miss.kind,
        "also": list(miss.also),
        "broken": [
            {
                "limit": limit,
                "required": _limit(required, UNITS[limit])[0],
                "allowed": _limit(miss.allows.get(limit), UNITS[limit])[0],
                "unit": _limit(None, UNITS[limit])[1],
            }
            for limit, required in miss.broken.items()
        ],
        "flags": [{"flag": flag, "values": list(values)} for flag, values in miss.flags],
        "priced": miss.priced,
        "sentence": miss.sentence,
        "candidate": candidate_object(miss.candidate, now),
    }


def _limit(value: float | None, unit: str) -> tuple[int | None, str]:
    """Return a side of a limit as a whole number; null where it is unknown or without end."""
    if value is not None and math.isfinite(value):
        return whole_quantity(value, unit)
    return None, whole_quantity(0.0, unit)[1]


def _rival(rival: Rival) -> JsonObject:
    low, high = exact_or_null(rival.low_usd_micro), exact_or_null(rival.high_usd_micro)
    cost: JsonObject | None = None if low is None and high is None else {"low": low, "high": high}
    return {
        "vendor": rival.vendor,
        "model": rival.model,
        "method": rival.method,
        "tokens": rival.tokens,
        "cost_usd_micro": cost,
        "stands_for": rival.stands_for,
        "source": rival.source,
        "source_date": rival.source_date,
        "notes": rival.notes,
    }


def _solver(solver: SolverReport) -> JsonObject:
    return {
        "status": solver.status,
        "gap_ppm": solver.gap_ppm,
        "candidates": solver.candidates,
        "hardware_classes": solver.hardware_classes,
        "physics_rows": solver.physics_rows,
        "kept": solver.kept,
    }
