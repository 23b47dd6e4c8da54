"""Read what a source said, strictly: values of the wrong kind are said to be, never guessed at.

`Fields` reads one object of a decoded answer. In the frame of an answer (where the rows are) a wrong kind means that
the source changed: `ResponseChanged`. In a row it means that the row is no offer: `RowProblem`, which a parser turns
into a `DroppedRow`. Prices are exact: int, Decimal or digits in a string; a float would have been rounded already.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import TYPE_CHECKING

from .errors import ResponseChanged
from .offer import NANO
from .scope import DroppedRow

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST_PRICE = Decimal(1_000_000)
"""Per hour, in any currency: above it a figure is a placeholder or another unit."""
LONGEST_NAME = 200

_NUMBER = re.compile(r"[+-]?\d{1,20}(\.\d{1,40})?([eE][+-]?\d{1,3})?", re.ASCII)


class RowProblem(Exception):
    """A row that becomes no offer; `reason` is a code of `scope.DROP_REASONS`."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason = reason
        self.detail = detail

    def dropped(self, item: str) -> DroppedRow:
        """Return the row as what was dropped; `item` names it."""
        return DroppedRow(reason=self.reason, item=clean_name(item), detail=self.detail[:LONGEST_NAME])


class Fields:
    """One object of a decoded JSON answer, read by name. A missing field and null are the same."""

    def __init__(self, value: object, *, what: str = "row") -> None:
        """Raises RowProblem when `value` is no object."""
        if not isinstance(value, dict):
            raise RowProblem("bad_row", f"{what} is {_kind(value)}, not an object")
        self._values: Mapping[str, object] = value

    def get(self, key: str) -> object:
        """Return the value as it stands, None when it is missing."""
        return self._values.get(key)

    def text(self, key: str) -> str:
        """Return a text that is not empty, blanks around it taken off. Raises RowProblem for anything else."""
        value = self._values.get(key)
        if not isinstance(value, str) or not value.strip():
            raise RowProblem("bad_row", f"{key} is {_kind(value)}, not a text")
        return clean_name(value)

    def text_or_none(self, key: str) -> str | None:
        """Return a text; None when it is missing or empty. Raises RowProblem for another kind."""
        value = self._values.get(key)
        return None if value is None or value == "" else self.text(key)

    def whole(self, key: str, *, low: int = 0, high: int = 10**9) -> int:
        """Return a whole number within the limits. Raises RowProblem for anything else, true and false included."""
        value = self._values.get(key)
        if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise RowProblem("bad_row", f"{key} is {_kind(value)}, not a whole number from {low} to {high}")
        return value

    def whole_or_none(self, key: str, *, low: int = 0, high: int = 10**9) -> int | None:
        """Return a whole number; None when it is missing. Raises RowProblem for anything else."""
        return None if self._values.get(key) is None else self.whole(key, low=low, high=high)

    def number(self, key: str) -> Decimal:
        """Return a finite number, exact. Raises RowProblem (`bad_price`) for anything else."""
        return exact_number(self._values.get(key), what=key)

    def price_nano(self, key: str) -> int:
        """Return a price per hour in billionths. Raises RowProblem as `price_nano` does."""
        return price_nano(self._values.get(key), what=key)

    def fields(self, key: str) -> Fields:
        """Return an object within this one. Raises RowProblem when there is none."""
        return Fields(self._values.get(key), what=key)

    def items(self, key: str) -> list[object]:
        """Return a list within this object. Raises RowProblem when there is none."""
        value = self._values.get(key)
        if not isinstance(value, list):
            raise RowProblem("bad_row", f"{key} is {_kind(value)}, not a list")
        return value


def rows_of(value: object, *path: str, source: str) -> list[object]:
    """Return the list that stands at `path` in an answer. Raises ResponseChanged, with a sample, when it does not."""
    found = value
    for key in path:
        if not isinstance(found, dict) or key not in found:
            raise ResponseChanged(f"{source}: the answer has no {'.'.join(path)}", sample=repr(value)[:2000])
        found = found[key]
    if not isinstance(found, list):
        raise ResponseChanged(
            f"{source}: {'.'.join(path) or 'the answer'} is {_kind(found)}, not a list", sample=repr(value)[:2000]
        )
    return found


def price_nano(value: object, *, what: str = "price") -> int:
    """Return a price per hour as billionths, half to even beyond them.

    Raises RowProblem: `no_price` for nothing, `bad_price` for what is no number or far too much, `zero_price`,
    `negative_price`.
    """
    if value is None or value == "":
        raise RowProblem("no_price", f"{what} is not stated")
    number = exact_number(value, what=what)
    if number < 0:
        raise RowProblem("negative_price", f"{what} {number}")
    if number > LARGEST_PRICE:
        raise RowProblem("bad_price", f"{what} {number:.3E} an hour")
    with localcontext(prec=60):
        nano = int((number * NANO).to_integral_value(rounding=ROUND_HALF_EVEN))
    if nano == 0:
        raise RowProblem("zero_price", f"{what} {number}")
    return nano


def exact_number(value: object, *, what: str = "value") -> Decimal:
    """Return a finite number, exact, from int, Decimal or digits in a text. Raises RowProblem (`bad_price`)."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = Decimal(value.strip())
    if isinstance(value, int) and not isinstance(value, bool):
        value = Decimal(value)
    if not isinstance(value, Decimal) or not value.is_finite() or abs(value.adjusted()) > 50:
        raise RowProblem("bad_price", f"{what} is {_kind(value)}, not a number")
    return value


def clean_name(text: str) -> str:
    """Return a name from outside as it may be shown and stored: printable, blanks collapsed, of bounded length."""
    printable = "".join(char if char.isprintable() else " " for char in text[: 4 * LONGEST_NAME])
    return " ".join(printable.split())[:LONGEST_NAME]


def _kind(value: object) -> str:
    if value is None:
        return "missing"
    shown = repr(value)
    return f"{type(value).__name__} {shown if len(shown) <= 60 else shown[:57] + '...'}"
