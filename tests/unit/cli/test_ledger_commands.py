"""`tunefare budget|ledger|settle|void|audit`: exit codes, stdout, stderr, files."""

from __future__ import annotations

import csv
import io
import json
import os
import sqlite3
import stat
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from optimizer.approval.ledger import KEEPING, open_ledger
from tests.fixtures.ledger_world import ANN, LEDGER_ID, NOW, furnish, make_request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MARKUP = "=cmd|'/c calc'!A0"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger with a launch, a reservation and a settled run, named by the environment."""
    found = tmp_path / "state" / "ledger.db"
    monkeypatch.setenv("TUNEFARE_LEDGER_URL", str(found))
    monkeypatch.setenv("TUNEFARE_NOW", "2026-11-24T10:00Z")
    with open_ledger(str(found), create=True, ledger_id=LEDGER_ID) as ledger:
        furnish(ledger)
        for name in ("launched", "settled", "reserved"):
            keys = ("2026-11", "2026-12")
            ledger.add_request(make_request(name, 100, period_keys=keys), now=NOW, actor=ANN, reserve=True)
        launch = {"provider": MARKUP, "region": "north", "instance_type": "n1", "pricing_model": "spot"}
        for name in ("launched", "settled"):
            ledger.consume(name, now=NOW, actor=ANN, launch=launch)
        ledger.settle("settled", 12_345_678, "hand", now=NOW, actor=ANN)
    return found


def test_the_file_is_for_its_owner_alone(place: Path) -> None:
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    with closing(sqlite3.connect(place, isolation_level=None)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        strict = connection.execute("PRAGMA table_list").fetchall()
        assert {row[1] for row in strict if row[1].startswith("ledger_") and not row[5]} == set()
    with open_ledger(str(place), create=False, ledger_id=LEDGER_ID) as ledger, ledger.database.reading() as session:
        assert session.rows("PRAGMA synchronous") == [(2,)]


def test_budgets(place: Path, tunefare: Callable[..., object], tmp_path: Path) -> None:
    shown = tunefare("budget", "show")
    assert (shown.code, shown.err) == (0, "")
    assert "spent $12.35, reserved $200.00, left $287.65" in shown.out
    assert "█▒▒▒▒▒▒▒▒▒▒░░░" in shown.out
    document = json.loads(tunefare("budget", "show", "team", "--month", "2026-12", "--json").out)
    assert document["schema"] == "tunefare.budgets/v1"
    assert document["budgets"][1]["periods"] == [
        {
            "left_usd_micro": 287_654_322,
            "pending_usd_micro": 200_000_000,
            "period_key": "2026-12",
            "posted_usd_micro": 12_345_678,
        }
    ]
    # A reservation that has expired does not count any more, though nothing was written.
    later = tunefare("budget", "show", "--now", "2026-11-26T00:00Z")
    assert "spent $12.35, reserved $100.00, left $387.65" in later.out
    assert "500.00" in tunefare("budget", "list").out
    cut = tunefare("budget", "set", "team", "--limit", "100.00")
    assert "$112.35 over the limit" in cut.out
    assert "(was $500.00 a month)" in cut.out
    assert tunefare("budget", "set", "team", "--limit", "100", "--output", tmp_path / "b.json").code == 0
    assert json.loads((tmp_path / "b.json").read_text())["done"] == "unchanged"


def test_settling(place: Path, tunefare: Callable[..., object], fails: Callable[..., str]) -> None:
    assert "is reserved: it cannot be settled" in fails(8, "settle", "reserved", "--usd", 1)
    assert "is settled: it cannot be settled" in fails(8, "settle", "settled", "--usd", 1)
    assert "no request 'nix'" in fails(8, "settle", "nix", "--usd", 1)
    for wrong in ((), ("--usd", "1", "--focus", "x"), ("--focus", "x", "--in", "2026-11=1")):
        assert "either --usd" in fails(2, "settle", "launched", *wrong)
    for wrong in ("-1", "nan", "1.0000001"):
        fails(2, "settle", "launched", f"--usd={wrong}")
    for wrong in ("2026-13=1", "2026-11", "2026-11=-1"):
        fails(2, "settle", "launched", "--in", wrong)
    assert "each month once" in fails(2, "settle", "launched", "--in", "2026-11=1", "--in", "2026-11=1")
    assert "must sum to it" in fails(8, "settle", "launched", "--usd", 3, "--in", "2026-11=1")
    assert "settle it (tunefare settle)" in fails(8, "void", "launched")
    done = tunefare("settle", "launched", "--usd", "150.000001", "--note", "two\nlines")
    assert (done.code, done.err) == (0, "")
    assert "$50.00 more than the cap: posted in full." in done.out
    assert "Posted in full in 2026-11 and 2026-12" in done.out
    gone = json.loads(tunefare("void", "reserved", "--json").out)
    assert (gone["done"], gone["request"]["state"]) == ("voided", "voided")
    assert "is voided: it cannot be voided" in fails(8, "void", "reserved")
    assert tunefare("audit", "verify").code == 0


def test_settling_by_month_and_by_a_bill(
    place: Path, tunefare: Callable[..., object], fails: Callable[..., str], tmp_path: Path
) -> None:
    bill = tmp_path / "bill.csv"
    rows = "EffectiveCost,BillingCurrency,ChargePeriodStart,ResourceId,Tags\n"
    bill.write_text(rows + '7,USD,2026-11-30T00:00:00Z,i-1,"{""tunefare_request"":""launched""}"\n'
                    '2,USD,2026-12-01T00:00:00Z,i-1,"{""tunefare_request"":""launched""}"\n')  # fmt: skip
    assert "no such" in fails(2, "settle", "launched", "--focus", tmp_path / "nix").lower()
    assert "at least one row" in fails(2, "settle", "launched", "--focus", bill, "--tag", "job=7")
    assert "KEY=VALUE" in fails(2, "settle", "launched", "--focus", bill, "--tag", "job")
    assert "either --tag or --resource" in fails(
        2, "settle", "launched", "--focus", bill, "--tag", "a=b", "--resource", "i-1"
    )
    document = json.loads(tunefare("settle", "launched", "--focus", bill, "--json").out)
    assert document["by_period_usd_micro"] == {"2026-11": 7_000_000, "2026-12": 2_000_000}
    assert document["request"]["settled_usd_micro"] == 9_000_000
    left = {(one["id"], one["period_key"]): one["posted_usd_micro"] for one in document["budgets"]}
    assert left == {("org", "total"): 21_345_678, ("team", "2026-11"): 19_345_678, ("team", "2026-12"): 14_345_678}


def test_the_list_and_the_exports(
    place: Path, tunefare: Callable[..., object], fails: Callable[..., str], tmp_path: Path
) -> None:
    listed = tunefare("ledger", "list")
    assert [line.split()[0] for line in listed.out.splitlines()[2:]] == ["reserved", "settled", "launched"]
    assert "2 more: --limit 0" in tunefare("ledger", "list", "--limit", 1).out
    document = json.loads(tunefare("ledger", "list", "--json", "--state", "settled", "--budget", "team").out)
    assert (document["total"], document["requests"][0]["id"]) == (1, "settled")
    assert json.loads(tunefare("ledger", "list", "--json", "--requester", "nobody").out)["total"] == 0
    assert "one of pending" in fails(2, "ledger", "list", "--state", "gone")
    assert "a budget of the ledger: org, team" in fails(2, "ledger", "list", "--budget", "nix")

    focus = list(csv.DictReader(io.StringIO(tunefare("ledger", "export", "-", "--focus").out)))
    assert len(focus) == 1
    row = focus[0]
    assert (row["BilledCost"], row["EffectiveCost"], row["ListCost"]) == ("12.345678", "12.345678", "")
    assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == ("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z")
    assert (row["ChargeCategory"], row["PricingCategory"]) == ("Usage", "Dynamic")
    assert row["ProviderName"] == "'" + MARKUP
    assert json.loads(row["Tags"])["tunefare_request"] == "settled"
    target = tmp_path / "out.csv"
    assert tunefare("ledger", "export", target).err == f"tunefare: wrote {target}: 3 requests as csv\n"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    rows = list(csv.DictReader(io.StringIO(target.read_text())))
    assert [one["settled_usd"] for one in rows] == ["", "12.345678", ""]
    assert tunefare("ledger", "export", tmp_path / "out.json").code == 0
    requests = json.loads((tmp_path / "out.json").read_text())["requests"]
    assert requests[0]["launch"]["provider"] == MARKUP
    assert "one of csv, json, focus" in fails(2, "ledger", "export", tmp_path / "out.xlsx")
    assert "must exist" in fails(2, "ledger", "export", tmp_path / "none" / "out.csv")


def test_the_audit(place: Path, tunefare: Callable[..., object], fails: Callable[..., str], tmp_path: Path) -> None:
    anchor = tmp_path / "anchor.txt"
    anchor.write_text(tunefare("audit", "anchor").out)
    as_json = tmp_path / "anchor.json"
    as_json.write_text(tunefare("audit", "anchor", "--json").out)
    for given in (anchor, as_json, anchor.read_text().strip()):
        assert tunefare("audit", "verify", "--anchor", given).code == 0
    assert "what" not in tunefare("audit", "verify").err
    assert "--anchor" in fails(2, "audit", "verify", "--anchor", "nowhere")
    with closing(sqlite3.connect(place, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER ledger_audit_no_update")
        connection.execute("UPDATE ledger_audit SET body = replace(body, 'ann@', 'bob@') WHERE sequence = 4")
    broken = tunefare("audit", "verify")
    assert broken.code == 8
    assert "Row 4" in broken.out
    assert "NOT WHOLE" in broken.out
    document = json.loads(tunefare("audit", "verify", "--json").out)
    assert (document["ok"], document["first_wrong"]) == (False, 4)


def test_without_a_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tunefare: Callable[..., object], fails: Callable[..., str]
) -> None:
    target = tmp_path / "a" / "ledger.db"
    monkeypatch.setenv("TUNEFARE_LEDGER_URL", str(target))
    for words in (
        ("budget", "show"), ("budget", "list"), ("budget", "set", "x", "--limit", 1), ("ledger", "list"),
        ("ledger", "export", "-"), ("settle", "x", "--usd", 1), ("void", "x"), ("audit", "verify"), ("audit", "anchor"),
    ):  # fmt: skip
        assert "there is no ledger at" in fails(10, *words)
    assert not target.parent.exists()
    assert tunefare("budget", "set", "x", "--limit", 1, "--new-ledger", "mine").code == 0
    for url in ("mysql://me:hush@db/x", "sqlite://x.db"):
        monkeypatch.setenv("TUNEFARE_LEDGER_URL", url)
        line = fails(2, "budget", "show")
        assert "TUNEFARE_LEDGER_URL" in line
        assert "hush" not in line
    for command in ("budget", "ledger", "audit"):
        assert "Usage: tunefare" in tunefare(command).out


def test_a_file_that_is_no_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: Callable[..., str]) -> None:
    wrong = tmp_path / "ledger.db"
    wrong.write_text("nothing of the kind\n" * 100)
    monkeypatch.setenv("TUNEFARE_LEDGER_URL", str(wrong))
    line = fails(10, "budget", "show")
    assert "no ledger" in line
    assert "delete" not in line
    monkeypatch.setenv("TUNEFARE_LEDGER_URL", str(tmp_path))
    fails(10, "budget", "show")
    fails(10, "budget", "set", "x", "--limit", "1", "--new-ledger", "mine")
    (tmp_path / "empty.db").touch()
    monkeypatch.setenv("TUNEFARE_LEDGER_URL", str(tmp_path / "empty.db"))
    assert "holds no ledger" in fails(10, "budget", "show")


def test_a_locked_ledger(place: Path, monkeypatch: pytest.MonkeyPatch, fails: Callable[..., str]) -> None:
    import dataclasses

    monkeypatch.setattr("optimizer.approval.ledger.KEEPING", dataclasses.replace(KEEPING, busy_s=0.05))
    with closing(sqlite3.connect(place, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert "is locked by another process: try again" in fails(10, "void", "reserved")
        other.execute("ROLLBACK")


def test_a_writer_waits_for_another(place: Path, tunefare: Callable[..., object]) -> None:
    other = sqlite3.connect(place, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.2, lambda: other.execute("ROLLBACK"))
    timer.start()
    assert tunefare("void", "reserved").code == 0
    timer.join()
    other.close()


def test_a_full_disk_writes_nothing(
    place: Path, tunefare: Callable[..., object], fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tunefare("audit", "anchor").out
    from cache import sqlite

    connect = sqlite._connect

    def full(*given: object, **more: object) -> sqlite3.Connection:
        connection = connect(*given, **more)
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        return connection

    monkeypatch.setattr(sqlite, "_connect", full)
    codes = set()
    for number in range(60):
        # Small changes fit into the pages that are there; then nothing does.
        outcome = tunefare("budget", "set", f"b{number}", "--limit", "1", "--parent", "org")
        codes.add(outcome.code)
        if outcome.code:
            assert "full" in outcome.err
            assert "TUNEFARE_LEDGER_URL" in outcome.err
            break
    assert codes == {0, 10}
    monkeypatch.setattr(sqlite, "_connect", connect)
    assert tunefare("audit", "verify", "--anchor", before.strip()).code == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="needs a user whom permissions bind")
def test_a_read_only_directory(place: Path, tunefare: Callable[..., object], fails: Callable[..., str]) -> None:
    place.parent.chmod(0o500)
    place.chmod(0o400)
    try:
        assert tunefare("budget", "show").code == 0
        fails(10, "void", "reserved")
    finally:
        place.parent.chmod(0o700)
        place.chmod(0o600)


def test_a_directory_that_takes_no_file(monkeypatch: pytest.MonkeyPatch, fails: Callable[..., str]) -> None:
    # Also root cannot write there.
    monkeypatch.setenv("TUNEFARE_LEDGER_URL", "/proc/tunefare/ledger.db")
    line = fails(10, "budget", "set", "x", "--limit", "1", "--new-ledger", "mine")
    assert "cannot be used" in line
