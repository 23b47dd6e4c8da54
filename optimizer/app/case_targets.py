"""Reading what the adapters of a case sit on, in the model's own names, and at which rank."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from optimizer.physics.axes import Stack
from providers.errors import KnowledgeMissing

from .case_fields import text, whole
from .case_notes import noted_rank
from .case_words import unstated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optimizer.workload.models import ModelSpec

DEFAULT_RANK = 16
ALL = ("all-linear",)
_ROLES: dict[str, tuple[str, ...]] = {
    **{role: (role,) for role in ("q", "k", "v", "o", "gate", "up", "down", "head")},
    "attention": ("q", "k", "v", "o"),
    "mlp": ("gate", "up", "down"),
    "linear_qkv": ("q", "k", "v"),
    "linear_proj": ("o",),
    "linear_fc1": ("gate", "up"),
    "linear_fc2": ("down",),
    "c_attn": ("q", "k", "v"),
    "w1": ("gate",),
    "w2": ("up",),
    "w3": ("up",),
}
"""Words for several parts of a block, or for one under a foreign name (w1 and w2 as in Qwen's first models)."""

_SYNONYMS: dict[str, str] = (
    dict.fromkeys(("query", "wq", "w_q", "q_proj", "q_lin"), "q")
    | dict.fromkeys(("key", "wk", "w_k", "k_proj", "k_lin"), "k")
    | dict.fromkeys(("value", "wv", "w_v", "v_proj", "v_lin"), "v")
    | dict.fromkeys(
        (
            "output",
            "out",
            "projection",
            "wo",
            "w_o",
            "o_proj",
            "out_proj",
            "output_proj",
            "out_lin",
            "dense",
            "attn.c_proj",
        ),
        "o",
    )
    | dict.fromkeys(("wqkv", "qkv_proj", "query_key_value", "in_proj", "w_pack"), "linear_qkv")
    | dict.fromkeys(("attn", "attentions", "self_attn", "self_attention", "att"), "attention")
    | dict.fromkeys(("ffn", "feedforward", "feed", "fc", "experts", "mlps"), "mlp")
    | dict.fromkeys(("gate_proj",), "gate")
    | dict.fromkeys(("up_proj", "fc1", "c_fc", "dense_h_to_4h"), "up")
    | dict.fromkeys(("down_proj", "fc2", "dense_4h_to_h", "mlp.c_proj"), "down")
    | dict.fromkeys(("lm_head", "output_layer"), "head")
)
"""Other words for a role. A name that the model itself has comes first."""

_FILLERS = frozenset(
    (
        "only", "layer", "layers", "linear", "linears", "module", "modules", "proj", "projs", "projections",
        "weights", "and", "the", "all", "of", "in", "on", "lora", "target", "targets", "default", "defaults",
        "forward", "self", "matrices", "blocks", "block", "peft",
    )
)  # fmt: skip
_ALL = re.compile(
    r"(all|every)[-_ ]*(the )?(\d+ )?(lin|modules?\b|layers?\b|proj)|^(on )?(the )?linear( layers| modules)?$"
    r"|target_linear|all-target|(^|[=: ])all$|^\*$"
)
_IN_NOTES = re.compile(
    r"(?:\b(?:lora[ _]?)?targets?(?:[ _]modules)?\s*[=:]?\s*|\blora on\s+)"
    r"((?:(?:all[- ]linear|all|the|linear|layers|attention|attn|mlp|only|and|[a-z0-9]+_proj|[qkvo]{1,4})(?![a-z])"
    r"|[\[\]'\"+&, ])+)"
)


def read_adapter(
    row: Mapping[str, str], notes: str, model: ModelSpec, stack: Stack, assumed: list[str]
) -> tuple[tuple[str, ...], int]:
    """Return target modules by the model's own names, and the rank; what no text states is noted in `assumed`.

    Raises KnowledgeMissing where the text names nothing that the model has; single words that it does not have are
    noted. NeMo adapts the attention input by default, the others are taken to adapt all linear layers.
    """
    rank = whole(row, "lora_rank") or noted_rank(notes)
    if rank is None:
        rank = DEFAULT_RANK
        assumed.append(f"lora_rank {rank}")
    stated = _stated_targets(row, notes)
    known = model.module_names()
    if not stated:
        targets = tuple(dict.fromkeys(model.layout.qkv)) if stack is Stack.NEMO else ALL
        assumed.append(f"target_modules {','.join(targets)}")
        return targets, rank
    if _ALL.search(stated.lower()):
        return ALL, rank
    targets, unread = _modules(stated, model)
    if not targets:
        raise KnowledgeMissing(f"target_modules {stated!r}: none of them is in {model.name} ({', '.join(known)})")
    if unread:
        assumed.append(f"target_modules without {','.join(unread)}")
    return targets, rank


def read_saved(row: Mapping[str, str], model: ModelSpec) -> tuple[str, ...]:
    """Return what is trained whole beside the adapters: "... + modules_to_save wte,lm_head", "lora (+emb,lm_head)"."""
    stated = f"{text(row, 'method')} {text(row, 'target_modules')}".lower()
    if "modules_to_save" not in stated and not re.search(r"\(\+\s*emb", stated):
        return ()
    embedding = re.search(r"\b(wte|emb\w*)\b", stated)
    saved = ("embed_tokens",) if embedding else ()
    head = re.search(r"\b(lm_head|head|output)\b", stated) and not model.tied_embeddings
    return (*saved, "lm_head") if head else saved


def _stated_targets(row: Mapping[str, str], notes: str) -> str:
    """Return the text that names the targets, "" where neither the column nor the notes do."""
    column = re.split(r"\+?\s*modules_to_save", text(row, "target_modules"))[0]
    column = re.split(r"\b(?:except|excluding|without)\b", re.sub(r"\(.*?\)", "", column))[0].strip(" +;,.")
    if column and not unstated(column.lower()):
        return column
    found = _IN_NOTES.search(notes)
    return "" if found is None else found.group(1).strip(" ,")


def _modules(stated: str, model: ModelSpec) -> tuple[tuple[str, ...], list[str]]:
    """Return the modules that a list of names or roles stands for, and the words that stand for none."""
    known, parts = model.module_names(), _parts(model)
    found: dict[str, None] = {}
    unread: list[str] = []
    for word in re.split(r"[,;|/&+=:\s\[\]'\"-]+", stated):
        names = [word] if word in known else [name for role in _roles(word) for name in parts[role] if name in known]
        found |= dict.fromkeys(names)
        if word and not names and word.lower() not in _FILLERS:
            unread.append(word)
    return tuple(found), unread


def _parts(model: ModelSpec) -> dict[str, tuple[str, ...]]:
    """Return the names of each part of a block in the model's family; those of experts beside those of a dense MLP."""
    layout = model.layout
    gate_up, latent = (layout.gate_up, layout.expert_gate_up), model.kv_lora_rank > 0
    keys = ("kv_a_proj_with_mqa", "kv_b_proj") if latent else ()
    # The attention output of GPT-2 and Qwen's first models shares its name with the MLP's, which is the larger one.
    out = () if layout.out == layout.down else (layout.out,)
    return {
        "q": (layout.qkv[0], *(("q_a_proj", "q_b_proj") if latent else ())),
        "k": (layout.qkv[len(layout.qkv) // 2], *keys),
        "v": (layout.qkv[-1], *keys),
        "o": out,
        "gate": tuple(names[0] for names in gate_up if names),
        "up": tuple(names[-1] for names in gate_up if names),
        "down": tuple(name for name in (layout.down, layout.expert_down) if name),
        "head": (layout.head,),
    }


def _roles(word: str) -> tuple[str, ...]:
    """Return the parts that one word stands for: "qkvo" is four of them, "lora_query" and "self_attn.q_proj" are q."""
    low = re.sub(r"^lora_", "", word.lower())
    low = low if low in _ROLES or low in _SYNONYMS else low.rsplit(".", maxsplit=1)[-1]
    if re.fullmatch(r"[qkvo]{2,4}", low):
        return tuple(low)
    return _ROLES.get(_SYNONYMS.get(low, low), ())
