"""One segment of work under interruptions: how long it takes beyond its undisturbed time, in closed form.

A segment is L seconds (work, then a checkpoint). Interruptions come at rate r per second while the machine is held. The
first attempt takes F seconds (L, for the first segment of a run with the start-up before it). One that is interrupted
loses everything since the segment began; after a wait for capacity V come attempts of d + L seconds, restart and
segment, until one is not interrupted: an interruption of the restart starts it again. So:

    first attempt fails with q = 1 - e^(-r F), after X, exponential and cut off at F
    further failures M: geometric, E[M] = e^(r (d + L)) - 1, each after X', exponential and cut off at d + L
    beyond F: X + V + d + L - F + sum over M of (X' + V)        where the first attempt failed, else 0

For F = L the mean without waits is e^(r d) (e^(r L) - 1) / r, which is Daly's (2006, equation 13): exact for this
convention. Cumulants of the compound geometric sum with terms of moments m1, m2, m3 and g = E[M]:
g m1;  g m2 + g^2 m1^2;  g m3 + 3 g^2 m1 m2 + 2 g^3 m1^3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from optimizer.physics.runs import Floats

LARGEST_EXPONENT = 50.0
"""Of r (d + L): e^50 attempts are a run that never ends in practice. The cap keeps every figure finite."""
WHOLE = 1e-9
"""A remainder below this part of a segment is rounding, and no segment of its own."""
NEGLIGIBLE_S = 1e-9
"""Nothing divides by a time below this one."""
SERIES_TERMS = 15
"""Of the series below exponent 1: the first one left out is 10^-15 of the sum."""
BLOCK = 4096
"""Rows at a time: the working set stays in the processor's cache."""


class Moments(NamedTuple):
    """First three raw moments, or first three cumulants where the name says so: columns that broadcast, s, s2, s3."""

    first: Floats
    second: Floats
    third: Floats


NOTHING = Moments(np.zeros(1), np.zeros(1), np.zeros(1))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunShape:
    """What n runs are made of, columns that broadcast to shape (n,), seconds.

    `work_s` is the undisturbed time of the work, `segment_s` the work between two checkpoints, `checkpoint_s` the write
    of one, which also ends the run. `startup_s` comes before the first segment, `restart_s` after every interruption
    (new machine, set-up, download, load), and before that a wait for capacity, not billed, of mean `wait_mean_s` and
    mean square `wait_second_moment_s2`. Raises ValueError naming the column.
    """

    work_s: Floats
    segment_s: Floats
    checkpoint_s: Floats
    restart_s: Floats
    startup_s: Floats
    wait_mean_s: Floats
    wait_second_moment_s2: Floats

    def __post_init__(self) -> None:
        """Check the columns: finite, not negative, a segment longer than nothing, a mean square that can be."""
        for name in RunShape.__slots__:
            column = np.asarray(getattr(self, name), dtype=np.float64)
            object.__setattr__(self, name, column)
            if not (np.isfinite(column).all() and (column >= 0.0).all()):
                raise ValueError(f"{name}: finite and not negative, got {column.min(initial=0.0)} or not a number")
        if not (self.segment_s > 0.0).all():
            raise ValueError("segment_s: longer than 0")
        if (self.wait_second_moment_s2 < self.wait_mean_s**2 * (1.0 - 1e-9)).any():
            raise ValueError("wait_second_moment_s2: a mean square is at least the square of the mean")

    def columns(self) -> tuple[Floats, ...]:
        """Return the columns in the order of the fields."""
        return tuple(getattr(self, name) for name in RunShape.__slots__)

    def full_segments(self) -> Floats:
        """Return how many segments of `segment_s` the work has, whole numbers."""
        return np.floor(self.work_s / self.segment_s + WHOLE)

    def remainder_s(self) -> Floats:
        """Return the work of the last, shorter segment; 0 where there is none."""
        full = self.full_segments()
        left = self.work_s - full * self.segment_s
        # However little the work, with no full segment it is one of its own.
        return np.where(left > np.where(full > 0.0, WHOLE * self.segment_s, 0.0), left, 0.0)

    def checkpoints(self) -> Floats:
        """Return how many checkpoints a run writes, the one at its end included."""
        return self.full_segments() + (self.remainder_s() > 0.0)

    def fixed_s(self) -> Floats:
        """Return what of the undisturbed time does not scale with the work: start-up and checkpoints."""
        return self.startup_s + self.checkpoints() * self.checkpoint_s

    def undisturbed_s(self) -> Floats:
        """Return the time that a run takes when nothing interrupts it."""
        return self.fixed_s() + self.work_s

    def wait_moments(self) -> Moments:
        """Return the raw moments of one wait; the third is that of a gamma distribution with the first two."""
        mean, square = self.wait_mean_s, self.wait_second_moment_s2
        return Moments(mean, square, square * (2.0 * square / np.maximum(mean, NEGLIGIBLE_S) - mean))


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentKind:
    """Segments of a run that are alike: how many, the first attempt F, the segment L, seconds, columns."""

    count: Floats
    first_s: Floats
    segment_s: Floats


