from __future__ import annotations

import math

import numpy as np
import pytest

from optimizer.physics.axes import Offload, Sharding, Stack, code
from optimizer.physics.results import BOUNDS
from optimizer.physics.throughput import estimate_throughput, step_parts

ONE_STACK = np.ones(len(Stack))
# LoRA on the toy: 2 x 10,400 + 400 matrix FLOP and 3.5 x 2000 attention FLOP per token.
PER_TOKEN = 2 * 10_400 + 400 + 7000
COMPUTE = 100 * PER_TOKEN / 0.5e6


def bound_name(columns) -> str:
    return BOUNDS[int(columns.bound[0])]


def test_step_of_one_gpu_is_its_micro_steps_and_the_update(make_runs, make_constants):
    constants = make_constants(optimizer_launch_s=0.5, loss_bytes=10.0)
    speed = estimate_throughput(make_runs(grad_accum=3.0), constants)
    assert speed.parts_s["compute"] == pytest.approx([3 * COMPUTE])
    assert speed.parts_s["memory"] == pytest.approx([3 * 1.0])
    assert speed.parts_s["optimizer"] == pytest.approx([0.5])
    floor = 0.16  # reading the weights twice
    launch = 3 * (((COMPUTE + 1.0) ** 3 + floor**3) ** (1 / 3) - COMPUTE - 1.0)
    assert speed.parts_s["launch"] == pytest.approx([launch])
    assert speed.step_s == pytest.approx([3 * COMPUTE + 3 * 1.0 + 0.5 + launch])
    assert speed.tokens_per_s.expected == pytest.approx(300 / speed.step_s)


def test_real_tokens_leave_the_padding_out(make_runs, make_constants):
    plain, padded = (estimate_throughput(make_runs(padding_factor=factor), make_constants()) for factor in (1.0, 1.25))
    assert padded.tokens_per_s.expected == pytest.approx(plain.tokens_per_s.expected / 1.25)
    assert padded.step_s == pytest.approx(plain.step_s)
    assert padded.mfu == pytest.approx(plain.mfu)


def test_every_gpu_of_every_node_counts(make_runs, make_constants):
    one = estimate_throughput(make_runs(), make_constants())
    many = estimate_throughput(make_runs(gpu_count=4.0, nodes=2.0), make_constants())
    assert many.tokens_per_s.expected == pytest.approx(8 * one.tokens_per_s.expected)
    assert many.mfu == pytest.approx(one.mfu)


def test_utilisation_is_counted_flops_over_peak(make_runs, make_constants):
    speed = estimate_throughput(make_runs(), make_constants())
    assert speed.mfu == pytest.approx(100 / speed.step_s * 4 * 6040 / 1e6)


def test_interval_is_lognormal(make_runs, make_constants):
    constants = make_constants(stack_sigma=ONE_STACK * 0.3)
    speed = estimate_throughput(make_runs(), constants)
    assert speed.sigma_log == pytest.approx([0.3], rel=1e-3)
    middle = speed.tokens_per_s.expected
    assert speed.tokens_per_s.low == pytest.approx(middle * np.exp(-1.2815515655 * speed.sigma_log))
    assert speed.tokens_per_s.high == pytest.approx(middle * np.exp(1.2815515655 * speed.sigma_log))


def test_communication_per_micro_step_and_per_step(make_runs, make_constants):
    ddp = step_parts(make_runs(sharding=code(Sharding.DDP), gpu_count=2.0, grad_accum=4.0), make_constants())
    assert ddp["interconnect"] == pytest.approx([2 * 800 / 2 / 1e4])
    fsdp = step_parts(make_runs(sharding=code(Sharding.FSDP), gpu_count=2.0, grad_accum=4.0), make_constants())
    assert fsdp["interconnect"] == pytest.approx([4 * (2 * 12_080 + 800) / 2 / 1e4])


def test_an_unknown_network_reaches_from_the_slow_one_to_the_fastest(make_runs, make_constants):
    constants = make_constants(assumed_network_bytes_per_s=0.1, fast_network_bytes_per_s=800.0)
    changes = {"sharding": code(Sharding.FSDP), "nodes": 2.0, "gpu_count": 2.0}
    unknown, slow, fast = (
        estimate_throughput(make_runs(network_bytes_per_s=speed, **changes), constants)
        for speed in (np.nan, 0.1, 800.0)
    )
    assert unknown.tokens_per_s.expected == pytest.approx(slow.tokens_per_s.expected)
    expected = np.hypot(slow.sigma_log, np.log(slow.step_s / fast.step_s) / 1.2815515655)
    assert unknown.sigma_log == pytest.approx(expected)
    assert unknown.tokens_per_s.high >= fast.tokens_per_s.expected
    assert fast.tokens_per_s.expected > 100 * slow.tokens_per_s.expected


