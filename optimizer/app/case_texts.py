"""Reading single texts of a case: precision, optimizer, attention, checkpointing, kernels, loss and stack."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from optimizer.physics.axes import Attention, Checkpointing, Loss, Optimizer, Precision, Sharding, Stack, Tuning
from providers.errors import KnowledgeMissing

from .case_fields import text

if TYPE_CHECKING:
    from collections.abc import Mapping

_OFFLOADED = r"act(?:ivation)?s?[ _-]offload"

HALF_OF = {precision: precision for precision in Precision} | {
    Precision.BF16_PURE: Precision.FP16_PURE,
    Precision.BF16_MIXED: Precision.FP16_MIXED,
}
"""The fp16 twin of a precision, for chips without bf16 units."""


def read_precision(
    row: Mapping[str, str], notes: str, tuning: Tuning, stack: Stack, sharding: Sharding, *, quantised: bool
) -> Precision:
    """Return compute type and whether fp32 masters are kept.

    A bare "bf16" leaves the masters open: DeepSpeed, Megatron, llm-foundry and torchtitan always keep them, and so
    does HF, where it is the flag of the trainer beside weights that are loaded in fp32. "bfloat16" is a type to load
    in: those weights, torchtune's and LitGPT's train in pure bf16. HF's autocast adds masters under FSDP only:
    unsharded, the weights stay as loaded. Adapters of HF stacks are fp32 either way; DeepSpeed casts what PEFT's
    preparation turned into fp32 back to 16 bit, so that what it runs in counts (the text after the last arrow).
    """
    stated = text(row, "precision").lower().rsplit("->", maxsplit=1)[-1].strip()
    if re.search(r"nvfp4|mxfp4", stated):
        raise KnowledgeMissing(f"precision {stated!r}: 4-bit floating-point training is not modelled")
    if re.search(r"int8 (qt|mixed)", stated):
        raise KnowledgeMissing(f"precision {stated!r}: int8 training is not modelled")
    if re.search(r"fp8|float8", stated) or re.search(r"\+float8|float8 (linear|compute)", notes):
        return Precision.FP8
    if stated.startswith(("fp32", "float32", "tf32")):
        return Precision.FP32
    engine = "deepspeed" in f"{text(row, 'parallelism')} {stated}".lower()
    half = re.match(r"(amp_|deepspeed )?(fp16|float16)", stated)
    unsharded = stack is Stack.HF and sharding in {Sharding.NONE, Sharding.DDP}
    as_loaded = tuning is Tuning.FULL and unsharded and not half and re.search(r"\bamp\b", stated)
    prepared = quantised or "kbit" in text(row, "precision").lower()
    cast_back = tuning is not Tuning.FULL and engine and prepared
    if as_loaded or cast_back or re.search(r"pure|no amp|bf16-true|16-true", stated):
        mixed = False
    elif re.search(r"amp|mixed|master|fp32", stated):
        mixed = True
    elif tuning is not Tuning.FULL:
        mixed = stack is not Stack.TORCHTUNE
    else:
        flag = stack is Stack.HF and stated.startswith(("bf16", "fp16"))
        zero = sharding in {Sharding.ZERO1, Sharding.ZERO3}
        mixed = engine or zero or flag or stack in {Stack.NEMO, Stack.LLM_FOUNDRY, Stack.TORCHTITAN}
    if half:
        return Precision.FP16_MIXED if mixed else Precision.FP16_PURE
    return Precision.BF16_MIXED if mixed else Precision.BF16_PURE


def read_optimizer(row: Mapping[str, str], stack: Stack, assumed: list[str]) -> Optimizer:
    """Return the optimizer; empty is the stack's usual one, which is noted in `assumed`."""
    stated = text(row, "optimizer").lower()
    if not stated and re.search(r"8[ -]?bit(/paged)? (optimizer|adam)", text(row, "notes").lower()):
        stated = "paged adamw 8bit"
    if not stated:
        default = Optimizer.ADAMW_8BIT if stack is Stack.UNSLOTH else Optimizer.ADAMW
        assumed.append(f"optimizer {default}")
        return default
    if re.search(r"muon|galore|lion|lomo|apollo|q-?adam|shampoo|4[ -]?bit", stated):
        raise KnowledgeMissing(f"optimizer {stated!r}: not modelled")
    if re.search(r"8[ -]?bit", stated):
        return Optimizer.PAGED_ADAMW_8BIT if "paged" in stated else Optimizer.ADAMW_8BIT
    if "adafactor" in stated:
        return Optimizer.ADAFACTOR
    if re.search(r"\bsgd\b", stated):
        return Optimizer.SGD
    if "adam" in stated:
        return Optimizer.ADAMW
    raise KnowledgeMissing(f"optimizer {stated!r}: not modelled")


def read_attention(stated: str) -> Attention:
    """Return the attention kernel that a lower-case text names; SDPA where it leaves it open."""
    if stated.startswith("sdpa") or stated in {"", "eager/sdpa"}:
        return Attention.SDPA
    if stated.startswith(("eager", "unfused")):
        return Attention.EAGER
    return Attention.FLASH


