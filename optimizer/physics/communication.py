"""Seconds that GPUs spend exchanging weights and gradients: per micro-step and per optimizer step.

A ring moves (n - 1)/n of the data through every GPU for a gather or a reduce-scatter, twice that for an all-reduce
(Thakur, Rabenseifner, Gropp 2005). Across nodes each node's network carries (N - 1)/N of it once; the slower of the two
rings decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .axes import Precision, code
from .efficiency import DDP, ZERO1, ZERO2, is_gathered
from .flops import FULL

if TYPE_CHECKING:
    from .runs import Floats, MachineColumns, ModelColumns, RecipeColumns, Runs
    from .speed_constants import SpeedConstants

FP32 = code(Precision.FP32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """Seconds of communication, before any of it hides behind computation."""

    per_micro_step: Floats
    per_step: Floats


def exchange(runs: Runs, constants: SpeedConstants) -> Exchange:
    """Return the seconds of communication.

    DDP and ZeRO-1 reduce gradients once per optimizer step, ZeRO-2 and the gathering kinds at every micro-step; ZeRO-1
    and -2 gather the updated weights once per step; ZeRO-3 and FSDP gather all weights forward and again backward.
    """
    model, recipe, machine = runs.model, runs.recipe, runs.machine
    one_pass = ring_seconds(1.0, machine, constants)
    gradients = gradient_bytes(recipe) * one_pass
    weights = weight_bytes(model, recipe) * one_pass
    gathered = is_gathered(recipe)
    reduced_often = gathered | (recipe.sharding == ZERO2)
    reduced_once = (recipe.sharding == DDP) | (recipe.sharding == ZERO1)
    several = machine.gpu_count * machine.nodes > 1
    hops = machine.gpu_count * machine.nodes - 1.0
    each = constants.collective_latency_s + constants.hop_latency_s * hops
    latency = np.where(several & (gathered | (recipe.sharding == ZERO2)), each * 3.0 * model.layers, 0.0)
    return Exchange(
        per_micro_step=np.where(gathered, 2.0 * weights, 0.0) + np.where(reduced_often, gradients, 0.0) + latency,
        per_step=np.where(reduced_once, 2.0 * gradients, np.where(recipe.sharding == ZERO2, gradients, 0.0)),
    )


def weight_bytes(model: ModelColumns, recipe: RecipeColumns) -> Floats:
    """Return the bytes of all weights as they travel: linear layers at their bits, the rest in 16 (or 32) bits."""
    wide = np.where(recipe.precision == FP32, 4.0, 2.0)
    linear = np.where(recipe.bits == 16, wide, recipe.bits / 8.0) * model.linear_params
    return linear + wide * (model.embedding_params + model.head_params + model.other_params)


def gradient_bytes(recipe: RecipeColumns) -> Floats:
    """Return the bytes of the gradients: 16 bits for full fine-tuning, 32 for adapters (kept in fp32)."""
    wide = (recipe.tuning != FULL) | (recipe.precision == FP32)
    return recipe.trainable_params * np.where(wide, 4.0, 2.0)


def ring_seconds(volume: Floats | float, machine: MachineColumns, constants: SpeedConstants) -> Floats:
    """Return the seconds in which every GPU of the job receives the `volume` bytes that the others hold."""
    link, network = link_speed(machine, constants), network_speed(machine, constants)
    gpus = machine.gpu_count * machine.nodes
    inside = np.where(machine.gpu_count > 1, (gpus - 1.0) / gpus / link, 0.0)
    across = (machine.nodes - 1.0) / machine.nodes / network
    return volume * np.maximum(inside, across)


def link_speed(machine: MachineColumns, constants: SpeedConstants) -> Floats:
    """Return the bytes/s that a collective reaches between GPUs of one node; an unknown link is assumed."""
    nominal = np.where(np.isnan(machine.link_bytes_per_s), constants.assumed_link_bytes_per_s, machine.link_bytes_per_s)
    return nominal * np.where(machine.nvlink, constants.nvlink_efficiency, constants.pcie_efficiency)


def network_speed(machine: MachineColumns, constants: SpeedConstants) -> Floats:
    """Return the bytes/s that a collective reaches between nodes; an unknown network is assumed, and slow."""
    unknown = np.isnan(machine.network_bytes_per_s)
    nominal = np.where(unknown, constants.assumed_network_bytes_per_s, machine.network_bytes_per_s)
    return nominal * constants.network_efficiency


def exposed(communication: Floats, hidden_behind: Floats, overlap: float) -> Floats:
    """Return the part of `communication` that computation does not hide.

    At most the share `overlap` of it hides, and no more than the share `overlap` of the computation is long.
    """
    return np.maximum((1.0 - overlap) * communication, communication - overlap * hidden_behind)
