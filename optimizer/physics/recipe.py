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
    `modules_to_save` are trained whole beside the adapters (embed_tokens, lm_head).
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


def refusal(recipe: Recipe, *, gpu: Gpu | None = None, gpus: int | None = None) -> str | None:
    """Return why this mix makes no sense, in one clause, or None when it does.

    `gpu` adds what the chip cannot do, `gpus` (of the whole job) what sharding needs. Memory is no reason here:
    a recipe that merely does not fit is answered by the search.
    """
    return _refusal_of_mix(recipe) or _refusal_of_stack(recipe) or _refusal_of_machine(recipe, gpu=gpu, gpus=gpus)


def _refusal_of_mix(recipe: Recipe) -> str | None:
    if recipe.bits not in WIDTHS:
        return f"weights of {recipe.bits} bits are not modelled: use 16, 8 or 4"
    if recipe.tuning is Tuning.FULL and recipe.bits != 16:
        return f"full fine-tuning trains every weight, and weights of {recipe.bits} bits cannot take a gradient step"
    if recipe.precision is Precision.FP8 and recipe.bits != 16:
        return "fp8 computing needs 16-bit weights to convert from, not a k-bit copy"
    sharded = recipe.sharding in {Sharding.ZERO3, Sharding.FSDP}
    if recipe.bits == 8 and sharded:
        return "LLM.int8 weights cannot be sharded: ZeRO-3 and FSDP need a uniform storage type"
    if recipe.bits == 4 and recipe.sharding is Sharding.ZERO3 and recipe.offload is not Offload.NONE:
        return "ZeRO-3 offload does not move 4-bit weights and needs more GPU memory, not less: use FSDP with CPU offload"
    if recipe.offload is Offload.NVME and recipe.sharding is not Sharding.ZERO3:
        return "NVMe offload exists in ZeRO-3 only"
    if recipe.offload is Offload.CPU and recipe.sharding in {Sharding.NONE, Sharding.DDP, Sharding.ZERO1}:
        return "CPU offload needs ZeRO-2, ZeRO-3 or FSDP (one GPU may run them too)"
    if recipe.offload is not Offload.NONE and recipe.optimizer in {Optimizer.PAGED_ADAMW_8BIT, Optimizer.ADAMW_8BIT}:
        return f"{recipe.optimizer} keeps its state in bitsandbytes buffers, which offload cannot move"
    return None


def _refusal_of_stack(recipe: Recipe) -> str | None:
    if recipe.stack is Stack.UNSLOTH and recipe.sharding not in {Sharding.NONE, Sharding.DDP}:
        return "Unsloth trains on one GPU or with DDP: it does not shard"
    if recipe.objective is Objective.PPO and recipe.sharding is Sharding.FSDP:
        return "PPO generates with whole weights each step: use DDP or ZeRO, not FSDP"
    return None


def _refusal_of_machine(recipe: Recipe, *, gpu: Gpu | None, gpus: int | None) -> str | None:
    if gpu is not None:
        if not gpu.trainable:
            return f"{gpu.id} is not modelled for training: {gpu.notes or 'no figures'}"
        if recipe.precision in BF16 and not gpu.supports_bf16:
            return f"{gpu.id} has no bf16 units: use fp16"
        if recipe.precision is Precision.FP8 and not gpu.supports_fp8:
            return f"{gpu.id} has no fp8 units"
        if recipe.bits != 16 and gpu.vendor.lower() == "nvidia" and _capability(gpu) < (7, 0):
            return f"{gpu.id} is too old for the k-bit kernels: they need compute capability 7.0 or newer"
    if gpus is not None:
        if gpus == 1 and recipe.sharding in {Sharding.DDP, Sharding.ZERO1}:
            return f"{recipe.sharding} spreads work over several GPUs, and there is one"
        if gpus == 1 and recipe.sharding is not Sharding.NONE and recipe.offload is Offload.NONE:
            return f"{recipe.sharding} on one GPU has nothing to shard unless it offloads"
        if gpus > 1 and recipe.sharding is Sharding.NONE:
            return f"{gpus} GPUs need a way to share the work: ddp, zero1, zero2, zero3 or fsdp"
    return None


def _capability(gpu: Gpu) -> tuple[int, int]:
    major, _, minor = gpu.compute_capability.partition(".")
    return (int(major), int(minor or 0)) if major.isdigit() else (99, 0)
