"""How far off a speed can be: the spread of its logarithm, and the basis that it rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from providers.basis import Basis

from .axes import Codes, Offload, Stack, Tuning, code
from .efficiency import DORA, EAGER, FP8, is_gathered
from .flops import CHECKPOINT_FULL, DPO, PPO
from .runs import ARCHITECTURES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .runs import Bools, Floats, Runs
    from .speed_constants import SpeedConstants

OFFLOAD_NONE = code(Offload.NONE)
PUBLISHED, DERIVED, ASSUMED = Basis.PUBLISHED.rank, Basis.DERIVED.rank, Basis.ASSUMED.rank
FEW_ROWS = {"blackwell", "turing"}
ARCHITECTURE_BASIS = np.array(
    [PUBLISHED if name in {"ampere", "hopper"} else DERIVED if name in FEW_ROWS else ASSUMED for name in ARCHITECTURES],
    dtype=np.int8,
)
"""How well each architecture is covered by published rows: many, a handful, none."""


def speed_sigma(
    runs: Runs, parts: Mapping[str, Floats], step_s: Floats, unknown_network: Floats, constants: SpeedConstants
) -> Floats:
    """Return the standard deviation of log speed: independent causes add in quadrature, shape (n,).

    A part of the step whose own speed is unsure counts by the share of the step that it takes. `unknown_network` is the
    deviation by which the interval reaches from a slow network to the fastest one.
    """
    recipe, machine, sigma = runs.recipe, runs.machine, constants.sigma
    several = machine.gpu_count * machine.nodes > 1
    many_nodes = machine.nodes > 1
    pcie = several & ~machine.nvlink & is_gathered(recipe)
    variance = constants.stack_sigma[recipe.stack] ** 2 + constants.architecture_sigma[machine.architecture] ** 2
    causes: tuple[tuple[Bools, float], ...] = (
        (~recipe.stack_known, sigma.unknown_stack),
        (several, sigma.several_gpus),
        (many_nodes, sigma.several_nodes),
        (runs.model.experts > 0, sigma.moe),
        (recipe.objective == DPO, sigma.dpo),
        (recipe.objective == PPO, sigma.ppo),
        (recipe.bits == 8, sigma.int8),
        (recipe.tuning == DORA, sigma.dora),
        (recipe.attention == EAGER, sigma.eager),
        (recipe.precision == FP8, sigma.fp8),
        (recipe.padding_factor > 1.0, sigma.padded),
    )
    for where, deviation in causes:
        variance = variance + where * deviation**2
    by_share: tuple[tuple[str, Floats | float], ...] = (
        ("memory", sigma.memory),
        ("dequantisation", sigma.dequantisation),
        ("launch", sigma.launch),
        ("interconnect", np.where(pcie, sigma.pcie_sharded, sigma.interconnect)),
        ("offload", sigma.offload),
    )
    for part, unsure in by_share:
        variance = variance + (parts[part] / step_s * unsure) ** 2
    return np.sqrt(variance + unknown_network**2)


def speed_basis(runs: Runs) -> Codes:
    """Return the basis of each speed (index into `BASES`): published inside the data, derived or assumed outside."""
    recipe, machine = runs.recipe, runs.machine
    many_nodes = machine.nodes > 1
    assumed = (
        ~recipe.stack_known
        | (recipe.objective == DPO)
        | (recipe.objective == PPO)
        | (recipe.offload != OFFLOAD_NONE)
        | (recipe.activation_offload & (recipe.checkpointing != CHECKPOINT_FULL))
        | (many_nodes & np.isnan(machine.network_bytes_per_s))
    )
    several = machine.gpu_count * machine.nodes > 1
    derived = (
        many_nodes
        | (several & ~machine.nvlink)
        | (recipe.bits == 8)
        | (recipe.tuning == DORA)
        | (recipe.attention == EAGER)
        | (recipe.stack == code(Stack.LITGPT))
        | ((recipe.stack == code(Stack.UNSLOTH)) & (recipe.tuning == code(Tuning.FULL)))
    )
    of_recipe = np.where(assumed, ASSUMED, np.where(derived, DERIVED, PUBLISHED)).astype(np.int8)
    return np.maximum(of_recipe, ARCHITECTURE_BASIS[machine.architecture])
