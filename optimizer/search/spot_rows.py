"""Spot machines as columns: how long runs on them take and what they are billed for, by who acts when one is lost.

| executor | after a loss | net | what the columns hold |
|---|---|---|---|
| `none` | a person notices (half an hour) and waits for the same machine | none | closed form |
| `skypilot` | the next machine, in up to three regions | none | closed form, shorter waits |
| `policy` | what the plan's table says, on-demand included | on-demand, in time | an approximation to rank by (below) |

The closed form (`spot.closed_form`) takes the rate of all ages together. Its rates, like the waits for capacity, are a
prior (`spot.interruption_classes`): the confident finish time takes the upper end of both.

`policy`, with a deadline: the run ends in time as surely as it would on on-demand machines with a restart, a loss and a
look at the market to spare, because the net goes there while that is still possible. Which part of it spot does is
worked out by dynamic programming for the shortlist (`spot_shortlist`); to rank, spot does what availability allows:
    min(1, A (C + W) / C) of the work C, where A is the share of time it can be had and W the slack above the net.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from optimizer.physics.duration import FIXED_PARTS
from optimizer.physics.throughput import Z90

from .spot.checkpoint_interval import best_interval_s
from .spot.closed_form import RunShape, mean_times_s, spot_moments
from .spot.problem import POLL_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.physics.runs import Floats, Ints
    from optimizer.workload.job import Job

    from .physics_rows import PhysicsRows
    from .spot.availability import AvailabilityModel
    from .spot.interruption_classes import SpotPrior

HOUR_S = 3600.0
MANUAL_RESTART_S = 1800.0
"""With nobody but a person to restart a lost machine: how long until it is noticed and started again. Assumed."""
MOST_REGIONS = 3
"""Regions that failover looks in: availability correlates by 0.25 to 0.59 within a region, 0.03 to 0.27 across
(published V100 traces of nine zones), and a fourth region adds little to three."""
SHORTEST_INTERVAL_S = 300.0
"""A checkpoint takes more than its write (training stops, files go elsewhere): none more often than this. Assumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotTimes:
    """What n runs on spot machines are made of: medians, columns of shape (n,), seconds."""

    fixed_s: Floats
    work_s: Floats
    """Undisturbed machine time beside the fixed parts, checkpoints not counted."""
    sigma: Floats
    every_s: Floats
    write_s: Floats

    @property
    def machine_s(self) -> Floats:
        """Work with its checkpoints: what must be done once a machine is there."""
        writes = np.maximum(np.ceil(self.work_s / self.every_s - 1e-9), 1.0)
        return self.work_s + writes * self.write_s

    @property
    def loss_s(self) -> Floats:
        """Mean work that an interruption destroys: half of what lies between two checkpoints."""
        return (np.minimum(self.every_s, self.work_s) + self.write_s) / 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotColumns:
    """n runs on spot machines by the clock, shape (n,), seconds; waits included.

    `held_fraction` of the time a machine is held, and billed; `on_spot_fraction` of that is spot, the rest on-demand.
    """

    low_s: Floats
    expected_s: Floats
    high_s: Floats
    finish_s: Floats
    held_fraction: Floats
    on_spot_fraction: Floats
    every_s: Floats


def spot_times(job: Job, physics: PhysicsRows, row: Ints, rate_per_s: Floats) -> SpotTimes:
    """Return the parts of runs on spot machines; the checkpoint interval is chosen for the rate unless stated.

    An interval of 0 (stated) means none but the last: all of the work is then one segment.
    """
    parts = {name: part[row] for name, part in physics.duration.parts_s.items()}
    fixed = sum((parts[name] for name in FIXED_PARTS), start=np.zeros(1))
    repeated = job.overheads.failed_run_multiplier
    whole = sum((part for name, part in parts.items() if name not in FIXED_PARTS), start=np.zeros(1))
    work = whole - repeated * parts["checkpoints"]
    write = physics.checkpoint_write_s[row]
    stated = job.overheads.checkpoint_every_s
    if stated is None:
        every = np.clip(best_interval_s(write, rate_per_s), SHORTEST_INTERVAL_S, None)
    else:
        every = np.full(row.shape, stated) if stated > 0.0 else work
    return SpotTimes(
        fixed_s=fixed,
        work_s=work,
        sigma=np.broadcast_to(physics.duration.variable_sigma, physics.checkpoint_write_s.shape)[row],
        every_s=np.maximum(np.minimum(every, np.where(np.isfinite(work), work, every)), 1e-3),
        write_s=write,
    )


