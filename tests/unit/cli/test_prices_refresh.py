"""`tunefare prices refresh` and `prices status` with invented sources: exit codes, stdout, stderr, files, signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import cache.refresh
from cache.sql_store import open_store
from optimizer.app import attending
from providers import registry
from providers.errors import CredentialsMissing, JobError, ProviderUnavailable
from tests.fixtures.offers import Nimbus, NoList, make_batch, make_offer

if TYPE_CHECKING:
    from collections.abc import Callable

    from providers.base import FetchContext, FetchPart, Provider
    from providers.scope import ScopeBatch

ROOT = Path(__file__).parents[3]
NIGHT, NEXT = "2026-11-24T03:00Z", "2026-11-25T03:00Z"


def fine(name: str = "nimbus", regions: tuple[str, ...] = ("north", "south")) -> Nimbus:
    def rows(context: FetchContext, part: FetchPart) -> list[ScopeBatch]:
        return [make_batch(make_offer("a", provider=name, region=part.name), at=context.now())]

    return Nimbus(rows, name=name, regions=regions)


def failing(error: Exception, name: str = "cirrus") -> Nimbus:
    def rows(context: FetchContext, part: FetchPart) -> list[ScopeBatch]:
        raise error

    return Nimbus(rows, name=name)


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Make these the only sources, with a store of their own."""

    def put(*providers: Provider) -> None:
        found = {one.info.name: one for one in providers}

        def load(name: str) -> Provider:
            if name not in found:
                raise JobError(where="command line", key="provider", value=name, allowed=", ".join(sorted(found)))
            return found[name]

        monkeypatch.setattr(registry, "provider_names", lambda: tuple(sorted(found)))
        monkeypatch.setattr(registry, "load_provider", load)

    monkeypatch.setenv("TUNEFARE_CACHE_URL", str(tmp_path / "prices.sqlite3"))
    return put


def stored(tmp_path: Path) -> list[str]:
    store = open_store(str(tmp_path / "prices.sqlite3"), NoList(), create=False)
    try:
        return sorted(f"{offer.provider} {offer.region}" for offer in store.live_offers())
    finally:
        store.close()


def test_a_line_a_part_on_stderr_and_a_table_on_stdout(
    install: Callable[..., None], tunefare: Callable[..., Any], tmp_path: Path
) -> None:
    install(fine(), failing(ProviderUnavailable("cirrus: HTTP 500")))
    night = tunefare("prices", "refresh", "--now", NIGHT)
    assert night.code == 9
    failed, first, second = sorted(night.err.splitlines())
    assert failed == "cirrus: north failed (1 of 1): cirrus: HTTP 500"
    assert {first.split(" (")[0], second.split(" (")[0]} == {"nimbus: north done", "nimbus: south done"}
    assert {first[-8:], second[-8:]} == {"(1 of 2)", "(2 of 2)"}
    assert night.out.startswith("Refresh  2 sources, 2 offers, in ")
    assert "What failed\n  · cirrus: HTTP 500\n" in night.out
    assert f"Store  {tmp_path}/prices.sqlite3" in night.out
    assert stored(tmp_path) == ["nimbus north", "nimbus south"]


def test_quiet_and_json(install: Callable[..., None], tunefare: Callable[..., Any], tmp_path: Path) -> None:
    install(fine())
    night = tunefare("prices", "refresh", "--json", "--quiet", "--now", NIGHT, "--allow-partial")
    assert (night.code, night.err) == (0, "")
    document = json.loads(night.out)
    assert (document["schema"], document["exit_code"]) == ("tunefare.refresh/v1", 0)
    assert document["sources"][0]["new"] == 2
    again = tunefare("prices", "refresh", "-q", "--now", NEXT, "--output", tmp_path / "night.json")
    assert json.loads((tmp_path / "night.json").read_text())["sources"][0]["new"] == 0
    assert again.out.startswith("Refresh  1 source, 2 offers")
    # Talk stays on stderr beside JSON.
    assert "nimbus: north done" in tunefare("prices", "refresh", "--json", "--now", NEXT).err


