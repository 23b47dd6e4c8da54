from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from optimizer.measure.record import run_document
from optimizer.measure.run_files import read_run_files
from optimizer.measure.trainer_state import Counted, LoggedSpeed, logged_speed
from providers.errors import JobError
from tests.unit.measure.runs_of import run_of

if TYPE_CHECKING:
    from pathlib import Path

RUN = run_of(2500.0, allocated_bytes=17 * 10**9)


def document(**changes: Any) -> dict[str, Any]:
    return run_document(RUN) | changes


def written(path: Path, *documents: object, lines: bool = False) -> Path:
    text = "\n".join(json.dumps(one) for one in documents) if lines else json.dumps(documents[0], indent=1)
    path.write_text(text, encoding="utf-8")
    return path


def test_one_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    found = read_run_files([written(tmp_path / "RUN.json", document())])
    (named,) = found.runs
    assert named.where == str(tmp_path / "RUN.json")
    assert run_document(named.run) == document()
    assert (found.states, found.calibrations) == ((), ())


def test_a_list_lines_and_a_folder_hold_many(tmp_path: Path) -> None:
    written(tmp_path / "list.json", [document(source="a"), document(source="b")])
    written(tmp_path / "lines.jsonl", document(source="c"), document(source="d"), lines=True)
    written(tmp_path / "notes.json", {"schema": "something else"})
    (tmp_path / "model.safetensors").write_bytes(b"\x00")
    found = read_run_files([tmp_path])
    assert [named.run.source for named in found.runs] == ["c", "d", "a", "b"]
    assert [named.where.rpartition("/")[2] for named in found.runs] == [
        "lines.jsonl, line 1", "lines.jsonl, line 2", "list.json, run 1", "list.json, run 2",
    ]  # fmt: skip


def test_json_lines_are_known_whatever_the_file_is_called(tmp_path: Path) -> None:
    found = read_run_files([written(tmp_path / "runs.json", document(), document(source="b"), lines=True)])
    assert len(found.runs) == 2


def test_a_trainer_state_is_told_from_a_run(tmp_path: Path) -> None:
    found = read_run_files([written(tmp_path / "trainer_state.json", {"log_history": [], "global_step": 3})])
    assert [state.where for state in found.states] == [str(tmp_path / "trainer_state.json")]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", r"RUN\.json: line 1 = .*no JSON.*one run, a list of runs, or one run a line"),
        ("", r"RUN\.json: \(whole file\) = 'empty': at least one run"),
        ("[]", r"RUN\.json: \(whole file\) = 'empty': at least one run"),
        ('{"schema": "tunefare.plan/v1"}', r'RUN\.json: schema = .*"tunefare\.run/v1" \(a measured run\).*log_history'),
        ("3", r"RUN\.json: \(whole file\) = 'int': a JSON object"),
        ('{"a": 1}\n{"b"\n', r"RUN\.json: line 2 = .*no JSON"),
    ],
)
def test_what_is_no_run_is_one_line_naming_the_file(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "RUN.json").write_text(text, encoding="utf-8")
    with pytest.raises(JobError, match=complaint):
        read_run_files([tmp_path / "RUN.json"])


