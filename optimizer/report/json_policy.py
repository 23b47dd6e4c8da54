"""The documents `tunefare.policy-lint/v1` and `tunefare.policy-test/v1`."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from optimizer.version import VERSION

from .json_text import JsonObject, to_text

if TYPE_CHECKING:
    from optimizer.approval.policy_cases import CaseResult
    from optimizer.approval.records import Decision
    from providers.errors import JobError

    from .policy_answers import CasesAnswer, LintAnswer

LINT_SCHEMA = "tunefare.policy-lint/v1"
TEST_SCHEMA = "tunefare.policy-test/v1"


def lint_text(answer: LintAnswer) -> str:
    """Return a policy in its canonical form, or what is wrong with it, as JSON text."""
    policy = answer.policy
    return to_text(
        {
            "schema": LINT_SCHEMA,
            "tool_version": VERSION,
            "file": answer.where,
            "valid": policy is not None,
            "policy_sha256": None if policy is None else policy.sha256,
            "policy": None if policy is None else cast("JsonObject", policy.document()),
            "problems": [_problem(one) for one in answer.problems],
            "hints": list(answer.notes),
        }
    )


def cases_text(answer: CasesAnswer) -> str:
    """Return what a policy decided of each case as JSON text."""
    return to_text(
        {
            "schema": TEST_SCHEMA,
            "tool_version": VERSION,
            "file": answer.policy.where,
            "policy_sha256": answer.policy.sha256,
            "failed": answer.failed,
            "cases": [_case(one) for one in answer.results],
        }
    )


def decision_document(decision: Decision) -> JsonObject:
    """Return a decision: what is needed, and every finding."""
    need = decision.need
    return {
        "denied": decision.denied,
        "judged_usd_micro": decision.judged_usd_micro,
        "need": {
            "approvals": need.approvals,
            "from": list(need.groups),
            "assurance": need.assurance.value,
            "distinct": need.distinct,
            "requester_may_approve": need.requester_may_approve,
            "tier_up_to_usd_micro": need.tier_up_to_usd_micro,
        },
        "findings": [{"rule": one.rule, "level": one.level.value, "message": one.message} for one in decision.findings],
        "policy_sha256": decision.policy_sha256,
    }


def _case(result: CaseResult) -> JsonObject:
    return {
        "name": result.case.name,
        "passed": result.passed,
        "expected": result.case.expect,
        "decided": result.outcome,
        "differences": list(result.differences),
        "cap_usd_micro": result.case.plan.action.cap_usd_micro,
        "decision": decision_document(result.decision),
    }


def _problem(problem: JobError) -> JsonObject:
    return {"key": problem.key, "allowed": problem.allowed, "message": str(problem)}
