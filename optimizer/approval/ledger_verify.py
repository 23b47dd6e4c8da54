"""Checks the ledger against its own audit chain: every row, its end, and that the tables hold what the rows say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from .audit import Anchor, AuditReport, Replay
from .ledger_rows import read_audit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cache.database import Session

    Rows = Mapping[tuple[str, ...], tuple[object, ...]]

CHUNK = 20_000
MOST_SHOWN = 20
"""Disagreements that a report names; a ledger that was tampered with may have any number."""


def verify_chain(session: Session, anchor: Anchor | None) -> AuditReport:
    """Return what a check of the whole chain found, within one reading session."""
    row = session.rows("SELECT ledger_id, sequence, hash FROM ledger_head WHERE id = 1")[0]
    head = Anchor(ledger_id=row[0], sequence=row[1], hash=row[2])
    bounds = session.rows("SELECT COALESCE(MIN(sequence), 1), COALESCE(MAX(sequence), 0), COUNT(*) FROM ledger_audit")[
        0
    ]
    replay = Replay(ledger_id=head.ledger_id, anchor=anchor)
    for first in range(min(1, bounds[0]), bounds[1] + 1, CHUNK):
        replay.check(read_audit(session, first, first + CHUNK - 1))
        if replay.wrong is not None:
            break
    replay.finish(head)
    # Where a row is wrong, what follows from the rows is not known.
    said = () if replay.wrong is not None else tuple(_disagreements(session, replay))
    return AuditReport(
        ledger_id=head.ledger_id,
        rows=bounds[2],
        head=head,
        first_wrong=replay.first_wrong,
        wrong=replay.wrong,
        disagreements=said[:MOST_SHOWN],
        anchor=anchor,
    )


def _disagreements(session: Session, replay: Replay) -> Iterator[str]:
    totals: Rows = {
        (row[0], row[1]): (row[2], row[3])
        for row in session.rows("SELECT budget_id, period_key, pending_usd_micro, posted_usd_micro FROM ledger_totals")
    }
    sums: Rows = {key: tuple(values) for key, values in replay.totals.items()}
    yield from _compare("budget {} in {}", totals, sums, zero=(0, 0))
    charged: Rows = {
        (row[0], row[1]): (int(row[2]), int(row[3]))
        for row in session.rows(
            "SELECT budget_id, period_key, SUM(pending_usd_micro), SUM(posted_usd_micro) FROM ledger_charges "
            "GROUP BY budget_id, period_key"
        )
    }
    yield from _compare("charges to {} in {}", charged, sums, zero=(0, 0))
    budgets: Rows = {
        (row[0],): tuple(row[1:])
        for row in session.rows("SELECT id, period, limit_usd_micro, soft_ppm, parent FROM ledger_budgets")
    }
    yield from _compare("budget {}", budgets, {(name,): one for name, one in replay.budgets.items()})
    yield from _compare(
        "request {}", _requests(session), {(name,): _said(one) for name, one in replay.requests.items()}
    )
    approvals: Rows = {
        (row[0],): tuple(row[1:])
        for row in session.rows("SELECT nonce, request_id, decision, approver_name, approver_key FROM ledger_approvals")
    }
    yield from _compare("approval {}", approvals, {(nonce,): one for nonce, one in replay.approvals.items()})


def _requests(session: Session) -> dict[tuple[str, ...], tuple[object, ...]]:
    rows = session.rows(
        "SELECT id, state, settled_usd_micro, expires_at, cap_usd_micro, action_sha256, policy_sha256, requester_name, "
        "approvals_needed, budgets, period_keys FROM ledger_requests"
    )
    return {(row[0],): (*row[1:9], tuple(json.loads(row[9])), tuple(json.loads(row[10]))) for row in rows}


def _said(data: Mapping[str, object]) -> tuple[object, ...]:
    """Return what the chain says of a request, as `_requests` returns what the table holds."""
    plain = ("state", "settled_usd_micro", "expires_at", "cap_usd_micro", "action_sha256", "policy_sha256")
    requester, budgets, keys = data["requester"], data["budgets"], data["period_keys"]
    name = requester["name"] if isinstance(requester, dict) else None
    lists = (tuple(part) if isinstance(part, list) else part for part in (budgets, keys))
    return (*(data[key] for key in plain), name, data["approvals_needed"], *lists)


def _compare(
    what: str,
    held: Rows,
    said: Rows,
    *,
    zero: tuple[object, ...] | None = None,
) -> Iterator[str]:
    for key in sorted(held.keys() | said.keys()):
        in_table, in_chain = held.get(key, zero), said.get(key, zero)
        if in_table != in_chain:
            name = what.format(*key)
            if in_chain is None:
                yield f"{name}: the audit knows nothing of it"
            elif in_table is None:
                yield f"{name}: missing, the audit knows it"
            else:
                pairs = [(a, b) for a, b in zip(in_table, in_chain, strict=True) if a != b]
                yield f"{name}: holds {pairs[0][0]}, the audit says {pairs[0][1]}"
