"""Where only the mean length is said, the spread around it is assumed, disclosed, and keeps the mean."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from optimizer.workload.job import Job, complete_job
from optimizer.workload.job_input import JobInput
from optimizer.workload.lengths import spread_around
from optimizer.workload.models import load_models
from providers.gpus import load_gpus

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


def job(**said: object) -> Job:
    values = {"model": "llama-3.1-8b", **said}
    models, gpus = load_models(), load_gpus()
    return complete_job(JobInput.from_mapping(values, where="test"), models=models, gpus=gpus, now=NOW, where="test")


@pytest.mark.parametrize(("mean", "seq_len"), [(140, 256), (400, 4096), (1000, 1024)])
def test_cutting_keeps_the_mean(mean: int, seq_len: int) -> None:
    lengths = spread_around(mean, count=1000, seq_len=seq_len)
    assert sum(lengths.quantiles) / len(lengths.quantiles) == pytest.approx(mean, rel=0.01)
    assert lengths.quantiles[-1] <= seq_len
    assert lengths.basis == "assumed"


def test_uncut_lengths_are_lognormal_with_half_the_mean_as_deviation() -> None:
    quantiles = spread_around(1000, count=10, seq_len=100_000).quantiles
    # A lognormal of variation 1/2 has its median at mean / sqrt(1 + 1/4).
    assert quantiles[len(quantiles) // 2] == pytest.approx(1000 / 1.25**0.5, rel=0.01)
    deviation = (sum((length - 1000) ** 2 for length in quantiles) / len(quantiles)) ** 0.5
    assert deviation == pytest.approx(500, rel=0.05)


def test_a_mean_beyond_the_row_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="not within"):
        spread_around(300, count=1, seq_len=256)


def test_a_stated_mean_is_padded_and_the_assumption_listed() -> None:
    made = job(samples=13_300, tokens_per_sample=140, epochs=4)
    assert made.lengths is not None
    assert made.lengths.padding_factor(8, made.seq_len) > 1.3
    assert any("spread of lengths = 50% of their mean" in line for line in made.defaults_used)
    assert made.tokens == 13_300 * 140 * 4


@pytest.mark.parametrize(
    "said",
    [
        {"samples": 10, "tokens_per_sample": 140, "packing": True},
        {"samples": 10, "tokens_per_sample": 256},
        {"tokens": 1_000_000},
    ],
)
def test_packed_and_full_rows_have_nothing_to_pad(said: dict[str, object]) -> None:
    made = job(**said)
    assert made.lengths is None
    assert not any("spread" in line for line in made.defaults_used)


def test_row_tokens_are_the_mean_row_with_its_padding() -> None:
    made = job(samples=13_300, tokens_per_sample=140)
    assert made.row_tokens(1) == pytest.approx(140)
    assert made.row_tokens(8) == pytest.approx(140 * made.padding_factor(8))
    assert job(tokens=1_000_000).row_tokens(8) is None
    assert job(tokens=1_000_000).padding_factor(8) == 1.0
