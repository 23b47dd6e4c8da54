"""What the ledger must do, on both of its engines."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from optimizer.approval.errors import (
    ApprovalNeeded,
    BudgetInsufficient,
    LedgerMissing,
    LedgerUnusable,
    PolicyDenied,
)
from optimizer.approval.ledger import Ledger, open_ledger
from optimizer.approval.records import Budget, Period, RequestState
from providers.errors import ApprovalError, JobError
from tests.fixtures.ledger_world import (
    ANN,
    BOB,
    CAT,
    LEDGER_ID,
    NOW,
    ORG,
    TEAM,
    USD,
    digest,
    fresh_schema,
    furnish,
    make_request,
    make_statement,
    sums,
)
from tests.fixtures.postgres_server import serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from optimizer.approval.records import Request

pytestmark = pytest.mark.loopback

LATER = NOW + timedelta(hours=1)
HOSTILE = "x'; DROP TABLE ledger_audit; -- \"%s ? \\ $1"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    yield from serve()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield str(tmp_path / "state" / "ledger.db")
        return
    with fresh_schema(request.getfixturevalue("server"), f"l{abs(hash(request.node.nodeid)) % 10**12}") as found:
        yield found


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with open_ledger(url, create=True, ledger_id=LEDGER_ID) as made:
        yield furnish(made)


def reserved(ledger: Ledger, name: str = "r1", usd: float = 100, **changes: object) -> Request:
    return ledger.add_request(make_request(name, usd, **changes), now=NOW, actor=ANN, reserve=True)


def launched(ledger: Ledger, name: str = "r1", usd: float = 100, **changes: object) -> Request:
    reserved(ledger, name, usd, **changes)
    return ledger.consume(name, now=LATER, actor=ANN)


def test_a_ledger_is_missing_until_something_was_recorded(url: str) -> None:
    with pytest.raises(LedgerMissing, match="ledger"):
        open_ledger(url, create=False, ledger_id=LEDGER_ID)
    with open_ledger(url, create=True, ledger_id=LEDGER_ID) as made:
        assert made.ledger_id == LEDGER_ID
        with pytest.raises(LedgerMissing, match="nothing was ever recorded"):
            open_ledger(url, create=False, ledger_id=LEDGER_ID)
        furnish(made)
    with open_ledger(url, create=False, ledger_id=None) as found:
        assert found.ledger_id == LEDGER_ID
        assert found.budgets() == (ORG, TEAM)
    for create in (False, True):
        with pytest.raises(LedgerMissing, match="is the ledger 'team-ledger', not 'other'"):
            open_ledger(url, create=create, ledger_id="other")
    with pytest.raises(JobError):
        open_ledger(url, create=True, ledger_id="a b")


def test_a_reservation_is_in_every_budget(ledger: Ledger) -> None:
    made = reserved(ledger)
    assert made.state is RequestState.RESERVED
    assert sums(ledger) == {"org": (100, 0), "team": (100, 0)}
    assert ledger.request("r1") == made
    assert ledger.requests(RequestState.RESERVED) == (made,)
    assert ledger.requests(RequestState.PENDING) == ()
    assert ledger.verify().ok


def test_all_or_none(ledger: Ledger) -> None:
    reserved(ledger, "r1", 450)
    before = ledger.anchor()
    with pytest.raises(BudgetInsufficient) as caught:
        reserved(ledger, "r2", 50.000001)
    assert caught.value.exit_code == 5
    assert (caught.value.budget_id, caught.value.period_key, caught.value.missing_usd_micro) == ("team", "2026-11", 1)
    assert "$0.000001 is missing" in str(caught.value)
    assert sums(ledger) == {"org": (450, 0), "team": (450, 0)}
    assert ledger.anchor() == before
    assert [one.id for one in ledger.requests()] == ["r1"]
    reserved(ledger, "r3", 50)
    assert sums(ledger) == {"org": (500, 0), "team": (500, 0)}


def test_the_parent_is_exhausted_first(ledger: Ledger) -> None:
    ledger.set_budget(replace(ORG, limit_usd_micro=99 * USD), now=NOW, actor=ANN)
    with pytest.raises(BudgetInsufficient, match=r"budget org: \$100.00 is asked for, \$99.00 is left"):
        reserved(ledger)
    assert sums(ledger) == {"org": (0, 0), "team": (0, 0)}


def test_a_run_over_a_month_is_charged_to_both(ledger: Ledger) -> None:
    launched(ledger, period_keys=("2026-11", "2026-12"))
    assert sums(ledger, "2026-11") == {"org": (100, 0), "team": (100, 0)}
    assert sums(ledger, "2026-12") == {"org": (100, 0), "team": (100, 0)}
    with pytest.raises(ApprovalError, match="must sum to it"):
        ledger.settle("r1", 40 * USD, "hand", now=LATER, actor=ANN, by_period={"2026-11": 41 * USD})
    with pytest.raises(ApprovalError, match="must sum to it"):
        ledger.settle("r1", 40 * USD, "hand", now=LATER, actor=ANN, by_period={"2027-01": 40 * USD})
    parts = {"2026-11": 50 * USD, "2026-12": -10 * USD}
    with pytest.raises(ApprovalError):
        ledger.settle("r1", 40 * USD, "hand", now=LATER, actor=ANN, by_period=parts)
    ledger.settle("r1", 40 * USD, "hand", now=LATER, actor=ANN, by_period={"2026-11": 10 * USD, "2026-12": 30 * USD})
    assert sums(ledger, "2026-11") == {"org": (0, 40), "team": (0, 10)}
    assert sums(ledger, "2026-12") == {"org": (0, 40), "team": (0, 30)}
    assert ledger.verify().ok


def test_the_second_month_full_reserves_nothing_in_the_first(ledger: Ledger) -> None:
    reserved(ledger, "r1", 450, period_keys=("2026-12",))
    with pytest.raises(BudgetInsufficient, match="team in 2026-12"):
        reserved(ledger, "r2", 100, period_keys=("2026-11", "2026-12"))
    assert sums(ledger, "2026-11") == {"org": (450, 0), "team": (0, 0)}


def test_a_launch_in_a_month_not_reserved_for(ledger: Ledger) -> None:
    reserved(ledger, expires_at=NOW + timedelta(days=20))
    with pytest.raises(ApprovalNeeded, match="runs in 2026-12"):
        ledger.consume("r1", now=LATER, actor=ANN, ends_at=NOW + timedelta(days=8))
    with pytest.raises(ApprovalNeeded, match="runs in 2026-12"):
        ledger.consume("r1", now=NOW + timedelta(days=8), actor=ANN)
    assert ledger.request("r1").state is RequestState.RESERVED
    assert ledger.consume("r1", now=LATER, actor=ANN, ends_at=NOW + timedelta(days=1)).state is RequestState.LAUNCHED


def test_an_overrun_is_posted_in_full_and_then_nothing_is_reserved(ledger: Ledger) -> None:
    launched(ledger, "r1", 100)
    done = ledger.settle("r1", 900 * USD, "focus", now=LATER, actor=ANN)
    assert (done.state, done.settled_usd_micro) == (RequestState.SETTLED, 900 * USD)
    assert sums(ledger) == {"org": (0, 900), "team": (0, 900)}
    assert ledger.states(("team",), ("2026-11",))[0].left_usd_micro == -400 * USD
    with pytest.raises(BudgetInsufficient, match=r"-\$400.00 is left"):
        reserved(ledger, "r2", 0)
    assert ledger.verify().ok


def test_a_limit_cut_below_what_is_committed(ledger: Ledger) -> None:
    reserved(ledger, "r1", 400)
    cut = replace(TEAM, limit_usd_micro=100 * USD)
    assert ledger.set_budget(cut, now=LATER, actor=BOB) == TEAM
    with pytest.raises(BudgetInsufficient):
        reserved(ledger, "r2", 1)
    assert ledger.consume("r1", now=LATER, actor=ANN).state is RequestState.LAUNCHED
    ledger.settle("r1", 0, "hand", now=LATER, actor=ANN)
    reserved(ledger, "r3", 100)
    assert ledger.verify().ok


def test_a_launch_happens_once(ledger: Ledger) -> None:
    reserved(ledger)
    with pytest.raises(ApprovalError, match="another action"):
        ledger.consume("r1", now=LATER, actor=ANN, action_sha256=digest("other"))
    what = {"provider": "nimbus", "max_unit_price_nano": 5}
    done = ledger.consume("r1", now=LATER, actor=ANN, action_sha256=digest("action r1"), launch=what)
    assert done.state is RequestState.LAUNCHED
    assert ledger.launch_of("r1") == what
    with pytest.raises(ApprovalError, match="is launched: it cannot be launched") as caught:
        ledger.consume("r1", now=LATER, actor=ANN)
    assert caught.value.exit_code == 8
    for step in (ledger.void, ledger.revoke, ledger.reject):
        with pytest.raises(ApprovalError, match="settle it"):
            step("r1", now=LATER, actor=ANN)
    ledger.settle("r1", 60 * USD, "runtime", now=LATER, actor=ANN)
    with pytest.raises(ApprovalError, match="is settled: it cannot be settled"):
        ledger.settle("r1", 60 * USD, "runtime", now=LATER, actor=ANN)
    assert sums(ledger) == {"org": (0, 60), "team": (0, 60)}


@pytest.mark.parametrize(
    ("step", "state"),
    [("void", "voided"), ("revoke", "revoked"), ("reject", "rejected"), ("supersede", "superseded")],
)
def test_what_ends_before_the_launch_gives_back(ledger: Ledger, step: str, state: str) -> None:
    reserved(ledger)
    reserved(ledger, "r2", 1)
    more = {"by": "r2"} if step == "supersede" else {"note": HOSTILE}
    done = getattr(ledger, step)("r1", now=LATER, actor=BOB, **more)
    assert done.state.value == state
    assert sums(ledger) == {"org": (1, 0), "team": (1, 0)}
    with pytest.raises(PolicyDenied if state == "rejected" else ApprovalError):
        ledger.consume("r1", now=LATER, actor=ANN)
    with pytest.raises((ApprovalError, PolicyDenied)):
        getattr(ledger, step)("r1", now=LATER, actor=BOB, **more)
    assert sums(ledger) == {"org": (1, 0), "team": (1, 0)}
    assert ledger.verify().ok


def test_what_was_never_launched_expires_with_the_next_write(ledger: Ledger) -> None:
    reserved(ledger, "r1", 500)
    over = NOW + timedelta(hours=24)
    assert sums(ledger)["team"] == (500, 0)
    assert [state.pending_usd_micro for state in ledger.states(None, ("2026-11",), now=over)] == [0, 0]
    ledger.add_request(make_request("r2", 500, expires_at=over + timedelta(days=1)), now=over, actor=ANN, reserve=True)
    assert ledger.request("r1").state is RequestState.EXPIRED
    assert sums(ledger) == {"org": (500, 0), "team": (500, 0)}
    with pytest.raises(ApprovalNeeded, match="expired at 2026-11-25 09:00:00 UTC") as caught:
        ledger.consume("r1", now=over, actor=ANN)
    assert caught.value.exit_code == 4
    assert ledger.verify().ok


def test_a_refusal_keeps_the_release_of_what_has_expired(ledger: Ledger) -> None:
    reserved(ledger)
    with pytest.raises(ApprovalNeeded, match="expired"):
        ledger.consume("r1", now=NOW + timedelta(days=1), actor=ANN)
    assert ledger.request("r1").state is RequestState.EXPIRED
    assert sums(ledger) == {"org": (0, 0), "team": (0, 0)}
    assert ledger.audit_rows()[-1].kind == "expired"
    assert ledger.expire(now=NOW + timedelta(days=1), actor=ANN) == 0
    assert ledger.verify().ok


def test_a_clock_moved_backwards_revives_nothing(ledger: Ledger) -> None:
    reserved(ledger)
    reserved(ledger, "r2", 1, expires_at=NOW + timedelta(days=3))
    ledger.consume("r2", now=NOW + timedelta(hours=23), actor=ANN)
    reserved(ledger, "r3", 1, expires_at=NOW + timedelta(days=3))
    ledger.void("r3", now=NOW + timedelta(hours=25), actor=ANN)
    back = NOW + timedelta(hours=2)
    with pytest.raises(ApprovalNeeded, match="expired"):
        ledger.consume("r1", now=back, actor=ANN)
    with pytest.raises(ApprovalNeeded, match=r"is past \(the ledger's newest record is of 2026-11-25 10:00"):
        ledger.add_request(make_request("r4", 1), now=back, actor=ANN)
    ledger.settle("r2", USD, "hand", now=back, actor=ANN)
    moments = [row.at for row in ledger.audit_rows()]
    assert moments == sorted(moments)
    assert '"clock_at":"2026-11-24T11:00:00Z"' in ledger.audit_rows()[-1].body
    assert ledger.verify().ok


def test_approvals_reserve_with_the_last_one(ledger: Ledger) -> None:
    asked = make_request(approvals_needed=2)
    ledger.add_request(asked, now=NOW, actor=ANN)
    with pytest.raises(ApprovalNeeded, match="lacks 2 of 2 approvals"):
        ledger.reserve("r1", now=LATER, actor=ANN)
    with pytest.raises(ApprovalNeeded, match=r"pending \(0 of 2 approvals\)"):
        ledger.consume("r1", now=LATER, actor=ANN)

    def approve(who: object) -> Request:
        return ledger.add_approval(
            "r1", make_statement(asked, who, expires_at=NOW + timedelta(hours=6 if who is BOB else 12)), who, "leads",
            complete=lambda request: len(request.approvals) >= 2, now=LATER, actor=who,
        )  # fmt: skip

    first = approve(BOB)
    assert (first.state, len(first.approvals)) == (RequestState.PENDING, 1)
    assert first.approvals[0].approver == BOB
    with pytest.raises(ApprovalError, match="was used before: replay"):
        approve(BOB)
    assert approve(CAT).state is RequestState.RESERVED
    assert ledger.request("r1").expires_at == NOW + timedelta(hours=6)
    with pytest.raises(ApprovalError, match="it cannot be approved"):
        approve(CAT)
    assert [row.kind for row in ledger.audit_rows()][-3:] == ["approval_given", "approval_given", "reserved"]
    assert ledger.verify().ok


def test_an_approval_that_no_budget_holds_is_not_used_up(ledger: Ledger) -> None:
    asked = make_request(usd=600, approvals_needed=1)
    ledger.add_request(asked, now=NOW, actor=ANN)
    said = make_statement(asked)

    def approve() -> Request:
        return ledger.add_approval("r1", said, BOB, "", complete=lambda _: True, now=LATER, actor=BOB)

    with pytest.raises(BudgetInsufficient):
        approve()
    assert ledger.request("r1") == asked
    ledger.set_budget(replace(TEAM, limit_usd_micro=600 * USD), now=LATER, actor=BOB)
    assert approve().state is RequestState.RESERVED


WRONG_STATEMENTS: list[dict[str, object]] = [
    {"action_sha256": digest("other")},
    {"cap_usd_micro": 1},
    {"policy_sha256": digest("other")},
    {"budgets": ("org",)},
    {"budgets": ("nowhere",)},
    {"request_id": "r2"},
    {"currency": "EUR"},
    {"decision": "reject"},
    {"nonce": "short"},
    {"not_before": NOW + timedelta(hours=2)},
    {"expires_at": LATER},
]


def test_a_statement_about_something_else(ledger: Ledger) -> None:
    asked = make_request(approvals_needed=1)
    ledger.add_request(asked, now=NOW, actor=ANN)
    for wrong in WRONG_STATEMENTS:
        said = make_statement(asked, **wrong)
        with pytest.raises(ApprovalError):
            ledger.add_approval("r1", said, BOB, "", complete=lambda _: True, now=LATER, actor=BOB)
        assert ledger.request("r1") == asked


def test_a_signed_rejection_ends_it_and_is_used_once(ledger: Ledger) -> None:
    asked = make_request(approvals_needed=2)
    ledger.add_request(asked, now=NOW, actor=ANN)
    said = make_statement(asked, decision="reject")
    ended = ledger.reject("r1", statement=said, approver=BOB, group="leads", now=LATER, actor=BOB)
    assert (ended.state, ended.approvals) == (RequestState.REJECTED, ())
    with pytest.raises(PolicyDenied) as caught:
        ledger.consume("r1", now=LATER, actor=ANN)
    assert caught.value.exit_code == 3
    assert ledger.verify().ok


WRONG_REQUESTS: list[dict[str, object]] = [
    {"id": HOSTILE},
    {"id": ""},
    {"id": "../../etc/passwd"},
    {"id": "r" * 65},
    {"action_sha256": HOSTILE},
    {"policy_sha256": "A" * 64},
    {"requester": replace(ANN, name="")},
    {"requester": replace(ANN, name="a\x1b[2J")},
    {"requester": replace(ANN, key="a\nb")},
    {"cap_usd_micro": -1},
    {"cap_usd_micro": 10**15 + 1},
    {"budgets": ()},
    {"budgets": ("team",)},
    {"budgets": ("team", "org")},
    {"budgets": ("org", "org", "team")},
    {"budgets": (HOSTILE,)},
    {"period_keys": ()},
    {"period_keys": ("2026-13",)},
    {"period_keys": ("2026-12", "2026-11")},
    {"expires_at": NOW},
    {"state": RequestState.RESERVED},
    {"settled_usd_micro": 0},
    {"approvals_needed": -1},
]


def test_a_request_that_is_refused(ledger: Ledger) -> None:
    before = ledger.anchor()
    for wrong in WRONG_REQUESTS:
        with pytest.raises(ApprovalError):
            ledger.add_request(make_request(**wrong), now=NOW, actor=ANN)
        assert ledger.anchor() == before


def test_an_id_is_used_once(ledger: Ledger) -> None:
    reserved(ledger)
    with pytest.raises(ApprovalError, match="replay"):
        reserved(ledger)
    assert sums(ledger)["team"] == (100, 0)
    for name in ("nothing", HOSTILE, "a\0b", "\ud800", ""):
        with pytest.raises(ApprovalError, match="no request"):
            ledger.request(name)


@pytest.mark.parametrize("field", ["name", "key"])
def test_sql_in_names_is_text(ledger: Ledger, field: str) -> None:
    who = replace(ANN, **{field: HOSTILE})
    made = ledger.add_request(make_request(requester=who), now=NOW, actor=who, reserve=True)
    assert made.requester == who
    assert ledger.committed_since(HOSTILE, (HOSTILE,), NOW) == 0
    ledger.consume("r1", now=NOW, actor=who, launch={"note": HOSTILE})
    with pytest.raises(ApprovalError):
        ledger.settle("r1", 1, HOSTILE, now=NOW, actor=who)
    ledger.settle("r1", 1, "hand", now=NOW, actor=who, note=HOSTILE)
    assert ledger.verify().ok


WRONG_BUDGETS: list[tuple[dict[str, object], str]] = [
    ({"id": HOSTILE}, "budget: budget = "),
    ({"id": "-x"}, "budget: budget = "),
    ({"limit_usd_micro": -1}, "limit"),
    ({"limit_usd_micro": 10**15 + 1}, "limit"),
    ({"soft_ppm": 1_000_001}, "soft"),
    ({"parent": "nowhere"}, "set the parent first"),
    ({"parent": "team"}, "ring"),
]


def test_a_budget_that_is_refused(ledger: Ledger) -> None:
    for wrong, said in WRONG_BUDGETS:
        with pytest.raises(JobError, match=said):
            ledger.set_budget(replace(TEAM, **wrong), now=NOW, actor=ANN)
        assert ledger.budgets() == (ORG, TEAM)


def test_changes_of_budgets(ledger: Ledger) -> None:
    before = ledger.anchor()
    assert ledger.set_budget(TEAM, now=LATER, actor=ANN) == TEAM
    assert ledger.anchor() == before
    with pytest.raises(JobError, match="ring"):
        ledger.set_budget(replace(ORG, parent="team"), now=NOW, actor=ANN)
    ledger.set_budget(replace(TEAM, period=Period.TOTAL), now=LATER, actor=ANN)
    ledger.set_budget(TEAM, now=LATER, actor=ANN)
    reserved(ledger)
    with pytest.raises(JobError, match="something was charged"):
        ledger.set_budget(replace(TEAM, period=Period.TOTAL), now=LATER, actor=ANN)
    with pytest.raises(JobError, match="a budget of the ledger: org, team"):
        ledger.states(("nowhere",), ())
    # A budget that moves to another parent takes along only what is asked for from then on.
    ledger.set_budget(Budget(id="other", period=Period.TOTAL, limit_usd_micro=USD), now=LATER, actor=ANN)
    ledger.set_budget(replace(TEAM, parent="other"), now=LATER, actor=ANN)
    ledger.void("r1", now=LATER, actor=ANN)
    assert sums(ledger) == {"org": (0, 0), "other": (0, 0), "team": (0, 0)}
    assert ledger.verify().ok


def test_what_was_committed_lately(ledger: Ledger) -> None:
    reserved(ledger, "r1", 10)
    ledger.add_request(make_request("r2", 20, approvals_needed=1), now=NOW, actor=ANN)
    launched(ledger, "r3", 40)
    ledger.settle("r3", 4 * USD, "hand", now=LATER, actor=ANN)
    reserved(ledger, "r4", 80)
    ledger.void("r4", now=LATER, actor=ANN)
    reserved(ledger, "r5", 160, requester=BOB)
    assert ledger.committed_since(None, (), NOW) == 194 * USD
    assert ledger.committed_since(ANN.name, (), NOW) == 34 * USD
    assert ledger.committed_since(BOB.name, ("team",), NOW) == 160 * USD
    assert ledger.committed_since(None, ("nowhere",), NOW) == 0
    assert ledger.committed_since(None, (), LATER + timedelta(days=1)) == 0


@pytest.mark.parametrize("sql", ["UPDATE ledger_audit SET body = ''", "DELETE FROM ledger_audit"])
def test_the_audit_is_append_only(ledger: Ledger, sql: str) -> None:
    with pytest.raises(Exception, match="append-only"), ledger.database.writing() as session:
        session.run(sql)
    assert ledger.verify().ok


def test_the_audit_is_not_replaced_or_emptied(ledger: Ledger) -> None:
    sql = {
        "sqlite": "INSERT OR REPLACE INTO ledger_audit VALUES (1, 0, 'x', '{}', 'a', 'b')",
        "postgresql": "TRUNCATE ledger_audit",
    }[ledger.database.dialect]
    with pytest.raises(Exception, match="append-only"), ledger.database.writing() as session:
        session.run(sql)
    assert ledger.verify().ok


def test_threads_do_not_pass_a_limit(url: str, ledger: Ledger) -> None:
    """Eight at once for ten places; the processes are in tests/soak."""
    ledger.set_budget(replace(TEAM, limit_usd_micro=10 * USD), now=NOW, actor=ANN)
    passed: list[str] = []
    refused: list[str] = []

    def ask(worker: int) -> None:
        with open_ledger(url, create=False, ledger_id=LEDGER_ID) as mine:
            for number in range(4):
                try:
                    passed.append(reserved(mine, f"w{worker}-{number}", 1).id)
                except BudgetInsufficient as err:
                    refused.append(err.budget_id)

    threads = [threading.Thread(target=ask, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(passed), len(refused), set(refused)) == (10, 22, {"team"})
    assert sums(ledger) == {"org": (10, 0), "team": (10, 0)}
    assert ledger.verify().ok


def test_a_newer_ledger_is_left_alone(url: str, ledger: Ledger) -> None:
    with ledger.database.writing() as session:
        session.run("UPDATE tunefare_schema SET version = 99 WHERE room = 'ledger'")
    with pytest.raises(LedgerUnusable, match="newer version") as caught:
        open_ledger(url, create=False, ledger_id=LEDGER_ID)
    assert caught.value.exit_code == 10
    assert "TUNEFARE_LEDGER_URL" in str(caught.value)
