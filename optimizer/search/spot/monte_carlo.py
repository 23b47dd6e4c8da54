"""Simulated runs under interruptions: the oracle of the closed form, and the answer where the hazard is not constant.

`simulate_runs` draws the model of the closed form without its formulas: how many segments fail at first (binomial), how
often their repetitions fail (negative binomial), then the time of every failure. `simulate_aged_runs` follows machines
one after the other: an up-time whose hazard depends on the age of the machine, an outage whose hazard depends on how
long it has lasted. Equal seeds give equal bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .closed_form import spot_moments
from .closed_form_segments import SegmentKind, segment_kinds

if TYPE_CHECKING:
    from optimizer.physics.runs import Floats, Ints

    from .checkpoint_interval_hazard import AgeHazard
    from .closed_form_segments import RunShape

MOST_INTERRUPTIONS = 500_000_000
"""Of all runs together: some ten seconds. More is refused rather than waited for."""
MOST_MACHINES = 20_000
"""In a row for one run; one that is not finished then has segments too long for its machines."""
DRAWS_AT_A_TIME = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedRuns:
    """n simulated runs, columns of shape (n,): seconds by the clock, seconds with a machine held, interruptions (whole
    numbers), seconds of work and checkpoints done in vain."""

    elapsed_s: Floats
    billed_s: Floats
    interruptions: Ints
    lost_s: Floats


def simulate_runs(shape: RunShape, rate_per_s: float, *, runs: int, seed: int, sigma_log: float = 0.0) -> SimulatedRuns:
    """Return `runs` simulated runs of one shape under interruptions at a constant rate.

    `sigma_log` is the deviation of the logarithm of the throughput, drawn once a run; waits are gamma distributed with
    the shape's mean and mean square. Raises ValueError for columns of more than one run, a negative number of runs, or
    more interruptions to draw than `MOST_INTERRUPTIONS`.
    """
    _check_one(shape, runs)
    expected = float(spot_moments(shape, np.array([rate_per_s])).interruptions[0])
    if expected * runs > MOST_INTERRUPTIONS:
        raise ValueError(f"{expected:.3g} interruptions a run are too many to simulate {runs} runs")
    rng = np.random.default_rng(seed)
    at_a_time = max(1, int(DRAWS_AT_A_TIME / (expected + 1.0)))
    parts = [
        _simulate_part(shape, rate_per_s, min(at_a_time, runs - start), sigma_log, rng)
        for start in range(0, runs, at_a_time)
    ]
    empty = np.zeros(0)
    return SimulatedRuns(
        elapsed_s=np.concatenate([empty, *(part.elapsed_s for part in parts)]),
        billed_s=np.concatenate([empty, *(part.billed_s for part in parts)]),
        interruptions=np.concatenate([np.zeros(0, np.int64), *(part.interruptions for part in parts)]),
        lost_s=np.concatenate([empty, *(part.lost_s for part in parts)]),
    )


def simulate_aged_runs(
    shape: RunShape, up: AgeHazard, outage: AgeHazard | None, *, runs: int, seed: int
) -> SimulatedRuns:
    """Return `runs` simulated runs of one shape on machines whose hazard depends on their age.

    After an interruption an outage follows, its end by the hazard `outage`; None: by the shape's waits, gamma
    distributed. Every run begins on a new machine. Raises ValueError for columns of more than one run, an outage that
    may never end, or a run that `MOST_MACHINES` machines do not finish.
    """
    _check_one(shape, runs)
    if outage is not None and outage.per_hour[-1] == 0.0:
        raise ValueError("outage: the last hazard is 0, so an outage may never end")
    rng = np.random.default_rng(seed)
    segment_s, checkpoint_s, restart_s = (float(c[0]) for c in (shape.segment_s, shape.checkpoint_s, shape.restart_s))
    stride_s, rest_s = segment_s + checkpoint_s, float(shape.remainder_s()[0])
    closing_s = rest_s + checkpoint_s if rest_s > 0.0 else 0.0
    left = np.full(runs, float(shape.full_segments()[0]))
    ready_s = np.full(runs, float(shape.startup_s[0]))
    billed_s, waited_s, lost_s = np.zeros(runs), np.zeros(runs), np.zeros(runs)
    interruptions = np.zeros(runs, dtype=np.int64)
    active = np.arange(runs)
    for _ in range(MOST_MACHINES):
        if active.size == 0:
            return SimulatedRuns(
                elapsed_s=billed_s + waited_s, billed_s=billed_s, interruptions=interruptions, lost_s=lost_s
            )
        up_s = up.age_at(rng.standard_exponential(active.size))
        done_s = ready_s[active] + left[active] * stride_s + closing_s
        billed_s[active] += np.minimum(up_s, done_s)
        stopped = up_s < done_s
        active = active[stopped]
        worked_s = np.maximum(up_s[stopped] - ready_s[active], 0.0)
        gained = np.minimum(np.floor(worked_s / stride_s), left[active])
        left[active] -= gained
        lost_s[active] += worked_s - gained * stride_s
        interruptions[active] += 1
        ready_s[active] = restart_s
        waited_s[active] += _outages(shape, outage, active.size, rng)
    raise ValueError(f"segment_s: a run was not finished after {MOST_MACHINES} machines; its segments are too long")


def _simulate_part(
    shape: RunShape, rate: float, runs: int, sigma_log: float, rng: np.random.Generator
) -> SimulatedRuns:
    scale = np.exp(sigma_log * rng.standard_normal(runs)) if sigma_log > 0.0 else np.ones(1)
    billed_s = shape.fixed_s() + shape.work_s * scale + np.zeros(runs)
    interruptions, lost_s = np.zeros(runs, dtype=np.int64), np.zeros(runs)
    for kind in segment_kinds(shape, scale) if rate > 0.0 else ():
        failed, again, more_s, in_vain_s = _failures(kind, rate, float(shape.restart_s[0]), runs, rng)
        billed_s += more_s
        lost_s += in_vain_s
        interruptions += failed + again
    waits_s = _waits(shape, interruptions, rng)
    return SimulatedRuns(elapsed_s=billed_s + waits_s, billed_s=billed_s, interruptions=interruptions, lost_s=lost_s)


def _failures(
    kind: SegmentKind, rate: float, restart_s: float, runs: int, rng: np.random.Generator
) -> tuple[Ints, Ints, Floats, Floats]:
    """Return failed first attempts, failed repetitions, held seconds beyond the undisturbed and those in vain, (n,)."""
    first_s = np.broadcast_to(kind.first_s, runs)
    again_s = np.broadcast_to(restart_s + kind.segment_s, runs)
    before_s = first_s - np.broadcast_to(kind.segment_s, runs)
    failed = rng.binomial(int(kind.count[0]), -np.expm1(-rate * first_s))
    again = rng.negative_binomial(np.maximum(failed, 1), np.exp(-rate * again_s))
    again[failed == 0] = 0
    opening_s, opening_vain_s = _times(failed, first_s, before_s, rate, rng)
    repeated_s, repeated_vain_s = _times(again, again_s, np.full(runs, restart_s), rate, rng)
    return failed, again, opening_s + failed * (again_s - first_s) + repeated_s, opening_vain_s + repeated_vain_s


def _times(
    counts: Ints, length_s: Floats, before_s: Floats, rate: float, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return each run's sum of `counts` exponential times cut off at `length_s`, and what lies past `before_s`."""
    run = np.repeat(np.arange(counts.shape[0]), counts)
    times_s = np.log1p(rng.random(run.shape[0]) * np.expm1(-rate * length_s)[run]) / -rate
    in_vain_s = np.maximum(times_s - before_s[run], 0.0)
    return _summed(run, times_s, counts.shape[0]), _summed(run, in_vain_s, counts.shape[0])


