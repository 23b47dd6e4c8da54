"""The command from end to end: every source of the program against its fake on this machine, a store in a file."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cache.sql_store import open_store
from cache.store import BundledStore
from providers import registry
from providers.gpus import load_gpus
from providers.pace import RateLimit
from tests.fixtures.provider_fake import CANARY, Failure, Fake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cache.sql_store import ScopeState
    from providers.base import Provider

pytestmark = pytest.mark.loopback

NAMES = ("aws", "azure", "gcp", "lambda", "oci", "runpod", "vast", "vultr")
NIGHT, NEXT = "2026-11-04T03:00Z", "2026-11-05T03:00Z"


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, Fake]]:
    """All sources, each answered by its fake; a store of its own."""
    with ExitStack() as stack:
        started = {name: import_module(f"tests.fixtures.fakes.{name}").start(stack) for name in NAMES}
        for fake in started.values():
            for variable, value in fake.environment.items():
                monkeypatch.setenv(variable, value)

        def load(name: str) -> Provider:
            return started[name].provider

        monkeypatch.setattr(registry, "load_provider", load)
        monkeypatch.setattr(RateLimit, "wait_s", lambda self: 0.0)
        monkeypatch.setenv("TUNEFARE_CACHE_URL", str(tmp_path / "prices.sqlite3"))
        yield started


def scopes_of(path: Path) -> dict[str, list[ScopeState]]:
    store = open_store(str(path / "prices.sqlite3"), BundledStore(load_gpus()), create=False)
    try:
        found: dict[str, list[ScopeState]] = {}
        for state in store.scope_states():
            found.setdefault(state.scope.provider, []).append(state)
        return found
    finally:
        store.close()


def test_all_sources_are_refreshed_at_once(
    fakes: dict[str, Fake], tunefare: Callable[..., object], tmp_path: Path
) -> None:
    first = tunefare("prices", "refresh", "--json", "--now", NIGHT, "--log-file", tmp_path / "log")
    assert first.code == 0, first.out + first.err
    document = json.loads(first.out)
    assert {one["provider"]: one["outcome"] for one in document["sources"]} == dict.fromkeys(NAMES, "refreshed")
    assert all(one["offers"] == one["new"] > 0 for one in document["sources"])
    assert set(scopes_of(tmp_path)) == set(NAMES)
    again = json.loads(tunefare("prices", "refresh", "--json", "-q", "--now", NEXT).out)
    assert [(one["new"], one["changed"], one["gone"]) for one in again["sources"]] == [(0, 0, 0)] * len(NAMES)
    assert [one["offers"] for one in again["sources"]] == [one["offers"] for one in document["sources"]]
    status = tunefare("prices", "status", "--now", NEXT)
    said = first.out + first.err + status.out + (tmp_path / "log").read_text()
    assert CANARY not in said
    assert CANARY.encode() not in (tmp_path / "prices.sqlite3").read_bytes()
    assert all(name in status.out for name in NAMES)


def test_one_that_fails_harms_no_other(fakes: dict[str, Fake], tunefare: Callable[..., object], tmp_path: Path) -> None:
    assert tunefare("prices", "refresh", "-q", "--now", NIGHT).code == 0
    before, failing = scopes_of(tmp_path), set[str]()
    for day, name in enumerate(NAMES, start=5):
        failing.add(name)
        fakes[name].fail(Failure.REFUSED if Failure.REFUSED not in fakes[name].unsupported else Failure.GARBAGE)
        night = tunefare("prices", "refresh", "--json", "-q", "--now", f"2026-11-{day:02}T03:00Z")
        document = json.loads(night.out)
        assert (night.code, document["exit_code"]) == (9, 9)
        outcomes = {one["provider"]: one["outcome"] for one in document["sources"]}
        assert {other for other, outcome in outcomes.items() if outcome == "failed"} == failing
        assert {outcome for other, outcome in outcomes.items() if other not in failing} <= {"refreshed"}
        assert CANARY not in night.out + night.err
        after = scopes_of(tmp_path)
        assert after[name] == before[name]
        before = after


def test_a_region_touches_nothing_else(fakes: dict[str, Fake], tunefare: Callable[..., object], tmp_path: Path) -> None:
    assert tunefare("prices", "refresh", "-q", "--now", NIGHT).code == 0
    before = scopes_of(tmp_path)
    one = tunefare("prices", "refresh", "--region", "eastus", "--now", NEXT, "--json")
    assert one.code == 0, one.out + one.err
    outcomes = {one["provider"]: one["outcome"] for one in json.loads(one.out)["sources"]}
    assert outcomes.pop("azure") == "refreshed"
    assert set(outcomes.values()) == {"not_offered"}
    after = scopes_of(tmp_path)
    moved = {state.scope for name in NAMES for state in after[name] if state not in before[name]}
    assert {(scope.provider, scope.region) for scope in moved} == {("azure", "eastus")}


def test_what_is_young_is_left_alone(fakes: dict[str, Fake], tunefare: Callable[..., object], tmp_path: Path) -> None:
    assert tunefare("prices", "refresh", "-q", "--now", NIGHT).code == 0
    before = scopes_of(tmp_path)
    for fake in fakes.values():
        fake.fail(Failure.DOWN)
    names = [word for name in NAMES if name != "aws" for word in ("--provider", name)]
    young = tunefare("prices", "refresh", "--max-age", "6h", "--now", "2026-11-04T05:00Z", "--json", *names)
    assert {one["provider"]: one["outcome"] for one in json.loads(young.out)["sources"]} == {
        name: "fresh" for name in NAMES if name != "aws"
    }
    assert young.code == 0
    assert scopes_of(tmp_path) == before


def test_a_dry_run_leaves_nothing(
    fakes: dict[str, Fake], tunefare: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "nowhere"
    monkeypatch.setenv("TUNEFARE_CACHE_URL", str(place / "prices.sqlite3"))
    home = set(tmp_path.rglob("*"))
    dry = tunefare("prices", "refresh", "--dry-run", "--now", NIGHT, "--metrics-textfile", tmp_path / "metrics")
    assert dry.code == 0, dry.out + dry.err
    assert "dry run: nothing is stored" in dry.out
    assert set(tmp_path.rglob("*")) == home
    assert not place.exists()
    assert not list(Path(os.environ["XDG_CACHE_HOME"]).iterdir())


def test_without_any_account_the_open_sources_answer(
    fakes: dict[str, Fake], tunefare: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("gcp", "lambda", "vast"):
        for variable, value in fakes[name].environment.items():
            if value == CANARY:
                monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("google.auth.default", _no_login)
    night = tunefare("prices", "refresh", "-q", "--now", NIGHT)
    assert night.code == 0, night.out
    assert "Skipped: not configured" in night.out
    assert all(variable in night.out for variable in ("GCP_BILLING_API_KEY", "LAMBDA_API_KEY", "VAST_API_KEY"))
    named = tunefare("prices", "refresh", "-q", "--provider", "lambda", "--now", NIGHT)
    assert named.code == 9
    assert "LAMBDA_API_KEY" in named.out


def _no_login(*_arguments: object, **_named: object) -> None:
    from google.auth.exceptions import DefaultCredentialsError

    raise DefaultCredentialsError("no login here")
