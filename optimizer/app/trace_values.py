"""The values of a trace: samples, prices, steps. What is wrong is named with file, place and position."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from providers.errors import JobError, one_line
from providers.money import MICRO

if TYPE_CHECKING:
    from optimizer.physics.runs import Bools, Floats

MOST_SAMPLES = 5_000_000
MOST_WINDOWS = 100_000
SHORTEST_STEP_S, LONGEST_STEP_S = 1, 86_400
DEAREST_USD_PER_HOUR = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in a file a value stands."""

    where: str
    at: str

    def inner(self, key: str) -> Place:
        """Return the place of a key within this one."""
        return Place(where=self.where, at=f"{self.at}.{key}" if self.at and key else self.at or key)

    def refuse(self, key: str, value: object, allowed: str) -> NoReturn:
        """Raise JobError for the value of a key."""
        shown = "an object" if isinstance(value, dict) else "a list" if isinstance(value, list) else value
        if isinstance(shown, str):
            shown = one_line(shown)
        raise JobError(where=self.where, key=self.inner(key).at or "document", value=shown, allowed=allowed)


def flags_of(value: object, place: Place) -> Bools:
    """Return samples of 0 and 1 as booleans, shape (n,). Raises JobError naming the first that is neither."""
    if not isinstance(value, list) or not 0 < len(value) <= MOST_SAMPLES:
        place.refuse("", value, f"a list of 1 to {MOST_SAMPLES} samples, each 0 or 1")
    for at, one in enumerate(value):
        # True is 1 in Python, and as good; 1.0 is not what a trace holds.
        if not isinstance(one, int) or one not in (0, 1):
            Place(where=place.where, at=f"{place.at}[{at}]").refuse("", one, "0 or 1")
    return np.array(value, dtype=np.bool_)


def prices_of(value: object, place: Place, *, count: int) -> Floats:
    """Return dollars per hour as micro-dollars per hour, shape (count,)."""
    if not isinstance(value, list):
        place.refuse("", value, f"a list of {count} prices in dollars per hour")
    if len(value) != count:
        place.refuse("", f"{len(value)} prices", f"one price for each of the {count} samples")
    prices = np.empty(count)
    for at, one in enumerate(value):
        prices[at] = price_of(one, Place(where=place.where, at=f"{place.at}[{at}]"))
    return prices


def price_of(value: object, place: Place) -> float:
    """Return a price in dollars per hour as micro-dollars per hour."""
    number = _number(value)
    if not 0.0 < number <= DEAREST_USD_PER_HOUR:
        place.refuse("", value, f"dollars per hour, above 0 and at most {DEAREST_USD_PER_HOUR:,.0f}")
    return number * MICRO


def step_of(value: object, place: Place) -> float:
    """Return the seconds between two samples."""
    number = _number(value)
    if not SHORTEST_STEP_S <= number <= LONGEST_STEP_S:
        place.refuse("", value, f"seconds between two samples, {SHORTEST_STEP_S} to {LONGEST_STEP_S}")
    return number


def _number(value: object) -> float:
    """Return a number as a float; NaN for what is none, or larger than a float holds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan
