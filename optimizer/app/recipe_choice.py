"""From the recipe flags of `estimate` to a recipe: what was said is checked, what was not takes a stated default."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from optimizer.physics.axes import (
    Attention,
    Checkpointing,
    Loss,
    Objective,
    Offload,
    Optimizer,
    Precision,
    Sharding,
    Stack,
    Tuning,
)
from optimizer.physics.recipe import Recipe, refuse
from providers.errors import JobError

if TYPE_CHECKING:
    from decimal import Decimal

    from optimizer.workload.job import Job
    from providers.gpus import Gpu

Word = TypeVar("Word", bound=StrEnum)

MOST_GPUS_PER_NODE = 1024
MOST_NODES = 10_000
MOST_SEQUENCES = 1_000_000


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
    fused_optimizer: bool | None = None
    optimizer_in_backward: bool | None = None
    activation_offload: bool | None = None
    usd_per_gpu_hour: Decimal | float | str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenRecipe:
    """A recipe that makes sense on its machine; `job` is the job with the global batch that the recipe makes."""

    recipe: Recipe
    job: Job


_OVERRULED = (
    "method =", "quantization =", "method and quantization =", "global batch =", "GPUs =", "nodes =", "pricing model =",
    "attention =", "loss =", "precision =", "checkpointing, micro-batch",
    "limits not set =",
)  # fmt: skip
"""Lines of the job's defaults that speak of a search, or that the recipe's own lines replace."""

_KEYS = {"bits": "quantization", "tuning": "method", "precision": "pure_bf16"}
"""The flag that says an axis of the recipe, where it has another name."""


def _line(name: str, value: object, why: str = "default of estimate") -> str:
    return f"{name} = {value} ({why})"


def choose_recipe(
    choice: RecipeChoice, job: Job, gpu: Gpu, *, gpus: int, nodes: int, batch_said: bool, where: str
) -> ChosenRecipe:
    """Return the recipe that the flags and the job name on `nodes` times `gpus` GPUs.

    `batch_said` says whether the job's global batch was asked for: then micro-batch and accumulation must make exactly
    it, otherwise it follows from them. Raises JobError for an unknown word, a batch that does not work out, and a mix
    that makes no sense, with the reason.
    """
    defaults: list[str] = []
    tuning, bits = _tuning(job, defaults, where)
    offload = _word(Offload, choice.offload, "offload", where)
    if offload is None:
        offload = Offload.NONE
        defaults.append(_line("offload", offload))
    sharding = _word(Sharding, choice.sharding, "sharding", where)
    if sharding is None:
        sharding = _usual_sharding(tuning, offload, gpus * nodes)
        defaults.append(_line("sharding", sharding))
    if choice.optimizer_in_backward and choice.grad_accum is None and not batch_said:
        # A gradient that is let go at once cannot wait for the next micro-batch.
        choice = replace(choice, grad_accum=1)
    micro_batch, grad_accum = _batch(choice, job, gpus * nodes, batch_said=batch_said, defaults=defaults, where=where)
    loss = _word(Loss, choice.loss, "loss", where) or Loss(job.loss)
    attention = _word(Attention, choice.attention, "attention", where) or Attention(job.attention)
    defaults += _kept_defaults(job, choice)
    defaults += _machine_defaults(choice, job)
    recipe = Recipe(
        tuning=tuning,
        bits=bits,
        objective=Objective(job.objective),
        precision=_precision(choice.pure_bf16, gpu, defaults),
        lora_rank=job.lora_rank,
        target_modules=job.target_modules,
        optimizer=Optimizer(job.optimizer),
        loss=loss,
        attention=attention,
        checkpointing=_checkpointing(choice.checkpointing, defaults, where),
        sharding=sharding,
        offload=offload,
        stack=Stack(job.stack),
        stack_known=job.stack_known,
        # Unsloth's kernels are what the stack is; elsewhere they are options that nobody said were on.
        fused_kernels=job.stack == Stack.UNSLOTH.value,
        fused_optimizer=choice.fused_optimizer,
        optimizer_in_backward=bool(choice.optimizer_in_backward),
        activation_offload=bool(choice.activation_offload),
        micro_batch=micro_batch,
        grad_accum=grad_accum,
        seq_len=job.seq_len,
        packing=job.packing,
        padding_factor=job.padding_factor(micro_batch),
        row_tokens=job.row_tokens(micro_batch),
        variable_length=job.lengths is not None and not job.packing,
        prompt_tokens=job.prompt_tokens,
        response_tokens=job.response_tokens,
        reward_params=0 if job.reward_model is None else job.reward_model.total_params,
    )
    _refuse(recipe, gpu, gpus=gpus * nodes, where=where)
    batch = micro_batch * grad_accum * gpus * nodes
    if not batch_said:
        defaults.append(_line("global batch", f"{batch} sequences", "micro-batch x accumulation x GPUs"))
    kept = (line for line in job.defaults_used if not line.startswith(_OVERRULED))
    return ChosenRecipe(recipe=recipe, job=replace(job, global_batch=batch, defaults_used=(*kept, *defaults)))


def _refuse(recipe: Recipe, gpu: Gpu, *, gpus: int, where: str) -> None:
    """Raise JobError, naming the flag at fault, its value and the reason, for a mix that makes no sense."""
    found = refuse(recipe, gpu=gpu, gpus=gpus)
    if found is None:
        return
    key = _KEYS.get(found.axis, found.axis)
    value: object = gpu.id if key == "gpu" else True if key == "pure_bf16" else getattr(recipe, found.axis)
    shown = value.value if isinstance(value, StrEnum) else value
    raise JobError(where=where, key=key, value=shown, allowed=f"makes no sense: {found.reason}")


def _kept_defaults(job: Job, choice: RecipeChoice) -> list[str]:
    """Return the job's lines on loss and attention, unless the recipe says them."""
    said = {"loss": choice.loss, "attention": choice.attention}
    return [
        line
        for key, value in said.items()
        if value is None
        for line in job.defaults_used
        if line.startswith(f"{key} =")
    ]


