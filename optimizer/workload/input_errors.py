"""Turns the first complaint of pydantic into key, value and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError


def first_error(
    error: ValidationError, model: type[BaseModel], values: Mapping[str, object]
) -> tuple[str, object, str]:
    """Return key, offending value and what is allowed, for the first complaint about `values`.

    What is allowed is the description of the field; for an unknown key it is the key that was probably meant.
    """
    details = error.errors(include_url=False, include_context=False)
    detail = next((item for item in details if item["type"] == "extra_forbidden"), details[0])
    key = str(detail["loc"][0]) if detail["loc"] else "job"
    value = values.get(key)
    known = list(model.model_fields)
    if detail["type"] == "extra_forbidden":
        close = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
        hint = f"unknown key; did you mean {close[0]}?" if close else f"unknown key; known are {', '.join(known)}"
        return key, value, hint
    if isinstance(value, Mapping) and len(detail["loc"]) > 1:
        inner = str(detail["loc"][1])
        return f"{key}.{inner}", value.get(inner), _allowed(model, key)
    if len(detail["loc"]) > 1 and isinstance(detail["loc"][1], int):
        # One of several: the others may be right.
        value = detail["input"]
    return key, value, _allowed(model, key)


def _allowed(model: type[BaseModel], key: str) -> str:
    field = model.model_fields.get(key)
    return (field.description if field else None) or "another value"
