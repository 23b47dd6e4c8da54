from __future__ import annotations

import numpy as np
import pytest

from optimizer.physics.flops import Flops
from optimizer.physics.generation import (
    cache_bytes_per_token,
    decode_seconds,
    objective_flops,
    objective_passes,
)

TRAINING = Flops(matrix=np.array([30_000.0]), attention=np.array([7000.0]))
FORWARD, FORWARD_FULL, SCORES = 10_400.0, 10_000.0, 2000.0


def work_of(runs, constants) -> Flops:
    return objective_flops(runs, TRAINING, objective_passes(runs.recipe, constants))


def test_supervised_tuning_is_training_alone(make_runs, make_constants):
    assert work_of(make_runs(), make_constants()) is TRAINING


def test_dpo_adds_one_reference_forward(make_runs, make_constants):
    total = work_of(make_runs(objective=1), make_constants())
    assert total.matrix == pytest.approx([30_000 + FORWARD])
    assert total.attention == pytest.approx([7000 + SCORES])


def test_ppo_trains_policy_and_value_and_scores_with_three_models(make_runs, make_constants):
    runs = make_runs(objective=2, tuning=0, reward_params=5000.0)
    total = work_of(runs, make_constants(ppo_epochs=4.0))
    # four epochs of two models; forwards of old policy, reference and value; the reward model
    assert total.matrix == pytest.approx([4 * 2 * 30_000 + 3 * FORWARD_FULL + 2 * 5000])
    assert total.attention == pytest.approx([4 * 2 * 7000 + 3 * SCORES])


def test_ppo_with_adapters_shares_the_trunk_with_the_value_head(make_runs, make_constants):
    runs = make_runs(objective=2, tuning=1, reward_params=5000.0)
    total = work_of(runs, make_constants(ppo_epochs=4.0))
    assert total.matrix == pytest.approx([4 * 30_000 + 2 * FORWARD + 2 * 5000])


def test_mixed_columns_keep_each_objective_apart(make_runs, make_constants):
    runs = make_runs(objective=[0, 1, 2], reward_params=5000.0)
    total = work_of(runs, make_constants(ppo_epochs=1.0))
    assert total.matrix == pytest.approx([30_000, 30_000 + FORWARD, 30_000 + 2 * FORWARD + 10_000])


def test_passes_by_objective_and_tuning(make_runs, make_constants):
    runs = make_runs(objective=[0, 1, 2, 0, 1, 2], tuning=[0, 0, 0, 1, 1, 1])
    passes = objective_passes(runs.recipe, make_constants(ppo_epochs=4.0))
    assert passes.trainings.tolist() == [1, 1, 8, 1, 1, 4]
    assert passes.forwards.tolist() == [0, 1, 3, 0, 1, 2]
    assert passes.equivalent == pytest.approx([1, 4 / 3, 9, 1, 4 / 3, 14 / 3])


def test_cache_holds_keys_and_values_of_every_layer(make_runs):
    # keys and values x 2 bytes x 2 layers x 1 head x 5
    assert cache_bytes_per_token(make_runs().model) == pytest.approx([40.0])


def test_decoding_reads_weights_and_caches(make_runs, make_constants):
    runs = make_runs(objective=2, prompt_tokens=30.0, response_tokens=20.0, peak_flops_per_s=1e12)
    cached = 2 * (30 + 10) * 40
    expected = 20 * (12_080 + cached) / (1e5 * 0.5)
    constants = make_constants(decode_bandwidth_efficiency=0.5)
    assert decode_seconds(runs, constants) == pytest.approx([expected])


def test_decoding_quantised_weights_reads_fewer_bytes(make_runs, make_constants):
    runs = make_runs(objective=2, response_tokens=20.0, bits=4, peak_flops_per_s=1e12)
    assert decode_seconds(runs, make_constants()) == pytest.approx([20 * (6080 + 2 * 10 * 40) / 1e5])


def test_decoding_moe_reads_active_experts(make_runs, make_constants):
    runs = make_runs(objective=2, response_tokens=20.0, active_linear_params=1000.0, peak_flops_per_s=1e12)
    assert decode_seconds(runs, make_constants()) == pytest.approx([20 * (12_080 / 4 + 800) / 1e5])


def test_decoding_is_bound_by_arithmetic_or_launches_where_they_are_longer(make_runs, make_constants):
    slow = make_runs(objective=2, response_tokens=20.0, peak_flops_per_s=1e3)
    assert decode_seconds(slow, make_constants()) == pytest.approx([20 * 2 * FORWARD / 500])
    launched = make_runs(objective=2, response_tokens=20.0, peak_flops_per_s=1e12)
    assert decode_seconds(launched, make_constants(decode_launch_s=3.0)) == pytest.approx([20 * 6.0])


def test_only_ppo_generates(make_runs, make_constants):
    runs = make_runs(objective=[0, 1, 2], response_tokens=20.0)
    constants = make_constants(decode_launch_s=3.0)
    assert decode_seconds(runs, constants) == pytest.approx([0.0, 0.0, 120.0])
    assert decode_seconds(make_runs(objective=1, response_tokens=20.0), constants) == pytest.approx([0.0])
