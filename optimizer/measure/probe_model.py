"""From a model's shape to a configuration of transformers, so that it can be built with random weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from optimizer.workload.models import ModelSpec

    from .probe_case import ProbeTask

    Settings = dict[str, object]

ACTIVATIONS: dict[str, str] = {
    "swiglu": "silu", "geglu": "gelu_pytorch_tanh", "gelu": "gelu_pytorch_tanh", "relu": "relu", "relu2": "relu2",
}  # fmt: skip
_NO_TOKENS: Settings = {"pad_token_id": None, "bos_token_id": None, "eos_token_id": None}
"""Token ids of a family's default may lie outside a smaller vocabulary."""


def model_config(task: ProbeTask) -> Any:
    """Return the configuration of the task's model, cut to its layers.

    Raises JobError for a family of the table that is not mapped, or a config.json that transformers cannot build
    without code of its own.
    """
    import transformers

    if task.config is not None:
        config = _read_config(task.config)
    else:
        model_type, settings = config_settings(task.model, where="probe", named=task.case.model)
        config = transformers.AutoConfig.for_model(model_type, **settings)
    _cut(config, task.model.layers)
    config.use_cache = False
    # A published file may say how its own weights are packed; ours are random, and packed as the recipe says.
    if getattr(config, "quantization_config", None) is not None:
        del config.quantization_config
    return config


def config_settings(model: ModelSpec, *, where: str, named: str) -> tuple[str, Settings]:
    """Return the `model_type` and the settings that build this shape.

    Raises JobError, with `where` and how the model was `named`, for a family that is not mapped.
    """
    family = FAMILIES.get(model.layout.family)
    if family is None or model.moe_experts or model.kv_lora_rank:
        kind = "a mixture of experts" if model.moe_experts else f"the family {model.layout.family}"
        allowed = (
            f"{kind} is not built from the table: pass the path of its config.json, or a model of the families "
            f"{', '.join(sorted(FAMILIES))}"
        )
        raise JobError(where=where, key="model", value=named, allowed=allowed)
    model_type, special = family
    return model_type, _NO_TOKENS | special(model)


def count_params(config: Any) -> int:
    """Return how many parameters the model of this configuration holds, a tied head counted once."""
    import torch
    import transformers

    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    return sum(parameter.numel() for parameter in model.parameters())


def note_of_count(built: int, model: ModelSpec) -> str | None:
    """Return a sentence where the built model differs from the recorded shape, otherwise None."""
    if built == model.total_params:
        return None
    return f"the model as built holds {built:,} parameters, its recorded shape counts {model.total_params:,}"


def _read_config(path: Path) -> Any:
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(path)
    except (OSError, ValueError, KeyError) as err:
        reason = " ".join(str(err).split())[:200]
        allowed = f"a config.json that transformers {transformers.__version__} can build by itself ({reason})"
        raise JobError(where="probe", key="model", value=str(path), allowed=allowed) from err
    return config.get_text_config()


def _cut(config: Any, layers: int) -> None:
    """Leave the first `layers` layers. Families that list a kind per layer have that list cut too."""
    if config.num_hidden_layers == layers:
        return
    config.num_hidden_layers = layers
    for key in ("layer_types", "mlp_layer_types"):
        if getattr(config, key, None):
            setattr(config, key, list(getattr(config, key))[:layers])


def _named_alike(model: ModelSpec) -> Settings:
    return {
        "vocab_size": model.vocab,
        "hidden_size": model.hidden,
        "intermediate_size": model.intermediate,
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads,
        "num_key_value_heads": model.kv_heads,
        "head_dim": model.head_dim,
        "max_position_embeddings": model.context,
        "hidden_act": ACTIVATIONS[model.mlp_kind],
        "tie_word_embeddings": model.tied_embeddings,
    }


def _llama(model: ModelSpec) -> Settings:
    biases = {"attention_bias": model.qkv_bias and model.layout.output_bias, "mlp_bias": model.layout.mlp_bias}
    return _named_alike(model) | biases


def _gemma(model: ModelSpec) -> Settings:
    return _named_alike(model) | {"hidden_activation": ACTIVATIONS[model.mlp_kind]}


def _gemma2(model: ModelSpec) -> Settings:
    return _gemma(model) | {"query_pre_attn_scalar": model.head_dim}


def _phi(model: ModelSpec) -> Settings:
    return _named_alike(model) | {"partial_rotary_factor": 0.5}


def _starcoder2(model: ModelSpec) -> Settings:
    return _named_alike(model) | {"use_bias": True}


def _stablelm(model: ModelSpec) -> Settings:
    return _named_alike(model) | {"use_qkv_bias": model.qkv_bias}


def _glm4(model: ModelSpec) -> Settings:
    return _named_alike(model) | {"attention_bias": model.qkv_bias}


def _gpt2(model: ModelSpec) -> Settings:
    return {
        "vocab_size": model.vocab,
        "n_embd": model.hidden,
        "n_inner": model.intermediate,
        "n_layer": model.layers,
        "n_head": model.heads,
        "n_positions": model.position_table,
        "tie_word_embeddings": model.tied_embeddings,
    }


def _opt(model: ModelSpec) -> Settings:
    return {
        "vocab_size": model.vocab,
        "hidden_size": model.hidden,
        "ffn_dim": model.intermediate,
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads,
        # The table of positions has two rows more than the setting says.
        "max_position_embeddings": model.position_table - 2,
        "word_embed_proj_dim": model.embedding_dim or model.hidden,
        "do_layer_norm_before": model.layout.final_norm,
        "tie_word_embeddings": model.tied_embeddings,
    }


FAMILIES: Mapping[str, tuple[str, Callable[[ModelSpec], Settings]]] = {
    "llama": ("llama", _llama),
    "internlm": ("llama", _llama),
    "qwen2": ("qwen2", _named_alike),
    "qwen3": ("qwen3", _named_alike),
    "gemma": ("gemma", _gemma),
    "gemma2": ("gemma2", _gemma2),
    "gemma3": ("gemma3_text", _gemma2),
    "olmo2": ("olmo2", _named_alike),
    "phi": ("phi", _phi),
    "phi3": ("phi3", _named_alike),
    "stablelm": ("stablelm", _stablelm),
    "starcoder2": ("starcoder2", _starcoder2),
    "cohere": ("cohere", _named_alike),
    "glm4": ("glm4", _glm4),
    "gpt_neox": ("gpt_neox", _named_alike),
    "gpt2": ("gpt2", _gpt2),
    "opt": ("opt", _opt),
    "opt-post-norm": ("opt", _opt),
}
"""Layout of the table to `model_type` of transformers. Mistral, Yi, SmolLM, Falcon3 and Granite are built as Llama:
the same layers under another name."""
