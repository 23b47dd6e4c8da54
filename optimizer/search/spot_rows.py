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
worked out by dynamic programming for the shortlist (`spot_shortlist`); the ranking takes a fit to it (`spot_share`).

All of them begin at a random moment, and may have to wait for their first machine (`spot_met`).
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
from .spot.problem import LARGEST_LOSS, POLL_S
from .spot_finish import FirstWait, delays, finish_quantile
from .spot_met import down_left
from .spot_share import OLDER, share_on_spot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.physics.runs import Bools, Floats, Ints
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
END_WEIGHTS = (0.25, 0.5, 0.25)
"""How far each end of a prior (low, expected, high) is believed. Assumed."""
HIGH = 0.9
"""The quantile that is the high end of an estimate."""
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
    # Only `skypilot` looks elsewhere; and classes that differ in memory or disk of the host alone take the same time.
    regions = np.clip(regions, 1, MOST_REGIONS) if job.executor == "skypilot" else np.ones_like(regions)
    key = (row * len(priors) + prior) * (MOST_REGIONS + 1) + regions
    _, first, where = np.unique(key, return_index=True, return_inverse=True)
    known = np.isfinite(physics.finish_s[row[first]])
    one = first[known]
    found = _distinct(job, physics, row[one], prior=prior[one], priors=priors, regions=regions[one], left_s=left_s)
    return _spread(found, known, where)


def _distinct(
    job: Job,
    physics: PhysicsRows,
    row: Ints,
    *,
    prior: Ints,
    priors: Sequence[SpotPrior],
    regions: Ints,
    left_s: float | None,
) -> SpotColumns:
    rates = _rates(priors)[prior]
    times = spot_times(job, physics, row, rates[:, 1])
    if job.executor == "policy" and left_s is not None:
        slack_s = np.maximum(left_s - times.machine_s - 2.0 * times.fixed_s - LARGEST_LOSS * times.loss_s - POLL_S, 0.0)
        share = share_on_spot(priors, prior, work_s=times.machine_s, slack_s=slack_s)
        wait_s = np.array([one.expected.down_mean_s for one in priors])[prior]
        return _under_policy(
            job, physics, times, rate_per_s=rates[:, 1] / HOUR_S, wait_s=wait_s, share=share, slack_s=slack_s,
            left_s=left_s,
        )  # fmt: skip
    waits = [_waits(job, [end(one) for one in priors], prior, regions) for end in (_low, _expected, _high)]
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


def first_wait_of(model: AvailabilityModel, *, executor: str, regions: int) -> tuple[float, float, float]:
    """Return the chance that a run waits for its first machine, and mean (s) and second moment (s2) of that wait.

    The regions that `skypilot` looks in are taken to be independent: the shortest of their waits, as if exponential.
    """
    places = min(regions, MOST_REGIONS) if executor == "skypilot" else 1
    mean, second = down_left(model).moments
    return (1.0 - model.available_fraction) ** places, mean / places, second / places**2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waits:
    """Waits of n runs, shape (n,): for the next machine, mean (s) and second moment (s2), and for the first one."""

    mean_s: Floats
    second_s2: Floats
    first: FirstWait

    @property
    def first_mean_s(self) -> Floats:
        mean: Floats = self.first.chance * self.first.mean_s
        return mean