def test_the_log_may_go_to_stderr_alone(install: Callable[..., None], tunefare: Callable[..., Any]) -> None:
    install(fine())
    night = tunefare("prices", "refresh", "--log-file", "-", "--now", NIGHT)
    events = [json.loads(line)["event"] for line in night.err.splitlines()]
    assert (events[0], events[-2:]) == ("refresh_started", ["source_settled", "refresh_finished"])


def test_what_is_wrong_is_one_line(install: Callable[..., None], fails: Callable[..., str], tmp_path: Path) -> None:
    install(fine())
    assert fails(2, "prices", "refresh", "--provider", "nimbos") == "command line: --provider = 'nimbos': nimbus"
    assert fails(2, "prices", "refresh", "-q", "--region", "nroth", "--now", NIGHT).startswith(
        "command line: --region = 'nroth':"
    )
    assert "--max-age = 'x'" in fails(2, "prices", "refresh", "--max-age", "x")
    assert "--metrics-textfile" in fails(2, "prices", "refresh", "--metrics-textfile", tmp_path / "no" / "m")
    assert "--log-file" in fails(2, "prices", "refresh", "--log-file", tmp_path / "no" / "m")
    refused = fails(2, "prices", "refresh", "--ping-url", "secret-thing")
    assert "--ping-url" in refused
    assert "secret-thing" not in refused


def test_another_refresh_is_exit_10(
    install: Callable[..., None], tunefare: Callable[..., Any], fails: Callable[..., str], tmp_path: Path
) -> None:
    install(fine())
    assert tunefare("prices", "refresh", "-q", "--now", NIGHT).code == 0
    before = stored(tmp_path)
    store = open_store(str(tmp_path / "prices.sqlite3"), NoList(), create=False)
    with store.lock():
        line = fails(10, "prices", "refresh", "--now", NEXT, "--metrics-textfile", tmp_path / "m")
    store.close()
    assert line.startswith("another process refreshes the prices")
    assert "tunefare_prices_refresh_exit_code 10\n" in (tmp_path / "m").read_text()
    assert 'tunefare_prices_up{provider="nimbus"} 1\n' in (tmp_path / "m").read_text()
    assert stored(tmp_path) == before


