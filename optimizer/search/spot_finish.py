"""When runs on spot machines without a net are done: the quantiles of a mixture, as columns.

Uncertain are chance itself, the throughput, and how available the place is at all (low, expected, high end of its
prior). With one end and one throughput the time is either undisturbed, or undisturbed plus a delay (waits, work done
again) that is gamma distributed with the moments of the closed form, given that there is one. The ends mix as
`spot_simulated` draws them; the throughput is lognormal for undisturbed runs, and two points at one deviation for the
others. Close enough to rank by: what is chosen is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from optimizer.physics.duration import normal_cdf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.physics.runs import Floats

    from .spot.closed_form import SpotMoments

HALVINGS = 16
"""Of the logarithm of an interval: a relative error below 1e-4."""
LONGEST = 8.0
"""Deviations of the delay beyond which nothing is looked for."""
_Z = np.linspace(-6.0, 6.0, 1201)
_BELOW = normal_cdf(_Z)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """What n runs take beyond the undisturbed time at one end of the prior, shape (n,): `calm` is the chance of
    nothing; mean (s) and variance (s2) are given that there is a delay."""

    weight: float
    calm: Floats
    mean_s: Floats
    variance_s2: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstWait:
    """The wait for the first machine of n runs, shape (n,): chance of one, mean (s), second moment (s2), if any."""

    chance: Floats
    mean_s: Floats
    second_s2: Floats


def delays(moments: SpotMoments, wait: FirstWait, *, weight: float) -> Delays:
    """Return the delays of runs with the moments of the closed form behind a first wait."""
    calm = moments.calm_probability * (1.0 - wait.chance)
    wait_mean = wait.chance * wait.mean_s
    mean = np.maximum(moments.elapsed_mean_s - moments.undisturbed_s, 0.0) + wait_mean
    variance = moments.elapsed_sd_s**2 + wait.chance * wait.second_s2 - wait_mean**2
    disturbed = np.maximum(1.0 - calm, 1e-12)
    given = mean / disturbed
    second = (variance + mean**2) / disturbed
    return Delays(weight=weight, calm=calm, mean_s=given, variance_s2=np.maximum(second - given**2, 1e-6 * given**2))


def finish_quantile(ends: Sequence[Delays], undisturbed_s: Floats, sigma: Floats, probability: float) -> Floats:
    """Return the seconds within which each run is done with the given probability, shape (n,).

    `sigma` is the deviation of the logarithm of the undisturbed time; no run is faster than it is undisturbed.
    """
    certain = undisturbed_s * np.exp(sigma * NormalDist().inv_cdf(probability))
    longest = np.max([one.mean_s + LONGEST * np.sqrt(one.variance_s2) for one in ends], axis=0)
    low, high = np.log(certain), np.log(certain + np.exp(sigma) * longest + 1.0)
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        late = _done_by(ends, undisturbed_s, sigma, np.exp(middle)) < probability
        low, high = np.where(late, middle, low), np.where(late, high, middle)
    quantile: Floats = np.exp(high)
    return np.maximum(quantile, certain)


def _done_by(ends: Sequence[Delays], undisturbed_s: Floats, sigma: Floats, seconds: Floats) -> Floats:
    z = np.log(seconds / undisturbed_s) / np.maximum(sigma, 1e-6)
    undisturbed = _normal(z)
    left = [seconds * np.exp(-sigma * node) - undisturbed_s for node in (-1.0, 1.0)]
    total = np.zeros(seconds.shape)
    for one in ends:
        delayed = sum((_gamma(one, seconds_left) for seconds_left in left), start=np.zeros(1)) / 2.0
        total = total + one.weight * (one.calm * undisturbed + (1.0 - one.calm) * delayed)
    return total


def _gamma(delay: Delays, seconds: Floats) -> Floats:
    """Return the chance that a delay is at most so long, by the cube root of Wilson and Hilferty (1931)."""
    mean = np.maximum(delay.mean_s, 1e-9)
    order = np.maximum(mean**2 / np.maximum(delay.variance_s2, 1e-12), 1e-3)
    ninth = 1.0 / (9.0 * order)
    root = np.cbrt(np.maximum(seconds, 0.0) / mean)
    return np.where(seconds > 0.0, _normal((root - 1.0 + ninth) / np.sqrt(ninth)), 0.0)


def _normal(z: Floats) -> Floats:
    found: Floats = np.interp(z, _Z, _BELOW, left=0.0, right=1.0)
    return found
