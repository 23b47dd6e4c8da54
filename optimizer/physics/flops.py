"""Arithmetic of one training step: FLOP per processed token, by tuning, objective and checkpointing.

A matrix product of a weight with one token costs 2 FLOP per weight forward, 2 for the gradient of its input and 2 for
the gradient of the weight. A frozen weight has no weight gradient. Causal attention costs 2 x context x heads x
head_dim FLOP per token and layer forward (scores and values, half of the square).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .axes import Checkpointing, Objective, Tuning, code

if TYPE_CHECKING:
    from .runs import Floats, ModelColumns, RecipeColumns

FULL = code(Tuning.FULL)
SFT = code(Objective.SFT)
DPO = code(Objective.DPO)
PPO = code(Objective.PPO)
CHECKPOINT_NONE = code(Checkpointing.NONE)
CHECKPOINT_FULL = code(Checkpointing.FULL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flops:
    """FLOP per processed token, shape (n,) or (1,): weight products (`matrix`) and attention scores (`attention`)."""

    matrix: Floats
    attention: Floats


def row_tokens(recipe: RecipeColumns) -> Floats:
    """Return the mean tokens of one row as it is processed: the stated mean, otherwise the length in memory."""
    return np.where(np.isnan(recipe.row_tokens), recipe.seq_len, recipe.row_tokens)


def processed_tokens(recipe: RecipeColumns) -> Floats:
    """Return the tokens that one GPU processes in one micro-step, padding included.

    `micro_batch` counts sequences; a DPO sequence is a pair, whose chosen and rejected halves are two rows.
    """
    rows = np.where(recipe.objective == DPO, 2.0, 1.0)
    return recipe.micro_batch * row_tokens(recipe) * rows


def head_products(model: ModelColumns) -> Floats:
    """Return the weights of the output projection: it is computed even where its weights are tied."""
    return model.vocab * model.hidden


def forward_flops(model: ModelColumns, recipe: RecipeColumns) -> Flops:
    """Return the FLOP per token of one forward pass of the policy, adapters included."""
    adapters = np.where(recipe.tuning == FULL, 0.0, 2.0 * recipe.trainable_params * ~recipe.trains_embeddings)
    matrix = 2.0 * (model.active_linear_params + head_products(model)) + adapters
    return Flops(matrix=matrix, attention=2.0 * row_tokens(recipe) * model.layers * model.heads * model.head_dim)


def training_flops(model: ModelColumns, recipe: RecipeColumns, selective_fraction: float) -> Flops:
    """Return the FLOP per token of forward, backward and recomputation of the policy.

    Full checkpointing repeats the forward pass of the blocks (not of the output head), selective checkpointing
    `selective_fraction` of it. Adapter weights have gradients, the frozen weights below them none. The backward pass of
    attention computes the scores anew: 2.5 times the forward pass (Dao 2023, FlashAttention-2, section 3.1).
    """
    forward = forward_flops(model, recipe)
    full = recipe.tuning == FULL
    trained_head = recipe.trains_embeddings & ~full
    adapters = np.where(full | trained_head, 0.0, 2.0 * recipe.trainable_params)
    weight_gradients = np.where(full, forward.matrix, adapters + trained_head * 2.0 * head_products(model))
    repeated = recomputed_share(recipe, selective_fraction)
    blocks = forward.matrix - 2.0 * head_products(model)
    return Flops(
        matrix=2.0 * forward.matrix + weight_gradients + repeated * blocks,
        attention=(3.5 + repeated) * forward.attention,
    )


def recomputed_share(recipe: RecipeColumns, selective_fraction: float) -> Floats:
    """Return the share of the blocks' forward pass that the backward pass repeats: 0, selective_fraction or 1."""
    partial = np.where(recipe.checkpointing == CHECKPOINT_NONE, 0.0, selective_fraction)
    return np.where(recipe.checkpointing == CHECKPOINT_FULL, 1.0, partial)


def counted_flops_per_token(model: ModelColumns, recipe: RecipeColumns) -> Floats:
    """Return the FLOP per token by which model FLOP utilisation is counted: 6N, or 4N where adapters train.

    N holds the parameters that one token passes, embeddings and head included; attention and recomputation are not
    counted.
    """
    counted = model.active_linear_params + model.embedding_params + model.head_params + model.other_params
    return np.where(recipe.tuning == FULL, 6.0, 4.0) * counted
