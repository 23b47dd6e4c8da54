"""What interruptions at a constant rate do to a run, in closed form: expected time, spread, bill, lost work, finish.

The run is a row of independent segments (`closed_form_segments` holds the model and its source). Exact for the model:
means, deviations, interruptions, lost work, the probability of no interruption. Approximate: the distribution of the
finish time (`closed_form_finish`). Exact identity, used as a test: interruptions = rate x seconds held.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .closed_form_finish import RateSpread, finish_probability, finish_quantile
from .closed_form_segments import (
    LARGEST_EXPONENT,
    NOTHING,
    RunShape,
    cut_off_moments,
    excess_cumulants,
    failures_of,
    in_blocks,
    segment_kinds,
)

if TYPE_CHECKING:
    from optimizer.physics.runs import Floats

__all__ = [
    "RateSpread",
    "RunShape",
    "SpotMoments",
    "finish_probability",
    "finish_quantile",
    "mean_times_s",
    "one_run",
    "spot_moments",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotMoments:
    """What n runs take under interruptions, columns of shape (n,), seconds.

    `elapsed_` is by the clock, waits for capacity included; `billed_` while a machine is held. `lost_s` is work and
    checkpoints done in vain, `restarting_s` spent in restarts, finished or not, `waiting_s` without a machine: means.
    """

    undisturbed_s: Floats
    elapsed_mean_s: Floats
    elapsed_sd_s: Floats
    billed_mean_s: Floats
    billed_sd_s: Floats
    interruptions: Floats
    lost_s: Floats
    restarting_s: Floats
    waiting_s: Floats
    calm_probability: Floats
    """That nothing interrupts the run."""


def one_run(
    *,
    work_s: float,
    segment_s: float,
    checkpoint_s: float,
    restart_s: float,
    startup_s: float = 0.0,
    wait_mean_s: float = 0.0,
    wait_second_moment_s2: float | None = None,
) -> RunShape:
    """Return the shape of one run, columns of shape (1,), seconds.

    Without a mean square waits are exponential: twice the square of the mean. Raises ValueError as RunShape does.
    """
    square = 2.0 * wait_mean_s**2 if wait_second_moment_s2 is None else wait_second_moment_s2
    return RunShape(
        work_s=np.array([work_s]),
        segment_s=np.array([segment_s]),
        checkpoint_s=np.array([checkpoint_s]),
        restart_s=np.array([restart_s]),
        startup_s=np.array([startup_s]),
        wait_mean_s=np.array([wait_mean_s]),
        wait_second_moment_s2=np.array([square]),
    )


def mean_times_s(shape: RunShape, rate_per_s: Floats) -> tuple[Floats, Floats]:
    """Return the mean seconds by the clock, and with a machine held, of n runs: all that a ranking needs.

    The means of `spot_moments` without the deviations, several times as fast. Raises ValueError as it does.
    """
    rate = checked_rate(rate_per_s)
    held_s = np.zeros(1)
    for kind in segment_kinds(shape, np.ones(1)):
        # (1 - e^(-r F)) e^(r (d + L)) / r: for F = L Daly's equation 13.
        stretch = np.exp(np.minimum(rate * (shape.restart_s + kind.segment_s), LARGEST_EXPONENT))
        held_s = held_s + kind.count * kind.first_s * mean_decay(rate * kind.first_s) * stretch
    return held_s * (1.0 + rate * shape.wait_mean_s), held_s


def spot_moments(shape: RunShape, rate_per_s: Floats) -> SpotMoments:
    """Return what runs take under interruptions at `rate_per_s`, columns that broadcast to shape (n,).

    Rate times (restart + segment) is capped at 50 (`LARGEST_EXPONENT`): such a run never ends in practice.
    Raises ValueError for a rate that is negative or not finite.
    """
    _, rows = in_blocks(shape, checked_rate(rate_per_s))
    parts = [_moments(run, rate) for _, run, (rate,) in rows]
    if not parts:
        return SpotMoments(**dict.fromkeys(SpotMoments.__slots__, np.zeros(0)))
    return SpotMoments(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in SpotMoments.__slots__}
    )


def _moments(shape: RunShape, rate: Floats) -> SpotMoments:
    wait = shape.wait_moments()
    elapsed, elapsed_variance, billed, billed_variance, lost = (np.zeros(rate.shape) for _ in range(5))
    for kind in segment_kinds(shape, np.ones(1)):
        failures = failures_of(kind, rate, shape.restart_s)
        by_clock, held = excess_cumulants(failures, wait), excess_cumulants(failures, NOTHING)
        elapsed += kind.count * by_clock.first
        elapsed_variance += kind.count * by_clock.second
        billed += kind.count * held.first
        billed_variance += kind.count * held.second
        lost += kind.count * _lost_s(rate, kind.segment_s)
    undisturbed = shape.undisturbed_s()
    interruptions = rate * (undisturbed + billed)
    return SpotMoments(
        undisturbed_s=undisturbed,
        elapsed_mean_s=undisturbed + elapsed,
        elapsed_sd_s=np.sqrt(elapsed_variance),
        billed_mean_s=undisturbed + billed,
        billed_sd_s=np.sqrt(billed_variance),
        interruptions=interruptions,
        lost_s=lost,
        # A restart goes on until it is done or interrupted: E[min(X, d)] = (1 - e^(-r d)) / r.
        restarting_s=interruptions * shape.restart_s * mean_decay(rate * shape.restart_s),
        waiting_s=interruptions * shape.wait_mean_s,
        calm_probability=np.exp(-rate * undisturbed),
    )


def checked_rate(rate_per_s: Floats) -> Floats:
    """Return the rates as float64. Raises ValueError for one that is negative or not finite."""
    rate = np.asarray(rate_per_s, dtype=np.float64)
    if not (np.isfinite(rate).all() and (rate >= 0.0).all()):
        raise ValueError("rate_per_s: finite and not negative")
    return rate


def mean_decay(exponent: Floats) -> Floats:
    """Return (1 - e^(-x)) / x, 1 at 0."""
    safe = np.where(exponent > 0.0, exponent, 1.0)
    return np.where(exponent > 0.0, -np.expm1(-safe) / safe, 1.0)


def _lost_s(rate: Floats, segment_s: Floats) -> Floats:
    """Return the mean time lost in a segment: e^(r L) begun, each losing E[X, X < L] on average."""
    exponent = rate * segment_s
    begun_and_lost = np.expm1(np.minimum(exponent, LARGEST_EXPONENT))
    # e^a (1 - e^-a) = e^a - 1 of the e^a beginnings fail, after a cut-off exponential time.
    return begun_and_lost * cut_off_moments(exponent).first * segment_s
