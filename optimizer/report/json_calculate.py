"""The document `tunefare.calculate/v1`: the plain calculator's inputs and answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.version import VERSION

from .json_text import JsonObject, to_text, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = "tunefare.calculate/v1"


def calculate_text(inputs: Mapping[str, float], answer: Mapping[str, float]) -> str:
    """Return the calculation as JSON text. The one document with broken numbers: hours and dollars as computed."""
    return to_text(calculate_document(inputs, answer), floats=True)


def calculate_document(inputs: Mapping[str, float], answer: Mapping[str, float]) -> JsonObject:
    """Return inputs as given and `tokens_total`, `train_hours`, `cost_usd` as `estimate_cost` returns them.

    Beside them stand the whole numbers `train_s` and `cost_usd_micro`, for readers that want no fractions.
    """
    return {
        "schema": SCHEMA,
        "tool_version": VERSION,
        "inputs": {name: _number(value) for name, value in inputs.items()},
        "tokens_total": _number(answer["tokens_total"]),
        "train_hours": answer["train_hours"],
        "cost_usd": answer["cost_usd"],
        "train_s": whole(answer["train_hours"] * 3600),
        "cost_usd_micro": whole(answer["cost_usd"] * 1_000_000),
    }


def _number(value: float) -> int | float:
    """Return a whole number without its ".0"."""
    return int(value) if float(value).is_integer() else float(value)
