"""When a run is finished: probability by a time, and the time for a probability, as columns.

Three uncertainties: interruptions, the throughput (lognormal, of the work), and the rate of interruptions itself. For
one rate the finish time is a mixture of two:

  no interruption   probability e^(-r U), U the undisturbed time: lognormal behind start-up and checkpoints, slow
                    machines with less weight, since they are interrupted more often
  one or more       a shifted gamma (Pearson type III) with the mean, variance and skewness of the finish time given
                    at least one interruption

Moments are exact for the model at each throughput and integrated over it by Gauss-Hermite quadrature. A spread of
rates is a mixture over many of them. Without interruptions the chance constraint work x e^(sigma z) is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optimizer.physics.throughput import Z90

from .closed_form_segments import (
    NEGLIGIBLE_S,
    Moments,
    RunShape,
    cumulants,
    excess_cumulants,
    failures_of,
    in_blocks,
    raw,
    segment_kinds,
)

if TYPE_CHECKING:
    from optimizer.physics.runs import Floats

PARTS = 9
"""Into which the throughput's distribution is split. One is enough for a ranking (docs/spot-closed-form.md)."""
NODES, FEW_NODES = 5, 3
"""Of the quadrature over the throughput: over all of it, and within a part."""
RATE_POINTS = 25
"""Of a spread of rates: with few the probability would climb in steps, one for each rate."""
LEAST_SKEWNESS = 0.02
"""Below it a gamma distribution is a normal one: less would only lengthen its shape."""
HALVINGS = 60
"""Of the interval that holds a quantile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateSpread:
    """Rates that are known as intervals only: `rates_per_s` of shape (points, n), or (points, 1) for the same in all n
    runs; `weights` of shape (points,), sum 1."""

    rates_per_s: Floats
    weights: Floats

    @classmethod
    def of(
        cls, *, low_per_s: Floats, expected_per_s: Floats, high_per_s: Floats, points: int = RATE_POINTS
    ) -> RateSpread:
        """Return rates of lognormals with 10 % quantile, median and 90 % quantile, each half with its own spread.

        Columns that broadcast to shape (n,). Equally spaced over plus and minus three deviations. Raises ValueError
        unless 0 < low <= expected <= high.
        """
        ordered = (low_per_s > 0.0) & (low_per_s <= expected_per_s) & (expected_per_s <= high_per_s)
        if not (ordered & np.isfinite(high_per_s)).all():
            raise ValueError("a spread of rates: 0 < low <= expected <= high, finite")
        z = np.linspace(-3.0, 3.0, points)[:, None]
        below, above = np.log(expected_per_s / low_per_s) / Z90, np.log(high_per_s / expected_per_s) / Z90
        weights = np.exp(-0.5 * z[:, 0] ** 2)
        return cls(
            rates_per_s=expected_per_s * np.exp(z * np.where(z < 0.0, below, above)), weights=weights / weights.sum()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """The finish time of n runs at one rate: the two parts of the module's docstring.

    No interruption, shape (n,): probability `calm`, z of the throughput normal with mean `calm_z` and deviation
    `calm_z_sd`. One or more, shape (parts, n): probability `share`, `order` and `scale_s` of a gamma behind `shift_s`,
    nothing before `floor_s` (n,).
    """

    calm: Floats
    calm_z: Floats
    calm_z_sd: Floats
    fixed_s: Floats
    work_s: Floats
    sigma_log: Floats
    share: Floats
    shift_s: Floats
    scale_s: Floats
    order: Floats
    floor_s: Floats

    def probability(self, within_s: Floats) -> Floats:
        """Return the probability of being finished within a time, shape (n,)."""
        from scipy.special import gammainc, ndtr

        left = within_s - self.fixed_s
        spread = (self.sigma_log > 0.0) & (self.work_s > NEGLIGIBLE_S)
        ratio = np.where(spread & (left > 0.0), left / np.where(spread, self.work_s, 1.0), 1.0)
        z = np.where(left > 0.0, np.log(ratio) / np.where(spread, self.sigma_log, 1.0), -np.inf)
        certain = np.where(within_s >= (self.fixed_s + self.work_s) * (1.0 - 1e-15), np.inf, -np.inf)
        calm: Floats = self.calm * ndtr((np.where(spread, z, certain) - self.calm_z) / self.calm_z_sd)
        beyond = np.maximum(within_s - self.shift_s, 0.0) / self.scale_s
        disturbed: Floats = (self.share * gammainc(self.order, beyond)).sum(axis=0)
        return calm + np.where(within_s >= self.floor_s, disturbed, 0.0)

    def latest_s(self) -> Floats:
        """Return a time by which the run is finished as far as float64 can tell, seconds, shape (n,)."""
        calm_s = self.fixed_s + self.work_s * np.exp(self.sigma_log * 8.0)
        disturbed_s = self.shift_s + self.scale_s * (self.order + 40.0 * np.sqrt(self.order) + 40.0)
        latest: Floats = disturbed_s.max(axis=0)
        return np.maximum(calm_s, latest)


def finish_probability(
    shape: RunShape, rate_per_s: Floats | RateSpread, sigma_log: Floats, within_s: Floats, *, parts: int = PARTS
) -> Floats:
    """Return the probability that runs are finished within `within_s` seconds, shape (n,).

    `sigma_log` is the deviation of the logarithm of the throughput, `parts` how finely it is treated. All columns
    broadcast. Never falls with `within_s`. Raises ValueError for a rate or deviation that is negative or not finite.
    """
    count, rows = in_blocks(shape, *_checked(rate_per_s, sigma_log), np.asarray(within_s, dtype=np.float64))
    found = np.empty(count)
    for part, run, (rate, sigma, within) in rows:
        found[part] = _mixed(_mixture(run, _rates(rate_per_s, rate, part), sigma, parts), within)
    return found


def finish_quantile(
    shape: RunShape, rate_per_s: Floats | RateSpread, sigma_log: Floats, probability: Floats, *, parts: int = PARTS
) -> Floats:
    """Return the time within which runs are finished with `probability`, seconds, shape (n,).

    By halving an interval: a hundred times the work of `finish_probability`, meant for the shortlist. Raises
    ValueError for a probability that is not strictly between 0 and 1, and as `finish_probability` does.
    """
    wanted = np.asarray(probability, dtype=np.float64)
    if not ((wanted > 0.0) & (wanted < 1.0)).all():
        raise ValueError("probability: strictly between 0 and 1")
    count, rows = in_blocks(shape, *_checked(rate_per_s, sigma_log), wanted)
    found = np.empty(count)
    for part, run, (rate, sigma, target) in rows:
        mixture = _mixture(run, _rates(rate_per_s, rate, part), sigma, parts)
        low = np.zeros(target.shape)
        high = np.max([one.latest_s() for _, one in mixture], axis=0)
        for _ in range(HALVINGS):
            middle = 0.5 * (low + high)
            enough = _mixed(mixture, middle) >= target
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        found[part] = high
    return found


def finish_at(shape: RunShape, rate_per_s: Floats, sigma_log: Floats, *, parts: int = PARTS) -> Finish:
    """Return the distribution of the finish time at one rate a run; columns that broadcast to shape (n,)."""
    fixed, work, wait = shape.fixed_s(), shape.work_s, shape.wait_moments()
    spread = bool((sigma_log > 0.0).any())
    calm, calm_z, calm_z_sd = _calm(rate_per_s, fixed, work, sigma_log)
    centres, weights, width = _split(parts if spread else 1)
    components = [
        _disturbed(shape, rate_per_s, sigma_log, centre=centre, width=width if spread else 0.0, wait=wait)
        for centre in centres
    ]
    share, mean, deviation, skewness = (np.array(column) for column in zip(*components, strict=True))
    share = share * weights[:, None]
    whole = share.sum(axis=0)
    undisturbed = fixed + work
    return Finish(
        calm=calm,
        calm_z=calm_z,
        calm_z_sd=calm_z_sd,
        fixed_s=fixed,
        work_s=work,
        sigma_log=sigma_log,
        # The two parts sum to one, whatever the quadratures left.
        share=share * ((1.0 - calm) / np.where(whole > 0.0, whole, 1.0)),
        shift_s=undisturbed + mean - 2.0 * deviation / skewness,
        scale_s=deviation * skewness / 2.0,
        order=4.0 / skewness**2,
        # Even an interruption in the first second costs a restart, where throughput is certain; where it is not, no
        # machine is six deviations faster. A gamma of many interruptions may begin before either.
        floor_s=np.where(
            sigma_log > 0.0,
            fixed + work * np.exp(-6.0 * sigma_log),
            undisturbed + shape.restart_s - shape.startup_s,
        ),
    )


def _split(parts: int) -> tuple[Floats, Floats, float]:
    """Return centres, weights (parts,) and width of normal distributions that add up to the standard one.

    N(0, 1) is N(0, 1 - w^2) plus N(0, w^2). The first is put on a grid of spacing w / 0.6, which leaves a ripple of
    e^(-2 pi^2 0.6^2), one in a thousand, in the density; within a part the throughput varies little.
    """
    if parts == 1:
        return np.zeros(1), np.ones(1), 1.0
    ratio = 0.6 * 6.4 / (parts - 1)
    width = ratio / np.sqrt(1.0 + ratio**2)
    grid = np.linspace(-3.2, 3.2, parts)
    weights = np.exp(-0.5 * grid**2)
    return grid * np.sqrt(1.0 - width**2), weights / weights.sum(), float(width)


def _calm(rate: Floats, fixed: Floats, work: Floats, sigma: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the probability of no interruption, and mean and deviation of the throughput's z given that, (n,)."""
    total = first = second = np.zeros(1)
    for z, weight in _nodes(NODES if (sigma > 0.0).any() else 1):
        quiet = weight * np.exp(-rate * (fixed + work * np.exp(sigma * z)))
        total, first, second = total + quiet, first + z * quiet, second + z * z * quiet
    safe = np.where(total > 0.0, total, 1.0)
    mean = first / safe
    variance = np.where((total > 0.0) & (sigma > 0.0), second / safe - mean**2, 1.0)
    return np.minimum(total, 1.0), mean, np.sqrt(np.maximum(variance, 1e-6))


