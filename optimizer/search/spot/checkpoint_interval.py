"""How often to write a checkpoint, and what it wastes: Young, Daly, the exact optimum, hazards by age, and on notice.

With a constant rate r and a write of c seconds, time per unit of work is proportional to (e^(r (t + c)) - 1) / t for an
interval t (Daly 2006, equation 13). It is least where r t = 1 - e^(-r (t + c)), solved by Newton's method; in Lambert's
function the best interval is (1 + W(-e^(-1 - r c))) / r.

Where the hazard depends on the machine's age, machines are a renewal process: of each life U the restart d comes first,
then whole strides of t + c count, and the rest is lost. The useful part of up-time is t E[floor((U - d) / (t + c))] /
E[U] = t / E[U] x sum over k >= 1 of S(d + k (t + c)), S the probability of reaching an age.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from optimizer.physics.runs import Floats

    from .checkpoint_interval_hazard import AgeHazard

NOTICE_S = {"aws": 120.0, "azure": 30.0, "gcp": 30.0}
"""Seconds between the notice and the loss of a spot machine, by provider; others give none.

AWS: EC2 User Guide, "Spot Instance interruption notices" (two minutes, best effort). Azure: "Azure Spot Virtual
Machines" (at least 30 s, by Scheduled Events, best effort). Google Cloud: "Spot VMs" (30 s, best effort).
"""
MISSED_FRACTION = 0.05
"""Of the notices that never come or come too late. Assumed: providers publish no figure."""
SHORTEST_S = 1.0
LONGEST_S = 30.0 * 86_400.0
NEWTON_STEPS = 8
GRID = 97
"""Intervals tried before the search is refined: with a hazard by age more than one may be a local best."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeGain:
    """What part of up-time is wasted with checkpoints at the best interval, and on notice: restarts included, and
    `restart_fraction` is their part of both.

    `usable` is whether a checkpoint fits the notice; where not, both are the same.
    """

    interval_s: float
    periodic_waste_fraction: float
    safety_interval_s: float
    on_notice_waste_fraction: float
    restart_fraction: float
    usable: bool


def young_interval_s(checkpoint_s: Floats, rate_per_s: Floats) -> Floats:
    """Return sqrt(2 c / r) (Young 1974), seconds, broadcast shape; infinite at rate 0."""
    with np.errstate(divide="ignore"):
        return np.where(
            rate_per_s > 0.0, np.sqrt(2.0 * checkpoint_s / np.where(rate_per_s > 0.0, rate_per_s, 1.0)), np.inf
        )


def daly_interval_s(checkpoint_s: Floats, rate_per_s: Floats) -> Floats:
    """Return Daly's higher-order interval (2006, equation 37), seconds, broadcast shape; infinite at rate 0.

    sqrt(2 c M) (1 + sqrt(c / 2M) / 3 + c / 18M) - c for c < 2 M, else M, with M = 1 / rate.
    """
    mean_s = np.where(rate_per_s > 0.0, 1.0 / np.where(rate_per_s > 0.0, rate_per_s, 1.0), np.inf)
    part = checkpoint_s / (2.0 * mean_s)
    finite_s = np.where(np.isfinite(mean_s), mean_s, 1.0)
    series = np.sqrt(2.0 * checkpoint_s * finite_s) * (1.0 + np.sqrt(part) / 3.0 + part / 9.0) - checkpoint_s
    return np.where(np.isfinite(mean_s), np.where(part < 1.0, series, mean_s), np.inf)


def best_interval_s(checkpoint_s: Floats, rate_per_s: Floats) -> Floats:
    """Return the interval that wastes least at a constant rate, seconds, broadcast shape; infinite at rate 0.

    Whatever the restart takes. 0 where a checkpoint costs nothing.
    """
    write = np.asarray(rate_per_s * checkpoint_s, dtype=np.float64)
    rate = np.where(rate_per_s > 0.0, rate_per_s, 1.0)
    # x = r t solves x = 1 - e^(-x - r c); the left side less the right is convex, so from above Newton's steps descend.
    x = np.minimum(np.sqrt(2.0 * write), 1.0)
    for _ in range(NEWTON_STEPS):
        slope = -np.expm1(-x - write)
        x = np.where(slope > 0.0, x - (x - slope) / np.where(slope > 0.0, slope, 1.0), 0.0)
    return np.where(rate_per_s > 0.0, x / rate, np.inf)


