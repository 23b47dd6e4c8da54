"""`tunefare simulate` and `tunefare next`: exit codes, files, and what goes where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fixtures.spot_world import invented_flags, trace_document, write_plan

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "spot-trace.json"
RUN = ("--work", "8h", "--deadline", "11h", "--restart", "5m", "--on-demand-usd", "3.24")


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "mars.json"
    path.write_text(json.dumps(trace_document(invented_flags())), encoding="utf-8")
    return path


def test_simulate_prints_text_and_writes_json(trace: Path, tmp_path: Path, tunefare: Callable[..., object]) -> None:
    out = tmp_path / "out.json"
    outcome = tunefare("simulate", *RUN, "--trace", trace, "--every", "6h", "--output", out)
    assert (outcome.code, "dynamic program" in outcome.out) == (0, True)  # type: ignore[attr-defined]
    as_json = tunefare("simulate", *RUN, "--trace", trace, "--every", "6h", "--json")
    assert as_json.out == out.read_text(encoding="utf-8")  # type: ignore[attr-defined]
    document = json.loads(as_json.out)  # type: ignore[attr-defined]
    assert document["schema"] == "tunefare.simulation/v1"
    assert document["traces"][0]["policies"][0]["policy"] == "dynamic_program"


def test_simulate_without_anything_names_what_is_missing(trace: Path, fails: Callable[..., str]) -> None:
    assert "--trace FILE" in fails(2, "simulate")
    assert "missing: --work" in fails(2, "simulate", "--trace", trace)


def test_next_answers_a_launcher(tmp_path: Path, tunefare: Callable[..., object], fails: Callable[..., str]) -> None:
    plan = write_plan(tmp_path / "plan.json")
    state = ("--elapsed", "1h", "--done", "20%", "--mode", "idle", "--age", "20m")
    outcome = tunefare("next", plan, *state, "--spot-up")
    assert (outcome.code, outcome.out.splitlines()[0]) == (0, "spot")  # type: ignore[attr-defined]
    document = json.loads(tunefare("next", plan, *state, "--no-spot-up", "--json").out)  # type: ignore[attr-defined]
    assert document["schema"] == "tunefare.next/v1"
    assert document["action"] in {"wait", "on_demand"}
    assert "choice.spot.policy" in fails(2, "next", write_plan(tmp_path / "p.json", bare()), *state, "--spot-up")
    assert "readable file" in fails(2, "next", tmp_path / "none.json", *state, "--spot-up")


def test_the_example_of_the_documentation_runs(tunefare: Callable[..., object]) -> None:
    outcome = tunefare(
        "simulate", "--trace", EXAMPLE, "--work", "24h", "--deadline", "30h", "--restart", "10m",
        "--on-demand-usd", "3.06", "--every", "12h",
    )  # fmt: skip
    assert (outcome.code, "example-1a" in outcome.out) == (0, True)  # type: ignore[attr-defined]


def bare() -> dict[str, object]:
    return {"schema": "tunefare.plan/v1", "made_at": "2031-05-06T07:00:00Z", "choice": {"nodes": 1}}
