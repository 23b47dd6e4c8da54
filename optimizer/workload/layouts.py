"""How the decoder families name their layers, and which vectors (biases, norms, sinks) stand beside them.

A layout says everything about a model that its widths do not say. The names are those of the Hugging Face
implementations, because adapters are aimed at layers by these names.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Names and extras of one family of decoders.

    `qkv` holds three names, or one for a fused projection; `gate_up` two names, or one for a fused projection (a plain
    MLP uses the last). Expert names are empty where experts are named like the dense MLP. `experts_linear` and
    `router_linear` tell whether these are linear modules of their own (only those are reached by `all-linear`).
    `half_loss`: the family's own code computes the loss in the type of its logits, where no autocast widens it.
    `qk_norm` is none | head (one vector of head_dim each) | full (one vector over all heads each).
    """

    family: str
    qkv: tuple[str, ...] = ("q_proj", "k_proj", "v_proj")
    out: str = "o_proj"
    gate_up: tuple[str, ...] = ("gate_proj", "up_proj")
    down: str = "down_proj"
    expert_gate_up: tuple[str, ...] = ()
    expert_down: str = ""
    experts_linear: bool = True
    router: str = "gate"
    router_linear: bool = True
    router_bias: bool = False
    shared_gate: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    expert_bias: bool = False
    norms_per_block: int = 2
    norm_bias: bool = False
    final_norm: bool = True
    embedding_norm: bool = False
    qk_norm: str = "none"
    attention_sinks: bool = False
    head_bias: bool = False
    embedding: str = "embed_tokens"
    head: str = "lm_head"
    half_loss: bool = False


LLAMA = Layout(family="llama")
_NEOX = Layout(
    family="gpt_neox",
    half_loss=True,
    qkv=("query_key_value",),
    out="dense",
    gate_up=("dense_h_to_4h",),
    down="dense_4h_to_h",
    output_bias=True,
    mlp_bias=True,
    norm_bias=True,
    embedding="embed_in",
    head="embed_out",
)
_GPT2 = Layout(
    family="gpt2",
    half_loss=True,
    qkv=("c_attn",),
    out="c_proj",
    gate_up=("c_fc",),
    down="c_proj",
    output_bias=True,
    mlp_bias=True,
    norm_bias=True,
    embedding="wte",
)
_OPT = Layout(
    family="opt",
    half_loss=True,
    out="out_proj",
    gate_up=("fc1",),
    down="fc2",
    output_bias=True,
    mlp_bias=True,
    norm_bias=True,
)
_MIXTRAL = Layout(family="mixtral", expert_gate_up=("w1", "w3"), expert_down="w2")

_MPT = Layout(family="mpt", half_loss=True, qkv=("Wqkv",), out="out_proj", gate_up=("up_proj",), embedding="wte")
_FALCON = Layout(
    family="falcon",
    half_loss=True,
    qkv=("query_key_value",),
    out="dense",
    gate_up=("dense_h_to_4h",),
    down="dense_4h_to_h",
    norms_per_block=1,
    norm_bias=True,
    embedding="word_embeddings",
)

_ALL: tuple[Layout, ...] = (
    LLAMA,
    Layout(family="qwen2"),
    Layout(family="qwen3", qk_norm="head"),
    Layout(family="qwen2_moe", shared_gate=True),
    Layout(family="qwen3_moe", qk_norm="head"),
    _MIXTRAL,
    Layout(family="gemma"),
    Layout(family="gemma2", norms_per_block=4),
    Layout(family="gemma3", norms_per_block=4, qk_norm="head"),
    Layout(family="olmo2", qk_norm="full"),
    Layout(family="phi3", qkv=("qkv_proj",), gate_up=("gate_up_proj",)),
    Layout(
        family="phi",
        out="dense",
        gate_up=("fc1",),
        down="fc2",
        output_bias=True,
        mlp_bias=True,
        norm_bias=True,
        norms_per_block=1,
        head_bias=True,
    ),
    Layout(family="stablelm", norm_bias=True),
    Layout(
        family="starcoder2",
        gate_up=("c_fc",),
        down="c_proj",
        output_bias=True,
        mlp_bias=True,
        norm_bias=True,
    ),
    Layout(family="cohere", norms_per_block=1),
    Layout(family="glm4", gate_up=("gate_up_proj",), norms_per_block=4),
    Layout(family="glm", gate_up=("gate_up_proj",)),
    Layout(family="nemotron", norm_bias=True),
    _NEOX,
    _GPT2,
    replace(_GPT2, family="gpt_bigcode"),
    Layout(
        family="gptj",
        out="out_proj",
        gate_up=("fc_in",),
        down="fc_out",
        mlp_bias=True,
        norms_per_block=1,
        norm_bias=True,
        head_bias=True,
        embedding="wte",
    ),
    _OPT,
    replace(_OPT, family="opt-post-norm", final_norm=False),
    replace(_NEOX, family="bloom", embedding_norm=True, embedding="word_embeddings", head="lm_head"),
    _FALCON,
    replace(_FALCON, family="falcon-new-decoder", norms_per_block=2),
    replace(_FALCON, family="falcon-rw", norms_per_block=2, output_bias=True, mlp_bias=True),
    _MPT,
    replace(_MPT, family="mpt-bias", output_bias=True, mlp_bias=True, norm_bias=True),
    Layout(
        family="qwen",
        qkv=("c_attn",),
        out="c_proj",
        gate_up=("w2", "w1"),
        down="c_proj",
        embedding="wte",
        half_loss=True,
    ),
    Layout(
        family="chatglm",
        qkv=("query_key_value",),
        out="dense",
        gate_up=("dense_h_to_4h",),
        down="dense_4h_to_h",
        embedding="word_embeddings",
        head="output_layer",
    ),
    Layout(family="baichuan", qkv=("W_pack",)),
    Layout(family="internlm", output_bias=True),
    Layout(
        family="internlm2",
        qkv=("wqkv",),
        out="wo",
        gate_up=("w1", "w3"),
        down="w2",
        embedding="tok_embeddings",
        head="output",
    ),
    Layout(family="deepseek_v2", router_linear=False),
    Layout(family="deepseek_v3", router_linear=False, router_bias=True),
    Layout(
        family="gpt_oss",
        output_bias=True,
        expert_gate_up=("gate_up_proj",),
        experts_linear=False,
        expert_bias=True,
        router="router",
        router_linear=False,
        router_bias=True,
        attention_sinks=True,
    ),
    Layout(
        family="llama4",
        expert_gate_up=("gate_up_proj",),
        experts_linear=False,
        router="router",
    ),
    Layout(
        family="granitemoe",
        expert_gate_up=("input_linear",),
        expert_down="output_linear",
        experts_linear=False,
        router="layer",
    ),
)

LAYOUTS: dict[str, Layout] = {layout.family: layout for layout in _ALL}
"""Every known layout by family name."""
