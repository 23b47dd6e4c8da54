"""Seconds of the optimizer step, on the GPU or on the host, and of moving offloaded state over the host link."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .axes import Offload, Optimizer, Precision, Sharding, code
from .communication import weight_bytes
from .efficiency import DDP, bandwidth, is_gathered
from .flops import CHECKPOINT_FULL, CHECKPOINT_NONE, FULL, processed_tokens

if TYPE_CHECKING:
    from .runs import Bools, Floats, MachineColumns, RecipeColumns, Runs
    from .speed_constants import SpeedConstants

PAGED = code(Optimizer.PAGED_ADAMW_8BIT)
OFFLOAD_NONE = code(Offload.NONE)
NVME = code(Offload.NVME)
NO_SHARDING = code(Sharding.NONE)
PURE = (code(Precision.BF16_PURE), code(Precision.FP16_PURE))
HOST_STATE_BYTES = 12.0
"""fp32 master weight and two fp32 moments per parameter: what the host keeps (Ren et al. 2021, ZeRO-Offload)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Seconds of the optimizer step on the GPU, and of offload per micro-step and per optimizer step."""

    optimizer: Floats
    offload_per_micro_step: Floats
    offload_per_step: Floats


def update(runs: Runs, constants: SpeedConstants) -> Update:
    """Return the seconds of one optimizer step and of offload.

    With offload the host updates the parameters and the GPU's own update falls away, but never to a gain: the host
    update counts at least what the GPU would have taken.
    """
    model, recipe, machine = runs.model, runs.recipe, runs.machine
    gpus = machine.gpu_count * machine.nodes
    owned = recipe.trainable_params / np.where(holds_whole_state(recipe), 1.0, gpus)
    on_gpu = optimizer_seconds(recipe, machine, owned, constants)
    offloaded = recipe.offload != OFFLOAD_NONE
    link = host_link(machine, constants)
    moved = 4.0 * owned / link  # 16-bit gradients down, 16-bit weights back up
    per_node = owned * machine.gpu_count
    on_host = np.maximum(per_node / constants.host_update_params_per_s, on_gpu)
    on_disk = np.where(recipe.offload == NVME, 2.0 * HOST_STATE_BYTES * per_node / constants.nvme_bytes_per_s, 0.0)
    fetched = np.where(offloaded & is_gathered(recipe), 2.0 * weight_bytes(model, recipe) / gpus / link, 0.0)
    return Update(
        optimizer=np.where(offloaded, 0.0, on_gpu),
        offload_per_micro_step=fetched,
        offload_per_step=np.where(offloaded, moved + on_host + on_disk, 0.0),
    )


def activation_offload_seconds(runs: Runs, constants: SpeedConstants) -> Floats:
    """Return the seconds in which one micro-step's saved activations go to the host and come back; 0 without offload.

    Bytes by count (docs/memory-model.md): one 16-bit input a block with full checkpointing, otherwise what a block
    keeps, 24 x hidden + 8 x intermediate, and about a third of that where checkpointing is selective.
    """
    model, recipe, machine = runs.model, runs.recipe, runs.machine
    if not recipe.activation_offload.any():
        return np.zeros(1)
    kept = 24.0 * model.hidden + 8.0 * model.intermediate
    partly = np.where(recipe.checkpointing == CHECKPOINT_NONE, kept, kept / 3.0)
    each = np.where(recipe.checkpointing == CHECKPOINT_FULL, 2.0 * model.hidden, partly)
    moved = 2.0 * processed_tokens(recipe) * model.layers * each
    return np.where(recipe.activation_offload, moved / host_link(machine, constants), 0.0)


def optimizer_seconds(
    recipe: RecipeColumns, machine: MachineColumns, owned: Floats, constants: SpeedConstants
) -> Floats:
    """Return the seconds in which one GPU updates the `owned` parameters: bound by memory, paged state by the link."""
    pure = (recipe.tuning == FULL) & ((recipe.precision == PURE[0]) | (recipe.precision == PURE[1]))
    bytes_each = constants.optimizer_bytes[recipe.optimizer] * np.where(pure, constants.pure_optimizer_share, 1.0)
    streamed = owned * bytes_each / bandwidth(machine, constants)
    paged = np.where(
        recipe.optimizer == PAGED, constants.paged_share * 4.0 * owned / host_link(machine, constants), 0.0
    )
    launches = np.where(recipe.tuning == FULL, 0.0, constants.optimizer_launch_s)
    return streamed + paged + launches


def holds_whole_state(recipe: RecipeColumns) -> Bools:
    """Return where every GPU updates all trained parameters itself: unsharded and DDP."""
    whole: Bools = (recipe.sharding == DDP) | (recipe.sharding == NO_SHARDING)
    return whole


def host_link(machine: MachineColumns, constants: SpeedConstants) -> Floats:
    """Return the bytes/s between one GPU and its host; an unknown link is assumed."""
    unknown = np.isnan(machine.pcie_bytes_per_s)
    nominal = np.where(unknown, constants.assumed_pcie_bytes_per_s, machine.pcie_bytes_per_s)
    return nominal * constants.host_link_efficiency
