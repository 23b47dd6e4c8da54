"""Seconds of one micro-step on one GPU: matrix products, memory-bound work between them, launches, dequantisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .axes import Attention, Loss, Precision, Sharding, Stack, Tuning, code
from .flops import FULL, processed_tokens, recomputed_share, row_tokens

if TYPE_CHECKING:
    from .flops import Flops
    from .runs import Bools, Floats, MachineColumns, ModelColumns, RecipeColumns, Runs
    from .speed_constants import SpeedConstants

DORA = code(Tuning.DORA)
HF = code(Stack.HF)
UNSLOTH = code(Stack.UNSLOTH)
EAGER = code(Attention.EAGER)
LOSS_STANDARD = code(Loss.STANDARD)
FP8 = code(Precision.FP8)
MIXED = (code(Precision.BF16_MIXED), code(Precision.FP16_MIXED))
DDP = code(Sharding.DDP)
ZERO1 = code(Sharding.ZERO1)
ZERO2 = code(Sharding.ZERO2)
ZERO3 = code(Sharding.ZERO3)
FSDP = code(Sharding.FSDP)


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroStep:
    """Seconds of one forward and backward pass on one GPU, by cause; `launch` is what the floor adds on top."""

    compute: Floats
    memory: Floats
    launch: Floats
    dequantisation: Floats

    @property
    def total(self) -> Floats:
        """Seconds of the whole micro-step without communication."""
        return self.compute + self.memory + self.launch + self.dequantisation


def micro_step(runs: Runs, flops: Flops, passes: Floats, constants: SpeedConstants) -> MicroStep:
    """Return the seconds of one micro-step, whose `flops` are those of all `passes` (1 for supervised tuning).

    Work and launch floor join as (work^p + floor^p)^(1/p): launches hide behind work that is long enough.
    """
    repeated = recomputed_share(runs.recipe, constants.selective_fraction)
    compute = matrix_seconds(runs, flops, constants)
    memory = passes * elementwise_seconds(runs, repeated, constants)
    work = compute + memory
    floor = passes * launch_floor_seconds(runs, repeated, constants)
    power = constants.floor_power
    joined = (work**power + floor**power) ** (1.0 / power)
    return MicroStep(
        compute=compute,
        memory=memory,
        launch=joined - work,
        dequantisation=passes * dequantisation_seconds(runs, repeated, constants),
    )


def matrix_seconds(runs: Runs, flops: Flops, constants: SpeedConstants) -> Floats:
    """Return the seconds of matrix products and attention scores, recomputation included."""
    recipe, machine = runs.recipe, runs.machine
    speed = matrix_speed(runs, constants)
    fp8 = (recipe.precision == FP8) & (machine.fp8_flops_per_s > machine.peak_flops_per_s)
    highest = constants.sustained_share[machine.architecture] * machine.fp8_flops_per_s
    product_speed = np.where(fp8, np.minimum(speed * constants.fp8_gain, highest), speed)
    per_token = flops.matrix / product_speed + flops.attention / attention_speed(runs, constants)
    return processed_tokens(recipe) * per_token


def attention_speed(runs: Runs, constants: SpeedConstants) -> Floats:
    """Return the FLOP/s at which attention scores are computed, half of the square counted.

    A kernel of its own, with its own share of the peak by architecture (Dao 2023 measures FlashAttention-2 at up to
    0.72 of the peak of an A100 and 0.34 of an H100, whose new units it does not use), bound by power as the products
    are; `attention_weight` is the time that the stack's kernel takes over that one.
    """
    recipe, machine = runs.recipe, runs.machine
    share = constants.attention_share[machine.architecture] / constants.sustained_share[machine.architecture]
    reached = np.minimum(share / constants.attention_weight[recipe.stack], 1.0)
    return sustained_flops_per_s(machine, constants) * reached


def matrix_speed(runs: Runs, constants: SpeedConstants) -> Floats:
    """Return the FLOP/s at which 16-bit matrix products run: the stack's share of what the chip sustains."""
    recipe, machine = runs.recipe, runs.machine
    share = constants.matrix_efficiency[recipe.stack] * constants.architecture_factor[machine.architecture]
    speed = sustained_flops_per_s(machine, constants) * np.minimum(share, 1.0)
    return np.where(runs.model.experts > 0, speed * constants.moe_efficiency, speed)