def spot_columns(
    job: Job,
    physics: PhysicsRows,
    row: Ints,
    *,
    prior: Ints,
    priors: Sequence[SpotPrior],
    regions: Ints,
    left_s: float | None,
) -> SpotColumns:
    """Return the times of physics rows (positions) on spot machines.

    `prior` says which of `priors` holds for each, `regions` in how many regions such machines are offered. `left_s` is
    the time to the deadline, None without one: a policy then only waits, like `skypilot` in one region.
    """
    known = np.isfinite(physics.finish_s[row])
    if not known.all():
        return _with_unknown(
            spot_columns(
                job, physics, row[known], prior=prior[known], priors=priors, regions=regions[known], left_s=left_s
            ),
            known,
        )
    rates = _rates(priors)[prior]
    times = spot_times(job, physics, row, rates[:, 1])
    waits = [_waits(job, [end(one) for one in priors], prior, regions) for end in (_low, _expected, _high)]
    if job.executor == "policy" and left_s is not None:
        share = np.array([one.expected.available_fraction for one in priors])[prior]
        return _under_policy(
            job, physics, times, rate_per_s=rates[:, 1] / HOUR_S, wait_s=waits[1][0], share=share, left_s=left_s
        )
    return _in_closed_form(job, physics, times, rates, waits)


def run_shape(job: Job, times: SpotTimes, wait_mean_s: Floats, wait_second_s2: Floats) -> RunShape:
    """Return runs as the closed form takes them."""
    by_hand = MANUAL_RESTART_S if job.executor == "none" else 0.0
    return RunShape(
        work_s=times.work_s,
        segment_s=times.every_s,
        checkpoint_s=times.write_s,
        restart_s=times.fixed_s,
        startup_s=times.fixed_s,
        wait_mean_s=wait_mean_s + by_hand,
        wait_second_moment_s2=wait_second_s2 + 2.0 * by_hand * wait_mean_s + by_hand**2,
    )


def waits_of(model: AvailabilityModel, *, executor: str, regions: int) -> tuple[float, float]:
    """Return mean (s) and second moment (s2) of the wait for the next machine after a loss.

    With `skypilot` it is looked for in up to three regions, taken to be independent: nothing is waited for where
    another one is up, else for the first of them that returns.
    """
    mean, second = model.down_mean_s, model.down_second_moment_s2
    places = min(regions, MOST_REGIONS) if executor == "skypilot" else 1
    all_down = (1.0 - model.available_fraction) ** (places - 1)
    return mean * all_down / places, second * all_down / places**2


def _in_closed_form(
    job: Job, physics: PhysicsRows, times: SpotTimes, rates: Floats, waits: list[tuple[Floats, Floats]]
) -> SpotColumns:
    fast = np.exp(-Z90 * times.sigma)
    shape = run_shape(job, times, *waits[1])
    moments = spot_moments(shape, rates[:, 1] / HOUR_S)
    low = run_shape(job, _scaled(times, fast), *waits[0])
    low_s, _ = mean_times_s(low, rates[:, 0] / HOUR_S)
    upper = run_shape(job, times, *waits[2])
    worse = spot_moments(upper, rates[:, 2] / HOUR_S)
    held = moments.billed_mean_s / moments.elapsed_mean_s
    # How uncertain the rate, the throughput and the fixed parts are, and chance itself: one gamma with all variances.
    by_rate = np.maximum(worse.elapsed_mean_s - moments.elapsed_mean_s, 0.0) / Z90
    longer = moments.elapsed_mean_s / np.maximum(moments.undisturbed_s, 1e-3)
    by_speed = times.work_s * np.expm1(np.minimum(times.sigma, 3.0)) * longer
    by_start = times.fixed_s * np.expm1(physics.duration.fixed_sigma)
    deviation = np.sqrt(moments.elapsed_sd_s**2 + by_rate**2 + by_speed**2 + by_start**2)
    excess = np.maximum(moments.elapsed_mean_s - moments.undisturbed_s, 0.0) + deviation
    # The fastest that can be is below the undisturbed median; the gamma starts where its mean less its spread is.
    start = moments.elapsed_mean_s - excess
    order = (excess / np.maximum(deviation, 1e-9)) ** 2
    scale = deviation**2 / np.maximum(excess, 1e-9)
    confident = job.confidence_ppm / 1e6
    finish = start + scale * _gamma_quantile(order, confident)
    high = start + scale * _gamma_quantile(order, 0.9)
    certain = _at_quantile(times, physics.duration.fixed_sigma, confident)
    return SpotColumns(
        low_s=np.minimum(low_s, moments.elapsed_mean_s),
        expected_s=moments.elapsed_mean_s,
        high_s=np.maximum(high, moments.elapsed_mean_s),
        # Interruptions never make a run faster.
        finish_s=np.maximum(finish, certain),
        held_fraction=held,
        on_spot_fraction=np.ones(held.shape),
        every_s=times.every_s,
    )


