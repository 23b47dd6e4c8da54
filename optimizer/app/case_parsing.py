"""Making sense of measured cases: from the wild texts of a row to a model, a recipe and a machine.

The texts are those that people write beside their measurements ("fsdp full_shard", "nf4 (bnb)", "padded to longest",
"framework_config=foak-fast-kernels"). What a row leaves open is filled in and listed in `Case.assumed`; what the
physics does not model is an error that says so.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from optimizer.physics.axes import Objective, Offload, Sharding, Stack, Tuning
from optimizer.physics.recipe import Recipe, refusal
from providers.errors import KnowledgeMissing

from .case_fields import text, whole
from .case_lengths import CaseLengths, read_lengths
from .case_methods import KIN, read_method
from .case_models import ModelIndex, case_machine, case_model
from .case_texts import (
    HALF_OF,
    read_attention,
    read_checkpointing,
    read_compiled,
    read_kernels,
    read_levers,
    read_optimizer,
    read_precision,
    read_preparation,
    read_stack,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optimizer.physics.tabulate import Machine
    from optimizer.workload.models import ModelSpec
    from providers.gpus import GpuTable

DEFAULT_RANK = 16
_DOUBT_OF_BATCH = 0.7
"""Standard deviation of the logarithm of a micro-batch that is taken as 1 because none is stated; assumed."""

_DOUBT_OF_UNIT = 0.1
"""Of a reading whose tool or unit is unknown: GB and GiB alone are 7 % apart."""

_DOUBT_OF_COMMENT = 0.2
"""Of a reading from an author's comment: rounded, of an unstated tool, at an unstated moment."""

_DOUBT_OF_OPTIMIZER = 0.25
"""Of the memory of a full run whose optimizer is not stated: AdamW at 8 bits takes 6 instead of 10 bytes."""