def sustained_flops_per_s(machine: MachineColumns, constants: SpeedConstants) -> Floats:
    """Return the FLOP/s that the best matrix product of a chip sustains, always below its dense peak.

    Two bounds: a share of the peak (measured by tuned kernels where known), and board power x FLOP per joule, by which
    a 72 W card does not keep the clock that its peak is stated at. An unknown power bounds nothing.
    """
    by_kernel = constants.sustained_share[machine.architecture] * machine.peak_flops_per_s
    by_power = constants.flops_per_joule[machine.architecture] * machine.watts
    return np.where(by_power < by_kernel, by_power, by_kernel)


def elementwise_seconds(runs: Runs, repeated: Floats, constants: SpeedConstants) -> Floats:
    """Return the seconds of memory-bound work: norms, activations, residuals, loss, scores, casts, adapters.

    Fused kernels are written for blocks with a gated MLP, RMSNorm and RoPE; others run as they are.
    `repeated` is the share of the blocks' forward pass that is recomputed: a third of their forward and backward work.
    """
    model, recipe, machine = runs.model, runs.recipe, runs.machine
    tokens = processed_tokens(recipe)
    passes = 1.0 + repeated / 3.0
    shrunk = np.where(has_fused_kernels(recipe) & model.gated_mlp, constants.fused_elementwise_share, 1.0)
    shrunk = shrunk * np.where(recipe.compiled, constants.compiled_elementwise_share, 1.0)
    shrunk = shrunk * np.where(model.gated_mlp, 1.0, constants.plain_block_share)
    width = 2.0 * model.hidden + model.intermediate
    per_width = constants.elementwise_bytes[recipe.stack] * shrunk
    per_width = per_width + np.where(in_fp32(recipe), constants.fp32_stream_bytes, 0.0)
    per_width = per_width + np.where(recipe.bits == 8, constants.int8_stream_bytes, 0.0)
    per_token = model.layers * width * per_width
    scores = np.where(recipe.attention == EAGER, constants.eager_bytes_per_score * row_tokens(recipe), 0.0)
    per_token = per_token + scores * model.layers * model.heads + adapter_bytes(model, recipe, constants)
    per_token = per_token * passes + loss_bytes(model, recipe, constants)
    cast = np.where((recipe.tuning == FULL) & _mixed(recipe), constants.cast_bytes * model.linear_params, 0.0)
    return (tokens * per_token + cast * passes) / bandwidth(machine, constants)


def loss_bytes(model: ModelColumns, recipe: RecipeColumns, constants: SpeedConstants) -> Floats:
    """Return the bytes per token that the logits and their loss move."""
    share = np.where(recipe.loss == LOSS_STANDARD, 1.0, constants.fused_loss_share)
    return constants.loss_bytes * model.vocab * share


def adapter_bytes(model: ModelColumns, recipe: RecipeColumns, constants: SpeedConstants) -> Floats:
    """Return the bytes per token that adapters move beside the frozen layers; DoRA rescales every output.

    HF's adapters (PEFT) are fp32, and what enters and leaves them is cast (`adapter_cast_bytes`). Under autocast its
    k-bit layers are spared that; it is counted for them too, so that narrower weights are never faster.
    """
    width = recipe.adapter_inputs + recipe.adapter_outputs
    per_width = constants.adapter_bytes + np.where(recipe.tuning == DORA, constants.dora_bytes, 0.0)
    shrunk = np.where(has_fused_kernels(recipe), constants.fused_elementwise_share, 1.0)
    per_width = per_width + np.where(recipe.stack == HF, constants.adapter_cast_bytes, 0.0)
    return model.layers * width * per_width * shrunk


