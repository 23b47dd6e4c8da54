"""From objects to columns: models, recipes and machines laid out as the arrays that physics works on."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from .axes import Precision, code
from .runs import ARCHITECTURES, MachineColumns, ModelColumns, RecipeColumns, Runs

if TYPE_CHECKING:
    from enum import StrEnum

    from numpy.typing import NDArray

    from optimizer.workload.models import ModelSpec
    from providers.gpus import Gpu

    from .recipe import Recipe

Item = TypeVar("Item", bound=Hashable)
Columns = TypeVar("Columns", ModelColumns, RecipeColumns, MachineColumns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Nodes of one kind. `gpu_count` is GPUs per node; None is unknown; network in bytes/s per node, one direction."""

    gpu: Gpu
    gpu_count: int = 1
    nodes: int = 1
    host_ram_bytes: int | None = None
    disk_bytes: int | None = None
    network_bytes_per_s: float | None = None

    @property
    def gpus(self) -> int:
        """GPUs of the whole job."""
        return self.gpu_count * self.nodes


def tabulate(rows: Sequence[tuple[ModelSpec, Recipe, Machine]]) -> Runs:
    """Return n runs as columns of shape (n,). Raises ValueError for no rows, JobError for unknown target modules."""
    if not rows:
        raise ValueError("no rows to tabulate")
    return Runs(
        model=_by_distinct([model for model, _, _ in rows], model_columns),
        recipe=recipe_columns([(recipe, model) for model, recipe, _ in rows]),
        machine=machine_columns([machine for _, _, machine in rows], [recipe.precision for _, recipe, _ in rows]),
    )


def model_columns(model: ModelSpec) -> ModelColumns:
    """Return the shape of one model as columns of shape (1,)."""
    return ModelColumns(
        layers=_floats(model.layers),
        hidden=_floats(model.hidden),
        intermediate=_floats(model.mlp_width),
        gated_mlp=np.array([model.mlp_kind in {"swiglu", "geglu"}]),
        heads=_floats(model.heads),
        kv_heads=_floats(model.kv_heads),
        head_dim=_floats(model.head_dim),
        vocab=_floats(model.vocab),
        experts=_floats(model.moe_experts),
        top_k=_floats(model.moe_top_k),
        linear_params=_floats(model.linear_params),
        active_linear_params=_floats(model.active_linear_params),
        embedding_params=_floats(model.embedding_params),
        head_params=_floats(model.head_params),
        other_params=_floats(model.other_params),
        block_params=_floats(model.block_params),
        published_bytes_per_param=_floats(model.published_bytes_per_param or 2.0),
        half_loss=np.array([model.layout.half_loss]),
    )


def recipe_columns(rows: Sequence[tuple[Recipe, ModelSpec]]) -> RecipeColumns:
    """Return the recipes as columns of shape (n,); the model decides how many parameters each one trains."""
    recipes = [recipe for recipe, _ in rows]
    shapes = [trained_shape(recipe, model) for recipe, model in rows]

    def floats(values: Sequence[float]) -> NDArray[np.float64]:
        return np.array(values, dtype=np.float64)

    def codes(values: Sequence[StrEnum]) -> NDArray[np.int8]:
        return np.array([code(value) for value in values], dtype=np.int8)

    return RecipeColumns(
        tuning=codes([recipe.tuning for recipe in recipes]),
        objective=codes([recipe.objective for recipe in recipes]),
        bits=np.array([recipe.bits for recipe in recipes], dtype=np.int64),
        double_quant=np.array([recipe.double_quant for recipe in recipes]),
        precision=codes([recipe.precision for recipe in recipes]),
        trainable_params=floats([shape.params for shape in shapes]),
        adapter_inputs=floats([shape.inputs for shape in shapes]),
        adapter_outputs=floats([shape.outputs for shape in shapes]),
        lora_rank=floats([recipe.lora_rank for recipe in recipes]),
        trains_embeddings=np.array([shape.embeddings for shape in shapes]),
        optimizer=codes([recipe.optimizer for recipe in recipes]),
        loss=codes([recipe.loss for recipe in recipes]),
        attention=codes([recipe.attention for recipe in recipes]),
        checkpointing=codes([recipe.checkpointing for recipe in recipes]),
        compiled=np.array([recipe.compiled for recipe in recipes]),
        sharding=codes([recipe.sharding for recipe in recipes]),
        offload=codes([recipe.offload for recipe in recipes]),
        stack=codes([recipe.stack for recipe in recipes]),
        stack_known=np.array([recipe.stack_known for recipe in recipes]),
        fused_kernels=np.array([recipe.fused_kernels for recipe in recipes]),
        micro_batch=floats([recipe.micro_batch for recipe in recipes]),
        grad_accum=floats([recipe.grad_accum for recipe in recipes]),
        seq_len=floats([recipe.seq_len for recipe in recipes]),
        packing=np.array([recipe.packing for recipe in recipes]),
        padding_factor=floats([recipe.padding_factor for recipe in recipes]),
        variable_length=np.array([recipe.variable_length for recipe in recipes]),
        prompt_tokens=floats([recipe.prompt_tokens for recipe in recipes]),
        response_tokens=floats([recipe.response_tokens for recipe in recipes]),
        reward_params=floats([recipe.reward_params for recipe in recipes]),
        row_tokens=floats([np.nan if recipe.row_tokens is None else recipe.row_tokens for recipe in recipes]),
        kbit_preparation=np.array(
            [-1 if recipe.kbit_preparation is None else int(recipe.kbit_preparation) for recipe in recipes],
            dtype=np.int8,
        ),
        fused_optimizer=np.array(
            [-1 if recipe.fused_optimizer is None else int(recipe.fused_optimizer) for recipe in recipes],
            dtype=np.int8,
        ),
        optimizer_in_backward=np.array([recipe.optimizer_in_backward for recipe in recipes]),
        activation_offload=np.array([recipe.activation_offload for recipe in recipes]),
        whole_params=floats(
            [
                model.vocab * (model.embedding_dim or model.hidden) * len(set(recipe.modules_to_save))
                for recipe, model in rows
            ]
        ),
    )


