"""What goes with a refresh is done however it ends: the log, the metrics, the ping."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from cache.errors import StoreBusy
from cache.publishing import SourceState, note_source
from cache.sql_store import open_store
from optimizer.app import attending
from optimizer.app.attending import Attendance, Duties
from optimizer.app.interruption import Interruption
from optimizer.app.settings import Settings
from providers.errors import Interrupted, JobError
from tests.fixtures.offers import NoList

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
URL = "https://checks.test/secret"


@pytest.fixture
def pinged(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    seen: list[tuple[str, bool]] = []

    def ping(url: str, *, fine: bool) -> str:
        seen.append((url, fine))
        return "" if fine else "the ping of checks.test failed (HTTP 500)"

    monkeypatch.setattr(attending, "ping", ping)
    return seen


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def attend(tmp_path: Path, told: list[str]) -> Callable[..., Attendance]:
    def make(interruption: Interruption | None = None, ping_setting: str | None = None, **duties: Any) -> Attendance:
        return Attendance(
            Duties(**{"metrics_textfile": str(tmp_path / "m.prom"), "log_file": str(tmp_path / "log"), **duties}),
            settings=Settings(cache_url=str(tmp_path / "prices.sqlite3"), ping_url=ping_setting),
            clock=lambda: NOW,
            interruption=interruption or Interruption(),
            tell=told.append,
        )

    return make


def exit_code(tmp_path: Path) -> str:
    return (tmp_path / "m.prom").read_text().splitlines()[-1].split()[-1]


def last_event(tmp_path: Path) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((tmp_path / "log").read_text().splitlines()[-1])
    return event


@pytest.mark.parametrize(("code", "level"), [(0, "info"), (9, "error")])
def test_the_exit_code_is_told_everywhere(
    code: int, level: str, attend: Callable[..., Attendance], pinged: list[tuple[str, bool]], tmp_path: Path
) -> None:
    with attend(ping_url=URL).around() as ending:
        ending.code = code
    assert exit_code(tmp_path) == str(code)
    assert pinged == [(URL, code == 0)]
    assert last_event(tmp_path) == {
        "ts": "2026-11-24T03:00:00Z", "level": level, "event": "refresh_finished", "exit_code": code,
    }  # fmt: skip


def test_an_expected_failure_states_its_code(
    attend: Callable[..., Attendance], pinged: list[tuple[str, bool]], told: list[str], tmp_path: Path
) -> None:
    with pytest.raises(StoreBusy), attend(ping_url=URL).around():
        raise StoreBusy("another process refreshes the prices")
    assert exit_code(tmp_path) == "10"
    assert pinged == [(URL, False)]
    assert last_event(tmp_path)["error"] == "another process refreshes the prices"
    # A ping that fails is one line, and nothing else.
    assert told == ["the ping of checks.test failed (HTTP 500)"]


def test_a_bug_is_told_by_its_kind_alone(attend: Callable[..., Attendance], tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), attend().around():
        raise ZeroDivisionError("may hold anything")
    assert (exit_code(tmp_path), last_event(tmp_path)["error"]) == ("1", "ZeroDivisionError")


def test_who_states_nothing_has_not_ended_well(attend: Callable[..., Attendance], tmp_path: Path) -> None:
    with attend().around():
        pass
    assert exit_code(tmp_path) == "1"


@pytest.mark.parametrize(
    ("stored", "words"), [(False, "interrupted: nothing was stored"), (True, "interrupted: the prices are stored")]
)
def test_an_interruption_says_what_was_stored(
    stored: bool, words: str, attend: Callable[..., Attendance], tmp_path: Path
) -> None:
    stop = Interruption()
    with stop.publishing(keep=stored):
        pass
    with pytest.raises(Interrupted) as caught, attend(stop).around():
        raise KeyboardInterrupt
    assert (str(caught.value), caught.value.exit_code) == (words, 130)
    assert (exit_code(tmp_path), last_event(tmp_path)["error"]) == ("130", words)


def test_a_dry_run_writes_no_metrics_and_pings_nobody(
    attend: Callable[..., Attendance], pinged: list[tuple[str, bool]], tmp_path: Path
) -> None:
    with attend(ping_url=URL, dry_run=True).around() as ending:
        ending.code = 0
    assert pinged == []
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_the_flag_wins_over_the_setting(attend: Callable[..., Attendance], pinged: list[tuple[str, bool]]) -> None:
    for flag, setting in ((None, "https://checks.test/setting"), (URL, "https://checks.test/setting"), (None, None)):
        with attend(ping_url=flag, ping_setting=setting).around() as ending:
            ending.code = 0
    assert [url for url, _ in pinged] == ["https://checks.test/setting", URL]


def test_what_cannot_be_done_is_refused_before_anything_is_asked(
    attend: Callable[..., Attendance], tmp_path: Path
) -> None:
    for duties, key in (
        ({"metrics_textfile": str(tmp_path / "no" / "m")}, "metrics_textfile"),
        ({"log_file": str(tmp_path / "no" / "log")}, "log_file"),
        ({"ping_url": "secret"}, "ping_url"),
    ):
        with pytest.raises(JobError, match=key) as caught:
            attend(**duties)
        assert "'secret'" not in str(caught.value)


def test_a_failure_keeps_the_last_success_in_the_metrics(attend: Callable[..., Attendance], tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "prices.sqlite3"), NoList(), create=True)
    with store.writing() as session:
        for name, succeeded, outcome in (("nimbus", True, "refreshed"), ("cirrus", False, "no_credentials")):
            note_source(
                session,
                SourceState(provider=name, attempt_at=NOW, succeeded=succeeded, duration_ms=5, outcome=outcome),
            )
    store.close()
    with pytest.raises(StoreBusy), attend().around():
        raise StoreBusy("busy")
    text = (tmp_path / "m.prom").read_text()
    assert f'tunefare_prices_last_success_timestamp_seconds{{provider="nimbus"}} {int(NOW.timestamp())}' in text
    # A source that never had an account raises no alarm.
    assert "cirrus" not in text


def test_metrics_need_no_store(attend: Callable[..., Attendance], tmp_path: Path) -> None:
    (tmp_path / "prices.sqlite3").write_text("this is no database, and never was one" * 100)
    with attend().around() as ending:
        ending.code = 9
    assert exit_code(tmp_path) == "9"
    assert "provider" not in (tmp_path / "m.prom").read_text()


def test_metrics_that_cannot_be_written_at_the_end_are_told(
    attend: Callable[..., Attendance], told: list[str], tmp_path: Path
) -> None:
    attendance = attend()
    with attendance.around() as ending:
        ending.code = 0
        (tmp_path / "m.prom").mkdir()
    assert len(told) == 1
    assert told[0].startswith("the metrics are lost: command line: metrics_textfile")
