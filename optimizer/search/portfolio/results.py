"""What a portfolio says: who is placed where, who is not and why, what is used, what a quota is worth."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from optimizer.search.results import CalibrationReport, Candidate, SnapshotReport
    from optimizer.search.solve import Quota
    from optimizer.workload.job import Job


class PortfolioStatus(StrEnum):
    """Whether every job is placed, only some, or none."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    INFEASIBLE = "infeasible"


class SolverStatus(StrEnum):
    """How the search ended: proven within the gap asked for, stopped by its time, or with a wider proven gap."""

    OPTIMAL = "optimal"
    TIME_LIMIT = "time_limit"
    GAP = "gap"


class Reason(StrEnum):
    """Why a job is not placed."""

    LIMITS = "limits"
    """Nothing keeps the job's own limits."""
    QUOTA = "quota"
    """Every machine that keeps them needs more GPUs than a quota has, were it all for this job."""
    BUDGET = "budget"
    """Every one of them may cost more than a shared budget holds, were it all for this job."""
    CROWDED_OUT = "crowded_out"
    """It would fit alone; jobs of its own priority or of one that goes first take what it needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """Micro-dollars: 10 % quantile, expected, 90 % quantile."""

    low_usd_micro: int
    expected_usd_micro: int
    high_usd_micro: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedJob:
    """A job with what carries it: one candidate, or several for a sweep. `slot` is "" where there are no slots.

    `start_s` counts seconds from now to the start, the same for every candidate unless runs of a sweep start in
    different slots: then it is the first, and `slots` names all.
    """

    job: Job
    priority: int
    team: str | None
    choices: tuple[Candidate, ...]
    starts_s: tuple[float, ...]
    slots: tuple[str, ...]

    @property
    def cost(self) -> Money:
        """The cost of all runs of the job."""
        return Money(
            low_usd_micro=sum(one.quote.low_usd_micro * one.runs for one in self.choices),
            expected_usd_micro=sum(one.quote.expected_usd_micro * one.runs for one in self.choices),
            high_usd_micro=sum(one.quote.high_usd_micro * one.runs for one in self.choices),
        )

    @property
    def finish_s(self) -> float:
        """Seconds from now to the end of the last run, expected."""
        return max(start + one.duration_s.expected for start, one in zip(self.starts_s, self.choices, strict=True))

    @property
    def slack_s(self) -> float | None:
        """Seconds between the end at the confidence asked for and the deadline; None without a deadline."""
        return min((one.slacks["deadline"] for one in self.choices if "deadline" in one.slacks), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnplacedJob:
    """A job that is not placed, why, and what would place it, in a sentence with numbers."""

    job: Job
    priority: int
    team: str | None
    reason: Reason
    limit: str
    """The limit of the job, the quota or the budget that is in the way."""
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaUse:
    """How much of a quota the plan uses, in one slot where there are slots, and what one more GPU of it is worth."""

    quota: Quota
    slot: str
    used: int
    saves_usd_micro: int
    """What one more GPU saves, by the linear relaxation: an estimate, exact only where nothing is degenerate."""
    places_ppm: int
    """Millionths of a job that one more GPU places, likewise; 0 where every job is placed."""
    offers: int
    """Offers that the quota covers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamTotal:
    """What the jobs of a team cost, and its budget; `team` None stands for all jobs, "" for those without a team."""

    team: str | None
    jobs: int
    placed: int
    cost: Money
    budget_usd_micro: int | None
    charged_usd_micro: int
    """What counts against the budget: the sum of the high ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortfolioSolver:
    """How the plan was found, and how far from the least cost it may be."""

    status: SolverStatus
    gap_ppm: int
    bound_usd_micro: int
    """No plan that places as many jobs of each priority costs less."""
    fewest_unplaced_proven: bool
    """Whether it is proven that no plan places more jobs, priority by priority."""
    columns: int
    iterations: int
    held: int
    """Columns that the solver saw at one time."""
    timings_s: Mapping[str, float] = field(default_factory=dict)
    """For --verbose only; never written to files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Portfolio:
    """The answer to a file of jobs, in the order of the file."""

    status: PortfolioStatus
    made_at: datetime
    placed: tuple[PlacedJob, ...]
    unplaced: tuple[UnplacedJob, ...]
    total: Money
    teams: tuple[TeamTotal, ...]
    """All jobs first, then each team."""
    quotas: tuple[QuotaUse, ...]
    solver: PortfolioSolver
    snapshot: SnapshotReport
    notes: tuple[str, ...]
    order: tuple[str, ...]
    """Names of all jobs in the order of the file."""
    calibration: CalibrationReport | None = None
