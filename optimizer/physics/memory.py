"""Bytes per GPU of n training runs, itemised, at the moment of the peak; and bytes per node outside the GPUs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from providers.basis import Basis

from .activations import ActivationColumns, activation_columns
from .load_peak import load_parts
from .overhead import (
    Z80,
    allocated_deviation,
    clipped,
    fragmentation,
    intervals,
    outside_torch,
    slack_factor,
    unmeasured_architecture,
)
from .results import MemoryColumns
from .state import StateColumns, kbit_copy, state_columns, total_params
from .switches import Switches, switches

if TYPE_CHECKING:
    from .axes import Codes
    from .memory_constants import MemoryConstants
    from .runs import Bools, Floats, Ints, Runs

STEP, LOSS, BLOCK, ROLLOUT = range(4)
"""The moments that can be the peak: optimizer step, loss, a block in backward, generation of rollouts (PPO)."""


def estimate_memory(runs: Runs, constants: MemoryConstants) -> MemoryColumns:
    """Return the memory of n runs: load peak, allocated, reserved, device and required, host and NVMe.

    The training peak is the largest of four moments that never coincide: the optimizer step (state and temporaries),
    the loss (saved activations and logits), the backward pass of one block (saved activations and the live block,
    or all gradients and the live block), and the generation of rollouts. Intervals are the 10 %, 50 % and 90 %
    quantiles. All arrays have shape (n,).
    """
    count = runs.count
    on = switches(runs)
    state = state_columns(runs, on, constants)
    batch = activation_columns(runs, on, constants)
    moments = _moments(state, batch)
    parts = {name: _spread(values, count) for name, values in _parts(moments, state, batch).items()}
    loading = {name: _spread(values, count) for name, values in load_parts(runs, on, state, constants).items()}
    allocated = sum(parts.values(), np.zeros(count))
    load = sum(loading.values(), np.zeros(count))
    of, sigma = constants.overhead, constants.sigma

    outside = outside_torch(on, constants)
    doubt, outside_doubt = _doubt_of_peak(runs, on, state, batch, moments, constants), sigma.context * outside
    unmeasured = unmeasured_architecture(runs)
    strange, host_sigma = sigma.unmeasured_architecture * unmeasured, _host_sigma(on, constants)
    held = _held(runs, on, constants, state=state, moments=moments, allocated=allocated)
    reserved = np.maximum(held, of.load_slack * load)
    reserved_doubt = np.hypot(doubt, sigma.slack * (reserved - state.weights))
    passing = allocated - np.minimum(state.persistent, allocated)
    lost = fragmentation(runs, on, constants) * passing
    needed = allocated + lost + outside
    load_needed, shown = of.load_slack * load + outside, reserved + outside + state.paged
    host, nvme = _beside(runs, on, state, batch, constants)
    readings = intervals(
        count,
        load_peak=(load, sigma.load * load),
        load_required=(load_needed, _joined(sigma.load * load, outside_doubt, strange * load_needed)),
        allocated=(allocated, doubt),
        reserved=(reserved, np.hypot(reserved_doubt, strange * reserved)),
        device=(shown, _joined(reserved_doubt, outside_doubt, strange * shown)),
        required=(needed, _joined(doubt, outside_doubt, strange * needed, sigma.fragmentation * lost)),
        host=(host, host_sigma * host),
        nvme=(nvme, sigma.host * nvme),
    )
    ceiling = runs.machine.usable_bytes
    readings["reserved"] = clipped(readings["reserved"], np.maximum(ceiling - outside, 0.0))
    readings["device"] = clipped(readings["device"], ceiling)
    return MemoryColumns(parts=parts, load_parts=loading, basis=_basis(on, unmeasured, count), **readings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Totals of the candidate peaks, and which one it is (`peak`, int64)."""

    step: Floats
    loss: Floats
    block: Floats
    rollout: Floats
    gradients_win: Bools
    """True where, in the backward pass, all gradients outweigh the saved activations that they replace."""
    peak: Ints


def _moments(state: StateColumns, batch: ActivationColumns) -> Moments:
    held = state.persistent
    saved = batch.saved + batch.saved_scores
    step = held + state.gradients + state.optimizer_step
    at_loss = saved + batch.waiting + batch.waiting_scores + batch.logits + batch.reference_logits
    loss = held + state.kept_gradients + state.gathered_root + at_loss
    in_backward = state.kept_gradients + saved + batch.saved_again + state.head_gradient
    gradients_win = state.gradients > in_backward
    block = (
        held
        + np.maximum(state.gradients, in_backward)
        + state.gathered_root
        + state.gathered_block
        + batch.live
        + batch.live_scores
        + batch.dequantised
        + batch.dora
    )
    rollout = np.where(batch.generation > 0, held + batch.generation + state.gathered_all, 0.0)
    totals = np.stack(np.broadcast_arrays(step, loss, block, rollout))
    return Moments(
        step=step, loss=loss, block=block, rollout=rollout, gradients_win=gradients_win, peak=totals.argmax(axis=0)
    )