def test_an_unknown_network_says_nothing_inside_one_node(make_runs, make_constants):
    runs = make_runs(sharding=code(Sharding.FSDP), gpu_count=2.0, network_bytes_per_s=[np.nan, 1e3])
    speed = estimate_throughput(runs, make_constants())
    assert speed.sigma_log[0] == speed.sigma_log[1]


@pytest.mark.parametrize("sharding", [Sharding.ZERO3, Sharding.FSDP])
def test_gathering_is_not_credited_with_its_sharded_update(make_runs, make_constants, sharding):
    constants = make_constants(optimizer_bytes=np.full(5, 1e5))
    changes = {"gpu_count": 2.0, "link_bytes_per_s": 1e9}
    ddp, gathered = (
        step_parts(make_runs(sharding=code(one), **changes), constants) for one in (Sharding.DDP, sharding)
    )
    # the shard's update is half of the 200 s that DDP takes; what is saved is put back
    assert ddp["optimizer"] == pytest.approx([200.0])
    assert gathered["optimizer"] + gathered["interconnect"] == pytest.approx(ddp["optimizer"] + ddp["interconnect"])
    zero1 = step_parts(make_runs(sharding=code(Sharding.ZERO1), **changes), constants)
    assert zero1["optimizer"] == pytest.approx([100.0])
    alone = step_parts(make_runs(sharding=code(sharding)), constants)
    assert alone["optimizer"] == pytest.approx([200.0])


def test_offload_is_not_credited_with_its_sharded_update(make_runs, make_constants):
    constants = make_constants(optimizer_bytes=np.full(5, 1e5))
    fast = {"gpu_count": 2.0, "link_bytes_per_s": 1e30, "pcie_bytes_per_s": 1e30}
    runs = make_runs(sharding=code(Sharding.ZERO2), offload=code(Offload.CPU), **fast)
    parts = step_parts(runs, constants)
    # the host takes the 100 s of a GPU's half; DDP takes 200
    assert parts["offload"] == pytest.approx([100.0])
    assert parts["optimizer"] == pytest.approx([100.0])


def test_communication_hides_behind_computation(make_runs, make_constants):
    hidden = step_parts(make_runs(sharding=code(Sharding.FSDP), gpu_count=2.0), make_constants(overlap=0.75))
    # 1.248 s of exchange are shorter than 0.75 of the computation
    assert hidden["interconnect"] == pytest.approx([0.25 * (2 * 12_080 + 800) / 2 / 1e4])


def test_offload_counts_every_micro_step_and_the_update(make_runs, make_constants):
    runs = make_runs(
        offload=code(Offload.CPU), sharding=code(Sharding.FSDP), gpu_count=2.0, grad_accum=3.0, trainable_params=200.0
    )
    parts = step_parts(runs, make_constants())
    assert parts["offload"] == pytest.approx([3 * 2 * 12_080 / 2 / 1e3 + 4 * 100 / 1e3])
    assert parts["optimizer"] == pytest.approx([0.0])


def test_what_moves_once_hides_behind_the_last_micro_step_together_with_the_rest(make_runs, make_constants):
    runs = make_runs(sharding=code(Sharding.ZERO2), gpu_count=2.0, grad_accum=3.0, link_bytes_per_s=[1e3, 100.0])
    parts = step_parts(runs, make_constants(overlap=0.5))
    micro = (COMPUTE**3 + 0.16**3) ** (1 / 3)
    gradients = np.array([0.4, 4.0])  # per pass; the last micro-step gathers weights as well
    early = np.maximum(0.5 * gradients, gradients - 0.5 * micro)
    last = np.maximum(gradients, 2 * gradients - 0.5 * micro)
    assert parts["interconnect"] == pytest.approx(2 * early + last)


def test_ppo_repeats_update_exchange_and_work(make_runs, make_constants):
    constants = make_constants(ppo_epochs=4.0, optimizer_launch_s=0.5, decode_launch_s=0.75, loss_bytes=5.0)
    changes = {"sharding": code(Sharding.DDP), "gpu_count": 2.0, "grad_accum": 3.0, "response_tokens": 20.0}
    parts = step_parts(make_runs(objective=2, **changes), constants)
    assert parts["optimizer"] == pytest.approx([4 * 0.5])
    assert parts["interconnect"] == pytest.approx([4 * 2 * 800 / 2 / 1e4])
    assert parts["generation"] == pytest.approx([3 * 20 * 1.5])
    assert parts["memory"] == pytest.approx([3 * (4 + 2 / 3) * 0.5])
    sharded = make_runs(objective=2, **{**changes, "sharding": code(Sharding.ZERO2)})
    once = (800 / 2) / 1e4
    moved = 3 * (4 + 2 / 3) * once + 4 * once
    assert step_parts(sharded, constants)["interconnect"] == pytest.approx([moved])


