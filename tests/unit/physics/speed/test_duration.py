from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest

from optimizer.physics.axes import Sharding, code
from optimizer.physics.duration import (
    checkpoint_bytes,
    checkpoint_download_bytes,
    checkpoint_interval_s,
    checkpoint_write_s,
    download_rate,
    estimate_duration,
    normal_cdf,
    whole_steps,
)
from optimizer.physics.results import Interval, ThroughputColumns
from optimizer.physics.speed_constants import DurationConstants
from optimizer.workload.job import Overheads

TIMES = DurationConstants(
    setup_s=60.0, download_bytes_per_s=302.0, load_bytes_per_s=604.0, checkpoint_bytes_per_s=100.0,
    small_checkpoint_bytes_per_s=50.0, checkpoint_share=0.05, checkpoint_least_s=1800.0,
    checkpoint_state_bytes=8.0, fixed_sigma=0.4,
)  # fmt: skip
NETWORK = 1e9


def speed_of(*tokens_per_s: float, sigma: float = 0.2) -> ThroughputColumns:
    expected = np.array(tokens_per_s)
    same = np.zeros(expected.shape)
    return ThroughputColumns(
        tokens_per_s=Interval(low=expected, expected=expected, high=expected),
        step_s=same, parts_s={}, sigma_log=same + sigma, mfu=same, bound=same.astype(np.int8),
        basis=same.astype(np.int8),
    )  # fmt: skip


@pytest.fixture
def duration(make_runs, shipped):
    def make(tokens=1e6, speeds=(100.0,), sigma=0.2, overheads=None, **changes):
        return estimate_duration(
            runs=make_runs(network_bytes_per_s=NETWORK, **changes),
            throughput=speed_of(*speeds, sigma=sigma),
            tokens=tokens,
            overheads=overheads or Overheads(),
            constants=replace(shipped, duration=TIMES),
        )

    return make


def test_parts_of_a_plain_job(duration):
    parts = duration().parts_s
    assert parts["setup"] == pytest.approx([60.0])
    assert parts["download"] == pytest.approx([2 * 6040 / 302])  # 40 s
    assert parts["load"] == pytest.approx([2 * 6040 / 604])  # 20 s
    assert parts["train"] == pytest.approx([10_000.0])
    # 200 adapter weights x 10 bytes / 50 bytes/s, every 1800 s and at the end
    assert parts["checkpoints"] == pytest.approx([40.0 * (10_000 / 1800 + 1)])
    assert parts["evaluation"] == pytest.approx([0.0])
    assert parts["failed_runs"] == pytest.approx([0.0])


def test_overheads_that_the_user_states(duration):
    overheads = Overheads(
        setup_s=5.0, data_bytes=302.0, checkpoint_every_s=1000.0, eval_fraction=0.1, failed_run_multiplier=1.5
    )
    parts = duration(overheads=overheads).parts_s
    assert parts["setup"] == pytest.approx([5.0])
    assert parts["download"] == pytest.approx([41.0])
    assert parts["checkpoints"] == pytest.approx([40.0 * 11])
    assert parts["evaluation"] == pytest.approx([1000.0])
    assert parts["failed_runs"] == pytest.approx([0.5 * (10_000 + 440 + 1000)])


def test_an_interval_of_zero_means_one_checkpoint_at_the_end(duration):
    assert duration(overheads=Overheads(checkpoint_every_s=0.0)).parts_s["checkpoints"] == pytest.approx([40.0])


def test_ppo_downloads_its_reward_model(make_runs):
    assert checkpoint_download_bytes(make_runs(objective=2, reward_params=100.0)) == pytest.approx([2 * 6140])
    assert checkpoint_download_bytes(make_runs(objective=1, reward_params=100.0)) == pytest.approx([2 * 6040])


def test_checkpoints_hold_weights_and_state_of_what_trains(make_runs):
    assert checkpoint_bytes(make_runs(trainable_params=200.0), TIMES) == pytest.approx([2000.0])


def test_a_slow_network_limits_the_download(make_runs):
    runs = make_runs(network_bytes_per_s=[100.0, 1e9, np.nan])
    assert download_rate(runs.machine, TIMES) == pytest.approx([100.0, 302.0, 302.0])


def test_an_unstated_interval_keeps_writing_to_a_twentieth(make_runs):
    # 40 s a write: 20 x 40 s stay below half an hour; at 200 s they do not
    runs = make_runs(trainable_params=[200.0, 1000.0])
    assert checkpoint_interval_s(runs, None, TIMES) == pytest.approx([1800.0, 4000.0])
    assert checkpoint_interval_s(runs, 60.0, TIMES) == pytest.approx([60.0])
    assert checkpoint_interval_s(runs, 0.0, TIMES) == pytest.approx([0.0])


def test_unstated_checkpoints_are_written_at_that_interval(duration):
    parts = duration(overheads=Overheads(checkpoint_every_s=None), trainable_params=1000.0).parts_s
    assert parts["checkpoints"] == pytest.approx([200.0 * (10_000 / 4000 + 1)])


