"""The job: what is trained on what, how it may be done, and the limits it must keep."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from providers.errors import JobError

from .job_data import DataPlan, plan_data
from .job_defaults import Defaults, note_unsaid
from .job_limits import (
    confidence_ppm,
    deadline_moment,
    gpu_ids,
    model_named,
    refuse_senseless_widths,
    span_seconds,
    target_names,
    widths_for,
)

if TYPE_CHECKING:
    from datetime import datetime

    from providers.gpus import GpuTable

    from .job_input import JobInput
    from .lengths import LengthDistribution
    from .models import ModelSpec, ModelTable

GB = 10**9
DEFAULT_RUNS = 1
DEFAULT_RANK = 16
DEFAULT_TARGETS = ("all-linear",)
DEFAULT_MAX_GPUS = 64
DEFAULT_MAX_NODES = 1
DEFAULT_ATTENTION = "sdpa"
DEFAULT_LOSS = "standard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overheads:
    """What a job costs and takes beside training. None is "not stated": the default of the model applies.

    Unstated checkpoints are `max(30 min, 20 x the time one takes to write)` apart (`optimizer.physics.duration`).
    """

    setup_s: float | None = None
    data_bytes: float = 0.0
    egress_bytes: float = 0.0
    disk_bytes: float | None = None
    checkpoint_every_s: float | None = None
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
    loss: str = DEFAULT_LOSS
    """Kind of cross-entropy, which decides the memory of the logits: standard, triton or fused."""
    attention: str = DEFAULT_ATTENTION
    """Attention kernel: flash, sdpa or eager."""

    def padding_factor(self, micro_batch: int) -> float:
        """Return processed tokens per real token (>= 1) at a micro-batch; 1 where rows are packed or full."""
        if self.packing or self.lengths is None:
            return 1.0
        return self.lengths.padding_factor(micro_batch, self.seq_len)

    def row_tokens(self, micro_batch: int) -> float | None:
        """Return the mean tokens processed per row, padding included; None where every row is `seq_len` long."""
        if self.packing or self.lengths is None:
            return None
        return self.lengths.truncated_mean(self.seq_len) * self.padding_factor(micro_batch)


def complete_job(said: JobInput, *, models: ModelTable, gpus: GpuTable, now: datetime, where: str) -> Job:
    """Return the job with every default filled in and everything checked against the tables.

    `now` (aware UTC) is what a deadline counts from; `where` names the input in errors (a file, or "command line").
    Raises JobError for what is missing, contradicts itself or lies out of range, KnowledgeMissing for a model that the
    table does not know.
    """
    defaults = Defaults()
    model = model_named(said.model, key="model", models=models, where=where)
    refuse_senseless_widths(said.method, said.quantization, where=where)
    data = plan_data(said, model=model, defaults=defaults, where=where)
    wanted, unwanted = gpu_ids(said.gpu, said.exclude_gpu, table=gpus, where=where)
    reward = None
    if data.needs_reward_model:
        reward = model_named(said.reward_model, key="reward_model", models=models, where=where)
    return _assemble(
        said, model=model, data=data, reward=reward, gpus=(wanted, unwanted), now=now, where=where, defaults=defaults
    )


def _assemble(
    said: JobInput,
    *,
    model: ModelSpec,
    data: DataPlan,
    reward: ModelSpec | None,
    gpus: tuple[tuple[str, ...], tuple[str, ...]],
    now: datetime,
    where: str,
    defaults: Defaults,
) -> Job:
    rank = defaults.int_or(said.lora_rank, "LoRA rank", DEFAULT_RANK)
    widths = widths_for(said.method, said.quantization, model=model, stack=said.stack, defaults=defaults, where=where)
    targets = _targets(said, model, rank=rank, where=where, defaults=defaults)
    optimizer = defaults.word_or(said.optimizer, "optimizer", "adamw")
    stack = defaults.word_or(said.stack, "stack", "hf", "default, intervals widened")
    # Unsloth's chunked cross-entropy is what the stack is; elsewhere it is an option.
    loss = defaults.word_or(said.loss, "loss", "fused" if stack == "unsloth" else DEFAULT_LOSS)
    attention = defaults.word_or(said.attention, "attention", DEFAULT_ATTENTION)
    confidence = confidence_ppm(said.confidence, defaults=defaults, where=where)
    max_gpus = defaults.int_or(said.max_gpus, "GPUs", DEFAULT_MAX_GPUS, "default, at most")
    max_nodes = defaults.int_or(said.max_nodes, "nodes", DEFAULT_MAX_NODES, "default, at most")
    note_unsaid(said, defaults, widths=widths)
    return Job(
        name=said.name or model.name,
        model=model,
        tokens=data.tokens,
        sequences=data.sequences,
        seq_len=data.seq_len,
        global_batch=data.global_batch,
        packing=data.packing,
        lengths=data.lengths,
        runs=said.runs or DEFAULT_RUNS,
        methods=tuple(dict.fromkeys(said.method or ())),
        quantization_bits=widths,
        objective=data.objective,
        lora_rank=rank,
        target_modules=targets,
        optimizer=optimizer,
        stack=stack,
        stack_known=said.stack is not None,
        prompt_tokens=data.prompt_tokens,
        response_tokens=data.response_tokens,
        reward_model=reward,
        deadline_at=deadline_moment(said.deadline, now=now, where=where),
        confidence_ppm=confidence,
        budget_usd=said.budget,
        quality_floor=said.quality_floor,
        max_complexity=said.max_complexity,
        providers=tuple(dict.fromkeys(said.provider or ())),
        regions=tuple(dict.fromkeys(said.region or ())),
        gpus=gpus[0],
        exclude_gpus=gpus[1],
        max_gpus=max_gpus,
        max_nodes=max_nodes,
        pricing_models=tuple(dict.fromkeys(said.pricing_model or ())),
        max_price_age_s=span_seconds(said.max_price_age, key="max_price_age", where=where),
        executor=said.executor or "none",
        overheads=_overheads(said, where=where),
        defaults_used=tuple(defaults.lines),
        basis=data.basis,
        loss=loss,
        attention=attention,
    )


def _targets(said: JobInput, model: ModelSpec, *, rank: int, where: str, defaults: Defaults) -> tuple[str, ...]:
    """Return the adapted module names, checked against the model unless no adapter is asked for."""
    targets = target_names(said.target_modules)
    if targets is None:
        defaults.note("LoRA targets", ",".join(DEFAULT_TARGETS), "default")
        return DEFAULT_TARGETS
    model.adapter(rank, targets, where=where)
    return targets


def _overheads(said: JobInput, *, where: str) -> Overheads:
    every = span_seconds(said.checkpoint_every, key="checkpoint_every", where=where)
    if every is not None and every < 1.0:
        raise JobError(where=where, key="checkpoint_every", value=said.checkpoint_every, allowed="at least 1s")
    return Overheads(
        setup_s=None if said.setup_minutes is None else 60.0 * said.setup_minutes,
        data_bytes=GB * (said.data_gb or 0.0),
        egress_bytes=GB * (said.egress_gb or 0.0),
        disk_bytes=None if said.disk_gb is None else GB * said.disk_gb,
        checkpoint_every_s=every,
        eval_fraction=said.eval_fraction or 0.0,
        failed_run_multiplier=1.0 if said.failed_run_multiplier is None else said.failed_run_multiplier,
        labelling_usd=said.labelling_usd or Decimal(0),
        preference_usd=said.preference_usd or Decimal(0),
        evaluation_usd=said.evaluation_usd or Decimal(0),
        oncall_usd=said.oncall_usd or Decimal(0),
    )
