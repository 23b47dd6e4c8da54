"""A plan file as the gate reads it: its bytes once, its digests, the action, and the facts that policies judge."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from providers.errors import ApprovalError, JobError
from providers.strict_json import Reader

from .action import Action, read_action
from .canonical import load_document, read_bytes, sha256_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SCHEMA = "tunefare.plan/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredQuote:
    """The price that a placement was planned with: billionths per instance-hour, when and by whom it was observed."""

    unit_price_nano: int
    observed_at: datetime
    price_class: str
    """live, list or own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFile:
    """One plan file. `document` is the plan as read; nothing of it is authorised but the `action`."""

    path: str
    file_sha256: str
    """Of the bytes as they are: what `approve --expect-sha256` names."""
    plan_sha256: str
    """Of the canonical form: every byte that matters."""
    action: Action
    document: Mapping[str, object]
    made_at: datetime
    price_snapshot_sha256: str
    quotes: tuple[StoredQuote, ...]
    """One a placement, in their order."""
    duration_high_s: int
    cost_expected_usd_micro: int
    cost_high_usd_micro: int
    memory_basis: str
    throughput_basis: str

    @property
    def oldest_observed_at(self) -> datetime:
        """When the oldest price of the plan's own offers was observed."""
        return min(quote.observed_at for quote in self.quotes)


def read_plan_file(path: Path) -> PlanFile:
    """Return the plan of a file, read once and strictly.

    Raises JobError for a file that cannot be read, ApprovalError (exit 8) for one that is no plan, that chose nothing,
    or that holds no action: a plan from before there was a gate.
    """
    data = read_bytes(path, what="PLAN")
    return plan_file_of(data, where=str(path))


def plan_file_of(data: bytes, *, where: str) -> PlanFile:
    """Return the plan that bytes hold. Raises ApprovalError as `read_plan_file` does."""
    document = load_document(data, where=where, schema=SCHEMA)
    try:
        return _plan(document, data, where)
    except JobError as err:
        raise ApprovalError(str(err)) from err


def _plan(document: dict[str, object], data: bytes, where: str) -> PlanFile:
    fields = Reader(document, where=where)
    if fields.get("choice") is None:
        raise ApprovalError(f"{where}: this plan chose nothing: there is nothing to approve")
    if not fields.get("action"):
        raise ApprovalError(f"{where}: action = not given: a plan that says what it authorises (plan it again)")
    action = read_action(fields.get("action"), where=where)
    chosen = list(fields.objects("choices")) or [fields.inner("choice")]
    if len(chosen) != len(action.placements):
        raise ApprovalError(f"{where}: {len(chosen)} choices, and {len(action.placements)} placements in the action")
    return PlanFile(
        path=where,
        file_sha256=hashlib.sha256(data).hexdigest(),
        plan_sha256=sha256_of(document),
        action=action,
        document=document,
        made_at=fields.moment("made_at"),
        price_snapshot_sha256=fields.inner("snapshot").name("sha256"),
        quotes=tuple(_quote(one) for one in chosen),
        duration_high_s=fields.inner("duration_s").whole("high"),
        cost_expected_usd_micro=fields.inner("cost_usd_micro").whole("expected"),
        cost_high_usd_micro=fields.inner("cost_usd_micro").whole("high"),
        memory_basis=fields.inner("memory").name("basis"),
        throughput_basis=fields.inner("throughput").name("basis"),
    )


def _quote(fields: Reader) -> StoredQuote:
    return StoredQuote(
        unit_price_nano=fields.whole("unit_price_nano"),
        observed_at=fields.moment("observed_at").astimezone(UTC),
        price_class=fields.name("price_class"),
    )
