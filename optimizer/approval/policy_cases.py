"""Judges the cases of a file by a policy: a team's test of its own policy, before anybody's money depends on it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from providers.errors import ApprovalError, JobError

from .action import LARGEST_MICRO, LONGEST_S, Action, OfferTerms, Placement
from .decision import decide, lacking
from .plan_file import PlanFile, StoredQuote, plan_file_of
from .policy import complaints, read_toml
from .policy_cases_model import CasesInput
from .records import Assurance, Budget, BudgetState, Level, Period, Principal, chain_of, period_keys
from .rules_facts import ROOTS, offer_facts, plan_facts, request_facts, whole_facts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .policy import ReadFile
    from .policy_cases_model import CaseInput
    from .policy_terms import Policy
    from .records import Decision

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
"""When cases play that name no plan; with one it is the moment that the plan was made."""
NANO_PER_MICRO, HOUR_S = 1000, 3600
SAID: Mapping[str, Any] = {
    "provider": "example-cloud", "region": "example-region", "zone": None, "variant": None,
    "instance_type": "example.8x", "pricing_model": "on_demand", "usd_per_hour": 1_000_000, "gpu": "A100-SXM-80GB",
    "gpus_per_node": 1, "nodes": 1, "runs": 1, "method": "lora", "quantization_bits": 16, "time_limit": HOUR_S,
    "fixed": 0, "fallbacks": (), "account": None, "model": "example/model", "objective": "sft", "executor": "none",
    "budgets": (), "cost": None, "duration": None, "memory_basis": "published", "throughput_basis": "published",
    "price_class": "live", "plan_age": 60, "price_age": 60, "requester": "requester@example.com",
    "assurance": "os-user", "committed": 0, "used": {},
}  # fmt: skip
"""What a case is about where it says nothing else: an hour of one machine, a dollar an hour, an ordinary run."""
OF_CASE = frozenset({"requester", "assurance", "committed", "used", "plan", "plan_age"})
"""What may be said beside a plan; the rest is in the plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A case, ready to be judged."""

    name: str
    expect: str
    approvals: int | None
    groups: tuple[str, ...] | None
    findings: tuple[str, ...] | None
    plan: PlanFile
    now: datetime
    requester: Principal
    committed_usd_micro: int
    used: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """What a policy decided of a case, and every way in which that is not what was expected."""

    case: Case
    decision: Decision
    outcome: str
    differences: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether all is as expected."""
        return not self.differences


def load_cases(data: bytes, *, where: str, read_file: ReadFile | None = None) -> tuple[Case, ...]:
    """Return the cases that bytes of TOML hold. Raises JobError naming the first problem.

    `read_file` returns the bytes of a plan that a case names, beside the file of cases.
    """
    try:
        said = CasesInput.model_validate(read_toml(data, where=where))
    except ValidationError as err:
        raise complaints(err, CasesInput, where)[0] from err
    names = [one.name for one in said.case]
    for at, name in enumerate(names, 1):
        if name in names[: at - 1]:
            raise JobError(where=where, key=f"case {at}: name", value=name, allowed="each name once")
    base = _values(said.base)
    return tuple(_case(one, base, f"{where}: case {one.name!r}", read_file) for one in said.case)


def judge(policy: Policy, case: Case) -> CaseResult:
    """Return what the policy decides of a case, compared with what was expected."""
    decision = decide(
        policy,
        case.plan,
        now=case.now,
        requester=case.requester,
        states=_states(policy, case),
        committed_usd_micro=case.committed_usd_micro,
    )
    outcome = outcome_of(decision, case.plan.action.cap_usd_micro)
    return CaseResult(
        case=case, decision=decision, outcome=outcome, differences=tuple(_differences(case, decision, outcome))
    )


def outcome_of(decision: Decision, cap_usd_micro: int) -> str:
    """Return what a decision comes to: deny, over-budget, approve or allow."""
    if decision.denied:
        return "deny"
    if lacking(decision.budgets, cap_usd_micro):
        return "over-budget"
    return "approve" if decision.need.approvals else "allow"


def _differences(case: Case, decision: Decision, outcome: str) -> list[str]:
    found: list[str] = []
    need = decision.need
    if outcome != case.expect:
        found.append(f"{case.expect} expected, {outcome} decided")
        found.extend(f"{one.rule}: {one.message}" for one in decision.findings if one.level is Level.DENY)
    if case.approvals is not None and case.approvals != need.approvals:
        found.append(f"{case.approvals} approvals expected, {need.approvals} needed")
    if case.groups is not None and set(case.groups) != set(need.groups):
        found.append(f"from {_listed(case.groups)} expected, from {_listed(need.groups)} needed")
    rules = {one.rule for one in decision.findings}
    if case.findings is not None:
        if missing := sorted(set(case.findings) - rules):
            found.append(f"not found: {_listed(missing)}")
        if surplus := sorted(rules - set(case.findings)):
            found.append(f"not expected, but found: {_listed(surplus)}")
    return found


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(names) or "nobody"


def _states(policy: Policy, case: Case) -> tuple[BudgetState, ...]:
    """Return the policy's budgets as if the ledger had them, used as the case says."""
    known = {one.id for one in policy.budgets}
    ids = chain_of(policy.budgets, [one for one in case.plan.action.budgets if one in known])
    end = case.now + timedelta(seconds=max(one.time_limit_s for one in case.plan.action.placements))
    return tuple(
        BudgetState(budget=one, period_key=key, pending_usd_micro=0, posted_usd_micro=case.used.get(one.id, 0))
        for one in policy.budgets
        if one.id in ids
        for key in _keys(one, case.now, end)
    )