def test_offload_repeats_with_the_passes(make_runs, make_constants):
    runs = make_runs(objective=2, offload=code(Offload.CPU), sharding=code(Sharding.FSDP), gpu_count=2.0)
    parts = step_parts(runs, make_constants(ppo_epochs=4.0))
    assert parts["offload"] == pytest.approx([(4 + 2 / 3) * 2 * 12_080 / 2 / 1e3 + 4 * 4 * 100 / 1e3])


@pytest.mark.parametrize(
    ("bound", "recipe", "changes"),
    [
        ("compute", {}, {}),
        ("memory", {}, {"loss_bytes": 1e6}),
        ("launch", {}, {"launch_s": ONE_STACK * 100}),
        ("dequantisation", {"bits": 4}, {"dequantisation_bytes": 1e4}),
        ("optimizer", {}, {"optimizer_launch_s": 100.0}),
        ("interconnect", {"sharding": code(Sharding.FSDP), "gpu_count": 2.0, "link_bytes_per_s": 10.0}, {}),
        ("offload", {"offload": code(Offload.CPU)}, {"host_update_params_per_s": 0.1}),
        ("generation", {"objective": 2, "response_tokens": 20.0}, {"decode_launch_s": 100.0}),
        ("data", {}, {"data_tokens_per_s": 1.0}),
    ],
)
def test_the_longest_part_is_the_bound(make_runs, make_constants, bound, recipe, changes):
    assert bound_name(estimate_throughput(make_runs(**recipe), make_constants(**changes))) == bound


def test_loading_adds_only_what_training_does_not_cover(make_runs, make_constants):
    free = estimate_throughput(make_runs(grad_accum=3.0), make_constants())
    covered = estimate_throughput(make_runs(grad_accum=3.0), make_constants(data_tokens_per_s=301 / free.step_s[0]))
    assert covered.parts_s["data"] == pytest.approx([0.0])
    bound = estimate_throughput(make_runs(grad_accum=3.0), make_constants(data_tokens_per_s=2.0))
    assert bound.step_s == pytest.approx([150.0])
    assert bound.tokens_per_s.expected == pytest.approx([2.0])


def test_gpus_wait_for_the_one_with_the_longest_rows(make_runs, make_constants):
    constants = make_constants(row_spread=0.5)
    varied = {"variable_length": True, "micro_batch": 4.0, "grad_accum": 4.0}
    alone = make_runs(**varied)
    assert step_parts(alone, constants)["interconnect"] == pytest.approx([0.0])
    eight = make_runs(
        **varied, gpu_count=8.0, link_bytes_per_s=1e30, sharding=[code(Sharding.FSDP), code(Sharding.DDP)]
    )
    parts = step_parts(eight, constants)
    # 1.42 deviations of 0.5 over the square root of 4 rows; DDP meets once a step, after 16
    assert parts["interconnect"] == pytest.approx([1.42 * 0.25, 1.42 * 0.125] * parts["compute"])
    even = make_runs(**{**varied, "variable_length": False}, gpu_count=8.0, link_bytes_per_s=1e30)
    assert step_parts(even, constants)["interconnect"] == pytest.approx([0.0])


def test_every_column_has_one_value_per_run(make_runs, make_constants):
    speed = estimate_throughput(make_runs(seq_len=[50.0, 100.0, 200.0]), make_constants())
    columns = [*speed.parts_s.values(), speed.step_s, speed.sigma_log, speed.mfu, speed.bound, speed.basis]
    columns += [speed.tokens_per_s.low, speed.tokens_per_s.expected, speed.tokens_per_s.high]
    assert {column.shape for column in columns} == {(3,)}
    assert tuple(speed.parts_s) == BOUNDS


def test_an_irrelevant_column_still_decides_the_shape(make_runs, make_constants):
    speed = estimate_throughput(make_runs(disk_bytes=[1.0, 2.0]), make_constants())
    assert speed.tokens_per_s.expected.shape == (2,)
    assert speed.basis.shape == (2,)


def test_unknown_peak_gives_unknown_speed(make_runs, make_constants):
    speed = estimate_throughput(make_runs(peak_flops_per_s=[np.nan, 1e6]), make_constants())
    assert math.isnan(speed.tokens_per_s.expected[0])
    assert speed.tokens_per_s.expected[1] > 0
