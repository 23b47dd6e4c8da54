"""What the search says: candidates evaluated for people and files, plans, near misses. Integers where money is."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from optimizer.physics.recipe import Recipe
    from optimizer.workload.job import Job
    from providers.basis import Basis, Estimate
    from providers.gpus import Gpu
    from providers.offer import Offer

    from .confidence_price import ConfidencePrice
    from .deadline_price import DeadlinePrice
    from .spot.answer import SpotAnswer


class PlanStatus(StrEnum):
    """How the search ended."""

    OPTIMAL = "optimal"
    INFEASIBLE = "infeasible"
    TIME_LIMIT = "time_limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class LineItem:
    """One line of a bill: quantity x unit price, expected value, in micro-dollars."""

    name: str
    quantity: float
    unit: str
    usd_micro: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What one run costs in micro-dollars: 10 % quantile, central, 90 % quantile; the items sum to `expected`."""

    low_usd_micro: int
    expected_usd_micro: int
    high_usd_micro: int
    items: tuple[LineItem, ...]
    billed_s: int
    """Seconds per instance after billing increment and minimum, at the central duration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryReading:
    """Memory of one GPU in bytes, by reading (docs/memory-model.md). `parts_bytes` sum to allocated.expected."""

    usable_bytes: int
    required: Estimate
    load_required: Estimate
    load_peak: Estimate
    allocated: Estimate
    reserved: Estimate
    device: Estimate
    host: Estimate
    nvme: Estimate
    parts_bytes: Mapping[str, int]
    load_parts_bytes: Mapping[str, int]
    basis: Basis
    fit_probability_ppm: int | None = None
    """Chance in millionths that training and loading fit into `usable_bytes`, by the intervals of both (lognormal).
    The contract is that the high end fits: at least 900,000. What is beyond is headroom."""

    @property
    def needed(self) -> Estimate:
        """The larger of the training and the load requirement: what is checked against `usable_bytes`."""
        return max(self.required, self.load_required, key=lambda estimate: estimate.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedReading:
    """Real tokens per second of the whole job, what bounds it, and the seconds of one optimizer step by cause."""

    tokens_per_s: Estimate
    sigma_log: float
    mfu: float
    bound: str
    step_s: float
    parts_s: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One offer x nodes x recipe with everything known about it. `runs` is how many runs of a sweep it carries."""

    offer: Offer
    gpu: Gpu
    nodes: int
    recipe: Recipe
    runs: int
    memory: MemoryReading
    speed: SpeedReading
    duration_s: Estimate
    duration_parts_s: Mapping[str, float]
    finish_s_at_confidence: float
    finish_probability_ppm: int
    quote: Quote
    quality: str
    complexity: str
    slacks: Mapping[str, float]
    """Named slack of every constraint in its own unit; >= 0 is satisfied; limits not set are absent."""
    checkpoint_every_s: float | None = None
    """Seconds of training between two checkpoints, as stated or as assumed; 0: none but the last."""
    spot: SpotAnswer | None = None
    """What being lost does to a run on a spot machine, and what to do then; None on machines that stay."""

    @property
    def most_usd_micro(self) -> int:
        """What a budget is checked against: the worst case where there is one, otherwise the high end of the quote."""
        worst = None if self.spot is None else self.spot.worst_usd_micro
        return self.quote.high_usd_micro if worst is None else max(worst, self.quote.high_usd_micro)