def launch_floor_seconds(runs: Runs, repeated: Floats, constants: SpeedConstants) -> Floats:
    """Return the least seconds of a micro-step: kernel launches per layer, or one reading of the weights per pass."""
    model, recipe, machine = runs.model, runs.recipe, runs.machine
    full = recipe.tuning == FULL
    share = np.where(full, constants.full_launch_share, 1.0) * gathering_share(recipe, machine, constants)
    share = share * np.where(recipe.compiled, constants.compiled_launch_share, 1.0)
    looped = np.where(has_fused_kernels(recipe), 0.0, model.experts) * constants.expert_launch_share
    launches = model.layers * constants.launch_s[recipe.stack] * (share + looped) * (1.0 + repeated / 3.0)
    passes = np.where(full, 3.0, 2.0) + repeated
    reading = passes * 2.0 * model.active_linear_params / bandwidth(machine, constants)
    return np.maximum(launches, reading)


def gathering_share(recipe: RecipeColumns, machine: MachineColumns, constants: SpeedConstants) -> Floats:
    """Return by how much the launch floor grows where layers are gathered one by one: each is a unit of its own.

    FSDP wraps every adapter as one more unit, unless fused adapter kernels keep them out of it.
    """
    adapters = (recipe.tuning != FULL) & ~has_fused_adapters(recipe)
    fsdp = constants.fsdp_launch_share * np.where(adapters, constants.fsdp_adapter_launch_share, 1.0)
    share = np.where(
        recipe.sharding == FSDP, fsdp, np.where(recipe.sharding == ZERO3, constants.zero3_launch_share, 1.0)
    )
    return np.where(machine.gpu_count * machine.nodes > 1, share, 1.0)


def in_fp32(recipe: RecipeColumns) -> Bools:
    """Return where norms and the residual stream are fp32: after k-bit preparation, which HF runs unless told not to.

    Sharding changes nothing here, so that no way of spreading or offloading a recipe can be faster than the plain one.
    """
    default = (recipe.kbit_preparation < 0) & (recipe.stack == HF)
    prepared: Bools = (recipe.bits < 16) & ((recipe.kbit_preparation == 1) | default)
    return prepared


def dequantisation_seconds(runs: Runs, repeated: Floats, constants: SpeedConstants) -> Floats:
    """Return the seconds per micro-step of turning k-bit weights into 16 bits: constant, whatever the tokens."""
    model, recipe, machine = runs.model, runs.recipe, runs.machine
    four = np.where(recipe.double_quant, 1.0, constants.single_quant_share) * constants.dequantisation_bytes
    per_weight = np.where(recipe.bits == 4, four, np.where(recipe.bits == 8, constants.int8_bytes, 0.0))
    return (2.0 + repeated) * per_weight * model.linear_params / bandwidth(machine, constants)


def bandwidth(machine: MachineColumns, constants: SpeedConstants) -> Floats:
    """Return the bytes/s of GPU memory that streaming kernels reach."""
    return machine.memory_bandwidth_bytes_per_s * constants.bandwidth_efficiency


def has_fused_kernels(recipe: RecipeColumns) -> Bools:
    """Return where norms, RoPE and adapters run as fused kernels: where the recipe says so, and always in Unsloth."""
    fused: Bools = recipe.fused_kernels | (recipe.stack == UNSLOTH)
    return fused


def has_fused_adapters(recipe: RecipeColumns) -> Bools:
    """Return where adapters run as part of fused kernels: of k-bit layers (foak), and always in Unsloth."""
    fused: Bools = has_fused_kernels(recipe) & ((recipe.bits < 16) | (recipe.stack == UNSLOTH))
    return fused


def is_gathered(recipe: RecipeColumns) -> Bools:
    """Return where every GPU holds a shard of the weights and gathers each layer when it is needed."""
    gathered: Bools = (recipe.sharding == ZERO3) | (recipe.sharding == FSDP)
    return gathered


def _mixed(recipe: RecipeColumns) -> Bools:
    mixed: Bools = (recipe.precision == MIXED[0]) | (recipe.precision == MIXED[1])
    return mixed
