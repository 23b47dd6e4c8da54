from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from optimizer.physics.axes import Attention, Loss, Precision, Sharding, Stack, Tuning, code
from optimizer.physics.efficiency import (
    attention_speed,
    dequantisation_seconds,
    elementwise_seconds,
    launch_floor_seconds,
    matrix_seconds,
    matrix_speed,
    micro_step,
    sustained_flops_per_s,
)
from optimizer.physics.flops import Flops
from optimizer.physics.runs import ARCHITECTURES

NOTHING, WHOLE = np.zeros(1), np.ones(1)
ONE_STACK = np.ones(len(Stack))


def flops(matrix: float, attention: float = 0.0) -> Flops:
    return Flops(matrix=np.array([matrix]), attention=np.array([attention]))


def test_matrix_seconds_are_flops_over_peak_and_efficiency(make_runs, make_constants):
    # 100 tokens x 10,000 FLOP / (1e6 FLOP/s x 0.5)
    assert matrix_seconds(make_runs(), flops(10_000), make_constants()) == pytest.approx([2.0])


def test_attention_weighs_more_than_matrix_products(make_runs, make_constants):
    constants = make_constants(attention_weight=ONE_STACK * 3.0)
    assert matrix_seconds(make_runs(), flops(10_000, 1000), constants) == pytest.approx([2.0 + 0.6])


def test_efficiency_and_attention_are_those_of_the_stack(make_runs, make_constants):
    by_stack = np.arange(1, len(Stack) + 1) / 10
    constants = make_constants(matrix_efficiency=by_stack, attention_weight=by_stack * 10)
    runs = make_runs(stack=code(Stack.LITGPT))
    expected = 100 * (3000 / 0.3e6 + 3 * 1000 / 0.5e6)
    assert matrix_seconds(runs, flops(3000, 1000), constants) == pytest.approx([expected])


def test_attention_has_its_own_share_of_the_peak_bound_by_power_and_by_the_best_product(make_runs, make_constants):
    every = np.ones(len(ARCHITECTURES))
    constants = make_constants(
        attention_share=every * 0.4, sustained_share=every * 0.8, flops_per_joule=every * 2000.0
    )  # fmt: skip
    runs = make_runs(watts=[np.nan, 300.0])
    assert attention_speed(runs, constants) == pytest.approx([0.4e6, 0.3e6])
    fast = replace(constants, attention_weight=ONE_STACK * 0.1)
    assert attention_speed(runs, fast) == pytest.approx([0.8e6, 0.6e6])


def test_architecture_and_experts_slow_down(make_runs, make_constants):
    factors = np.ones(len(ARCHITECTURES))
    factors[ARCHITECTURES.index("hopper")] = 0.8
    constants = make_constants(architecture_factor=factors, moe_efficiency=0.5)
    hopper = ARCHITECTURES.index("hopper")
    runs = make_runs(architecture=[hopper, hopper, ARCHITECTURES.index("ampere")], experts=[0.0, 8.0, 8.0])
    assert matrix_seconds(runs, flops(10_000), constants) == pytest.approx([2.0 / 0.8, 2.0 / 0.4, 2.0 / 0.5])


def test_a_chip_sustains_a_share_of_its_peak_and_what_its_power_allows(make_runs, make_constants):
    share, joule = np.full(len(ARCHITECTURES), 0.8), np.full(len(ARCHITECTURES), 2000.0)
    constants = make_constants(sustained_share=share, flops_per_joule=joule)
    runs = make_runs(watts=[np.nan, 1000.0, 300.0])
    assert sustained_flops_per_s(runs.machine, constants) == pytest.approx([0.8e6, 0.8e6, 0.6e6])
    assert matrix_seconds(runs, flops(10_000), constants) == pytest.approx([2.5, 2.5, 1 / 0.3])
    unknown = make_runs(peak_flops_per_s=np.nan, watts=300.0)
    assert np.isnan(sustained_flops_per_s(unknown.machine, constants)).all()


def test_no_stack_beats_what_the_chip_sustains(make_runs, make_constants):
    constants = make_constants(matrix_efficiency=ONE_STACK * 0.9, architecture_factor=np.full(len(ARCHITECTURES), 1.5))
    assert matrix_speed(make_runs(), constants) == pytest.approx([1e6])


