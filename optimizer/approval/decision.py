"""Decides what a policy says of a plan: denied, approvals needed, or free to go. Whatever goes wrong in it denies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .decision_limits import default_findings, dollars, limit_findings
from .records import Decision, Finding, Level, chain_of
from .rules import Counter
from .rules_check import RuleError
from .rules_facts import offer_facts, plan_facts, request_facts, whole_facts
from .tiers import NOTHING, need_of, raised, tier_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from .plan_file import PlanFile
    from .policy_terms import Policy, Rule
    from .records import Budget, BudgetState, Need, Principal

PPM = 1_000_000
LONGEST_FUTURE_S = 300
"""Clocks differ by less; a plan from further ahead would never grow old."""


def decide(
    policy: Policy,
    plan: PlanFile,
    *,
    now: datetime,
    requester: Principal | None,
    states: tuple[BudgetState, ...],
    committed_usd_micro: int,
) -> Decision:
    """Return what the policy decides of a plan's action, with every finding. Never raises: an error in it denies.

    `states` are the budgets as the ledger has them, in every period that the run touches; `committed_usd_micro` is
    what the requester and these budgets committed in the last 24 hours. Whether the budgets suffice is no finding:
    `lacking` says it, and the ledger has the last word.
    """
    judged = plan.action.cap_usd_micro + max(0, committed_usd_micro)
    kept: tuple[BudgetState, ...] = ()
    try:
        kept = _charged(policy, plan, states)
        findings = [
            *_time_findings(plan, now),
            *default_findings(policy.defaults, plan, now),
            *(found for limit in policy.limits for found in limit_findings(limit, plan, now)),
            *_rule_findings(policy, plan, now, request_facts(requester, max(0, committed_usd_micro), judged)),
            *_budget_findings(policy, plan, kept),
        ]
        tiered, need = _tiered(policy, judged, findings)
        findings.extend(tiered)
    except Exception as err:  # noqa: BLE001  # fail closed: what cannot be judged is not allowed
        message = f"the policy could not be judged ({type(err).__name__}): nothing is allowed"
        findings, need = [Finding(rule="policy", level=Level.DENY, message=message)], NOTHING
    return Decision(
        findings=tuple(findings),
        need=need,
        policy_sha256=policy.sha256,
        budgets=kept,
        judged_usd_micro=judged,
    )


def lacking(states: Sequence[BudgetState], usd_micro: int) -> tuple[tuple[BudgetState, int], ...]:
    """Return the budgets that an amount does not fit into, each with the micro-dollars that are missing."""
    return tuple((one, usd_micro - one.left_usd_micro) for one in states if usd_micro > one.left_usd_micro)


def _time_findings(plan: PlanFile, now: datetime) -> Iterator[Finding]:
    """Yield what the times in a plan say against it: a moment from the future would never be too old."""
    newest = max(plan.made_at, *(one.observed_at for one in plan.quotes))
    if (newest - now).total_seconds() > LONGEST_FUTURE_S:
        yield Finding(
            rule="time", level=Level.DENY, message="the plan, or a price in it, is from the future: check the clock"
        )
    deadline = plan.action.deadline_at
    if deadline is not None and deadline <= now:
        yield Finding(rule="time", level=Level.DENY, message="its deadline is over: plan again")


def _rule_findings(policy: Policy, plan: PlanFile, now: datetime, request: dict[str, object]) -> Iterator[Finding]:
    facts = {"plan": plan_facts(plan, now), "request": request}
    for rule in policy.rules:
        try:
            if _holds(rule, plan, facts):
                yield Finding(rule=rule.name, level=rule.level, message=rule.message)
        except RuleError as err:
            yield Finding(rule=rule.name, level=Level.DENY, message=f"{policy.where}: rule {rule.name}: when {err}")


def _holds(rule: Rule, plan: PlanFile, facts: dict[str, dict[str, object]]) -> bool:
    fields = rule.compiled.fields
    known = {**facts, "action": whole_facts(plan.action, fields)}
    return rule.compiled.holds(known, offer_facts(plan.action, fields), steps=Counter())


def _charged(policy: Policy, plan: PlanFile, states: Sequence[BudgetState]) -> tuple[BudgetState, ...]:
    """Return the states of the budgets that the action counts against, parents included."""
    known = {one.id for one in policy.budgets}
    ids = chain_of(policy.budgets, [one for one in plan.action.budgets if one in known])
    return tuple(one for one in states if one.budget.id in ids)


def _budget_findings(policy: Policy, plan: PlanFile, kept: Sequence[BudgetState]) -> Iterator[Finding]:
    limits = {one.id: one for one in policy.budgets}
    charged = plan.action.budgets
    if policy.budgets and not charged:
        allowed = f"plan with --charge and one of {', '.join(sorted(limits)[:8])}"
        yield Finding(rule="budget", level=Level.DENY, message=f"no budget is charged: {allowed}")
    for name in charged:
        if name not in limits:
            yield Finding(rule="budget", level=Level.DENY, message=f"budget {name} is not in the policy")
    found = {one.budget.id for one in kept}
    for name in chain_of(policy.budgets, [one for one in charged if one in limits]):
        if name not in found:
            yield Finding(rule="budget", level=Level.DENY, message=f"budget {name} is not in the ledger")
    for state in kept:
        yield from _soft(state, limits[state.budget.id].soft_ppm, plan.action.cap_usd_micro)
        if state.budget.limit_usd_micro != limits[state.budget.id].limit_usd_micro:
            yield Finding(rule="budget", level=Level.ADVISE, message=_differs(state, limits[state.budget.id]))


def _soft(state: BudgetState, soft_ppm: int | None, cap_usd_micro: int) -> Iterator[Finding]:
    limit = state.budget.limit_usd_micro
    after = limit - state.left_usd_micro + cap_usd_micro
    if soft_ppm is not None and after * PPM > limit * soft_ppm:
        share = f"{after * 100 // limit} %" if limit else "all"
        message = (
            f"budget {state.budget.id} ({state.period_key}) would be used to {share} of {dollars(limit)}, "
            f"its soft limit is {soft_ppm / 10_000:g} %"
        )
        yield Finding(rule="soft_limit", level=Level.ADVISE, message=message)


def _differs(state: BudgetState, stated: Budget) -> str:
    return (
        f"budget {stated.id} has a limit of {dollars(state.budget.limit_usd_micro)} in the ledger, "
        f"{dollars(stated.limit_usd_micro)} in the policy"
    )


def _tiered(policy: Policy, judged: int, findings: Sequence[Finding]) -> tuple[list[Finding], Need]:
    """Return what the tiers say, and the approvals needed: those of the amount's tier, lifted where a finding asks."""
    tier = tier_of(policy.tiers, judged)
    if tier is None:
        most = dollars(policy.tiers[-1].up_to_usd_micro)
        message = f"{dollars(judged)} is above the last tier ({most}), counting what was committed in the last 24 hours"
        return [Finding(rule="tier", level=Level.DENY, message=message)], need_of(policy.tiers[-1])
    if not any(one.level is Level.APPROVE for one in findings):
        return [], need_of(tier)
    lifted = raised(policy.tiers, tier)
    if lifted is None:
        message = "an approval is asked for, and no tier says who may give it"
        return [Finding(rule="tier", level=Level.DENY, message=message)], need_of(tier)
    return [], need_of(lifted)
