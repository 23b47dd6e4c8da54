"""What a run holds because of the batch: checkpoints or whole activations, the live block, scores, logits, caches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .axes import Attention, Checkpointing, Loss, code
from .state import largest_matrix

if TYPE_CHECKING:
    from .memory_constants import MemoryConstants
    from .runs import Floats, Runs
    from .switches import Switches

_NO_CHECKPOINTS, _SELECTIVE = code(Checkpointing.NONE), code(Checkpointing.SELECTIVE)
_EAGER = code(Attention.EAGER)
_TRITON, _FUSED = code(Loss.TRITON), code(Loss.FUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationColumns:
    """Bytes per GPU, shape (n,) or (1,). They are not all there at the same moment: `memory` says which are."""

    saved: Floats
    """Kept from forward to backward: one input per block with checkpointing, all the other blocks without."""
    saved_again: Floats
    """What a block in backward finds kept beside `saved`: FSDP with adapters holds on to each block's gradients."""
    saved_scores: Floats
    live: Floats
    """The block that is differentiated, recomputed before with checkpointing."""
    live_scores: Floats
    waiting: Floats
    """The block differentiated first, when it is already there at the loss: without checkpointing."""
    waiting_scores: Floats
    logits: Floats
    reference_logits: Floats
    dequantised: Floats
    dora: Floats
    generation: Floats
    away: Floats
    """Checkpoints that the stack moves to the host."""


def activation_columns(runs: Runs, on: Switches, constants: MemoryConstants) -> ActivationColumns:
    """Return what the batch of one micro-step needs.

    A DPO pair is two sequences in one batch (Rafailov et al. 2023; TRL concatenates chosen and rejected).
    """
    model, recipe, of = runs.model, runs.recipe, constants.activations
    tokens = recipe.micro_batch * recipe.seq_len * (1.0 + on.dpo)
    everything = recipe.checkpointing == _NO_CHECKPOINTS
    selective = recipe.checkpointing == _SELECTIVE
    widths = np.where(on.fp32, 2.0, np.where(on.fp32_stream, of.live_fp32_factor, 1.0))

    dora = on.dora * of.dora_bytes_per_output * recipe.adapter_outputs
    block = _live_bytes(runs, on, constants) * widths + dora
    checkpoints = (2.0 + 2.0 * on.fp32_stream) * model.layers * model.hidden
    held = on.fsdp & on.adapter & ~on.per_module & (on.gpus > 1)
    again = held * (of.block_sharded_adapter_factor - 1.0) * checkpoints
    kept = _kept_bytes(runs, on, constants) * widths + dora * model.layers
    partly = np.maximum(of.kept_selective_factor * kept, checkpoints)
    others = np.maximum(kept - block, partly + again)
    saved = tokens * np.where(everything, others, np.where(selective, partly, checkpoints))
    live = tokens * block
    offloads = on.unsloth & ~everything & ~selective

    scores = (recipe.attention == _EAGER) * tokens * model.heads * recipe.seq_len
    live_scores = scores * of.score_bytes_live
    other_scores = np.maximum(scores * of.score_bytes_kept * model.layers - live_scores, 0.0)
    return ActivationColumns(
        saved=~offloads * saved,
        saved_again=~everything * tokens * again,
        saved_scores=everything * other_scores,
        live=live,
        live_scores=live_scores,
        waiting=everything * live,
        waiting_scores=everything * live_scores,
        logits=tokens * _logit_bytes(runs, on, constants),
        reference_logits=on.dpo * tokens * constants.logits.reference_vocab * model.vocab,
        dequantised=_dequantised(runs, on, live, constants),
        dora=on.dora * of.dora_weight_copies * (2.0 + 2.0 * on.fp32) * largest_matrix(runs),
        generation=on.ppo * _cache_bytes(runs),
        away=offloads * saved,
    )


def _live_bytes(runs: Runs, on: Switches, constants: MemoryConstants) -> Floats:
    """Return bytes per token of one block in recomputation, 16-bit."""
    model, recipe, of = runs.model, runs.recipe, constants.activations
    per_input = np.where(recipe.fused_kernels, of.live_adapter_fused, of.live_adapter_plain)
    lean = np.where(on.unsloth, of.live_unsloth_factor, 1.0)
    inner = of.live_intermediate * model.intermediate * np.where(model.experts > 0, of.live_moe_factor, 1.0)
    return (of.live_hidden * model.hidden + inner + per_input * recipe.adapter_inputs) * lean


def _kept_bytes(runs: Runs, on: Switches, constants: MemoryConstants) -> Floats:
    """Return bytes per token that all blocks keep without checkpointing, 16-bit."""
    model, of = runs.model, constants.activations
    kept = (of.kept_hidden * model.hidden + of.kept_intermediate * model.intermediate) * model.layers
    compiled = np.where(runs.recipe.compiled, of.kept_compiled_factor, 1.0)
    return kept * np.where(on.adapter, of.kept_adapter_factor, 1.0) * compiled


def _logit_bytes(runs: Runs, on: Switches, constants: MemoryConstants) -> Floats:
    """Return bytes per token at the peak of the loss."""
    of, loss = constants.logits, runs.recipe.loss
    triton, fused = loss == _TRITON, loss == _FUSED
    vocab = np.where(fused, of.fused_vocab, np.where(triton, of.triton_vocab, of.standard_vocab))
    hidden = np.where(fused, of.fused_hidden, np.where(triton, of.triton_hidden, of.standard_hidden))
    factor = np.where(on.fp32, of.fp32_factor, 1.0) * np.where(runs.recipe.compiled, of.compiled_factor, 1.0)
    return (vocab * runs.model.vocab + hidden * runs.model.hidden) * factor


def _dequantised(runs: Runs, on: Switches, live: Floats, constants: MemoryConstants) -> Floats:
    """Return the 16-bit copy of the largest k-bit matrix, less what of the live block is not alive beside it."""
    copy = on.quantised * 2.0 * largest_matrix(runs)
    return np.maximum(copy - constants.activations.dequantisation_slack * live, 0.0)


def _cache_bytes(runs: Runs) -> Floats:
    """Return the 16-bit key and value cache of the rollouts that one GPU generates at once."""
    model, recipe = runs.model, runs.recipe
    per_token = 2.0 * 2.0 * model.layers * model.kv_heads * model.head_dim
    return recipe.micro_batch * (recipe.prompt_tokens + recipe.response_tokens) * per_token
