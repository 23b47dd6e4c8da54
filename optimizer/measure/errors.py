"""How far predictions were from measurements: the statistics of the error tables, by source and over the sources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optimizer.physics.runs import Bools, Floats

FAR_UNDER = -0.15
"""An under-prediction beyond this share is one that runs out of memory, or out of time, unawares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Predictions beside measurements, each of shape (n,), in one unit; `group` is the source of each row."""

    measured: Floats
    low: Floats
    expected: Floats
    high: Floats
    group: Sequence[str]

    def of(self, chosen: Bools) -> Compared:
        """Return the chosen rows, a mask of shape (n,)."""
        return Compared(
            measured=self.measured[chosen],
            low=self.low[chosen],
            expected=self.expected[chosen],
            high=self.high[chosen],
            group=[name for name, keep in zip(self.group, chosen, strict=True) if keep],
        )

    def by_group(self) -> dict[str, Compared]:
        """Return the rows of each source, in alphabetical order."""
        names = np.array(self.group)
        return {name: self.of(names == name) for name in sorted(set(self.group))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """Statistics of one set of rows; errors are predicted / measured - 1."""

    count: int
    median: float
    """Of the absolute error."""
    p90: float
    bias: float
    """Median of the signed error."""
    worst_under: float
    worst_over: float
    coverage: float
    """Share of the measurements inside the 80 % interval."""
    far_under: float
    """Share of the rows under-predicted beyond `FAR_UNDER`."""
    down: float
    up: float
    """Median half widths of the interval, as shares of the expected value."""


def errors(rows: Compared) -> Errors:
    """Return the statistics of some rows. Raises ValueError for none."""
    if not len(rows.measured):
        raise ValueError("no rows to compare")
    signed = rows.expected / rows.measured - 1.0
    absolute = np.abs(signed)
    inside = (rows.low <= rows.measured) & (rows.measured <= rows.high)
    return Errors(
        count=len(signed),
        median=float(np.median(absolute)),
        p90=float(np.quantile(absolute, 0.9)),
        bias=float(np.median(signed)),
        worst_under=float(signed.min()),
        worst_over=float(signed.max()),
        coverage=float(inside.mean()),
        far_under=float((signed < FAR_UNDER).mean()),
        down=float(np.median(rows.low / rows.expected - 1.0)),
        up=float(np.median(rows.high / rows.expected - 1.0)),
    )


def over_sources(by_group: Mapping[str, Compared]) -> tuple[float, float]:
    """Return median and 90th percentile of the absolute error, each the median over the sources.

    One large, regular source then carries no more than a small one.
    """
    found = [errors(rows) for rows in by_group.values()]
    return float(np.median([one.median for one in found])), float(np.median([one.p90 for one in found]))


_NAMES = ("median", "p90", "bias", "under", "over", "<-15%", "in 80%")
HEAD = f"{'source':34}{'rows':>5}{''.join(f'{name:>8}' for name in _NAMES)}  width"


def line(name: str, found: Errors) -> str:
    """Return one line of an error table for a terminal, below `HEAD`."""
    return (
        f"{name:34}{found.count:5d}{found.median:8.1%}{found.p90:8.1%}{found.bias:+8.1%}{found.worst_under:+8.1%}"
        f"{found.worst_over:+8.1%}{found.far_under:8.1%}{found.coverage:8.0%}  {found.down:+.0%}/{found.up:+.0%}"
    )
