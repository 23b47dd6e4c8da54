"""Tokens per second of n training runs, with interval, bound and basis: see docs/time-model.md.

One optimizer step is `grad_accum` micro-steps (forward and backward on every GPU), the communication that they do not
hide, and one update of the trained parameters.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import NormalDist
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from .communication import exchange, exposed, gradient_bytes, ring_seconds
from .efficiency import FP8, ZERO2, is_gathered, micro_step
from .flops import counted_flops_per_token, processed_tokens, training_flops
from .generation import decode_seconds, objective_flops, objective_passes
from .offload_time import OFFLOAD_NONE, activation_offload_seconds, optimizer_seconds, update
from .results import BOUNDS, Interval, ThroughputColumns
from .speed_uncertainty import speed_basis, speed_sigma

if TYPE_CHECKING:
    from .axes import Codes
    from .generation import Passes
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
    recipe, machine = runs.recipe, runs.machine
    # A calibrated card is faster or slower as a whole: where the time goes was not measured.
    parts = {name: part / machine.speed_factor for name, part in step_parts(runs, constants).items()}
    step_s = sum(parts.values(), start=np.zeros(1))
    gpus = machine.gpu_count * machine.nodes
    processed_per_s = processed_tokens(recipe) * recipe.grad_accum * gpus / step_s
    speed = processed_per_s / recipe.padding_factor
    sigma = speed_sigma(runs, parts, step_s, network_gap(runs, step_s, constants) / Z90, constants)
    spread = np.exp(Z90 * sigma)
    counted = counted_flops_per_token(runs.model, recipe)
    return ThroughputColumns(
        tokens_per_s=Interval(low=speed / spread, expected=speed, high=speed * spread),
        step_s=step_s,
        parts_s=parts,
        sigma_log=sigma,
        mfu=processed_per_s * counted / (gpus * counted_peak(runs)),
        bound=np.argmax([parts[name] for name in BOUNDS], axis=0).astype(np.int8),
        basis=_wide(speed_basis(runs), runs.count),
    )


def counted_peak(runs: Runs) -> Floats:
    """Return the dense peak in FLOP/s that utilisation is counted over: that of the type of the matrix products."""
    machine = runs.machine
    fp8 = (runs.recipe.precision == FP8) & (machine.fp8_flops_per_s > machine.peak_flops_per_s)
    return np.where(fp8, machine.fp8_flops_per_s, machine.peak_flops_per_s)


def step_parts(runs: Runs, constants: SpeedConstants) -> dict[str, Floats]:
    """Return the seconds of one optimizer step by cause (`BOUNDS`), each of shape (n,)."""
    recipe = runs.recipe
    passes = objective_passes(recipe, constants)
    training = training_flops(runs.model, recipe, constants.selective_fraction)
    micro = micro_step(runs, objective_flops(runs, training, passes), passes.equivalent, constants)
    updated = update(runs, constants)
    repeats = recipe.grad_accum
    interconnect = interconnect_seconds(runs, micro.total, passes, constants)
    updates, moves = passes.trainings * updated.optimizer, passes.trainings * updated.offload_per_step
    surplus = surplus_seconds(runs, micro.total, interconnect + updates + moves, passes, constants)
    waiting = waiting_share(runs, constants) * repeats * (micro.compute + micro.memory)
    fetched = repeats * passes.equivalent * updated.offload_per_micro_step
    # A stream of its own carries activations beside the work: only what is longer than that shows.
    carried = passes.trainings * activation_offload_seconds(runs, constants)
    fetched = fetched + repeats * np.maximum(carried - constants.overlap * micro.total, 0.0)
    loading = repeats * processed_tokens(recipe) / constants.data_tokens_per_s
    parts = {
        "compute": repeats * micro.compute,
        "launch": repeats * micro.launch,
        "memory": repeats * micro.memory,
        "dequantisation": repeats * micro.dequantisation,
        "optimizer": updates + surplus,
        "interconnect": interconnect + waiting,
        "offload": fetched + moves,
        "generation": repeats * decode_seconds(runs, constants),
    }
    # The loader works ahead: it adds only what the rest of the step does not cover.
    parts["data"] = np.maximum(loading - sum(parts.values(), start=np.zeros(1)), 0.0)
    count = runs.count
    return {name: _wide(parts[name], count) for name in BOUNDS}


def interconnect_seconds(runs: Runs, hidden_behind: Floats, passes: Passes, constants: SpeedConstants) -> Floats:
    """Return the seconds of communication of one optimizer step that its micro-steps do not hide."""
    moved = exchange(runs, constants)
    often, once = moved.per_micro_step * passes.equivalent, moved.per_step * passes.trainings
    # What moves once a step hides behind the last micro-step, together with what moves at every one.
    early, last = (exposed(volume, hidden_behind, constants.overlap) for volume in (often, often + once))
    return (runs.recipe.grad_accum - 1.0) * early + last


def waiting_share(runs: Runs, constants: SpeedConstants) -> Floats:
    """Return by which share of its work a GPU waits for the slowest one, where rows are not of one length.

    The tokens between two meetings of the GPUs are a sum of rows whose lengths spread by `row_spread` (standard
    deviation over mean); the largest of n such sums lies m(n) deviations above the mean, m for normal variables being
    1.42 (ln n / ln 8)^0.78 within 4 % up to 64. Gathering kinds meet at every micro-step, the others once a step.
    """
    recipe, machine = runs.recipe, runs.machine
    if not recipe.variable_length.any():
        return np.zeros(1)
    often = is_gathered(recipe) | (recipe.sharding == ZERO2)
    rows = recipe.micro_batch * np.where(often, 1.0, recipe.grad_accum)
    gpus = machine.gpu_count * machine.nodes
    highest = 1.42 * (np.log(gpus) / np.log(8.0)) ** 0.78
    return np.where(recipe.variable_length, constants.row_spread * highest / np.sqrt(rows), 0.0)


def surplus_seconds(
    runs: Runs, hidden_behind: Floats, spent: Floats, passes: Passes, constants: SpeedConstants
) -> Floats:
    """Return the seconds by which exchange and update (`spent`) of what saves memory would undercut those of DDP.

    ZeRO-3, FSDP and offload exist to save memory; the sharded update that they bring is there without them as well
    (ZeRO-1), so that no speed is credited to them beyond what DDP has.
    """
    recipe, machine = runs.recipe, runs.machine
    gpus = machine.gpu_count * machine.nodes
    saving = (is_gathered(recipe) | (recipe.offload != OFFLOAD_NONE)) & (gpus > 1)
    if not saving.any():
        return np.zeros(1)
    whole = passes.trainings * optimizer_seconds(recipe, machine, recipe.trainable_params, constants)
    reduced = passes.trainings * 2.0 * gradient_bytes(recipe) * ring_seconds(1.0, machine, constants)
    ddp = whole + exposed(reduced, hidden_behind, constants.overlap)
    return np.where(saving, np.maximum(ddp - spent, 0.0), 0.0)


def network_gap(runs: Runs, step_s: Floats, constants: SpeedConstants) -> Floats:
    """Return by how much log speed would rise if an unknown network between nodes were the fastest one on offer."""
    machine = runs.machine
    unknown = (machine.nodes > 1) & np.isnan(machine.network_bytes_per_s)
    if not unknown.any():
        return np.zeros(1)
    network = np.where(unknown, constants.fast_network_bytes_per_s, machine.network_bytes_per_s)
    fast = step_parts(replace(runs, machine=replace(machine, network_bytes_per_s=network)), constants)
    slow_s = step_s * machine.speed_factor
    return np.where(unknown, np.log(slow_s / sum(fast.values(), start=np.zeros(1))), 0.0)


def _wide(values: Columns, count: int) -> Columns:
    """Return `values` with shape (count,)."""
    return values if values.shape == (count,) else np.broadcast_to(values, (count,))
