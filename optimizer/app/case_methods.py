"""Reading the method of a case: what is trained, what is computed, and at how many bits the frozen weights lie."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from optimizer.physics.axes import Objective, Tuning
from providers.errors import KnowledgeMissing

from .case_fields import text
from .case_words import stated as stated_in

if TYPE_CHECKING:
    from collections.abc import Mapping

KIN = "estimated as lora"
"""How the note ends that names an adapter which is not LoRA."""

_OBJECTIVES = {
    "sft": Objective.SFT,
    "dpo": Objective.DPO,
    "ipo": Objective.DPO,
    "ppo": Objective.PPO,
    "rlhf": Objective.PPO,
}
_UNMODELLED_OBJECTIVE = re.compile(
    r"(?<![a-z])(grpo|gkd|kto|rm|simpo|orpo|cpo|rloo|gspo|dapo|reward|reinforce|distill\w*|qat)(?![a-z])"
)
_UNMODELLED_METHOD = re.compile(
    r"galore|(?<![a-z])(lisa|lomo|badam|apollo|(lo)?reft|relora)(?![a-z])|llama-?pro|^freeze"
)
_NOT_LORA = re.compile(r"\b(no|not|non|without|w/o)[ -]*(q-?)?lora")
_LORA = re.compile(
    r"(?<![a-z])(q-?)?lora(?![a-z])|lora[-_+]?(ga|llm|plus)\b|pissa|loftq|olora|(?<![a-z])eva\b|corda|dylora"
)
_KIN = re.compile(
    r"ada-?lora|vera\b|loha|lokr|randlora|longlora|lora-?fa\b|c3a|miss\b|bone\b|ia3|\(ia\)|fourierft|waveft|\bhra\b"
    r"|vblora|shira|lily|trainable[-_ ]tokens|ln[-_ ]tuning|\bq?g?oft\b|boft|psoft|road\b|delora|gralora|p[-_ ]?tuning"
    r"|prompt[-_ ]tuning|prefix[-_ ]tuning|adapti?on[-_ ]prompt|\bbitfit\b"
)
"""Adapters whose step holds and computes nearly what that of LoRA does: the frozen model forward and backward."""

_ADAPTER = re.compile(r"adapters?(?![a-z])")
_FULL = re.compile(
    r"(?<![a-z])full(?![a-z])|\bfft\b|full[-_ ]?(parameter|finetun|ft)|pre-?train|from scratch|all (parameters|weights)"
)
_PLAIN = re.compile(r"(?<![a-z])(sft|fine[- ]?tun\w*|instruct\w*[- ]tun\w*)(?![a-z])")
"""Says that something is tuned and not how: everything, where no adapter is named."""

_UNQUANTISED = re.compile(r"(none|no|not|false|un-?quant\w*|full precision)\b")
_SIXTEEN = re.compile(r"(16|32|torch\.(b?float16|float32)|b?fp?(16|32)|b?float(16|32))\b")
_OPTIMIZER_BITS = re.compile(
    r"(paged[ _-]*)?(adamw?|lion|optim\w*)?[ _-]*[48][ _-]?bits?[ _-]*(paged[ _-]*)?(adam|lion|opt)\w*"
)
_TOO_FEW = re.compile(r"(?<![\d.])[23][ _-]?bit|int[23]\b|nf2|ternary|1\.58")
_WIDTH = re.compile(r"(?<![\d.])([48])[ _-]?bit|\bnf(4)|\bint([48])(?!\d)|(?<![a-z])fp(4)|eetq|llm\.int8")
_WIDTH_IN_NOTES = re.compile(
    r"load(?:ed)?[ _]in[ _]([48])[ _-]?bit|(?<![\d.])([48])[ -]?bit (?:base|weights|model|quanti[sz])"
    r"|(?:base|model|weights|quanti[sz]ed) (?:is |are )?(?:loaded )?(?:in|to) ([48])[ -]?bit|\bnf(4)\b|llm\.int(8)"
)


def read_method(row: Mapping[str, str], assumed: list[str]) -> tuple[Tuning, Objective, int]:
    """Return tuning, objective and width from "dpo+lora", "full (pretrain)", "qlora (nf4 dq)", "lora-int8".

    Raises KnowledgeMissing, naming the text, for what is not modelled. An adapter that is estimated as LoRA is noted.
    """
    stated = text(row, "method").lower()
    if not stated:
        raise KnowledgeMissing("the row states no method")
    tuning = _tuning(stated, assumed)
    return tuning, _objective(stated), _bits(row, stated, tuning, assumed)


def _tuning(stated: str, assumed: list[str]) -> Tuning:
    """Return what is trained: by what stands outside brackets, then by the whole text, then by a bare "sft"."""
    if _UNMODELLED_METHOD.search(stated):
        raise KnowledgeMissing(f"method {stated!r}: not modelled")
    whole = _NOT_LORA.sub("", stated)
    bare = re.sub(r"\(.*?\)", "", whole).strip()
    for part in (bare, whole):
        if re.search(r"(?<![a-z])q?-?dora(?![a-z])", part):
            return Tuning.DORA
        if re.search(r"(?<![a-z])rs-?lora(?![a-z])", part):
            return Tuning.RSLORA
        kin = _KIN.search(part) or (_ADAPTER.search(part) and not _LORA.search(whole) and not _FULL.search(whole))
        if kin:
            assumed.append(f"method {stated} {KIN}")
            return Tuning.LORA
        if _LORA.search(part):
            return Tuning.LORA
        if _FULL.search(part):
            return Tuning.FULL
    if re.search(r"\bcpt\b", whole):
        assumed.append(f"method {stated} {KIN}")
        return Tuning.LORA
    if _PLAIN.search(whole):
        return Tuning.FULL
    raise KnowledgeMissing(f"method {stated!r}: not modelled")


def _objective(stated: str) -> Objective:
    unmodelled = _UNMODELLED_OBJECTIVE.search(stated)
    if unmodelled is not None:
        raise KnowledgeMissing(f"objective {unmodelled.group(1)!r}: not modelled")
    found = next((word for word in re.findall(r"[a-z]+", stated) if word in _OBJECTIVES and word != "sft"), "sft")
    return _OBJECTIVES[found]


def _bits(row: Mapping[str, str], method: str, tuning: Tuning, assumed: list[str]) -> int:
    """Return the width of the frozen weights: by the column, the method, the precision ("nf4") or the notes."""
    quant = stated_in(row, "quant")
    stated = 16 if _UNQUANTISED.match(quant) else _stated_width(quant)
    if stated is not None and (quant or tuning is Tuning.FULL):
        return stated
    if tuning is Tuning.FULL and not quant:
        return 16
    named = _width(_OPTIMIZER_BITS.sub("", method))
    named = named or (4 if re.search(r"(?<![a-z])q-?(lora|dora)(?![a-z])", method) else None)
    if quant:  # the name of a library alone
        if named is None:
            assumed.append("bits 4")
        return named or 4
    precision = text(row, "precision").lower()
    computed_in = re.search(r"fp8|nvfp4|mxfp4|int8 (qt|mixed)", precision)
    noted = _WIDTH_IN_NOTES.search(_OPTIMIZER_BITS.sub("", text(row, "notes").lower()))
    by_notes = None if noted is None else int(next(digit for digit in noted.groups() if digit))
    return named or (None if computed_in else _width(precision)) or by_notes or 16


def _stated_width(quant: str) -> int | None:
    """Return the width that the column of quantisation states; None for nothing, or for a library without a width."""
    if not quant or re.fullmatch(r"bnb|bitsandbytes|yes|true|quanti[sz]ed", quant):
        return None
    if _TOO_FEW.search(quant):
        raise KnowledgeMissing(f"quantization {quant!r}: not modelled")
    if re.fullmatch(r"[48]", quant):
        return int(quant)
    width = _width(quant) or (4 if re.search(r"gptq|awq|hqq", quant) else 16 if _SIXTEEN.match(quant) else None)
    if width is None:
        raise KnowledgeMissing(f"quantization {quant!r}: not modelled")
    return width


def _width(stated: str) -> int | None:
    """Return the first width that a text names, None where it names none."""
    found = _WIDTH.search(stated)
    return None if found is None else int(next((digit for digit in found.groups() if digit), 8))