@dataclass(frozen=True, slots=True, kw_only=True)
class NearMiss:
    """A candidate just outside the limits: what it breaks, what relaxing that would take, and what a run costs then.

    `limit`, `required`, `allowed`, `unit` are the first of the limits that it breaks; `broken` holds all of them.
    """

    limit: str
    required: float
    allowed: float | None
    """None where it is unknown what is allowed (host memory or disk of a node that nobody states)."""
    unit: str
    candidate: Candidate
    """The way out. For a machine that is too small (memory, host memory, NVMe) the cheapest known one that is not."""
    sentence: str
    kind: str = "cheapest"
    """`cheapest` of those that break these limits only, the one that relaxes them `least` where that is another one, or
    `recipe`: no limit is relaxed, but the recipe changed."""
    also: tuple[str, ...] = ()
    """Further limits that must give way too; empty where relaxing one limit is enough."""
    broken: Mapping[str, float] = field(default_factory=dict)
    """Every limit that must give way, with the value that lets `candidate` in, in the unit of the limit."""
    allows: Mapping[str, float | None] = field(default_factory=dict)
    """What each of them allows now; None where that is unknown."""
    flags: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """What to say to `plan` to let `candidate` in, all of it: flag and values (several: repeat the flag; none: leave it
    out), each in the place of what was said, rounded to the generous side. Empty where no flags do."""
    priced: bool = True
    """False where `candidate` stands for a machine that is not known to exist: its cost and time mean nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """A managed fine-tuning service priced per training token; cost None where the price is unknown."""

    vendor: str
    model: str
    method: str
    low_usd_micro: int | None
    high_usd_micro: int | None
    tokens: int
    source: str
    source_date: str
    notes: str
    stands_for: str = ""
    """Whose price it is: of "models of this size", of "every size", or of "another model" by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SolverReport:
    """How the choice was made. `candidates` counts distinct valid (offer, nodes, recipe) tuples before pruning."""

    status: str
    gap_ppm: int
    candidates: int
    hardware_classes: int
    physics_rows: int
    kept: int
    timings_s: Mapping[str, float] = field(default_factory=dict)
    """For --verbose only; never written to files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotReport:
    """Which prices the plan saw."""

    sha256: str
    oldest_observed_at: datetime | None
    newest_observed_at: datetime | None
    offers: int
    unusable: Mapping[str, int]
    """Offers that could not be candidates, by reason (unknown GPU, currency, price age, spot not asked for ...)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationReport:
    """Which calibration by measured runs an answer was asked to use, and whether any of it applies to the job."""

    sha256: str
    files: tuple[str, ...]
    stacks: tuple[str, ...]
    runs: int
    applied: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The answer to a job. `choices` holds the chosen candidates (one, or several for a sweep); empty if infeasible."""

    status: PlanStatus
    made_at: datetime
    job: Job
    choices: tuple[Candidate, ...]
    runners_up: tuple[Candidate, ...]
    rejected: Mapping[str, int]
    """Candidates lost to each limit: a candidate counts under every limit that it breaks."""
    near_misses: tuple[NearMiss, ...]
    rivals: tuple[Rival, ...]
    lost: tuple[str, ...]
    """Why others lost, one sentence each, with numbers."""
    solver: SolverReport
    snapshot: SnapshotReport
    notes: tuple[str, ...]
    calibration: CalibrationReport | None = None
    """The measured runs that the figures are calibrated with; None without any."""
    deadline_price: DeadlinePrice | None = None
    """What an hour more or less of deadline changes; None without a deadline or a choice."""
    confidence_prices: tuple[ConfidencePrice, ...] = ()
    """What being surer of the deadline costs."""
    robust: RobustReport | None = None
    """What the choice gives up to hold over the whole interval; None unless it was asked to."""
    action: Mapping[str, object] | None = None
    """What the plan asks leave for (`tunefare.action/v1`), for the budget gate; None where it chose nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustReport:
    """The choice against the one of least expected cost: cost of one run in micro-dollars, expected and in the corner
    where throughput, price, interruptions and storage are all at their unfavourable end."""

    expected_usd_micro: int
    worst_usd_micro: int
    least_expected_usd_micro: int | None
    """Expected cost of the plan that was not asked to be robust; None where there is none."""
    worst_of_least_usd_micro: int | None
    same: bool
    """Whether both are the same candidate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One recipe on one machine, no search. `quote` is None without an offer, the probability without a deadline.

    `fits` compares the high end of what is needed with usable memory, `fits_expected` the central estimate.
    """

    gpu: Gpu
    gpus_per_node: int
    nodes: int
    recipe: Recipe
    memory: MemoryReading
    speed: SpeedReading
    duration_s: Estimate
    duration_parts_s: Mapping[str, float]
    finish_s_at_confidence: float
    finish_probability_ppm: int | None
    quote: Quote | None
    quality: str
    complexity: str
    fits: bool
    fits_expected: bool
    host_fits: bool | None
    """Whether the node's memory suffices at the high end; None where it is unknown."""
    checkpoint_every_s: float | None = None
    """Seconds of training between two checkpoints, as stated or as assumed; 0: none but the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why what `spec` names is not the choice. `verdict`: chosen | dearer | infeasible | absent.

    `candidate` is the cheapest that matches (for infeasible: of those that break the fewest limits), `broken` the
    limits it breaks with (needed, allowed) in the units of the constraints, NaN where unknown; `choice` is what the
    plan takes.
    """

    spec: str
    verdict: str
    sentence: str
    candidate: Candidate | None
    choice: Candidate | None
    broken: Mapping[str, tuple[float, float]]
    made_at: datetime | None = None
    """The moment that ages and deadlines were judged at; set by the use case."""
    snapshot: SnapshotReport | None = None
    """Which prices were seen, and how old they are."""
    notes: tuple[str, ...] = ()
    calibration: CalibrationReport | None = None
    """The measured runs that the figures are calibrated with; None without any."""
