"""The ledger: what was asked for, approved, reserved and spent. SQLite for one machine, PostgreSQL for a team.

Every method that writes is one transaction with its audit row; it begins by releasing what has expired. Money is
integer micro-dollars, `now` aware UTC. What SQL does is the same on both engines.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from cache.database import Keeping, is_postgres, load_migrations, migrate, open_database, schema_version, sqlite_path
from providers.errors import JobError

from . import ledger_steps as steps
from .audit import Anchor, AuditReport, genesis_hash
from .errors import LedgerMissing, LedgerUnusable
from .ledger_checks import check_budget, check_ledger_id
from .ledger_rows import read_audit, read_budgets, read_records, read_requests
from .ledger_states import committed, read_states
from .ledger_verify import verify_chain
from .ledger_writing import find_request, in_reach, writing
from .records import RequestState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from cache.database import Database

    from .ledger_rows import RequestRecord
    from .ledger_writing import Writing
    from .records import AuditRow, Budget, BudgetState, Principal, Request, Statement

ROOM = "ledger"
PACKAGE = "optimizer.approval"
OLDEST_SQLITE = (3, 37, 0)
"""With STRICT tables."""
KEEPING = Keeping(
    noun="ledger",
    variable="TUNEFARE_LEDGER_URL",
    when_damaged="keep the file, and restore the ledger from a copy",
    writers="tunefare ledger writers",
    busy_s=30.0,
    durable=True,
    private=True,
)


def open_ledger(url: str, *, create: bool, ledger_id: str | None) -> Ledger:
    """Return the ledger at `url`: the path of a SQLite file, or postgresql://...

    With `create` one is made where there is none, named `ledger_id` or by chance. Without it, a ledger that is missing
    or in which nothing was ever recorded is refused, so that a throw-away machine cannot pass an empty one off.

    Raises LedgerMissing (exit 10) for these and for a ledger of another id, StoreBusy and LedgerUnusable (exit 10) for
    one out of reach, damaged, or written by a newer version, JobError for a URL of another kind.
    """
    wanted = None if ledger_id is None else check_ledger_id(ledger_id)
    if not create and not is_postgres(url) and not sqlite_path(url, variable=KEEPING.variable).is_file():
        raise LedgerMissing(f"there is no ledger at {url}{_named(wanted)}: {_ADVICE}")
    with in_reach():
        database = open_database(url, create=create, keeping=KEEPING)
        try:
            _check_engine(database)
            migrations = load_migrations(PACKAGE, dialect=database.dialect)
            there = create or schema_version(database, room=ROOM) > 0
            if there:
                migrate(database, migrations, room=ROOM)
            found = _identify(database, wanted, there=there, create=create)
        except BaseException:
            database.close()
            raise
    return Ledger(database, found)


_ADVICE = "set TUNEFARE_LEDGER_URL to the team's ledger, or make one with tunefare budget set --new-ledger ID"


class Ledger:
    """One ledger. Give it back with `close`, or use it in a `with` statement."""

    def __init__(self, database: Database, ledger_id: str) -> None:
        """Use `open_ledger`."""
        self.database = database
        self.ledger_id = ledger_id

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back."""
        self.database.close()

    def budgets(self) -> tuple[Budget, ...]:
        """Return all budgets, by id."""
        with in_reach(), self.database.reading() as session:
            return read_budgets(session)

    def set_budget(self, budget: Budget, *, now: datetime, actor: Principal) -> Budget | None:
        """Make a budget, or change one, and return what it was before (None: it is new).

        A limit below what is committed stands: new reservations are refused then. Raises JobError for an id, an amount
        or a parent that cannot be, and for another period of a budget that something was charged to.
        """
        with self._writing(now, actor) as here:
            known = read_budgets(here.session)
            before = next((one for one in known if one.id == budget.id), None)
            check_budget(budget, known)
            if before == budget:
                return before
            if before is not None and before.period is not budget.period and _charged(here, budget.id):
                allowed = f"{before.period.value}: something was charged to {budget.id} by then"
                raise JobError(where="budget", key="period", value=budget.period.value, allowed=allowed)
            fields = (budget.period.value, budget.limit_usd_micro, budget.soft_ppm, budget.parent)
            here.session.run(
                "INSERT INTO ledger_budgets (id, period, limit_usd_micro, soft_ppm, parent) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (id) DO UPDATE SET period = excluded.period, limit_usd_micro = excluded.limit_usd_micro, "
                "soft_ppm = excluded.soft_ppm, parent = excluded.parent",
                (budget.id, *fields),
            )
            names = ("period", "limit_usd_micro", "soft_ppm", "parent")
            here.record("budget_set", {"id": budget.id, **dict(zip(names, fields, strict=True))})
        return before

    def states(
        self, ids: Sequence[str] | None = None, keys: Sequence[str] = (), *, now: datetime | None = None
    ) -> tuple[BudgetState, ...]:
        """Return how budgets stand, by id and period: in the months `keys` for those by the month, else in total.

        `ids` None means all of them. With `now`, reservations that have expired by then do not count: the next
        transaction that writes releases them. Raises JobError for an id that the ledger does not hold.
        """
        with in_reach(), self.database.reading() as session:
            return read_states(session, ids, keys, now=now)

    def committed_since(self, requester_name: str | None, budget_ids: Sequence[str], since: datetime) -> int:
        """Return what was committed since, in micro-dollars: caps of requests that wait, stand reserved or run, and
        what the others really cost.

        Counted are requests of this requester (None: of anybody) on any of these budgets (none given: on all).
        """
        with in_reach(), self.database.reading() as session:
            return committed(session, requester_name, budget_ids, since)

    def request(self, request_id: str) -> Request:
        """Return a request. Raises ApprovalError (exit 8) for an id that the ledger does not hold."""
        with in_reach(), self.database.reading() as session:
            return find_request(session, request_id)

    def requests(self, state: RequestState | None = None) -> tuple[Request, ...]:
        """Return all requests, or those in one state, in the order in which they were made."""
        with in_reach(), self.database.reading() as session:
            if state is None:
                return read_requests(session)
            return read_requests(session, "WHERE state = ?", (state.value,))

    def records(self) -> tuple[RequestRecord, ...]:
        """Return all requests with what is known of their launches, in the order in which they were made."""
        with in_reach(), self.database.reading() as session:
            return read_records(session)

    def launch_of(self, request_id: str) -> dict[str, object]:
        """Return what `consume` was told of the launch; empty before it."""
        with in_reach(), self.database.reading() as session:
            find_request(session, request_id)
            rows = session.rows("SELECT launch FROM ledger_requests WHERE id = ?", (request_id,))
            return steps.read_launch(rows[0][0])

    def add_request(self, request: Request, *, now: datetime, actor: Principal, reserve: bool = False) -> Request:
        """Record a new, pending request and return it; with `reserve` (it needs no approval) reserve it as well.

        Raises ApprovalError for a wrong request and an id that was used before, BudgetInsufficient as `reserve` does:
        then there is no request either.
        """
        with self._writing(now, actor) as here:
            steps.add_request(here, request)
            if reserve:
                steps.reserve(here, here.find(request.id), keys=None, until=None)
            return here.find(request.id)

    def add_approval(
        self,
        request_id: str,
        statement: Statement,
        approver: Principal,
        group: str,
        *,
        complete: Callable[[Request], bool],
        now: datetime,
        actor: Principal,
        keys: tuple[str, ...] | None = None,
        until: datetime | None = None,
    ) -> Request:
        """Record an approval that was verified, and return the request; with the last one it is reserved.

        `complete` says of the request with this approval whether none is missing. It is asked within the transaction:
        of two approvers at the same time one is the last. Raises ApprovalError for a statement that was used before
        (replay) or is about something else, BudgetInsufficient as `reserve` does: then the approval is not used up.
        """
        with self._writing(now, actor) as here:
            steps.add_approval(here, here.find(request_id), statement, approver, group)
            approved = here.find(request_id)
            if complete(approved):
                steps.reserve(here, approved, keys=keys, until=until)
            return here.find(request_id)

    def reserve(
        self,
        request_id: str,
        *,
        now: datetime,
        actor: Principal,
        keys: tuple[str, ...] | None = None,
        until: datetime | None = None,
    ) -> Request:
        """Reserve the cap of a pending request in every budget of its chain and every month, or in none; return it.

        `keys` are the months to charge in place of the request's, `until` an earlier end than that of the approvals.
        Raises BudgetInsufficient (exit 5) naming the budget and what it lacks, ApprovalNeeded (exit 4) where approvals
        are missing or the request has expired, ApprovalError (exit 8) for one that is reserved already.
        """
        with self._writing(now, actor) as here:
            steps.reserve(here, here.find(request_id), keys=keys, until=until)
            return here.find(request_id)

    def consume(
        self,
        request_id: str,
        *,
        now: datetime,
        actor: Principal,
        action_sha256: str | None = None,
        ends_at: datetime | None = None,
        launch: Mapping[str, object] | None = None,
    ) -> Request:
        """Spend a reservation on a launch, once, and return the request: reserved becomes launched.

        `action_sha256` must be what the request authorises, `ends_at` is when the run ends at the latest, `launch` is
        kept for who settles. Raises ApprovalError (exit 8) for a second launch (replay) or another action,
        ApprovalNeeded (exit 4) for a request that expired, is not approved, or would run in a month not reserved for.
        """
        with self._writing(now, actor) as here:
            request = here.find(request_id)
            steps.consume(here, request, action_sha256=action_sha256, ends_at=ends_at, launch=launch or {})
            return here.find(request_id)

    def settle(
        self,
        request_id: str,
        usd_micro: int,
        source: str,
        *,
        now: datetime,
        actor: Principal,
        by_period: Mapping[str, int] | None = None,
        note: str = "",
    ) -> Request:
        """Post what a launch really cost, in full, and give back the rest of what was reserved; return the request.

        `source` is a word: hand, runtime, focus. A run over two months is posted in full in both, unless `by_period`
        says what fell into which. Raises ApprovalError for a request that is not launched, or settled already.
        """
        with self._writing(now, actor) as here:
            steps.settle(here, here.find(request_id), usd_micro, source, by_period=by_period, note=note)
            return here.find(request_id)

    def void(self, request_id: str, *, now: datetime, actor: Principal, note: str = "") -> Request:
        """End a request that is not launched, give back what it reserved, and return it. Raises ApprovalError."""
        return self._end(request_id, RequestState.VOIDED, note, now=now, actor=actor)

    def revoke(self, request_id: str, *, now: datetime, actor: Principal, note: str = "") -> Request:
        """Take back an approval, which is possible until the launch, and return the request. Raises ApprovalError."""
        return self._end(request_id, RequestState.REVOKED, note, now=now, actor=actor)

    def supersede(self, request_id: str, *, now: datetime, actor: Principal, by: str) -> Request:
        """End a request in favour of another, `by`, and return it. Raises ApprovalError."""
        with self._writing(now, actor) as here:
            steps.end(here, here.find(request_id), RequestState.SUPERSEDED, what="superseded", note=here.find(by).id)
            return here.find(request_id)

    def reject(
        self,
        request_id: str,
        *,
        now: datetime,
        actor: Principal,
        statement: Statement | None = None,
        approver: Principal | None = None,
        group: str = "",
        note: str = "",
    ) -> Request:
        """End a request by one rejection, with the signed statement where there is one, and return it.

        Raises ApprovalError for a statement that was used before or is about something else, and after the launch.
        """
        with self._writing(now, actor) as here:
            steps.end(
                here, here.find(request_id), RequestState.REJECTED, what="rejected",
                note=note, statement=statement, approver=approver, group=group,
            )  # fmt: skip
            return here.find(request_id)

    def expire(self, *, now: datetime, actor: Principal) -> int:
        """Release what has expired and return how many requests that were. Every other writing method does so too."""
        with self._writing(now, actor) as here:
            return here.expired

    def audit_rows(self, first: int = 1, last: int | None = None) -> tuple[AuditRow, ...]:
        """Return rows of the audit chain, in their order; all of them by default."""
        with in_reach(), self.database.reading() as session:
            return tuple(read_audit(session, first, 2**62 if last is None else last))

    def verify(self, anchor: Anchor | None = None) -> AuditReport:
        """Return whether the chain is whole, ends where the anchor says, and says what the tables hold."""
        with in_reach(), self.database.reading() as session:
            return verify_chain(session, anchor)

    def anchor(self) -> Anchor:
        """Return the head of the chain, for an outside place."""
        with in_reach(), self.database.reading() as session:
            row = session.rows("SELECT ledger_id, sequence, hash FROM ledger_head WHERE id = 1")[0]
            return Anchor(ledger_id=row[0], sequence=row[1], hash=row[2])

    @contextmanager
    def _writing(self, now: datetime, actor: Principal) -> Iterator[Writing]:
        with writing(self.database, now=now, actor=actor) as here:
            yield here

    def _end(self, request_id: str, to: RequestState, note: str, *, now: datetime, actor: Principal) -> Request:
        with self._writing(now, actor) as here:
            steps.end(here, here.find(request_id), to, what=to.value, note=note)
            return here.find(request_id)


