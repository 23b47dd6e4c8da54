"""Reading one cell of a case: text, a number, a whole number; empty is unknown, nonsense is an error."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from providers.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Mapping

WHERE = "cases"
_ABSURD = 1e12


def text(row: Mapping[str, str], key: str) -> str:
    """Return the cell without surrounding blanks; "" when it is empty or the column is missing."""
    return (row.get(key) or "").strip()


def number(row: Mapping[str, str], key: str) -> float | None:
    """Return the cell as a number above zero, None when empty. Raises JobError for anything else."""
    cell = text(row, key)
    if not cell:
        return None
    try:
        value = float(cell.replace(",", ""))
    except ValueError as err:
        raise JobError(where=WHERE, key=key, value=cell, allowed="a number above 0, or empty") from err
    if not math.isfinite(value) or not 0 < value < _ABSURD:
        raise JobError(where=WHERE, key=key, value=cell, allowed="a number above 0, or empty")
    return value


def whole(row: Mapping[str, str], key: str) -> int | None:
    """Return the cell as a whole number of at least 1, None when empty. Raises JobError for anything else."""
    value = number(row, key)
    if value is None:
        return None
    if value != int(value):
        raise JobError(where=WHERE, key=key, value=text(row, key), allowed="a whole number of at least 1, or empty")
    return int(value)
