"""Reading one cell of a case: text, a number, a whole number; empty is unknown, nonsense is an error.

People write "4k", "~8.03", "2,048", "16 (per GPU)" or "8B": the number is read, the ornament left out. "16-32" or
"auto" is not one number and is an error that says so.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from providers.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Mapping

WHERE = "cases"
_ABSURD = 1e12
_UNKNOWN = frozenset({"", "-", "?", "n/a", "na", "nan", "none", "null", "unknown", "unstated", "not stated", "auto"})
_NUMBER = re.compile(r"[~≈]?\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*(k|b|gib|gb|tokens?|seqs?|gpus?|x)?")


def text(row: Mapping[str, str], key: str) -> str:
    """Return the cell without surrounding blanks; "" when it is empty or the column is missing."""
    return (row.get(key) or "").strip()


def number(row: Mapping[str, str], key: str) -> float | None:
    """Return the cell as a number above zero, None when empty. Raises JobError for anything else."""
    cell = text(row, key)
    if cell.lower() in _UNKNOWN:
        return None
    found = _NUMBER.fullmatch(re.sub(r"\(.*?\)", "", cell).replace(",", "").strip().lower())
    if found is None:
        raise JobError(where=WHERE, key=key, value=cell, allowed="a number above 0, or empty")
    value = float(found.group(1)) * (1024 if found.group(2) == "k" else 1)
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
