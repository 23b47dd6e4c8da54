"""Reading one cell of a case: text, a number, a whole number; empty is unknown, nonsense is an error.

People write "4k", "~8.03", "2,048", "16 (per GPU)", "8B", "max 2048", "r=64, alpha=16" or "4 per device": the number is
read, the ornament left out. "16-32" or "512/1024" is not one number and is an error that says so.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from providers.errors import JobError

from .case_words import unstated

if TYPE_CHECKING:
    from collections.abc import Mapping

WHERE = "cases"
_ABSURD = 1e12
_NUMBER = re.compile(
    r"(?:(?:up to|about|approx\.?|avg\.?|mean|bsz?|mbs|batch(?:[ _]size)?|(?:lora[ _])?r(?:ank)?"
    r"|(?:max(?:imum)?[ _]?)?(?:seq(?:uence)?)?[ _]?(?:len(?:gth)?)?)\s*[=:]?\s*)?(?:<=?|≤|~|≈)?\s*"
    r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*(k|b|gib|gb|g|x)?"
    r"(?:[\s/,;-]*(?:max(?:imum)?|avg|per|tok(?:en)?s?|ctx|context|seq(?:uence)?s?|gpus?|devices?|layers?|heads?|rows"
    r"|(?:lora[ _])?alpha)\b.*)?"
)


def text(row: Mapping[str, str], key: str) -> str:
    """Return the cell without surrounding blanks; "" when it is empty or the column is missing."""
    return (row.get(key) or "").strip()


def number(row: Mapping[str, str], key: str) -> float | None:
    """Return the cell as a number above zero, None when it says nothing. Raises JobError for anything else."""
    cell = text(row, key)
    if unstated(cell.lower()) or cell.lower() == "none":
        return None
    found = _NUMBER.fullmatch(_plain(cell))
    if found is None:
        raise JobError(where=WHERE, key=key, value=cell, allowed="a number above 0, or empty")
    value = float(found.group(1)) * (1024 if found.group(2) == "k" else 1)
    if not math.isfinite(value) or not 0 < value < _ABSURD:
        raise JobError(where=WHERE, key=key, value=cell, allowed="a number above 0, or empty")
    return value


def _plain(cell: str) -> str:
    """Return a cell without remarks in brackets and commas between thousands: "16,32" stays two numbers."""
    return re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", re.sub(r"\(.*?\)", "", cell)).strip().lower()


def whole(row: Mapping[str, str], key: str) -> int | None:
    """Return the cell as a whole number of at least 1, None when empty. Raises JobError for anything else."""
    value = number(row, key)
    if value is None:
        return None
    if value != int(value):
        raise JobError(where=WHERE, key=key, value=text(row, key), allowed="a whole number of at least 1, or empty")
    return int(value)


def billions(row: Mapping[str, str], key: str) -> float | None:
    """Return a count of parameters in billions: "8.03", "8.03B", "8 billion", "350M". Raises JobError as `number`."""
    cell = re.sub(r"\s*billions?$", "b", text(row, key), flags=re.IGNORECASE)
    millions = re.fullmatch(r"[~≈]?\s*(\d+\.?\d*)\s*(?:m|millions?)", cell, re.IGNORECASE)
    return number({key: cell}, key) if millions is None else float(millions.group(1)) / 1000
