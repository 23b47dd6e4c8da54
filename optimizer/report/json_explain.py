"""The document `tunefare.explain/v1`: why what was asked about is not the choice."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from optimizer.search.constraints import UNITS
from optimizer.version import VERSION

from .json_candidate import candidate_object, whole_quantity
from .json_plan import calibration_report_object, snapshot_object
from .json_text import JsonObject, moment, to_text

if TYPE_CHECKING:
    from optimizer.search.results import Explanation

SCHEMA = "tunefare.explain/v1"


def explanation_text(explanation: Explanation) -> str:
    """Return the explanation as JSON text: equal bytes for an equal explanation."""
    return to_text(explanation_document(explanation))


def explanation_document(explanation: Explanation) -> JsonObject:
    """Return the explanation as a document; `candidate` and `choice` are candidate objects, or null.

    Raises ValueError for an explanation that does not say when it was made: the ages of its prices hang on it.
    """
    candidate, choice, now = explanation.candidate, explanation.choice, explanation.made_at
    if now is None:
        raise ValueError("the explanation does not say when it was made")
    return {
        "schema": SCHEMA,
        "made_at": moment(now),
        "tool_version": VERSION,
        "spec": explanation.spec,
        "verdict": explanation.verdict,
        "sentence": explanation.sentence,
        "broken": [
            {
                "limit": limit,
                "required": _figure(needed, UNITS[limit]),
                "allowed": _figure(allowed, UNITS[limit]),
                "unit": UNITS[limit],
            }
            for limit, (needed, allowed) in explanation.broken.items()
        ],
        "candidate": None if candidate is None else candidate_object(candidate, now),
        "choice": None if choice is None else candidate_object(choice, now),
        "snapshot": None if explanation.snapshot is None else snapshot_object(explanation.snapshot, now),
        "calibration": calibration_report_object(explanation.calibration),
        "notes": list(explanation.notes),
    }


def _figure(value: float, unit: str) -> int | None:
    return whole_quantity(value, unit)[0] if math.isfinite(value) else None