def _gamma_quantile(order: Floats, probability: float) -> Floats:
    """Return the quantile of a gamma distribution of scale 1 (Wilson and Hilferty 1931): close enough to rank by."""
    z = NormalDist().inv_cdf(probability)
    ninth = 1.0 / (9.0 * np.maximum(order, 1e-3))
    quantile: Floats = order * np.maximum(1.0 - ninth + z * np.sqrt(ninth), 0.0) ** 3
    return quantile


def _under_policy(
    job: Job,
    physics: PhysicsRows,
    times: SpotTimes,
    *,
    rate_per_s: Floats,
    wait_s: Floats,
    share: Floats,
    left_s: float,
) -> SpotColumns:
    """Return the times under a policy, to rank by; `share` is that of time in which spot can be had."""
    machine_s = times.machine_s
    spare_s = times.fixed_s + times.loss_s + POLL_S
    whole_s = times.fixed_s + machine_s
    certain = _at_quantile(times, physics.duration.fixed_sigma, job.confidence_ppm / 1e6)
    slack_s = np.maximum(left_s - machine_s - 2.0 * times.fixed_s - times.loss_s - POLL_S, 0.0)
    on_spot = np.where(slack_s > 0.0, np.minimum(share * (machine_s + slack_s) / machine_s, 1.0), 0.0)
    lost = rate_per_s * on_spot * machine_s
    again_s = np.minimum(lost * (times.fixed_s + times.loss_s), machine_s)
    held_s = whole_s + again_s
    expected_s = np.minimum(held_s + np.minimum(lost * wait_s, slack_s), np.maximum(left_s, held_s))
    high_s = np.maximum(_at_quantile(times, physics.duration.fixed_sigma, 0.9) + spare_s, expected_s)
    return SpotColumns(
        low_s=np.minimum(_at_quantile(times, physics.duration.fixed_sigma, 0.1), expected_s),
        expected_s=expected_s,
        high_s=high_s,
        finish_s=certain + spare_s,
        held_fraction=held_s / expected_s,
        on_spot_fraction=on_spot * machine_s / (machine_s + times.fixed_s),
        every_s=times.every_s,
    )


def _at_quantile(times: SpotTimes, fixed_sigma: float, probability: float) -> Floats:
    """Return the time of undisturbed runs at a quantile, as `physics.duration` takes it."""
    z = NormalDist().inv_cdf(probability)
    writes = times.machine_s - times.work_s
    at: Floats = times.fixed_s * np.exp(fixed_sigma * z) + (times.work_s + writes) * np.exp(times.sigma * z)
    return at


def _scaled(times: SpotTimes, scale: Floats) -> SpotTimes:
    return SpotTimes(
        fixed_s=times.fixed_s,
        work_s=times.work_s * scale,
        sigma=times.sigma,
        every_s=np.maximum(times.every_s * scale, 1e-3),
        write_s=times.write_s,
    )


def _rates(priors: Sequence[SpotPrior]) -> Floats:
    """Return the rates per hour of each prior, low, expected, high: shape (priors, 3)."""
    return np.array([[one.low.rate_per_hour, one.expected.rate_per_hour, one.high.rate_per_hour] for one in priors])


def _waits(job: Job, models: Sequence[AvailabilityModel], prior: Ints, regions: Ints) -> tuple[Floats, Floats]:
    table = np.array(
        [
            [waits_of(model, executor=job.executor, regions=count) for count in range(1, MOST_REGIONS + 1)]
            for model in models
        ]
    )
    found = table[prior, np.clip(regions, 1, MOST_REGIONS) - 1]
    return found[:, 0], found[:, 1]


def _low(prior: SpotPrior) -> AvailabilityModel:
    return prior.low


def _expected(prior: SpotPrior) -> AvailabilityModel:
    return prior.expected


def _high(prior: SpotPrior) -> AvailabilityModel:
    return prior.high


def _with_unknown(columns: SpotColumns, known: Floats) -> SpotColumns:
    """Return columns with NaN where the speed is unknown."""
    filled = {}
    for name in SpotColumns.__slots__:
        whole = np.full(known.shape, np.nan)
        whole[known] = getattr(columns, name)
        filled[name] = whole
    return SpotColumns(**filled)
