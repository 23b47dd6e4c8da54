"""What a sensitivity says: the drivers of a cost, the choice at each end, and the best plan there if it was sought."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from optimizer.workload.job import Job

    from .deadline_price import DeadlinePrice, DeadlineStretch
    from .results import CalibrationReport, Candidate, SnapshotReport


@dataclass(frozen=True, slots=True, kw_only=True)
class BestThere:
    """The best plan at an end of a driver: `candidate` names it, figures are those at that end, per run."""

    candidate: Candidate
    usd_micro: int
    finish_s: float
    same: bool
    """Whether it is the choice itself: the same offer, nodes and method."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverPoint:
    """The choice with one driver at one value: cost per run in micro-dollars, times in seconds.

    Cost and times are None where the recipe makes no sense then. `finish_s` is the time at the confidence asked for.
    """

    value: float
    detail: str = ""
    """What moves along with the value, in words."""
    usd_micro: int | None = None
    duration_s: float | None = None
    finish_s: float | None = None
    needed_bytes: float | None = None
    """High end of what one GPU needs."""
    usable_bytes: float | None = None
    fits: bool | None = None
    """Whether the memory of GPU and node suffices; None where the recipe makes no sense."""
    in_time: bool | None = None
    """None without a deadline."""
    in_budget: bool | None = None
    """None without a budget."""
    senseless: str = ""
    """Why the recipe makes no sense at this value, in a clause; else empty."""
    sought: bool = False
    """Whether the best plan at this value was sought. If so and `best` is None, no plan keeps every limit there."""
    best: BestThere | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """One thing that the cost may hang on. `points` ascend by value, the base among them."""

    name: str
    unit: str
    base: DriverPoint
    points: tuple[DriverPoint, ...]
    why: str
    """Where the interval comes from."""
    one_sided: str = ""
    """Why an end is missing, in a clause; empty where both are there."""

    @property
    def low(self) -> DriverPoint:
        """The point of the least value."""
        return self.points[0]

    @property
    def high(self) -> DriverPoint:
        """The point of the greatest value."""
        return self.points[-1]

    @property
    def swing_usd_micro(self) -> int:
        """Dearest minus cheapest point, whether it fits or not."""
        costs = [point.usd_micro for point in self.points if point.usd_micro is not None]
        return max(costs) - min(costs)

    @property
    def swing_s(self) -> float:
        """Latest minus earliest finish time of the points."""
        times = [point.finish_s for point in self.points if point.finish_s is not None]
        return max(times) - min(times)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """What the cost of the choice hangs on, largest swing first, and what the deadline costs."""

    job: Job
    made_at: datetime
    choice: Candidate
    drivers: tuple[Driver, ...]
    deadline: DeadlinePrice | None
    """None without a deadline."""
    stretches: tuple[DeadlineStretch, ...]
    snapshot: SnapshotReport
    notes: tuple[str, ...] = ()
    """Set by the use case, as is the next."""
    calibration: CalibrationReport | None = None
    """The measured runs that the figures are calibrated with; None without any."""
