"""What a run holds whatever the batch: weights, gradients, optimizer state, model copies, and where each part lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .axes import Optimizer, Stack, code

if TYPE_CHECKING:
    from .memory_constants import MemoryConstants
    from .runs import Bools, Floats, Runs
    from .switches import Switches

_ADAMW = code(Optimizer.ADAMW)
_EIGHT_BIT, _PAGED = code(Optimizer.ADAMW_8BIT), code(Optimizer.PAGED_ADAMW_8BIT)
_ADAFACTOR = code(Optimizer.ADAFACTOR)
_FUSED_STEP = np.array([stack in {Stack.TORCHTUNE, Stack.TORCHTITAN, Stack.NEMO, Stack.LLM_FOUNDRY} for stack in Stack])
"""Stacks whose AdamW is one fused kernel, or steps tensor by tensor (Composer): no temporary copy of everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateColumns:
    """Bytes per GPU, shape (n,) or (1,). What is offloaded or paged out is zero here and stands in `away_*`."""

    weights: Floats
    adapters: Floats
    master_weights: Floats
    gradients: Floats
    """At the optimizer step."""
    kept_gradients: Floats
    """Still there when the next micro-step begins: zero without accumulation."""
    optimizer_state: Floats
    optimizer_step: Floats
    """Temporaries of the step."""
    model_copies: Floats
    """Frozen reference and reward models."""
    value_model: Floats
    buckets: Floats
    """Gradient buckets of DDP and DeepSpeed."""
    gathered_root: Floats
    """Embedding and head, whole, in a run that shards them."""
    gathered_block: Floats
    gathered_all: Floats
    head_gradient: Floats
    away_params: Floats
    away_state: Floats
    paged: Floats

    @property
    def persistent(self) -> Floats:
        """Bytes that are there from the first step to the last."""
        held = self.weights + self.adapters + self.master_weights + self.optimizer_state
        return held + self.model_copies + self.value_model + self.buckets


def total_params(runs: Runs) -> Floats:
    """Return all parameters of the base model."""
    model = runs.model
    return model.linear_params + model.embedding_params + model.head_params + model.other_params


def linear_bytes(runs: Runs, on: Switches, constants: MemoryConstants) -> Floats:
    """Return bytes per weight of the linear layers while training, scales included."""
    sixteen = 2.0 + 2.0 * on.fp32_stream
    return np.where(on.quantised, quantised_bytes(runs, constants), sixteen)


def quantised_bytes(runs: Runs, constants: MemoryConstants) -> Floats:
    """Return bytes per weight of a k-bit layer: NF4 with its block scales, or LLM.int8 with its row scales."""
    of = constants.weights
    four = np.where(runs.recipe.double_quant, of.nf4_double_bytes, of.nf4_bytes)
    return np.where(runs.recipe.bits == 4, four, of.int8_bytes + of.int8_row_scale_bytes / runs.model.hidden)


def kbit_copy(runs: Runs, constants: MemoryConstants) -> Floats:
    """Return the bytes of one whole k-bit model: quantised linear layers, and the rest in 16 bit."""
    linear = runs.model.linear_params
    return linear * quantised_bytes(runs, constants) + 2.0 * (total_params(runs) - linear)


def largest_matrix(runs: Runs) -> Floats:
    """Return the elements of the largest linear layer of a block: hidden x width of one expert or of the MLP."""
    return runs.model.hidden * runs.model.intermediate / np.maximum(runs.model.top_k, 1.0)


def largest_tensor(runs: Runs) -> Floats:
    """Return the elements of the largest tensor of the model: the embedding, or the largest linear layer."""
    return np.maximum(runs.model.embedding_params, largest_matrix(runs))