def machine_columns(machines: Sequence[Machine], precisions: Sequence[Precision]) -> MachineColumns:
    """Return the machines as columns of shape (n,); the precision decides which peak counts."""
    keyed = list(zip(machines, precisions, strict=True))
    return _by_distinct(keyed, lambda pair: _machine_row(*pair))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedShape:
    """What a recipe trains: parameters, summed input and output widths of adapted layers per block."""

    params: float
    inputs: float
    outputs: float
    embeddings: bool


def trained_shape(recipe: Recipe, model: ModelSpec) -> TrainedShape:
    """Return what `recipe` trains of `model`. Raises JobError for a target module that the model lacks."""
    if recipe.tuning.value == "full":
        return TrainedShape(params=float(model.total_params), inputs=0.0, outputs=0.0, embeddings=True)
    adapter = model.adapter(recipe.lora_rank, recipe.target_modules, modules_to_save=recipe.modules_to_save)
    magnitude = adapter.magnitude_params if recipe.tuning.value == "dora" else 0
    return TrainedShape(
        params=float(adapter.params + magnitude),
        inputs=float(adapter.inputs_per_block),
        outputs=float(adapter.outputs_per_block),
        embeddings=adapter.trains_embeddings,
    )


def _machine_row(machine: Machine, precision: Precision) -> MachineColumns:
    gpu = machine.gpu
    fast_link = gpu.link_kind in {"nvlink", "nvswitch", "xgmi"}
    return MachineColumns(
        usable_bytes=_floats(gpu.usable_bytes),
        peak_flops_per_s=_floats(peak_flops_per_s(gpu, precision)),
        fp8_flops_per_s=_floats(gpu.fp8_flops_per_s),
        memory_bandwidth_bytes_per_s=_floats(gpu.memory_bandwidth_bytes_per_s),
        architecture=np.array([ARCHITECTURES.index(gpu.architecture)], dtype=np.int8),
        supports_bf16=np.array([gpu.supports_bf16]),
        gpu_count=_floats(machine.gpu_count),
        nodes=_floats(machine.nodes),
        nvlink=np.array([fast_link]),
        link_bytes_per_s=_floats(gpu.link_bytes_per_s if fast_link else gpu.pcie_bytes_per_s),
        pcie_bytes_per_s=_floats(gpu.pcie_bytes_per_s),
        network_bytes_per_s=_floats(machine.network_bytes_per_s),
        host_ram_bytes=_floats(machine.host_ram_bytes),
        disk_bytes=_floats(machine.disk_bytes),
        watts=_floats(gpu.watts),
    )


def peak_flops_per_s(gpu: Gpu, precision: Precision) -> float | None:
    """Return the dense peak in FLOP/s of the type that `precision` computes in; None where it is unknown."""
    if precision is Precision.FP32:
        return gpu.tf32_flops_per_s or gpu.fp32_flops_per_s
    if precision in {Precision.FP16_PURE, Precision.FP16_MIXED} or not gpu.supports_bf16:
        return gpu.fp16_flops_per_s
    return gpu.bf16_flops_per_s


def _by_distinct(items: Sequence[Item], row: Callable[[Item], Columns]) -> Columns:
    """Lay out each distinct item once and repeat it: a thousand cases name few models and machines."""
    distinct = list(dict.fromkeys(items))
    position = {item: index for index, item in enumerate(distinct)}
    columns = [row(item) for item in distinct]
    where = np.array([position[item] for item in items], dtype=np.int64)
    first = columns[0]
    stacked = {
        field.name: np.concatenate([getattr(column, field.name) for column in columns])[where]
        for field in fields(first)
    }
    return replace(first, **stacked)


def _floats(value: float | None) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value], dtype=np.float64)