def _machine_defaults(choice: RecipeChoice, job: Job) -> list[str]:
    """Return a line for each count of the machine, and for the pricing model, that nobody said."""
    counts = {"GPUs per node": choice.gpus, "nodes": choice.nodes}
    lines = [_line(name, 1) for name, count in counts.items() if count is None]
    if not job.pricing_models and choice.usd_per_gpu_hour is None:
        lines.append(_line("pricing model", "on_demand"))
    return lines


def _tuning(job: Job, defaults: list[str], where: str) -> tuple[Tuning, int]:
    if len(job.methods) > 1:
        raise JobError(
            where=where, key="method", value=list(job.methods), allowed="one method: estimate does not search"
        )
    if len(job.quantization_bits) > 1:
        raise JobError(
            where=where,
            key="quantization",
            value=list(job.quantization_bits),
            allowed="one width: estimate does not search",
        )
    method = job.methods[0] if job.methods else "lora"
    bits = job.quantization_bits[0] if job.quantization_bits else 4 if method == "qlora" else 16
    if not job.methods:
        defaults.append(_line("method", "qlora" if bits == 4 else "lora"))
    if not job.quantization_bits:
        why = "what qlora means" if method == "qlora" else "default of estimate"
        defaults.append(_line("quantization", bits, why))
    return Tuning("lora" if method == "qlora" else method), bits


def _usual_sharding(tuning: Tuning, offload: Offload, gpus: int) -> Sharding:
    """Return how a run of this kind usually shares its work: adapters by DDP, all weights by ZeRO-3."""
    if offload is not Offload.NONE:
        return Sharding.ZERO3
    if gpus == 1:
        return Sharding.NONE
    return Sharding.ZERO3 if tuning is Tuning.FULL else Sharding.DDP


def _batch(
    choice: RecipeChoice, job: Job, gpus: int, *, batch_said: bool, defaults: list[str], where: str
) -> tuple[int, int]:
    """Return micro-batch and accumulation; where one is not said it follows from the global batch."""
    micro = _count(choice.micro_batch, "micro_batch", MOST_SEQUENCES, where)
    accum = _count(choice.grad_accum, "grad_accum", MOST_SEQUENCES, where)
    if micro is None and accum is not None and job.global_batch % (accum * gpus) == 0:
        micro = job.global_batch // (accum * gpus)
    if micro is None:
        micro = 1
        defaults.append(_line("micro-batch", micro))
    if accum is None:
        accum = max(1, round(job.global_batch / (micro * gpus)))
        defaults.append(_line("gradient accumulation", accum, f"towards {job.global_batch} sequences a step"))
    if batch_said and micro * accum * gpus != job.global_batch:
        raise JobError(
            where=where,
            key="global_batch",
            value=job.global_batch,
            allowed=f"micro-batch {micro} x accumulation {accum} x {gpus} GPUs = {micro * accum * gpus}",
        )
    return micro, accum


def _precision(
    pure_bf16: bool | None,  # noqa: FBT001 - three-valued, as the flag is
    gpu: Gpu,
    defaults: list[str],
) -> Precision:
    if pure_bf16:
        return Precision.BF16_PURE
    # Without bf16 units mixed precision means fp16, as every framework does it.
    mixed = Precision.BF16_MIXED if gpu.supports_bf16 else Precision.FP16_MIXED
    if pure_bf16 is None:
        defaults.append(_line("precision", mixed))
    return mixed


def _checkpointing(said: bool | str | None, defaults: list[str], where: str) -> Checkpointing:  # noqa: FBT001 - likewise
    if said is None:
        defaults.append(_line("checkpointing", Checkpointing.FULL))
        return Checkpointing.FULL
    if isinstance(said, bool):
        return Checkpointing.FULL if said else Checkpointing.NONE
    return _word(Checkpointing, said, "checkpointing", where) or Checkpointing.FULL


def _word(axis: type[Word], said: str | None, key: str, where: str) -> Word | None:
    if said is None:
        return None
    try:
        return axis(str(said).strip().lower())
    except ValueError as err:
        raise JobError(where=where, key=key, value=said, allowed=f"one of {', '.join(axis)}") from err


def _count(said: int | None, key: str, most: int, where: str) -> int | None:
    """Return a count as said. Raises JobError for anything but a whole number from 1 to `most`."""
    if said is None:
        return None
    if isinstance(said, bool) or not isinstance(said, int) or not 1 <= said <= most:
        raise JobError(where=where, key=key, value=said, allowed=f"a whole number from 1 to {most}")
    return said


def machine_counts(choice: RecipeChoice, where: str) -> tuple[int, int]:
    """Return GPUs per node and nodes, 1 where not said. Raises JobError outside the sensible range."""
    gpus = _count(choice.gpus, "gpus", MOST_GPUS_PER_NODE, where)
    nodes = _count(choice.nodes, "nodes", MOST_NODES, where)
    return gpus or 1, nodes or 1
