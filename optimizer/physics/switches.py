"""What a recipe implies, as boolean columns: worked out once, read by every part of the memory model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .axes import Objective, Offload, Precision, Sharding, Stack, Tuning, code

if TYPE_CHECKING:
    from .runs import Bools, Floats, Runs

_FULL = code(Tuning.FULL)
_DORA = code(Tuning.DORA)
_DPO = code(Objective.DPO)
_PPO = code(Objective.PPO)
_FP32 = code(Precision.FP32)
_BF16_PURE = code(Precision.BF16_PURE)
_FP16_PURE = code(Precision.FP16_PURE)
_DDP = code(Sharding.DDP)
_ZERO1, _ZERO2, _ZERO3 = code(Sharding.ZERO1), code(Sharding.ZERO2), code(Sharding.ZERO3)
_FSDP = code(Sharding.FSDP)
_NO_OFFLOAD, _NVME = code(Offload.NONE), code(Offload.NVME)
_HF, _UNSLOTH = code(Stack.HF), code(Stack.UNSLOTH)
_TORCHTUNE = code(Stack.TORCHTUNE)
_LITGPT = code(Stack.LITGPT)
_LEAN = np.array([stack in {Stack.LLM_FOUNDRY, Stack.NEMO} for stack in Stack])
_ON_FSDP2 = np.array([stack in {Stack.TORCHTUNE, Stack.TORCHTITAN, Stack.NEMO} for stack in Stack])


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """Yes-or-no facts of n runs, shape (n,) or (1,), and the number of GPUs that each kind of state is spread over."""

    full: Bools
    adapter: Bools
    dora: Bools
    dpo: Bools
    ppo: Bools
    quantised: Bools
    fp32: Bools
    pure: Bools
    prepared: Bools
    """Passes through fp32 at load: PEFT's k-bit preparation."""
    fp32_stream: Bools
    """The hidden stream, and with it the checkpoints, are fp32 while training; DeepSpeed on several GPUs casts the
    module to 16 bit."""
    hf: Bools
    unsloth: Bools
    torchtune: Bools
    litgpt: Bools
    lean: Bools
    """Pre-training stacks: fused 16-bit norms and a cross-entropy that works on the 16-bit logits in place."""
    ddp: Bools
    fsdp: Bools
    per_module: Bools
    """Stacks on FSDP2: embedding and head are gathered one at a time, and blocks let go of their gradients."""
    zero3: Bools
    deepspeed: Bools
    sharded_params: Bools
    sharded_gradients: Bools
    sharded_optimizer: Bools
    offloaded: Bools
    nvme: Bools
    gpus: Floats
    param_shards: Floats
    gradient_shards: Floats
    optimizer_shards: Floats


def switches(runs: Runs) -> Switches:
    """Return what the recipes imply; the default of the k-bit preparation is that of the stack.

    Where parameters are spread over several GPUs, trainers leave the preparation out, because it would touch weights
    that still lie on the host. One GPU has nothing to spread: there FSDP and DeepSpeed, offloading or not, keep the
    preparation and the fp32 stream of the plain run, so that a sharding that shards nothing saves nothing.
    """
    recipe, machine = runs.recipe, runs.machine
    gpus = machine.gpu_count * machine.nodes
    full = recipe.tuning == _FULL
    quantised = recipe.bits < 16
    fp32 = recipe.precision == _FP32
    pure = (recipe.precision == _BF16_PURE) | (recipe.precision == _FP16_PURE)
    zero1, zero2 = recipe.sharding == _ZERO1, recipe.sharding == _ZERO2
    zero3, fsdp = recipe.sharding == _ZERO3, recipe.sharding == _FSDP
    deepspeed = zero1 | zero2 | zero3
    sharded_params = zero3 | fsdp
    sharded_gradients = zero2 | sharded_params
    sharded_optimizer = zero1 | sharded_gradients
    hf = recipe.stack == _HF
    several = gpus > 1
    usual = hf & quantised & ~(sharded_params & several) & ~full
    prepared = (recipe.kbit_preparation == 1) | ((recipe.kbit_preparation < 0) & usual)
    return Switches(
        full=full,
        adapter=~full,
        dora=recipe.tuning == _DORA,
        dpo=recipe.objective == _DPO,
        ppo=recipe.objective == _PPO,
        quantised=quantised,
        fp32=fp32,
        pure=pure,
        prepared=prepared,
        fp32_stream=fp32 | (prepared & ~pure & ~(deepspeed & several)),
        hf=hf,
        unsloth=recipe.stack == _UNSLOTH,
        torchtune=recipe.stack == _TORCHTUNE,
        litgpt=recipe.stack == _LITGPT,
        lean=_LEAN[recipe.stack],
        ddp=(recipe.sharding == _DDP) & several,
        fsdp=fsdp,
        per_module=_ON_FSDP2[recipe.stack],
        zero3=zero3,
        deepspeed=deepspeed,
        sharded_params=sharded_params,
        sharded_gradients=sharded_gradients,
        sharded_optimizer=sharded_optimizer,
        offloaded=recipe.offload != _NO_OFFLOAD,
        nvme=recipe.offload == _NVME,
        gpus=gpus,
        param_shards=1.0 + (gpus - 1.0) * sharded_params,
        gradient_shards=1.0 + (gpus - 1.0) * sharded_gradients,
        optimizer_shards=1.0 + (gpus - 1.0) * sharded_optimizer,
    )
