"""Whole use cases on the invented market: documents that move only when physics, search or defaults do."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from optimizer.app.estimating import RecipeChoice, estimate_recipe
from optimizer.app.explaining import explain_job
from optimizer.app.planning import plan_job
from optimizer.app.preparing import prepare
from optimizer.app.settings import Settings
from optimizer.report.json_estimate import estimate_text
from optimizer.report.json_explain import explanation_text
from optimizer.report.json_plan import plan_text
from optimizer.report.json_text import LARGEST_INTEGER
from optimizer.workload.job_input import JobInput
from providers.snapshot import make_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from providers.offer import PriceSnapshot

FIXTURES = Path(__file__).parents[1] / "fixtures"
MOMENT = "2031-05-06T07:08:09Z"
JOB = {
    "model": "llama-3.1-8b", "samples": 13_300, "tokens_per_sample": 400, "epochs": 4, "deadline": "24h",
    "offers": "market.csv", "only_offers": True, "now": MOMENT,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _beside_the_market(monkeypatch: pytest.MonkeyPatch) -> None:
    # Own offers name the file as it was given: a relative name is the same on every machine.
    monkeypatch.chdir(FIXTURES)


def job(**changes: object) -> JobInput:
    return JobInput.from_mapping({**JOB, **changes}, where="test")


def planned(**changes: object) -> str:
    return plan_text(plan_job(job(**changes), settings=Settings()))


def test_the_plan_on_the_invented_market(golden: Callable[[str, str], None]) -> None:
    golden("market-plan.json", planned())


def test_the_infeasible_plan_on_the_invented_market(golden: Callable[[str, str], None]) -> None:
    golden("market-infeasible.json", planned(deadline="20m", budget=1))


def test_the_estimate_on_the_invented_market(golden: Callable[[str, str], None]) -> None:
    answer = estimate_recipe(
        job(method="qlora"), recipe=RecipeChoice(gpu="H100-SXM-80GB", micro_batch=4), settings=Settings()
    )
    golden("market-estimate.json", estimate_text(answer))


@pytest.mark.parametrize("spec", ["H100-SXM-80GB", "qlora", "T4-16GB full"])
def test_explanations_on_the_invented_market_are_documents(spec: str) -> None:
    document = json.loads(explanation_text(explain_job(job(), why_not=spec, settings=Settings())))
    assert document["spec"] == spec
    assert document["made_at"] == MOMENT
    assert document["choice"]["provider"] in {"nimbus", "cirrus"}
    assert document["sentence"].endswith(".")


def integers(value: object) -> list[int]:
    if isinstance(value, dict):
        return [number for inner in value.values() for number in integers(inner)]
    if isinstance(value, list):
        return [number for inner in value for number in integers(inner)]
    assert not isinstance(value, float)
    return [value] if isinstance(value, int) else []


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"runs": 5},
        {"deadline": "20m"},
        {"model": "llama-3.1-70b", "method": ["full"], "max_nodes": 4},
        {"method": ["qlora"], "egress_gb": 1.5, "data_gb": 0.3, "oncall_usd": "3.333333"},
        {"pricing_model": ["spot", "on_demand"], "deadline": None},
    ],
)
def test_plans_hold_integers_only_and_their_parts_sum_up(changes: dict[str, object]) -> None:
    document = json.loads(planned(**changes))
    assert all(abs(number) <= LARGEST_INTEGER for number in integers(document))
    candidates = [
        *document["runners_up"],
        *document["choices"],
        *(miss["candidate"] for miss in document["near_misses"]),
    ]
    if document["choice"] is not None:
        candidates.append(document)
    assert candidates
    for one in candidates:
        assert sum(one["memory"]["parts_bytes"].values()) == one["memory"]["allocated_bytes"]["expected"]
        assert sum(one["memory"]["load_parts_bytes"].values()) == one["memory"]["load_peak_bytes"]["expected"]
        assert sum(one["duration_parts_s"].values()) == one["duration_s"]["expected"]
        assert sum(one["throughput"]["step_parts_us"].values()) == one["throughput"]["step_us"]
        assert sum(line["usd_micro"] for line in one["components"]) == one["cost_usd_micro"]["expected"]
        for interval in (one["cost_usd_micro"], one["duration_s"], one["memory"]["required_bytes"]):
            assert interval["low"] <= interval["expected"] <= interval["high"]


def test_equal_input_gives_equal_bytes_in_any_process(tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text(
        "".join(
            f"{key} = {json.dumps(value)}\n" for key, value in {**JOB, "offers": str(FIXTURES / "market.csv")}.items()
        )
    )
    code = "import sys; from optimizer import plan; sys.stdout.write(plan('job.toml').to_json())"
    root = str(Path(__file__).parents[2])

    def run(seed: str) -> bytes:
        # A variable of ours that the program does not know is refused, and the golden files have one.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TUNEFARE_")}
        environment = {**inherited, "PYTHONHASHSEED": seed, "PYTHONPATH": root, "PYTHONIOENCODING": "utf-8"}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, check=True
        )
        return done.stdout

    first = run("1")
    assert first.startswith(b"{")
    assert run("2") == first


def test_the_order_of_offers_changes_nothing() -> None:
    class Shuffled:
        def __init__(self, seed: int) -> None:
            offers = list(prepare(job(), settings=Settings()).snapshot.offers)
            random.Random(seed).shuffle(offers)
            self.held = make_snapshot(offers)

        def snapshot(self, *, now: datetime) -> PriceSnapshot:
            return self.held

    run = partial(plan_job, job(offers=None, only_offers=None), settings=Settings())
    assert plan_text(run(store=Shuffled(1))) == plan_text(run(store=Shuffled(2)))
