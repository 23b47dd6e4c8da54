"""Rows of the ledger as the records that the gate knows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .records import Assurance, AuditRow, Budget, GivenApproval, Period, Principal, Request, RequestState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cache.database import Row, Session, Value

REQUEST_COLUMNS = (
    "id, action_sha256, plan_sha256, policy_sha256, price_snapshot_sha256, requester_name, requester_assurance, "
    "requester_key, cap_usd_micro, budgets, period_keys, made_at, expires_at, state, approvals_needed, "
    "settled_usd_micro"
)
_AUDIT = "SELECT sequence, at, kind, body, previous, hash FROM ledger_audit "


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """A request, when it was launched and ended, what the launch was, and where its settlement comes from.

    Moments are None before they come; `launch` is empty before the launch.
    """

    request: Request
    launched_at: datetime | None
    ended_at: datetime | None
    launch: Mapping[str, object]
    source: str | None


def seconds(value: datetime) -> int:
    """Return a moment as whole seconds since 1970, rounded down. Raises ValueError for one without a zone."""
    if value.tzinfo is None:
        raise ValueError(f"{value} has no zone")
    return int(value.timestamp() // 1)


def moment(value: int) -> datetime:
    """Return seconds since 1970 as aware UTC."""
    return datetime.fromtimestamp(value, tz=UTC)


def list_text(values: Sequence[str]) -> str:
    """Return names as the text that a column holds."""
    return json.dumps(list(values), separators=(",", ":"))


def read_budgets(session: Session) -> tuple[Budget, ...]:
    """Return all budgets, by id."""
    rows = session.rows("SELECT id, period, limit_usd_micro, soft_ppm, parent FROM ledger_budgets")
    found = (
        Budget(id=row[0], period=Period(row[1]), limit_usd_micro=row[2], soft_ppm=row[3], parent=row[4]) for row in rows
    )
    return tuple(sorted(found, key=lambda one: one.id))


def read_requests(session: Session, where: str = "", values: Sequence[Value] = ()) -> tuple[Request, ...]:
    """Return requests with their approvals, in the order in which they were made; `where` is SQL of this package."""
    rows = session.rows(f"SELECT {REQUEST_COLUMNS} FROM ledger_requests {where} ORDER BY number", values)
    one = rows[0][0] if len(rows) == 1 else None
    approvals = _approvals(session, one) if rows else {}
    return tuple(_request(row, approvals.get(row[0], ())) for row in rows)


def read_records(session: Session) -> tuple[RequestRecord, ...]:
    """Return all requests with their launches, in the order in which they were made."""
    rows = session.rows("SELECT launched_at, ended_at, launch, settled_source FROM ledger_requests ORDER BY number")
    return tuple(
        RequestRecord(
            request=request,
            launched_at=None if row[0] is None else moment(row[0]),
            ended_at=None if row[1] is None else moment(row[1]),
            launch=json.loads(row[2]),
            source=row[3],
        )
        for request, row in zip(read_requests(session), rows, strict=True)
    )


def read_audit(session: Session, first: int, last: int) -> list[AuditRow]:
    """Return the rows of the chain from one sequence to another, both included."""
    rows = session.rows(_AUDIT + "WHERE sequence >= ? AND sequence <= ? ORDER BY sequence", (first, last))
    return [
        AuditRow(sequence=row[0], at=moment(row[1]), kind=row[2], body=row[3], previous=row[4], hash=row[5])
        for row in rows
    ]


def _approvals(session: Session, request_id: str | None) -> dict[str, tuple[GivenApproval, ...]]:
    sql = (
        "SELECT request_id, statement_sha256, nonce, approver_name, approver_assurance, approver_key, group_name, "
        "given_at, expires_at FROM ledger_approvals WHERE decision = 'approve'"
    )
    if request_id is None:
        rows = session.rows(f"{sql} ORDER BY number")
    else:
        rows = session.rows(f"{sql} AND request_id = ? ORDER BY number", (request_id,))
    found: dict[str, tuple[GivenApproval, ...]] = {}
    for row in rows:
        found[row[0]] = (*found.get(row[0], ()), _approval(row))
    return found


def _approval(row: Row) -> GivenApproval:
    return GivenApproval(
        statement_sha256=row[1],
        nonce=row[2],
        approver=Principal(name=row[3], assurance=Assurance(row[4]), key=row[5]),
        group=row[6],
        given_at=moment(row[7]),
        expires_at=moment(row[8]),
    )


def _request(row: Row, approvals: tuple[GivenApproval, ...]) -> Request:
    return Request(
        id=row[0],
        action_sha256=row[1],
        plan_sha256=row[2],
        policy_sha256=row[3],
        price_snapshot_sha256=row[4],
        requester=Principal(name=row[5], assurance=Assurance(row[6]), key=row[7]),
        cap_usd_micro=row[8],
        budgets=tuple(json.loads(row[9])),
        period_keys=tuple(json.loads(row[10])),
        made_at=moment(row[11]),
        expires_at=moment(row[12]),
        state=RequestState(row[13]),
        approvals_needed=row[14],
        approvals=approvals,
        settled_usd_micro=row[15],
    )