def _disturbed(
    shape: RunShape, rate: Floats, sigma: Floats, *, centre: float, width: float, wait: Moments
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the probability of an interruption where the throughput's z is normal around `centre`, and mean (beyond
    the undisturbed time at the median), deviation and skewness of the finish time given one, (n,)."""
    some = first = second = third = np.zeros(1)
    fixed, work = shape.fixed_s(), shape.work_s
    for node, weight in _nodes((NODES if width == 1.0 else FEW_NODES) if width > 0.0 else 1):
        scale = np.exp(sigma * (centre + width * node))
        probability = -np.expm1(-rate * (fixed + work * scale))
        # E[(later + excess)^k] over what is interrupted; the excess is 0 elsewhere.
        later = work * (scale - 1.0)
        one, two, three = raw(_run_cumulants(shape, scale, rate, wait))
        some = some + weight * probability
        first = first + weight * (one + later * probability)
        second = second + weight * (two + 2.0 * later * one + later**2 * probability)
        third = third + weight * (three + 3.0 * later * two + 3.0 * later**2 * one + later**3 * probability)
    safe = np.where(some > 0.0, some, 1.0)
    mean, variance, cube = cumulants(Moments(first / safe, second / safe, third / safe))
    # A deviation of a millisecond keeps what is certain a distribution.
    deviation = np.maximum(np.sqrt(variance), 1e-3)
    return some, mean, deviation, np.maximum(cube / deviation**3, LEAST_SKEWNESS)


def _nodes(count: int) -> list[tuple[float, float]]:
    """Return nodes and weights of the Gauss-Hermite quadrature for a standard normal distribution."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    return list(zip(nodes.tolist(), (weights / weights.sum()).tolist(), strict=True))