def test_whoever_watches_is_told_without_the_secret(
    install: Callable[..., None], tunefare: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[tuple[str, bool]] = []

    def ping(url: str, *, fine: bool) -> str:
        seen.append((url, fine))
        return "the ping of checks.test failed (HTTP 500)"

    monkeypatch.setattr(attending, "ping", ping)
    install(fine())
    url = "https://checks.test/secret-path"
    night = tunefare("prices", "refresh", "-q", "--ping-url", url, "--log-file", tmp_path / "log", "--now", NIGHT)
    # A ping that fails is one line and never changes the exit code.
    assert (night.code, night.err) == (0, "tunefare: the ping of checks.test failed (HTTP 500)\n")
    monkeypatch.setenv("TUNEFARE_PING_URL", url)
    install(failing(ProviderUnavailable("cirrus: HTTP 500")))
    bad = tunefare("prices", "refresh", "--log-file", tmp_path / "log", "--now", NEXT)
    assert (bad.code, seen) == (9, [(url, True), (url, False)])
    said = night.out + night.err + bad.out + bad.err + (tmp_path / "log").read_text()
    assert "secret-path" not in said


def test_an_output_that_cannot_be_written_is_said_before_anything_is_asked(
    install: Callable[..., None], fails: Callable[..., str], tmp_path: Path
) -> None:
    source = fine()
    install(source)
    files = ("--output", tmp_path / "no" / "x", "--metrics-textfile", tmp_path / "m")
    assert "--output" in fails(2, "prices", "refresh", "-q", "--now", NIGHT, *files)
    assert source.asked == []
    assert "refresh_exit_code 2\n" in (tmp_path / "m").read_text()


def test_an_interruption_says_that_nothing_was_stored(
    install: Callable[..., None], fails: Callable[..., str], tmp_path: Path
) -> None:
    waiting = threading.Event()

    def rows(context: FetchContext, part: FetchPart) -> list[ScopeBatch]:
        os.kill(os.getpid(), signal.SIGINT)
        waiting.wait(10)
        return []

    install(Nimbus(rows, name="cirrus"), fine())
    line = fails(130, "prices", "refresh", "-q", "--now", NIGHT, "--metrics-textfile", tmp_path / "m")
    waiting.set()
    assert line == "interrupted: nothing was stored"
    assert "refresh_exit_code 130\n" in (tmp_path / "m").read_text()
    assert stored(tmp_path) == []


def test_an_interruption_that_comes_too_late_is_told(
    install: Callable[..., None], tunefare: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    publish = cache.refresh.publish

    def interrupted(*arguments: Any, **named: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return publish(*arguments, **named)

    monkeypatch.setattr(cache.refresh, "publish", interrupted)
    install(fine())
    night = tunefare("prices", "refresh", "-q", "--now", NIGHT)
    assert (night.code, stored(tmp_path)) == (0, ["nimbus north", "nimbus south"])
    assert night.err == "tunefare: the interruption came when everything was fetched: it is stored whole\n"


SCRIPT = """
import sys, threading
sys.path.insert(0, {root!r})
from providers import registry
from tests.fixtures.offers import Nimbus
import optimizer.cli.main

def stuck(context, part):
    sys.stderr.write("asked\\n"); sys.stderr.flush()
    while True:
        threading.Event().wait(60)   # a read that no checkpoint reaches

registry.provider_names = lambda: ("nimbus",)
registry.load_provider = lambda name: Nimbus(stuck)
sys.argv = ["tunefare", "prices", "refresh", "-q", *sys.argv[1:]]
optimizer.cli.main.run()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_thread_that_is_stuck_does_not_hold_up_the_exit(number: signal.Signals, tmp_path: Path) -> None:
    metrics, log = tmp_path / "m", tmp_path / "log"
    process = subprocess.Popen(
        [
            sys.executable, "-c", SCRIPT.format(root=str(ROOT)),
            "--metrics-textfile", str(metrics), "--log-file", str(log),
        ],
        env={**os.environ, "TUNEFARE_CACHE_URL": str(tmp_path / "prices.sqlite3")},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stderr.readline() == "asked\n"
    began = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert time.monotonic() - began < 10
    assert (process.returncode, out, err) == (130, "", "tunefare: error: interrupted: nothing was stored\n")
    assert "refresh_exit_code 130\n" in metrics.read_text()
    assert json.loads(log.read_text().splitlines()[-1])["event"] == "refresh_finished"
    assert stored(tmp_path) == []


def test_a_source_out_of_time_does_not_hold_up_the_exit_either(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(root=str(ROOT)), "--timeout", "0.1s", "--json"],
        env={**os.environ, "TUNEFARE_CACHE_URL": str(tmp_path / "prices.sqlite3")},
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (9, "asked\n")
    assert json.loads(done.stdout)["sources"][0]["outcome"] == "failed"


def test_the_status_of_what_was_refreshed(
    install: Callable[..., None], tunefare: Callable[..., Any], fails: Callable[..., str], tmp_path: Path
) -> None:
    install(fine(), failing(CredentialsMissing("cirrus: set CIRRUS_KEY")))
    assert tunefare("prices", "status", "--now", NIGHT).out.startswith("List prices  bundled, dated: ")
    assert tunefare("prices", "refresh", "-q", "--now", NIGHT).code == 0
    status = tunefare("prices", "status", "--now", "2026-12-24T03:00Z")
    # Old prices are no failure.
    assert (status.code, status.err) == (0, "")
    assert "nimbus    on_demand        2       2     0    30 d  expired   30 d  refreshed" in status.out
    scopes = tunefare("prices", "status", "--scopes", "--now", NEXT).out
    assert "nimbus    south   on_demand" in scopes
    document = json.loads(tunefare("prices", "status", "--json", "--now", NEXT).out)
    assert document["schema"] == "tunefare.status/v1"
    assert [(one["region"], one["age_s"]) for one in document["scopes"]] == [("north", 86_400), ("south", 86_400)]
    assert "--provider = 'nimbos'" in fails(2, "prices", "status", "--provider", "nimbos")
