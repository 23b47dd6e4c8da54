"""Readers of `config.json`, one per way of naming the widths; each returns a shape and the biases it found."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, Unpack

if TYPE_CHECKING:
    from .config_fields import ConfigFields


CONTEXT_KEYS = ("max_position_embeddings", "model_max_length", "seq_length")


class Shape(TypedDict, total=False):
    """The fields of a ModelSpec that a reader finds."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    context: int
    qkv_bias: bool
    moe_experts: int
    moe_top_k: int
    moe_intermediate: int
    moe_shared_experts: int
    moe_shared_intermediate: int
    dense_layers: int
    position_table: int
    embedding_dim: int
    q_lora_rank: int
    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int


class Extras(TypedDict, total=False):
    """Biases that the file switches on or off, against the habit of the family."""

    output_bias: bool
    mlp_bias: bool
    norm_bias: bool


def read_llama(fields: ConfigFields, model_type: str) -> tuple[Shape, Extras]:
    """Most decoders since 2023: separate keys for every width, biases off unless the file says so."""
    gemma3 = model_type in {"gemma3", "gemma3_text"}
    heads = fields.whole("num_attention_heads", default=8 if gemma3 else None)
    hidden = fields.whole("hidden_size")
    shape = Shape(
        layers=fields.whole("num_hidden_layers"),
        hidden=hidden,
        intermediate=_dense_width(fields),
        heads=heads,
        kv_heads=fields.whole("num_key_value_heads", default=4 if gemma3 else heads),
        head_dim=fields.whole("head_dim", default=256 if gemma3 else head_width(fields, hidden, heads)),
        vocab=fields.whole("vocab_size", default=262_208 if gemma3 else None),
        context=fields.whole(
            "max_position_embeddings", "model_max_length", "seq_length", default=131_072 if gemma3 else None
        ),
        qkv_bias=_qkv_bias(fields, model_type),
    )
    for key in ("qk_layernorm", "use_qk_norm"):
        # Llama-4's query and key norm has no weights; elsewhere such norms would go uncounted.
        if not model_type.startswith("llama4") and fields.flag(key, default=False):
            raise fields.error(key, f"false: query and key norms of {model_type} cannot be counted")
    extras = Extras()
    if fields.flag("mlp_bias", default=False):
        extras["mlp_bias"] = True
    if model_type in {"llama", "mistral", "granite", "internlm", "nemotron"} and shape["qkv_bias"]:
        extras["output_bias"] = True
    if model_type == "starcoder2" and not fields.flag("use_bias", default=True):
        extras["output_bias"] = extras["mlp_bias"] = False
    _mixture(fields, shape)
    return shape, extras


def _dense_width(fields: ConfigFields) -> int:
    """The dense MLP's width; Llama-4 keeps it under a key of its own beside that of the experts."""
    usual = "intermediate_size"
    return fields.whole("intermediate_size_mlp", usual, "moe_intermediate_size", usual=usual)


def _qkv_bias(fields: ConfigFields, model_type: str) -> bool:
    always = {"qwen2", "qwen2_moe", "qwen2_vl", "qwen2_5_vl", "phi", "gpt_oss"}
    key = {"internlm": "bias", "stablelm": "use_qkv_bias", "starcoder2": "use_bias"}.get(model_type, "attention_bias")
    if model_type in {"qwen2_moe", "qwen2"} and fields.has("qkv_bias"):
        key = "qkv_bias"
    return fields.flag(key, default=model_type in always | {"starcoder2", "internlm"})


def _mixture(fields: ConfigFields, shape: Shape) -> None:
    """Add the experts, where the file has any."""
    experts = fields.whole("n_routed_experts", "num_local_experts", "num_experts", default=0, least=0)
    if not experts:
        return
    layers = shape["layers"]
    width = fields.whole("moe_intermediate_size", "intermediate_size")
    shape["moe_experts"] = experts
    shape["moe_top_k"] = fields.whole("num_experts_per_tok", "moe_topk")
    shape["moe_intermediate"] = width
    shape["moe_shared_experts"] = fields.whole("n_shared_experts", default=0, least=0)
    shape["moe_shared_intermediate"] = fields.whole(
        "shared_expert_intermediate_size", "shared_intermediate_size", default=0, least=0
    )
    if fields.has("intermediate_size_mlp"):
        # Llama-4: one shared expert as wide as a routed one, in every layer that has experts.
        shape["moe_shared_experts"] = 1
    step = fields.whole("interleave_moe_layer_step", "decoder_sparse_step", "moe_layer_freq", default=1)
    first = fields.whole("first_k_dense_replace", default=0, least=0)
    dense = layers - (layers - first) // step if step > 1 else first
    shape["dense_layers"] = min(layers, dense + fields.length("mlp_only_layers"))