def _summed(run: Ints, seconds: Floats, runs: int) -> Floats:
    # Without a single time bincount answers in integers.
    return np.bincount(run, weights=seconds, minlength=runs).astype(np.float64)


def _waits(shape: RunShape, interruptions: Ints, rng: np.random.Generator) -> Floats:
    """Return the sum of each run's waits: gamma distributed times of one scale add up to one of them, shape (n,)."""
    mean_s = float(shape.wait_mean_s[0])
    variance = float(shape.wait_second_moment_s2[0]) - mean_s**2
    # A gamma distribution so narrow that its order is beyond a billion is a constant.
    if variance <= 1e-9 * mean_s**2:
        return np.asarray(interruptions * mean_s, dtype=np.float64)
    drawn: Floats = rng.standard_gamma(interruptions * (mean_s**2 / variance))
    return drawn * (variance / mean_s)


def _outages(shape: RunShape, outage: AgeHazard | None, count: int, rng: np.random.Generator) -> Floats:
    if outage is None:
        return _waits(shape, np.ones(count, dtype=np.int64), rng)
    return outage.age_at(rng.standard_exponential(count))


def _check_one(shape: RunShape, runs: int) -> None:
    if any(column.shape != (1,) for column in shape.columns()):
        raise ValueError("shape: one run at a time, every column of shape (1,)")
    if runs < 0:
        raise ValueError("runs: 0 or more")
