"""Read what a source said, strictly: values of the wrong kind are said to be, never guessed at.

`Fields` reads one object of a decoded answer. In the frame of an answer (where the rows are) a wrong kind means that
the source changed: `ResponseChanged`. In a row it means that the row is no offer: `RowProblem`, which a parser turns
into a `DroppedRow`. Prices are exact: int, Decimal or digits in a string; a float would have been rounded already.
"""

from __future__ import annotations

import json
import re
import reprlib
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation, localcontext
from typing import TYPE_CHECKING

from .errors import LONGEST_SAMPLE, ResponseChanged
from .offer import NANO
from .scope import DroppedRow

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST_PRICE = Decimal(1_000_000)
"""Per hour, in any currency: above it a figure is a placeholder or another unit."""
LONGEST_NAME = 200
MOST_DIGITS = 400
"""Digits of a number in JSON, and the largest exponent: beyond it is an attack on the parser, not a price."""

_NUMBER = re.compile(r"[+-]?\d{1,20}(\.\d{1,40})?([eE][+-]?\d{1,3})?", re.ASCII)


class RowProblem(Exception):
    """A row that becomes no offer; `reason` is a code of `scope.DROP_REASONS`."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason = reason
        self.detail = detail

    def dropped(self, item: str) -> DroppedRow:
        """Return the row as what was dropped; `item` names it."""
        return DroppedRow(reason=self.reason, item=clean_name(item), detail=clean_name(self.detail))


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
        name = clean_name(value) if isinstance(value, str) else ""
        if not name:
            raise RowProblem("bad_row", f"{key} is {_kind(value)}, not a text")
        return name

    def text_or_none(self, key: str) -> str | None:
        """Return a text; None when it is missing or empty. Raises RowProblem for another kind."""
        value = self._values.get(key)
        return None if value is None or (isinstance(value, str) and not clean_name(value)) else self.text(key)

    def whole(self, key: str, *, low: int = 0, high: int = 10**9) -> int:
        """Return a whole number within the limits. Raises RowProblem for anything else, true and false included."""
        value = self._values.get(key)
        # Compared first: the whole number of 1E+999999999 is a gigabyte long.
        if isinstance(value, Decimal) and value.is_finite() and low <= value <= high:
            value = int(value) if value == value.to_integral_value() else value
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
            raise ResponseChanged(f"{source}: the answer has no {'.'.join(path)}", sample=sample_of(value))
        found = found[key]
    if not isinstance(found, list):
        raise ResponseChanged(
            f"{source}: {'.'.join(path) or 'the answer'} is {_kind(found)}, not a list", sample=sample_of(value)
        )
    return found


def price_nano(value: object, *, what: str = "price") -> int:
    """Return a price per hour as billionths, half to even beyond them.

    Raises RowProblem: `no_price` for nothing, `bad_price` for what is no number or far too much, `zero_price`,
    `negative_price`.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        raise RowProblem("no_price", f"{what} is not stated")
    number = exact_number(value, what=what)
    if number < 0:
        raise RowProblem("negative_price", f"{what} {number}")
    if number > LARGEST_PRICE:
        raise RowProblem("bad_price", f"{what} {number:.3E} an hour")
    with localcontext(prec=2 * MOST_DIGITS):
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
    if not isinstance(value, Decimal) or not value.is_finite():
        raise RowProblem("bad_price", f"{what} is {_kind(value)}, not a number")
    if value.is_zero():
        return Decimal(0)
    if abs(value.adjusted()) > 50:
        raise RowProblem("bad_price", f"{what} is {_kind(value)}, beyond any price")
    return value


def decode_json(content: str | bytes) -> object:
    """Return what a JSON text holds, whole numbers as int and others as Decimal, exactly. Raises ValueError.

    Refused are NaN and Infinity, which are no JSON, numbers of more than MOST_DIGITS, and nesting without end.
    """
    try:
        value: object = json.loads(content, parse_float=_decimal, parse_int=_integer, parse_constant=_refuse_constant)
    except RecursionError as err:
        raise ValueError("nested too deeply") from err
    return value


def clean_name(text: str) -> str:
    """Return a name from outside as it may be shown and stored: printable, blanks collapsed, of bounded length."""
    printable = "".join(char if char.isprintable() else " " for char in text[: 4 * LONGEST_NAME])
    return " ".join(printable.split())[:LONGEST_NAME].rstrip()


def sample_of(value: object) -> str:
    """Return a decoded answer as text of bounded length, for whoever mends a parser: the outer levels, shortened."""
    return _SAMPLE.repr(value)[:LONGEST_SAMPLE]


def _kind(value: object) -> str:
    if value is None:
        return "missing"
    shown = _SHORT.repr(value)
    return f"{type(value).__name__} {shown if len(shown) <= 60 else shown[:57] + '...'}"


def _decimal(text: str) -> Decimal:
    _refuse_long(text)
    try:
        number = Decimal(text)
    except InvalidOperation as err:
        raise ValueError("a number with an exponent beyond any") from err
    if abs(number.adjusted()) > MOST_DIGITS:
        raise ValueError(f"a number with the exponent {number.adjusted()}")
    return number


def _integer(text: str) -> int:
    _refuse_long(text)
    return int(text)


def _refuse_long(text: str) -> None:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")


def _refuse_constant(text: str) -> object:
    raise ValueError(f"{text} is not JSON")


class _Shortened(reprlib.Repr):
    """Shows any value: `repr` of one that nests deeply, or of an endless number, would fail."""

    def __init__(self, *, levels: int, items: int, letters: int) -> None:
        super().__init__()
        self.maxlevel = levels
        self.maxdict = self.maxlist = self.maxtuple = items
        self.maxstring = self.maxother = self.maxlong = letters

    def repr_int(self, value: int, level: int) -> str:
        """Return a whole number, or how long it is."""
        return super().repr_int(value, level) if value.bit_length() < 4_000 else f"<{value.bit_length()} bits>"


_SHORT = _Shortened(levels=2, items=4, letters=60)
_SAMPLE = _Shortened(levels=6, items=20, letters=200)
