"""JSON as the project writes it: sorted keys, UTF-8, one newline at the end, equal bytes for equal input.

Numbers are integers no larger than 2^53 - 1, so that every JSON reader keeps them exactly; ratios are parts per
million, money micro-dollars, unit prices billionths. NaN and Infinity are refused: what is unknown is null.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from providers.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.basis import Estimate

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = "dict[str, Json]"

LARGEST_INTEGER = 2**53 - 1
PPM = 1_000_000


def to_text(document: JsonObject, *, floats: bool = False) -> str:
    """Return `document` as indented JSON text with a newline at the end.

    `floats` admits finite floats (the calculator's hours and dollars); without it they are refused. Raises JobError
    naming the place of an integer beyond 2^53 - 1: input within its ranges may still multiply to more. Raises
    ValueError naming the place of a float, NaN, Infinity or a key that is not ASCII: that would be a bug.
    """
    _check(document, "$", floats=floats)
    text = json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return _encode(text).decode("utf-8")


def to_canonical_bytes(document: JsonObject) -> bytes:
    """Return the one-line form that digests are taken of: for these documents it equals RFC 8785."""
    _check(document, "$", floats=False)
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return _encode(text)


def moment(value: datetime | None) -> str | None:
    """Return an aware moment as UTC to the second, "2026-11-22T09:00:00Z"; None stays None."""
    return None if value is None else value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def whole(value: float) -> int:
    """Return `value` rounded to the nearest integer. Raises ValueError for NaN and Infinity."""
    if not math.isfinite(value):
        raise ValueError(f"{value} has no place in a JSON document")
    return round(value)


def whole_or_null(value: float | None) -> int | None:
    """Return `value` rounded to the nearest integer; None, NaN and Infinity (unknown, unlimited) become null."""
    return None if value is None or not math.isfinite(value) else round(value)


def exact_or_null(value: int | None) -> int | None:
    """Return an integer that a document can hold; a larger one, like None, becomes null."""
    return None if value is None or abs(value) > LARGEST_INTEGER else value


def ppm(fraction: float) -> int:
    """Return a fraction as parts per million."""
    return whole(fraction * PPM)


def interval(estimate: Estimate) -> JsonObject:
    """Return low, expected and high as integers in the unit of the field that holds them."""
    return {"low": whole(estimate.low), "expected": whole(estimate.expected), "high": whole(estimate.high)}


def parts(values: Mapping[str, float], total: int, *, scale: int = 1) -> JsonObject:
    """Return the parts of a whole as integers that sum to `total` exactly.

    Each part is rounded; the largest takes up what rounding left over, which is at most one unit a part. A larger
    gap is no rounding and is left to be seen. `scale` turns seconds into microseconds and the like.
    """
    rounded = {name: whole(value * scale) for name, value in values.items()}
    gap = total - sum(rounded.values())
    if rounded and 0 < abs(gap) <= len(rounded):
        largest = max(sorted(rounded), key=lambda name: rounded[name])
        rounded[largest] += gap
    return dict(rounded)


def _encode(text: str) -> bytes:
    # A file name that is no valid Unicode reaches Python as lone surrogates; "\\udc80" is their escape in JSON too.
    return text.encode("utf-8", "backslashreplace")


def _check(value: Json, place: str, *, floats: bool) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str) or not key.isascii():
                raise ValueError(f"{place}: the key {key!r} is not ASCII text")
            _check(inner, f"{place}.{key}", floats=floats)
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            _check(inner, f"{place}[{position}]", floats=floats)
    elif isinstance(value, float):
        if not floats or not math.isfinite(value):
            raise ValueError(f"{place}: {value!r} is no integer")
    elif isinstance(value, int):
        if abs(value) > LARGEST_INTEGER:
            allowed = f"at most {LARGEST_INTEGER} in a JSON document: a smaller job, or the text without --json"
            raise JobError(where="answer", key=place.removeprefix("$."), value=value, allowed=allowed)
    elif value is not None and not isinstance(value, str):
        raise ValueError(f"{place}: {type(value).__name__} has no JSON form")