def test_large_nodes_write_faster_and_each_its_own_shard(make_runs):
    # 2000 bytes: 50 bytes/s on a small node, 100 from 4 GPUs on; each of 2 nodes writes half of what is sharded
    for sharding, writers in ((Sharding.NONE, 1), (Sharding.DDP, 1), (Sharding.ZERO1, 2), (Sharding.FSDP, 2)):
        runs = make_runs(sharding=code(sharding), gpu_count=[1.0, 3.0, 4.0, 8.0], nodes=2.0)
        assert checkpoint_write_s(runs, TIMES) == pytest.approx(
            [40 / writers, 40 / writers, 20 / writers, 20 / writers]
        )


def test_training_is_rounded_up_to_whole_steps(duration):
    # 100 tokens a step at 100 tokens/s: a second each, however little is left for the last
    assert duration(tokens=1.0).parts_s["train"] == pytest.approx([1.0])
    assert duration(tokens=100.0).parts_s["train"] == pytest.approx([1.0])
    assert duration(tokens=101.0).parts_s["train"] == pytest.approx([2.0])
    # 4 x 2 GPUs, 3 micro-steps, a fifth of the tokens padding: 2000 real tokens a step
    wide = {"grad_accum": 3.0, "gpu_count": 4.0, "nodes": 2.0, "padding_factor": 1.2, "sharding": 5}
    assert duration(tokens=2001.0, **wide).parts_s["train"] == pytest.approx([40.0])


def test_a_rounding_error_is_no_further_step():
    per_step = np.array([0.1, 1 / 3])
    assert whole_steps(0.3, per_step) == pytest.approx([0.3, 1 / 3])
    assert whole_steps(0.1 * 3, np.array([0.1])) == pytest.approx([0.3])
    assert whole_steps(0.0, np.array([0.1])) == pytest.approx([0.1])


def test_a_checkpoint_is_fetched_at_the_width_that_it_is_published_in(make_runs):
    assert checkpoint_download_bytes(make_runs(published_bytes_per_param=0.5)) == pytest.approx([0.5 * 6040])
    ppo = make_runs(published_bytes_per_param=0.5, objective=2, reward_params=100.0)
    assert checkpoint_download_bytes(ppo) == pytest.approx([0.5 * 6040 + 200])


def test_parts_sum_to_the_expected_total(duration):
    found = duration(overheads=Overheads(eval_fraction=0.05, failed_run_multiplier=1.2))
    assert found.total.expected == pytest.approx(sum(found.parts_s.values()))


def test_doubling_the_tokens_doubles_the_training(duration):
    assert duration(tokens=2e6).parts_s["train"] == pytest.approx(2 * duration(tokens=1e6).parts_s["train"])


def test_quantiles_are_exact(duration):
    found = duration(sigma=0.3)
    fixed, variable = 120.0, 10_000 + 40 * (10_000 / 1800 + 1)
    for probability in (0.05, 0.5, 0.9, 0.99):
        z = NormalDist().inv_cdf(probability)
        assert found.quantile(probability) == pytest.approx([fixed * np.exp(0.4 * z) + variable * np.exp(0.3 * z)])
    assert found.total.low == pytest.approx(found.quantile(0.1))
    assert found.total.expected == pytest.approx(found.quantile(0.5))
    assert found.total.high == pytest.approx(found.quantile(0.9))


def test_probability_is_the_inverse_of_the_quantile(duration):
    found = duration(speeds=(100.0, 1.0, 1e9))
    for probability in (0.001, 0.1, 0.5, 0.9, 0.999):
        assert found.probability_within(found.quantile(probability)) == pytest.approx([probability] * 3, abs=1e-12)


def test_probability_at_the_ends(duration):
    found = duration()
    assert found.probability_within(0.0) == pytest.approx([0.0])
    assert found.probability_within(np.inf) == pytest.approx([1.0])


def test_agrees_with_sampling(duration):
    found = duration(sigma=0.3)
    z = np.random.default_rng(7).standard_normal(200_000)
    fixed, variable = 120.0, 10_000 + 40 * (10_000 / 1800 + 1)
    sample = fixed * np.exp(0.4 * z) + variable * np.exp(0.3 * z)
    assert found.probability_within(12_000.0) == pytest.approx([np.mean(sample <= 12_000.0)], abs=0.004)


@pytest.mark.parametrize("probability", [0.0, 1.0, -0.1, 1.1])
def test_a_probability_outside_its_range_is_refused(duration, probability):
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        duration().quantile(probability)


def test_unknown_speed_gives_unknown_duration(duration):
    found = duration(speeds=(np.nan, 100.0))
    assert np.isnan(found.total.expected).tolist() == [True, False]
    assert np.isnan(found.probability_within(1e9)).tolist() == [True, False]


def test_every_part_has_one_value_per_run(duration):
    found = duration(speeds=(1.0, 2.0, 3.0))
    assert {part.shape for part in found.parts_s.values()} == {(3,)}
    assert found.total.low.shape == (3,)


def test_normal_cdf_is_exact_to_the_last_digits():
    z = np.linspace(-9.0, 9.0, 1801)
    normal = NormalDist()
    assert normal_cdf(z) == pytest.approx([normal.cdf(value) for value in z], abs=1e-14)
    assert normal_cdf(np.array([-60.0, 60.0])) == pytest.approx([0.0, 1.0])


def test_normal_cdf_keeps_its_digits_far_out():
    z = np.array([-7.0, -7.2, -9.0, -20.0])
    assert normal_cdf(z) == pytest.approx([math.erfc(-value / math.sqrt(2.0)) / 2.0 for value in z], rel=1e-7)
