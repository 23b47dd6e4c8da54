"""The use cases `audit verify` and `audit anchor`: whether the record is whole, and its head for an outside place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from optimizer.approval.audit import read_anchor
from optimizer.approval.canonical import read_bytes
from optimizer.report.ledger_answers import AnchorAnswer, AuditAnswer
from providers.errors import JobError

from .budgeting import COMMAND_LINE
from .clock import moment_in_force
from .ledger_place import opened_ledger
from .settings import load_settings

if TYPE_CHECKING:
    from datetime import datetime

    from optimizer.approval.audit import Anchor
    from optimizer.approval.ledger import Ledger

    from .settings import Settings

LONGEST_ANCHOR_BYTES = 64 * 1024


def verify_audit(
    anchor: str | None = None,
    *,
    now: datetime | str | None = None,
    settings: Settings | None = None,
    ledger: Ledger | None = None,
) -> AuditAnswer:
    """Return what a check of the whole chain found; `anchor` is a file with an anchor, or the anchor itself.

    Raises JobError for an anchor that is none, LedgerMissing (exit 10) where there is no ledger.
    """
    stated = load_settings() if settings is None else settings
    moment = moment_in_force(now, stated.now)
    known = None if anchor is None else _anchor(anchor)
    with opened_ledger(stated, given=ledger) as here:
        return AuditAnswer(made_at=moment, place=here.database.place, report=here.verify(known))


def head_of_audit(
    *, now: datetime | str | None = None, settings: Settings | None = None, ledger: Ledger | None = None
) -> AnchorAnswer:
    """Return the head of the chain. Raises LedgerMissing (exit 10) where there is no ledger."""
    stated = load_settings() if settings is None else settings
    moment = moment_in_force(now, stated.now)
    with opened_ledger(stated, given=ledger) as here:
        return AnchorAnswer(made_at=moment, anchor=here.anchor())


def _anchor(text: str) -> Anchor:
    try:
        return read_anchor(text, where=COMMAND_LINE)
    except JobError:
        data = read_bytes(Path(text), what="anchor", most=LONGEST_ANCHOR_BYTES)
        return read_anchor(data.decode("utf-8", "replace"), where=text)