def state_columns(runs: Runs, on: Switches, constants: MemoryConstants) -> StateColumns:
    """Return the state of n runs.

    Full fine-tuning with AdamW: pure 16-bit 2 + 2 + 4 bytes per parameter and 2 for a moment at the step; mixed under
    FSDP, DDP or one GPU 4 + 4 + 8 and 4; DeepSpeed 2 + 2 with fp32 master weights and moments (Rajbhandari et al.
    2020, section 3.1), and an fp32 copy of its gradients at the step. Adapters are fp32 in HF and Unsloth.
    """
    model, recipe = runs.model, runs.recipe
    params = total_params(runs)
    half = np.where(on.fp32, 4.0, 2.0)
    wide = np.where(on.full, on.fp32 | ~(on.pure | on.deepspeed), ~on.pure | on.hf | on.unsloth)
    width = 2.0 + 2.0 * wide
    trained = recipe.trainable_params
    frozen = model.linear_params * linear_bytes(runs, on, constants) + (params - model.linear_params) * (
        2.0 + 2.0 * on.fp32_stream
    )
    weights = np.where(on.full, params * width, frozen) / on.param_shards
    low_rank = trained - recipe.whole_params
    own = low_rank * width + recipe.whole_params * np.where(on.full, width, half)
    adapters = on.adapter * own / on.param_shards
    master = (on.full & on.deepspeed & ~on.fp32) * 4.0 * trained / on.optimizer_shards
    largest = np.minimum(largest_tensor(runs) / np.maximum(params, 1.0), 1.0)
    gradients = own / on.gradient_shards * np.where(recipe.optimizer_in_backward, largest, 1.0)
    moments = np.where(on.full & on.deepspeed, 4.0 * trained, own)
    optimizer = _moment_bytes(runs, moments, constants) / on.optimizer_shards
    step = _step_bytes(runs, on, moments, constants) / on.optimizer_shards

    copies = on.full & (on.dpo | on.ppo)
    model_copies = (copies * params * half + on.ppo * recipe.reward_params * half) / on.param_shards
    away_gradients = on.offloaded & on.sharded_gradients
    away_params = on.offloaded & on.sharded_params
    paged = recipe.optimizer == _PAGED
    # PPO's value model is a second policy: each of its parts lies where the policy's does.
    twin = on.full & on.ppo
    value = twin * (
        ~away_params * weights
        + ~on.offloaded * master
        + ~away_gradients * gradients
        + ~(on.offloaded | paged) * optimizer
    )
    whole = on.hf & on.fsdp & on.full & (recipe.grad_accum > 1) & (on.gpus > 1)
    gathers = (on.sharded_params & (on.gpus > 1)) | away_params
    root, block, everything = _gathered(runs, on, constants)
    here_gradients = ~away_gradients * gradients
    return StateColumns(
        weights=~away_params * weights,
        adapters=~away_params * adapters,
        master_weights=~on.offloaded * master,
        gradients=here_gradients,
        kept_gradients=np.where(recipe.grad_accum > 1, np.where(whole, half * trained, here_gradients), 0.0),
        optimizer_state=~(on.offloaded | paged) * optimizer,
        optimizer_step=~on.offloaded * step,
        model_copies=~away_params * model_copies,
        value_model=value,
        buckets=_buckets(runs, on, gradients, constants),
        gathered_root=gathers * root,
        gathered_block=gathers * block,
        gathered_all=gathers * everything,
        head_gradient=on.full * (half * np.where(model.head_params > 0, model.head_params, model.embedding_params)),
        away_params=away_params * (weights * (1.0 + twin) + adapters + model_copies),
        away_state=(1.0 + twin) * (on.offloaded * (master + ~paged * optimizer) + away_gradients * gradients),
        paged=(1.0 + twin) * paged * optimizer,
    )


def _moment_bytes(runs: Runs, moment: Floats, constants: MemoryConstants) -> Floats:
    """Return bytes of optimizer state, given those of one full moment."""
    kind, of = runs.recipe.optimizer, constants.optimizer
    eight = (kind == _EIGHT_BIT) | (kind == _PAGED)
    adafactor = (kind == _ADAFACTOR) * of.factored_bytes_per_row / runs.model.hidden
    per_param = eight * of.eight_bit_bytes + adafactor
    result: Floats = (kind == _ADAMW) * of.moment_count * moment + per_param * runs.recipe.trainable_params
    return result


def _step_bytes(runs: Runs, on: Switches, moment: Floats, constants: MemoryConstants) -> Floats:
    """Return the temporaries of one optimizer step: a copy of all gradients, or of the largest tensor."""
    recipe = runs.recipe
    kind = recipe.optimizer
    usual: Bools = _FUSED_STEP[recipe.stack]
    fused = np.where(recipe.fused_optimizer < 0, usual, recipe.fused_optimizer > 0) | recipe.optimizer_in_backward
    copy = (~fused | (on.full & on.deepspeed)) * moment
    largest = on.full * largest_tensor(runs)
    tensor = constants.optimizer.largest_tensor_temporaries * 4.0 * largest
    one_by_one = (kind == _EIGHT_BIT) | (kind == _PAGED) | (kind == _ADAFACTOR)
    temporaries: Floats = (kind == _ADAMW) * copy + one_by_one * tensor
    return temporaries


def _gathered(runs: Runs, on: Switches, constants: MemoryConstants) -> tuple[Floats, Floats, Floats]:
    """Return what a run that shards parameters holds whole: root, blocks in use, everything (for generation)."""
    model = runs.model
    half = np.where(on.fp32 | (on.fp32_stream & (on.gpus <= 1)), 4.0, 2.0)
    per_weight = np.where(on.quantised, quantised_bytes(runs, constants), half)
    both = model.embedding_params + model.head_params
    root = half * np.where(on.per_module, np.maximum(model.embedding_params, model.head_params), both)
    live = np.minimum(model.linear_params, np.maximum(model.block_params, constants.communication.zero3_live_elements))
    block = per_weight * np.where(on.zero3, live, model.block_params)
    return root, block, root + per_weight * model.linear_params


def _buckets(runs: Runs, on: Switches, gradients: Floats, constants: MemoryConstants) -> Floats:
    """Return gradient buckets: a second copy under DDP (no bucket views), two reduce buckets under ZeRO-1 and 2."""
    of = constants.communication
    zero = on.deepspeed & ~on.zero3
    reduce = 2.0 * of.zero_bucket_copies * np.minimum(runs.recipe.trainable_params, of.zero_bucket_elements)
    return np.where(on.ddp, gradients, zero * reduce)
