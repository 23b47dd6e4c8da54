"""The document `tunefare.frontier/v1`: every point of a frontier, and what changes from one to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.search.frontier_steps import steps_along, telling_points
from optimizer.version import VERSION

from .json_candidate import candidate_object
from .json_deadline_price import deadline_price_object, deadline_stretch_objects
from .json_job import job_object
from .json_plan import calibration_report_object, snapshot_object
from .json_text import JsonObject, moment, to_text, whole

if TYPE_CHECKING:
    from datetime import datetime

    from optimizer.search.frontier import Frontier, FrontierPoint
    from optimizer.search.frontier_steps import Step

SCHEMA = "tunefare.frontier/v1"


def frontier_text(frontier: Frontier) -> str:
    """Return the frontier as JSON text: equal bytes for an equal frontier."""
    return to_text(frontier_document(frontier))


def frontier_document(frontier: Frontier) -> JsonObject:
    """Return the frontier as a document, every point in it; costs are per run, times at the confidence asked for."""
    points, now = frontier.points, frontier.made_at
    telling = set(telling_points(points))
    return {
        "schema": SCHEMA,
        "status": "optimal" if frontier.feasible else "infeasible",
        "made_at": moment(now),
        "tool_version": VERSION,
        "job": job_object(frontier.job),
        "points": [
            {**_point(point, step, now), "telling": at in telling}
            for at, (point, step) in enumerate(zip(points, steps_along(points), strict=True))
        ],
        "chosen": next((at for at, point in enumerate(points) if point.chosen), None),
        "candidates": frontier.candidates,
        "deadline_price": deadline_price_object(frontier.deadline),
        "deadline_prices": list(deadline_stretch_objects(frontier.stretches)),
        "snapshot": None if frontier.snapshot is None else snapshot_object(frontier.snapshot, now),
        "calibration": calibration_report_object(frontier.calibration),
        "notes": list(frontier.notes),
    }


def _point(point: FrontierPoint, step: Step | None, now: datetime) -> JsonObject:
    return {
        **candidate_object(point.candidate, now),
        "chosen": point.chosen,
        "keeps": {
            "deadline": point.keeps_deadline,
            "budget": point.keeps_budget,
            "quality_floor": point.keeps_quality_floor,
        },
        "step": None if step is None else _step(step),
    }


def _step(step: Step) -> JsonObject:
    quality: JsonObject | None = None
    if step.quality is not None:
        quality = {"before": step.quality[0], "after": step.quality[1]}
    return {
        "usd_micro": step.usd_micro,
        "finish_s": whole(step.finish_s),
        "quality": quality,
        "sentence": step.sentence,
    }
