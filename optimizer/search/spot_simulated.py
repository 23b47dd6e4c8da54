"""Spot without a net, drawn run by run: machines that are lost by their age, not at one rate for all ages."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from .spot.availability import AGE_FROM_H
from .spot.checkpoint_interval_hazard import AgeHazard
from .spot.monte_carlo import simulate_aged_runs
from .spot_rows import run_shape, waits_of

if TYPE_CHECKING:
    from optimizer.physics.runs import Floats
    from optimizer.workload.job import Job

    from .spot.availability import AvailabilityModel
    from .spot.closed_form import RunShape
    from .spot.interruption_classes import SpotPrior
    from .spot_rows import SpotTimes

DRAWN_RUNS = 4_000
"""What the chance of making a deadline is drawn from unless more is asked for: half a per cent of it is noise."""

BLOCKS = 20
"""Of runs, each at one throughput: the quantiles of its distribution in turn."""
ENDS = ("low", "expected", "expected", "high")
"""Which assumption on availability each block in turn is drawn from: half of all from the expected one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """How many runs to draw, and the seed: equal seeds give equal figures."""

    runs: int
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Time by the clock of drawn runs: 10 % and 90 % quantiles in seconds, and the chance of making the deadline."""

    low_s: float
    high_s: float
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
                runs=len(range(block, draws.runs, blocks)),
                seed=draws.seed * BLOCKS + block,
            )
        )
    clock_s = np.concatenate(elapsed)
    in_time = 1.0 if left_s is None else float(np.mean(clock_s <= left_s))
    return Drawn(
        low_s=float(np.quantile(clock_s, 0.1, method="lower")),
        high_s=float(np.quantile(clock_s, 0.9, method="higher")),
        finish_probability_ppm=round(1e6 * in_time),
        runs=draws.runs,
    )


def _elapsed(shape: RunShape, model: AvailabilityModel, *, runs: int, seed: int) -> Floats:
    hazard = AgeHazard(edges_h=AGE_FROM_H, per_hour=tuple(float(rate) for rate in model.loss_per_hour))
    try:
        return simulate_aged_runs(shape, hazard, None, runs=runs, seed=seed).elapsed_s
    except ValueError:
        return np.full(runs, np.inf)
