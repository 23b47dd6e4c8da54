"""Reads the fields of a policy document one by one; what is wrong is named with its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from providers.errors import JobError, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_NAME = 200


class Fields:
    """One object of a document; `place` names it in messages. Every wrong value raises JobError."""

    def __init__(self, value: object, *, where: str, place: str) -> None:
        self.where = where
        self._place = place
        if not isinstance(value, dict):
            raise JobError(where=where, key=place, value=_shown(value), allowed="an object")
        self._values: dict[object, object] = value

    def only(self, *keys: str) -> Fields:
        """Return these fields. Raises JobError for a key beyond `keys`: what is not understood is not passed over."""
        for key in self._values:
            if key not in keys:
                raise JobError(
                    where=self.where, key=self._place, value=_shown(key), allowed=f"only the keys {', '.join(keys)}"
                )
        return self

    def get(self, key: str) -> object:
        """Return a value as it stands; None where it is missing."""
        return self._values.get(key)

    def whole(self, key: str, *, low: int = 0, high: int) -> int:
        """Return a whole number within the limits."""
        value = self._values.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.refuse(key, f"a whole number from {low} to {high}")
        return value

    def wholes(self, key: str, *, count: int, high: int) -> list[int]:
        """Return a list of exactly `count` whole numbers from 0 to `high`."""
        value = self._values.get(key)
        if not isinstance(value, list) or len(value) != count:
            self.refuse(key, f"a list of {count} whole numbers")
        if any(isinstance(one, bool) or not isinstance(one, int) or not 0 <= one <= high for one in value):
            self.refuse(key, f"{count} whole numbers from 0 to {high}")
        return list(value)

    def text(self, key: str, *, longest: int = LONGEST_NAME) -> str:
        """Return a text of one line that is not empty."""
        value = self._values.get(key)
        if not isinstance(value, str) or not value or len(value) > longest or one_line(value) != value:
            self.refuse(key, f"a text of one line, at most {longest} characters")
        return value

    def inner(self, key: str) -> Fields:
        """Return the fields of an object within this one."""
        return Fields(self._values.get(key), where=self.where, place=self.at(key))

    def objects(self, key: str, *, most: int) -> Iterator[Fields]:
        """Yield the fields of each object of a list that holds at most `most`."""
        value = self._values.get(key)
        if not isinstance(value, list) or len(value) > most:
            self.refuse(key, f"a list of at most {most} objects")
        for position, one in enumerate(value):
            yield Fields(one, where=self.where, place=f"{self.at(key)}[{position}]")

    def at(self, key: str) -> str:
        """Return the place of a key."""
        return f"{self._place}.{key}"

    def refuse(self, key: str, allowed: str) -> NoReturn:
        """Raise JobError for the value of `key`."""
        raise JobError(where=self.where, key=self.at(key), value=_shown(self._values.get(key)), allowed=allowed)


def _shown(value: object) -> object:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return one_line(value) if isinstance(value, str) else value
