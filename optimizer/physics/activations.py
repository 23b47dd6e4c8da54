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
_EAGER, _FLASH = code(Attention.EAGER), code(Attention.FLASH)
_TRITON, _FUSED = code(Loss.TRITON), code(Loss.FUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationColumns:
    """Bytes per GPU, shape (n,) or (1,). They are not all there at the same moment: `memory` says which are."""

    saved: Floats
    """Kept from forward to backward: one input per block with checkpointing, all the other blocks without."""
    saved_again: Floats
    """What a block in backward finds kept beside `saved`: FSDP with adapters holds on to each block's gradients, and so
    does ZeRO-3 with k-bit weights."""
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
    # ZeRO-3 with k-bit weights as FSDP; with 16-bit weights its one published run (70B) leaves no room for it.
    held = (on.fsdp | (on.zero3 & on.quantised)) & on.adapter & ~on.per_module & (on.gpus > 1)
    again = held * (of.block_sharded_adapter_factor - 1.0) * checkpoints
    counted = _kept_bytes(runs, on, constants) * widths
    # Compiled code computes again what is cheap; selective checkpointing names what is kept, compiled or not.
    partly = np.maximum(of.kept_selective_factor * (counted + dora * model.layers), checkpoints)
    kept = counted * np.where(recipe.compiled, of.kept_compiled_factor, 1.0) + dora * model.layers
    others = np.maximum(kept - block, partly + again)
    saved = tokens * np.where(everything, others, np.where(selective, partly, checkpoints))
    live = tokens * block
    offloads = (on.unsloth & ~everything & ~selective) | recipe.activation_offload

    scores = (recipe.attention == _EAGER) * tokens * model.heads * recipe.seq_len
    live_scores = scores * of.score_bytes_live
    other_scores = np.maximum(scores * of.score_bytes_kept * model.layers - live_scores, 0.0)
    return ActivationColumns(
        saved=~offloads * saved,
        # Without checkpointing it lies inside what is kept, unless that has gone to the host.
        saved_again=(~everything | offloads) * tokens * again,
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
    in_place = np.where(on.unsloth, of.live_unsloth_factor, 1.0)
    norms = np.where(on.lean, 2.0 * (of.kept_norm - of.kept_norm_lean), 0.0)
    mlp = np.where(model.gated_mlp, of.live_intermediate, of.live_intermediate_plain)
    inner = mlp * model.intermediate * np.where(model.experts > 0, of.live_moe_factor, 1.0)
    return ((of.live_hidden - norms) * model.hidden + inner + per_input * recipe.adapter_inputs) * in_place


def _kept_bytes(runs: Runs, on: Switches, constants: MemoryConstants) -> Floats:
    """Return bytes per token that all blocks keep without checkpointing, 16-bit: counted tensor by tensor.

    Two norms; query and attention output; keys and values (repeated for all heads unless the flash kernel shares
    them); in the MLP gate, up, activation and product, or up and activation where it is not gated. Fused kernels
    neither keep an fp32 copy and the normalised input of a norm nor the activation beside gate and up.
    """
    model, recipe, of = runs.model, runs.recipe, constants.activations
    lean = on.lean | recipe.fused_kernels
    norms = 2.0 * np.where(lean, of.kept_norm_lean, of.kept_norm) * model.hidden
    shared = recipe.attention == _FLASH
    keys = np.where(shared, model.kv_heads, model.heads)
    attention = 4.0 * (model.heads + keys) * model.head_dim
    gated = np.where(lean, of.kept_gated_lean, of.kept_gated)
    mlp = np.where(model.gated_mlp, gated, of.kept_plain) * model.intermediate
    factor = np.where(on.adapter, of.kept_adapter_factor, 1.0)
    kept: Floats = (norms + attention + mlp) * model.layers * factor
    return kept


def _logit_bytes(runs: Runs, on: Switches, constants: MemoryConstants) -> Floats:
    """Return bytes per token at the peak of the loss."""
    of, loss = constants.logits, runs.recipe.loss
    triton, fused = loss == _TRITON, loss == _FUSED
    in_chunks = np.where(on.torchtune, of.chunked_vocab, of.fused_vocab)
    kernel = np.where(on.lean, of.triton_vocab_lean, of.triton_vocab)
    autocast = ~(on.pure | on.deepspeed | on.fp32)
    own_type = np.where(autocast, of.autocast_vocab, of.half_vocab)
    upcast = np.where(runs.model.half_loss & ~on.fp32, own_type, of.standard_vocab)
    standard = np.where(on.litgpt & on.pure, of.litgpt_vocab, upcast)
    vocab = np.where(fused, in_chunks, np.where(triton, kernel, standard))
    hidden = np.where(fused, of.fused_hidden, np.where(triton, of.triton_hidden, of.standard_hidden))
    factor = np.where(on.fp32, of.fp32_factor, 1.0) * np.where(runs.recipe.compiled, of.compiled_factor, 1.0)
    held: Floats = (vocab * runs.model.vocab + hidden * runs.model.hidden) * factor
    return held


def _dequantised(runs: Runs, on: Switches, live: Floats, constants: MemoryConstants) -> Floats:
    """Return the 16-bit copy of the largest k-bit matrix, less what of the live block is not alive beside it."""
    copy = on.quantised * 2.0 * largest_matrix(runs)
    return np.maximum(copy - constants.activations.dequantisation_slack * live, 0.0)


def _cache_bytes(runs: Runs) -> Floats:
    """Return the 16-bit key and value cache of the rollouts that one GPU generates at once."""
    model, recipe = runs.model, runs.recipe
    per_token = 2.0 * 2.0 * model.layers * model.kv_heads * model.head_dim
    return recipe.micro_batch * (recipe.prompt_tokens + recipe.response_tokens) * per_token
