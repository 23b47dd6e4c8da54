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

from optimizer.physics.axes import Attention, Objective, Sharding, Stack, Tuning
from optimizer.physics.recipe import Recipe, refusal
from providers.errors import KnowledgeMissing

from .case_fields import text, whole
from .case_lengths import CaseLengths, read_lengths
from .case_machines import case_machine, read_count
from .case_methods import KIN, read_method
from .case_models import ModelIndex, case_model
from .case_notes import noted_accumulation, noted_global_batch, noted_micro_batch
from .case_precision import HALF_OF, read_precision
from .case_sharding import HYBRID, read_nodes, read_sharding, refuse_model_parallel
from .case_targets import ALL, DEFAULT_RANK, read_adapter, read_saved
from .case_texts import (
    read_attention,
    read_checkpointing,
    read_compiled,
    read_double_quant,
    read_kernels,
    read_levers,
    read_optimizer,
    read_packing,
    read_preparation,
    read_stack,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optimizer.physics.tabulate import Machine
    from optimizer.workload.models import ModelSpec
    from providers.gpus import GpuTable

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
_DOUBT_OF_PRECISION = 0.25
"""Of the memory of a full run that states no precision: fp32 masters take 20 instead of 10 bytes."""


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
    refuse_model_parallel(row, notes)
    model, about_model = case_model(row, models)
    nodes = read_nodes(row, notes, gpus=read_count(row, notes) or 1)
    found = case_machine(row, gpus, nodes=nodes, notes=notes)
    micro_batch = _micro_batch(row, notes, gpus=found.machine.gpus)
    lengths = read_lengths(row, notes, model, micro_batch=micro_batch or 1, packed=read_packing(row, notes))
    recipe, about_recipe = _recipe(row, notes, model, found.machine, lengths)
    reason = refusal(recipe, gpu=found.machine.gpu if found.gpu_known else None, gpus=found.machine.gpus)
    if reason is not None:
        raise KnowledgeMissing(f"the recipe makes no sense: {reason}")
    machine, about_sharing = _hybrid(row, recipe, found.machine)
    return Case(
        model=model,
        recipe=recipe,
        machine=machine,
        gpu_known=found.gpu_known and not re.search(r"use memory only|implausible throughput", notes),
        size_known=found.size_known,
        assumed=(*about_model, *found.assumed, *about_recipe, *about_sharing),
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
    if not stack_known:
        assumed.append(f"stack {stack}")
    sharding, offload = read_sharding(row, notes, stack, assumed, gpus=machine.gpus)
    assumed += lengths.assumed
    halves = lengths.in_memory // 2 if objective is not Objective.SFT else 0
    if halves:
        assumed.append(f"prompt and response {halves} tokens each")
    full = tuning is Tuning.FULL
    targets, rank = (ALL, DEFAULT_RANK) if full else read_adapter(row, notes, model, stack, assumed)
    micro_batch, grad_accum = _batch(row, notes, machine, assumed)
    loss, fused = read_kernels(row, notes, stack)
    levers = read_levers(row, notes, stack, accumulates=grad_accum > 1)
    recipe = Recipe(
        tuning=tuning,
        bits=bits,
        objective=objective,
        precision=read_precision(row, notes, tuning, stack, sharding, assumed, quantised=bits < 16),
        lora_rank=rank,
        target_modules=targets,
        optimizer=read_optimizer(row, notes, stack, tuning, assumed),
        loss=loss,
        attention=read_attention(row, notes, assumed),
        checkpointing=read_checkpointing(row, notes, stack, assumed, gpus=machine.gpus),
        compiled=read_compiled(row, notes),
        sharding=sharding,
        offload=offload,
        stack=stack,
        stack_known=stack_known,
        fused_kernels=fused,
        double_quant=read_double_quant(row, stack),
        micro_batch=micro_batch,
        grad_accum=grad_accum,
        seq_len=lengths.in_memory,
        packing=read_packing(row, notes),
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
        modules_to_save=() if full else read_saved(row, model),
        reward_params=model.total_params if objective is Objective.PPO else 0,
    )
    return _as_the_chip_can(recipe, row, machine, assumed), tuple(assumed)


def _as_the_chip_can(recipe: Recipe, row: Mapping[str, str], machine: Machine, assumed: list[str]) -> Recipe:
    """Return the recipe as it must have run: fp16 where a chip has no bf16 units, SDPA where it has no FlashAttention.

    Trainers fall back to both. What the row does not say itself is noted.
    """
    gpu = machine.gpu
    if not gpu.supports_bf16:
        half = HALF_OF[recipe.precision]
        stated = text(row, "precision").lower()
        if half is not recipe.precision and "bf16" in stated and "fp16" not in stated:
            assumed.append(f"precision {half} on {gpu.id}")
        recipe = replace(recipe, precision=half)
    too_old = gpu.vendor.lower() == "nvidia" and float(gpu.compute_capability or 9) < 8
    if recipe.attention is Attention.FLASH and too_old and recipe.stack is not Stack.UNSLOTH:
        assumed.append(f"attention {Attention.SDPA} on {gpu.id}")
        recipe = replace(recipe, attention=Attention.SDPA)
    return recipe


def _hybrid(row: Mapping[str, str], recipe: Recipe, machine: Machine) -> tuple[Machine, tuple[str, ...]]:
    """Return the machine over which state is sharded: one node of a hybrid-sharded run, whose nodes share gradients."""
    stated = f"{text(row, 'parallelism')} {text(row, 'notes')}".lower()
    if (
        recipe.sharding is not Sharding.FSDP
        or machine.nodes == 1
        or machine.gpu_count == 1
        or not HYBRID.search(stated)
    ):
        return machine, ()
    return replace(machine, nodes=1, network_bytes_per_s=None), (f"hybrid shard: as on one of {machine.nodes} nodes",)


def _recipe_doubt(recipe: Recipe, assumed: tuple[str, ...]) -> float:
    """Return how unsure the memory is for what was assumed about the recipe, or is known of it and not modelled."""
    optimizer = recipe.tuning is Tuning.FULL and any(note.startswith("optimizer adam") for note in assumed)
    precision = recipe.tuning is Tuning.FULL and any(note.startswith("precision bf16") for note in assumed)
    checkpointing = any(note.startswith("checkpointing") for note in assumed)
    kin = any(note.endswith(KIN) for note in assumed)
    return math.hypot(
        _DOUBT_OF_OPTIMIZER * optimizer,
        _DOUBT_OF_PRECISION * precision,
        _DOUBT_OF_CHECKPOINTING * checkpointing,
        _DOUBT_OF_KIN * kin,
    )


def _reading_doubt(row: Mapping[str, str]) -> float:
    """Return how unsure it is what the row's memory reading shows: the text that describes it, not its value."""
    stated = f"{text(row, 'mem_measure')} {text(row, 'mem2_measure')}".lower()
    if "comment" in stated:
        return _DOUBT_OF_COMMENT
    return _DOUBT_OF_UNIT if re.search(r"unknown|unstated|not stated|unspecified|rounded|approx", stated) else 0.0


def _batch(row: Mapping[str, str], notes: str, machine: Machine, assumed: list[str]) -> tuple[int, int]:
    """Return the sequences of a micro-batch and the micro-steps of a step; what no text states is 1, and noted."""
    micro_batch, grad_accum = _micro_batch(row, notes, gpus=machine.gpus), _grad_accum(row, notes, machine)
    if grad_accum is None:
        assumed.append("grad_accum 1")
    if micro_batch is None:
        assumed.append("micro_batch 1")
    return micro_batch or 1, grad_accum or 1


def _micro_batch(row: Mapping[str, str], notes: str, *, gpus: int) -> int | None:
    """Return the sequences of one micro-batch: the column, or "batch per DP 36" in the notes."""
    return whole(row, "micro_batch") or noted_micro_batch(notes, gpus=gpus)


def _grad_accum(row: Mapping[str, str], notes: str, machine: Machine) -> int | None:
    """Return micro-steps per optimizer step: the column, the notes, or what a stated global batch leaves.

    Shell arithmetic over the number of GPUs is worked out.
    """
    stated = text(row, "grad_accum")
    shell = re.fullmatch(r"\$\(expr (\d+) / \$nproc_per_node\)", stated)
    if shell is not None:
        return max(1, int(shell.group(1)) // machine.gpu_count)
    accumulated = whole(row, "grad_accum") or noted_accumulation(notes)
    whole_batch = noted_global_batch(notes)
    if accumulated is not None or whole_batch is None:
        return accumulated
    steps, left = divmod(whole_batch, (_micro_batch(row, notes, gpus=machine.gpus) or 1) * machine.gpus)
    return steps if steps and not left else None
