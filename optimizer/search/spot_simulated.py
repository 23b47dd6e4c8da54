"""Spot without a net, drawn run by run: machines that are lost by their age, not at one rate for all ages.

Runs begin at a random moment (`spot_met`), as they do under a policy: the first machine may have to be waited for, and
one that is there has been there for a while. `spot.monte_carlo` draws the same for runs that begin on a new machine.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from .spot_met import down_left, hazard_of, up_left
from .spot_rows import MOST_REGIONS, run_shape, waits_of

if TYPE_CHECKING:
    from optimizer.physics.runs import Floats
    from optimizer.workload.job import Job

    from .spot.availability import AvailabilityModel
    from .spot.closed_form import RunShape
    from .spot.interruption_classes import SpotPrior
    from .spot_rows import SpotTimes

DRAWN_RUNS = 4_000
"""What the chance of making a deadline is drawn from unless more is asked for: half a per cent of it is noise."""

MOST_MACHINES = 20_000
"""In a row for one run; one that is not finished then has segments too long for its machines."""
BLOCKS = 20
"""Of runs, each at one throughput: the quantiles of its distribution in turn."""
ENDS = ("low", "expected", "expected", "high", "high", "expected", "expected", "low")
"""Which end of the prior each block in turn is drawn from: they are believed as `spot_rows.END_WEIGHTS` says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """How many runs to draw, and the seed: equal seeds give equal figures."""

    runs: int
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Time by the clock of drawn runs: 10 % and 90 % quantiles and that of the confidence asked for, in seconds, and
    the chance of making the deadline. Infinite where runs never end."""

    low_s: float
    high_s: float
    finish_s: float
    finish_probability_ppm: int
    runs: int


def drawn_without_net(
    job: Job, times: SpotTimes, prior: SpotPrior, draws: Draws, *, left_s: float | None, regions: int = 1
) -> Drawn:
    """Return what drawn runs come to; throughput and availability are as uncertain as they are assumed to be.

    `times` are those of one run, `left_s` the seconds to the deadline, `regions` where a lost machine is looked for.
    Runs that never end, because segments are too long for their machines, are late.
    """
    blocks = min(BLOCKS, draws.runs)
    elapsed = []
    for block in range(blocks):
        z = NormalDist().inv_cdf((block + 0.5) / blocks)
        scale = float(np.exp(float(times.sigma[0]) * z))
        model = getattr(prior, ENDS[block % len(ENDS)])
        wait = waits_of(model, executor=job.executor, regions=regions)
        shape = run_shape(job, times, np.array([wait[0]]), np.array([wait[1]]))
        elapsed.append(
            _elapsed(
                replace(shape, work_s=shape.work_s * scale),
                model,
                places=min(regions, MOST_REGIONS) if job.executor == "skypilot" else 1,
                runs=len(range(block, draws.runs, blocks)),
                seed=draws.seed * BLOCKS + block,
            )
        )
    clock_s = np.concatenate(elapsed)
    in_time = 1.0 if left_s is None else float(np.mean(clock_s <= left_s))
    return Drawn(
        low_s=float(np.quantile(clock_s, 0.1, method="lower")),
        high_s=float(np.quantile(clock_s, 0.9, method="higher")),
        finish_s=float(np.quantile(clock_s, job.confidence_ppm / 1e6, method="higher")),
        finish_probability_ppm=round(1e6 * in_time),
        runs=draws.runs,
    )


def _elapsed(shape: RunShape, model: AvailabilityModel, *, places: int, runs: int, seed: int) -> Floats:
    """Return seconds by the clock of runs that begin at a random moment, infinite for those that never end."""
    random = np.random.default_rng(seed)
    hazard = hazard_of(model.loss_per_hour)
    segment_s, checkpoint_s, restart_s = (float(c[0]) for c in (shape.segment_s, shape.checkpoint_s, shape.restart_s))
    stride_s, rest_s = segment_s + checkpoint_s, float(shape.remainder_s()[0])
    closing_s = rest_s + checkpoint_s if rest_s > 0.0 else 0.0
    clock_s, up_s = _first_machine(model, places=places, runs=runs, random=random)
    left = np.full(runs, float(shape.full_segments()[0]))
    ready_s = float(shape.startup_s[0])
    active = np.arange(runs)
    for _ in range(MOST_MACHINES):
        done_s = ready_s + left[active] * stride_s + closing_s
        clock_s[active] += np.minimum(up_s, done_s)
        stopped = up_s < done_s
        active = active[stopped]
        if active.size == 0:
            return clock_s
        worked_s = np.maximum(up_s[stopped] - ready_s, 0.0)
        left[active] -= np.minimum(np.floor(worked_s / stride_s), left[active])
        clock_s[active] += _waits(shape, active.size, random)
        ready_s = restart_s
        up_s = hazard.age_at(random.standard_exponential(active.size))
    clock_s[active] = np.inf
    return clock_s


def _first_machine(
    model: AvailabilityModel, *, places: int, runs: int, random: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return the wait for the first machine and for how long that stays, seconds, shape (runs,) each.

    A machine that is met stays for what is left of its stretch, one that is waited for is a new one.
    """
    there = random.random((places, runs)) < model.available_fraction
    wait_s = np.where(there, 0.0, down_left(model).drawn(random.random((places, runs)))).min(axis=0)
    met_s = up_left(model).drawn(random.random(runs))
    fresh_s = hazard_of(model.loss_per_hour).age_at(random.standard_exponential(runs))
    return wait_s, np.where(there.any(axis=0), met_s, fresh_s)


def _waits(shape: RunShape, count: int, random: np.random.Generator) -> Floats:
    """Return waits for the next machine, gamma distributed with the moments of the shape; shape (count,)."""
    mean_s = float(shape.wait_mean_s[0])
    variance = float(shape.wait_second_moment_s2[0]) - mean_s**2
    if variance <= 1e-9 * mean_s**2:
        return np.full(count, mean_s)
    return random.gamma(mean_s**2 / variance, variance / mean_s, count)