def _in_closed_form(
    job: Job, physics: PhysicsRows, times: SpotTimes, rates: Floats, waits: list[_Waits]
) -> SpotColumns:
    shapes = [run_shape(job, times, one.mean_s, one.second_s2) for one in waits]
    moments = [spot_moments(shape, rates[:, end] / HOUR_S) for end, shape in enumerate(shapes)]
    expected = moments[1]
    elapsed_s = expected.elapsed_mean_s + waits[1].first_mean_s
    fast = run_shape(job, _scaled(times, np.exp(-Z90 * times.sigma)), waits[0].mean_s, waits[0].second_s2)
    low_s = mean_times_s(fast, rates[:, 0] / HOUR_S)[0]
    ends = [
        delays(one, wait.first, weight=weight) for one, wait, weight in zip(moments, waits, END_WEIGHTS, strict=True)
    ]
    undisturbed = expected.undisturbed_s
    # One normal variable moves fixed parts and work, as in `physics.duration`: their spreads add up.
    sigma = (times.fixed_s * physics.duration.fixed_sigma + times.machine_s * times.sigma) / (
        times.fixed_s + times.machine_s
    )
    confident = job.confidence_ppm / 1e6
    finish = finish_quantile(ends, undisturbed, sigma, confident)
    high = finish if confident == HIGH else finish_quantile(ends, undisturbed, sigma, HIGH)
    certain = _at_quantile(times, physics.duration.fixed_sigma, confident)
    return SpotColumns(
        low_s=np.minimum(low_s, elapsed_s),
        expected_s=elapsed_s,
        high_s=np.maximum(high, elapsed_s),
        # Interruptions never make a run faster.
        finish_s=np.maximum(finish, certain),
        held_fraction=expected.billed_mean_s / elapsed_s,
        on_spot_fraction=np.ones(elapsed_s.shape),
        every_s=times.every_s,
    )


def _under_policy(
    job: Job,
    physics: PhysicsRows,
    times: SpotTimes,
    *,
    rate_per_s: Floats,
    wait_s: Floats,
    share: Floats,
    slack_s: Floats,
    left_s: float,
) -> SpotColumns:
    """Return the times under a policy, to rank by; `share` is that of the work which spot does."""
    machine_s = times.machine_s
    spare_s = times.fixed_s + LARGEST_LOSS * times.loss_s + POLL_S
    certain = _at_quantile(times, physics.duration.fixed_sigma, job.confidence_ppm / 1e6)
    lost = OLDER * rate_per_s * share * machine_s
    again_s = np.minimum(lost * (times.fixed_s + times.loss_s), machine_s)
    # The first start and what is done again are spot's as the work is; what goes on-demand starts once more there.
    on_spot_s = share * (times.fixed_s + machine_s) + again_s
    on_demand_s = (1.0 - share) * (times.fixed_s + machine_s + np.where(share > 0.0, times.fixed_s, 0.0))
    held_s = on_spot_s + on_demand_s
    expected_s = np.minimum(held_s + np.minimum(lost * wait_s, slack_s), np.maximum(left_s, held_s))
    high_s = np.maximum(_at_quantile(times, physics.duration.fixed_sigma, 0.9) + spare_s, expected_s)
    return SpotColumns(
        low_s=np.minimum(_at_quantile(times, physics.duration.fixed_sigma, 0.1), expected_s),
        expected_s=expected_s,
        high_s=high_s,
        finish_s=certain + spare_s,
        held_fraction=held_s / expected_s,
        on_spot_fraction=on_spot_s / held_s,
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


def _waits(job: Job, models: Sequence[AvailabilityModel], prior: Ints, regions: Ints) -> _Waits:
    counts = range(1, MOST_REGIONS + 1)
    table = np.array(
        [
            [
                [
                    *waits_of(model, executor=job.executor, regions=count),
                    *first_wait_of(model, executor=job.executor, regions=count),
                ]
                for count in counts
            ]
            for model in models
        ]
    )
    found = table[prior, regions - 1]
    first = FirstWait(chance=found[:, 2], mean_s=found[:, 3], second_s2=found[:, 4])
    return _Waits(mean_s=found[:, 0], second_s2=found[:, 1], first=first)


def _low(prior: SpotPrior) -> AvailabilityModel:
    return prior.low


def _expected(prior: SpotPrior) -> AvailabilityModel:
    return prior.expected


def _high(prior: SpotPrior) -> AvailabilityModel:
    return prior.high


def _spread(columns: SpotColumns, known: Bools, where: Ints) -> SpotColumns:
    """Return the rows at the positions `where` of columns that hold those which are `known`; NaN for the others."""
    filled = {}
    for name in SpotColumns.__slots__:
        whole = np.full(known.shape, np.nan)
        whole[known] = getattr(columns, name)
        filled[name] = whole[where]
    return SpotColumns(**filled)
