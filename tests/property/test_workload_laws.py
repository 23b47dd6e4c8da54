"""Laws of lengths and jobs that hold for any figures."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.workload.job import complete_job
from optimizer.workload.job_input import JobInput
from optimizer.workload.job_limits import has_bare_experts
from optimizer.workload.lengths import LengthDistribution, from_histogram
from optimizer.workload.models import load_models

MODELS = load_models()
PLAIN_MODELS = [name for name in MODELS.names() if not has_bare_experts(MODELS.resolve(name))]
"""Models whose weights take every width: for the others a job that asks for 4 bits is refused, and rightly so."""
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)

histograms = st.dictionaries(st.integers(1, 5000), st.integers(1, 400), min_size=1, max_size=30)


def distribution(counts: dict[int, int]) -> LengthDistribution:
    return from_histogram(counts, basis="assumed")


@given(counts=histograms, seq_len=st.integers(1, 6000))
def test_padding_grows_with_the_batch_and_never_passes_the_longest_row(counts: dict[int, int], seq_len: int) -> None:
    lengths = distribution(counts)
    factors = [lengths.padding_factor(batch, seq_len) for batch in (1, 2, 3, 8, 64)]
    assert factors[0] == 1.0
    assert all(low <= high * (1 + 1e-12) for low, high in pairwise(factors))
    cut = [min(length, seq_len) for length in lengths.quantiles]
    assert factors[-1] <= max(cut) * len(cut) / sum(cut) * (1 + 1e-12)


@given(counts=histograms)
def test_a_distribution_keeps_count_total_and_order(counts: dict[int, int]) -> None:
    lengths = distribution(counts)
    assert lengths.count == sum(counts.values())
    assert lengths.total_tokens == sum(length * number for length, number in counts.items())
    assert set(lengths.quantiles) <= set(counts)
    assert list(lengths.quantiles) == sorted(lengths.quantiles)
    shares = [lengths.percentile(i / 10) for i in range(11)]
    assert shares == sorted(shares)
    assert lengths.truncated_mean(10_000) == lengths.mean


@given(counts=histograms, seq_len=st.integers(1, 6000))
def test_cutting_rows_never_adds_tokens(counts: dict[int, int], seq_len: int) -> None:
    lengths = distribution(counts)
    kept = lengths.truncated_mean(seq_len)
    assert 0 < kept <= min(lengths.mean, float(seq_len)) * (1 + 1e-12)
    assert kept <= lengths.truncated_mean(seq_len + 1) * (1 + 1e-12)


said_values = st.fixed_dictionaries(
    {"model": st.sampled_from(PLAIN_MODELS), "samples": st.integers(1, 10**6)},
    optional={
        "epochs": st.integers(1, 50),
        "global_batch": st.integers(1, 4096),
        "packing": st.booleans(),
        "method": st.lists(st.sampled_from(["full", "lora", "qlora", "dora", "rslora"]), min_size=1, unique=True),
        "lora_rank": st.integers(1, 256),
        "deadline": st.sampled_from(["36h", "2d", "90m"]),
        "confidence": st.floats(0.01, 0.99),
        "budget": st.decimals("0.01", "1000000", places=2),
        "runs": st.integers(1, 20),
        "tokens_per_sample": st.integers(1, 5000),
    },
)


@given(values=said_values)
def test_what_a_job_says_survives_the_round_trip(values: dict[str, object]) -> None:
    said = JobInput.from_mapping(values, where="job")
    assert JobInput.from_mapping(said.said(), where="job") == said
    assert JobInput().overridden_by(said) == said
    assert said.overridden_by(JobInput()) == said
    assert said.overridden_by(said) == said


@settings(max_examples=50)
@given(values=said_values, tokens=st.integers(1, 5000))
def test_doubling_samples_or_epochs_doubles_tokens(values: dict[str, object], tokens: int) -> None:
    def completed(**changes: object) -> tuple[int, int, int]:
        said = JobInput.from_mapping({**values, "tokens_per_sample": tokens, **changes}, where="job")
        job = complete_job(said, models=MODELS, gpus=None, now=NOW, where="job")  # type: ignore[arg-type]
        return job.tokens, job.sequences, job.seq_len

    samples, epochs = values["samples"], values.get("epochs", 1)
    assert isinstance(samples, int)
    assert isinstance(epochs, int)
    once = completed()
    assert completed(samples=2 * samples)[:2] == (2 * once[0], 2 * once[1])
    assert completed(epochs=2 * epochs)[:2] == (2 * once[0], 2 * once[1])
    assert once[2] % 128 == 0 or once[2] == MODELS.by_name[str(values["model"])].context
    assert once[0] <= once[1] * once[2]


@given(values=said_values)
def test_a_complete_job_is_the_same_every_time(values: dict[str, object]) -> None:
    said = JobInput.from_mapping({**values, "tokens_per_sample": 100}, where="job")
    jobs = [complete_job(said, models=MODELS, gpus=None, now=NOW, where="job") for _ in range(2)]  # type: ignore[arg-type]
    assert jobs[0] == jobs[1]
    assert 0 < jobs[0].confidence_ppm < 1_000_000
    assert jobs[0].confidence_ppm == pytest.approx(1e6 * float(str(values.get("confidence", 0.9))), abs=1)