def _keys(budget: Budget, start: datetime, end: datetime) -> tuple[str, ...]:
    return period_keys(start, end) if budget.period is Period.MONTH else ("total",)


def _values(said: Any) -> dict[str, Any]:
    """Return what was said: not what was left out."""
    return {name: getattr(said, name) for name in type(said).model_fields if getattr(said, name) is not None}


def _case(said: CaseInput, base: dict[str, Any], where: str, read_file: ReadFile | None) -> Case:
    own = _values(said)
    values: dict[str, Any] = {**SAID, **base, **own}
    if "plan" in values:
        plan = _planned(own, values, where, read_file)
        now = plan.made_at + timedelta(seconds=own.get("plan_age", base.get("plan_age", 0)))
    else:
        plan, now = _plan(values, where), NOW
    return Case(
        name=said.name,
        expect=said.expect,
        approvals=said.approvals,
        groups=None if said.groups is None else tuple(said.groups),
        findings=None if said.findings is None else tuple(said.findings),
        plan=plan,
        now=now,
        requester=Principal(name=values["requester"], assurance=Assurance(values["assurance"])),
        committed_usd_micro=values["committed"],
        used=values["used"],
    )


def _planned(own: dict[str, Any], values: dict[str, Any], where: str, read_file: ReadFile | None) -> PlanFile:
    for key, value in own.items():
        if key in SAID and key not in OF_CASE:
            raise JobError(where=where, key=key, value=str(value), allowed="not beside a plan, which says it itself")
    name = values["plan"]
    if read_file is None:
        raise JobError(where=where, key="plan", value=name, allowed="a file that can be read with the cases")
    try:
        return plan_file_of(read_file(name), where=name)
    except (ApprovalError, JobError) as err:
        raise JobError(where=where, key="plan", value=name, allowed=f"a plan file ({err})") from err


def _plan(values: dict[str, Any], where: str) -> PlanFile:
    """Return the plan that a case describes: as `plan --output` would have written it, as far as policies look."""
    tables = [_values(one) for one in values.get("placements", ())] or [{}]
    placements = tuple(_placement({**values, **one}, where) for one in tables)
    cap = values.get("cap", sum(_cost(one) for one in placements))
    if cap > LARGEST_MICRO:
        raise JobError(where=where, key="cap", value=cap // 10**6, allowed="at most a thousand million dollars")
    action = Action(
        placements=placements,
        account=values["account"],
        model=values["model"],
        objective=values["objective"],
        dataset_sha256=None,
        executor=values["executor"],
        currency="USD",
        cap_usd_micro=cap,
        budgets=tuple(values["budgets"]),
        deadline_at=None,
    )
    made_at = NOW - timedelta(seconds=values["plan_age"])
    expected = cap if values["cost"] is None else values["cost"]
    longest = max(one.time_limit_s for one in placements)
    return PlanFile(
        path=where,
        file_sha256="0" * 64,
        plan_sha256="0" * 64,
        action=action,
        document={},
        made_at=made_at,
        price_snapshot_sha256="0" * 64,
        quotes=tuple(_quote(one, values) for one in placements),
        duration_high_s=longest if values["duration"] is None else values["duration"],
        cost_expected_usd_micro=expected,
        cost_high_usd_micro=max(cap, expected),
        memory_basis=values["memory_basis"],
        throughput_basis=values["throughput_basis"],
    )


def _quote(placement: Placement, values: dict[str, Any]) -> StoredQuote:
    return StoredQuote(
        unit_price_nano=placement.offer.max_unit_price_nano,
        observed_at=NOW - timedelta(seconds=values["price_age"]),
        price_class=values["price_class"],
    )


def _placement(values: dict[str, Any], where: str) -> Placement:
    for key in ("gpus_per_node", "nodes", "runs", "quantization_bits"):
        if not values[key]:
            raise JobError(where=where, key=key, value=0, allowed="at least 1")
    return Placement(
        offer=_terms(values),
        gpu=values["gpu"],
        gpus_per_node=values["gpus_per_node"],
        nodes=values["nodes"],
        runs=values["runs"],
        method=values["method"],
        quantization_bits=values["quantization_bits"],
        time_limit_s=min(values["time_limit"], LONGEST_S),
        fixed_usd_micro=values["fixed"],
        fallbacks=tuple(_terms({**values, **_values(one)}) for one in values["fallbacks"]),
    )


def _terms(values: dict[str, Any]) -> OfferTerms:
    return OfferTerms(
        provider=values["provider"],
        region=values["region"],
        zone=values["zone"],
        variant=values["variant"],
        instance_type=values["instance_type"],
        pricing_model=values["pricing_model"],
        max_unit_price_nano=values["usd_per_hour"] * NANO_PER_MICRO,
    )


def _cost(placement: Placement) -> int:
    """Return the most that a placement may cost, in micro-dollars, rounded up."""
    nano_s = placement.offer.max_unit_price_nano * placement.time_limit_s * placement.nodes * placement.runs
    return -(-nano_s // (NANO_PER_MICRO * HOUR_S)) + placement.fixed_usd_micro


def ordinary_facts() -> dict[str, dict[str, object]]:
    """Return what rules see of an ordinary run, where nothing else is said."""
    plan = _plan({**SAID, "budgets": ("example",)}, "an ordinary run")
    action = {**whole_facts(plan.action, ROOTS["action"]), **next(offer_facts(plan.action, ROOTS["action"]))}
    asked = request_facts(Principal(name=SAID["requester"], assurance=Assurance.OS_USER), 0, plan.action.cap_usd_micro)
    return {"action": action, "plan": plan_facts(plan, NOW), "request": asked}