def _identify(database: Database, wanted: str | None, *, there: bool, create: bool) -> str:
    """Return the id of the ledger, given to a new one. Raises LedgerMissing for a fresh one and for another."""
    if not there:
        raise LedgerMissing(f"{database.place} holds no ledger{_named(wanted)}: {_ADVICE}")
    if create:
        name = wanted or f"ledger-{secrets.token_hex(8)}"
        with database.writing() as session:
            session.run(
                "INSERT INTO ledger_head (id, ledger_id, sequence, hash, latest_at) VALUES (1, ?, 0, ?, 0) "
                "ON CONFLICT (id) DO NOTHING",
                (name, genesis_hash(name)),
            )
    with database.reading() as session:
        rows = session.rows("SELECT ledger_id, sequence FROM ledger_head WHERE id = 1")
    if not rows or (rows[0][1] == 0 and not create):
        raise LedgerMissing(f"nothing was ever recorded in the ledger {database.place}{_named(wanted)}: {_ADVICE}")
    found: str = rows[0][0]
    if wanted is not None and found != wanted:
        raise LedgerMissing(f"{database.place} is the ledger {found!r}, not {wanted!r}: {_ADVICE}")
    return found


def _check_engine(database: Database) -> None:
    if database.dialect == "sqlite":
        import sqlite3

        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise LedgerUnusable(f"SQLite {sqlite3.sqlite_version} is too old for a ledger: 3.37 or newer is needed")


def _charged(here: Writing, budget_id: str) -> bool:
    return bool(here.session.rows("SELECT 1 FROM ledger_charges WHERE budget_id = ? LIMIT 1", (budget_id,)))


def _named(ledger_id: str | None) -> str:
    return "" if ledger_id is None else f" (the policy asks for {ledger_id!r})"
