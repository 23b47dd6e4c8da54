"""Reading the method of a case: what is trained, what is computed, and at how many bits the frozen weights lie."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from optimizer.physics.axes import Objective, Tuning
from providers.errors import KnowledgeMissing

from .case_fields import text

if TYPE_CHECKING:
    from collections.abc import Mapping

KIN = "estimated as lora"
"""How the note ends that names an adapter which is not LoRA."""

_OBJECTIVES = {"sft": Objective.SFT, "dpo": Objective.DPO, "ppo": Objective.PPO, "rlhf": Objective.PPO}
_UNMODELLED_OBJECTIVES = ("grpo", "gkd", "kto", "rm", "simpo", "orpo", "cpo", "rloo", "distill", "gspo", "dapo")
_LORA = re.compile(r"\b(q-?)?lora\b|\blora[-_+]?(\d*bit|llm|ga|int8|plus|fa)?\b|pissa|loftq|olora|eva\b|corda|dylora")
_KIN = re.compile(
    r"ada-?lora|vera\b|loha|lokr|randlora|c3a|miss\b|bone\b|ia3|\(ia\)|fourierft|waveft|\bhra\b|vblora|shira|lily"
    r"|trainable[-_ ]tokens|ln[-_ ]tuning|\bq?g?oft\b|boft|psoft|road\b|delora|gralora|p[-_ ]?tuning|prompt[-_ ]tuning"
    r"|prefix[-_ ]tuning|\bcpt\b|adaption[-_ ]prompt|\bbitfit\b"
)
"""Adapters whose step holds and computes nearly what that of LoRA does: the frozen model forward and backward."""

_FULL = re.compile(r"\bfull\b|\bfft\b|full[-_ ]?(parameter|finetun|ft)|pre-?train|^(sft|fine-?tun\w*)$")


def read_method(row: Mapping[str, str], assumed: list[str]) -> tuple[Tuning, Objective, int]:
    """Return tuning, objective and width from "dpo+lora", "full (pretrain)", "qlora (nf4 dq)", "lora-int8".

    Raises KnowledgeMissing, naming the text, for what is not modelled. An adapter that is estimated as LoRA is noted.
    """
    stated = text(row, "method").lower()
    if not stated:
        raise KnowledgeMissing("the row states no method")
    bare = re.sub(r"\(.*?\)", "", stated).strip() or stated
    tuning = _tuning(bare, stated, assumed)
    return tuning, _objective(bare, stated), _bits(text(row, "quant").lower(), stated, tuning)


def _tuning(bare: str, stated: str, assumed: list[str]) -> Tuning:
    if re.search(r"\bq?-?dora\b", bare):
        return Tuning.DORA
    if re.search(r"\brs-?lora\b", bare):
        return Tuning.RSLORA
    if _KIN.search(stated):
        assumed.append(f"method {stated} {KIN}")
        return Tuning.LORA
    if _LORA.search(bare):
        return Tuning.LORA
    if _FULL.search(bare):
        return Tuning.FULL
    if bare != stated:
        return _tuning(stated, stated, assumed)
    raise KnowledgeMissing(f"method {stated!r}: not modelled")


def _objective(bare: str, stated: str) -> Objective:
    words = re.split(r"[+\s/_-]+", bare)
    for word in words:
        if word in _UNMODELLED_OBJECTIVES:
            raise KnowledgeMissing(f"objective {word!r}: not modelled")
    found = next((word for word in (*words, *re.findall(r"[a-z]+", stated)) if word in _OBJECTIVES), "sft")
    return _OBJECTIVES[found]


def _bits(quant: str, method: str, tuning: Tuning) -> int:
    if re.search(r"[23][ -]?bit|int[23]\b|nf2", quant):
        raise KnowledgeMissing(f"quantization {quant!r}: not modelled")
    if re.search(r"4[ -]?bit|nf4|int4|\bfp4|gptq|awq|hqq", quant) and "int8" not in quant:
        return 4
    if re.search(r"8[ -]?bit|int8|eetq", quant):
        return 8
    if quant and not re.search(r"^(none|no|false|-|16|16[ -]?bit|b?fp?16|bfloat16|float16)\b", quant):
        raise KnowledgeMissing(f"quantization {quant!r}: not modelled")
    if tuning is Tuning.FULL:
        return 16
    if re.match(r"q-?(lora|dora)", method) or re.search(r"4[ -]?bit|nf4|int4", method):
        return 4
    return 8 if re.search(r"int8|8[ -]?bit", method) else 16
