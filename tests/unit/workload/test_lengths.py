"""Length distributions: percentiles, truncation, padding."""

from __future__ import annotations

import random

import pytest

from optimizer.workload.lengths import GRID_POINTS, LengthDistribution, from_histogram


def of(*lengths: int) -> LengthDistribution:
    counts: dict[int, int] = {}
    for length in lengths:
        counts[length] = counts.get(length, 0) + 1
    return from_histogram(counts, basis="assumed")


def test_a_small_set_is_kept_whole() -> None:
    lengths = of(30, 10, 20, 10)
    assert lengths.quantiles == (10, 10, 20, 30)
    assert (lengths.count, lengths.mean, lengths.total_tokens) == (4, 17.5, 70)


def test_a_large_set_becomes_a_grid_of_midpoints() -> None:
    lengths = of(*range(1, 2001))
    assert len(lengths.quantiles) == GRID_POINTS
    # Midpoint of the first of 200 parts of 2000 values: the sixth value; of the last: the 1996th.
    assert (lengths.quantiles[0], lengths.quantiles[-1]) == (6, 1996)
    assert (lengths.count, lengths.mean) == (2000, 1000.5)


def test_percentile_is_the_nearest_rank() -> None:
    lengths = of(*range(1, 21))
    assert lengths.percentile(0.95) == 19
    assert lengths.percentile(0.951) == 20
    assert lengths.percentile(0.5) == 10
    assert lengths.percentile(0.0) == 1
    assert lengths.percentile(1.0) == 20
    # 0.07 x 100 is 7.000000000000001 in floating point and still the seventh.
    assert of(*range(1, 101)).percentile(0.07) == 7
    for fraction in (-0.1, 1.1):
        with pytest.raises(ValueError, match="is not within 0 to 1"):
            lengths.percentile(fraction)


def test_truncated_mean() -> None:
    lengths = of(10, 20, 30)
    assert lengths.truncated_mean(30) == 20
    assert lengths.truncated_mean(15) == pytest.approx((10 + 15 + 15) / 3)
    assert lengths.truncated_mean(5) == 5
    with pytest.raises(ValueError, match="seq_len 0"):
        lengths.truncated_mean(0)


def test_padding_of_two_lengths_by_hand() -> None:
    # Of two draws from {10, 30} the longest is 30 in 3 of 4 cases: 25 against a mean of 20.
    assert of(10, 30).padding_factor(2, 100) == pytest.approx(25 / 20)
    # Of three: 30 in 7 of 8 cases.
    assert of(10, 30).padding_factor(3, 100) == pytest.approx((10 / 8 + 30 * 7 / 8) / 20)
    # Cut off at 20, the same two lengths are 10 and 20.
    assert of(10, 30).padding_factor(2, 20) == pytest.approx(17.5 / 15)


def test_one_row_has_no_padding_and_equal_rows_have_none() -> None:
    assert of(10, 30, 500).padding_factor(1, 512) == 1.0
    assert of(64, 64, 64).padding_factor(8, 512) == 1.0
    assert of(10, 30, 500).padding_factor(64, 5) == 1.0


def test_padding_against_random_batches() -> None:
    rng = random.Random(20261122)
    lengths = of(*(max(1, round(rng.lognormvariate(5.0, 0.8))) for _ in range(1000)))
    cut = [min(length, 512) for length in lengths.quantiles]
    for micro_batch in (2, 4, 16):
        longest = [max(rng.choices(cut, k=micro_batch)) for _ in range(4000)]
        sampled = sum(longest) / len(longest) / (sum(cut) / len(cut))
        assert lengths.padding_factor(micro_batch, 512) == pytest.approx(sampled, rel=0.03)


def test_senseless_distributions_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        of()
    with pytest.raises(ValueError, match="length 0 is not at least 1 token"):
        of(0, 5)
    with pytest.raises(ValueError, match="ascending"):
        LengthDistribution(quantiles=(5, 3), count=2, mean=4, basis="assumed")
    with pytest.raises(ValueError, match="micro_batch 0"):
        of(5).padding_factor(0, 10)
    with pytest.raises(ValueError, match="seq_len 0"):
        of(5).padding_factor(2, 0)
