"""A hazard that depends on age: constant within buckets of hours, the last one open.

Used for machines (how likely one is to be taken away at its age) and for outages (how likely one is to end).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from optimizer.physics.runs import Floats

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeHazard:
    """Rates per hour by age: `per_hour[k]` holds from `edges_h[k]` to the next edge, the last one for good.

    Raises ValueError unless the edges begin at 0 and ascend and the rates are finite and not negative, one an edge.
    """

    edges_h: tuple[float, ...]
    per_hour: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check edges and rates."""
        edges, rates = np.array(self.edges_h, dtype=np.float64), np.array(self.per_hour, dtype=np.float64)
        if edges.size == 0 or edges[0] != 0.0 or not (np.diff(edges) > 0.0).all() or not np.isfinite(edges).all():
            raise ValueError("edges_h: hours that begin at 0 and ascend")
        if rates.shape != edges.shape or not (np.isfinite(rates) & (rates >= 0.0)).all():
            raise ValueError("per_hour: one rate for each edge, finite and not negative")

    def cumulative(self, age_s: Floats) -> Floats:
        """Return the hazard summed from age 0, without unit: shape of `age_s`."""
        edges, rates, knots = self._knots()
        bucket = np.searchsorted(edges, age_s, side="right") - 1
        return knots[bucket] + (age_s - edges[bucket]) * rates[bucket]

    def survival(self, age_s: Floats) -> Floats:
        """Return the probability of reaching an age, shape of `age_s`."""
        return np.exp(-self.cumulative(age_s))

    def age_at(self, cumulative: Floats) -> Floats:
        """Return the age in seconds at which the summed hazard is reached, infinite if never: shape of the argument.

        Of an exponential variable with mean 1 this is a life with this hazard.
        """
        edges, rates, knots = self._knots()
        # The last bucket that begins at or below: never one without hazard, unless the last is.
        bucket = np.searchsorted(knots, cumulative, side="right") - 1
        rate = rates[bucket]
        further = (cumulative - knots[bucket]) / np.where(rate > 0.0, rate, 1.0)
        return np.where(rate > 0.0, edges[bucket] + further, np.inf)

    def mean_beyond_s(self, age_s: float) -> float:
        """Return the mean seconds that a life has beyond an age, 0 for lives that end before; may be infinite."""
        edges, rates, _ = self._knots()
        starts = np.concatenate([[age_s], edges[edges > age_s]])
        rate = rates[np.searchsorted(edges, starts, side="right") - 1]
        if rate[-1] == 0.0:
            return np.inf
        alive = self.survival(starts)
        lengths = np.append(np.diff(starts), np.inf)
        safe = np.where(rate > 0.0, rate, 1.0)
        pieces = np.where(rate > 0.0, -np.expm1(-safe * lengths) / safe, np.where(np.isinf(lengths), 0.0, lengths))
        return float(alive @ pieces)

    def mean_s(self) -> float:
        """Return the mean life in seconds; infinite where the last rate is 0."""
        return self.mean_beyond_s(0.0)

    def mean_strides(self, first_s: float, stride_s: float) -> float:
        """Return how many whole strides a life holds beyond `first_s` on average: sum of S(first + k stride), k >= 1.

        Infinite where the last rate is 0.
        """
        edges, rates, _ = self._knots()
        if rates[-1] == 0.0:
            return np.inf
        # Within a bucket the terms are a geometric series: from which k to which, first term, ratio.
        begin = np.maximum(np.ceil((edges - first_s) / stride_s), 1.0)
        count = np.append(np.diff(begin), np.inf)
        leading = self.survival(first_s + begin * stride_s)
        exponent = rates * stride_s
        safe = np.where(exponent > 0.0, exponent, 1.0)
        series = np.where(exponent > 0.0, -np.expm1(-safe * count) / -np.expm1(-safe), count)
        return float(np.where(count > 0.0, leading * np.where(count > 0.0, series, 0.0), 0.0).sum())

    def _knots(self) -> tuple[Floats, Floats, Floats]:
        edges, rates = np.array(self.edges_h) * HOUR_S, np.array(self.per_hour) / HOUR_S
        return edges, rates, np.concatenate([[0.0], np.cumsum(np.diff(edges) * rates[:-1])])