def test_fp8_is_bounded_by_its_own_peak(make_runs, make_constants):
    constants = make_constants(fp8_gain=9.0, sustained_share=np.full(len(ARCHITECTURES), 0.8))
    runs = make_runs(precision=code(Precision.FP8), fp8_flops_per_s=2e6)
    assert matrix_seconds(runs, flops(16_000), constants) == pytest.approx([1.0])


def test_fp8_speeds_up_products_but_not_attention_and_only_where_the_chip_has_it(make_runs, make_constants):
    constants = make_constants(fp8_gain=2.0)
    runs = make_runs(precision=code(Precision.FP8), fp8_flops_per_s=[2e6, np.nan])
    assert matrix_seconds(runs, flops(10_000, 5000), constants) == pytest.approx([1.0 + 1.0, 2.0 + 1.0])
    bf16 = make_runs(fp8_flops_per_s=2e6)
    assert matrix_seconds(bf16, flops(10_000, 5000), constants) == pytest.approx([3.0])


def test_elementwise_bytes_scale_with_layers_and_widths(make_runs, make_constants):
    constants = make_constants(elementwise_bytes=ONE_STACK * 4.0)
    # 100 tokens x 2 layers x (2 x 10 + 30) x 4 bytes / 1e5 bytes/s
    assert elementwise_seconds(make_runs(), NOTHING, constants) == pytest.approx([0.4])
    assert elementwise_seconds(make_runs(), WHOLE, constants) == pytest.approx([0.4 * 4 / 3])


def test_fused_compiled_and_plain_blocks_move_less(make_runs, make_constants):
    constants = make_constants(
        elementwise_bytes=ONE_STACK * 4.0,
        fused_elementwise_share=0.5,
        compiled_elementwise_share=0.25,
        plain_block_share=0.1,
    )
    fused, compiled = make_runs(fused_kernels=True), make_runs(compiled=True)
    both, plain = make_runs(fused_kernels=True, compiled=True), make_runs(gated_mlp=False, fused_kernels=[False, True])
    assert elementwise_seconds(fused, NOTHING, constants) == pytest.approx([0.2])
    assert elementwise_seconds(compiled, NOTHING, constants) == pytest.approx([0.1])
    assert elementwise_seconds(both, NOTHING, constants) == pytest.approx([0.05])
    # fused kernels are not written for blocks without a gate
    assert elementwise_seconds(plain, NOTHING, constants) == pytest.approx([0.04, 0.04])


def test_unsloth_is_fused_without_saying_so(make_runs, make_constants):
    constants = make_constants(elementwise_bytes=ONE_STACK * 4.0, fused_elementwise_share=0.5)
    runs = make_runs(stack=[code(stack) for stack in Stack])
    expected = [0.2 if stack is Stack.UNSLOTH else 0.4 for stack in Stack]
    assert elementwise_seconds(runs, NOTHING, constants) == pytest.approx(expected)


def test_kbit_preparation_moves_fp32_by_default_on_hf_however_sharded(make_runs, make_constants):
    constants = make_constants(fp32_stream_bytes=10.0)
    cost = pytest.approx([1.0])
    free = pytest.approx([0.0])
    default = {"kbit_preparation": -1}
    assert elementwise_seconds(make_runs(bits=4, **default), NOTHING, constants) == cost
    assert elementwise_seconds(make_runs(bits=8, **default), NOTHING, constants) == cost
    assert elementwise_seconds(make_runs(bits=16, **default), NOTHING, constants) == free
    assert elementwise_seconds(make_runs(bits=4, kbit_preparation=0), NOTHING, constants) == free
    assert elementwise_seconds(make_runs(bits=4, stack=1, **default), NOTHING, constants) == free
    assert elementwise_seconds(make_runs(bits=4, stack=1, kbit_preparation=1), NOTHING, constants) == cost
    assert elementwise_seconds(make_runs(bits=4, sharding=code(Sharding.DDP), **default), NOTHING, constants) == cost
    for sharding in Sharding:
        runs = {"bits": 4, "sharding": code(sharding)}
        assert elementwise_seconds(make_runs(**runs, **default), NOTHING, constants) == cost
        assert elementwise_seconds(make_runs(**runs, kbit_preparation=0), NOTHING, constants) == free


def test_eight_bit_activations_are_quantised(make_runs, make_constants):
    constants = make_constants(int8_stream_bytes=10.0)
    assert elementwise_seconds(make_runs(bits=8), NOTHING, constants) == pytest.approx([1.0])
    assert elementwise_seconds(make_runs(bits=4), NOTHING, constants) == pytest.approx([0.0])


