"""The log of refreshes: whole lines of JSON, appended, whatever happens around it."""

from __future__ import annotations

import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from optimizer.app.refresh_log import RefreshLog
from optimizer.report.refresh_answers import RefreshAnswer, RefreshedSource, RefusedBatch
from providers.errors import JobError

NOW = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)


def opened(path: Path | str | None) -> RefreshLog:
    return RefreshLog(None if path is None else str(path), lambda: NOW)


def lines(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="ascii")
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def answer_of(*sources: RefreshedSource) -> RefreshAnswer:
    return RefreshAnswer(
        started_at=NOW, finished_at=NOW, duration_ms=1, dry_run=False, exit_code=0, place="", waiting=0, sources=sources
    )


def test_what_happens_is_appended(tmp_path: Path) -> None:
    target = tmp_path / "log.jsonl"
    for _ in range(2):
        log = opened(target)
        log.started("nimbus", 2)
        log.progress("nimbus", "page 3")
        log.part_done("nimbus", "north", "")
        log.part_done("nimbus", "süd", "nimbus: süd is down")
        log.finished("nimbus", "nimbus: süd is down")
        log.close()
    assert lines(target) == 2 * [
        {"ts": "2031-05-06T07:08:09Z", "level": "info", "event": "source_started", "provider": "nimbus", "parts": 2},
        {"ts": "2031-05-06T07:08:09Z", "level": "info", "event": "part_done", "provider": "nimbus", "part": "north"},
        {
            "ts": "2031-05-06T07:08:09Z", "level": "error", "event": "part_failed", "provider": "nimbus", "part": "süd",
            "error": "nimbus: süd is down",
        },
        {
            "ts": "2031-05-06T07:08:09Z", "level": "warning", "event": "source_fetched", "provider": "nimbus",
            "error": "nimbus: süd is down",
        },
    ]  # fmt: skip


def test_what_was_published_is_counted(tmp_path: Path) -> None:
    log = opened(tmp_path / "log")
    refused = RefusedBatch(region="south", pricing_model="spot", reason="row_count", detail="far fewer")
    log.settled(
        answer_of(
            RefreshedSource(
                provider="nimbus", outcome="partial", duration_ms=12, scopes=2, offers=5, added=1, changed=2, gone=3,
                quarantined=4, released=6, dropped={"zero_price": 7}, unknown_gpus={"Omega": 8}, refused=(refused,),
                errors=("nimbus: down",),
            ),
            RefreshedSource(provider="cirrus", outcome="fresh", duration_ms=0),
            RefreshedSource(provider="stratus", outcome="no_credentials", duration_ms=0, errors=("set KEY",)),
        )
    )  # fmt: skip
    batch, nimbus, cirrus, stratus = lines(tmp_path / "log")
    assert (batch["event"], batch["level"], batch["region"], batch["reason"]) == (
        "batch_refused", "error", "south", "row_count",
    )  # fmt: skip
    assert nimbus["counts"] == {
        "scopes": 2, "offers": 5, "new": 1, "changed": 2, "gone": 3, "quarantined": 4, "released": 6,
        "dropped": {"zero_price": 7}, "unknown_gpus": 8,
    }  # fmt: skip
    assert [one["level"] for one in (nimbus, cirrus, stratus)] == ["error", "info", "warning"]
    assert (nimbus["error"], nimbus["duration_ms"], nimbus["dry_run"]) == ("nimbus: down", 12, False)


def test_lines_of_many_threads_do_not_mix(tmp_path: Path) -> None:
    log = opened(tmp_path / "log")
    threads = [
        threading.Thread(target=lambda: [log.part_done("nimbus", "x" * 3000, "") for _ in range(50)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines(tmp_path / "log")) == 400


def test_a_dash_is_stderr(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    log = opened("-")
    log.event("refresh_started")
    log.close()
    assert json.loads(capsys.readouterr().err)["event"] == "refresh_started"
    assert list(tmp_path.iterdir()) == []


def test_without_a_file_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    log = opened(None)
    log.event("refresh_started")
    log.close()
    assert capsys.readouterr() == ("", "")


def test_a_place_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    for place in (tmp_path / "no" / "where", tmp_path):
        with pytest.raises(JobError, match="log_file"):
            opened(place)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_disk_is_told_and_stops_nothing() -> None:
    log = opened("/dev/full")
    log.event("refresh_started")
    log.event("refresh_finished")
    log.close()
    assert log.problem.startswith("the log cannot be written (")
    assert os.strerror(28) in log.problem


def test_a_thread_that_was_left_behind_writes_nothing_more(tmp_path: Path) -> None:
    log = opened(tmp_path / "log")
    log.close()
    log.part_done("nimbus", "late", "")
    log.close()
    assert lines(tmp_path / "log") == []
