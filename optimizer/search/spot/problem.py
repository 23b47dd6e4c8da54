"""What a spot policy is worked out for: work, deadline, restart, prices, and the margins of the safety net."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .availability import AvailabilityModel

POLL_S = 300.0
"""How often a launcher looks at the market unless it says otherwise. Assumed."""


WASTE_ALLOWED = 0.1
"""Share of the on-demand cost of a run that starts and lost work may come to before spot machines are given up."""
LARGEST_LOSS = 2.0
"""The most that an interruption destroys, over the mean: it comes anywhere between two checkpoints."""


class Mode(IntEnum):
    """What runs, or what is to run next."""

    IDLE = 0
    SPOT = 1
    ON_DEMAND = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotProblem:
    """One run on machines that can be lost, with on-demand machines to fall back on. Times in seconds.

    Prices are micro-dollars per second of everything that is rented at once (all nodes of a gang).
    """

    work_s: float
    """Machine time that the whole run needs once it is started, checkpoints included."""
    deadline_s: float
    """Wall time from now to the deadline."""
    restart_s: float
    """Until a machine that was asked for goes on with the work: boot, set-up, download, load. Paid at every start."""
    loss_s: float
    """Work that an interruption destroys, on average."""
    spot_micro_per_s: float
    on_demand_micro_per_s: float
    availability: AvailabilityModel
    poll_s: float = POLL_S
    """Between two looks at the market: what a net may come too late by."""

    def __post_init__(self) -> None:
        """Raise ValueError for times and prices that cannot be."""
        for name in ("work_s", "deadline_s", "restart_s", "loss_s", "spot_micro_per_s", "poll_s"):
            if not 0.0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} = {getattr(self, name)}: a finite number >= 0")
        if not 0.0 < self.on_demand_micro_per_s < float("inf"):
            raise ValueError(f"on_demand_micro_per_s = {self.on_demand_micro_per_s}: a finite number > 0")

    @property
    def slack_s(self) -> float:
        """Wall time beyond the work: what may be spent on waiting, restarts and lost work."""
        return self.deadline_s - self.work_s

    @property
    def largest_loss_s(self) -> float:
        """Work that an interruption destroys at most: what the net must stand."""
        return LARGEST_LOSS * self.loss_s

    @property
    def net_idle_s(self) -> float:
        """Slack below which waiting ends and on-demand alone is started: two restarts, the largest loss, a look."""
        return 2.0 * self.restart_s + self.largest_loss_s + self.poll_s

    @property
    def net_spot_s(self) -> float:
        """Slack below which a spot machine is left for an on-demand one: a restart, the largest loss, a look."""
        return self.restart_s + self.largest_loss_s + self.poll_s

    def in_whole_seconds(self) -> SpotProblem:
        """Return the problem as a document holds it: what takes time rounded up, the deadline down: never too late."""
        return replace(
            self,
            work_s=float(math.ceil(self.work_s)),
            deadline_s=float(math.floor(self.deadline_s)),
            restart_s=float(math.ceil(self.restart_s)),
            loss_s=float(math.ceil(self.loss_s)),
            poll_s=float(math.ceil(self.poll_s)),
        )
