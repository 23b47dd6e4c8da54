"""The public Python interface: `from optimizer import plan, estimate, estimate_cost, Job`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.workload.calculator import estimate_cost
from optimizer.workload.job_input import JobInput as Job

if TYPE_CHECKING:
    from pathlib import Path

    from .public_results import EstimateResult, PlanResult

__all__ = ["Job", "estimate", "estimate_cost", "plan"]


def plan(job: Job | Path | str | None = None, **flags: object) -> PlanResult:
    """Return the cheapest way to train `job` in time."""
    raise NotImplementedError


def estimate(job: Job | Path | str | None = None, **flags: object) -> EstimateResult:
    """Return memory, speed, duration and cost of one recipe on one GPU type."""
    raise NotImplementedError
