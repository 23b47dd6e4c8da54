"""The documents `tunefare.ledger/v1` (requests) and `tunefare.settlement/v1` (one that just ended)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.version import VERSION

from .json_budget import state_document
from .json_text import Json, JsonObject, moment, to_text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from optimizer.approval.ledger_rows import RequestRecord
    from optimizer.approval.records import Principal, Request

    from .ledger_answers import EndedAnswer, LedgerAnswer

SCHEMA = "tunefare.ledger/v1"
ENDED_SCHEMA = "tunefare.settlement/v1"


def ledger_text(answer: LedgerAnswer) -> str:
    """Return a list of requests as JSON text; `total` counts those beyond the limit too."""
    return to_text(
        {
            "schema": SCHEMA,
            "made_at": moment(answer.made_at),
            "tool_version": VERSION,
            "ledger_id": answer.ledger_id,
            "total": answer.total,
            "requests": [request_document(one) for one in answer.requests],
        }
    )


def records_text(records: Iterable[RequestRecord], *, ledger_id: str, made_at: datetime) -> str:
    """Return all requests with their launches as JSON text."""
    rows: list[Json] = [
        {
            **request_document(one.request),
            "launched_at": moment(one.launched_at),
            "ended_at": moment(one.ended_at),
            "settled_from": one.source,
            "launch": _plain(one.launch),
        }
        for one in records
    ]
    return to_text(
        {
            "schema": SCHEMA,
            "made_at": moment(made_at),
            "tool_version": VERSION,
            "ledger_id": ledger_id,
            "total": len(rows),
            "requests": rows,
        }
    )


def ended_text(answer: EndedAnswer) -> str:
    """Return a request that was just settled or voided as JSON text, with how its budgets stand since."""
    by_period: JsonObject | None = None if answer.by_period is None else dict(answer.by_period)
    return to_text(
        {
            "schema": ENDED_SCHEMA,
            "made_at": moment(answer.made_at),
            "tool_version": VERSION,
            "ledger_id": answer.ledger_id,
            "done": answer.done,
            "source": answer.source,
            "by_period_usd_micro": by_period,
            "request": request_document(answer.request),
            "budgets": [{"id": state.budget.id, **state_document(state)} for state in answer.states],
        }
    )


def request_document(request: Request) -> JsonObject:
    """Return a request as a document."""
    return {
        "id": request.id,
        "state": request.state.value,
        "requester": _principal(request.requester),
        "cap_usd_micro": request.cap_usd_micro,
        "settled_usd_micro": request.settled_usd_micro,
        "budgets": list(request.budgets),
        "period_keys": list(request.period_keys),
        "made_at": moment(request.made_at),
        "expires_at": moment(request.expires_at),
        "approvals_needed": request.approvals_needed,
        "approvals": [
            {
                "approver": _principal(one.approver),
                "group": one.group,
                "given_at": moment(one.given_at),
                "expires_at": moment(one.expires_at),
                "statement_sha256": one.statement_sha256,
                "nonce": one.nonce,
            }
            for one in request.approvals
        ],
        "action_sha256": request.action_sha256,
        "plan_sha256": request.plan_sha256,
        "policy_sha256": request.policy_sha256,
        "price_snapshot_sha256": request.price_snapshot_sha256,
    }


def _principal(one: Principal) -> JsonObject:
    return {"name": one.name, "assurance": one.assurance.value, "key": one.key}


def _plain(value: object) -> Json:
    """Return what the ledger kept as canonical JSON, as JSON."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value if value is None or isinstance(value, bool | int | str) else str(value)
