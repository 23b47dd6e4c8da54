"""`tunefare calibrate` and `--calibrate-with` as people type them: exit codes, what is written, one line on failure."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

import pytest

from optimizer.measure.record import run_document
from tests.unit.measure.runs_of import recipe_of, run_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.cli.conftest import Outcome

SAID = ("--model", "llama-3.1-8b", "--method", "lora", "--stack", "hf", "--gpu", "A100-SXM-80GB", "--seq-len", "1024")
BATCH = ("--micro-batch", "4", "--packing")


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    path = tmp_path / "RUN.json"
    path.write_text(json.dumps(run_document(run_of(3333.0))), encoding="utf-8")
    return path


def test_a_run_becomes_a_table_and_a_file_that_estimates_take(
    tunefare: Callable[..., Outcome], run_file: Path, tmp_path: Path
) -> None:
    made = tunefare("calibrate", run_file, "--output", tmp_path / "calibration.json")
    assert made.code == 0
    assert "Calibration of hf on A100-SXM-80GB" in made.out
    assert f"--calibrate-with {tmp_path / 'calibration.json'}" in " ".join(made.out.split())
    document = json.loads((tmp_path / "calibration.json").read_text(encoding="utf-8"))
    assert document["schema"] == "tunefare.calibration/v1"
    words = ("estimate", *SAID, *BATCH, "--tokens", "1M", "--json", "--calibrate-with")
    by_file, by_run = (tunefare(*words, path) for path in (tmp_path / "calibration.json", run_file))
    assert (by_file.code, by_run.code) == (0, 0)
    one, two = json.loads(by_file.out), json.loads(by_run.out)
    assert one["throughput"] == two["throughput"]
    assert one["throughput"]["basis"] == "measured"
    assert abs(one["throughput"]["tokens_per_s"]["expected"] / 3333 - 1) < 0.05


def test_json_goes_to_stdout_and_is_the_same_twice(tunefare: Callable[..., Outcome], run_file: Path) -> None:
    first, again = (tunefare("calibrate", run_file, "--json") for _ in range(2))
    assert first.out == again.out
    assert json.loads(first.out)["runs"][0]["readings"][0]["measured"] == 3333


def test_a_stated_speed_needs_no_file(tunefare: Callable[..., Outcome]) -> None:
    made = tunefare("calibrate", "--tokens-per-s", "3_200", *SAID, *BATCH, "--json")
    assert made.code == 0
    (run,) = json.loads(made.out)["runs"]
    assert (run["model"], run["method"], run["source"]) == ("meta-llama/Llama-3.1-8B", "lora-16bit", "--tokens-per-s")


def test_a_speed_far_off_asks_for_its_unit(tunefare: Callable[..., Outcome]) -> None:
    made = tunefare("calibrate", "--tokens-per-s", "9000", *SAID, *BATCH)
    assert "check whether the speed is of one GPU or of the job" in " ".join(made.out.split())


def test_a_speed_out_of_bounds_is_refused_in_one_line(fails: Callable[..., str], run_file: Path) -> None:
    said = fails(2, "calibrate", "--tokens-per-s", "4000000", *SAID, *BATCH)
    assert "measured runs: runs = 1: at least one usable run (command line: 4,000,000 tokens/s are" in said
    wrong = json.loads(run_file.read_text(encoding="utf-8"))
    wrong["readings"]["tokens_per_s"] = 3.3
    run_file.write_text(json.dumps(wrong), encoding="utf-8")
    for words in (("calibrate",), ("estimate", *SAID, *BATCH, "--tokens", "1M", "--calibrate-with")):
        said = fails(2, *words, run_file)
        assert "--runs" not in said
        assert f"({run_file}: 3.3 tokens/s are 0.0" in said


@pytest.mark.parametrize(
    ("text", "value", "says"),
    [
        ("2048", "9" * 5000, "recipe.seq_len = 'a number of more than 40 digits': a whole number"),
        ('"padding_factor": 1.0', '"padding_factor": NaN', "recipe.padding_factor = nan: a figure of 1 to 10,000"),
        ('"layout": "llama"', '"layout": {"a": 1}', "model.layout = {'a': 1}: one of llama"),
    ],
)
def test_garbage_in_a_run_is_one_line(
    fails: Callable[..., str], run_file: Path, text: str, value: str, says: str
) -> None:
    document = run_document(run_of(3333.0, recipe=recipe_of(seq_len=2048)))
    run_file.write_text(json.dumps(document).replace(text, value), encoding="utf-8")
    assert says in fails(2, "calibrate", run_file)
    assert says in fails(2, "estimate", *SAID, *BATCH, "--tokens", "1M", "--calibrate-with", run_file)


def test_a_run_of_another_version_in_a_folder_is_named(tunefare: Callable[..., Outcome], run_file: Path) -> None:
    later = json.loads(run_file.read_text(encoding="utf-8")) | {"schema": "tunefare.run/v2"}
    (run_file.parent / "later.json").write_text(json.dumps(later), encoding="utf-8")
    made = tunefare("calibrate", run_file.parent)
    assert made.code == 0
    assert 'later.json: schema "tunefare.run/v2": this version reads "tunefare.run/v1"' in " ".join(made.out.split())


def test_a_trainer_state_is_described_by_flags(tunefare: Callable[..., Outcome], tmp_path: Path) -> None:
    state = tmp_path / "trainer_state.json"
    log = {"train_loss": 1.0, "train_runtime": 100.0, "train_samples_per_second": 3.0}
    state.write_text(json.dumps({"log_history": [log]}), encoding="utf-8")
    made = tunefare("calibrate", state, *SAID, *BATCH, "--json")
    assert made.code == 0
    assert json.loads(made.out)["runs"][0]["source"] == "trainer_state.json: train_samples_per_second"


def test_a_job_file_may_describe_the_run(tunefare: Callable[..., Outcome], tmp_path: Path) -> None:
    job = tmp_path / "job.toml"
    job.write_text(
        'model = "llama-3.1-8b"\nmethod = "lora"\nstack = "hf"\nseq_len = 1024\npacking = true\n'
        '[recipe]\ngpu = "A100-SXM-80GB"\nmicro_batch = 4\n',
        encoding="utf-8",
    )
    made = tunefare("calibrate", "--job", job, "--tokens-per-s", "3200", "--json")
    assert json.loads(made.out)["stacks"][0]["cards"][0]["gpu"] == "A100-SXM-80GB"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((), "measured runs: runs = not given: files of measured runs (RUN.json, trainer_state.json)"),
        (("nix.json",), "measured runs: path = 'nix.json': a readable file (No such file or directory)"),
        (("--tokens-per-s", "0", *SAID), "--tokens-per-s = 0.0: a number above 0"),
        (("--tokens-per-s", "much", *SAID), "'much' is not a number"),
        (("--tokens-per-s", "5", "--model", "llama-3.1-8b"), "--gpu = not given: exactly one GPU"),
        (("--calibrate-with", "x"), "no such option"),
    ],
)
def test_what_is_wrong_is_one_line(fails: Callable[..., str], words: tuple[str, ...], line: str) -> None:
    assert line in fails(2, "calibrate", *words)


def test_flags_beside_a_run_json_are_refused(fails: Callable[..., str], run_file: Path) -> None:
    assert "--gpu = 'L4': only with --tokens-per-s" in fails(2, "calibrate", run_file, "--gpu", "L4")
    assert "--per-gpu = true: only with" in fails(2, "calibrate", run_file, "--per-gpu")


def test_cases_take_measured_runs(tunefare: Callable[..., Outcome], run_file: Path, tmp_path: Path) -> None:
    cases = tmp_path / "cases.csv"
    cases.write_text(
        "model,method,gpu,num_gpus,seq_len,micro_batch,stack,packing\nllama-3.1-8b,lora,A100 80GB,1,1024,4,hf,packed\n",
        encoding="utf-8",
    )
    done = tunefare("estimate", "--cases", cases, "--calibrate-with", run_file)
    assert done.code == 0
    (row,) = csv.DictReader(io.StringIO(done.out))
    assert row["pred_calibration"] == "inside"
    assert "pred_calibration" not in tunefare("estimate", "--cases", cases).out


def test_the_environment_may_name_measured_runs(
    tunefare: Callable[..., Outcome], run_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNEFARE_CALIBRATION", str(run_file))
    answer = tunefare("estimate", *SAID, *BATCH, "--json")
    assert json.loads(answer.out)["calibration"]["files"] == [str(run_file)]
    # A measurement is not measured against itself.
    alone = tunefare("calibrate", "--tokens-per-s", "3333", *SAID, *BATCH, "--json")
    assert json.loads(alone.out)["stacks"][0]["cards"][0]["speed_factor"] != 1


def test_plan_and_explain_take_measured_runs(tunefare: Callable[..., Outcome], run_file: Path) -> None:
    job = ("--model", "llama-3.1-8b", "--tokens", "1M", "--seq-len", "1024", "--method", "lora", "--gpu", "L4")
    planned = tunefare("plan", *job, "--calibrate-with", run_file)
    assert planned.code == 0
    assert "Calibration" in planned.out
    assert "not on L4-24GB" in " ".join(planned.out.split())
    explained = tunefare("explain", *job, "--calibrate-with", run_file, "--why-not", "qlora")
    assert explained.code == 0
    assert "Calibration" in explained.out
