"""The axes of a recipe as enums, and the small integer codes by which columns hold them.

Two axes are kept apart on purpose: *tuning* says what is trained, *objective* says what is computed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray


class Tuning(StrEnum):
    """What is trained. QLoRA is `lora` at 4 bits."""

    FULL = "full"
    LORA = "lora"
    DORA = "dora"
    RSLORA = "rslora"


class Objective(StrEnum):
    """What is computed: supervised (instruction) tuning, preference pairs, or RLHF with PPO."""

    SFT = "sft"
    DPO = "dpo"
    PPO = "ppo"


class Sharding(StrEnum):
    """How state is spread over the GPUs of a data-parallel run."""

    NONE = "none"
    DDP = "ddp"
    ZERO1 = "zero1"
    ZERO2 = "zero2"
    ZERO3 = "zero3"
    FSDP = "fsdp"


class Offload(StrEnum):
    """Where optimizer state (and under ZeRO-3 and FSDP the parameters) lives when not on the GPU."""

    NONE = "none"
    CPU = "cpu"
    NVME = "nvme"


class Checkpointing(StrEnum):
    """Activation checkpointing: nothing, every block recomputed, or only part of each block."""

    NONE = "none"
    SELECTIVE = "selective"
    FULL = "full"


class Attention(StrEnum):
    """Attention kernel. Eager materialises the scores."""

    FLASH = "flash"
    SDPA = "sdpa"
    EAGER = "eager"


class Optimizer(StrEnum):
    """Optimizer kind, which decides bytes of state per trained parameter."""

    ADAMW = "adamw"
    ADAMW_8BIT = "adamw-8bit"
    PAGED_ADAMW_8BIT = "paged-adamw-8bit"
    ADAFACTOR = "adafactor"
    SGD = "sgd"


class Loss(StrEnum):
    """Cross-entropy kind, which decides the memory of the logits."""

    STANDARD = "standard"
    TRITON = "triton"
    FUSED = "fused"


class Precision(StrEnum):
    """How the 16-bit run is computed: the compute type, and whether fp32 master weights are kept (mixed)."""

    BF16_PURE = "bf16-pure"
    BF16_MIXED = "bf16-mixed"
    FP16_PURE = "fp16-pure"
    FP16_MIXED = "fp16-mixed"
    FP8 = "fp8"
    FP32 = "fp32"


class Stack(StrEnum):
    """The training software: the largest single factor in time."""

    HF = "hf"
    TORCHTUNE = "torchtune"
    LITGPT = "litgpt"
    UNSLOTH = "unsloth"
    NEMO = "nemo"
    LLM_FOUNDRY = "llm-foundry"
    TORCHTITAN = "torchtitan"


Codes = NDArray[np.int8]
Axis = TypeVar("Axis", bound=StrEnum)


def code(member: StrEnum) -> int:
    """Return the integer that columns hold for `member`: its position in its enum."""
    return list(type(member)).index(member)


def member(axis: type[Axis], value: int) -> Axis:
    """Return the enum member that the code `value` stands for. Raises IndexError outside the enum."""
    return list(axis)[value]
