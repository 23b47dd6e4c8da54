"""Reading single texts of a case: optimizer, attention, checkpointing, kernels, loss, packing and stack."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from optimizer.physics.axes import Attention, Checkpointing, Loss, Optimizer, Stack, Tuning
from providers.errors import KnowledgeMissing

from .case_fields import text
from .case_sharding import ACTIVATION_OFFLOAD
from .case_words import says
from .case_words import stated as stated_in

if TYPE_CHECKING:
    from collections.abc import Mapping

_OPTIMIZER_IN_NOTES = re.compile(
    r"(?:paged[ _-]?)?(?:adamw?[ _-]?)?8[ _-]?bit(?:/paged)?[ _-]?(?:adam|optim)\w*"
    r"|(?:paged[ _-]?)?adamw?[ _-]?8[ _-]?bit"
    r"|adafactor|\bsgd\b|optim(?:izer)?\s*[=:]\s*(?:adam|paged|lion|muon|galore|came|lamb|apollo)\w*|\badamw?\b"
)
_UNMODELLED_OPTIMIZER = re.compile(
    r"muon|galore|(?<![a-z])lion|lomo|apollo|q-?adam|shampoo|4[ _-]?bit|adam-?mini|momentum|ademamix|prodigy|sophia"
    r"|soap|(?<![a-z])(?:came|lamb|adan|rmsprop|adagrad|badam)(?![a-z])"
)
_EAGER = re.compile(r"eager|unfused|naive|vanilla|\bmath\b|manual|^standard")
_SDPA = re.compile(r"sdpa|scaled_dot|xformers|mem\w*[ _-]efficient|^pytorch|^torch\b|native")
_FLASH = re.compile(r"flash\w*(?:[ _-]?att\w*)?(?:[ _-]?v?\d)?|\bfa-?[234]\b|\bfa\b")
_OTHER_FLASH = re.compile(r"^(?:yes|true|on|enabled|1)\b|unsloth|cudnn|\bte\b|fused|flex|triton|ring")
_CHECKPOINTING = re.compile(
    r"(?:grad(?:ient)?|act(?:ivation)?)s?[ ._-]*check[ _-]?point\w*|(?<![a-z])checkpointing|\bgc\b"
)
_RECOMPUTE = re.compile(r"recompute[ =:]+(\w+)")
_NOT_CHECKPOINTED = re.compile(
    r"(?:no|not|never|false|off|0|none|without|w/o|disabled?|n)\b|.*[=:]\s*(?:false|none|off|no|0|disabled)\b"
    r"|.*\b(?:off|disabled|false)$"
)
_SELECTIVE = re.compile(r"selective|partial|per[- ]op|every (?:2|3|4|other|second|third)|\bops?[- ]level")
_FUSED_STEP = re.compile(r"(?<![a-z])fused")
_IN_BACKWARD = re.compile(r"opt(?:imizer)?[ _-]in[ _-]b(?:wd|ackward)|fused backward|backward hook")
_COMPILED = re.compile(r"(?<!pre)(?<!re)(?:torch[._ ]?)?compil(?!\w*[ -]tim)\w*")
_LIGER = re.compile(r"liger")
_FUSED_LOSS = re.compile(r"fused[ _-](?:ce|linear|cross)|cut[ _-]cross|linear[ _-]cross|\bcce\b|\bflce\b")
_CHUNKED = re.compile(r"chunk(?:ed)?[ _-](?:ce|cross|loss)")
_TRITON_LOSS = re.compile(r"triton (?:ce|loss|cross)|flash[ _-]att\w*[ _-]cross")
_PACKED = re.compile(
    r"(?:(?:sample|sequence|neat|multi)[ _-]?)?pack(?:ed|ing|_to|s)?(?![a-z])|concat\w*|constantlength"
)


def read_optimizer(row: Mapping[str, str], notes: str, stack: Stack, tuning: Tuning, assumed: list[str]) -> Optimizer:
    """Return the optimizer; where no text states it, the stack's usual one, which is noted in `assumed`.

    One that is not modelled is refused where every weight is trained; of adapters it steps so little that AdamW stands
    in for it, which is noted.
    """
    noted = _OPTIMIZER_IN_NOTES.search(notes)
    stated = stated_in(row, "optimizer") or (noted.group() if noted else "")
    if not stated or stated == "none":
        default = Optimizer.ADAMW_8BIT if stack is Stack.UNSLOTH else Optimizer.ADAMW
        assumed.append(f"optimizer {default}")
        return default
    found = _known_optimizer(stated)
    if found is Optimizer.ADAMW and "paged" in stated:
        # Paged state is managed memory, outside torch's allocator whatever its width: it lies on the host if need be.
        assumed.append(f"optimizer {stated} estimated as {Optimizer.PAGED_ADAMW_8BIT}")
        return Optimizer.PAGED_ADAMW_8BIT
    if found is not None:
        return found
    if tuning is Tuning.FULL:
        raise KnowledgeMissing(f"optimizer {stated!r}: not modelled")
    assumed.append(f"optimizer {stated} estimated as adamw")
    return Optimizer.ADAMW


def _known_optimizer(stated: str) -> Optimizer | None:
    if _UNMODELLED_OPTIMIZER.search(stated):
        return None
    if re.search(r"8[ _-]?bit", stated):
        return Optimizer.PAGED_ADAMW_8BIT if "paged" in stated else Optimizer.ADAMW_8BIT
    if "adafactor" in stated:
        return Optimizer.ADAFACTOR
    if re.search(r"\bsgd\b", stated):
        return Optimizer.SGD
    return Optimizer.ADAMW if "adam" in stated else None


def read_attention(row: Mapping[str, str], notes: str, assumed: list[str]) -> Attention:
    """Return the attention kernel that the column or, where it is silent, the notes name; SDPA otherwise, and noted."""
    stated = stated_in(row, "attention")
    if not stated:
        if says(notes, _FLASH):
            return Attention.FLASH
        if re.search(r"eager att|attention[ =:]+eager", notes):
            return Attention.EAGER
        if says(notes, _FLASH) is None:
            assumed.append(f"attention {Attention.SDPA}")
        return Attention.SDPA
    flash, sdpa = says(stated, _FLASH), _SDPA.search(stated)
    first = _FLASH.search(stated)
    if flash and first is not None and (sdpa is None or first.start() < sdpa.start()):
        return Attention.FLASH
    if sdpa is not None:
        return Attention.SDPA
    if _EAGER.search(stated):
        return Attention.EAGER
    return Attention.FLASH if flash is None and _OTHER_FLASH.search(stated) else Attention.SDPA


def read_checkpointing(
    row: Mapping[str, str], notes: str, stack: Stack, assumed: list[str], *, gpus: int
) -> Checkpointing:
    """Return how blocks are recomputed; what no text says is as the stack usually does, and noted in `assumed`.

    Full for most; none in NeMo, and in LitGPT on one GPU, whose scripts recompute under FSDP only.
    """
    stated = stated_in(row, "grad_checkpointing") or _recomputed(text(row, "parallelism").lower())
    if not stated:
        noted = says(notes, _CHECKPOINTING)
        stated = _recomputed(notes) if noted is None else ("full" if noted else "no")
        selective = re.search(r"selective (?:act\w* )?(?:check|recomp|ac\b)", notes)
        stated = "selective" if noted is not False and selective else stated
    # How checkpoints are taken (re-entrant or not), and what is said of offload, are no part of whether.
    plain = re.split(r"[,;(]", re.sub(r"\(?(?:use_)?reentrant\s*[=:]?\s*\w*\)?", "", stated))[0].strip()
    if plain and _NOT_CHECKPOINTED.match(plain):
        return Checkpointing.NONE
    if _SELECTIVE.search(stated):
        return Checkpointing.SELECTIVE
    if stated:
        return Checkpointing.FULL
    without = stack is Stack.NEMO or (stack is Stack.LITGPT and gpus == 1)
    default = Checkpointing.NONE if without else Checkpointing.FULL
    assumed.append(f"checkpointing {default}")
    return default


def _recomputed(said: str) -> str:
    found = _RECOMPUTE.search(said)
    return "" if found is None else {"select": "selective"}.get(found.group(1), found.group(1))


class Levers(NamedTuple):
    """Levers of memory, named as in `Recipe`."""

    fused_optimizer: bool | None
    optimizer_in_backward: bool
    activation_offload: bool


def read_levers(row: Mapping[str, str], notes: str, stack: Stack, *, accumulates: bool) -> Levers:
    """Return the levers of memory that a row states.

    An optimizer in backward leaves no gradient to accumulate: where a run `accumulates`, the text speaks of another.
    Unsloth's checkpointing in another stack moves the checkpoints to the host; in its own that is modelled already.
    """
    optimizer = text(row, "optimizer").lower()
    said = f"{notes} ; {optimizer} ; {text(row, 'parallelism').lower()}"
    checkpoints = text(row, "grad_checkpointing").lower()
    borrowed = "unsloth" in checkpoints and stack is not Stack.UNSLOTH
    offloaded = says(said, ACTIVATION_OFFLOAD)
    to_host = says(
        checkpoints, re.compile(r"(?:cpu[ _-])?offload\w*|cpu|unsloth" if borrowed else r"(?:cpu[ _-])?offload\w*|cpu")
    )
    in_backward = says(said, _IN_BACKWARD)
    return Levers(
        fused_optimizer=True if says(optimizer, _FUSED_STEP) else None,
        optimizer_in_backward=bool(in_backward) and not accumulates,
        activation_offload=offloaded is not False and bool(offloaded or to_host),
    )


def read_compiled(row: Mapping[str, str], notes: str) -> bool:
    """Return whether the notes, the precision or the stack say that the model was compiled."""
    stack = text(row, "stack").lower()
    stated = f"{notes} ; {text(row, 'precision').lower()} ; {stack}"
    if "torchtitan" in stack and "float8" in stated and "eager" not in stated:
        return True  # torchtitan's float8 pays only compiled, and its reports run it so
    return bool(says(stated, _COMPILED))


def read_kernels(row: Mapping[str, str], notes: str, stack: Stack) -> tuple[Loss, bool]:
    """Return the loss kind and whether fused kernels run: foak (Triton loss), Liger, Unsloth, chunked loss.

    torchtune's recipes come with a chunked loss, unless the notes list what was switched on ("flags: ..."); the
    pre-training stacks work on the 16-bit logits in one kernel.
    """
    said = f"{notes} ; {text(row, 'stack').lower()}"
    by_default = stack is Stack.TORCHTUNE and "flags:" not in notes
    foak, unsloth = "foak" in notes, stack is Stack.UNSLOTH
    grouped = "scattermoe" in notes  # one kernel for all experts, instead of a loop over them
    if says(said, _LIGER) or says(said, _FUSED_LOSS):
        return Loss.FUSED, True
    if foak or unsloth:
        return Loss.TRITON, True
    if by_default or says(said, _CHUNKED):
        return Loss.FUSED, False
    kernel = stack in {Stack.LLM_FOUNDRY, Stack.NEMO} or says(said, _TRITON_LOSS)
    return (Loss.TRITON if kernel else Loss.STANDARD), grouped


def read_packing(row: Mapping[str, str], notes: str) -> bool:
    """Return whether rows are packed to one length: by the column, or by the notes where it says nothing."""
    stated = stated_in(row, "packing")
    if not stated:
        return bool(says(notes, _PACKED))
    return bool(re.match(r"(?:yes|true|on|1|enabled)\b", stated) or says(stated, _PACKED))


def read_double_quant(row: Mapping[str, str], stack: Stack) -> bool:
    """Return whether the constants of 4-bit weights are quantised too; in LitGPT only where the text says "dq"."""
    stated = text(row, "quant").lower()
    if stack is Stack.LITGPT and re.search(r"nf4|fp4", stated):
        return bool(re.search(r"dq|double", stated))
    denied = r"(?:no|without|w/o) (?:dq|double)|single quant|double[ _]quant\w*\s*[=:]\s*(?:false|no|off)"
    return not re.search(denied, stated)


def read_preparation(row: Mapping[str, str], notes: str, *, shared: bool) -> bool | None:
    """Return whether PEFT's k-bit preparation (fp32 upcast of what is not quantised) ran; None is the usual way.

    PEFT itself leaves models quantised by GPTQ, AQLM, EETQ, HQQ and torchao as they are. Where the weights are
    `shared` by several GPUs (FSDP, ZeRO-3) trainers leave it out, whatever their unsharded baseline does: ten rows of
    fms-acceleration's `baseline-peft-bnb` on two GPUs take as much as its accelerated twin.
    """
    if "kbit" in text(row, "precision").lower():
        return True
    if "baseline-peft" in notes:
        return None if shared else True
    untouched = re.search(r"gptq|aqlm|eetq|hqq|torchao", text(row, "quant").lower())
    return False if untouched or "accelerated-peft" in notes else None


_STACK_WORDS: tuple[tuple[re.Pattern[str], Stack], ...] = tuple(
    (re.compile(pattern), stack)
    for pattern, stack in (
        (r"torchtune", Stack.TORCHTUNE),
        (r"torchtitan", Stack.TORCHTITAN),
        (r"lit[- ]?gpt|lit-llama", Stack.LITGPT),
        (r"foundry|composer", Stack.LLM_FOUNDRY),
        (r"(?<!mistral[ _-])(?<![a-z])nemo(?![a-z])|megatron|automodel(?![a-z])", Stack.NEMO),
    )
)
_HF_WORDS = re.compile(
    r"(?<![a-z])(hf|hugging ?face|trl|peft|transformers|axolotl|llama[- ]?factory|swift|accelerate)(?![a-z])"
)
_ON_HF = re.compile(r"deepspeed|openrlhf|fastchat|lmflow|alpaca-lora|qlora|finetrainers|autotrain")
_UNSLOTH = re.compile(r"unsloth")
_WITH_UNSLOTH = re.compile(r"(^|\| )unsloth|(trained|tuned|run|using|with|via) unsloth(?! (gradient|gc|check))")


def read_stack(row: Mapping[str, str], notes: str) -> tuple[Stack, bool]:
    """Return the stack and whether the row says it; HF stands in where it does not."""
    stated = stated_in(row, "stack")
    if "megatron" in text(row, "parallelism").lower():
        return Stack.NEMO, True
    in_notes = _WITH_UNSLOTH.search(notes) and (not stated or re.search(r"(^|\| )unsloth", notes))
    if says(stated, _UNSLOTH) or text(row, "attention").lower() == "unsloth" or in_notes:
        return Stack.UNSLOTH, True
    # The name of a model says nothing of its stack ("Mistral-Nemo"), a remark behind it does ("(torchtune)").
    remarks = " ".join(re.findall(r"\(.*?\)", text(row, "model").lower()))
    said = stated or f"{text(row, 'source').lower()} {remarks} {notes}"
    for words, stack in _STACK_WORDS:
        if words.search(said):
            return stack, True
    known = _HF_WORDS.search(f"{stated} {notes}") or _ON_HF.search(stated) or "flash attention" in notes
    return Stack.HF, bool(known)
