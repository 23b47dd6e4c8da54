"""A calibration in force: what it changes in estimates, plans, explanations and cases, and what the answers say."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from optimizer import Job, estimate, plan
from optimizer.app.calibrating import Stated, calibrate_files
from optimizer.app.calibration_in_force import read_calibration
from optimizer.app.cases import CALIBRATION, predict_cases, run_cases
from optimizer.app.estimating import RecipeChoice, estimate_recipe
from optimizer.app.explaining import explain_job
from optimizer.app.planning import plan_job
from optimizer.app.settings import Settings
from optimizer.app.tables import load_tables
from optimizer.measure.calibration_file import calibration_document
from optimizer.measure.record import MeasuredRun, Readings, run_document
from optimizer.physics.axes import Loss, Stack, Tuning
from optimizer.physics.recipe import Recipe
from optimizer.report.json_calibration import calibration_text
from optimizer.report.json_estimate import estimate_document
from optimizer.report.json_explain import explanation_document
from optimizer.report.json_plan import plan_document, plan_text
from optimizer.workload.job_input import JobInput
from providers.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from optimizer.report.answers import EstimateAnswer

CARD = "A100-SXM-80GB"
RECIPE = {"gpu": CARD, "micro_batch": 4, "grad_accum": 4}


def said(**values: object) -> JobInput:
    start = {"model": "llama-3.1-8b", "tokens": 1_000_000, "seq_len": 1024, "packing": True, "method": "lora"}
    return JobInput.from_mapping({**start, **values}, where="test")


@pytest.fixture
def run(market_csv: Path, now: datetime) -> Callable[..., EstimateAnswer]:
    settings = Settings(offers=market_csv, only_offers=True)

    def call(job: JobInput | None = None, **recipe: object) -> EstimateAnswer:
        chosen = RecipeChoice(**{**RECIPE, **recipe})  # type: ignore[arg-type]
        return estimate_recipe(job or said(), recipe=chosen, settings=settings, now=now)

    return call


@pytest.fixture
def measured(run: Callable[..., EstimateAnswer], tmp_path: Path) -> Callable[..., Path]:
    """Write a RUN.json whose speed is a multiple of what the model says of exactly that recipe."""

    def write(times: float = 1.25, name: str = "RUN.json", **changes: Any) -> Path:
        speed = run(said(stack="hf")).speed.tokens_per_s.expected
        recipe = Recipe(
            tuning=Tuning.LORA, micro_batch=4, grad_accum=4, seq_len=1024, packing=True, stack=Stack.HF,
            stack_known=True, loss=Loss.STANDARD,
        )  # fmt: skip
        record = MeasuredRun(
            model=load_tables().models.resolve("llama-3.1-8b"), recipe=recipe, gpu=CARD,
            readings=Readings(tokens_per_s=speed * times), source="probe", made_at="2031-05-01T00:00:00Z",
        )  # fmt: skip
        path = tmp_path / name
        path.write_text(json.dumps(run_document(replace(record, **changes))), encoding="utf-8")
        return path

    return write


def test_a_measured_run_moves_the_speed_narrows_it_and_is_named(
    run: Callable[..., EstimateAnswer], measured: Callable[..., Path]
) -> None:
    file = measured(1.25)
    plain, answer = run(said(stack="hf")), run(said(calibrate_with=[str(file)]))
    before, now = plain.speed.tokens_per_s, answer.speed.tokens_per_s
    assert now.expected == pytest.approx(1.25 * before.expected, rel=0.05)
    assert now.high / now.low < before.high / before.low
    assert (before.basis.value, now.basis.value) == ("published", "measured")
    assert sum(answer.speed.parts_s.values()) == pytest.approx(answer.speed.step_s)
    assert answer.duration_s.expected < plain.duration_s.expected
    report = estimate_document(answer)["calibration"]
    assert isinstance(report, dict)
    assert (report["files"], report["stacks"], report["runs"], report["applied"]) == ([str(file)], ["hf"], 1, True)
    assert estimate_document(plain)["calibration"] is None
    (note,) = [note for note in answer.notes if "calibrated" in note]
    assert note.startswith(f"Speed is calibrated by 1 measured run of hf on {CARD}: 1.2")
    assert note.endswith("this recipe lies inside what was measured.")


@pytest.mark.parametrize("times", [0.21, 0.25, 0.5, 2.0, 4.0, 4.8])
def test_however_far_off_the_answer_agrees_with_the_run_that_it_is_measured_by(
    run: Callable[..., EstimateAnswer], measured: Callable[..., Path], times: float
) -> None:
    speed = run(said(stack="hf")).speed.tokens_per_s.expected * times
    now = run(said(calibrate_with=str(measured(times)))).speed.tokens_per_s
    assert now.low < speed < now.high
    assert now.expected == pytest.approx(speed, rel=0.05)
    assert now.basis.value == "measured"
    (note,) = [note for note in run(said(calibrate_with=str(measured(times)))).notes if "calibrated by" in note]
    assert "its unit may be wrong" in note


def test_runs_that_contradict_each_other_are_said_in_every_answer(
    run: Callable[..., EstimateAnswer], measured: Callable[..., Path], market_csv: Path, now: datetime, tmp_path: Path
) -> None:
    files = [measured(4.0, "fast.json"), measured(0.25, "slow.json")]
    model = run(said(stack="hf")).speed.tokens_per_s
    written = tmp_path / "calibration.json"
    written.write_text(calibration_text(calibrate_files(files, stated=Stated(), where="test")), encoding="utf-8")
    for named in ([str(file) for file in files], str(written)):
        answer = run(said(calibrate_with=named))
        assert answer.speed.tokens_per_s.basis is model.basis
        assert (
            answer.speed.tokens_per_s.low
            < 0.25 * model.expected
            < 4.0 * model.expected
            < answer.speed.tokens_per_s.high
        )
        job, settings = said(calibrate_with=named, gpu=[CARD]), Settings(offers=market_csv, only_offers=True)
        planned = plan_job(job, settings=settings, now=now)
        explained = explain_job(job, why_not="qlora", settings=settings, now=now)
        documents = (estimate_document(answer), plan_document(planned), explanation_document(explained))
        for notes in (answer.notes, planned.notes, explained.notes, *(one["notes"] for one in documents)):
            assert isinstance(notes, list | tuple)
            (note,) = [str(one) for one in notes if "differ by a factor of 16" in str(one)]
            assert "slow.json (" in note


def test_runs_that_are_not_used_are_said(run: Callable[..., EstimateAnswer], measured: Callable[..., Path]) -> None:
    good, wrong = measured(1.1), measured(1000.0, "wrong.json")
    answer = run(said(calibrate_with=[str(good), str(wrong)]))
    assert [
        one
        for one in answer.notes
        if one == f"Not all that was measured is used (tunefare calibrate says why): {wrong}."
    ]
    assert answer.speed == run(said(calibrate_with=str(good))).speed
    twice = run(said(calibrate_with=[str(good), str(good)]))
    assert not [one for one in twice.notes if "Not all" in one]


def test_the_stack_of_the_calibration_stands_in_for_one_that_nobody_named(
    run: Callable[..., EstimateAnswer], measured: Callable[..., Path]
) -> None:
    answer = run(said(calibrate_with=[str(measured())]))
    assert answer.recipe.stack_known
    assert "stack = hf (the one of the calibration)" in answer.job.defaults_used
    assert not [line for line in answer.job.defaults_used if line.startswith("stack = hf (default")]


@pytest.mark.parametrize(
    ("job", "recipe", "words"),
    [
        ({}, {"micro_batch": 32}, "32,768 tokens per micro-step (measured: 4,096)"),
        ({"seq_len": 8192}, {"micro_batch": 1}, "8,192 tokens per row (measured: 1,024)"),
        ({"method": "qlora"}, {}, "method lora-4bit (measured: lora-16bit)"),
        ({"method": "full"}, {}, "method full-16bit (measured: lora-16bit)"),
        ({}, {"gpus": 4}, "4 GPUs (measured: 1)"),
        ({"model": "llama-3.1-70b"}, {}, "70.6 billion parameters (measured: 8.03 billion)"),
        ({"model": "mixtral-8x7b-v0.1"}, {}, "model mixture of experts (measured: dense)"),
    ],
)
def test_outside_what_was_measured_it_says_so_and_is_less_sure(
    run: Callable[..., EstimateAnswer],
    measured: Callable[..., Path],
    job: dict[str, Any],
    recipe: dict[str, Any],
    words: str,
) -> None:
    file = str(measured())
    inside, answer = run(said(calibrate_with=file)), run(said(**job, calibrate_with=file), **recipe)
    (note,) = [note for note in answer.notes if "Outside what was measured" in note]
    assert words in note
    assert answer.speed.sigma_log > inside.speed.sigma_log
    assert answer.speed.tokens_per_s.basis.value != "measured"


def test_on_another_card_the_factor_stays_behind(
    run: Callable[..., EstimateAnswer], measured: Callable[..., Path]
) -> None:
    plain = run(said(stack="hf"), gpu="H100-SXM-80GB")
    answer = run(said(calibrate_with=str(measured())), gpu="H100-SXM-80GB")
    assert answer.speed.tokens_per_s.expected == pytest.approx(plain.speed.tokens_per_s.expected, rel=0.06)
    assert answer.speed.sigma_log == pytest.approx(plain.speed.sigma_log, rel=0.02)
    assert answer.speed.tokens_per_s.basis is plain.speed.tokens_per_s.basis
    (note,) = [note for note in answer.notes if note.startswith("Runs of hf were measured on")]
    assert "not on H100-SXM-80GB" in note


def test_for_another_stack_nothing_applies(run: Callable[..., EstimateAnswer], measured: Callable[..., Path]) -> None:
    plain = run(said(stack="torchtune"))
    answer = run(said(stack="torchtune", calibrate_with=str(measured())))
    assert answer.speed == plain.speed
    assert answer.memory == plain.memory
    assert "The calibration is of hf, and the job runs torchtune: nothing of it is applied." in answer.notes
    assert answer.calibration is not None
    assert not answer.calibration.applied


def test_of_several_stacks_the_job_has_to_name_one(
    run: Callable[..., EstimateAnswer], measured: Callable[..., Path]
) -> None:
    unsloth = Recipe(tuning=Tuning.LORA, micro_batch=4, seq_len=1024, stack=Stack.UNSLOTH, stack_known=True)
    files = [str(measured()), str(measured(name="other.json", recipe=unsloth))]
    answer = run(said(calibrate_with=files))
    assert [note for note in answer.notes if "several stacks (hf, unsloth) and the job names none" in note]
    assert answer.speed == run().speed
    named = run(said(calibrate_with=files, stack="hf"))
    assert named.speed == run(said(calibrate_with=files[:1])).speed


def test_a_calibration_that_was_written_says_what_its_runs_say(
    run: Callable[..., EstimateAnswer], measured: Callable[..., Path], tmp_path: Path
) -> None:
    file = measured()
    made = calibrate_files([file], stated=Stated(), where="test")
    (tmp_path / "calibration.json").write_text(calibration_text(made), encoding="utf-8")
    from_runs, from_file = (run(said(calibrate_with=str(tmp_path / name))) for name in (file.name, "calibration.json"))
    assert from_runs.speed == from_file.speed
    assert from_runs.calibration is not None
    assert from_file.calibration is not None
    assert from_runs.calibration.sha256 == from_file.calibration.sha256


def test_a_calibration_of_other_constants_is_refused(
    run: Callable[..., EstimateAnswer], measured: Callable[..., Path], tmp_path: Path
) -> None:
    document = calibration_document(calibrate_files([measured()], stated=Stated(), where="test"))
    old = tmp_path / "old.json"
    old.write_text(json.dumps(document | {"model_sha256": "0" * 64, "tool_version": "0.0.1"}), encoding="utf-8")
    with pytest.raises(JobError, match=r"old\.json: model_sha256 = '0{12}': .*made by 0\.0\.1.*calibrate. on its runs"):
        run(said(calibrate_with=str(old)))
    document["stacks"][0]["speed_constants"][0]["name"] = "magic.hf"
    old.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(JobError, match=r"old\.json: constants = 'magic\.hf'"):
        run(said(calibrate_with=str(old)))


@pytest.mark.parametrize(
    ("name", "changes", "complaint"),
    [
        (
            "elementwise_bytes.hf",
            {"before": 1e-9, "after": 1e-9},
            r"elementwise_bytes\.hf, before = 1e-09: .*, as in",
        ),
        ("matrix_efficiency.hf", {"after": 1.5}, r"matrix_efficiency\.hf, after = 1\.5: a share of at most 1"),
    ],
)
def test_constants_that_no_fit_gives_are_refused(
    run: Callable[..., EstimateAnswer],
    measured: Callable[..., Path],
    tmp_path: Path,
    name: str,
    changes: dict[str, float],
    complaint: str,
) -> None:
    document = calibration_document(calibrate_files([measured()], stated=Stated(), where="test"))
    (constant,) = [one for one in document["stacks"][0]["speed_constants"] if one["name"] == name]
    constant |= changes
    (tmp_path / "wrong.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(JobError, match=rf"wrong\.json: {complaint}"):
        run(said(calibrate_with=str(tmp_path / "wrong.json")))


def test_two_calibrations_of_one_stack_and_a_trainer_state_are_refused(
    run: Callable[..., EstimateAnswer], measured: Callable[..., Path], tmp_path: Path
) -> None:
    made = calibration_text(calibrate_files([measured()], stated=Stated(), where="test"))
    files = []
    for name in ("one.json", "two.json"):
        (tmp_path / name).write_text(made, encoding="utf-8")
        files.append(str(tmp_path / name))
    with pytest.raises(JobError, match=r"two\.json: stacks = 'hf': one calibration a stack \(.*one\.json has it too"):
        run(said(calibrate_with=files))
    (tmp_path / "trainer_state.json").write_text('{"log_history": []}', encoding="utf-8")
    with pytest.raises(JobError, match=r"trainer_state\.json: schema = 'trainer_state': .*tunefare calibrate"):
        run(said(calibrate_with=str(tmp_path / "trainer_state.json")))


def test_settings_a_job_file_and_the_python_interface_name_runs_too(
    market_csv: Path, now: datetime, measured: Callable[..., Path], tmp_path: Path
) -> None:
    file = measured()
    job = tmp_path / "job.toml"
    job.write_text(
        'model = "llama-3.1-8b"\ntokens = 1000000\nseq_len = 1024\npacking = true\nmethod = "lora"\n'
        'calibrate_with = "RUN.json"\n',
        encoding="utf-8",
    )
    choice = RecipeChoice(**RECIPE)  # type: ignore[arg-type]
    settings = Settings(offers=market_csv, only_offers=True)
    by_file = estimate_recipe(job, recipe=choice, settings=settings, now=now)
    by_settings = estimate_recipe(said(), recipe=choice, settings=replace(settings, calibration=(file,)), now=now)
    by_python = estimate(Job(**said().said()), **RECIPE, calibrate_with=[file], offers=market_csv, now=now)  # type: ignore[arg-type]
    assert by_file.speed == by_settings.speed == by_python.answer.speed
    assert by_file.calibration is not None


def test_a_plan_uses_it_names_it_and_is_the_same_byte_for_byte(
    market_csv: Path, now: datetime, measured: Callable[..., Path]
) -> None:
    settings = Settings(offers=market_csv, only_offers=True)
    job = said(calibrate_with=str(measured(3.0)), gpu=[CARD], quantization=[16])
    plain = plan_job(said(stack="hf", gpu=[CARD], quantization=[16]), settings=settings, now=now)
    first, again = (plan_job(job, settings=settings, now=now) for _ in range(2))
    assert plan_text(first) == plan_text(again)
    assert first.choices[0].speed.tokens_per_s.expected > 1.8 * plain.choices[0].speed.tokens_per_s.expected
    assert first.choices[0].quote.expected_usd_micro < plain.choices[0].quote.expected_usd_micro
    report = plan_document(first)["calibration"]
    assert isinstance(report, dict)
    assert report["applied"] is True
    assert [note for note in first.notes if note.startswith("Speed is calibrated by 1 measured run of hf")]


def test_the_public_plan_takes_paths(market_csv: Path, now: datetime, measured: Callable[..., Path]) -> None:
    result = plan(**said(gpu=[CARD]).said(), calibrate_with=measured(), offers=market_csv, only_offers=True, now=now)  # type: ignore[arg-type]
    assert result.plan.calibration is not None


def test_an_explanation_is_made_with_it_and_says_so(
    market_csv: Path, now: datetime, measured: Callable[..., Path]
) -> None:
    settings = Settings(offers=market_csv, only_offers=True)
    answer = explain_job(said(calibrate_with=str(measured())), why_not="H100", settings=settings, now=now)
    document = explanation_document(answer)
    assert isinstance(document["calibration"], dict)
    assert [note for note in answer.notes if "measured" in note]


def test_cases_of_the_stack_and_card_are_estimated_with_it(measured: Callable[..., Path], tmp_path: Path) -> None:
    row = {
        "model": "llama-3.1-8b", "method": "lora", "gpu": "A100 80GB", "num_gpus": "1", "seq_len": "1024",
        "micro_batch": "4", "stack": "hf", "packing": "packed", "precision": "bf16", "grad_checkpointing": "yes",
    }  # fmt: skip
    rows = [row, row | {"micro_batch": "32"}, row | {"gpu": "H100 SXM"}, row | {"stack": "torchtune"}]
    rows += [row | {"method": "nonsense"}]
    tables = load_tables()
    in_force = read_calibration([measured(1.3)], tables)
    plain, now = predict_cases(rows, tables=tables), predict_cases(rows, tables=tables, calibration=in_force)
    assert [found.get(CALIBRATION) for found in now] == [
        "inside", "outside: tokens per micro-step", "another card", "another stack", None,
    ]  # fmt: skip
    times = [
        float(after["pred_tokens_per_s_per_gpu"]) / float(before["pred_tokens_per_s_per_gpu"])
        for before, after in zip(plain[:4], now[:4], strict=True)
    ]
    assert times[0] == pytest.approx(1.28, abs=0.06)
    assert times[1] > 1.15
    assert times[2] == pytest.approx(1.0, abs=0.06)
    assert now[3] == plain[3] | {CALIBRATION: "another stack"}
    disputed = read_calibration([measured(1.3), measured(3.0, "other.json")], tables)
    (one,) = predict_cases(rows[:1], tables=tables, calibration=disputed)
    assert one[CALIBRATION] == "inside, but its runs contradict each other"
    path = tmp_path / "cases.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerows(rows)
    out = io.StringIO()
    assert run_cases(path, out, tables=tables, calibration=in_force).with_speed == 4
    assert [one[CALIBRATION] for one in csv.DictReader(io.StringIO(out.getvalue()))][:1] == ["inside"]


def calibrated_by(tmp_path: Path, state: dict[str, Any] | None = None, **values: Any) -> tuple[float, float]:
    """Return measured tokens/s of the job and the factor, of a speed that flags and a trainer state describe."""
    files = []
    if state is not None:
        (tmp_path / "trainer_state.json").write_text(json.dumps(state), encoding="utf-8")
        files = [tmp_path / "trainer_state.json"]
    recipe = {**RECIPE, **values.pop("recipe", {})}
    stated = Stated(**{key: values.pop(key) for key in ("tokens_per_s", "per_gpu", "padded") if key in values})
    found = calibrate_files(
        files, stated=stated, flags=said(stack="hf", **values), recipe=RecipeChoice(**recipe), where="test"
    )
    return found.runs[0].readings[0].measured, found.stacks[0].cards[0].factor


def test_a_stated_speed_is_of_the_job_unless_it_is_said_to_be_of_one_gpu(tmp_path: Path) -> None:
    assert calibrated_by(tmp_path, tokens_per_s=3000.0)[0] == 3000
    four = {"gpus": 4}
    assert calibrated_by(tmp_path, tokens_per_s=3000.0, recipe=four)[0] == 3000
    assert calibrated_by(tmp_path, tokens_per_s=3000.0, per_gpu=True, recipe=four)[0] == 12_000


def test_padding_is_taken_off_where_it_was_counted(tmp_path: Path) -> None:
    lengths = {"packing": False, "tokens": None, "samples": 10_000, "tokens_per_sample": 300}
    real, _ = calibrated_by(tmp_path, tokens_per_s=3000.0, **lengths)
    padded, _ = calibrated_by(tmp_path, tokens_per_s=3000.0, padded=True, **lengths)
    assert real == 3000
    assert padded < 2900


def test_a_trainer_state_counts_samples_steps_and_tokens_as_it_does(tmp_path: Path) -> None:
    four = {"gpus": 4}
    end = {"train_loss": 1.0, "train_runtime": 100.0}
    samples = {"log_history": [end | {"train_samples_per_second": 3.0}]}
    assert calibrated_by(tmp_path, samples)[0] == 3 * 1024
    steps = {"log_history": [end | {"train_steps_per_second": 0.25}]}
    assert calibrated_by(tmp_path, steps, recipe=four)[0] == 0.25 * 4 * 4 * 4 * 1024
    process = {"log_history": [end | {"train_tokens_per_second": 3000.0}]}
    assert calibrated_by(tmp_path, process, recipe=four)[0] == 12_000
    assert calibrated_by(tmp_path, process, recipe=four, per_gpu=False)[0] == 3000
    seen = {"log_history": [end | {"num_input_tokens_seen": 900_000}]}
    assert calibrated_by(tmp_path, seen, recipe=four)[0] == 9000


def test_flags_beside_a_run_that_describes_itself_are_refused(measured: Callable[..., Path]) -> None:
    with pytest.raises(JobError, match=r"test: gpu = 'L4': only with --tokens-per-s or a trainer_state\.json"):
        calibrate_files([measured()], stated=Stated(), recipe=RecipeChoice(gpu="L4"), where="test")
    with pytest.raises(JobError, match=r"measured runs: runs = not given: files of measured runs"):
        calibrate_files([], stated=Stated(), where="test")
    with pytest.raises(JobError, match=r"tokens_per_s = -5\.0: a number above 0"):
        calibrate_files([], stated=Stated(tokens_per_s=-5.0), flags=said(), recipe=RecipeChoice(gpu=CARD), where="test")


@pytest.mark.parametrize(
    ("changes", "recipe", "missing"),
    [
        ({"method": None}, {}, "--method"),
        ({"stack": None}, {}, "--stack"),
        ({"seq_len": None}, {}, "--seq-len"),
        ({}, {"micro_batch": None}, "--micro-batch"),
    ],
)
def test_what_decides_the_speed_must_be_said(
    changes: dict[str, object], recipe: dict[str, object], missing: str
) -> None:
    flags = JobInput.from_mapping(
        {"model": "llama-3.1-8b", "method": "lora", "stack": "hf", "seq_len": 2048, **changes}, where="test"
    )
    chosen = RecipeChoice(**{"gpu": CARD, "micro_batch": 4, **recipe})  # type: ignore[arg-type]
    with pytest.raises(JobError, match=f"a run that was measured \\({missing}\\): a default is nobody's measurement"):
        calibrate_files([], stated=Stated(tokens_per_s=3000.0), flags=flags, recipe=chosen, where="test")


def test_a_trainer_state_that_says_another_batch_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "trainer_state.json"
    log = [{"step": 10, "train_runtime": 100.0, "train_samples_per_second": 1.5, "train_steps_per_second": 0.1}]
    state.write_text(json.dumps({"global_step": 10, "log_history": log, "train_batch_size": 8}), "utf-8")
    flags = JobInput.from_mapping(
        {"model": "llama-3.1-8b", "method": "lora", "stack": "hf", "seq_len": 2048}, where="test"
    )
    with pytest.raises(JobError, match=r"train_batch_size = 8: the micro-batch that was said \(4\)"):
        calibrate_files(
            [state], stated=Stated(), flags=flags, recipe=RecipeChoice(gpu=CARD, micro_batch=4), where="test"
        )
