from __future__ import annotations

import numpy as np
import pytest

from optimizer.physics.axes import Precision, Sharding, code
from optimizer.physics.communication import exchange, exposed, gradient_bytes, ring_seconds, weight_bytes


def test_weights_travel_at_their_own_width(make_runs):
    others = 1000 + 1000 + 40
    for bits, linear in ((16, 8000), (8, 4000), (4, 2000)):
        runs = make_runs(bits=bits)
        assert weight_bytes(runs.model, runs.recipe) == pytest.approx([linear + 2 * others])
    fp32 = make_runs(precision=code(Precision.FP32))
    assert weight_bytes(fp32.model, fp32.recipe) == pytest.approx([4 * (4000 + others)])


def test_gradients_are_16_bits_for_full_and_32_for_adapters(make_runs):
    assert gradient_bytes(make_runs(tuning=0, trainable_params=100.0).recipe) == pytest.approx([200.0])
    assert gradient_bytes(make_runs(tuning=1, trainable_params=100.0).recipe) == pytest.approx([400.0])
    fp32 = make_runs(tuning=0, trainable_params=100.0, precision=code(Precision.FP32))
    assert gradient_bytes(fp32.recipe) == pytest.approx([400.0])


def test_ring_inside_one_node(make_runs, make_constants):
    runs = make_runs(gpu_count=[1.0, 2.0, 4.0])
    assert ring_seconds(1e4, runs.machine, make_constants()) == pytest.approx([0.0, 0.5, 0.75])


def test_link_efficiency_by_kind(make_runs, make_constants):
    constants = make_constants(nvlink_efficiency=0.5, pcie_efficiency=0.25)
    runs = make_runs(gpu_count=2.0, nvlink=[True, False])
    assert ring_seconds(1e4, runs.machine, constants) == pytest.approx([1.0, 2.0])


def test_unknown_link_is_assumed(make_runs, make_constants):
    runs = make_runs(gpu_count=2.0, link_bytes_per_s=np.nan)
    assert ring_seconds(1e4, runs.machine, make_constants(assumed_link_bytes_per_s=200.0)) == pytest.approx([25.0])


def test_across_nodes_the_slower_ring_decides(make_runs, make_constants):
    constants = make_constants(network_efficiency=0.5)
    runs = make_runs(gpu_count=4.0, nodes=2.0, network_bytes_per_s=[500.0, 1e9])
    # half of the data through 250 bytes/s; or 7/8 of it through the link
    assert ring_seconds(1e4, runs.machine, constants) == pytest.approx([20.0, 0.875])
    single = make_runs(gpu_count=1.0, nodes=2.0, network_bytes_per_s=1e9)
    assert ring_seconds(1e4, single.machine, constants) == pytest.approx([1e4 / 2 / 0.5e9])


def test_unknown_network_is_assumed(make_runs, make_constants):
    runs = make_runs(gpu_count=1.0, nodes=2.0, network_bytes_per_s=np.nan)
    assert ring_seconds(1e4, runs.machine, make_constants(assumed_network_bytes_per_s=100.0)) == pytest.approx([50.0])


# Two GPUs over 1e4 bytes/s: a pass costs half of the bytes / 1e4. Gradients 200 x 4 bytes, weights 8000 + 4080 bytes.
GRADIENTS, WEIGHTS = 800 / 2 / 1e4, 12_080 / 2 / 1e4


@pytest.mark.parametrize(
    ("sharding", "per_micro_step", "per_step"),
    [
        (Sharding.NONE, 0.0, 0.0),
        (Sharding.DDP, 0.0, 2 * GRADIENTS),
        (Sharding.ZERO1, 0.0, 2 * GRADIENTS),
        (Sharding.ZERO2, GRADIENTS, GRADIENTS),
        (Sharding.ZERO3, 2 * WEIGHTS + GRADIENTS, 0.0),
        (Sharding.FSDP, 2 * WEIGHTS + GRADIENTS, 0.0),
    ],
)
def test_volumes_by_sharding(make_runs, make_constants, sharding, per_micro_step, per_step):
    runs = make_runs(sharding=code(sharding), gpu_count=2.0)
    moved = exchange(runs, make_constants())
    assert moved.per_micro_step == pytest.approx([per_micro_step])
    assert moved.per_step == pytest.approx([per_step])


def test_one_gpu_exchanges_nothing(make_runs, make_constants):
    for sharding in Sharding:
        moved = exchange(make_runs(sharding=code(sharding)), make_constants(collective_latency_s=1.0))
        assert moved.per_micro_step == pytest.approx([0.0])
        assert moved.per_step == pytest.approx([0.0])


def test_gathering_pays_latency_for_each_layer(make_runs, make_constants):
    # gathered forward, gathered backward, reduced: three collectives for each of two layers
    fast = make_constants(collective_latency_s=0.5)
    runs = make_runs(sharding=code(Sharding.FSDP), gpu_count=2.0, link_bytes_per_s=1e30)
    assert exchange(runs, fast).per_micro_step == pytest.approx([3.0])
    ddp = make_runs(sharding=code(Sharding.DDP), gpu_count=2.0, link_bytes_per_s=1e30)
    assert exchange(ddp, fast).per_micro_step == pytest.approx([0.0])


def test_latency_grows_with_the_ring_and_is_paid_by_what_exchanges_at_every_micro_step(make_runs, make_constants):
    slow = make_constants(hop_latency_s=0.5)
    for sharding, seconds in ((Sharding.FSDP, 9.0), (Sharding.ZERO2, 9.0), (Sharding.DDP, 0.0)):
        runs = make_runs(
            sharding=code(sharding), gpu_count=2.0, nodes=2.0, link_bytes_per_s=1e30, network_bytes_per_s=1e30
        )
        assert exchange(runs, slow).per_micro_step == pytest.approx([seconds])


def test_exposed_communication():
    communication = np.array([10.0, 10.0, 10.0])
    work = np.array([0.0, 5.0, 100.0])
    # nothing to hide behind; the 3.5 s that 0.7 of the work offers; at most 0.7 hides
    assert exposed(communication, work, 0.7) == pytest.approx([10.0, 6.5, 3.0])
    assert exposed(communication, work, 0.0) == pytest.approx([10.0, 10.0, 10.0])
