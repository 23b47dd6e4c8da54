"""Reads the shape of a model from a local Hugging Face `config.json`.

Keys that a file may leave out take the defaults of the Hugging Face configuration class of that `model_type`, and only
where the class is known to be published without them. Anything else that lacks is an error that names it.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from providers.errors import JobError

from .config_fields import open_config
from .config_readers import (
    Extras,
    Shape,
    read_bloom,
    read_chatglm,
    read_deepseek,
    read_falcon,
    read_gpt2,
    read_llama,
    read_mpt,
    read_neox,
    read_opt,
    read_qwen1,
)
from .layouts import LAYOUTS, Layout
from .model_spec import ModelSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from .config_fields import ConfigFields

Reader: TypeAlias = "Callable[[ConfigFields, str], tuple[Shape, Extras]]"

PLAIN = "plain"
GATED = "gated"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dialect:
    """How one `model_type` is read: its layout, its reader, and what it leaves unsaid."""

    family: str
    read: Reader
    tied: bool = False
    mlp: str = GATED
    activation: str = "silu"


def is_model_path(model: str, *, folder: Path | None = None) -> bool:
    """Return whether a model is named by a path: by its look, or because `org/name` is a folder with a config.json.

    A name without a slash is always looked up in the table: a folder that happens to carry it changes nothing.
    `folder` is what a relative path starts from (default: the working directory).
    """
    if model.endswith((".json", "/")) or model.startswith((".", "/", "~")):
        return True
    try:
        return "/" in model and ((folder or Path()) / model / "config.json").is_file()
    except (OSError, ValueError):  # too long for a file name, or a NUL in it: no path
        return False


def model_from_config(path: str | Path) -> ModelSpec:
    """Return the model that a config.json (or the folder that holds one) describes; its name is that of the folder.

    Multimodal files are read by their `text_config`: the towers beside the decoder are not counted.
    Raises JobError naming file, key and what is allowed: a file that cannot be read, a `model_type` that is not known,
    a field that lacks or makes no sense.
    """
    outer = open_config(path)
    fields = outer.inner("text_config") or outer
    model_type = _model_type(fields, outer)
    dialect = _DIALECTS[model_type]
    shape, extras = dialect.read(fields, model_type)
    _refuse_mismatches(fields, shape)
    tied = fields.flag("tie_word_embeddings", default=outer.flag("tie_word_embeddings", default=dialect.tied))
    folder = Path(outer.file).resolve().parent.name
    try:
        return ModelSpec(
            name=folder or model_type,
            hf_id="",
            tied_embeddings=tied,
            mlp_kind=_mlp_kind(fields, dialect),
            layout=_layout(_family(dialect.family, fields), extras),
            source=outer.file,
            **shape,
        )
    except ValueError as err:
        raise JobError(where=outer.file, key="shape", value=model_type, allowed=str(err)) from err


def _refuse_mismatches(fields: ConfigFields, shape: Shape) -> None:
    """Raise JobError, naming the key as the file writes it, for counts that do not go together."""
    heads, groups = shape["heads"], shape["kv_heads"]
    if not shape.get("kv_lora_rank") and heads % groups:
        keys = ("num_key_value_heads", "multi_query_group_num", "num_kv_heads", "n_head_kv")
        # MPT keeps the key in an object of its own, `attn_config`.
        key = next((key for key in keys if fields.has(key)), "kv_n_heads")
        allowed = f"a divisor of the {heads} attention heads"
        raise JobError(where=fields.file, key=key, value=groups, allowed=allowed)
    experts, chosen = shape.get("moe_experts", 0), shape.get("moe_top_k", 0)
    if chosen > experts:
        key = "num_experts_per_tok" if fields.has("num_experts_per_tok") else "moe_topk"
        raise JobError(where=fields.file, key=key, value=chosen, allowed=f"at most {experts}, the number of experts")


def _layout(family: str, extras: Extras) -> Layout:
    """The family's layout with the biases that the file says."""
    layout = LAYOUTS[family]
    return replace(
        layout,
        output_bias=extras.get("output_bias", layout.output_bias),
        mlp_bias=extras.get("mlp_bias", layout.mlp_bias),
        norm_bias=extras.get("norm_bias", layout.norm_bias),
    )


