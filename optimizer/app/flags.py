"""The keyword arguments of the public functions, typed: every job flag under its name in a job file."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal
    from os import PathLike

    Money = Decimal | float | str
    Words = str | Sequence[str]
    File = str | PathLike[str]


class JobFlags(TypedDict, total=False):
    """Every job flag. None is "not said"."""

    name: str | None
    model: File | None
    tokens: int | None
    samples: int | None
    tokens_per_sample: int | None
    epochs: int | None
    dataset: File | None
    tokenizer: File | None
    seq_len: int | None
    global_batch: int | None
    packing: bool | None
    runs: int | None
    method: Words | None
    quantization: int | Sequence[int] | None
    objective: str | None
    lora_rank: int | None
    target_modules: Words | None
    optimizer: str | None
    stack: str | None
    loss: str | None
    attention: str | None
    pairs: int | None
    rollouts: int | None
    prompt_tokens: int | None
    response_tokens: int | None
    reward_model: File | None
    deadline: str | datetime | None
    confidence: float | None
    budget: Money | None
    quality_floor: str | None
    max_complexity: str | None
    provider: Words | None
    region: Words | None
    gpu: Words | None
    exclude_gpu: Words | None
    max_gpus: int | None
    max_nodes: int | None
    pricing_model: Words | None
    max_price_age: str | None
    executor: str | None
    offers: File | None
    only_offers: bool | None
    discounts: Mapping[str, Money] | None
    usd_per_gpu_hour: Money | None
    setup_minutes: float | None
    data_gb: float | None
    egress_gb: float | None
    disk_gb: float | None
    checkpoint_every: str | None
    eval_fraction: float | None
    failed_run_multiplier: float | None
    labelling_usd: Money | None
    preference_usd: Money | None
    evaluation_usd: Money | None
    oncall_usd: Money | None
    calibrate_with: File | Sequence[File] | None
    top: int | None
    now: str | datetime | None
    recipe: Mapping[str, bool | float | str] | None


class PlanFlags(JobFlags, total=False):
    """Every job flag, and how `plan` searches."""

    robust: bool | None
    simulate: int | None
    seed: int | None
    quota: Sequence[Mapping[str, str | int]] | None
    account: str | None
    charge: Words | None
    dataset_digest: str | None
    policy: File | None
    requote: File | None


class EstimateFlags(JobFlags, total=False):
    """Every job flag, and the recipe. `gpu` names one GPU; `gpus` counts GPUs per node."""

    gpus: int | None
    nodes: int | None
    micro_batch: int | None
    grad_accum: int | None
    checkpointing: bool | str | None
    sharding: str | None
    offload: str | None
    pure_bf16: bool | None
    fused_optimizer: bool | None
    optimizer_in_backward: bool | None
    activation_offload: bool | None


RECIPE_KEYS: tuple[str, ...] = (
    *(EstimateFlags.__annotations__.keys() - JobFlags.__annotations__.keys()),
    "loss",
    "attention",
)
"""The keys of `EstimateFlags` that are fields of `RecipeChoice`: those that no search has, and two that both have."""