_DOUBT_OF_CHECKPOINTING = 0.15
_DOUBT_OF_KIN = 0.1
"""Of adapters that are estimated as LoRA; assumed."""
PARALLEL = "tensor/pipeline/expert parallel: not modelled"
_DEGREE = re.compile(r"(?<![a-z])(tp|pp|cp|ep|sp|usp|sequence parallel|tensor parallel)\s*[=:]?\s*(\d+)")
_ADAPTER_GROUPS: dict[str, tuple[str, ...]] = {
    "linear_qkv": ("q_proj", "k_proj", "v_proj", "query_key_value", "c_attn", "qkv_proj", "Wqkv"),
    "linear_proj": ("o_proj", "out_proj", "dense"),
    "linear_fc1": ("gate_proj", "up_proj", "gate_up_proj", "w1", "w3", "w2"),
    "linear_fc2": ("down_proj", "w2", "c_proj"),
    "c_attn": ("c_attn", "q_proj", "k_proj", "v_proj"),
    "attn.c_proj": ("attn.c_proj", "o_proj"),
    "mlp.c_proj": ("mlp.c_proj", "down_proj"),
    "w1": ("w1", "gate_proj"),
    "w3": ("w3", "up_proj"),
    "w2": ("w2", "up_proj"),
    "q": ("q_proj",),
    "k": ("k_proj",),
    "v": ("v_proj",),
    "o": ("o_proj",),
    "attention": ("q_proj", "k_proj", "v_proj", "o_proj"),
    "mlp": ("gate_proj", "up_proj", "down_proj"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row made sense of. `assumed` lists what the row does not say; without a known GPU there is no speed."""

    model: ModelSpec
    recipe: Recipe
    machine: Machine
    gpu_known: bool
    size_known: bool
    assumed: tuple[str, ...]
    length_doubt: float = 0.0
    """Standard deviation of the logarithm of the tokens in a micro-batch; 0 where the row states them."""
    length_limit: int = 0
    recipe_doubt: float = 0.0
    """Of the logarithm of all readings: what was assumed of optimizer and checkpointing, what is not modelled."""
    reading_doubt: float = 0.0
    """Of the logarithm of the device reading, by what the row says of its tool and unit."""


def parse_case(row: Mapping[str, str], *, models: ModelIndex, gpus: GpuTable) -> Case:
    """Return the case that a row of the measurement header describes.

    Raises KnowledgeMissing for what is not modelled or not known, JobError for a cell that makes no sense.
    """
    notes = text(row, "notes").lower()
    _refuse_model_parallel(row, notes)
    model, about_model = case_model(row, models)
    found = case_machine(row, gpus, nodes=_nodes(notes))
    micro_batch = _micro_batch(row, notes)
    lengths = read_lengths(row, notes, model, micro_batch=micro_batch or 1, packed=_packed(row))
    recipe, about_recipe = _recipe(row, notes, model, found.machine, lengths)
    reason = refusal(recipe, gpu=found.machine.gpu if found.gpu_known else None, gpus=found.machine.gpus)
    if reason is not None:
        raise KnowledgeMissing(f"the recipe makes no sense: {reason}")
    return Case(
        model=model,
        recipe=recipe,
        machine=found.machine,
        gpu_known=found.gpu_known and not re.search(r"use memory only|implausible throughput", notes),
        size_known=found.size_known,
        assumed=(*about_model, *found.assumed, *about_recipe),
        length_doubt=math.hypot(lengths.doubt, 0.0 if micro_batch else _DOUBT_OF_BATCH),
        length_limit=lengths.limit if micro_batch else 2**30,
        recipe_doubt=_recipe_doubt(recipe, about_recipe),
        reading_doubt=_reading_doubt(row),
    )


def _recipe(
    row: Mapping[str, str], notes: str, model: ModelSpec, machine: Machine, lengths: CaseLengths
) -> tuple[Recipe, tuple[str, ...]]:
    assumed: list[str] = []
    tuning, objective, bits = read_method(row, assumed)
    stack, stack_known = read_stack(row, notes)
    sharding, offload = _sharding(row, notes, machine, stack, assumed)
    seq_len = lengths.in_memory
    assumed += lengths.assumed
    loss, fused = read_kernels(notes, stack)
    levers = read_levers(row, notes, accumulates=_grad_accum(row, notes, machine) > 1)
    halves = seq_len // 2 if objective is not Objective.SFT else 0
    if halves:
        assumed.append(f"prompt and response {halves} tokens each")
    full = tuning is Tuning.FULL
    targets, rank = (("all-linear",), DEFAULT_RANK) if full else _adapter(row, model, stack, assumed)
    recipe = Recipe(
        tuning=tuning,
        bits=bits,
        objective=objective,
        precision=read_precision(row, notes, tuning, stack, sharding, quantised=bits < 16),
        lora_rank=rank,
        target_modules=targets,
        optimizer=read_optimizer(row, stack, assumed),
        loss=loss,
        attention=read_attention(text(row, "attention").lower()),
        checkpointing=read_checkpointing(row, stack, assumed, gpus=machine.gpus),
        compiled=read_compiled(row, notes),
        sharding=sharding,
        offload=offload,
        stack=stack,
        stack_known=stack_known,
        fused_kernels=fused,
        double_quant=not re.search(r"no (dq|double)|without double|single quant", text(row, "quant").lower()),
        micro_batch=_or_assumed(_micro_batch(row, notes), 1, "micro_batch", assumed),
        grad_accum=_grad_accum(row, notes, machine),
        seq_len=seq_len,
        packing=_packed(row),
        variable_length=lengths.variable,
        row_tokens=lengths.processed,
        prompt_tokens=halves,
        response_tokens=halves,
        kbit_preparation=read_preparation(
            row, notes, shared=machine.gpus > 1 and sharding in {Sharding.FSDP, Sharding.ZERO3}
        ),
        fused_optimizer=levers.fused_optimizer,
        optimizer_in_backward=levers.optimizer_in_backward,
        activation_offload=levers.activation_offload,
        modules_to_save=() if full else _saved(row, model),
        reward_params=model.total_params if objective is Objective.PPO else 0,
    )
    if not machine.gpu.supports_bf16:
        recipe = replace(recipe, precision=HALF_OF[recipe.precision])
    return recipe, tuple(assumed)


def _refuse_model_parallel(row: Mapping[str, str], notes: str) -> None:
    parallelism = text(row, "parallelism").lower()
    config = re.search(r"framework_config=\S*?-ep(\d+)", notes)
    degrees = _DEGREE.findall(parallelism) + ([("ep", config.group(1))] if config else [])
    above = [f"{name}={degree}" for name, degree in degrees if int(degree) > 1]
    if above:
        raise KnowledgeMissing(f"{PARALLEL} ({', '.join(above)})")
    if "device_map" in parallelism:
        raise KnowledgeMissing("layers spread over GPUs (device_map): not modelled")


def _sharding(
    row: Mapping[str, str], notes: str, machine: Machine, stack: Stack, assumed: list[str]
) -> tuple[Sharding, Offload]:
    stated = text(row, "parallelism").lower()
    offload = Offload.NONE
    if "nvme" in stated:
        offload = Offload.NVME
    elif "offload" in stated or re.search(r"cpu offload|optimizer offload", notes):
        offload = Offload.CPU
    sharding = _stated_sharding(stated, stack, assumed)
    if machine.gpus == 1 and offload is Offload.NONE:
        return Sharding.NONE, offload
    if machine.gpus > 1 and sharding is Sharding.NONE:
        assumed.append("parallelism ddp")
        return Sharding.DDP, Offload.NONE
    return sharding, offload


def _stated_sharding(stated: str, stack: Stack, assumed: list[str]) -> Sharding:
    zero = re.search(r"zero[ -_]?([0-3])", stated)
    if zero is not None:
        return (Sharding.DDP, Sharding.ZERO1, Sharding.ZERO2, Sharding.ZERO3)[int(zero.group(1))]
    if "shard_grad_op" in stated:
        return Sharding.ZERO2
    if re.search(r"fsdp|full_shard|hybrid_shard|hsdp", stated):
        return Sharding.FSDP
    if re.search(r"\bddp\b|data parallel", stated):
        return Sharding.DDP
    if "deepspeed" in stated:
        assumed.append("parallelism zero3")
        return Sharding.ZERO3
    return Sharding.ZERO1 if stack is Stack.NEMO and stated else Sharding.NONE


def _nodes(notes: str) -> int | None:
    found = re.search(r"\bnodes?[ =:]+(\d+)|\b(\d+) nodes?\b", notes)
    return None if found is None else max(1, int(found.group(1) or found.group(2)))


def _packed(row: Mapping[str, str]) -> bool:
    stated = text(row, "packing").lower()
    return bool(re.search(r"\b(packed|packing|yes|true)\b", stated)) and not re.match(r"(no|not|un|false)", stated)


def _recipe_doubt(recipe: Recipe, assumed: tuple[str, ...]) -> float:
    """Return how unsure the memory is for what was assumed about the recipe, or is known of it and not modelled."""
    optimizer = recipe.tuning is Tuning.FULL and any(note.startswith("optimizer adam") for note in assumed)
    checkpointing = any(note.startswith("checkpointing") for note in assumed)
    kin = any(note.endswith(KIN) for note in assumed)
    return math.hypot(_DOUBT_OF_OPTIMIZER * optimizer, _DOUBT_OF_CHECKPOINTING * checkpointing, _DOUBT_OF_KIN * kin)


def _reading_doubt(row: Mapping[str, str]) -> float:
    """Return how unsure it is what the row's memory reading shows: the text that describes it, not its value."""
    stated = f"{text(row, 'mem_measure')} {text(row, 'mem2_measure')}".lower()
    if "comment" in stated:
        return _DOUBT_OF_COMMENT
    return _DOUBT_OF_UNIT if re.search(r"unknown|unstated|rounded", stated) else 0.0


def _micro_batch(row: Mapping[str, str], notes: str) -> int | None:
    """Return the sequences of one micro-batch: the cell, or "batch per DP 36" in the notes."""
    stated = whole(row, "micro_batch")
    beside = re.search(r"batch per (?:dp|gpu|device)\s*[=:]?\s*(\d+)", notes)
    return int(beside.group(1)) if stated is None and beside is not None else stated


def _grad_accum(row: Mapping[str, str], notes: str, machine: Machine) -> int:
    """Return micro-steps per optimizer step: the cell, or what a stated global batch leaves, otherwise 1.

    Shell arithmetic over the number of GPUs is worked out.
    """
    stated = text(row, "grad_accum")
    shell = re.fullmatch(r"\$\(expr (\d+) / \$nproc_per_node\)", stated)
    if shell is not None:
        return max(1, int(shell.group(1)) // machine.gpu_count)
    accumulated = whole(row, "grad_accum")
    whole_batch = re.search(r"\b(?:gbs|global[ _]batch(?:[ _]size)?)\s*[=:]?\s*(\d+)", notes)
    if accumulated is not None or whole_batch is None:
        return accumulated or 1
    at_once = (_micro_batch(row, notes) or 1) * machine.gpus
    steps, left = divmod(int(whole_batch.group(1)), at_once)
    return steps if steps and not left else 1


def _adapter(row: Mapping[str, str], model: ModelSpec, stack: Stack, assumed: list[str]) -> tuple[tuple[str, ...], int]:
    """Return target modules by the model's own names, and the rank; NeMo adapts the attention input by default."""
    rank = _or_assumed(whole(row, "lora_rank"), DEFAULT_RANK, "lora_rank", assumed)
    stated = re.sub(r"\(.*?\)", "", text(row, "target_modules")).split("+")[0].strip()
    known = model.module_names()
    if not stated:
        usual = tuple(name for name in _ADAPTER_GROUPS["linear_qkv"] if name in known) if stack is Stack.NEMO else ()
        targets = usual or ("all-linear",)
        assumed.append(f"target_modules {','.join(targets)}")
        return targets, rank
    if re.match(r"all\b", stated.lower()):
        return ("all-linear",), rank
    wanted = [name for name in re.split(r"[,;|\s]+", stated) if name]
    images = [name for word in wanted for name in _ADAPTER_GROUPS.get(word, (word,)) if name in known]
    if not images:
        raise KnowledgeMissing(f"target_modules {stated!r}: none of them is in {model.name} ({', '.join(known)})")
    return tuple(dict.fromkeys(images)), rank


def _saved(row: Mapping[str, str], model: ModelSpec) -> tuple[str, ...]:
    """Return what is trained whole beside the adapters: "... + modules_to_save wte,lm_head", "lora (+emb,lm_head)"."""
    stated = f"{text(row, 'method')} {text(row, 'target_modules')}".lower()
    if "modules_to_save" not in stated and not re.search(r"\(\+\s*emb", stated):
        return ()
    embedding = re.search(r"\b(wte|emb\w*)\b", stated)
    saved = ("embed_tokens",) if embedding else ()
    head = re.search(r"\b(lm_head|head|output)\b", stated) and not model.tied_embeddings
    return (*saved, "lm_head") if head else saved


def _or_assumed(value: int | None, default: int, key: str, assumed: list[str]) -> int:
    if value is None:
        assumed.append(f"{key} {default}")
        return default
    return value