def _model_type(fields: ConfigFields, outer: ConfigFields) -> str:
    """The `model_type`, of the text part first. Raises JobError, with close names, for one that cannot be read."""
    for source in (fields, outer):
        name = source.text("model_type", default="").lower()
        if name in _DIALECTS:
            return name
    close = difflib.get_close_matches(name, list(_DIALECTS), n=3, cutoff=0.5)
    shown = ", ".join(close or sorted(_DIALECTS))
    raise outer.error("model_type", f"an architecture that can be read, such as {shown}")


def _mlp_kind(fields: ConfigFields, dialect: _Dialect) -> str:
    activation = fields.text("activation_function", default="")
    for key in ("hidden_act", "hidden_activation", "activation"):
        activation = activation or fields.text(key, default="")
    activation = activation or dialect.activation
    if dialect.mlp == GATED:
        return "geglu" if "gelu" in activation else "swiglu"
    return {"relu": "relu", "relu2": "relu2"}.get(activation, "gelu")


def _family(family: str, fields: ConfigFields) -> str:
    """The layout, where a switch in the file chooses between two."""
    if family == "falcon":
        return _falcon_family(fields)
    if family == "opt" and not fields.flag("do_layer_norm_before", default=True):
        return "opt-post-norm"
    return family


def _falcon_family(fields: ConfigFields) -> str:
    """One norm a block in the parallel form of Falcon-7B, two in the later parallel and in the sequential form."""
    if fields.flag("new_decoder_architecture", default=False):
        norms = fields.whole("num_ln_in_parallel_attn", default=2)
        return "falcon" if norms == 1 else "falcon-new-decoder"
    return "falcon" if fields.flag("parallel_attn", default=True) else "falcon-rw"


def _dialects() -> dict[str, _Dialect]:
    """Every `model_type` that can be read."""
    named_alike = (
        "llama", "qwen2", "qwen3", "phi3", "stablelm", "internlm", "internlm2", "baichuan", "olmo2", "glm", "glm4",
        "mixtral", "qwen2_moe", "qwen3_moe", "gpt_oss", "granitemoe", "llama4",
    )  # fmt: skip
    renamed = {
        "mistral": "llama", "ministral": "llama", "granite": "llama", "smollm3": "llama", "olmo3": "olmo2",
        "qwen2_vl": "qwen2", "qwen2_vl_text": "qwen2", "qwen2_5_vl": "qwen2", "qwen2_5_vl_text": "qwen2",
        "qwen3_vl_text": "qwen3", "qwen3_vl_moe_text": "qwen3_moe", "llama4_text": "llama4",
        "granitemoeshared": "granitemoe",
    }  # fmt: skip
    families = {name: name for name in named_alike} | renamed
    dialects = {name: _Dialect(family=family, read=read_llama) for name, family in families.items()}
    for name, family in (("gemma", "gemma"), ("gemma2", "gemma2"), ("gemma3", "gemma3"), ("gemma3_text", "gemma3")):
        dialects[name] = _Dialect(family=family, read=read_llama, tied=True, activation="gelu")
    for name, family in (
        ("deepseek_v2", "deepseek_v2"), ("deepseek_v3", "deepseek_v3"), ("kimi_k2", "deepseek_v3"),
    ):  # fmt: skip
        dialects[name] = _Dialect(family=family, read=read_deepseek)
    dialects["qwen"] = _Dialect(family="qwen", read=read_qwen1)
    dialects["chatglm"] = _Dialect(family="chatglm", read=read_chatglm)
    return dialects | _plain_dialects()


def _plain_dialects() -> dict[str, _Dialect]:
    """Families whose MLP has no gate."""

    def plain(family: str, read: Reader, *, tied: bool = False, activation: str = "gelu") -> _Dialect:
        return _Dialect(family=family, read=read, tied=tied, mlp=PLAIN, activation=activation)

    return {
        "phi": plain("phi", read_llama),
        "starcoder2": plain("starcoder2", read_llama, tied=True),
        "nemotron": plain("nemotron", read_llama, activation="relu2"),
        "gpt2": plain("gpt2", read_gpt2, tied=True),
        "gpt_bigcode": plain("gpt_bigcode", read_gpt2, tied=True),
        "gptj": plain("gptj", read_gpt2),
        "gpt_neox": plain("gpt_neox", read_neox),
        "bloom": plain("bloom", read_bloom, tied=True),
        "falcon": plain("falcon", read_falcon, tied=True),
        "mpt": plain("mpt", read_mpt, tied=True),
        "opt": plain("opt", read_opt, tied=True, activation="relu"),
    }


_DIALECTS = _dialects()
"""How to read each `model_type`."""
