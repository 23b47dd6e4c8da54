"""One way to train: the recipe, and the reasons why some mixes make no sense."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .axes import (
    Attention,
    Checkpointing,
    Loss,
    Objective,
    Offload,
    Optimizer,
    Precision,
    Sharding,
    Stack,
    Tuning,
)

if TYPE_CHECKING:
    from providers.gpus import Gpu

WIDTHS: tuple[int, ...] = (16, 8, 4)
BF16: frozenset[Precision] = frozenset({Precision.BF16_PURE, Precision.BF16_MIXED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Tuning x quantization x objective x sharding x micro-batch x checkpointing, for one run.

    `bits` is the width of the frozen linear weights. `micro_batch` counts sequences per GPU and forward pass,
    `grad_accum` forward passes per optimizer step. `target_modules` are module names, or ("all-linear",);
    `modules_to_save` are trained whole beside the adapters (embed_tokens, lm_head). `fused_optimizer` steps without
    temporary copies (None: as the stack does). `optimizer_in_backward` steps each tensor as its gradient appears and
    lets go of it. `activation_offload` moves what backward needs to the host meanwhile.
    """

    tuning: Tuning
    bits: int = 16
    objective: Objective = Objective.SFT
    precision: Precision = Precision.BF16_MIXED
    lora_rank: int = 16
    target_modules: tuple[str, ...] = ("all-linear",)
    optimizer: Optimizer = Optimizer.ADAMW
    loss: Loss = Loss.STANDARD
    attention: Attention = Attention.SDPA
    checkpointing: Checkpointing = Checkpointing.FULL
    compiled: bool = False
    sharding: Sharding = Sharding.NONE
    offload: Offload = Offload.NONE
    stack: Stack = Stack.HF
    stack_known: bool = False
    fused_kernels: bool = False
    double_quant: bool = True
    micro_batch: int = 1
    grad_accum: int = 1
    seq_len: int = 2048
    packing: bool = False
    padding_factor: float = 1.0
    variable_length: bool = False
    prompt_tokens: int = 0
    response_tokens: int = 0
    reward_params: int = 0
    kbit_preparation: bool | None = None
    row_tokens: float | None = None
    modules_to_save: tuple[str, ...] = ()
    fused_optimizer: bool | None = None
    optimizer_in_backward: bool = False
    activation_offload: bool = False

    @property
    def method(self) -> str:
        """The name people use: `qlora` for LoRA at 4 bits, otherwise the tuning."""
        return "qlora" if self.tuning is Tuning.LORA and self.bits == 4 else self.tuning.value

    @property
    def name(self) -> str:
        """A short name that orders equals: method, width, sharding, offload, batch shape, checkpointing."""
        return (
            f"{self.method}-{self.bits}bit {self.sharding}/{self.offload} "
            f"{self.micro_batch:04d}x{self.grad_accum:04d} ckpt={self.checkpointing}"
        )


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a mix makes no sense, in one clause, and the field of `Recipe` that is at fault (`gpu`: the chip)."""

    axis: str
    reason: str


def refusal(recipe: Recipe, *, gpu: Gpu | None = None, gpus: int | None = None) -> str | None:
    """Return why this mix makes no sense, in one clause, or None when it does; arguments as in `refuse`."""
    found = refuse(recipe, gpu=gpu, gpus=gpus)
    return None if found is None else found.reason


def refuse(recipe: Recipe, *, gpu: Gpu | None = None, gpus: int | None = None) -> Refusal | None:
    """Return why this mix makes no sense and which axis is at fault, or None when it makes sense.

    `gpu` adds what the chip cannot do, `gpus` (of the whole job) what sharding needs. Memory is no reason here:
    a recipe that merely does not fit is answered by the search.
    """
    return (
        _refusal_of_width(recipe)
        or _refusal_of_offload(recipe)
        or _refusal_of_stack(recipe)
        or (None if gpu is None else _refusal_of_chip(recipe, gpu))
        or (None if gpus is None else _refusal_of_count(recipe, gpus))
    )


def caution(recipe: Recipe, gpu: Gpu) -> str | None:
    """Return in a sentence what may go wrong with a mix that does make sense, or None."""
    if recipe.bits != 16 and gpu.vendor.lower() == "amd":
        return (
            f"{recipe.bits}-bit weights on {gpu.id}: bitsandbytes supports ROCm since 2025 only, and its speed there "
            "is taken to be that of NVIDIA's kernels; try a few steps first."
        )
    return None


def _refusal_of_width(recipe: Recipe) -> Refusal | None:
    if recipe.bits not in WIDTHS:
        return Refusal("bits", f"weights of {recipe.bits} bits are not modelled: use 16, 8 or 4")
    if recipe.tuning is Tuning.FULL and recipe.bits != 16:
        reason = f"full fine-tuning trains every weight, and weights of {recipe.bits} bits cannot take a gradient step"
        return Refusal("bits", reason)
    if recipe.precision is Precision.FP8 and recipe.bits != 16:
        return Refusal("precision", "fp8 computing needs 16-bit weights to convert from, not a k-bit copy")
    sharded = recipe.sharding in {Sharding.ZERO3, Sharding.FSDP}
    if recipe.bits == 8 and sharded:
        reason = "LLM.int8 weights cannot be sharded: ZeRO-3 and FSDP need a uniform storage type"
        return Refusal("sharding", reason)
    return None


def _refusal_of_offload(recipe: Recipe) -> Refusal | None:
    if recipe.bits == 4 and recipe.sharding is Sharding.ZERO3 and recipe.offload is not Offload.NONE:
        reason = (
            "ZeRO-3 offload does not move 4-bit weights and needs more GPU memory, not less: use FSDP with CPU offload"
        )
        return Refusal("offload", reason)
    if recipe.offload is Offload.NVME and recipe.sharding is not Sharding.ZERO3:
        return Refusal("offload", "NVMe offload exists in ZeRO-3 only")
    if recipe.offload is Offload.CPU and recipe.sharding in {Sharding.NONE, Sharding.DDP, Sharding.ZERO1}:
        return Refusal("offload", "CPU offload needs ZeRO-2, ZeRO-3 or FSDP (one GPU may run them too)")
    if recipe.offload is not Offload.NONE and recipe.optimizer in {Optimizer.PAGED_ADAMW_8BIT, Optimizer.ADAMW_8BIT}:
        reason = f"{recipe.optimizer} keeps its state in bitsandbytes buffers, which offload cannot move"
        return Refusal("optimizer", reason)
    return None


def _refusal_of_stack(recipe: Recipe) -> Refusal | None:
    if recipe.optimizer_in_backward and recipe.grad_accum > 1:
        reason = "an optimizer that steps in backward lets go of each gradient: nothing is left to accumulate"
        return Refusal("grad_accum", reason)
    if recipe.stack is Stack.UNSLOTH and recipe.sharding not in {Sharding.NONE, Sharding.DDP}:
        return Refusal("sharding", "Unsloth trains on one GPU or with DDP: it does not shard")
    if recipe.objective is Objective.PPO and recipe.sharding is Sharding.FSDP:
        return Refusal("sharding", "PPO generates with whole weights each step: use DDP or ZeRO, not FSDP")
    return None


def _refusal_of_chip(recipe: Recipe, gpu: Gpu) -> Refusal | None:
    if not gpu.trainable:
        return Refusal("gpu", f"{gpu.id} is not modelled for training: {gpu.notes or 'no figures'}")
    if recipe.precision in BF16 and not gpu.supports_bf16:
        return Refusal("precision", f"{gpu.id} has no bf16 units: use fp16")
    if recipe.precision is Precision.FP8 and not gpu.supports_fp8:
        return Refusal("precision", f"{gpu.id} has no fp8 units")
    if gpu.vendor.lower() != "nvidia":
        return None
    if recipe.bits != 16 and _capability(gpu) < (7, 0):
        reason = f"{gpu.id} is too old for the k-bit kernels: they need compute capability 7.0 or newer"
        return Refusal("bits", reason)
    # Unsloth takes xformers there, which needs as little memory.
    old = _capability(gpu) < (8, 0) and recipe.stack is not Stack.UNSLOTH
    if recipe.attention is Attention.FLASH and old:
        reason = (
            f"FlashAttention needs compute capability 8.0 or newer, and {gpu.id} has {gpu.compute_capability}: use sdpa"
        )
        return Refusal("attention", reason)
    return None


def _refusal_of_count(recipe: Recipe, gpus: int) -> Refusal | None:
    if gpus == 1 and recipe.sharding in {Sharding.DDP, Sharding.ZERO1}:
        reason = f"{recipe.sharding} spreads work over several GPUs, and there is one: use none"
        return Refusal("sharding", reason)
    if gpus == 1 and recipe.sharding is not Sharding.NONE and recipe.offload is Offload.NONE:
        return Refusal("sharding", f"{recipe.sharding} on one GPU has nothing to shard unless it offloads: use none")
    if gpus > 1 and recipe.sharding is Sharding.NONE:
        return Refusal("sharding", f"{gpus} GPUs need a way to share the work: ddp, zero1, zero2, zero3 or fsdp")
    return None


def _capability(gpu: Gpu) -> tuple[int, int]:
    """Return the compute capability as numbers; a chip without one counts as newer than any."""
    major, _, minor = gpu.compute_capability.partition(".")
    return (int(major), int(minor or 0)) if major.isdigit() else (99, 0)
