"""The requests of the ledger as a CSV file: a row each, amounts exact."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .csv_cells import csv_table, name_cell
from .json_text import moment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from optimizer.approval.ledger_rows import RequestRecord

COLUMNS: tuple[str, ...] = (
    "request", "state", "requester", "requester_assurance", "cap_usd", "settled_usd", "settled_from", "budgets",
    "months", "made_at", "expires_at", "launched_at", "ended_at", "approvals_needed", "approvers", "action_sha256",
    "plan_sha256", "policy_sha256", "price_snapshot_sha256",
)  # fmt: skip
"""Lists are separated by `;`; empty is not known, or not yet."""


def ledger_csv(records: Iterable[RequestRecord]) -> str:
    """Return the requests as CSV text, in the order given."""
    return csv_table(COLUMNS, (_row(one) for one in records))


def usd_cell(usd_micro: int | None) -> str:
    """Return micro-dollars as a decimal number, exactly, without an exponent; empty for None."""
    if usd_micro is None:
        return ""
    whole, rest = divmod(usd_micro, 1_000_000)
    return f"{whole}.{rest:06d}".rstrip("0").rstrip(".") if rest else str(whole)


def _row(record: RequestRecord) -> list[str]:
    one = record.request
    return [
        name_cell(one.id),
        one.state.value,
        name_cell(one.requester.name),
        one.requester.assurance.value,
        usd_cell(one.cap_usd_micro),
        usd_cell(one.settled_usd_micro),
        name_cell(record.source),
        name_cell(";".join(one.budgets)),
        ";".join(one.period_keys),
        moment(one.made_at) or "",
        moment(one.expires_at) or "",
        moment(record.launched_at) or "",
        moment(record.ended_at) or "",
        str(one.approvals_needed),
        name_cell(";".join(given.approver.name for given in one.approvals)),
        one.action_sha256,
        one.plan_sha256,
        one.policy_sha256,
        one.price_snapshot_sha256,
    ]
