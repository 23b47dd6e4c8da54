"""How well a figure is known, and the three-point estimate that carries it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Basis(StrEnum):
    """What a figure rests on, strongest first. A combination takes the weakest of its parts."""

    MEASURED = "measured"
    PUBLISHED = "published"
    DERIVED = "derived"
    ASSUMED = "assumed"

    @property
    def rank(self) -> int:
        """0 for the strongest basis, rising with weakness: usable as a column of int8 codes."""
        return BASES.index(self)


BASES: tuple[Basis, ...] = tuple(Basis)


def weakest(bases: Iterable[Basis]) -> Basis:
    """Return the weakest of the given bases. Raises ValueError for an empty iterable."""
    return BASES[max(basis.rank for basis in bases)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value with its 10 % and 90 % quantiles, in the unit that the field holding it names.

    `expected` is the central estimate (the median): see docs/decisions/0002.
    """

    low: float
    expected: float
    high: float
    basis: Basis

    def __post_init__(self) -> None:
        if not self.low <= self.expected <= self.high:
            raise ValueError(f"estimate out of order: {self.low} <= {self.expected} <= {self.high} does not hold")
