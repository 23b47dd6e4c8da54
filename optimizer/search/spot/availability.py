"""When a spot machine can be had, and how long it stays: hazards that fall with age, counted in published traces.

A zone is up (its spot machines can be had and are kept) or down, and each stretch has an age. Both states end at a
hazard, in events per hour, that depends on the age alone (a semi-Markov process): measured up-times are not
exponential, the young ones end far sooner than the old ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from optimizer.physics.runs import Bools, Floats, Ints
    from providers.basis import Basis

    from .trace import Window

HOUR_S = 3600.0
AGE_FROM_H: tuple[float, ...] = (0.0, 0.15, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""Where each bucket of ages begins, in hours: fine where hazards change fast."""
PSEUDO_HOURS = 2.0
"""Hours at the pooled rate that each bucket is given beside its own: one seen for a minute says next to nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretches:
    """What was counted in one state: how often stretches of each age ended, over how many hours. Shape (ages,)."""

    ended: Floats
    hours: Floats

    def __add__(self, other: Stretches) -> Stretches:
        """Return the counts of both."""
        return Stretches(ended=self.ended + other.ended, hours=self.hours + other.hours)

    def hazard_per_hour(self) -> Floats:
        """Return events per hour by age, each shrunk towards the rate of all ages; shape (ages,).

        Raises ValueError where nothing was observed.
        """
        hours = float(self.hours.sum())
        if hours <= 0.0:
            raise ValueError("no hour was observed in this state")
        pooled = float(self.ended.sum()) / hours
        rates: Floats = (self.ended + PSEUDO_HOURS * pooled) / (self.hours + PSEUDO_HOURS)
        return rates


@dataclass(frozen=True, slots=True, kw_only=True)
class AvailabilityModel:
    """Hazards per hour by age of the state, shape (ages,) each: losing a machine while up, getting one while down."""

    loss_per_hour: Floats
    return_per_hour: Floats
    name: str
    basis: Basis

    def __post_init__(self) -> None:
        """Raise ValueError for hazards that are no rates, or ages that do not fit."""
        for rates in (self.loss_per_hour, self.return_per_hour):
            if rates.shape != (len(AGE_FROM_H),) or not np.isfinite(rates).all() or (rates < 0.0).any():
                raise ValueError(f"{self.name}: {len(AGE_FROM_H)} finite rates >= 0, one for each bucket of ages")

    def scaled(self, *, loss: float = 1.0, returning: float = 1.0) -> AvailabilityModel:
        """Return the model with its hazards multiplied."""
        return replace(self, loss_per_hour=self.loss_per_hour * loss, return_per_hour=self.return_per_hour * returning)

    @property
    def up_mean_s(self) -> float:
        """Mean length of a stretch of availability, in seconds; infinite where it never ends."""
        return _mean_length_s(self.loss_per_hour)

    @property
    def down_mean_s(self) -> float:
        """Mean wait from a loss to the next machine, in seconds; infinite where none comes back."""
        return _mean_length_s(self.return_per_hour)

    @property
    def down_second_moment_s2(self) -> float:
        """Second moment of that wait, in seconds squared."""
        return _moments_s(self.return_per_hour)[1]

    @property
    def available_fraction(self) -> float:
        """Share of time in which a machine can be had, in the long run."""
        up, down = self.up_mean_s, self.down_mean_s
        if np.isinf(up):
            return 1.0
        return 0.0 if np.isinf(down) else up / (up + down)

    @property
    def rate_per_hour(self) -> float:
        """Losses per hour of availability, all ages together."""
        return HOUR_S / self.up_mean_s

    def stationary(self) -> tuple[Floats, Floats]:
        """Return the chances of meeting the zone up and down at each age, shape (ages,) each; both sum to one."""
        up, down = _time_at_age_h(self.loss_per_hour), _time_at_age_h(self.return_per_hour)
        share = self.available_fraction
        return share * _shares(up), (1.0 - share) * _shares(down)


def age_bucket(age_s: Floats) -> Ints:
    """Return the bucket of each age (seconds), same shape."""
    return np.searchsorted(np.array(AGE_FROM_H) * HOUR_S, age_s, side="right") - 1


def count_stretches(windows: Iterable[Window]) -> tuple[Stretches, Stretches]:
    """Return what windows of a trace say about being up and about being down.

    The first stretch of a window is left out: its age is unknown. The last one has no end, and counts its hours only.
    """
    counted = {True: _nothing(), False: _nothing()}
    for window in windows:
        for up, length, ended in _stretches(window.available)[1:]:
            ages_s = np.arange(length, dtype=np.float64) * window.step_s
            bucket = age_bucket(ages_s)
            hours = np.bincount(bucket, minlength=len(AGE_FROM_H)).astype(np.float64) * window.step_s / HOUR_S
            ends = np.zeros(len(AGE_FROM_H))
            ends[bucket[-1]] = float(ended)
            counted[up] += Stretches(ended=ends, hours=hours)
    return counted[True], counted[False]


def model_of(up: Stretches, down: Stretches, *, name: str, basis: Basis) -> AvailabilityModel:
    """Return the model that counts stand for. Raises ValueError where a state was never observed."""
    return AvailabilityModel(
        loss_per_hour=up.hazard_per_hour(), return_per_hour=down.hazard_per_hour(), name=name, basis=basis
    )


def pooled(models: Sequence[tuple[Stretches, Stretches]]) -> tuple[Stretches, Stretches]:
    """Return the counts of several zones together."""
    up, down = _nothing(), _nothing()
    for one_up, one_down in models:
        up, down = up + one_up, down + one_down
    return up, down


def _nothing() -> Stretches:
    return Stretches(ended=np.zeros(len(AGE_FROM_H)), hours=np.zeros(len(AGE_FROM_H)))


def _stretches(available: Bools) -> list[tuple[bool, int, bool]]:
    """Return state, steps and whether the end was seen, of every stretch in order."""
    changes = np.flatnonzero(np.diff(available.astype(np.int8))) + 1
    edges = np.concatenate([[0], changes, [available.shape[0]]])
    last = edges.shape[0] - 2
    return [(bool(available[edges[at]]), int(edges[at + 1] - edges[at]), at < last) for at in range(edges.shape[0] - 1)]


def _time_at_age_h(rates: Floats) -> Floats:
    """Return the expected hours that a stretch spends in each bucket; the open one is infinite at a rate of zero."""
    edges = np.append(np.array(AGE_FROM_H), np.inf)
    hours = np.zeros(rates.shape)
    alive = 1.0
    for bucket, rate in enumerate(rates):
        width = edges[bucket + 1] - edges[bucket]
        if rate == 0.0:
            hours[bucket] = alive * width if alive > 0.0 else 0.0
            continue
        gone = 1.0 - float(np.exp(-rate * width))
        hours[bucket] = alive * gone / rate
        alive *= 1.0 - gone
    return hours


def _shares(hours: Floats) -> Floats:
    endless = np.isinf(hours)
    parts = endless.astype(np.float64) if endless.any() else hours
    shares: Floats = parts / parts.sum()
    return shares


def _mean_length_s(rates: Floats) -> float:
    return float(_time_at_age_h(rates).sum()) * HOUR_S


def _moments_s(rates: Floats) -> tuple[float, float]:
    """Return mean and second moment of a stretch, in seconds and seconds squared (E[X^2] = 2 x integral of age x S)."""
    edges = np.append(np.array(AGE_FROM_H), np.inf)
    first = second = 0.0
    alive = 1.0
    for bucket, rate in enumerate(rates):
        start, width = edges[bucket], edges[bucket + 1] - edges[bucket]
        if rate == 0.0:
            if np.isinf(width) and alive > 0.0:
                return float("inf"), float("inf")
            first += alive * width
            second += 2.0 * alive * width * (start + width / 2.0)
            continue
        left = float(np.exp(-rate * width))
        first += alive * (1.0 - left) / rate
        inside = start * (1.0 - left) / rate + (1.0 - left) / rate**2
        if left > 0.0:
            inside -= width * left / rate
        second += 2.0 * alive * inside
        alive *= left
    return first * HOUR_S, second * HOUR_S**2
