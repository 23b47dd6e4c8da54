"""What is to be trained: the shape of a model and the parameters it holds, by role."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearModule:
    """One kind of linear layer: `count` copies over the whole model (layers, and experts for MoE).

    `active_count` copies are passed by one token. `role` is attention | mlp | expert | shared_expert | router.
    """

    name: str
    in_features: int
    out_features: int
    bias: bool
    count: int
    active_count: float
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """Shape of a decoder-only transformer, and where its figures come from.

    Parameter counts are computed from the shape; `published_params` (None if unknown) is what the maker states.
    """

    name: str
    hf_id: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    tied_embeddings: bool
    context: int
    mlp_kind: str = "swiglu"
    qkv_bias: bool = False
    moe_experts: int = 0
    moe_top_k: int = 0
    moe_intermediate: int = 0
    moe_shared_experts: int = 0
    dense_layers: int = 0
    position_table: int = 0
    published_params: int | None = None
    source: str = ""
    notes: str = ""
