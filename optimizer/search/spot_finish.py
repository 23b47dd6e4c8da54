"""When runs on spot machines without a net are done: the quantiles of a mixture, as columns.

Uncertain are chance itself, the throughput, and how available the place is at all (low, expected, high end of its
prior). With one end and one throughput the time is either undisturbed, or undisturbed plus a delay (waits, work done
again) that is gamma distributed with the moments of the closed form, given that there is one. The ends mix as
`spot_simulated` draws them; the throughput is lognormal for undisturbed runs, and five of its quantiles for the others.
Close enough to rank by: what is chosen is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.physics.runs import Floats

    from .spot.closed_form import SpotMoments

HALVINGS = 13
"""Of the logarithm of an interval: a relative error below 1e-3."""
SPEEDS = tuple(
    (share, NormalDist().inv_cdf(level))
    for share, level in ((0.25, 0.125), (0.25, 0.375), (0.25, 0.625), (0.2, 0.85), (0.05, 0.975))
)
"""Shares of the runs, and how many deviations slower than the median each is taken to be: finer at the slow end."""
LONGEST = 8.0
"""Deviations of the delay beyond which nothing is looked for."""


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
    low, high = np.log(certain), np.log((undisturbed_s + longest) * np.exp(3.0 * sigma) + certain)
    speeds = [(share, np.exp(-sigma * node)) for share, node in SPEEDS]
    gammas = [_Gamma(one) for one in ends]
    calm = np.sum([one.weight * one.calm for one in ends], axis=0)
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        seconds = np.exp(middle)
        done = calm * _normal((middle - np.log(undisturbed_s)) / np.maximum(sigma, 1e-6))
        for share, faster in speeds:
            root = np.cbrt(np.maximum(seconds * faster - undisturbed_s, 0.0))
            for gamma in gammas:
                done += share * gamma.weight * gamma.below(root)
        late = done < probability
        low, high = np.where(late, middle, low), np.where(late, high, middle)
    found: Floats = np.maximum(np.exp(high), certain)
    return found


class _Gamma:
    """Chances that the delays of one end are at most so long, by the cube root of Wilson and Hilferty (1931)."""

    def __init__(self, delay: Delays) -> None:
        mean = np.maximum(delay.mean_s, 1e-9)
        ninth = np.maximum(delay.variance_s2, 1e-12) / mean**2 / 9.0
        deviation = np.sqrt(np.minimum(ninth, 100.0))
        self.weight: Floats = delay.weight * (1.0 - delay.calm)
        self._per_root: Floats = 1.0 / (np.cbrt(mean) * deviation)
        self._from: Floats = (deviation**2 - 1.0) / deviation

    def below(self, root: Floats) -> Floats:
        """Return the chances, `root` being the cube root of the delays; shape (n,)."""
        return np.where(root > 0.0, _normal(root * self._per_root + self._from), 0.0)


def _normal(z: Floats) -> Floats:
    """Return the normal distribution function within 2e-4 (Bowling et al. 2009): a ranking needs no more."""
    capped = np.clip(z, -8.0, 8.0)
    below: Floats = 1.0 / (1.0 + np.exp(-capped * (1.5976 + 0.07056 * capped**2)))
    return below