def read_deepseek(fields: ConfigFields, model_type: str) -> tuple[Shape, Extras]:
    """Latent attention: the keys of the compressed projections in place of one head width."""
    shape, extras = read_llama(fields, model_type)
    shape["q_lora_rank"] = fields.whole("q_lora_rank", default=0)
    shape["kv_lora_rank"] = fields.whole("kv_lora_rank")
    shape["qk_nope_head_dim"] = fields.whole("qk_nope_head_dim")
    shape["qk_rope_head_dim"] = fields.whole("qk_rope_head_dim")
    shape["v_head_dim"] = fields.whole("v_head_dim")
    shape["head_dim"] = shape["qk_nope_head_dim"] + shape["qk_rope_head_dim"]
    return shape, extras


def _multi_head(**known: Unpack[Shape]) -> Shape:
    """A shape with as many key and value heads as query heads, and heads that share the hidden width."""
    shape = Shape(**known)
    shape.setdefault("kv_heads", shape["heads"])
    shape.setdefault("head_dim", shape["hidden"] // shape["heads"])
    return shape


def read_gpt2(fields: ConfigFields, model_type: str) -> tuple[Shape, Extras]:
    """GPT-2 and its heirs: n_embd, n_layer, n_head; GPT-J rotates and has no position table."""
    hidden = fields.whole("n_embd", "hidden_size")
    heads = fields.whole("n_head", "num_attention_heads")
    context = fields.whole("n_positions", "max_position_embeddings")
    head_width(fields, hidden, heads)
    shape = _multi_head(
        layers=fields.whole("n_layer", "num_hidden_layers"),
        hidden=hidden,
        intermediate=fields.whole("n_inner", default=4 * hidden),
        heads=heads,
        vocab=fields.whole("vocab_size"),
        context=context,
        qkv_bias=model_type != "gptj",
        position_table=0 if model_type == "gptj" else context,
    )
    if model_type == "gpt_bigcode" and fields.flag("multi_query", default=True):
        shape["kv_heads"] = 1
    return shape, Extras()


def read_neox(fields: ConfigFields, _: str) -> tuple[Shape, Extras]:
    """GPT-NeoX and Pythia: fused projections, biases everywhere unless switched off."""
    hidden, heads = fields.whole("hidden_size"), fields.whole("num_attention_heads")
    head_width(fields, hidden, heads)
    bias = fields.flag("attention_bias", default=True)
    shape = _multi_head(
        layers=fields.whole("num_hidden_layers"),
        hidden=hidden,
        intermediate=fields.whole("intermediate_size"),
        heads=heads,
        vocab=fields.whole("vocab_size"),
        context=fields.whole("max_position_embeddings"),
        qkv_bias=bias,
    )
    return shape, Extras(output_bias=bias)


def read_bloom(fields: ConfigFields, _: str) -> tuple[Shape, Extras]:
    """BLOOM: the MLP is four times as wide as the model, positions by ALiBi."""
    hidden, heads = fields.whole("hidden_size", "n_embed"), fields.whole("n_head", "num_attention_heads")
    head_width(fields, hidden, heads)
    return _multi_head(
        layers=fields.whole("n_layer", "num_hidden_layers"),
        hidden=hidden,
        intermediate=fields.whole("n_inner", default=4 * hidden),
        heads=heads,
        vocab=fields.whole("vocab_size"),
        context=fields.whole("seq_length", default=2048),
        qkv_bias=True,
    ), Extras()


def read_falcon(fields: ConfigFields, _: str) -> tuple[Shape, Extras]:
    """Falcon: one shared key and value head, or `num_kv_heads` in the later decoder."""
    hidden, heads = fields.whole("hidden_size"), fields.whole("num_attention_heads", "n_head")
    head_width(fields, hidden, heads)
    shape = _multi_head(
        layers=fields.whole("num_hidden_layers", "n_layer"),
        hidden=hidden,
        intermediate=fields.whole("ffn_hidden_size", default=4 * hidden),
        heads=heads,
        vocab=fields.whole("vocab_size"),
        context=fields.whole("max_position_embeddings", default=2048),
        qkv_bias=fields.flag("bias", default=False),
    )
    if fields.flag("new_decoder_architecture", default=False):
        shape["kv_heads"] = fields.whole("num_kv_heads", "n_head_kv", default=heads)
    elif fields.flag("multi_query", default=True):
        shape["kv_heads"] = 1
    bias = shape["qkv_bias"]
    return shape, Extras(output_bias=bias, mlp_bias=bias)


def read_mpt(fields: ConfigFields, _: str) -> tuple[Shape, Extras]:
    """MPT: a learned position table only where ALiBi is off; `no_bias` clears every bias, norms included."""
    hidden, heads = fields.whole("d_model"), fields.whole("n_heads")
    head_width(fields, hidden, heads)
    attention = fields.inner("attn_config")
    alibi = attention.flag("alibi", default=False) if attention else False
    learned = fields.flag("learned_pos_emb", default=True) and not alibi
    bias = not fields.flag("no_bias", default=False)
    context = fields.whole("max_seq_len")
    shape = _multi_head(
        layers=fields.whole("n_layers"),
        hidden=hidden,
        intermediate=hidden * fields.whole("expansion_ratio", default=4),
        heads=heads,
        kv_heads=attention.whole("kv_n_heads", default=heads) if attention else heads,
        vocab=fields.whole("vocab_size"),
        context=context,
        qkv_bias=bias,
        position_table=context if learned else 0,
    )
    return shape, Extras(output_bias=bias, mlp_bias=bias, norm_bias=bias)


def read_opt(fields: ConfigFields, _: str) -> tuple[Shape, Extras]:
    """OPT: a position table, and in the 350M a narrower embedding."""
    hidden, heads = fields.whole("hidden_size"), fields.whole("num_attention_heads")
    head_width(fields, hidden, heads)
    context = fields.whole("max_position_embeddings")
    embedding = fields.whole("word_embed_proj_dim", default=hidden)
    bias = fields.flag("enable_bias", default=True)
    shape = _multi_head(
        layers=fields.whole("num_hidden_layers"),
        hidden=hidden,
        intermediate=fields.whole("ffn_dim"),
        heads=heads,
        vocab=fields.whole("vocab_size"),
        context=context,
        qkv_bias=bias,
        # OPT keeps two rows before the first position.
        position_table=context + 2,
        embedding_dim=0 if embedding == hidden else embedding,
    )
    return shape, Extras(output_bias=bias, mlp_bias=bias)


def read_qwen1(fields: ConfigFields, _: str) -> tuple[Shape, Extras]:
    """Qwen 1: the file's `intermediate_size` counts gate and up together."""
    return _multi_head(
        layers=fields.whole("num_hidden_layers"),
        hidden=fields.whole("hidden_size"),
        intermediate=fields.whole("intermediate_size", least=2) // 2,
        heads=fields.whole("num_attention_heads"),
        head_dim=fields.whole("kv_channels", default=128),
        vocab=fields.whole("vocab_size"),
        context=fields.whole("seq_length", "max_position_embeddings"),
        qkv_bias=True,
    ), Extras()


def read_chatglm(fields: ConfigFields, _: str) -> tuple[Shape, Extras]:
    """ChatGLM 2 and 3: grouped keys and values, the padded vocabulary is what is held."""
    heads = fields.whole("num_attention_heads")
    groups = fields.whole("multi_query_group_num", default=heads)
    return _multi_head(
        layers=fields.whole("num_layers"),
        hidden=fields.whole("hidden_size"),
        intermediate=fields.whole("ffn_hidden_size"),
        heads=heads,
        kv_heads=groups if fields.flag("multi_query_attention", default=False) else heads,
        head_dim=fields.whole("kv_channels", default=128),
        vocab=fields.whole("padded_vocab_size"),
        context=fields.whole("seq_length"),
        qkv_bias=fields.flag("add_qkv_bias", default=False),
    ), Extras()


def head_width(fields: ConfigFields, hidden: int, heads: int) -> int:
    """The head width that the hidden width leaves to each head. Raises JobError when it does not divide."""
    if hidden % heads and not fields.has("head_dim"):
        raise fields.error("num_attention_heads", f"a divisor of the hidden width {hidden}, or head_dim said")
    return max(1, hidden // heads)
