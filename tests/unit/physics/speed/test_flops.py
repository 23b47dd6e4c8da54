from __future__ import annotations

import numpy as np
import pytest

from optimizer.physics.flops import counted_flops_per_token, forward_flops, processed_tokens, training_flops

# The toy: 4000 linear weights, head 100 x 10, two layers of two heads of width 5, rows of 50, 200 adapter weights.
BLOCKS, HEAD, ADAPTERS, SCORES = 2 * 4000, 2 * 1000, 2 * 200, 2 * 50 * 2 * 2 * 5


def test_forward_of_adapters_counts_blocks_head_and_adapters(make_runs):
    runs = make_runs()
    flops = forward_flops(runs.model, runs.recipe)
    assert flops.matrix == pytest.approx([BLOCKS + HEAD + ADAPTERS])
    assert flops.attention == pytest.approx([SCORES])


def test_forward_of_full_fine_tuning_has_no_adapters(make_runs):
    runs = make_runs(tuning=0, trainable_params=6040.0, trains_embeddings=True)
    assert forward_flops(runs.model, runs.recipe).matrix == pytest.approx([BLOCKS + HEAD])


def test_forward_of_trained_embeddings_counts_the_head_once(make_runs):
    runs = make_runs(trains_embeddings=True, trainable_params=2200.0)
    assert forward_flops(runs.model, runs.recipe).matrix == pytest.approx([BLOCKS + HEAD])


def test_tied_head_is_computed_all_the_same(make_runs):
    tied = make_runs(head_params=0.0)
    assert forward_flops(tied.model, tied.recipe).matrix == pytest.approx([BLOCKS + HEAD + ADAPTERS])


def test_moe_counts_active_weights(make_runs):
    runs = make_runs(active_linear_params=1500.0, experts=8.0)
    assert forward_flops(runs.model, runs.recipe).matrix == pytest.approx([3000 + HEAD + ADAPTERS])


@pytest.mark.parametrize(
    ("tuning", "checkpointing", "matrix", "scores"),
    [
        (0, 0, 3 * (BLOCKS + HEAD), 3.5),  # forward, input gradient, weight gradient
        (0, 2, 3 * (BLOCKS + HEAD) + BLOCKS, 4.5),  # the head is not recomputed
        (0, 1, 3 * (BLOCKS + HEAD) + BLOCKS / 2, 4.0),
        (1, 0, 2 * (BLOCKS + HEAD + ADAPTERS) + ADAPTERS, 3.5),  # no gradients of frozen weights
        (1, 2, 3 * (BLOCKS + ADAPTERS) + 2 * HEAD + ADAPTERS, 4.5),
        (2, 2, 3 * (BLOCKS + ADAPTERS) + 2 * HEAD + ADAPTERS, 4.5),
        (3, 2, 3 * (BLOCKS + ADAPTERS) + 2 * HEAD + ADAPTERS, 4.5),
    ],
)
def test_training_flops_by_tuning_and_checkpointing(make_runs, tuning, checkpointing, matrix, scores):
    full = {"trainable_params": 6040.0, "trains_embeddings": True} if tuning == 0 else {}
    runs = make_runs(tuning=tuning, checkpointing=checkpointing, **full)
    flops = training_flops(runs.model, runs.recipe, 0.5)
    assert flops.matrix == pytest.approx([matrix])
    assert flops.attention == pytest.approx([scores * SCORES])


def test_trained_embeddings_add_the_gradient_of_the_head(make_runs):
    runs = make_runs(trains_embeddings=True, trainable_params=2200.0)
    assert training_flops(runs.model, runs.recipe, 0.5).matrix == pytest.approx([2 * (BLOCKS + HEAD) + HEAD])


def test_checkpointing_costs_a_third_of_full_and_a_half_of_adapters_in_the_limit(make_runs):
    # Without head and adapters the textbook ratios: 4/3 and 3/2.
    ratios = []
    for tuning in (0, 1):
        bare = {"vocab": 0.0, "trainable_params": 0.0, "tuning": tuning, "trains_embeddings": tuning == 0}
        none, full = make_runs(checkpointing=0, **bare), make_runs(checkpointing=2, **bare)
        ratios.append(
            training_flops(full.model, full.recipe, 0.3).matrix / training_flops(none.model, none.recipe, 0.3).matrix
        )
    assert np.ravel(ratios) == pytest.approx([4 / 3, 3 / 2])


def test_processed_tokens_are_rows_times_their_length_twice_for_pairs(make_runs):
    assert processed_tokens(make_runs().recipe) == pytest.approx([100.0])
    assert processed_tokens(make_runs(objective=1).recipe) == pytest.approx([200.0])
    assert processed_tokens(make_runs(objective=2).recipe) == pytest.approx([100.0])


def test_a_known_mean_row_replaces_the_longest_in_tokens_and_attention(make_runs):
    runs = make_runs(row_tokens=20.0)
    assert processed_tokens(runs.recipe) == pytest.approx([40.0])
    assert forward_flops(runs.model, runs.recipe).attention == pytest.approx([SCORES * 20 / 50])


def test_utilisation_counts_six_or_four_flop_per_parameter(make_runs):
    for tuning, factor in ((0, 6), (1, 4), (2, 4)):
        runs = make_runs(tuning=tuning)
        assert counted_flops_per_token(runs.model, runs.recipe) == pytest.approx([factor * 6040])
