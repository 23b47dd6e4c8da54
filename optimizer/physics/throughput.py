"""Tokens per second of n training runs, with interval, bound and basis: see docs/time-model.md.

One optimizer step is `grad_accum` micro-steps (forward and backward on every GPU), the communication that they do not
hide, and one update of the trained parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .communication import exchange, exposed
from .efficiency import micro_step
from .flops import counted_flops_per_token, processed_tokens, training_flops
from .generation import decode_seconds, objective_flops, passes_per_micro_step
from .offload_time import update
from .results import BOUNDS, Interval, ThroughputColumns
from .speed_uncertainty import speed_basis, speed_sigma

if TYPE_CHECKING:
    from .runs import Floats, Runs
    from .speed_constants import SpeedConstants

Z90 = 1.2815515655446004
"""90 % quantile of the standard normal distribution."""


def estimate_throughput(runs: Runs, constants: SpeedConstants) -> ThroughputColumns:
    """Return the speed of n runs, every column of shape (n,).

    Tokens are real ones (padding excluded) over all GPUs. A DPO token is one of the chosen or of the rejected text, a
    PPO token one of a prompt or of a response; work that they cause in other models is in the time, not in the count.
    Unknown machine figures (NaN peak or bandwidth) give NaN speed.
    """
    parts = step_parts(runs, constants)
    step_s = np.sum(list(parts.values()), axis=0)
    recipe, machine = runs.recipe, runs.machine
    gpus = machine.gpu_count * machine.nodes
    processed_per_s = processed_tokens(recipe) * recipe.grad_accum * gpus / step_s
    speed = processed_per_s / recipe.padding_factor
    sigma = np.broadcast_to(speed_sigma(runs, parts, step_s, constants), step_s.shape)
    spread = np.exp(Z90 * sigma)
    counted = counted_flops_per_token(runs.model, recipe)
    return ThroughputColumns(
        tokens_per_s=Interval(low=speed / spread, expected=speed, high=speed * spread),
        step_s=step_s,
        parts_s=parts,
        sigma_log=sigma,
        mfu=processed_per_s * counted / (gpus * machine.peak_flops_per_s),
        bound=np.argmax([parts[name] for name in BOUNDS], axis=0).astype(np.int8),
        basis=np.broadcast_to(speed_basis(runs), step_s.shape),
    )


def step_parts(runs: Runs, constants: SpeedConstants) -> dict[str, Floats]:
    """Return the seconds of one optimizer step by cause (`BOUNDS`), each of shape (n,)."""
    recipe = runs.recipe
    training = training_flops(runs.model, recipe, constants.selective_fraction)
    micro = micro_step(runs, objective_flops(runs, training, constants), constants)
    moved, updated = exchange(runs, constants), update(runs, constants)
    passes = passes_per_micro_step(recipe, constants)
    repeats = recipe.grad_accum
    per_micro = exposed(moved.per_micro_step * passes, micro.total, constants.overlap)
    per_step = exposed(moved.per_step * passes, micro.total, constants.overlap)
    parts = {
        "compute": repeats * micro.compute,
        "launch": repeats * micro.launch,
        "memory": repeats * micro.memory,
        "dequantisation": repeats * micro.dequantisation,
        "optimizer": passes * updated.optimizer,
        "interconnect": repeats * per_micro + per_step,
        "offload": repeats * passes * updated.offload_per_micro_step + passes * updated.offload_per_step,
        "generation": repeats * decode_seconds(runs, constants),
    }
    shape = (runs.count,)
    return {name: np.broadcast_to(parts[name], shape).astype(np.float64) for name in BOUNDS}
