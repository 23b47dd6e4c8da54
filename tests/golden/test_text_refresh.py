"""What `prices refresh` and `prices status` say, as text and as JSON, and their help pages."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from optimizer.cli.main import main
from optimizer.report.json_refresh import refresh_text
from optimizer.report.json_status import status_text
from optimizer.report.refresh_answers import (
    ListedStatus,
    MissingVariable,
    RefreshAnswer,
    RefreshedSource,
    RefusedBatch,
    ScopeStatus,
    SourceStatus,
    StatusAnswer,
)
from optimizer.report.style import Style
from optimizer.report.table import text_width
from optimizer.report.text_refresh import format_refresh
from optimizer.report.text_status import format_status

if TYPE_CHECKING:
    from collections.abc import Callable

    Compare = Callable[[str, str], None]

NOW = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NARROW = Style(width=80)
ASCII = Style(width=80, unicode=False)


def invented_refresh() -> RefreshAnswer:
    """A night with everything that can happen in it."""
    refused = RefusedBatch(
        region="far-away-3", pricing_model="spot", reason="row_count",
        detail="far fewer offers than in the batch before (3 of 40)",
    )  # fmt: skip
    return RefreshAnswer(
        started_at=NOW, finished_at=NOW + timedelta(seconds=93), duration_ms=93_400, dry_run=False, exit_code=9,
        place="/home/someone/.cache/tunefare/prices.sqlite3", waiting=7, unserved_regions=("far-aawy-3",),
        sources=(
            RefreshedSource(
                provider="cirrus", outcome="partial", duration_ms=92_031, scopes=12, offers=12_345, added=17,
                changed=2_345, gone=3, quarantined=6, released=12, dropped={"not_a_gpu": 4_321, "zero_price": 12},
                unknown_gpus={"Omega 9": 12, "Ωmega": 1}, refused=(refused,),
                errors=tuple(f"cirrus: far-away-{number} did not answer (HTTP 503)" for number in range(7)),
                last_success_at=NOW - 3 * DAY,
            ),
            RefreshedSource(provider="fog", outcome="fresh", duration_ms=4, last_success_at=NOW - 5 * HOUR),
            RefreshedSource(
                provider="mist", outcome="not_offered", duration_ms=2, last_success_at=NOW - DAY,
                errors=("mist: it has no far-away-3; allowed is here",),
            ),
            RefreshedSource(
                provider="nimbus", outcome="refreshed", duration_ms=1_240, scopes=2, offers=58, added=58,
                dropped={"zero_price": 1}, last_success_at=NOW,
            ),
            RefreshedSource(
                provider="stratus", outcome="failed", duration_ms=30_000,
                errors=("stratus: refuses the credentials (HTTP 403)",),
            ),
            RefreshedSource(
                provider="zephyr", outcome="no_credentials", duration_ms=0, last_success_at=NOW - 40 * DAY,
                errors=("zephyr: set ZEPHYR_KEY (from https://zephyr.test/keys)",),
            ),
        ),
    )  # fmt: skip


def quiet_refresh() -> RefreshAnswer:
    """A night on which all went well."""
    source = RefreshedSource(
        provider="nimbus", outcome="refreshed", duration_ms=1_240, scopes=2, offers=58, last_success_at=NOW
    )
    return dataclasses.replace(
        invented_refresh(), exit_code=0, waiting=0, unserved_regions=(), sources=(source,), duration_ms=1_300
    )


def scope(provider: str, region: str, model: str, age: timedelta | None, **changes: Any) -> ScopeStatus:
    values: dict[str, Any] = {
        "provider": provider, "region": region, "pricing_model": model, "last_attempt_at": NOW - 5 * HOUR,
        "last_success_at": None if age is None else NOW - age,
        "age_s": None if age is None else int(age.total_seconds()),
        "freshness": None if age is None else "fresh", "offers": 1_234, "quarantined": 0,
    }  # fmt: skip
    return ScopeStatus(**{**values, **changes})


def invented_status() -> StatusAnswer:
    """Sources of every kind, and what they left."""
    refused = "far fewer offers than in the batch before (3 of 40)"
    error = "cirrus: far-away-3 did not answer (HTTP 503)"
    return StatusAnswer(
        made_at=NOW, place="postgresql://db.test/tunefare",
        sources=(
            SourceStatus(
                provider="cirrus", title="Cirrus", last_attempt_at=NOW - 5 * HOUR, last_success_at=NOW - 3 * DAY,
                outcome="partial", error=error, duration_ms=92_031,
            ),
            SourceStatus(provider="fog", title="Fog", broken="fog: its adapter cannot be loaded (ImportError: no fog)"),
            SourceStatus(provider="mist", title="Mist"),
            SourceStatus(
                provider="nimbus", title="Nimbus", last_attempt_at=NOW - 5 * HOUR, last_success_at=NOW - 5 * HOUR,
                outcome="refreshed", duration_ms=1_240,
            ),
            SourceStatus(
                provider="zephyr", title="Zephyr", last_attempt_at=NOW - 5 * HOUR, outcome="no_credentials",
                error="zephyr: ZEPHYR_KEY is not set",
                missing=(MissingVariable(name="ZEPHYR_KEY", help="from https://zephyr.test/keys"),),
            ),
        ),
        scopes=(
            scope("cirrus", "far-away-1", "on_demand", 5 * HOUR),
            scope("cirrus", "far-away-2", "on_demand", None, offers=0, error=error),
            scope("cirrus", "far-away-3", "on_demand", 40 * DAY, freshness="expired", quarantined=7,
                  error=error),
            scope("cirrus", "far-away-3", "spot", 3 * DAY, freshness="stale", refused=refused, error=refused),
            scope("nimbus", "global", "on_demand", timedelta(minutes=12), offers=9),
        ),
        listed=(
            ListedStatus(
                provider="cumulus", pricing_model="on_demand", offers=12, regions=3, oldest_observed_at=NOW - 186 * DAY,
                newest_observed_at=NOW - 100 * DAY, age_s=186 * 86_400, freshness="stale",
            ),
            ListedStatus(
                provider="cumulus", pricing_model="spot", offers=2, regions=1, oldest_observed_at=NOW - 200 * DAY,
                newest_observed_at=NOW - 200 * DAY, age_s=200 * 86_400, freshness="expired",
            ),
        ),
    )  # fmt: skip


def first_status() -> StatusAnswer:
    """Before anything was refreshed."""
    whole = invented_status()
    return dataclasses.replace(whole, place="", scopes=(), sources=(SourceStatus(provider="mist", title="Mist"),))


TEXTS: dict[str, Callable[[Style], str]] = {
    "refresh.txt": lambda style: format_refresh(invented_refresh(), style),
    "refresh-quiet.txt": lambda style: format_refresh(quiet_refresh(), style),
    "status.txt": lambda style: format_status(invented_status(), style),
    "status-scopes.txt": lambda style: format_status(invented_status(), style, every_scope=True),
    "status-first.txt": lambda style: format_status(first_status(), style),
}


@pytest.mark.parametrize("name", TEXTS)
def test_the_text_reads_as_written_down(name: str, golden: Compare) -> None:
    text = TEXTS[name](NARROW)
    assert max(text_width(line) for line in text.splitlines()) <= 80
    assert all(line == line.rstrip() for line in text.splitlines())
    golden(name, text)
    TEXTS[name](ASCII).encode("ascii")


def test_a_dry_run_says_so() -> None:
    dry = dataclasses.replace(quiet_refresh(), dry_run=True, place="")
    text = format_refresh(dry, NARROW)
    assert text.startswith("Refresh  1 source, 58 offers, dry run: nothing is stored\n")
    assert "Store" not in text
    assert json.loads(refresh_text(dry))["store"] is None


def test_a_success_of_tonight_is_now_and_of_another_night_has_an_age() -> None:
    text = format_refresh(invented_refresh(), NARROW)
    rows = {line.split()[0]: line.split() for line in text.splitlines()[2:8]}
    assert {name: row[-1] for name, row in rows.items()} == {
        "cirrus": "d", "fog": "h", "mist": "h", "nimbus": "now", "stratus": "never", "zephyr": "d",
    }  # fmt: skip


def test_equal_errors_are_said_once() -> None:
    silent = RefreshedSource(
        provider="cirrus", outcome="failed", duration_ms=60_000,
        errors=("cirrus: prices.test did not answer",) * 58 + ("cirrus: another thing",),
    )  # fmt: skip
    text = format_refresh(dataclasses.replace(quiet_refresh(), sources=(silent,), exit_code=9), NARROW)
    assert "  · cirrus: prices.test did not answer (58 times)\n  · cirrus: another thing\n" in text
    assert "more error" not in text


def test_who_was_asked_and_had_nothing_says_so() -> None:
    empty = RefreshedSource(provider="mist", outcome="not_offered", duration_ms=20)
    text = format_refresh(dataclasses.replace(quiet_refresh(), sources=(empty,)), NARROW)
    assert "  · mist: was asked, and has none at the moment\n" in text


def test_where_all_are_young_no_offers_are_counted() -> None:
    young = RefreshedSource(provider="fog", outcome="fresh", duration_ms=4, last_success_at=NOW - HOUR)
    text = format_refresh(dataclasses.replace(quiet_refresh(), sources=(young,)), NARROW)
    assert text.startswith("Refresh  1 source, all young enough, none asked, in ")


@pytest.mark.parametrize(("ahead", "cells"), [(timedelta(minutes=4), "0 min  fresh"), (DAY, "–  after now")])
def test_a_price_of_the_future_is_not_called_young(ahead: timedelta, cells: str) -> None:
    one = dataclasses.replace(scope("nimbus", "global", "on_demand", timedelta(0)), last_success_at=NOW + ahead)
    status = dataclasses.replace(invented_status(), scopes=(one,))
    assert cells in format_status(status, NARROW)
    assert cells in format_status(status, NARROW, every_scope=True)


def test_the_refresh_as_json(golden: Compare) -> None:
    golden("refresh.json", refresh_text(invented_refresh()))


def test_the_status_as_json(golden: Compare) -> None:
    golden("status.json", status_text(invented_status()))


def test_json_is_complete_without_a_store() -> None:
    document = json.loads(status_text(first_status()))
    assert (document["store"], document["scopes"]) == (None, [])
    assert document["sources"][0]["configured"] is True
    assert document["sources"][0]["outcome"] is None


@pytest.mark.parametrize("command", ["refresh", "status"])
def test_help_is_as_written_down(command: str, golden: Compare, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prices", command, "--help"]) == 0
    page = capsys.readouterr().out
    assert max(len(line) for line in page.splitlines()) <= 80
    golden(f"help-prices-{command}.txt", page)
