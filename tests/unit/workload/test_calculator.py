"""The budget calculator: its formula, its units and what it refuses."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.workload.calculator import MOST, estimate_cost, gpu_hours
from providers.errors import JobError

GOOD = {
    "tokens_per_sample": 512,
    "n_samples": 10_000,
    "epochs": 3,
    "tps_per_gpu": 2_000,
    "num_gpus": 4,
    "utilization": 0.5,
    "price_per_gpu_hour": 2.0,
}


def test_a_run_worked_out_by_hand() -> None:
    # 512 x 10,000 x 3 = 15,360,000 tokens; 2,000 x 4 x 0.5 = 4,000 tokens/s; 3,840 s; 1.0667 h x 4 x $2.
    answer = estimate_cost(512, 10_000, 3, 2_000, 4, 0.5, 2.0)
    assert set(answer) == {"tokens_total", "train_hours", "cost_usd"}
    assert answer["tokens_total"] == 15_360_000
    assert answer["train_hours"] == pytest.approx(3_840 / 3_600, rel=1e-12)
    assert answer["cost_usd"] == pytest.approx(8.533333333333333, rel=1e-12)


def test_arguments_may_be_named_as_in_the_document() -> None:
    assert estimate_cost(**GOOD) == estimate_cost(512, 10_000, 3, 2_000, 4, 0.5, 2.0)


@pytest.mark.parametrize("key", list(GOOD))
@pytest.mark.parametrize("value", [-1, math.nan, math.inf, "4", None, True])
def test_what_is_not_a_finite_number_above_zero_is_refused_by_name(key: str, value: Any) -> None:
    with pytest.raises(JobError) as caught:
        estimate_cost(**{**GOOD, key: value})
    assert caught.value.key == key
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("key", list(GOOD))
def test_nothing_but_the_price_may_be_zero(key: str) -> None:
    if key == "price_per_gpu_hour":
        assert estimate_cost(**{**GOOD, key: 0})["cost_usd"] == 0
    else:
        with pytest.raises(JobError, match=f"{key} = 0: a number above 0, at most "):
            estimate_cost(**{**GOOD, key: 0})


@pytest.mark.parametrize("key", list(GOOD))
def test_every_input_has_an_end(key: str) -> None:
    most = MOST[key]
    # Held together with small others, so that no product passes its own end.
    small = {**dict.fromkeys(GOOD, 1), "tps_per_gpu": 1e9}
    estimate_cost(**{**small, key: most})
    with pytest.raises(JobError, match=f"{key} = ") as caught:
        estimate_cost(**{**small, key: most * 1.001})
    assert caught.value.allowed.endswith(f" {most}")


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"tokens_per_sample": 1e7, "n_samples": 1e12}, "n_samples"),
        ({"tps_per_gpu": 1e-300, "utilization": 1e-300}, "tps_per_gpu"),
        ({"n_samples": 1e11, "tps_per_gpu": 1, "price_per_gpu_hour": 1e4}, "price_per_gpu_hour"),
    ],
)
def test_a_product_beyond_what_a_document_holds_is_refused(changes: dict[str, float], key: str) -> None:
    with pytest.raises(JobError, match="inputs that make at most 9007199254740991 ") as caught:
        estimate_cost(**{**GOOD, "tokens_per_sample": 10, "epochs": 1, **changes})
    assert caught.value.key == key


def test_utilization_is_a_fraction() -> None:
    assert estimate_cost(**{**GOOD, "utilization": 1})["train_hours"] == pytest.approx(1_920 / 3_600)
    with pytest.raises(JobError, match=r"utilization = 1\.01"):
        estimate_cost(**{**GOOD, "utilization": 1.01})


def test_absurdly_large_numbers_are_refused_and_do_not_become_infinite() -> None:
    with pytest.raises(JobError, match="at most 9007199254740991"):
        estimate_cost(**{**GOOD, "tokens_per_sample": 1e200, "n_samples": 1e200})


@given(
    samples=st.integers(1, 10**7),
    gpus=st.integers(1, 1024),
    utilization=st.floats(0.01, 1.0),
    price=st.floats(0.01, 50.0),
)
def test_cost_does_not_depend_on_the_number_of_gpus_and_doubles_with_the_samples(
    samples: int, gpus: int, utilization: float, price: float
) -> None:
    one = estimate_cost(100, samples, 1, 1_000, 1, utilization, price)
    many = estimate_cost(100, samples, 1, 1_000, gpus, utilization, price)
    twice = estimate_cost(100, 2 * samples, 1, 1_000, gpus, utilization, price)
    assert many["cost_usd"] == pytest.approx(one["cost_usd"], rel=1e-9)
    assert many["train_hours"] * gpus == pytest.approx(one["train_hours"], rel=1e-9)
    assert twice["tokens_total"] == 2 * many["tokens_total"]
    assert twice["cost_usd"] == pytest.approx(2 * many["cost_usd"], rel=1e-9)


def test_gpu_hours() -> None:
    assert gpu_hours(53 * 24, 512) == 651_264
    with pytest.raises(JobError, match="num_gpus"):
        gpu_hours(1.0, 0)
