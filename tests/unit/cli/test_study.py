"""`tunefare study`: what it prints, equal bytes for equal input, and what it refuses."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

import optimizer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = "2031-05-06T07:00Z"
JOB = ("--model", "llama-3.1-8b", "--tokens", "10M", "--seq-len", "512", "--now", NOW, "--scenarios", "300")
OFFERS = """provider,region,instance_type,gpu,gpu_count,price_usd_per_hour,pricing_model,observed_at
nimbus,mars-1,tiny,H100-SXM-80GB,1,3.00,on_demand,2031-05-05
cirrus,venus,twin,A100-SXM-80GB,1,1.90,on_demand,2031-05-01
"""


@pytest.fixture
def market(tmp_path: Path) -> tuple[str, ...]:
    offers = tmp_path / "offers.csv"
    offers.write_text(OFFERS)
    return ("--offers", str(offers), "--only-offers")


def test_a_study_is_a_table_or_a_document(
    tunefare: Callable[..., object], market: tuple[str, ...], tmp_path: Path
) -> None:
    text = tunefare("study", *JOB, *market, "--deadline", "12h", "--budget", "40")
    assert (text.code, text.err) == (0, "")
    for words in ("The plan's choice", "Cheapest in hindsight", "Robust choice", "over 300 scenarios", "In budget"):
        assert words in text.out
    first = tunefare("study", *JOB, *market, "--json")
    threads = tunefare("study", *JOB, *market, "--json", "--engine", "threads", "--workers", "3")
    assert first.out == threads.out
    document = json.loads(first.out)
    assert (document["schema"], document["status"], document["scenarios"]) == ("tunefare.study/v1", "optimal", 300)
    assert document["base"]["in_time_ppm"] is document["base"]["in_budget_ppm"] is None
    assert sum(one["scenarios"] for one in document["best_by"]["gpu"]) == 300
    other = tunefare("study", *JOB, *market, "--json", "--seed", "1")
    assert other.out != first.out
    target = tmp_path / "study.json"
    tunefare("study", *JOB, *market, "--output", target)
    assert target.read_text() == first.out


def test_the_function_gives_what_the_command_prints(tunefare: Callable[..., object], market: tuple[str, ...]) -> None:
    flags = {"model": "llama-3.1-8b", "tokens": 10_000_000, "seq_len": 512, "offers": market[1], "only_offers": True}
    answer = optimizer.study(scenarios=300, now=NOW, **flags)
    assert answer.to_json() == tunefare("study", *JOB, *market, "--json").out
    assert answer.feasible
    assert answer.base.best + sum(one.best for one in answer.alternatives) == 300
    assert answer.to_dict()["seed"] == 0
    assert "The plan's choice" in str(answer)


def test_a_job_without_a_plan_has_its_own_code(tunefare: Callable[..., object], market: tuple[str, ...]) -> None:
    outcome = tunefare("study", *JOB, *market, "--deadline", "20m")
    assert outcome.code == 7
    assert "Nothing fits" in outcome.out
    assert "$ tunefare plan" in outcome.out
    document = json.loads(tunefare("study", *JOB, *market, "--deadline", "20m", "--json").out)
    assert (document["status"], document["base"]) == ("infeasible", None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--scenarios", "0"), "--scenarios = 0: 1 to 1,000,000"),
        (("--scenarios", "2M"), "--scenarios = 2000000: 1 to 1,000,000"),
        (("--seed", "-1"), "--seed = -1: a whole number from 0"),
        (("--workers", "0"), "--workers = 0: 1 to 1,024"),
        (("--engine", "abacus"), "--engine = 'abacus': one of serial, threads, processes, ray"),
        (("--runs", "2"), "runs = 2: 1 for a study: the runs of a sweep are alike"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    fails: Callable[..., str], market: tuple[str, ...], words: tuple[str, ...], said: str
) -> None:
    assert said in fails(2, "study", *JOB, *market, *words)


def test_a_missing_ray_names_its_extra(
    fails: Callable[..., str], market: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    line = fails(2, "study", *JOB, *market, "--engine", "ray")
    assert line == "command line: --engine = 'ray': needs Ray: pip install 'tunefare[ray]'"
