"""Cells of CSV files that others open: exact figures, and no name that a spreadsheet would run as a formula."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from providers.money import NANO

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


def name_cell(text: str | None) -> str:
    """Return a name from outside as a cell; one that looks like a formula gets an apostrophe in front of it."""
    if not text:
        return ""
    return f"'{text}" if text.startswith(FORMULA) else text


def price_cell(nano: int) -> str:
    """Return billionths as a decimal number, exactly, without an exponent: 2.5, 0.000000001."""
    whole, rest = divmod(nano, NANO)
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".") if rest else str(whole)


def number_cell(value: float | None) -> str:
    """Return a number as a cell, empty for one that is not known; a whole one without a point."""
    if value is None:
        return ""
    return str(int(value)) if float(value).is_integer() else repr(value)


def csv_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a CSV file with a header: commas, quotes where they are needed, lines that end with a line feed."""
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return target.getvalue()
