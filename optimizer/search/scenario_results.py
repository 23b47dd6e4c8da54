"""What a study says of a plan: how it fares over many scenarios, and what would have been better. Integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from optimizer.workload.job import Job

    from .results import CalibrationReport, Candidate, SnapshotReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Quantiles of a figure over the scenarios (nearest rank: values that occur) and its mean, rounded to integers."""

    p10: int
    p50: int
    p90: int
    mean: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One candidate over all scenarios. Counts are scenarios."""

    candidate: Candidate
    best: int
    """Where its offer, node count and method were the cheapest way within the limits."""
    in_time: int
    in_budget: int
    kept: int
    """Within deadline and budget."""
    cost_usd_micro: Spread
    duration_s: Spread
    regret_usd_micro: Spread | None
    """What it costs more than the best of the same scenario, over those in which it keeps the limits; None: none."""
    admitted: bool
    """Whether a plan may choose it: it keeps every limit at the confidence asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """The answer to "what if prices and speeds turn out differently?".

    `base` is the choice of the plan, None where the job is infeasible; `alternatives` are the other candidates that
    were the cheapest in some scenario, those that won most often first. `steadiest` has the least 90 % quantile of the
    cost, `cheapest_on_average` the least mean (so the least mean regret too), both among what a plan may choose.
    """

    made_at: datetime
    job: Job
    seed: int
    scenarios: int
    base: Outcome | None
    alternatives: tuple[Outcome, ...]
    further_alternatives: int
    """Candidates that won in some scenario beyond those listed."""
    steadiest: Outcome | None
    cheapest_on_average: Outcome | None
    nothing_fits: int
    """Scenarios in which nothing keeps deadline and budget."""
    best_by_gpu: Mapping[str, int]
    best_by_provider: Mapping[str, int]
    best_by_method: Mapping[str, int]
    gpu_models: int
    price_groups: int
    """How many speeds and prices every scenario draws."""
    candidates: int
    """Distinct valid (offer, nodes, recipe) tuples in the market."""
    snapshot: SnapshotReport
    notes: tuple[str, ...] = ()
    calibration: CalibrationReport | None = None

    @property
    def feasible(self) -> bool:
        """Whether the job has a plan to study."""
        return self.base is not None
