"""Both ends of every announced range, through the command: an answer or a named refusal, never "this is a bug"."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, get_args

import pytest

from optimizer.app.recipe_choice import MOST_GPUS_PER_NODE, MOST_NODES, MOST_SEQUENCES
from optimizer.cli.options import JOB_FLAGS
from optimizer.report.json_text import LARGEST_INTEGER
from optimizer.workload.calculator import MOST
from optimizer.workload.job_input import JobInput

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = "2031-05-06T07:00Z"
OFFERS = """provider,region,instance_type,gpu,gpu_count,price_usd_per_hour,pricing_model,observed_at
nimbus,mars-1,tiny,H100-SXM-80GB,1,3.00,on_demand,2001-05-05
cirrus,venus,twin,A100-SXM-80GB,2,5.00,on_demand,2001-05-01
cirrus,venus,eight,H100-SXM-80GB,8,24.00,spot,2001-05-01
"""
FLAGS = {flag.key: flag.name for flags in JOB_FLAGS.values() for flag in flags}
AMOUNT = {"tokens": "1000000"}
INSTEAD: dict[str, dict[str, str]] = {
    "samples": {"tokens_per_sample": "10"},
    "tokens_per_sample": {"samples": "10"},
    "epochs": {"samples": "10", "tokens_per_sample": "10"},
    "pairs": {"objective": "dpo", "prompt_tokens": "10", "response_tokens": "10"},
    "rollouts": {
        "objective": "ppo", "prompt_tokens": "10", "response_tokens": "10", "reward_model": "llama-3.1-8b",
    },
    "prompt_tokens": {"objective": "dpo", "pairs": "10", "response_tokens": "10"},
    "response_tokens": {"objective": "dpo", "pairs": "10", "prompt_tokens": "10"},
}  # fmt: skip
"""What must be said beside a key, in place of `AMOUNT`."""

SPANS = {
    "deadline": ("1s", "7320d"),
    "max_price_age": ("1s", "7320d"),
    "checkpoint_every": ("1s", "7320d"),
    "now": ("2001-05-06T00:00Z", "9999-12-31T23:59:59Z"),
}


def constraints(field: object) -> dict[str, float]:
    """Return ge, gt, le and lt of a field, wherever in its annotation they stand."""
    found: dict[str, float] = {}
    for item in (*getattr(field, "metadata", ()), *getattr(field, "__metadata__", ())):
        for name in ("ge", "gt", "le", "lt"):
            if getattr(item, name, None) is not None:
                found[name] = float(getattr(item, name))
        found |= constraints(item)
    for inner in get_args(getattr(field, "annotation", field)):
        if hasattr(inner, "__metadata__"):
            found |= constraints(inner)
    return found


def ends() -> dict[str, tuple[str, ...]]:
    """Return for every job flag with a range the two ends of it, as typed."""
    found: dict[str, tuple[str, ...]] = dict(SPANS)
    for key, field in JobInput.model_fields.items():
        bounds = constraints(field)
        if bounds and key in FLAGS:
            low = bounds.get("ge", bounds.get("gt", 0.0) + 0.000001)
            high = bounds.get("le", bounds.get("lt", 0.0) - 0.000001)
            found[key] = (f"{low:.15g}", f"{high:.15g}")
    return found


ENDS = ends()
ONE_BY_ONE = [(key, value) for key, values in ENDS.items() for value in values]
RANDOM = random.Random(20310506)


def a_mixture() -> dict[str, str]:
    keys = RANDOM.sample(sorted(ENDS.keys() - INSTEAD.keys()), k=6)
    return {**AMOUNT, **{key: RANDOM.choice(ENDS[key]) for key in keys}}


MIXTURES = [a_mixture() for _ in range(25)]


@pytest.fixture
def holds(tunefare: Callable[..., object], tmp_path: Path) -> Callable[..., None]:
    """Run a command as text and as JSON: an answer, or one line that names a place and what is allowed."""
    offers = tmp_path / "offers.csv"
    offers.write_text(OFFERS)

    def run(command: str, said: dict[str, str], *words: str) -> None:
        flags = [word for key, value in {"now": NOW, **said}.items() for word in (FLAGS.get(key, key), value)]
        for form in ((), ("--json",)):
            market = ("--offers", str(offers), "--only-offers")
            outcome = tunefare(command, "--model", "llama-3.1-8b", *flags, *market, *words, *form)
            assert outcome.code in {0, 2, 7}, outcome.err
            assert "this is a bug" not in outcome.err
            assert (outcome.code == 2) == outcome.err.startswith("tunefare: error: ")
            if form and outcome.code != 2:
                json.loads(outcome.out, parse_int=fits_in_a_double)

    return run


def fits_in_a_double(digits: str) -> int:
    assert abs(int(digits)) <= LARGEST_INTEGER
    return int(digits)


def test_the_ranges_are_found() -> None:
    assert {"tokens", "samples", "budget", "data_gb", "labelling_usd", "confidence", "top"} <= ENDS.keys()
    assert ENDS["tokens"] == ("1", "10000000000000")
    assert ENDS["confidence"] == ("1e-06", "0.999999")


@pytest.mark.parametrize(("key", "value"), ONE_BY_ONE)
def test_a_plan_stands_both_ends_of_every_range(holds: Callable[..., None], key: str, value: str) -> None:
    holds("plan", {**INSTEAD.get(key, {} if key == "tokens" else AMOUNT), key: value})


@pytest.mark.parametrize("said", MIXTURES, ids="-".join)
def test_a_plan_stands_several_ends_at_once(holds: Callable[..., None], said: dict[str, str]) -> None:
    holds("plan", said)


@pytest.mark.parametrize(
    "words",
    [
        ("--gpus", str(MOST_GPUS_PER_NODE), "--nodes", str(MOST_NODES), "--usd-per-gpu-hour", "10000"),
        ("--gpus", str(MOST_GPUS_PER_NODE), "--nodes", str(MOST_NODES), "--usd-per-gpu-hour", "0"),
        ("--micro-batch", str(MOST_SEQUENCES), "--grad-accum", str(MOST_SEQUENCES)),
        ("--micro-batch", "1", "--grad-accum", str(MOST_SEQUENCES), "--usd-per-gpu-hour", "10000"),
        ("--gpus", "8", "--offload", "nvme", "--method", "full", "--micro-batch", str(MOST_SEQUENCES)),
    ],
)
@pytest.mark.parametrize("tokens", ["1", "1e9", "1e13"])
def test_an_estimate_stands_both_ends(holds: Callable[..., None], words: tuple[str, ...], tokens: str) -> None:
    holds("estimate", {"tokens": tokens}, "--gpu", "H100-SXM-80GB", *words)


NAMES = {"n_samples": "samples", "num_gpus": "gpus"}


@pytest.mark.parametrize("pattern", range(2 ** len(MOST)))
def test_the_calculator_stands_both_ends(tunefare: Callable[..., object], pattern: int) -> None:
    words = []
    for position, (key, most) in enumerate(MOST.items()):
        low = 0.0 if key == "price_per_gpu_hour" else 5e-324
        value = most if pattern >> position & 1 else low
        words.append(f"--{NAMES.get(key, key).replace('_', '-')}={value!r}")
    for form in ((), ("--json",)):
        outcome = tunefare("calculate", *words, *form)
        assert outcome.code in {0, 2}, outcome.err
