"""A market met at a random moment: whether a spot machine is there, for how long it stays yet, or is waited for.

A run that begins now does not meet a machine at its birth. In the long run a stretch of availability is met with the
share of time that it holds (`available_fraction`), and what is left of it has the survival function
    P(left > x) = integral of S from x on, over the mean length     (S: of a whole stretch; renewal theory)
so that stretches met at random are the long ones. In held time T such a run is interrupted T x rate times on average:
that is what makes the rate of all ages together the right one for the closed form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .spot.availability import AGE_FROM_H, HOUR_S
from .spot.checkpoint_interval_hazard import AgeHazard

if TYPE_CHECKING:
    from optimizer.physics.runs import Floats

    from .spot.availability import AvailabilityModel

_GRID_S = np.concatenate([[0.0], np.geomspace(30.0, 4000.0 * HOUR_S, 400)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What is left of a stretch met at random: `survival` of shape (n,) at `seconds`, from 1 at 0 on."""

    seconds: Floats
    survival: Floats

    def drawn(self, uniform: Floats) -> Floats:
        """Return seconds, one for each uniform number; shape of the argument."""
        found: Floats = np.interp(uniform, self.survival[::-1], self.seconds[::-1])
        return found

    def mean_within_s(self, seconds: Floats) -> Floats:
        """Return the mean of what is left, cut off at `seconds`; shape of the argument."""
        means: Floats = np.interp(seconds, self.seconds, self._summed(self.survival))
        return means

    @property
    def moments(self) -> tuple[float, float]:
        """Mean in seconds and second moment in seconds squared."""
        second = self._summed(2.0 * self.seconds * self.survival)
        return float(self._summed(self.survival)[-1]), float(second[-1])

    def _summed(self, values: Floats) -> Floats:
        parts = np.diff(self.seconds) * (values[1:] + values[:-1]) / 2.0
        return np.concatenate([[0.0], np.cumsum(parts)])


def up_left(model: AvailabilityModel) -> Left:
    """Return for how long a machine that is there stays yet."""
    return _left(model.loss_per_hour)


def down_left(model: AvailabilityModel) -> Left:
    """Return for how long a machine that is not there has to be waited for yet."""
    return _left(model.return_per_hour)


def hazard_of(rates_per_hour: Floats) -> AgeHazard:
    """Return rates by age of the state, shape (ages,), as a hazard to draw from."""
    return AgeHazard(edges_h=AGE_FROM_H, per_hour=tuple(float(rate) for rate in rates_per_hour))


def _left(rates_per_hour: Floats) -> Left:
    survival = hazard_of(rates_per_hour).survival(_GRID_S)
    last = float(rates_per_hour[-1]) / HOUR_S
    if last == 0.0 and survival[-1] > 0.0:  # some of them never end, and those are what is met
        return Left(seconds=_GRID_S, survival=np.ones(_GRID_S.shape))
    tail = survival[-1] / last if last > 0.0 else 0.0
    parts = np.diff(_GRID_S) * (survival[1:] + survival[:-1]) / 2.0
    beyond = tail + np.concatenate([np.cumsum(parts[::-1])[::-1], [0.0]])
    return Left(seconds=_GRID_S, survival=beyond / beyond[0])
