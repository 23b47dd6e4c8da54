"""The document `tunefare.estimate/v1`: one recipe on one machine, with the inner objects of a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.version import VERSION

from .json_candidate import (
    component_object,
    cost_object,
    memory_object,
    offer_object,
    recipe_object,
    throughput_object,
)
from .json_job import job_object
from .json_plan import calibration_report_object, snapshot_object
from .json_text import JsonObject, interval, moment, parts, to_text, whole
from .objective import objective_object

if TYPE_CHECKING:
    from .answers import EstimateAnswer

SCHEMA = "tunefare.estimate/v1"


def estimate_text(answer: EstimateAnswer) -> str:
    """Return the estimate as JSON text: equal bytes for an equal answer."""
    return to_text(estimate_document(answer))


def estimate_document(answer: EstimateAnswer) -> JsonObject:
    """Return the estimate as a document; cost, bill and offer are null where no price is known."""
    now = answer.made_at
    quote = answer.quote
    return {
        "schema": SCHEMA,
        "made_at": moment(now),
        "tool_version": VERSION,
        "job": job_object(answer.job),
        "recipe": recipe_object(answer.recipe),
        "machine": {
            "gpu": answer.gpu.id,
            "gpus_per_node": answer.gpus_per_node,
            "nodes": answer.nodes,
        },
        "quality": answer.quality,
        "complexity": answer.complexity,
        **objective_object(answer.recipe.objective.value),
        "memory": memory_object(answer.memory),
        "throughput": throughput_object(answer.speed),
        "duration_s": interval(answer.duration_s),
        "duration_parts_s": parts(answer.duration_parts_s, whole(answer.duration_s.expected)),
        "finish_s_at_confidence": whole(answer.finish_s_at_confidence),
        "finish_probability_ppm": answer.finish_probability_ppm,
        "cost_usd_micro": None if quote is None else cost_object(quote),
        "billed_s": None if quote is None else quote.billed_s,
        "components": [] if quote is None else [component_object(item) for item in quote.items],
        "price": {
            "from": answer.price_from,
            "usd_per_gpu_hour_nano": answer.usd_per_gpu_hour_nano,
            "offer": None if answer.offer is None else offer_object(answer.offer, now),
        },
        "snapshot": None if answer.snapshot is None else snapshot_object(answer.snapshot, now),
        "calibration": calibration_report_object(answer.calibration),
        "fits": answer.fits,
        "fits_expected": answer.fits_expected,
        "host_fits": answer.host_fits,
        "notes": list(answer.notes),
    }