def test_eager_attention_moves_the_scores(make_runs, make_constants):
    constants = make_constants(eager_bytes_per_score=3.0)
    eager = make_runs(attention=code(Attention.EAGER))
    # 100 tokens x 50 scores x 2 heads x 2 layers x 3 bytes / 1e5
    assert elementwise_seconds(eager, NOTHING, constants) == pytest.approx([0.6])
    assert elementwise_seconds(eager, WHOLE, constants) == pytest.approx([0.8])
    assert elementwise_seconds(make_runs(attention=code(Attention.SDPA)), NOTHING, constants) == pytest.approx([0.0])


def test_loss_moves_the_vocabulary_and_is_never_recomputed(make_runs, make_constants):
    constants = make_constants(loss_bytes=5.0, fused_loss_share=0.4)
    for repeated in (NOTHING, WHOLE):
        assert elementwise_seconds(make_runs(), repeated, constants) == pytest.approx([0.5])
    for loss in (Loss.TRITON, Loss.FUSED):
        assert elementwise_seconds(make_runs(loss=code(loss)), NOTHING, constants) == pytest.approx([0.2])


def test_adapters_and_dora_move_their_widths(make_runs, make_constants):
    constants = make_constants(adapter_bytes=1.0, dora_bytes=4.0, fused_elementwise_share=0.5)
    # 100 tokens x 2 layers x (20 + 30) x bytes / 1e5
    assert elementwise_seconds(make_runs(), NOTHING, constants) == pytest.approx([0.1])
    assert elementwise_seconds(make_runs(), WHOLE, constants) == pytest.approx([0.1 * 4 / 3])
    assert elementwise_seconds(make_runs(tuning=code(Tuning.DORA)), NOTHING, constants) == pytest.approx([0.5])
    assert elementwise_seconds(make_runs(tuning=code(Tuning.RSLORA)), NOTHING, constants) == pytest.approx([0.1])
    assert elementwise_seconds(make_runs(fused_kernels=True), NOTHING, constants) == pytest.approx([0.05])


def test_adapters_are_cast_by_hf_alone(make_runs, make_constants):
    constants = make_constants(adapter_cast_bytes=2.0, fused_elementwise_share=0.5)
    runs = make_runs(bits=[16, 4, 16, 16], stack=[0, 0, 1, 0], fused_kernels=[False, False, False, True])
    assert elementwise_seconds(runs, NOTHING, constants) == pytest.approx([0.2, 0.2, 0.0, 0.1])
    assert elementwise_seconds(make_runs(tuning=0, adapter_inputs=0.0, adapter_outputs=0.0), NOTHING, constants) == 0.0


def test_master_weights_are_cast_in_mixed_full_fine_tuning_only(make_runs, make_constants):
    constants = make_constants(cast_bytes=5.0)
    for precision, seconds in ((Precision.BF16_MIXED, 0.2), (Precision.FP16_MIXED, 0.2), (Precision.BF16_PURE, 0.0)):
        runs = make_runs(tuning=0, precision=code(precision))
        assert elementwise_seconds(runs, NOTHING, constants) == pytest.approx([seconds])
    frozen = make_runs(precision=code(Precision.BF16_MIXED))
    assert elementwise_seconds(frozen, NOTHING, constants) == pytest.approx([0.0])


def test_floor_is_launches_per_layer(make_runs, make_constants):
    constants = make_constants(launch_s=ONE_STACK * 3.0, full_launch_share=2.0, compiled_launch_share=0.5)
    assert launch_floor_seconds(make_runs(), NOTHING, constants) == pytest.approx([6.0])
    assert launch_floor_seconds(make_runs(), WHOLE, constants) == pytest.approx([8.0])
    assert launch_floor_seconds(make_runs(tuning=0), NOTHING, constants) == pytest.approx([12.0])
    assert launch_floor_seconds(make_runs(compiled=True), NOTHING, constants) == pytest.approx([3.0])


