"""The documents `tunefare.audit/v1` (a check of the chain) and `tunefare.anchor/v1` (its head)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.approval.audit import ANCHOR_SCHEMA
from optimizer.version import VERSION

from .json_text import moment, to_text

if TYPE_CHECKING:
    from .ledger_answers import AnchorAnswer, AuditAnswer

SCHEMA = "tunefare.audit/v1"


def audit_text(answer: AuditAnswer) -> str:
    """Return what a check found as JSON text; `first_wrong` is the sequence of the first row that is wrong."""
    report = answer.report
    return to_text(
        {
            "schema": SCHEMA,
            "made_at": moment(answer.made_at),
            "tool_version": VERSION,
            "ledger_id": report.ledger_id,
            "ok": report.ok,
            "rows": report.rows,
            "head": {"sequence": report.head.sequence, "hash": report.head.hash},
            "first_wrong": report.first_wrong,
            "wrong": report.wrong,
            "disagreements": list(report.disagreements),
            "anchor": None if report.anchor is None else report.anchor.text,
        }
    )


def anchor_text(answer: AnchorAnswer) -> str:
    """Return the head of the chain as JSON text; `anchor` is the line that `audit verify --anchor` takes."""
    one = answer.anchor
    return to_text(
        {
            "schema": ANCHOR_SCHEMA,
            "made_at": moment(answer.made_at),
            "tool_version": VERSION,
            "ledger_id": one.ledger_id,
            "sequence": one.sequence,
            "hash": one.hash,
            "anchor": one.text,
        }
    )