def wasted_fraction(interval_s: float, *, hazard: AgeHazard, checkpoint_s: float, restart_s: float) -> float:
    """Return the part of up-time that is not kept as work, with checkpoints every `interval_s` of work, 0 to 1."""
    mean_s = hazard.mean_s()
    if np.isinf(mean_s):
        return checkpoint_s / (interval_s + checkpoint_s)
    strides = hazard.mean_strides(restart_s, interval_s + checkpoint_s)
    return max(1.0 - interval_s * strides / mean_s, 0.0)


def best_aged_interval_s(*, hazard: AgeHazard, checkpoint_s: float, restart_s: float) -> float:
    """Return the constant interval that wastes least under a hazard by age, seconds; infinite where lives have no end.

    Of intervals from a second to 30 days.
    """
    if np.isinf(hazard.mean_s()):
        return np.inf
    return _least(
        lambda interval_s: wasted_fraction(interval_s, hazard=hazard, checkpoint_s=checkpoint_s, restart_s=restart_s)
    )


def waste_on_notice(
    *,
    hazard: AgeHazard,
    checkpoint_s: float,
    restart_s: float,
    notice_s: float,
    missed_fraction: float = MISSED_FRACTION,
) -> NoticeGain:
    """Return what is wasted with the best interval, and with a checkpoint on notice, parts of up-time.

    On notice a life ends with the write that the notice leaves time for, and the machine is given back: only the write
    and the restart are lost. Notices are a best effort: `missed_fraction` of them never come, and against those a
    checkpoint is written at a coarse safety interval, the one that wastes least then. Raises ValueError for a fraction
    outside 0 to 1.
    """
    if not 0.0 <= missed_fraction <= 1.0:
        raise ValueError(f"missed_fraction = {missed_fraction}: between 0 and 1")
    interval_s = best_aged_interval_s(hazard=hazard, checkpoint_s=checkpoint_s, restart_s=restart_s)
    if np.isinf(interval_s):
        # A machine that may be kept for ever: whatever is wasted is nothing beside its life.
        return _gain(interval_s, 0.0, interval_s, 0.0, restart_fraction=0.0, usable=checkpoint_s <= notice_s)
    mean_s, kept_from_s = hazard.mean_s(), restart_s + checkpoint_s
    periodic = wasted_fraction(interval_s, hazard=hazard, checkpoint_s=checkpoint_s, restart_s=restart_s)
    restart_fraction = 1.0 - hazard.mean_beyond_s(restart_s) / mean_s
    if checkpoint_s > notice_s:
        return _gain(interval_s, periodic, interval_s, periodic, restart_fraction=restart_fraction, usable=False)

    def waste(safety_s: float) -> float:
        stride_s = safety_s + checkpoint_s
        noticed_s = hazard.mean_beyond_s(kept_from_s) - checkpoint_s * hazard.mean_strides(kept_from_s, stride_s)
        unnoticed_s = safety_s * hazard.mean_strides(restart_s, stride_s)
        return 1.0 - ((1.0 - missed_fraction) * noticed_s + missed_fraction * unnoticed_s) / mean_s

    safety_s = _least(waste)
    on_notice = max(waste(safety_s), 0.0)
    return _gain(interval_s, periodic, safety_s, on_notice, restart_fraction=restart_fraction, usable=True)


def _gain(
    interval_s: float, periodic: float, safety_s: float, on_notice: float, *, restart_fraction: float, usable: bool
) -> NoticeGain:
    return NoticeGain(
        interval_s=interval_s,
        periodic_waste_fraction=periodic,
        safety_interval_s=safety_s,
        on_notice_waste_fraction=on_notice,
        restart_fraction=restart_fraction,
        usable=usable,
    )


def _least(waste: Callable[[float], float]) -> float:
    """Return the seconds at which `waste` is least: best of a logarithmic grid, refined between its neighbours."""
    from scipy.optimize import minimize_scalar

    grid = np.linspace(np.log(SHORTEST_S), np.log(LONGEST_S), GRID)
    values = [waste(float(np.exp(one))) for one in grid]
    best = int(np.argmin(values))
    bounds = (float(grid[max(best - 1, 0)]), float(grid[min(best + 1, GRID - 1)]))
    refined = minimize_scalar(
        lambda one: waste(float(np.exp(one))), bounds=bounds, method="bounded", options={"xatol": 1e-6}
    )
    return float(np.exp(refined.x if refined.fun < values[best] else grid[best]))
