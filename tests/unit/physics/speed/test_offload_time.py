from __future__ import annotations

import numpy as np
import pytest

from optimizer.physics.axes import Offload, Optimizer, Precision, Sharding, code
from optimizer.physics.offload_time import update

BYTES = np.array([40.0, 20.0, 10.0, 8.0, 4.0])
CPU, NVME = code(Offload.CPU), code(Offload.NVME)


def test_optimizer_streams_its_bytes(make_runs, make_constants):
    constants = make_constants(optimizer_bytes=BYTES, pure_optimizer_share=0.5)
    for optimizer, size in zip(Optimizer, BYTES, strict=True):
        full = make_runs(
            tuning=0, trainable_params=1000.0, precision=code(Precision.BF16_MIXED), optimizer=code(optimizer)
        )
        assert update(full, constants).optimizer == pytest.approx([1000 * size / 1e5])


def test_pure_16_bit_state_is_smaller_for_full_fine_tuning(make_runs, make_constants):
    constants = make_constants(optimizer_bytes=BYTES, pure_optimizer_share=0.5)
    for precision in (Precision.BF16_PURE, Precision.FP16_PURE):
        pure = make_runs(tuning=0, trainable_params=1000.0, precision=code(precision))
        assert update(pure, constants).optimizer == pytest.approx([0.2])
    adapters = make_runs(tuning=1, trainable_params=1000.0, precision=code(Precision.BF16_PURE))
    assert update(adapters, constants).optimizer == pytest.approx([0.4])


def test_adapters_pay_launches(make_runs, make_constants):
    constants = make_constants(optimizer_launch_s=0.25)
    assert update(make_runs(tuning=1), constants).optimizer == pytest.approx([0.25])
    assert update(make_runs(tuning=0), constants).optimizer == pytest.approx([0.0])


@pytest.mark.parametrize(
    ("sharding", "shards"),
    [
        (Sharding.NONE, 1), (Sharding.DDP, 1), (Sharding.ZERO1, 8), (Sharding.ZERO2, 8), (Sharding.ZERO3, 8),
        (Sharding.FSDP, 8),
    ],
)  # fmt: skip
def test_sharded_state_is_updated_in_shares(make_runs, make_constants, sharding, shards):
    runs = make_runs(trainable_params=8000.0, sharding=code(sharding), gpu_count=4.0, nodes=2.0)
    assert update(runs, make_constants(optimizer_bytes=BYTES)).optimizer == pytest.approx([8000 * 40 / 1e5 / shards])


def test_paged_state_crosses_the_host_link(make_runs, make_constants):
    constants = make_constants(paged_share=0.5, host_link_efficiency=0.5)
    paged = make_runs(trainable_params=1000.0, optimizer=code(Optimizer.PAGED_ADAMW_8BIT))
    # two states of one byte, out and back: 4 bytes x 0.5 x 1000 / 500 bytes/s
    assert update(paged, constants).optimizer == pytest.approx([4.0])
    other = make_runs(trainable_params=1000.0, optimizer=code(Optimizer.ADAMW_8BIT))
    assert update(other, constants).optimizer == pytest.approx([0.0])


def test_cpu_offload_moves_gradients_and_weights_and_updates_on_the_host(make_runs, make_constants):
    constants = make_constants(host_update_params_per_s=100.0)
    runs = make_runs(tuning=0, trainable_params=1000.0, offload=CPU)
    done = update(runs, constants)
    assert done.optimizer == pytest.approx([0.0])
    assert done.offload_per_micro_step == pytest.approx([0.0])
    assert done.offload_per_step == pytest.approx([4 * 1000 / 1e3 + 1000 / 100])


def test_host_updates_what_all_gpus_of_the_node_own(make_runs, make_constants):
    constants = make_constants(host_update_params_per_s=100.0)
    runs = make_runs(
        tuning=0, trainable_params=8000.0, offload=CPU, sharding=code(Sharding.ZERO2), gpu_count=4.0, nodes=2.0
    )
    # each GPU moves 1000 parameters, each node updates 4000
    assert update(runs, constants).offload_per_step == pytest.approx([4.0 + 40.0])


def test_host_update_is_never_a_gain(make_runs, make_constants):
    constants = make_constants(optimizer_bytes=BYTES, host_update_params_per_s=1e12)
    runs = make_runs(trainable_params=1000.0, offload=CPU)
    assert update(runs, constants).offload_per_step == pytest.approx([4.0 + 0.4])


def test_gathering_with_offload_fetches_the_weights_forward_and_backward(make_runs, make_constants):
    for sharding in (Sharding.ZERO3, Sharding.FSDP):
        runs = make_runs(offload=CPU, sharding=code(sharding), gpu_count=4.0)
        # 12,080 bytes of weights, a quarter on each GPU, twice, over 1e3 bytes/s
        assert update(runs, make_constants()).offload_per_micro_step == pytest.approx([6.04])
    kept = make_runs(sharding=code(Sharding.FSDP), gpu_count=4.0)
    assert update(kept, make_constants()).offload_per_micro_step == pytest.approx([0.0])


def test_nvme_reads_and_writes_twelve_bytes_per_parameter(make_runs, make_constants):
    constants = make_constants(nvme_bytes_per_s=1200.0)
    cpu, disk = (make_runs(trainable_params=1000.0, offload=where) for where in (CPU, NVME))
    extra = update(disk, constants).offload_per_step - update(cpu, constants).offload_per_step
    assert extra == pytest.approx([20.0])


def test_unknown_host_link_is_assumed(make_runs, make_constants):
    runs = make_runs(trainable_params=300.0, offload=CPU, pcie_bytes_per_s=np.nan)
    assert update(runs, make_constants(assumed_pcie_bytes_per_s=300.0)).offload_per_step == pytest.approx([4.0])


def test_without_offload_nothing_crosses(make_runs, make_constants):
    done = update(make_runs(trainable_params=1000.0), make_constants())
    assert done.offload_per_step == pytest.approx([0.0])
    assert done.offload_per_micro_step == pytest.approx([0.0])