def read_checkpointing(row: Mapping[str, str], stack: Stack, assumed: list[str], *, gpus: int) -> Checkpointing:
    """Return how blocks are recomputed; empty is as the stack usually does, which is noted in `assumed`.

    Full for most; none in NeMo, and in LitGPT on one GPU, whose scripts recompute under FSDP only.
    """
    stated = text(row, "grad_checkpointing").lower() or _recompute(text(row, "parallelism").lower())
    if stated in {"?", "unknown", "unstated", "not stated", "n/a"}:
        stated = ""
    if stated.startswith("selective"):
        return Checkpointing.SELECTIVE
    if stated.startswith(("no", "false", "off", "0")):
        return Checkpointing.NONE
    if stated:
        return Checkpointing.FULL
    without = stack is Stack.NEMO or (stack is Stack.LITGPT and gpus == 1)
    default = Checkpointing.NONE if without else Checkpointing.FULL
    assumed.append(f"checkpointing {default}")
    return default


def _recompute(parallelism: str) -> str:
    found = re.search(r"recompute=(\w+)", parallelism)
    return "" if found is None else {"select": "selective"}.get(found.group(1), found.group(1))


class Levers(NamedTuple):
    """Levers of memory, named as in `Recipe`."""

    fused_optimizer: bool | None
    optimizer_in_backward: bool
    activation_offload: bool


def read_levers(row: Mapping[str, str], notes: str, *, accumulates: bool) -> Levers:
    """Return the levers of memory that a row states.

    An optimizer in backward leaves no gradient to accumulate: where a run `accumulates`, the text speaks of another.
    """
    optimizer = text(row, "optimizer").lower()
    said = f"{notes} {optimizer}"
    off = re.search(rf"(no|without) {_OFFLOADED}|{_OFFLOADED}(ing)?\s*[=:]\s*(false|no|0)", said)
    offloaded = re.search(_OFFLOADED, said) or re.search(r"offload|cpu", text(row, "grad_checkpointing").lower())
    in_backward = re.search(r"opt(imizer)?[ _-]in[ _-]b(wd|ackward)|fused backward|backward hook", said)
    return Levers(
        fused_optimizer=True if re.search(r"\bfused\b|_fused", optimizer) else None,
        optimizer_in_backward=bool(in_backward) and not accumulates,
        activation_offload=bool(offloaded) and not off,
    )


def read_compiled(row: Mapping[str, str], notes: str) -> bool:
    """Return whether the notes or the precision say that the model was compiled."""
    stated = f"{notes} {text(row, 'precision').lower()}"
    if "torchtitan" in text(row, "stack").lower() and "float8" in stated and "eager" not in stated:
        return True  # torchtitan's float8 pays only compiled, and its reports run it so
    return bool(re.search(r"compile(?!\s*=\s*(false|no|off|0))", stated)) and "no compile" not in stated


def read_kernels(notes: str, stack: Stack) -> tuple[Loss, bool]:
    """Return the loss kind and whether fused kernels run: foak (Triton loss), Liger, Unsloth, chunked loss.

    torchtune's recipes come with a chunked loss, unless the notes list what was switched on ("flags: ..."); the
    pre-training stacks work on the 16-bit logits in one kernel.
    """
    liger = re.search(r"(?<!not using use_)liger(?!\s*=|_kernel\s*:)|liger\s*=\s*(true|yes|1)", notes)
    by_default = stack is Stack.TORCHTUNE and "flags:" not in notes
    chunked = by_default or re.search(r"chunked (ce|cross|loss)", notes)
    foak, unsloth = "foak" in notes, stack is Stack.UNSLOTH
    grouped = "scattermoe" in notes  # one kernel for all experts, instead of a loop over them
    if liger or re.search(r"fused (ce|linear|cross)|cut[ -]cross|linear cross", notes):
        return Loss.FUSED, True
    if foak or unsloth:
        return Loss.TRITON, True
    if chunked:
        return Loss.FUSED, False
    kernel = stack in {Stack.LLM_FOUNDRY, Stack.NEMO} or re.search(r"triton (ce|loss|cross)", notes)
    return (Loss.TRITON if kernel else Loss.STANDARD), grouped


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


_STACK_WORDS: tuple[tuple[str, Stack], ...] = (
    ("torchtune", Stack.TORCHTUNE),
    ("torchtitan", Stack.TORCHTITAN),
    ("litgpt", Stack.LITGPT),
    ("lit-gpt", Stack.LITGPT),
    ("lit-llama", Stack.LITGPT),
    ("foundry", Stack.LLM_FOUNDRY),
    ("composer", Stack.LLM_FOUNDRY),
    ("nemo", Stack.NEMO),
    ("megatron", Stack.NEMO),
    ("automodel", Stack.NEMO),
)
_HF_WORDS = re.compile(r"\b(hf|hugging ?face|trl|peft|transformers|axolotl|llama-?factory|swift|accelerate)\b")


def read_stack(row: Mapping[str, str], notes: str) -> tuple[Stack, bool]:
    """Return the stack and whether the row says it; HF stands in where it does not."""
    stated = text(row, "stack").lower()
    if "megatron" in text(row, "parallelism").lower():
        return Stack.NEMO, True
    if "unsloth" in stated or text(row, "attention").lower() == "unsloth" or re.search(r"(^|\| )unsloth", notes):
        return Stack.UNSLOTH, True
    source = text(row, "source").lower()
    for word, stack in _STACK_WORDS:
        if word in stated or (not stated and word in f"{source} {text(row, 'model').lower()} {notes}"):
            return stack, True
    known = bool(_HF_WORDS.search(f"{stated} {notes}")) or "flash attention" in notes
    return Stack.HF, known
