"""What losing spot machines does to a run: a closed form with an assumed rate, until availability history is known.

Expected time of a segment of L seconds (work and one checkpoint) under interruptions at rate r, each followed by d
seconds of restart (Daly 2006, equation 13): E = e^(r d) (e^(r L) - 1) / r. A run is a row of such segments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from optimizer.physics.runs import Floats

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class InterruptionRate:
    """Interruptions per hour of a gang of nodes in one zone: 10 %, central, 90 %. Basis: assumed.

    Published availability of V100 spot machines has hazards from 2.2 an hour (young) to 0.02 (older than 32 h).
    """

    low_per_hour: float = 0.02
    expected_per_hour: float = 0.1
    high_per_hour: float = 0.4


ASSUMED_RATE = InterruptionRate()
MANUAL_RESTART_S = 1800.0
"""With nobody but a person to restart a lost machine: how long until it is noticed and started again. Assumed."""


def stretch(*, rate_per_hour: float, segment_s: Floats, restart_s: Floats) -> Floats:
    """Return by which factor interruptions lengthen a run, >= 1, shape (n,).

    `segment_s` is the time between two finished checkpoints, the write included; `restart_s` what one loss costs
    before work goes on (new machine, set-up, download, load). Capped at e^50: such a run never ends in practice.
    """
    rate = rate_per_hour / HOUR_S
    if rate == 0.0:
        return np.ones_like(segment_s)
    exponent = np.minimum(rate * segment_s, 50.0)
    return np.exp(np.minimum(rate * restart_s, 50.0)) * np.expm1(exponent) / exponent


def young_interval_s(*, checkpoint_s: float, rate_per_hour: float) -> float:
    """Return the checkpoint interval sqrt(2 c / r) that wastes least (Young 1974), in seconds."""
    return float(np.sqrt(2.0 * checkpoint_s * HOUR_S / rate_per_hour))
