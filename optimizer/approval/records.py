"""The records of the gate: budgets, requests, approvals, reservations, decisions. Shared words of its parts.

Money is integer micro-dollars, moments are aware UTC, digests 64 hexadecimal digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


class Period(StrEnum):
    """What a budget's limit is for."""

    MONTH = "month"
    """A calendar month in UTC."""
    TOTAL = "total"
    """Once and for all."""


class RequestState(StrEnum):
    """The life of a request: pending, reserved, launched, then settled, voided or expired; or ended before."""

    PENDING = "pending"
    RESERVED = "reserved"
    LAUNCHED = "launched"
    SETTLED = "settled"
    VOIDED = "voided"
    EXPIRED = "expired"
    REJECTED = "rejected"
    REVOKED = "revoked"
    SUPERSEDED = "superseded"


OPEN_STATES = frozenset({RequestState.PENDING, RequestState.RESERVED, RequestState.LAUNCHED})


class Assurance(StrEnum):
    """How surely somebody is who they say, weakest first."""

    OS_USER = "os-user"
    CI_OIDC = "ci-oidc"
    SSH_SIGNATURE = "ssh-signature"

    @property
    def rank(self) -> int:
        """Position from the weakest, 0, on."""
        return list(Assurance).index(self)


class Level(StrEnum):
    """What a finding of a policy does, mildest first."""

    ADVISE = "advise"
    APPROVE = "approve"
    DENY = "deny"

    @property
    def rank(self) -> int:
        """Position from the mildest, 0, on."""
        return list(Level).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A limit on what may be committed in a period, `soft_ppm` of which warns; every cent counts in the parents too."""

    id: str
    period: Period
    limit_usd_micro: int
    soft_ppm: int | None = None
    parent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetState:
    """A budget in one period ("2026-11", or "total"): reserved and not yet spent, spent, and what is left."""

    budget: Budget
    period_key: str
    pending_usd_micro: int
    posted_usd_micro: int

    @property
    def left_usd_micro(self) -> int:
        """Below zero after an overrun: real money is posted in full."""
        return self.budget.limit_usd_micro - self.pending_usd_micro - self.posted_usd_micro


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who acts: a name, how surely it is theirs, and the key or workflow that says so."""

    name: str
    assurance: Assurance
    key: str = ""
    """Fingerprint of the key, subject of the token, or the user's number: two names with one key are one person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a policy says of a plan: the rule or limit, its level, and a sentence with the numbers."""

    rule: str
    level: Level
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Approvals that are needed: how many, from which groups, at least how sure, and who may not give them."""

    approvals: int
    groups: tuple[str, ...]
    assurance: Assurance
    distinct: bool = True
    requester_may_approve: bool = False
    tier_up_to_usd_micro: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a policy decides of an action: denied, approvals needed, or free to go; with every finding."""

    findings: tuple[Finding, ...]
    need: Need
    policy_sha256: str
    budgets: tuple[BudgetState, ...]
    """Those that the action counts against, parents included, as they stood."""
    judged_usd_micro: int
    """What the tier was chosen for: the cap and what requester and budgets committed in the last 24 hours."""

    @property
    def denied(self) -> bool:
        """Whether any finding denies."""
        return any(one.level is Level.DENY for one in self.findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One signed statement on an action: approve or reject, by whom, within which time, once."""

    action_sha256: str
    cap_usd_micro: int
    currency: str
    budgets: tuple[str, ...]
    policy_sha256: str
    decision: str
    """approve or reject."""
    approver: str
    not_before: datetime
    expires_at: datetime
    nonce: str
    """32 hexadecimal digits; a statement is used at most once."""
    request_id: str

    def document(self) -> dict[str, object]:
        """Return the statement as canonical JSON holds it: what is signed."""
        return {
            "schema": "tunefare.approval/v1",
            "action_sha256": self.action_sha256,
            "cap_usd_micro": self.cap_usd_micro,
            "currency": self.currency,
            "budgets": list(self.budgets),
            "policy_sha256": self.policy_sha256,
            "decision": self.decision,
            "approver": self.approver,
            "not_before": self.not_before.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "expires_at": self.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "nonce": self.nonce,
            "request_id": self.request_id,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Somebody wants an action: what, under which policy, charged to which budgets, and how far it has come."""

    id: str
    action_sha256: str
    plan_sha256: str
    policy_sha256: str
    price_snapshot_sha256: str
    requester: Principal
    cap_usd_micro: int
    budgets: tuple[str, ...]
    """All that are charged, parents included, sorted."""
    period_keys: tuple[str, ...]
    """Months that the run touches, for budgets by the month; both are charged the whole cap."""
    made_at: datetime
    expires_at: datetime
    state: RequestState
    approvals_needed: int
    approvals: tuple[GivenApproval, ...] = ()
    settled_usd_micro: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenApproval:
    """An approval that was verified and recorded."""

    statement_sha256: str
    nonce: str
    approver: Principal
    group: str
    given_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """One link of the chain: `hash` is the SHA-256 of the previous hash and this body's canonical form."""

    sequence: int
    at: datetime
    kind: str
    body: str
    """Canonical JSON."""
    previous: str
    hash: str


def period_keys(start: datetime, end: datetime) -> tuple[str, ...]:
    """Return the months in UTC that a span touches, "2026-11" first; one or more."""
    keys = []
    year, month = start.year, start.month
    while (year, month) <= (end.year, end.month):
        keys.append(f"{year:04d}-{month:02d}")
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return tuple(keys) or (f"{start.year:04d}-{start.month:02d}",)


def chain_of(budgets: Sequence[Budget], ids: Sequence[str]) -> tuple[str, ...]:
    """Return the ids with all their parents, sorted. Raises KeyError for an unknown id, ValueError for a ring."""
    by_id = {one.id: one for one in budgets}
    found: set[str] = set()
    for start in ids:
        seen: set[str] = set()
        at: str | None = start
        while at is not None:
            if at in seen:
                raise ValueError(f"the parents of budget {start} form a ring")
            seen.add(at)
            at = by_id[at].parent
        found |= seen
    return tuple(sorted(found))
