"""Reading the precision of a case: the type that is computed in, and whether fp32 master weights are kept."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from optimizer.physics.axes import Precision, Sharding, Stack, Tuning
from providers.errors import KnowledgeMissing

from .case_fields import text
from .case_words import stated as stated_in

if TYPE_CHECKING:
    from collections.abc import Mapping

HALF_OF = {precision: precision for precision in Precision} | {
    Precision.BF16_PURE: Precision.FP16_PURE,
    Precision.BF16_MIXED: Precision.FP16_MIXED,
}
"""The fp16 twin of a precision, for chips without bf16 units."""

_SIXTEEN = re.compile(r"bfloat16|bf16|fp16|float16|\bf16\b|(?<![\d.])16-(?:mixed|true)|\bhalf\b")
_FULL_WIDTH = re.compile(r"fp32|float32|tf32|^32\b|\bsingle\b")
_WIDENED = re.compile(r"amp|autocast|mixed|master|fp32|float32")
_PURE = re.compile(r"pure|no amp|16-true|\b(?:no|without|w/o)[^,;]{0,12}master")
_IN_NOTES = re.compile(
    r"(?:(?:pure|amp|mixed)[ _])?(?:bf16|bfloat16|fp16|float16|fp32)(?:[ _-](?:mixed|amp|pure|true)\w*)?"
)


def read_precision(
    row: Mapping[str, str],
    notes: str,
    tuning: Tuning,
    stack: Stack,
    sharding: Sharding,
    assumed: list[str],
    *,
    quantised: bool,
) -> Precision:
    """Return compute type and whether fp32 masters are kept; what no text states is noted in `assumed`.

    A bare "bf16" leaves the masters open: DeepSpeed, Megatron, llm-foundry and torchtitan always keep them, and so
    does HF, where it is the flag of the trainer beside weights that are loaded in fp32. "bfloat16" is a type to load
    in: those weights, torchtune's and LitGPT's train in pure bf16. HF's autocast adds masters under FSDP only:
    unsharded, the weights stay as loaded. Adapters of HF stacks are fp32 either way; DeepSpeed casts what PEFT's
    preparation turned into fp32 back to 16 bit, so that what it runs in counts (the text after the last arrow).
    """
    stated = stated_in(row, "precision").rsplit("->", maxsplit=1)[-1].strip()
    noted = None if stated else _IN_NOTES.search(notes)
    stated = stated if noted is None else noted.group()
    special = _unusual(stated, notes, tuning)
    if special is not None:
        return special
    first = _SIXTEEN.search(stated)
    half = first is not None and not first.group().startswith("b")
    mixed = _keeps_masters(row, stated, tuning, stack, sharding, half=half, quantised=quantised)
    if half:
        return Precision.FP16_MIXED if mixed else Precision.FP16_PURE
    found = Precision.BF16_MIXED if mixed else Precision.BF16_PURE
    if not stated:
        assumed.append(f"precision {found}")
    return found


def _unusual(stated: str, notes: str, tuning: Tuning) -> Precision | None:
    """Return fp8 or fp32 where it is stated, None for 16 bits. Raises KnowledgeMissing for what is not modelled."""
    if re.search(r"nvfp4|mxfp4", stated):
        raise KnowledgeMissing(f"precision {stated!r}: 4-bit floating-point training is not modelled")
    if re.search(r"int8 (qt|mixed)", stated) or (tuning is Tuning.FULL and re.search(r"\bint8\b|\bint4\b", stated)):
        raise KnowledgeMissing(f"precision {stated!r}: int8 training is not modelled")
    if re.search(r"fp8|float8", stated) or re.search(r"\+float8|float8 (linear|compute)", notes):
        return Precision.FP8
    wide = _FULL_WIDTH.search(stated) and not _SIXTEEN.search(stated) and not re.search(r"amp|autocast|mixed", stated)
    return Precision.FP32 if wide else None


def _keeps_masters(
    row: Mapping[str, str],
    stated: str,
    tuning: Tuning,
    stack: Stack,
    sharding: Sharding,
    *,
    half: bool,
    quantised: bool,
) -> bool:
    engine = "deepspeed" in f"{text(row, 'parallelism')} {stated}".lower()
    unsharded = stack is Stack.HF and sharding in {Sharding.NONE, Sharding.DDP}
    autocast = re.search(r"\bamp\b", stated) and not re.search(r"fp32|float32", stated)
    as_loaded = tuning is Tuning.FULL and unsharded and not half and autocast
    prepared = quantised or "kbit" in text(row, "precision").lower()
    cast_back = tuning is not Tuning.FULL and engine and prepared
    if as_loaded or cast_back or _PURE.search(stated):
        return False
    if _WIDENED.search(stated):
        return True
    if tuning is not Tuning.FULL:
        return stack is not Stack.TORCHTUNE
    flag = stack is Stack.HF and bool(re.match(r"bf16|fp16|half", stated))
    zero = sharding in {Sharding.ZERO1, Sharding.ZERO3}
    return engine or zero or flag or stack in {Stack.NEMO, Stack.LLM_FOUNDRY, Stack.TORCHTITAN}
