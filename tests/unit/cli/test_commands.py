"""Each command on an invented market: exit code, what stands on stdout, and that equal input gives equal bytes."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = "2031-05-06T07:00Z"
JOB = ("--model", "llama-3.1-8b", "--tokens", "10M", "--seq-len", "512", "--now", NOW)
OFFERS = """provider,region,instance_type,gpu,gpu_count,price_usd_per_hour,pricing_model,observed_at
nimbus,mars-1,tiny,H100-SXM-80GB,1,3.00,on_demand,2031-05-05
nimbus,mars-2,tiny,H100-SXM-80GB,1,4.00,on_demand,2031-05-05
cirrus,venus,twin,A100-SXM-80GB,2,5.00,on_demand,2031-05-01
"""


@pytest.fixture
def market(tmp_path: Path) -> tuple[str, ...]:
    offers = tmp_path / "offers.csv"
    offers.write_text(OFFERS)
    return ("--offers", str(offers), "--only-offers")


def test_a_plan_is_a_table_or_a_document(tunefare: Callable[..., object], market: tuple[str, ...]) -> None:
    text = tunefare("plan", *JOB, *market)
    assert (text.code, text.err) == (0, "")
    assert "Cheapest  nimbus · mars-1 · 1 × H100-SXM-80GB" in text.out
    assert "own price, 31 h old" in text.out
    first = tunefare("plan", *JOB, *market, "--json")
    again = tunefare("plan", *JOB, *market, "--json")
    assert first.out == again.out
    document = json.loads(first.out)
    assert (document["schema"], document["status"]) == ("tunefare.plan/v1", "optimal")
    assert (document["choice"]["region"], document["choice"]["gpu"]) == ("mars-1", "H100-SXM-80GB")
    assert str(document["solver"]["candidates"]) in text.out.replace(",", "")


def test_verbose_adds_timings_to_the_text_only(tunefare: Callable[..., object], market: tuple[str, ...]) -> None:
    plain, verbose = tunefare("plan", *JOB, *market).out, tunefare("plan", *JOB, *market, "--verbose").out
    assert "Timings" not in plain
    assert "Timings" in verbose
    assert "Memory per GPU" in verbose
    assert "timings_s" not in tunefare("plan", *JOB, *market, "--verbose", "--json").out


def test_an_infeasible_plan_is_an_answer_with_its_own_code(
    tunefare: Callable[..., object], market: tuple[str, ...], tmp_path: Path
) -> None:
    target = tmp_path / "plan.json"
    outcome = tunefare("plan", *JOB, *market, "--deadline", "11m", "--output", target)
    assert outcome.code == 7
    assert "Nothing fits" in outcome.out
    assert "Deadline " in outcome.out
    assert "--deadline " in " ".join(outcome.out.replace("\\\n", " ").split())
    document = json.loads(target.read_text())
    assert document["status"] == "infeasible"
    assert document["near_misses"][0]["limit"] == "deadline"


def test_the_way_out_that_is_named_does_work(tunefare: Callable[..., object], market: tuple[str, ...]) -> None:
    assert tunefare("plan", *JOB, *market, "--deadline", "11m").code == 7
    assert tunefare("plan", *JOB, *market, "--deadline", "1h").code == 0


def test_a_job_file_and_flags_over_it(tunefare: Callable[..., object], market: tuple[str, ...], tmp_path: Path) -> None:
    job = tmp_path / "job.toml"
    job.write_text(f'model = "llama-3.1-8b"\ntokens = 10_000_000\nregion = ["mars-2"]\nnow = "{NOW}"\n')
    assert "nimbus · mars-2" in tunefare("plan", job, *market).out
    assert "cirrus · venus" in tunefare("plan", job, *market, "--region", "venus").out
    assert f"--why-not {'spot'}" in tunefare("plan", job, *market).out


def test_explain_answers_in_a_sentence(tunefare: Callable[..., object], market: tuple[str, ...]) -> None:
    outcome = tunefare("explain", *JOB, *market, "--why-not", "mars-2")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("Why not mars-2?  It would do, and costs more\n")
    document = json.loads(tunefare("explain", *JOB, *market, "--why-not", "mars-2", "--json").out)
    assert document["verdict"] == "dearer"


def test_estimate_takes_a_recipe_and_finds_its_price(tunefare: Callable[..., object], market: tuple[str, ...]) -> None:
    words = ("estimate", *JOB, *market, "--gpu", "h100-sxm-80gb", "--method", "qlora", "--micro-batch", "2")
    text = tunefare(*words)
    assert (text.code, text.err) == (0, "")
    assert "at $3.00 per GPU-hour: nimbus · mars-1" in " ".join(text.out.split())
    assert "qlora 4-bit rank 16 · micro-batch 2" in text.out
    document = json.loads(tunefare(*words, "--json").out)
    assert document["schema"] == "tunefare.estimate/v1"
    assert document["fits"] is True
    given = tunefare(*words, "--usd-per-gpu-hour", "1.25").out
    assert "at $1.25 per GPU-hour, as given" in " ".join(given.split())


def test_estimate_lists_the_models(tunefare: Callable[..., object]) -> None:
    text = tunefare("estimate", "--list-models").out
    assert "meta-llama/Llama-3.1-8B" in text
    rows = json.loads(tunefare("estimate", "--list-models", "--json").out)["models"]
    assert len(rows) >= 60


def test_cases_are_written_back_with_predictions(tunefare: Callable[..., object], tmp_path: Path) -> None:
    cases, target = tmp_path / "cases.csv", tmp_path / "out.csv"
    cases.write_text(
        "model,method,quant,lora_rank,micro_batch,grad_accum,seq_len,gpu,n_gpus,extra\n"
        "meta-llama/Llama-3.1-8B,lora,none,8,1,1,512,H100-SXM-80GB,1,kept\n"
        "no-such-model,lora,none,8,1,1,512,H100-SXM-80GB,1,kept\n"
    )
    outcome = tunefare("estimate", "--cases", cases)
    assert outcome.code == 0
    rows = list(csv.DictReader(io.StringIO(outcome.out)))
    assert [row["extra"] for row in rows] == ["kept", "kept"]
    assert float(rows[0]["pred_required_gib"]) > 15
    assert rows[1]["pred_error"]
    assert outcome.err.startswith("tunefare: 1 of 2 rows estimated")
    written = tunefare("estimate", "--cases", cases, "--output", target)
    assert (written.code, written.out) == (0, "")
    assert target.read_text() == outcome.out


def test_prices_are_listed_cheapest_per_gpu_first(tunefare: Callable[..., object], market: tuple[str, ...]) -> None:
    text = tunefare("prices", "list", *market, "--now", NOW)
    assert (text.code, text.err) == (0, "")
    machines = [line.split()[:4] for line in text.out.splitlines()[2:5]]
    assert machines == [
        ["$2.50", "$5.00", "2×A100-SXM-80GB", "cirrus"],
        ["$3.00", "$3.00", "1×H100-SXM-80GB", "nimbus"],
        ["$4.00", "$4.00", "1×H100-SXM-80GB", "nimbus"],
    ]
    document = json.loads(tunefare("prices", "list", *market, "--now", NOW, "--min-gpus", "2", "--json").out)
    assert [row["instance_type"] for row in document["offers"]] == ["twin"]
    assert "No offer passes" in tunefare("prices", "list", *market, "--now", NOW, "--min-gpus", "8").out


def test_the_calculator_reproduces_the_published_table(tunefare: Callable[..., object]) -> None:
    """LoRA on four A5000 took 14.9 hours at $0.26: $15.50."""
    words = (
        "calculate", "--tokens-per-sample", "1", "--samples", "53640", "--epochs", "4", "--tps-per-gpu", "1",
        "--gpus", "4", "--utilization", "1", "--price-per-gpu-hour", "0.26",
    )  # fmt: skip
    outcome = tunefare(*words)
    assert outcome.code == 0
    assert "14.9 h" in outcome.out
    assert "$15.50 at $0.26 per GPU-hour" in outcome.out
    document = json.loads(tunefare(*words, "--json").out)
    assert document["train_hours"] == pytest.approx(14.9)
    assert document["cost_usd"] == pytest.approx(15.496)


def test_methods_answer_the_four_questions(tunefare: Callable[..., object]) -> None:
    assert "Recommended" not in tunefare("methods").out
    assert tunefare("methods", "--low-vram").out.startswith("Recommended  qlora 4-bit · objective sft\n")
    full = tunefare("methods", "--domain-shift", "--alignment").out
    assert full.startswith("Recommended  full 16-bit · sharding zero3 · objective sft · then dpo or ppo\n")
    assert tunefare("methods", "--no-low-vram").out.startswith("Recommended  lora 16-bit · objective sft\n")
