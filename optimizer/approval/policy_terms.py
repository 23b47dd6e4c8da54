"""What a policy says, read and complete: defaults, tiers, budgets, limits, rules, groups, identities, and its digest.

Money is integer micro-dollars, spans are whole seconds, ratios parts per million or hundredths of a per cent (bps).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from .canonical import sha256_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.basis import Basis

    from .records import Assurance, Budget, Level
    from .rules import CompiledRule

SCHEMA = "tunefare.policy/v1"
KINDS = ("provider", "region", "gpu", "pricing_model")
"""What the allow and deny lists of a limit name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeastBasis:
    """The weakest basis that an estimate may rest on: `derived` refuses what is `assumed`."""

    memory: Basis
    throughput: Basis

    def document(self) -> dict[str, object]:
        """Return the form that digests are taken of."""
        return {"memory": self.memory.value, "throughput": self.throughput.value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What holds for every action. The tables go from pricing model (on_demand, spot, reserved) to the figure."""

    plan_max_age_s: int
    quote_max_age_s: Mapping[str, int]
    """Of the fresh quote at launch."""
    allow_list_price: bool
    ledger_id: str | None
    drift_bps: Mapping[str, int]
    suspicious_drop_bps: int
    approval_ttl_s: int
    least_basis: LeastBasis

    def document(self) -> dict[str, object]:
        """Return the form that digests are taken of."""
        return {
            "plan_max_age_s": self.plan_max_age_s,
            "quote_max_age_s": dict(self.quote_max_age_s),
            "allow_list_price": self.allow_list_price,
            "ledger_id": self.ledger_id,
            "drift_bps": dict(self.drift_bps),
            "suspicious_drop_bps": self.suspicious_drop_bps,
            "approval_ttl_s": self.approval_ttl_s,
            "least_basis": self.least_basis.document(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """Amounts up to `up_to_usd_micro`, that included, need so many approvals, from members of these groups."""

    up_to_usd_micro: int
    approvals: int
    groups: tuple[str, ...]
    assurance: Assurance
    distinct: bool
    requester_may_approve: bool

    def document(self) -> dict[str, object]:
        """Return the form that digests are taken of."""
        return {
            "up_to_usd_micro": self.up_to_usd_micro,
            "approvals": self.approvals,
            "groups": list(self.groups),
            "assurance": self.assurance.value,
            "distinct": self.distinct,
            "requester_may_approve": self.requester_may_approve,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Limits under one name and one level; None and an absent list limit nothing.

    `allow` and `deny` go from one of KINDS to names or patterns with "*", compared without regard to case.
    """

    name: str
    level: Level
    message: str | None = None
    allow: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    deny: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    max_usd_micro_per_hour: int | None = None
    max_usd_micro_per_job: int | None = None
    max_duration_s: int | None = None
    max_gpus: int | None = None
    max_price_age_s: Mapping[str, int] = field(default_factory=dict)
    """By pricing model."""
    least_basis: LeastBasis | None = None

    def document(self) -> dict[str, object]:
        """Return the form that digests are taken of."""
        return {
            "name": self.name,
            "level": self.level.value,
            "message": self.message,
            "allow": {kind: list(names) for kind, names in self.allow.items()},
            "deny": {kind: list(names) for kind, names in self.deny.items()},
            "max_usd_micro_per_hour": self.max_usd_micro_per_hour,
            "max_usd_micro_per_job": self.max_usd_micro_per_job,
            "max_duration_s": self.max_duration_s,
            "max_gpus": self.max_gpus,
            "max_price_age_s": dict(self.max_price_age_s),
            "least_basis": None if self.least_basis is None else self.least_basis.document(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A condition in CEL, and what it does to an action that it holds for."""

    name: str
    level: Level
    when: str
    message: str
    compiled: CompiledRule = field(compare=False, repr=False)

    def document(self) -> dict[str, object]:
        """Return the form that digests are taken of."""
        return {"name": self.name, "level": self.level.value, "when": self.when, "message": self.message}


@dataclass(frozen=True, slots=True, kw_only=True)
class CiIdentity:
    """A workflow that may approve as a member of a group: what its identity token must claim. None: not looked at."""

    name: str
    issuer: str
    audience: str
    repository: str
    environment: str | None
    ref: str | None
    workflow: str | None
    jwks: str | None
    """A file beside the policy, or an https address; None: the issuer's own."""

    def document(self) -> dict[str, object]:
        """Return the form that digests are taken of."""
        return {
            "name": self.name,
            "issuer": self.issuer,
            "audience": self.audience,
            "repository": self.repository,
            "environment": self.environment,
            "ref": self.ref,
            "workflow": self.workflow,
            "jwks": self.jwks,
        }


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A policy in force. `where` names the file in messages; `files` are the files that it names, by name, as read."""

    where: str
    currency: str
    defaults: Defaults
    tiers: tuple[Tier, ...]
    """Ascending; above the last one everything is denied."""
    budgets: tuple[Budget, ...]
    limits: tuple[Limit, ...]
    rules: tuple[Rule, ...]
    groups: Mapping[str, tuple[str, ...]]
    ci: tuple[CiIdentity, ...]
    allowed_signers: str | None
    files: Mapping[str, bytes] = field(repr=False)
    file_digests: Mapping[str, str]

    @property
    def ledger_id(self) -> str | None:
        """The ledger that this policy is judged with; None where any will do."""
        return self.defaults.ledger_id

    @property
    def allowed_signers_data(self) -> bytes | None:
        """What the file of allowed signers held when the policy was read; None where the policy names none."""
        return None if self.allowed_signers is None else self.files[self.allowed_signers]

    @cached_property
    def sha256(self) -> str:
        """The digest of what the policy means: not of its comments, its spelling, or the order of its tables' keys."""
        return sha256_of(self.document())

    def document(self) -> dict[str, object]:
        """Return the policy as canonical JSON holds it: every default filled in, every file it names as its digest."""
        return {
            "schema": SCHEMA,
            "currency": self.currency,
            "defaults": self.defaults.document(),
            "tiers": [one.document() for one in self.tiers],
            "budgets": [
                {
                    "id": one.id,
                    "period": one.period.value,
                    "limit_usd_micro": one.limit_usd_micro,
                    "soft_ppm": one.soft_ppm,
                    "parent": one.parent,
                }
                for one in sorted(self.budgets, key=lambda one: one.id)
            ],
            "limits": [one.document() for one in self.limits],
            "rules": [one.document() for one in self.rules],
            "groups": {name: sorted(members) for name, members in self.groups.items()},
            "ci": [one.document() for one in self.ci],
            "allowed_signers": self.allowed_signers,
            "files": [{"name": name, "sha256": digest} for name, digest in sorted(self.file_digests.items())],
        }
