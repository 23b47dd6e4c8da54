"""What was changed behind the ledger's back is found and named; on PostgreSQL the role may not even try."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from optimizer.approval.audit import chain_hash, genesis_hash, read_anchor
from optimizer.approval.errors import LedgerUnusable
from optimizer.approval.ledger import Ledger, open_ledger
from providers.errors import JobError
from tests.fixtures.ledger_world import (
    ANN,
    BOB,
    LEDGER_ID,
    NOW,
    fresh_database,
    fresh_schema,
    furnish,
    grant_role,
    make_request,
    make_statement,
)
from tests.fixtures.postgres_server import serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from optimizer.approval.audit import Anchor

pytestmark = pytest.mark.loopback


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    yield from serve()


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    if request.param == "sqlite":
        with open_ledger(str(tmp_path / "ledger.db"), create=True, ledger_id=LEDGER_ID) as made:
            yield lived(made)
        return
    name = f"t{abs(hash(request.node.nodeid)) % 10**12}"
    with (
        fresh_schema(request.getfixturevalue("server"), name) as url,
        open_ledger(url, create=True, ledger_id=LEDGER_ID) as made,
    ):
        yield lived(made)


def lived(ledger: Ledger) -> Ledger:
    """Eight rows: budgets, an approved and settled run, a reservation that waits."""
    furnish(ledger)
    asked = make_request("r1", approvals_needed=1)
    ledger.add_request(asked, now=NOW, actor=ANN)
    ledger.add_approval("r1", make_statement(asked), BOB, "leads", complete=lambda _: True, now=NOW, actor=BOB)
    ledger.consume("r1", now=NOW + timedelta(hours=1), actor=ANN)
    ledger.settle("r1", 70_000_000, "hand", now=NOW + timedelta(hours=2), actor=ANN)
    assert ledger.anchor().sequence == 7
    return ledger


def tamper(ledger: Ledger, *statements: str, values: tuple[object, ...] = ()) -> None:
    """Change the database as its owner could, the triggers out of the way."""
    with ledger.database.writing() as session:
        if ledger.database.dialect == "sqlite":
            for name in ("update", "delete", "replace"):
                session.run(f"DROP TRIGGER ledger_audit_no_{name}")
        else:
            session.run("ALTER TABLE ledger_audit DISABLE TRIGGER USER")
        for statement in statements:
            session.run(statement, values)  # type: ignore[arg-type]


def forge(ledger: Ledger, sequence: int, old: str, new: str, *, to_the_end: bool) -> None:
    """Edit a body and give it the hash it needs, alone or with all rows that follow, and the head."""
    rows = [row for row in ledger.audit_rows() if row.sequence >= sequence]
    previous = rows[0].previous
    changes = []
    for row in rows:
        body = row.body.replace(old, new) if row.sequence == sequence else row.body
        digest = chain_hash(previous, body)
        changes.append((body, previous, digest, row.sequence))
        previous = digest
        if not to_the_end:
            break
    tamper(ledger)
    with ledger.database.writing() as session:
        for change in changes:
            session.run("UPDATE ledger_audit SET body = ?, previous = ?, hash = ? WHERE sequence = ?", change)
        if to_the_end:
            session.run("UPDATE ledger_head SET hash = ?", (previous,))


def first_wrong(ledger: Ledger, anchor: Anchor | None = None) -> tuple[int | None, str]:
    report = ledger.verify(anchor)
    assert not report.ok
    return report.first_wrong, report.wrong or "; ".join(report.disagreements)


def test_untouched(ledger: Ledger) -> None:
    report = ledger.verify(ledger.anchor())
    assert report.ok
    assert (report.rows, report.first_wrong, report.wrong, report.disagreements) == (7, None, None, ())


def test_an_edited_body(ledger: Ledger) -> None:
    tamper(ledger, "UPDATE ledger_audit SET body = replace(body, '70000000', '7000000') WHERE sequence = 7")
    assert first_wrong(ledger) == (7, "changed: its body does not have its hash")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE ledger_audit SET kind = 'voided' WHERE sequence = 5",
        "UPDATE ledger_audit SET at = at + 1 WHERE sequence = 5",
    ],
)
def test_an_edited_column(ledger: Ledger, change: str) -> None:
    tamper(ledger, change)
    assert first_wrong(ledger) == (5, "changed: its columns are not what its body says")


def test_a_deleted_row(ledger: Ledger) -> None:
    tamper(ledger, "DELETE FROM ledger_audit WHERE sequence = 3")
    assert first_wrong(ledger) == (3, "missing: row 4 follows row 2")


def test_the_first_row_deleted(ledger: Ledger) -> None:
    tamper(ledger, "DELETE FROM ledger_audit WHERE sequence = 1")
    assert first_wrong(ledger)[0] == 1


def test_all_rows_deleted(ledger: Ledger) -> None:
    tamper(ledger, "DELETE FROM ledger_audit")
    assert first_wrong(ledger)[0] == 1


def test_rows_deleted_and_numbered_anew(ledger: Ledger) -> None:
    tamper(
        ledger,
        "DELETE FROM ledger_audit WHERE sequence = 3",
        "UPDATE ledger_audit SET sequence = 3 WHERE sequence = 4",
        "UPDATE ledger_audit SET sequence = 4 WHERE sequence = 5",
        "UPDATE ledger_audit SET sequence = 5 WHERE sequence = 6",
        "UPDATE ledger_audit SET sequence = 6 WHERE sequence = 7",
    )
    assert first_wrong(ledger)[0] == 3


def test_rows_in_another_order(ledger: Ledger) -> None:
    tamper(
        ledger,
        "UPDATE ledger_audit SET sequence = 99 WHERE sequence = 3",
        "UPDATE ledger_audit SET sequence = 3 WHERE sequence = 4",
        "UPDATE ledger_audit SET sequence = 4 WHERE sequence = 99",
    )
    assert first_wrong(ledger)[0] == 3


def test_a_forged_hash(ledger: Ledger) -> None:
    tamper(ledger, "UPDATE ledger_audit SET hash = ? WHERE sequence = 4", values=("0" * 64,))
    assert first_wrong(ledger) == (4, "changed: its body does not have its hash")


def test_a_forged_row_alone(ledger: Ledger) -> None:
    forge(ledger, 4, "bob@example.com", "mal@example.com", to_the_end=False)
    assert first_wrong(ledger) == (5, "does not follow the row before it (its `previous` is another hash)")


def test_a_truncated_tail(ledger: Ledger) -> None:
    anchor = ledger.anchor()
    last = ledger.audit_rows()[-2]
    tamper(ledger, "DELETE FROM ledger_audit WHERE sequence = 7")
    assert first_wrong(ledger)[0] == 7
    with ledger.database.writing() as session:
        session.run("UPDATE ledger_head SET sequence = 6, hash = ?", (last.hash,))
    # The tables still say what the row said; an owner who mends them too is found by the anchor.
    assert ledger.verify().wrong is None
    assert first_wrong(ledger)[1].startswith("budget ")
    assert first_wrong(ledger, anchor) == (7, "missing: the anchor knows row 7, the last row is 6")


def test_a_chain_that_was_rewritten_whole(ledger: Ledger) -> None:
    anchor = ledger.anchor()
    forge(ledger, 4, "bob@example.com", "mal@example.com", to_the_end=True)
    assert ledger.verify().wrong is None
    assert "approval" in first_wrong(ledger)[1]
    number, wrong = first_wrong(ledger, anchor)
    assert (number, wrong.startswith("another row than the anchor knows")) == (7, True)


def test_a_head_that_was_moved(ledger: Ledger) -> None:
    tamper(ledger, "UPDATE ledger_head SET hash = ?", values=("0" * 64,))
    assert first_wrong(ledger)[0] == 7


def test_a_body_that_is_no_document(ledger: Ledger) -> None:
    row = ledger.audit_rows()[-1]
    for body in ("{}", "[]", "nothing", '{"sequence":7,"at":1,"kind":1,"data":{}}'):
        digest = chain_hash(row.previous, body)
        if body == "{}":
            tamper(ledger)
        with ledger.database.writing() as session:
            session.run("UPDATE ledger_audit SET body = ?, hash = ? WHERE sequence = 7", (body, digest))
            session.run("UPDATE ledger_head SET hash = ?", (digest,))
        assert first_wrong(ledger)[0] == 7


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE ledger_totals SET posted_usd_micro = 0", "budget org in total: holds 0, the audit says 70000000"),
        ("UPDATE ledger_charges SET posted_usd_micro = 0", "charges to org in total"),
        ("UPDATE ledger_budgets SET limit_usd_micro = 999999999999999", "budget org: holds 999999999999999"),
        ("UPDATE ledger_requests SET state = 'reserved'", "request r1: holds reserved, the audit says settled"),
        ("UPDATE ledger_requests SET cap_usd_micro = 1", "request r1: holds 1"),
        ("UPDATE ledger_requests SET requester_name = 'bob@example.com'", "request r1: holds bob@example.com"),
        ("UPDATE ledger_approvals SET approver_name = 'mal'", "holds mal, the audit says bob@example.com"),
        ("DELETE FROM ledger_approvals", "missing, the audit knows it"),
        (
            "INSERT INTO ledger_budgets (id, period, limit_usd_micro) VALUES ('mine', 'total', 1)",
            "budget mine: the audit knows nothing of it",
        ),
    ],
)
def test_tables_that_do_not_hold_what_the_audit_says(ledger: Ledger, change: str, said: str) -> None:
    with ledger.database.writing() as session:
        session.run(change)
    report = ledger.verify()
    assert report.wrong is None
    assert not report.ok
    assert said in "; ".join(report.disagreements)


def test_anchors(ledger: Ledger) -> None:
    anchor = ledger.anchor()
    assert read_anchor(f"# kept in the wiki\n{anchor.text}\n", where="FILE") == anchor
    ledger.set_budget(replace(ledger.budgets()[0], limit_usd_micro=5), now=NOW, actor=ANN)
    assert ledger.verify(anchor).ok
    assert not ledger.verify(replace(anchor, ledger_id="other")).ok
    assert not ledger.verify(replace(anchor, hash="0" * 64)).ok
    assert not ledger.verify(replace(anchor, sequence=0)).ok
    assert ledger.verify(replace(anchor, sequence=0, hash=genesis_hash(LEDGER_ID))).ok
    for text in (
        "",
        "x",
        anchor.text[:-1],
        anchor.text.upper(),
        anchor.text + " x",
        anchor.text.replace(" 7 ", " 07 "),
    ):
        with pytest.raises(JobError, match="audit anchor"):
            read_anchor(text, where="FILE")


def test_the_role_of_a_team_may_only_add_to_the_audit(server: str) -> None:
    import psycopg

    with fresh_database(server, "granted") as url:
        with open_ledger(url, create=True, ledger_id=LEDGER_ID) as owner:
            furnish(owner)
        mine = grant_role(url, "tunefare_gate")
        with open_ledger(mine, create=False, ledger_id=LEDGER_ID) as ledger:
            lived(ledger)
            assert ledger.verify().ok
            for sql in (
                "UPDATE ledger_audit SET body = ''",
                "DELETE FROM ledger_audit",
                "TRUNCATE ledger_audit",
                "ALTER TABLE ledger_audit DISABLE TRIGGER USER",
                "DROP TABLE ledger_audit",
                "DELETE FROM ledger_approvals",
                "DELETE FROM ledger_requests",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege), psycopg.connect(mine) as connection:
                    connection.execute(sql)
            assert ledger.verify().ok


def test_a_role_that_may_only_read(server: str) -> None:
    with fresh_database(server, "reading") as url:
        with open_ledger(url, create=True, ledger_id=LEDGER_ID) as owner:
            furnish(owner)
        mine = grant_role(url, "tunefare_reader", reading=True)
        with open_ledger(mine, create=False, ledger_id=LEDGER_ID) as ledger:
            assert len(ledger.budgets()) == 2
            assert ledger.verify().ok
            with pytest.raises(LedgerUnusable, match="does not let this user") as caught:
                ledger.add_request(make_request(), now=NOW, actor=ANN)
            assert caught.value.exit_code == 10
