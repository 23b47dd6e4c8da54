"""One writing transaction of the ledger: the head row locked, what has expired released, every change in the chain."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from cache.errors import StoreBusy, StoreDamaged
from providers.errors import ApprovalError, TunefareError

from .audit import Anchor, Charge, body_text, chain_hash
from .errors import ApprovalNeeded, LedgerUnusable, PolicyDenied
from .ledger_checks import check_principal
from .ledger_rows import moment, read_requests, seconds
from .records import RequestState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from cache.database import Database, Session

    from .records import Principal, Request


class Writing:
    """A transaction under way. `now` never lies before what the ledger recorded last, whatever the clock says."""

    def __init__(self, session: Session, *, now: datetime, actor: Principal) -> None:
        """Locks the head row: the chain grows by one writer at a time."""
        self.session = session
        self.actor = actor
        self.expired = 0
        session.run("UPDATE ledger_head SET sequence = sequence WHERE id = 1")
        row = session.rows("SELECT ledger_id, sequence, hash, latest_at FROM ledger_head WHERE id = 1")[0]
        self.head = Anchor(ledger_id=row[0], sequence=row[1], hash=row[2])
        self._stored = self.head
        clock = seconds(now)
        self.now_s = max(clock, row[3])
        self._clock = clock if clock < row[3] else None

    @property
    def now(self) -> datetime:
        """The moment of this transaction."""
        return moment(self.now_s)

    @property
    def behind(self) -> str:
        """A remark for messages where the clock of this machine lags behind the ledger; "" where it does not."""
        if self._clock is None:
            return ""
        clock = _shown(moment(self._clock))
        return f" (the ledger's newest record is of {_shown(self.now)}; this machine's clock says {clock})"

    def record(self, kind: str, data: Mapping[str, object]) -> None:
        """Append a row to the chain."""
        if self._clock is not None:
            data = {**data, "clock_at": moment(self._clock).strftime("%Y-%m-%dT%H:%M:%SZ")}
        sequence, previous = self.head.sequence + 1, self.head.hash
        body = body_text(sequence=sequence, at=self.now, kind=kind, actor=self.actor, data=data)
        digest = chain_hash(previous, body)
        self.session.run(
            "INSERT INTO ledger_audit (sequence, at, kind, body, previous, hash) VALUES (?, ?, ?, ?, ?, ?)",
            (sequence, self.now_s, kind, body, previous, digest),
        )
        self.head = Anchor(ledger_id=self.head.ledger_id, sequence=sequence, hash=digest)

    def finish(self) -> None:
        """Move the head to the last row that was appended."""
        if self.head == self._stored:
            return
        moved = self.session.run(
            "UPDATE ledger_head SET sequence = ?, hash = ?, latest_at = ? WHERE id = 1 AND sequence = ? AND hash = ?",
            (self.head.sequence, self.head.hash, self.now_s, self._stored.sequence, self._stored.hash),
        )
        if moved != 1:
            raise LedgerUnusable("the ledger's head moved under a writer: nothing was written, try again")

    def find(self, request_id: str) -> Request:
        """Return a request as it stands. Raises ApprovalError for an id that the ledger does not hold."""
        return find_request(self.session, request_id)

    def move(self, request: Request, allowed: tuple[RequestState, ...], to: RequestState, *, what: str) -> None:
        """Move a request to another state, once. Raises, by the state that it is in, what a launcher must know."""
        states = ", ".join("?" for _ in allowed)
        moved = self.session.run(
            f"UPDATE ledger_requests SET state = ? WHERE id = ? AND state IN ({states})",
            (to.value, request.id, *(state.value for state in allowed)),
        )
        if moved != 1:
            raise self._refusal(request, what)
        if to not in {RequestState.RESERVED, RequestState.LAUNCHED}:
            self.session.run("UPDATE ledger_requests SET ended_at = ? WHERE id = ?", (self.now_s, request.id))

    def _refusal(self, request: Request, what: str) -> TunefareError:
        state, name = request.state, f"request {request.id}"
        if state is RequestState.EXPIRED:
            return ApprovalNeeded(f"{name} expired at {_shown(request.expires_at)}{self.behind}: request it again")
        if state is RequestState.REJECTED:
            return PolicyDenied(f"{name} was rejected: it cannot be {what}")
        if state is RequestState.PENDING:
            given = f"{len(request.approvals)} of {request.approvals_needed} approvals"
            return ApprovalNeeded(f"{name} is pending ({given}): it cannot be {what} before it is approved")
        return ApprovalError(f"{name} is {state.value}: it cannot be {what}")


@contextmanager
def writing(database: Database, *, now: datetime, actor: Principal) -> Iterator[Writing]:
    """Yield a writing transaction, begun with the release of what has expired, committed whole at the end.

    A refusal (any TunefareError) undoes what was done since, and keeps the release. Raises StoreBusy and LedgerUnusable
    (exit 10) where the ledger cannot be written: nothing is half written then.
    """
    check_principal(actor)
    refused: TunefareError | None = None
    with in_reach(), database.writing() as session:
        here = Writing(session, now=now, actor=actor)
        here.expired = _expire(here)
        before = here.head
        session.run("SAVEPOINT ledger_step")
        try:
            yield here
        except TunefareError as err:
            session.run("ROLLBACK TO SAVEPOINT ledger_step")
            here.head = before
            refused = err
        session.run("RELEASE SAVEPOINT ledger_step")
        here.finish()
    if refused is not None:
        raise refused


@contextmanager
def in_reach() -> Iterator[None]:
    """Say what is wrong with the database as the ledger does: exit 10."""
    try:
        yield
    except StoreBusy:
        raise
    except StoreDamaged as err:
        raise LedgerUnusable(str(err)) from err


def find_request(session: Session, request_id: str) -> Request:
    """Return a request. Raises ApprovalError (exit 8) for an id that the ledger does not hold."""
    found = read_requests(session, "WHERE id = ?", (request_id,)) if _storable(request_id) else ()
    if not found:
        raise ApprovalError(f"the ledger holds no request {request_id!r}: tunefare ledger list shows them")
    return found[0]


def release(session: Session, request_id: str) -> list[Charge]:
    """Take back what a request has reserved, in every budget, and return the changes."""
    charged = session.rows(
        "SELECT budget_id, period_key, pending_usd_micro FROM ledger_charges WHERE request_id = ? "
        "AND pending_usd_micro > 0 ORDER BY budget_id, period_key",
        (request_id,),
    )
    for budget, key, amount in charged:
        session.run(
            "UPDATE ledger_totals SET pending_usd_micro = pending_usd_micro - ? WHERE budget_id = ? AND period_key = ?",
            (amount, budget, key),
        )
    session.run("UPDATE ledger_charges SET pending_usd_micro = 0 WHERE request_id = ?", (request_id,))
    return [(budget, key, -amount, 0) for budget, key, amount in charged]


def _expire(here: Writing) -> int:
    overdue = here.session.rows(
        "SELECT id FROM ledger_requests WHERE state IN ('pending', 'reserved') AND expires_at <= ? ORDER BY number",
        (here.now_s,),
    )
    for (request_id,) in overdue:
        charges = release(here.session, request_id)
        here.session.run(
            "UPDATE ledger_requests SET state = 'expired', ended_at = ? WHERE id = ?", (here.now_s, request_id)
        )
        here.record("expired", {"request": request_id, "state": "expired", "charges": charges})
    return len(overdue)


def _storable(text: str) -> bool:
    return bool(text) and len(text) <= 64 and text.isascii() and text.isprintable()


def _shown(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S} UTC"
