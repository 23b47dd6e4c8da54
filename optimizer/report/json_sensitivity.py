"""The document `tunefare.sensitivity/v1`: the choice, the drivers of its cost, the price of its deadline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.version import VERSION

from .json_candidate import candidate_object, choice_object
from .json_deadline_price import deadline_price_object, deadline_stretch_objects
from .json_job import job_object
from .json_plan import calibration_report_object, snapshot_object
from .json_text import JsonObject, moment, ppm, to_text, whole, whole_or_null

if TYPE_CHECKING:
    from datetime import datetime

    from optimizer.search.sensitivity_results import BestThere, Driver, DriverPoint, Sensitivity

SCHEMA = "tunefare.sensitivity/v1"
PER_HOUR = "per_hour"
"""A rate below one is written in parts per million, so that it stays whole."""


def sensitivity_text(sensitivity: Sensitivity) -> str:
    """Return the sensitivity as JSON text: equal bytes for an equal sensitivity."""
    return to_text(sensitivity_document(sensitivity))


def sensitivity_document(sensitivity: Sensitivity) -> JsonObject:
    """Return the sensitivity as a document, drivers with the largest swing first; costs are per run."""
    now = sensitivity.made_at
    return {
        "schema": SCHEMA,
        "status": "optimal",
        "made_at": moment(now),
        "tool_version": VERSION,
        "job": job_object(sensitivity.job),
        "plan": candidate_object(sensitivity.choice, now),
        "drivers": [_driver(driver, now) for driver in sensitivity.drivers],
        "deadline_price": deadline_price_object(sensitivity.deadline),
        "deadline_prices": list(deadline_stretch_objects(sensitivity.stretches)),
        "snapshot": snapshot_object(sensitivity.snapshot, now),
        "calibration": calibration_report_object(sensitivity.calibration),
        "notes": list(sensitivity.notes),
    }


def _driver(driver: Driver, now: datetime) -> JsonObject:
    rate = driver.unit == PER_HOUR
    return {
        "name": driver.name,
        "unit": "ppm_per_hour" if rate else driver.unit,
        "low": _point(driver.low, now, rate=rate),
        "base": _point(driver.base, now, rate=rate),
        "high": _point(driver.high, now, rate=rate),
        "points": [_point(point, now, rate=rate) for point in driver.points],
        "swing_usd_micro": driver.swing_usd_micro,
        "swing_s": whole(driver.swing_s),
        "interval": driver.why,
        "one_sided": driver.one_sided or None,
    }


def _point(point: DriverPoint, now: datetime, *, rate: bool) -> JsonObject:
    return {
        "input": ppm(point.value) if rate else whole(point.value),
        "detail": point.detail or None,
        "cost_usd_micro": point.usd_micro,
        "duration_s": whole_or_null(point.duration_s),
        "finish_s_at_confidence": whole_or_null(point.finish_s),
        "required_bytes_high": whole_or_null(point.needed_bytes),
        "usable_bytes": whole_or_null(point.usable_bytes),
        "fits": point.fits,
        "in_time": point.in_time,
        "in_budget": point.in_budget,
        "senseless": point.senseless or None,
        "best_sought": point.sought,
        "best": None if point.best is None else _best(point.best, now),
    }


def _best(best: BestThere, now: datetime) -> JsonObject:
    return {
        **choice_object(best.candidate, now),
        "cost_usd_micro": best.usd_micro,
        "finish_s_at_confidence": whole(best.finish_s),
        "same_as_plan": best.same,
    }
