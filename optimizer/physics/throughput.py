"""Tokens per second of n training runs, with interval, bound and basis: see docs/time-model.md.

One optimizer step is `grad_accum` micro-steps (forward and backward on every GPU), the communication that they do not
hide, and one update of the trained parameters.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from .communication import exchange, exposed
from .efficiency import micro_step
from .flops import counted_flops_per_token, processed_tokens, training_flops
from .generation import decode_seconds, objective_flops, objective_passes
from .offload_time import update
from .results import BOUNDS, Interval, ThroughputColumns
from .speed_uncertainty import speed_basis, speed_sigma

if TYPE_CHECKING:
    from .axes import Codes
    from .runs import Floats, Runs
    from .speed_constants import SpeedConstants

Columns = TypeVar("Columns", "Floats", "Codes")

Z90 = NormalDist().inv_cdf(0.9)
"""90 % quantile of the standard normal distribution."""


def estimate_throughput(runs: Runs, constants: SpeedConstants) -> ThroughputColumns:
    """Return the speed of n runs, every column of shape (n,).

    Tokens are real ones (padding excluded) over all GPUs. A DPO token is one of the chosen or of the rejected text, a
    PPO token one of a prompt or of a response; work that they cause in other models is in the time, not in the count.
    Unknown machine figures (NaN peak or bandwidth) give NaN speed.
    """
    parts = step_parts(runs, constants)
    step_s = sum(parts.values(), start=np.zeros(1))
    recipe, machine = runs.recipe, runs.machine
    gpus = machine.gpu_count * machine.nodes
    processed_per_s = processed_tokens(recipe) * recipe.grad_accum * gpus / step_s
    speed = processed_per_s / recipe.padding_factor
    sigma = speed_sigma(runs, parts, step_s, constants)
    spread = np.exp(Z90 * sigma)
    counted = counted_flops_per_token(runs.model, recipe)
    return ThroughputColumns(
        tokens_per_s=Interval(low=speed / spread, expected=speed, high=speed * spread),
        step_s=step_s,
        parts_s=parts,
        sigma_log=sigma,
        mfu=processed_per_s * counted / (gpus * machine.peak_flops_per_s),
        bound=np.argmax([parts[name] for name in BOUNDS], axis=0).astype(np.int8),
        basis=_wide(speed_basis(runs), runs.count),
    )


def step_parts(runs: Runs, constants: SpeedConstants) -> dict[str, Floats]:
    """Return the seconds of one optimizer step by cause (`BOUNDS`), each of shape (n,)."""
    recipe = runs.recipe
    passes = objective_passes(recipe, constants)
    training = training_flops(runs.model, recipe, constants.selective_fraction)
    micro = micro_step(runs, objective_flops(runs, training, passes), passes.equivalent, constants)
    moved, updated = exchange(runs, constants), update(runs, constants)
    repeats = recipe.grad_accum
    often, once = moved.per_micro_step * passes.equivalent, moved.per_step * passes.trainings
    # What moves once a step hides behind the last micro-step, together with what moves at every one.
    early, last = (exposed(volume, micro.total, constants.overlap) for volume in (often, often + once))
    offload = repeats * passes.equivalent * updated.offload_per_micro_step
    parts = {
        "compute": repeats * micro.compute,
        "launch": repeats * micro.launch,
        "memory": repeats * micro.memory,
        "dequantisation": repeats * micro.dequantisation,
        "optimizer": passes.trainings * updated.optimizer,
        "interconnect": (repeats - 1.0) * early + last,
        "offload": offload + passes.trainings * updated.offload_per_step,
        "generation": repeats * decode_seconds(runs, constants),
    }
    count = runs.count
    return {name: _wide(parts[name], count) for name in BOUNDS}


def _wide(values: Columns, count: int) -> Columns:
    """Return `values` with shape (count,)."""
    return values if values.shape == (count,) else np.broadcast_to(values, (count,))
