"""From allocated bytes to the other readings: what is reserved, what the device shows, what must fit, how surely."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .axes import Attention, Checkpointing, Loss, code
from .results import Interval
from .runs import ARCHITECTURES

if TYPE_CHECKING:
    from .memory_constants import MemoryConstants
    from .runs import Bools, Floats, Runs
    from .switches import Switches

Z80 = 1.2815515655446004
"""Standard normal quantile of 90 %: half an 80 % interval in standard deviations."""

MEASURED = frozenset({"ampere", "ampere-consumer", "hopper", "turing", "ada-consumer"})
"""Architectures with at least one published memory reading: A100; RTX A6000; H100, H200; T4; RTX 4090."""

_UNMEASURED = np.array([name not in MEASURED for name in ARCHITECTURES])
_NO_CHECKPOINTS, _SELECTIVE = code(Checkpointing.NONE), code(Checkpointing.SELECTIVE)
_EAGER = code(Attention.EAGER)
_TRITON, _FUSED = code(Loss.TRITON), code(Loss.FUSED)


def intervals(count: int, **readings: tuple[Floats, Floats]) -> dict[str, Interval]:
    """Return the lognormal 80 % interval of each reading, given its expected value and standard deviation in bytes.

    All readings are worked out together, shape (readings, n): for one run the number of NumPy calls is what costs.
    """
    expected = np.empty((len(readings), count))
    deviation = np.empty_like(expected)
    for row, (value, doubt) in enumerate(readings.values()):
        expected[row], deviation[row] = value, doubt
    spread = np.exp(Z80 * deviation / np.maximum(expected, 1.0))
    low, high = expected / spread, expected * spread
    return {name: Interval(low=low[row], expected=expected[row], high=high[row]) for row, name in enumerate(readings)}


def clipped(reading: Interval, ceiling: Floats) -> Interval:
    """Return the reading cut off at `ceiling`: a device shows no more than it has."""
    return Interval(
        low=np.minimum(reading.low, ceiling),
        expected=np.minimum(reading.expected, ceiling),
        high=np.minimum(reading.high, ceiling),
    )


def outside_torch(on: Switches, constants: MemoryConstants) -> Floats:
    """Return bytes per GPU beside torch's allocator: CUDA context, and NCCL where there are several GPUs."""
    return constants.overhead.context_bytes + np.where(on.gpus > 1, constants.communication.nccl_bytes, 0.0)


def unmeasured_architecture(runs: Runs) -> Bools:
    """Return where no memory of the chip's architecture is published: its context and allocator may differ."""
    result: Bools = _UNMEASURED[runs.machine.architecture]
    return result


def slack_factor(runs: Runs, on: Switches, near_loss: Bools, constants: MemoryConstants) -> Floats:
    """Return reserved over allocated beyond the weights: what the caching allocator keeps while there is room.

    Where the loss is the peak (`near_loss`) the large blocks of the logits add to what the rest of a step reserves.
    """
    of, loss = constants.overhead, runs.recipe.loss
    several = on.gpus > 1
    large = runs.model.vocab >= of.large_vocab
    triton = np.where(
        large,
        np.where(several, of.slack_triton_large_sharded, of.slack_triton_large),
        np.where(several, of.slack_triton_small_sharded, of.slack_triton_small),
    )
    fused = np.where(several, of.slack_fused_sharded, of.slack_fused)
    standard = np.where(several, of.slack_standard_sharded, of.slack_standard)
    factor = np.where((loss == _FUSED) | ~near_loss, fused, np.where(loss == _TRITON, triton, standard))
    return factor * np.where(runs.recipe.variable_length, of.slack_variable, 1.0)


def fragmentation(runs: Runs, on: Switches, constants: MemoryConstants) -> Floats:
    """Return the fraction of what comes and goes that the allocator cannot close up even under pressure."""
    of = constants.overhead
    fixed = np.where(on.gpus > 1, of.fragmentation_sharded, of.fragmentation)
    return np.where(runs.recipe.variable_length, of.fragmentation_variable, fixed)


def allocated_deviation(runs: Runs, on: Switches, parts: dict[str, Floats], constants: MemoryConstants) -> Floats:
    """Return the standard deviation of the allocated peak in bytes: parts and causes add in quadrature."""
    recipe, of = runs.recipe, constants.sigma
    total = sum(parts.values(), np.zeros(1))
    state = parts["master_weights"] + parts["gradients"] + parts["optimizer_state"] + parts["optimizer_step"]
    state = state + parts["adapters"] + parts["value_model"]
    buffers = parts["buckets"] + parts["gathered"] + parts["dequantised"] + parts["dora"] + parts["generation"]
    variable = recipe.variable_length * of.variable_length**2
    loose = of.activations**2 + variable + (recipe.checkpointing == _NO_CHECKPOINTS) * of.no_checkpointing**2
    loose = loose + (recipe.checkpointing == _SELECTIVE) * of.selective**2
    loose = loose + (runs.model.experts > 0) * of.moe**2 + on.dora * of.dora**2
    whole = of.model**2 + (on.gpus > 1) * of.sharded**2 + ~recipe.stack_known * of.unknown_stack**2
    levers = recipe.optimizer_in_backward | recipe.activation_offload
    whole = whole + levers * of.levers**2 + on.offloaded * of.offload**2 + on.dpo * of.dpo**2 + on.ppo * of.ppo**2
    whole = whole + (runs.machine.nodes > 1) * of.several_nodes**2
    squared = (
        (of.weights * (parts["weights"] + parts["model_copies"])) ** 2
        + (of.state * state) ** 2
        + loose * (parts["saved"] + parts["live"]) ** 2
        + (of.eager * parts["scores"]) ** 2
        + (of.logits**2 + variable) * parts["logits"] ** 2
        + (of.buffers * buffers) ** 2
        + whole * total**2
    )
    result: Floats = np.sqrt(squared)
    return result