def test_floor_grows_where_layers_are_gathered_on_several_gpus(make_runs, make_constants):
    constants = make_constants(
        launch_s=ONE_STACK, fsdp_launch_share=2.0, fsdp_adapter_launch_share=5.0, zero3_launch_share=3.0,
        full_launch_share=1.0,
    )  # fmt: skip
    fsdp, zero3 = code(Sharding.FSDP), code(Sharding.ZERO3)

    def floor(**changes: object) -> float:
        return float(launch_floor_seconds(make_runs(**changes), NOTHING, constants)[0])

    assert floor(sharding=fsdp, gpu_count=2.0) == pytest.approx(20.0)
    assert floor(sharding=fsdp, nodes=2.0) == pytest.approx(20.0)
    # fused adapters exist for k-bit layers
    assert floor(sharding=fsdp, gpu_count=2.0, fused_kernels=True) == pytest.approx(20.0)
    assert floor(sharding=fsdp, gpu_count=2.0, fused_kernels=True, bits=4) == pytest.approx(4.0)
    assert floor(sharding=fsdp, gpu_count=2.0, tuning=0) == pytest.approx(4.0)
    assert floor(sharding=zero3, gpu_count=2.0) == pytest.approx(6.0)
    assert floor(sharding=fsdp) == pytest.approx(2.0)
    assert floor(sharding=code(Sharding.ZERO2), gpu_count=2.0) == pytest.approx(2.0)


def test_floor_grows_with_experts_that_are_looped_over(make_runs, make_constants):
    constants = make_constants(launch_s=ONE_STACK, expert_launch_share=0.25)
    assert launch_floor_seconds(make_runs(experts=8.0), NOTHING, constants) == pytest.approx([6.0])
    assert launch_floor_seconds(make_runs(experts=8.0, fused_kernels=True), NOTHING, constants) == pytest.approx([2.0])


def test_floor_is_never_below_reading_the_weights(make_runs, make_constants):
    constants = make_constants()
    # passes x 2 bytes x 4000 weights / 1e5 bytes/s
    assert launch_floor_seconds(make_runs(), NOTHING, constants) == pytest.approx([0.16])
    assert launch_floor_seconds(make_runs(), WHOLE, constants) == pytest.approx([0.24])
    assert launch_floor_seconds(make_runs(tuning=0), NOTHING, constants) == pytest.approx([0.24])


def test_dequantisation_is_constant_per_micro_step(make_runs, make_constants):
    constants = make_constants(dequantisation_bytes=10.0, int8_bytes=25.0, single_quant_share=0.9)
    for micro_batch in (1.0, 64.0):
        runs = make_runs(bits=4, micro_batch=micro_batch)
        assert dequantisation_seconds(runs, NOTHING, constants) == pytest.approx([0.8])
    assert dequantisation_seconds(make_runs(bits=4), WHOLE, constants) == pytest.approx([1.2])
    assert dequantisation_seconds(make_runs(bits=4, double_quant=False), NOTHING, constants) == pytest.approx([0.72])
    assert dequantisation_seconds(make_runs(bits=8), NOTHING, constants) == pytest.approx([2.0])
    assert dequantisation_seconds(make_runs(bits=16), NOTHING, constants) == pytest.approx([0.0])


def test_memory_bound_terms_scale_with_bandwidth(make_runs, make_constants):
    constants = make_constants(dequantisation_bytes=10.0, bandwidth_efficiency=0.5, loss_bytes=5.0)
    runs = make_runs(bits=4, memory_bandwidth_bytes_per_s=2e5)
    assert dequantisation_seconds(runs, NOTHING, constants) == pytest.approx([0.8])
    assert elementwise_seconds(runs, NOTHING, constants) == pytest.approx([0.5])


def test_micro_step_joins_work_and_floor_by_the_power(make_runs, make_constants):
    constants = make_constants(launch_s=ONE_STACK * 1.5, loss_bytes=20.0, dequantisation_bytes=10.0)
    step = micro_step(make_runs(bits=4), flops(10_000), WHOLE, constants)
    assert step.compute == pytest.approx([2.0])
    assert step.memory == pytest.approx([2.0])
    assert step.launch == pytest.approx([(4.0**3 + 3.0**3) ** (1 / 3) - 4.0])
    assert step.dequantisation == pytest.approx([0.8])
    assert step.total == pytest.approx([(4.0**3 + 3.0**3) ** (1 / 3) + 0.8])


def test_every_pass_moves_launches_and_dequantises_anew(make_runs, make_constants):
    constants = make_constants(launch_s=ONE_STACK * 1.5, loss_bytes=20.0, dequantisation_bytes=10.0)
    step = micro_step(make_runs(bits=4), flops(10_000), 2 * WHOLE, constants)
    assert step.compute == pytest.approx([2.0])  # the FLOP of all passes are given
    assert step.memory == pytest.approx([4.0])
    assert step.launch == pytest.approx([(6.0**3 + 6.0**3) ** (1 / 3) - 6.0])
    assert step.dequantisation == pytest.approx([1.6])
