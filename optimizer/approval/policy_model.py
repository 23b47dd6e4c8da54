"""The policy file as written: pydantic models that know no key but these. Every value is checked for kind and range.

Whether the parts go together (groups, parents, tiers that ascend) is asked in `policy_checks`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from .policy_fields import (
    MODELS,
    Address,
    Approvals,
    AssuranceWord,
    BasisWord,
    Bps,
    CurrencyWord,
    DropBps,
    FilePath,
    Gpus,
    LevelWord,
    Member,
    Message,
    Money,
    Name,
    Pattern,
    PeriodWord,
    PricingWord,
    RuleText,
    SchemaWord,
    Share,
    Span,
    Truth,
    span_s,
)

MOST_TIERS, MOST_TABLES, MOST_MEMBERS = 64, 1000, 10_000


class Model(BaseModel):
    """A table that refuses what it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AgesInput(Model):
    """A greatest age for each pricing model."""

    on_demand: Span | None = None
    spot: Span | None = None
    reserved: Span | None = None


class BpsInput(Model):
    """Hundredths of a per cent for each pricing model."""

    on_demand: Bps | None = None
    spot: Bps | None = None
    reserved: Bps | None = None


class BasisInput(Model):
    """The weakest basis that is good enough."""

    memory: BasisWord = "assumed"
    throughput: BasisWord = "assumed"


class DefaultsInput(Model):
    """`[defaults]`: what is left out is as in the documentation's example, but for the least basis: any will do."""

    plan_max_age: Span = 7 * 86_400
    quote_max_age: AgesInput = AgesInput()
    allow_list_price: Truth = False
    ledger_id: Name | None = None
    drift_bps: BpsInput = BpsInput()
    suspicious_drop_bps: DropBps = 5000
    approval_ttl: Span = 86_400
    least_basis: BasisInput = BasisInput()


class TierInput(Model):
    """`[[tier]]`."""

    up_to: Money
    approvals: Approvals
    groups: list[Name] = Field(default=[], alias="from", max_length=MOST_TABLES)
    assurance: AssuranceWord = "ssh-signature"
    distinct: Truth = True
    requester_may_approve: Truth = False


class BudgetInput(Model):
    """`[[budget]]`."""

    id: Name
    period: PeriodWord
    limit: Money
    soft: Share | None = None
    parent: Name | None = None


class ListsInput(Model):
    """The allow or deny lists of a limit."""

    provider: list[Pattern] | None = Field(default=None, max_length=MOST_TABLES)
    region: list[Pattern] | None = Field(default=None, max_length=MOST_TABLES)
    gpu: list[Pattern] | None = Field(default=None, max_length=MOST_TABLES)
    pricing_model: list[PricingWord] | None = Field(default=None, max_length=len(MODELS))


def _ages(value: object) -> object:
    """One span stands for every pricing model."""
    return dict.fromkeys(MODELS, value) if isinstance(value, str) and span_s(value) else value


class LimitInput(Model):
    """`[[limit]]`."""

    name: Name
    level: LevelWord = "deny"
    message: Message | None = None
    allow: ListsInput = ListsInput()
    deny: ListsInput = ListsInput()
    max_usd_per_hour: Money | None = None
    max_usd_per_job: Money | None = None
    max_duration: Span | None = None
    max_gpus: Gpus | None = None
    max_price_age: Annotated[AgesInput, BeforeValidator(_ages)] = AgesInput()
    least_basis: BasisInput | None = None


class RuleInput(Model):
    """`[[rule]]`."""

    name: Name
    level: LevelWord
    when: RuleText
    message: Message


class CiInput(Model):
    """`[[ci]]`: a workflow that may approve."""

    name: Member
    issuer: Address
    audience: Member
    repository: Member
    environment: Member | None = None
    ref: Member | None = None
    workflow: Member | None = None
    jwks: FilePath | Address | None = None


class PolicyInput(Model):
    """The whole file."""

    schema_: SchemaWord = Field(alias="schema")
    currency: CurrencyWord
    allowed_signers: FilePath | None = None
    defaults: DefaultsInput = DefaultsInput()
    tier: list[TierInput] = Field(max_length=MOST_TIERS)
    budget: list[BudgetInput] = Field(default=[], max_length=MOST_TABLES)
    limit: list[LimitInput] = Field(default=[], max_length=MOST_TABLES)
    rule: list[RuleInput] = Field(default=[], max_length=MOST_TABLES)
    ci: list[CiInput] = Field(default=[], max_length=MOST_TABLES)
    groups: dict[Name, list[Member]] = Field(default={}, max_length=MOST_TABLES)