def segment_kinds(shape: RunShape, scale: Floats) -> tuple[SegmentKind, ...]:
    """Return the kinds of segments: the first (behind the start-up), the full ones after it, the last shorter one.

    `scale` stretches the work: a machine that is slower than expected takes longer between the same checkpoints, since
    trainers save every so many steps.
    """
    full, rest = shape.full_segments(), shape.remainder_s()
    long_s = shape.segment_s * scale + shape.checkpoint_s
    short_s = np.where(rest > 0.0, rest * scale + shape.checkpoint_s, 0.0)
    opening_s = np.where(full > 0.0, long_s, short_s)
    kinds = [SegmentKind(count=np.ones(1), first_s=shape.startup_s + opening_s, segment_s=opening_s)]
    if (full > 1.0).any():
        kinds.append(SegmentKind(count=np.maximum(full - 1.0, 0.0), first_s=long_s, segment_s=long_s))
    closing = (full > 0.0) & (rest > 0.0)
    if closing.any():
        kinds.append(SegmentKind(count=closing.astype(np.float64), first_s=short_s, segment_s=short_s))
    return tuple(kinds)


def cut_off_moments(exponent: Floats) -> Moments:
    """Return the raw moments of an exponential time cut off at 1, `exponent` its rate: shape of `exponent`.

    Equal to integral of x^k a e^(-a x) over integral of a e^(-a x), 0 to 1; 1/2, 1/3, 1/4 at a = 0. Below a = 1 by
    the series of the incomplete gamma function, whose terms are all positive, downwards; above by the recurrence.
    """
    small = np.minimum(exponent, 1.0)
    series = np.ones_like(small)
    for k in range(SERIES_TERMS, 0, -1):
        series = 1.0 + series * (small / (4 + k))
    decay = np.exp(-small)
    third = decay * series / 4.0
    second = (small * third + decay) / 3.0
    first = (small * second + decay) / 2.0
    zeroth = small * first + decay
    below = Moments(first / zeroth, second / zeroth, third / zeroth)
    if not (exponent > 1.0).any():
        return below
    large = np.maximum(exponent, 1.0)
    decay = np.exp(-large)
    zeroth = -np.expm1(-large) / large
    first = (zeroth - decay) / large
    second = (2.0 * first - decay) / large
    third = (3.0 * second - decay) / large
    pairs = zip(below, (first, second, third), strict=True)
    return Moments(*(np.where(exponent > 1.0, above / zeroth, under) for under, above in pairs))


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """What one segment's failures are made of, waits left out, columns: probability that the first attempt fails, its
    time then, further failures on average and the time of one (raw moments), what the last attempt takes beyond the
    first one's undisturbed time."""

    probability: Floats
    opening: Moments
    further: Floats
    repetition: Moments
    longer_s: Floats


def failures_of(kind: SegmentKind, rate_per_s: Floats, restart_s: Floats) -> Failures:
    """Return what the failures of a segment are made of."""
    again_s = restart_s + kind.segment_s
    return Failures(
        probability=-np.expm1(-rate_per_s * kind.first_s),
        opening=_scaled(cut_off_moments(rate_per_s * kind.first_s), kind.first_s),
        further=np.expm1(np.minimum(rate_per_s * again_s, LARGEST_EXPONENT)),
        repetition=_scaled(cut_off_moments(rate_per_s * again_s), again_s),
        longer_s=again_s - kind.first_s,
    )


def excess_cumulants(failures: Failures, wait: Moments) -> Moments:
    """Return mean, variance and third central moment of what one segment takes beyond its undisturbed time: columns.

    `wait` are the raw moments of the wait after each failure.
    """
    opening = cumulants(raw_sum(failures.opening, wait))
    mean, square, cube = raw_sum(failures.repetition, wait)
    further = failures.further
    step = further * mean
    failed = Moments(
        opening.first + step + failures.longer_s,
        opening.second + further * square + step**2,
        opening.third + further * cube + 3.0 * step * further * square + 2.0 * step**3,
    )
    return cumulants(Moments(*(failures.probability * moment for moment in raw(failed))))


def raw_sum(one: Moments, other: Moments) -> Moments:
    """Return the raw moments of the sum of two independent times."""
    return Moments(
        one.first + other.first,
        one.second + 2.0 * one.first * other.first + other.second,
        one.third + 3.0 * (one.second * other.first + one.first * other.second) + other.third,
    )


def cumulants(moments: Moments) -> Moments:
    """Return mean, variance and third central moment from raw moments."""
    mean, square, cube = moments
    return Moments(mean, np.maximum(square - mean**2, 0.0), cube - 3.0 * mean * square + 2.0 * mean**3)


def raw(central: Moments) -> Moments:
    """Return raw moments from mean, variance and third central moment."""
    mean, variance, third = central
    return Moments(mean, variance + mean**2, third + 3.0 * mean * variance + mean**3)


def _scaled(moments: Moments, factor: Floats) -> Moments:
    return Moments(moments.first * factor, moments.second * factor**2, moments.third * factor**3)


def in_blocks(shape: RunShape, *columns: Floats) -> tuple[int, list[tuple[slice, RunShape, list[Floats]]]]:
    """Return n, and the n rows in blocks of `BLOCK`: where, the run's columns and the others, all of one shape."""
    every = (*shape.columns(), *columns)
    size = np.broadcast_shapes((1,), *(column.shape for column in every))
    laid_out = [np.broadcast_to(column, size) for column in every]
    rows = []
    for start in range(0, size[0], BLOCK):
        part = slice(start, start + BLOCK)
        cut = [column[part] for column in laid_out]
        fields = zip(RunShape.__slots__, cut, strict=False)
        rows.append((part, RunShape(**dict(fields)), cut[len(RunShape.__slots__) :]))
    return size[0], rows
