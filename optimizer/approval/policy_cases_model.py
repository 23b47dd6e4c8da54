"""The file of cases that a policy is tested with, as written: what is asked for, by whom, and what is to come of it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

from .policy_fields import (
    Approvals,
    AssuranceWord,
    BasisWord,
    FilePath,
    Gpus,
    Member,
    Message,
    Money,
    Name,
    PricingWord,
    Span,
    word,
)
from .policy_model import Model

SCHEMA = "tunefare.policy-cases/v1"
OUTCOMES = ("allow", "approve", "deny", "over-budget")
MOST_CASES = 5000


def _age(value: object) -> object:
    """A price may be as fresh as can be, which no span says."""
    return "1s" if value == "0s" else value


Age = Annotated[Span, BeforeValidator(_age)]
SchemaWord = Annotated[str, word(SCHEMA), WithJsonSchema({"const": SCHEMA})]
Outcome = Annotated[str, word(*OUTCOMES), WithJsonSchema({"enum": list(OUTCOMES)})]
PriceWord = Annotated[str, word("live", "list", "own"), WithJsonSchema({"enum": ["live", "list", "own"]})]


class OfferInput(Model):
    """An offer; what is not said is as in the case around it."""

    provider: Member | None = None
    region: Member | None = None
    zone: Member | None = None
    variant: Member | None = None
    instance_type: Member | None = None
    pricing_model: PricingWord | None = None
    usd_per_hour: Money | None = None
    """The most that may be paid for one instance."""


class PlacementInput(OfferInput):
    """What is rented for how many runs; what is not said is as in the case around it."""

    gpu: Member | None = None
    gpus_per_node: Gpus | None = None
    nodes: Gpus | None = None
    runs: Gpus | None = None
    method: Member | None = None
    quantization_bits: Gpus | None = None
    time_limit: Span | None = None
    fixed: Money | None = None
    fallbacks: list[OfferInput] | None = Field(default=None, max_length=64)


class SituationInput(PlacementInput):
    """What is asked for, by whom, and how things stand: `[base]`, and every case on top of it."""

    plan: FilePath | None = None
    placements: list[PlacementInput] | None = Field(default=None, min_length=1, max_length=1000)
    account: Member | None = None
    model: Member | None = None
    objective: Member | None = None
    executor: Member | None = None
    budgets: list[Name] | None = Field(default=None, max_length=16)
    cap: Money | None = None
    cost: Money | None = None
    duration: Span | None = None
    memory_basis: BasisWord | None = None
    throughput_basis: BasisWord | None = None
    price_class: PriceWord | None = None
    plan_age: Age | None = None
    price_age: Age | None = None
    requester: Member | None = None
    assurance: AssuranceWord | None = None
    committed: Money | None = None
    used: dict[Name, Money] | None = Field(default=None, max_length=1000)


class CaseInput(SituationInput):
    """`[[case]]`: a situation, and what the policy is to decide of it."""

    name: Message
    expect: Outcome
    approvals: Approvals | None = None
    groups: list[Name] | None = Field(default=None, alias="from")
    findings: list[Name] | None = None


class CasesInput(Model):
    """The whole file."""

    schema_: SchemaWord = Field(alias="schema")
    base: SituationInput = SituationInput()
    case: list[CaseInput] = Field(min_length=1, max_length=MOST_CASES)
