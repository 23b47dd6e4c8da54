"""From a policy as written, checked, to the policy in force: defaults filled in, names resolved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.basis import Basis

from .policy_fields import MODELS
from .policy_terms import KINDS, CiIdentity, Defaults, LeastBasis, Limit, Rule, Tier
from .records import Assurance, Budget, Level, Period

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .policy_model import AgesInput, BasisInput, BpsInput, LimitInput, ListsInput, PolicyInput
    from .rules import CompiledRule

QUOTE_MAX_AGE_S: Mapping[str, int] = {"on_demand": 86_400, "spot": 900, "reserved": 86_400}
DRIFT_BPS: Mapping[str, int] = {"on_demand": 200, "spot": 1500, "reserved": 0}


def defaults_of(said: PolicyInput) -> Defaults:
    """Return what holds for every action; a pricing model that is left out keeps its own default."""
    values = said.defaults
    return Defaults(
        plan_max_age_s=values.plan_max_age,
        quote_max_age_s={**QUOTE_MAX_AGE_S, **_by_model(values.quote_max_age)},
        allow_list_price=values.allow_list_price,
        ledger_id=values.ledger_id,
        drift_bps={**DRIFT_BPS, **_by_model(values.drift_bps)},
        suspicious_drop_bps=values.suspicious_drop_bps,
        approval_ttl_s=values.approval_ttl,
        least_basis=_basis(values.least_basis),
    )


def tiers_of(said: PolicyInput) -> tuple[Tier, ...]:
    """Return the tiers, ascending."""
    return tuple(
        Tier(
            up_to_usd_micro=one.up_to,
            approvals=one.approvals,
            groups=tuple(one.groups),
            assurance=Assurance(one.assurance),
            distinct=one.distinct,
            requester_may_approve=one.requester_may_approve,
        )
        for one in said.tier
    )


def budgets_of(said: PolicyInput) -> tuple[Budget, ...]:
    """Return the budgets in the order of the file."""
    return tuple(
        Budget(
            id=one.id,
            period=Period(one.period),
            limit_usd_micro=one.limit,
            soft_ppm=one.soft,
            parent=one.parent,
        )
        for one in said.budget
    )


def limits_of(said: PolicyInput) -> tuple[Limit, ...]:
    """Return the limits in the order of the file."""
    return tuple(_limit(one) for one in said.limit)


def rules_of(said: PolicyInput, compiled: Mapping[int, CompiledRule]) -> tuple[Rule, ...]:
    """Return the rules in the order of the file; `compiled` goes from their place, from 0 on."""
    return tuple(
        Rule(name=one.name, level=Level(one.level), when=one.when, message=one.message, compiled=compiled[at])
        for at, one in enumerate(said.rule)
    )


def ci_of(said: PolicyInput) -> tuple[CiIdentity, ...]:
    """Return the workflows that may approve."""
    return tuple(
        CiIdentity(
            name=one.name,
            issuer=one.issuer,
            audience=one.audience,
            repository=one.repository,
            environment=one.environment,
            ref=one.ref,
            workflow=one.workflow,
            jwks=one.jwks,
        )
        for one in said.ci
    )


def _limit(said: LimitInput) -> Limit:
    return Limit(
        name=said.name,
        level=Level(said.level),
        message=said.message,
        allow=_lists(said.allow),
        deny=_lists(said.deny),
        max_usd_micro_per_hour=said.max_usd_per_hour,
        max_usd_micro_per_job=said.max_usd_per_job,
        max_duration_s=said.max_duration,
        max_gpus=said.max_gpus,
        max_price_age_s=_by_model(said.max_price_age),
        least_basis=None if said.least_basis is None else _basis(said.least_basis),
    )


def _lists(said: ListsInput) -> dict[str, tuple[str, ...]]:
    values = {kind: getattr(said, kind) for kind in KINDS}
    return {kind: tuple(names) for kind, names in values.items() if names is not None}


def _by_model(said: AgesInput | BpsInput) -> dict[str, int]:
    values = {model: getattr(said, model) for model in MODELS}
    return {model: value for model, value in values.items() if value is not None}


def _basis(said: BasisInput) -> LeastBasis:
    return LeastBasis(memory=Basis(said.memory), throughput=Basis(said.throughput))
