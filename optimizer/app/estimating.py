"""The use case `estimate`: one recipe on one GPU type, no search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal
    from pathlib import Path

    from cache.store import PriceStore
    from optimizer.report.answers import EstimateAnswer
    from optimizer.workload.job import Job
    from optimizer.workload.job_input import JobInput

    from .settings import Settings
    from .tables import Knowledge


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeChoice:
    """The recipe flags of `estimate`, as written; None is "not said" and takes the default that fits the machine.

    `gpus` counts GPUs per node. `checkpointing` True is full, or the words none, selective, full.
    """

    gpu: str | None = None
    gpus: int | None = None
    nodes: int | None = None
    micro_batch: int | None = None
    grad_accum: int | None = None
    checkpointing: bool | str | None = None
    attention: str | None = None
    sharding: str | None = None
    offload: str | None = None
    loss: str | None = None
    pure_bf16: bool | None = None
    """True: `--pure-bf16`; False: `--mixed-precision`."""
    usd_per_gpu_hour: Decimal | float | str | None = None


def estimate_recipe(
    inputs: JobInput | Job | Path | str | None = None,
    *,
    recipe: RecipeChoice,
    flags: JobInput | None = None,
    now: datetime | str | None = None,
    settings: Settings | None = None,
    store: PriceStore | None = None,
    tables: Knowledge | None = None,
) -> EstimateAnswer:
    """Return memory, speed, duration and cost of one recipe on one kind of machine.

    The method and width are the job's first (default: lora at 16 bits). Cost uses `usd_per_gpu_hour` when given,
    otherwise the cheapest offer of exactly that machine, which the answer names; without either it is unknown.
    Raises JobError for a mix that makes no sense, naming the flag and the reason.
    """
    raise NotImplementedError
