"""Reads JSON that another machine wrote, strictly: what is not exactly as written down is refused, and named."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

from providers.errors import JobError
from providers.payload import clean_name

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST_INTEGER = 2**63 - 1
MOST_DIGITS = 19
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{6})?Z", re.ASCII)


class _Refused(ValueError):
    """What makes a text no document of ours, in words."""


def decode_strictly(data: bytes, *, where: str) -> object:
    """Return what a JSON text holds. Raises JobError, naming the file, for what is no JSON or not strict enough.

    Refused are a key that stands twice in one object, a number with a fraction or an exponent, NaN, Infinity and whole
    numbers that no database holds, and text that is not UTF-8.
    """
    try:
        value: object = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object,
            parse_float=_no_fraction,
            parse_int=_integer,
            parse_constant=_no_fraction,
        )
    except RecursionError as err:
        raise JobError(where=where, key="file", value=where, allowed="JSON that is not nested without end") from err
    except ValueError as err:
        raise JobError(where=where, key="file", value=where, allowed=f"readable JSON ({_one_line(err)})") from err
    return value


class Reader:
    """Reads one object field by field; `place` names it in messages. Every wrong value raises JobError."""

    def __init__(self, value: object, *, where: str, place: str = "") -> None:
        self._where = where
        self._place = place
        if not isinstance(value, dict):
            self._refuse("", value, "an object")
        self._values: dict[str, object] = value

    def only(self, *keys: str) -> Reader:
        """Return this reader. Raises JobError for a key beyond these: what is not understood is not passed over."""
        for key in self._values:
            if key not in keys:
                self._refuse(key, self._values[key], f"one of {', '.join(keys)}")
        return self

    def name(self, key: str) -> str:
        """Return a text that may be shown and stored as it is: printable, not empty, of bounded length."""
        value = self._values.get(key)
        if not isinstance(value, str) or not value or clean_name(value) != value:
            self._refuse(key, value, "a name: printable, at most 200 characters, without blanks around it")
        return value

    def name_or_none(self, key: str) -> str | None:
        """Return a name; None for null."""
        return None if self._required(key) is None else self.name(key)

    def matching(self, key: str, pattern: str, allowed: str) -> str:
        """Return a text that matches the pattern as a whole; `allowed` says it in words."""
        value = self._values.get(key)
        if not isinstance(value, str) or not re.fullmatch(pattern, value, re.ASCII):
            self._refuse(key, value, allowed)
        return value

    def whole(self, key: str, *, low: int = 0, high: int = LARGEST_INTEGER) -> int:
        """Return a whole number within the limits."""
        value = self._values.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self._refuse(key, value, f"a whole number from {low} to {high}")
        return value

    def whole_or_none(self, key: str, *, low: int = 0, high: int = LARGEST_INTEGER) -> int | None:
        """Return a whole number within the limits; None for null."""
        return None if self._required(key) is None else self.whole(key, low=low, high=high)

    def truth(self, key: str) -> bool:
        """Return true or false."""
        value = self._values.get(key)
        if not isinstance(value, bool):
            self._refuse(key, value, "true or false")
        return value

    def moment(self, key: str) -> datetime:
        """Return a moment in UTC, written as 2026-11-24T03:00:00Z."""
        text = self._values.get(key)
        allowed = "a moment such as 2026-11-24T03:00:00Z"
        if not isinstance(text, str) or not _MOMENT.fullmatch(text):
            self._refuse(key, text, allowed)
        try:
            return datetime.fromisoformat(text).astimezone(UTC)
        except ValueError:
            self._refuse(key, text, allowed)

    def texts(self, key: str, pattern: str, allowed: str) -> tuple[str, ...]:
        """Return a list of texts that match the pattern, each at most once."""
        values = self._values.get(key)
        if (
            not isinstance(values, list)
            or not all(isinstance(one, str) and re.fullmatch(pattern, one, re.ASCII) for one in values)
            or len(set(values)) < len(values)
        ):
            self._refuse(key, values, allowed)
        return tuple(values)

    def objects(self, key: str) -> Iterator[Reader]:
        """Yield a reader of each object of a list."""
        values = self._values.get(key)
        if not isinstance(values, list):
            self._refuse(key, values, "a list")
        for at, value in enumerate(values):
            yield Reader(value, where=self._where, place=f"{self._at(key)}[{at}]")

    def inner(self, key: str) -> Reader:
        """Return a reader of an object within this one."""
        return Reader(self._values.get(key), where=self._where, place=self._at(key))

    def inner_or_none(self, key: str) -> Reader | None:
        """Return a reader of an object within this one; None for null."""
        return None if self._required(key) is None else self.inner(key)

    def get(self, key: str) -> object:
        """Return a value as it stands."""
        return self._values.get(key)

    def refuse(self, key: str, allowed: str) -> NoReturn:
        """Raise JobError for the value of `key`."""
        self._refuse(key, self._values.get(key), allowed)

    def _required(self, key: str) -> object:
        if key not in self._values:
            self._refuse(key, None, "a value, or null")
        return self._values[key]

    def _refuse(self, key: str, value: object, allowed: str) -> NoReturn:
        raise JobError(where=self._where, key=self._at(key) or "document", value=_shown(value), allowed=allowed)

    def _at(self, key: str) -> str:
        return f"{self._place}.{key}" if self._place and key else self._place or key


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Refused(f"the key {_shown(twice)!r} stands twice in one object")
    return found


def _no_fraction(text: str) -> NoReturn:
    raise _Refused(f"{text[:40]} is no whole number")


def _integer(text: str) -> int:
    if len(text.lstrip("-")) > MOST_DIGITS:
        raise _Refused(f"a whole number of {len(text)} digits")
    return int(text)


def _shown(value: object) -> object:
    """Return a value as a message may repeat it."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return clean_name(value) if isinstance(value, str) else value


def _one_line(err: Exception) -> str:
    return clean_name(str(err))
