"""The recipe grid as columns: tuning x width x checkpointing x sharding x offload x micro-batch x accumulation.

A *base* is a recipe without its batch shape. For a job on w GPUs every base that makes sense there is paired with every
micro-batch b and accumulation a with `b x a x w = global batch`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

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
from optimizer.physics.recipe import Recipe, refusal
from optimizer.physics.tabulate import recipe_columns

from .admission import rank_of
from .columns import slim

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.physics.runs import Ints, RecipeColumns
    from optimizer.physics.tabulate import Machine
    from optimizer.workload.job import Job
    from providers.gpus import Gpu

    from .variants import Variant

LARGEST_MICRO_BATCH = 64
"""Sequences per GPU and pass beyond which nothing is gained: the matrix products have long been large enough."""
MOST_SHAPES = 8
"""Micro-batches of one share that are all searched; of more, one for each power of two."""

SHARES: tuple[tuple[Sharding, Offload], ...] = (
    (Sharding.NONE, Offload.NONE),
    (Sharding.DDP, Offload.NONE),
    (Sharding.ZERO1, Offload.NONE),
    (Sharding.ZERO2, Offload.NONE),
    (Sharding.ZERO3, Offload.NONE),
    (Sharding.FSDP, Offload.NONE),
    (Sharding.ZERO2, Offload.CPU),
    (Sharding.ZERO3, Offload.CPU),
    (Sharding.FSDP, Offload.CPU),
    (Sharding.ZERO3, Offload.NVME),
)
"""Ways to hold state, simplest first: this order breaks ties between recipes that need the same time."""

ADAPTER_SHARES: frozenset[tuple[Sharding, Offload]] = frozenset(
    {
        (Sharding.NONE, Offload.NONE),
        (Sharding.DDP, Offload.NONE),
        (Sharding.ZERO3, Offload.NONE),
        (Sharding.FSDP, Offload.NONE),
        (Sharding.ZERO3, Offload.CPU),
        (Sharding.FSDP, Offload.CPU),
    }
)
"""For adapters ZeRO-1 and ZeRO-2 shard a few megabytes of optimizer state: no use, and not searched."""

CHECKPOINTING: tuple[Checkpointing, ...] = (Checkpointing.NONE, Checkpointing.FULL)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeGrid:
    """All bases of a job. `columns` has one row a base, with micro-batch and accumulation 1."""

    job: Job
    variants: tuple[Variant, ...]
    bases: tuple[Recipe, ...]
    variant: Ints
    """Index into `variants`, one a base."""
    rank: Ints
    """How complicated it is to hold the state (`admission`), one a base."""
    columns: RecipeColumns

    @property
    def order(self) -> tuple[tuple[str, str], ...]:
        """What precedes and what follows the batch shape in the name of each base."""
        return tuple((base.name.rsplit(" ", 2)[0], base.checkpointing.value) for base in self.bases)

    def recipe(self, base: int, micro_batch: int, grad_accum: int, tuning: Tuning | None = None) -> Recipe:
        """Return the recipe of one grid point; `tuning` names a twin of the same cost (rsLoRA for LoRA)."""
        recipe = self.bases[base]
        return replace(
            recipe,
            tuning=tuning or recipe.tuning,
            micro_batch=micro_batch,
            grad_accum=grad_accum,
            padding_factor=self.job.padding_factor(micro_batch),
            row_tokens=self.job.row_tokens(micro_batch),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GridRows:
    """Grid points on machine classes, one row each, grouped by class and within a class by base. Arrays shape (n,).

    The rows of class c are `start[c]` to `start[c + 1]`; a class on which nothing makes sense has none.
    """

    machine: Ints
    base: Ints
    micro_batch: Ints
    grad_accum: Ints
    start: Ints

    @property
    def count(self) -> int:
        """Number of rows."""
        return int(self.base.shape[0])


def rows_on(grid: RecipeGrid, machines: Sequence[Machine]) -> GridRows:
    """Return every grid point that makes sense on each machine class."""
    return GridLayout(grid).rows_on(machines)


class GridLayout:
    """Lays a grid out on machine classes, and remembers what is the same for many of them."""

    def __init__(self, grid: RecipeGrid) -> None:
        self._grid = grid
        self._order = grid.order
        self._bases: dict[tuple[object, ...], list[int]] = {}
        self._shapes: dict[int, tuple[tuple[int, int], ...]] = {}
        self._blocks: dict[tuple[object, ...], tuple[Ints, Ints, Ints]] = {}

    def count_on(self, machines: Sequence[Machine]) -> Ints:
        """Return how many rows each machine class has, without laying them out."""
        counts = [len(self._sensible(machine)) * len(self._shapes_on(machine.gpus)) for machine in machines]
        return np.array(counts, dtype=np.int64)

    def rows_on(self, machines: Sequence[Machine]) -> GridRows:
        """Return every grid point that makes sense on each machine class."""
        parts = [self._block(machine) for machine in machines]
        sizes = np.array([len(base) for base, _, _ in parts], dtype=np.int64)
        return GridRows(
            machine=np.repeat(np.arange(len(machines)), sizes),
            base=_joined([base for base, _, _ in parts]),
            micro_batch=_joined([micro for _, micro, _ in parts]),
            grad_accum=_joined([accum for _, _, accum in parts]),
            start=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        )

    def _block(self, machine: Machine) -> tuple[Ints, Ints, Ints]:
        key = (*_abilities(machine), machine.gpus)
        if key not in self._blocks:
            points = [
                (*self._order[base], micro, accum, base)
                for base in self._sensible(machine)
                for micro, accum in self._shapes_on(machine.gpus)
            ]
            # By recipe name, which breaks ties: method, sharding, offload, batch shape, checkpointing.
            points.sort(key=lambda point: (point[0], point[2], point[3], point[1]))
            table = np.array([point[2:] for point in points], dtype=np.int64).reshape(-1, 3)
            self._blocks[key] = (table[:, 2], table[:, 0], table[:, 1])
        return self._blocks[key]

    def _sensible(self, machine: Machine) -> list[int]:
        able = _abilities(machine)
        if able not in self._bases:
            self._bases[able] = _sensible_bases(self._grid, machine.gpu, gpus=min(machine.gpus, 2))
        return self._bases[able]

    def _shapes_on(self, gpus: int) -> tuple[tuple[int, int], ...]:
        if gpus not in self._shapes:
            self._shapes[gpus] = batch_shapes(self._grid.job.global_batch, gpus)
        return self._shapes[gpus]


def _sensible_bases(grid: RecipeGrid, gpu: Gpu, *, gpus: int) -> list[int]:
    precision = precision_for(gpu)
    return [
        index
        for index, base in enumerate(grid.bases)
        if base.precision is precision and refusal(base, gpu=gpu, gpus=gpus) is None
    ]


def _abilities(machine: Machine) -> tuple[object, ...]:
    """Return what a refusal depends on: what the chip can do, and whether there are several GPUs. Few distinct ones."""
    gpu = machine.gpu
    return (machine.gpus > 1, gpu.vendor, gpu.compute_capability, gpu.supports_bf16, gpu.supports_fp8, gpu.trainable)


def _joined(parts: list[Ints]) -> Ints:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def batch_shapes(global_batch: int, gpus: int) -> tuple[tuple[int, int], ...]:
    """Return every (micro-batch, accumulation) with micro_batch x accumulation x gpus = global_batch, smallest first.

    Micro-batches end at 64. Where more than `MOST_SHAPES` divide, only the largest up to each power of two is taken: a
    batch of 720,720 sequences has 38 of them, and neighbours differ by next to nothing. Empty when the GPUs do not
    divide the global batch (more GPUs than sequences included).
    """
    if gpus < 1 or global_batch % gpus:
        return ()
    share = global_batch // gpus
    sizes = [size for size in range(1, min(share, LARGEST_MICRO_BATCH) + 1) if share % size == 0]
    if len(sizes) > MOST_SHAPES:
        sizes = rungs(sizes)
    return tuple((size, share // size) for size in sizes)


def rungs(values: Sequence[int], *, ratio: int = 2) -> list[int]:
    """Return of ascending whole numbers the largest up to 1, `ratio`, `ratio` squared ... and up to all."""
    kept: dict[int, None] = {}
    end = 1
    while values and end < values[-1] * ratio:
        kept |= dict.fromkeys([value for value in values if value <= end][-1:])
        end *= ratio
    return list(kept)


def build_grid(job: Job, variants: Sequence[Variant], *, loss: Loss | None = None) -> RecipeGrid:
    """Return the bases of a job: every mix of the searched axes that is not senseless whatever the machine.

    `loss` replaces the cross-entropy that the job names.
    """
    bases: list[Recipe] = []
    owner: list[int] = []
    template = _template(job, loss or Loss(job.loss))
    for index, variant in enumerate(variants):
        for sharding, offload in SHARES:
            if variant.tuning is not Tuning.FULL and (sharding, offload) not in ADAPTER_SHARES:
                continue
            for checkpointing in CHECKPOINTING:
                for precision in (Precision.BF16_MIXED, Precision.FP16_MIXED):
                    base = replace(
                        template,
                        tuning=variant.tuning,
                        bits=variant.bits,
                        sharding=sharding,
                        offload=offload,
                        checkpointing=checkpointing,
                        precision=precision,
                    )
                    if refusal(base) is None:
                        bases.append(base)
                        owner.append(index)
    return RecipeGrid(
        job=job,
        variants=tuple(variants),
        bases=tuple(bases),
        variant=np.array(owner, dtype=np.int64),
        rank=np.array([rank_of(base) for base in bases], dtype=np.int64),
        columns=slim(recipe_columns([(base, job.model) for base in bases])),
    )


def precision_for(gpu: Gpu) -> Precision:
    """Return the mixed precision of a GPU: bf16 where the chip has it, otherwise fp16 (T4, V100)."""
    return Precision.BF16_MIXED if gpu.supports_bf16 else Precision.FP16_MIXED


def _template(job: Job, loss: Loss) -> Recipe:
    """Return the recipe with everything that the job fixes; the searched axes are filled in by the grid."""
    return Recipe(
        tuning=Tuning.LORA,
        objective=Objective(job.objective),
        lora_rank=job.lora_rank,
        target_modules=job.target_modules,
        optimizer=Optimizer(job.optimizer),
        stack=Stack(job.stack),
        stack_known=job.stack_known,
        # Unsloth's kernels are what the stack is; elsewhere they are options that nobody said were on.
        fused_kernels=job.stack == Stack.UNSLOTH.value,
        loss=loss,
        attention=Attention(job.attention),
        seq_len=job.seq_len,
        packing=job.packing,
        variable_length=job.lengths is not None and not job.packing,
        prompt_tokens=job.prompt_tokens,
        response_tokens=job.response_tokens,
        reward_params=job.reward_model.total_params if job.reward_model is not None else 0,
    )