def test_a_missing_file_an_empty_folder_and_bytes_are_named(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"measured runs: path = '.*nix\.json': a readable file \(No such file"):
        read_run_files([tmp_path / "nix.json"])
    with pytest.raises(JobError, match=r"folder: path = .*: JSON files with schema"):
        read_run_files([tmp_path])
    (tmp_path / "RUN.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(JobError, match=r"RUN\.json: encoding = 'not UTF-8'"):
        read_run_files([tmp_path / "RUN.json"])


def test_a_folder_without_a_run_is_named_beside_others_too(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    run = written(tmp_path / "RUN.json", document())
    for paths in ([run, tmp_path / "empty"], [tmp_path / "empty", run]):
        with pytest.raises(JobError, match=r"folder: path = '.*empty': JSON files with schema"):
            read_run_files(paths)


def test_a_run_of_another_version_in_a_folder_is_passed_over_and_named(tmp_path: Path) -> None:
    later = written(tmp_path / "later.json", document(schema="tunefare.run/v2"))
    with pytest.raises(JobError, match=r'later\.json: schema "tunefare\.run/v2": this version reads'):
        read_run_files([tmp_path])
    written(tmp_path / "RUN.json", document())
    found = read_run_files([tmp_path])
    assert (len(found.runs), [one.where for one in found.skipped]) == (1, [str(later)])


def test_a_number_of_thousands_of_digits_is_named(tmp_path: Path) -> None:
    text = json.dumps(document())
    for name, whole in (("RUN.json", text), ("RUN.jsonl", f"{text}\n{text}")):
        (tmp_path / name).write_text(whole.replace('"seq_len": 1024', '"seq_len": ' + "9" * 5000), encoding="utf-8")
        with pytest.raises(JobError, match=r"recipe\.seq_len = 'a number of more than 40 digits': a whole number"):
            read_run_files([tmp_path / name])


def test_a_wrong_value_in_a_run_names_file_and_key(tmp_path: Path) -> None:
    wrong = document()
    wrong["recipe"]["stack"] = "homemade"
    with pytest.raises(JobError, match=r"RUN\.json: recipe\.stack = 'homemade': one of hf"):
        read_run_files([written(tmp_path / "RUN.json", wrong)])


SUMMARY = {
    "step": 100, "epoch": 1.0, "train_loss": 1.2, "train_runtime": 400.0, "total_flos": 1e17,
    "train_samples_per_second": 4.0, "train_steps_per_second": 0.25,
}  # fmt: skip


def speed_of(*history: dict[str, Any], **others: Any) -> LoggedSpeed:
    return logged_speed({"log_history": list(history), **others}, where="trainer_state.json")


def test_tokens_seen_between_logs_leave_the_warm_up_out() -> None:
    logs = [
        {"step": at, "loss": 1.0, "num_input_tokens_seen": seen, "train_runtime": seconds}
        for at, seen, seconds in ((10, 40_000, 60.0), (20, 80_000, 80.0), (30, 120_000, 100.0), (40, 160_000, 190.0))
    ]
    found = speed_of(*logs, SUMMARY | {"num_input_tokens_seen": 160_000})
    # 40,000 tokens in 60 s hold the compilation, in 90 s an evaluation: the median is that of training.
    assert (found.per_s, found.counted) == (2000.0, Counted.TOKENS)
    assert "median of 3 intervals" in found.origin


def test_tokens_seen_at_the_end_count_over_the_whole_run() -> None:
    found = speed_of(
        {"step": 10, "loss": 1.0, "num_input_tokens_seen": 10}, SUMMARY | {"num_input_tokens_seen": 800_000}
    )
    assert (found.per_s, found.counted) == (2000.0, Counted.TOKENS)
    of_the_state = speed_of(SUMMARY, num_input_tokens_seen=400_000)
    assert of_the_state.per_s == 1000.0


def test_tokens_of_a_resumed_run_are_not_divided_by_the_time_of_its_last_session() -> None:
    found = speed_of(SUMMARY, SUMMARY | {"num_input_tokens_seen": 800_000})
    assert (found.per_s, found.counted) == (4.0, Counted.SAMPLES)


def test_tokens_per_second_are_of_one_process() -> None:
    found = speed_of(SUMMARY | {"train_tokens_per_second": 1234.5})
    assert (found.per_s, found.counted, found.origin) == (1234.5, Counted.TOKENS_PER_GPU, "train_tokens_per_second")


def test_without_tokens_samples_count_then_steps() -> None:
    assert speed_of(SUMMARY, num_input_tokens_seen=0).counted is Counted.SAMPLES
    steps = {key: value for key, value in SUMMARY.items() if key != "train_samples_per_second"}
    assert speed_of(steps) == LoggedSpeed(per_s=0.25, counted=Counted.STEPS, origin="train_steps_per_second")


@pytest.mark.parametrize(
    "history",
    [[], [{"step": 1, "loss": 2.0}], [{"train_runtime": 4.0, "train_loss": 1.0, "train_samples_per_second": -1}], None],
)
def test_a_log_without_a_speed_is_refused_and_says_what_it_lacks(history: object) -> None:
    with pytest.raises(JobError, match=r"trainer_state\.json: log_history = .*(train_runtime and one of|the list of)"):
        logged_speed({"log_history": history}, where="trainer_state.json")