def _run_cumulants(shape: RunShape, scale: Floats, rate: Floats, wait: Moments) -> Moments:
    """Return the cumulants of what runs take beyond their undisturbed time, waits included."""
    first = second = third = np.zeros(1)
    for kind in segment_kinds(shape, scale):
        one = excess_cumulants(failures_of(kind, rate, shape.restart_s), wait)
        first, second, third = (
            first + kind.count * one.first,
            second + kind.count * one.second,
            third + kind.count * one.third,
        )
    return Moments(first, second, third)


def _rates(given: Floats | RateSpread, rate: Floats, part: slice) -> list[tuple[float, Floats]]:
    """Return weights and rates of the rows `part`, whose own rates are `rate` where they have one each."""
    if not isinstance(given, RateSpread):
        return [(1.0, rate)]
    every = given.rates_per_s
    columns = every if every.shape[1] == 1 else every[:, part]
    return list(zip(given.weights.tolist(), columns, strict=True))


def _mixture(
    shape: RunShape, rates: list[tuple[float, Floats]], sigma: Floats, parts: int
) -> list[tuple[float, Finish]]:
    return [(weight, finish_at(shape, rate, sigma, parts=parts)) for weight, rate in rates]


def _mixed(mixture: list[tuple[float, Finish]], within_s: Floats) -> Floats:
    parts = np.array([weight * one.probability(within_s) for weight, one in mixture])
    return np.asarray(parts.sum(axis=0), dtype=np.float64)


def _checked(rate_per_s: Floats | RateSpread, sigma_log: Floats) -> tuple[Floats, Floats]:
    """Return rate (of a spread: the highest) and deviation as float64 columns. Raises ValueError."""
    rate = rate_per_s.rates_per_s[-1] if isinstance(rate_per_s, RateSpread) else rate_per_s
    columns = (np.asarray(rate, dtype=np.float64), np.asarray(sigma_log, dtype=np.float64))
    for name, column in zip(("rate_per_s", "sigma_log"), columns, strict=True):
        if not (np.isfinite(column).all() and (column >= 0.0).all()):
            raise ValueError(f"{name}: finite and not negative")
    return columns