def _parts(moments: Moments, state: StateColumns, batch: ActivationColumns) -> dict[str, Floats]:
    """Return what is alive at the peak, by part; the parts sum to its total."""
    at_step, at_loss = moments.peak == STEP, moments.peak == LOSS
    at_block, at_rollout = moments.peak == BLOCK, moments.peak == ROLLOUT
    swapped = at_block & moments.gradients_win
    saving = at_loss | (at_block & ~moments.gradients_win)
    gathered = (at_loss | at_block) * state.gathered_root + at_block * state.gathered_block
    head = (at_block & ~moments.gradients_win) * state.head_gradient
    return {
        "weights": state.weights,
        "adapters": state.adapters,
        "master_weights": state.master_weights,
        "gradients": (at_step | swapped) * state.gradients + saving * state.kept_gradients + head,
        "optimizer_state": state.optimizer_state,
        "optimizer_step": at_step * state.optimizer_step,
        "model_copies": state.model_copies,
        "value_model": state.value_model,
        "buckets": state.buckets,
        "gathered": gathered + at_rollout * state.gathered_all,
        "saved": saving * batch.saved + (saving & at_block) * batch.saved_again,
        "live": at_block * batch.live + at_loss * batch.waiting,
        "scores": saving * batch.saved_scores + at_block * batch.live_scores + at_loss * batch.waiting_scores,
        "logits": at_loss * (batch.logits + batch.reference_logits),
        "dequantised": at_block * batch.dequantised,
        "dora": at_block * batch.dora,
        "generation": at_rollout * batch.generation,
    }


def _doubt_of_peak(
    runs: Runs,
    on: Switches,
    state: StateColumns,
    batch: ActivationColumns,
    moments: Moments,
    constants: MemoryConstants,
) -> Floats:
    """Return the standard deviation of the allocated peak in bytes, so that its high end is the highest of all moments.

    Moments are made of different parts, and the second largest may be the less sure one: by the deviation of the
    largest alone, the high end would fall where a larger batch moves the peak from one moment to the other.
    """
    totals = (moments.step, moments.loss, moments.block, moments.rollout)
    largest, high = np.ones(1), np.ones(1)
    for at, total in zip((STEP, LOSS, BLOCK, ROLLOUT), totals, strict=True):
        if not total.any():
            continue
        parts = _parts(replace(moments, peak=np.full(1, at)), state, batch)
        # Only PPO generates: elsewhere that moment holds nothing, whatever its parts would say.
        share = allocated_deviation(runs, on, parts, constants) * (total > 0) / np.maximum(total, 1.0)
        high = np.maximum(high, total * np.exp(Z80 * share))
        largest = np.maximum(largest, total)
    return largest * np.log(high / largest) / Z80


def _held(
    runs: Runs,
    on: Switches,
    constants: MemoryConstants,
    *,
    state: StateColumns,
    moments: Moments,
    allocated: Floats,
) -> Floats:
    """Return what the allocator holds in training, before it meets the end of the memory.

    Full fine-tuning reuses little between optimizer step and backward pass: the device shows about their sum.
    """
    of = constants.overhead
    near_loss = moments.loss >= of.loss_slack_from * moments.block
    by_factor = allocated + (slack_factor(runs, on, near_loss, constants) - 1.0) * (allocated - state.weights)
    coming_and_going = np.maximum(moments.loss, moments.block) - state.persistent
    by_sum = np.where(on.gpus > 1, of.full_sum_sharded, of.full_sum) * (moments.step + coming_and_going)
    return np.maximum(np.where(on.full, by_sum, by_factor), allocated)


def _beside(
    runs: Runs, on: Switches, state: StateColumns, batch: ActivationColumns, constants: MemoryConstants
) -> tuple[Floats, Floats]:
    """Return bytes of host RAM and of NVMe per node: processes, staging, and what was moved off the GPUs.

    Under FSDP one process of the node holds the whole checkpoint. With k-bit weights that is the k-bit copy, and only
    this process reads the 16-bit files; what is offloaded is there twice while it is pinned.
    """
    of, processes = constants.host, runs.machine.gpu_count
    sixteen, narrow = 2.0 * total_params(runs), on.fsdp & on.quantised
    readers = np.where(narrow, 1.0, processes)
    base = processes * of.process_bytes + readers * np.minimum(of.staging_bytes, sixteen)
    base = base + on.fsdp * np.where(narrow, kbit_copy(runs, constants), sixteen)
    away = processes * (state.away_state + state.away_params)
    moved = processes * (state.paged + batch.away + narrow * state.away_params)
    host = base + of.pinned_factor * np.where(on.nvme, 0.0, away) + moved + on.nvme * of.nvme_buffer_bytes
    return host, on.nvme * away


def _host_sigma(on: Switches, constants: MemoryConstants) -> Floats:
    """Return the relative standard deviation of host RAM: smaller for k-bit FSDP offload, which is published."""
    published = on.fsdp & on.quantised & on.offloaded
    return np.where(published, constants.sigma.host_kbit_offload, constants.sigma.host)


def _joined(*deviations: Floats) -> Floats:
    """Return the standard deviation of independent causes: their root sum of squares."""
    squares: Floats = sum((deviation**2 for deviation in deviations), np.zeros(1))
    return np.sqrt(squares)


def _basis(on: Switches, unmeasured: Bools, count: int) -> Codes:
    """Return `assumed` where no published row stands behind the figure, otherwise `derived`."""
    assumed = on.dpo | on.ppo | on.dora | on.offloaded | unmeasured
    basis = np.where(assumed, Basis.ASSUMED.rank, Basis.DERIVED.rank).astype(np.int8)
    return np.broadcast_to(basis, (count,))


def _spread(values: Floats, count: int) -> Floats:
    """Return the column with shape (n,), not just broadcastable to it."""
    return values if values.shape[0] == count else values + np.zeros(count)
