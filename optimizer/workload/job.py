"""The job: what is trained on what, how it may be done, and the limits it must keep."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from .lengths import LengthDistribution
    from .models import ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Overheads:
    """What a job costs and takes beside training. None is "not stated": the default of the model applies."""

    setup_s: float | None = None
    data_bytes: float = 0.0
    egress_bytes: float = 0.0
    disk_bytes: float | None = None
    checkpoint_every_s: float = 1800.0
    eval_fraction: float = 0.0
    failed_run_multiplier: float = 1.0
    labelling_usd: Decimal = Decimal(0)
    preference_usd: Decimal = Decimal(0)
    evaluation_usd: Decimal = Decimal(0)
    oncall_usd: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A training job, complete: every default is filled in and listed in `defaults_used`.

    `tokens` are real tokens trained on, every epoch counted, padding excluded; `sequences` the samples times epochs
    (DPO: pairs, PPO: rollouts, times epochs). `seq_len` is the length of a row in memory. `deadline_at` is aware UTC
    or None for no deadline. Empty tuples mean "no restriction".
    """

    name: str
    model: ModelSpec
    tokens: int
    sequences: int
    seq_len: int
    global_batch: int
    packing: bool
    lengths: LengthDistribution | None
    runs: int
    methods: tuple[str, ...]
    """Any of full, lora, qlora, dora, rslora; empty: all that make sense."""
    quantization_bits: tuple[int, ...]
    objective: str
    lora_rank: int
    target_modules: tuple[str, ...]
    optimizer: str
    stack: str
    stack_known: bool
    prompt_tokens: int
    response_tokens: int
    reward_model: ModelSpec | None
    deadline_at: datetime | None
    confidence_ppm: int
    budget_usd: Decimal | None
    quality_floor: str | None
    max_complexity: str | None
    providers: tuple[str, ...]
    regions: tuple[str, ...]
    gpus: tuple[str, ...]
    """Canonical GPU ids."""
    exclude_gpus: tuple[str, ...]
    max_gpus: int
    max_nodes: int
    pricing_models: tuple[str, ...]
    """Empty: on-demand, and spot where its price is fresh."""
    max_price_age_s: float | None
    executor: str
    overheads: Overheads
    defaults_used: tuple[str, ...]
    """One line per default that was used: "name = value (where it comes from)"."""
    basis: str
    """How well the token count and lengths are known (providers.basis): measured with a tokenizer, assumed without."""
