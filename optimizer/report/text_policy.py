"""A policy, and a policy tested, as a person reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.approval.decision_limits import dollars
from providers.units import format_duration

from .colour import Meaning
from .table import Column, format_heading, format_list, format_pairs, format_paragraph, format_table, join_sections

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optimizer.approval.policy_cases import CaseResult
    from optimizer.approval.policy_terms import Limit, Policy

    from .policy_answers import CasesAnswer, LintAnswer
    from .style import Style

DIGITS = 12
"""Of a digest, where it is shown to be recognised and not to be compared."""


def format_lint(answer: LintAnswer, style: Style) -> str:
    """Return the problems of a policy file; or, where there are none, what the policy says, and hints."""
    if answer.policy is None:
        count = len(answer.problems)
        title = f"{answer.where}: {count} problem{'' if count == 1 else 's'}: nothing is allowed by this policy"
        head = style.paint(style.plain(title), Meaning.BROKEN)
        items = [f"{one.key}: {str(one).split(f'{one.key} = ', 1)[-1]}" for one in answer.problems]
        return join_sections([[head, *format_list(items, style)]])
    return join_sections(
        [
            _head(answer.policy, style),
            _tiers(answer.policy, style),
            _budgets(answer.policy, style),
            _rules(answer.policy, style),
            [format_heading("Hints", "", style), *format_list(answer.notes, style)] if answer.notes else [],
        ]
    )


def format_cases(answer: CasesAnswer, style: Style) -> str:
    """Return a table of the cases, whatever did not come out as expected under it, and the count."""
    columns = [
        Column(title=""),
        Column(title="case", shrinks=True, smallest=24),
        Column(title="decided"),
        Column(title="expected"),
        Column(title="found", shrinks=True, optional=True),
    ]
    rows = [_row(one) for one in answer.results]
    failed = [one for one in answer.results if not one.passed]
    details = [line for one in failed for line in _failure(one, style)]
    total = len(answer.results)
    words = f"{total} cases pass" if not failed else f"{len(failed)} of {total} cases fail"
    verdict = style.paint(words, Meaning.BROKEN if failed else Meaning.GOOD)
    return join_sections(
        [
            [format_heading(f"Policy {answer.policy.where}", f"{answer.policy.sha256[:DIGITS]}", style)],
            format_table(columns, rows, style),
            details,
            [verdict],
        ]
    )


def _row(result: CaseResult) -> list[str]:
    decision = result.decision
    rules = dict.fromkeys(one.rule for one in decision.findings)
    asked = f" ({decision.need.approvals})" if result.outcome == "approve" else ""
    return [
        "pass" if result.passed else "FAIL",
        result.case.name,
        f"{result.outcome}{asked}",
        "" if result.outcome == result.case.expect else result.case.expect,
        ", ".join(rules),
    ]


def _failure(result: CaseResult, style: Style) -> list[str]:
    title = style.paint(style.plain(result.case.name), Meaning.BROKEN)
    return [title, *format_list(result.differences, style)]


def _head(policy: Policy, style: Style) -> list[str]:
    values = policy.defaults
    ages = ", ".join(f"{name.replace('_', '-')} {format_duration(age)}" for name, age in values.quote_max_age_s.items())
    drift = ", ".join(f"{name.replace('_', '-')} {bps / 100:g} %" for name, bps in values.drift_bps.items())
    basis = f"memory {values.least_basis.memory.value}, throughput {values.least_basis.throughput.value}"
    pairs = [
        ("problems", "none"),
        ("digest", policy.sha256),
        ("ledger", policy.ledger_id or "any"),
        ("plans", f"at most {format_duration(values.plan_max_age_s)} old"),
        ("quotes", f"at launch at most: {ages}"),
        ("drift", f"up to {drift}; a fall of {values.suspicious_drop_bps / 100:g} % is suspicious"),
        ("list prices", "allowed" if values.allow_list_price else "not allowed"),
        ("least basis", basis),
        ("approvals", f"expire after {format_duration(values.approval_ttl_s)}"),
        *(("signers", one) for one in ([policy.allowed_signers] if policy.allowed_signers else [])),
    ]
    return [format_heading(f"Policy {policy.where}", "", style), *format_pairs(pairs, style)]


def _tiers(policy: Policy, style: Style) -> list[str]:
    columns = [
        Column(title="up to", right=True),
        Column(title="approvals", right=True),
        Column(title="from", shrinks=True),
        Column(title="assurance"),
        Column(title="requester"),
    ]
    rows = [
        [
            dollars(one.up_to_usd_micro),
            str(one.approvals),
            ", ".join(one.groups),
            one.assurance.value if one.approvals else "",
            ("may approve" if one.requester_may_approve else "may not") if one.approvals else "",
        ]
        for one in policy.tiers
    ]
    aside = f"above {dollars(policy.tiers[-1].up_to_usd_micro)}: denied"
    return [format_heading("Tiers", aside, style), *format_table(columns, rows, style)]


def _budgets(policy: Policy, style: Style) -> list[str]:
    if not policy.budgets:
        return []
    columns = [
        Column(title="budget", shrinks=True),
        Column(title="limit", right=True),
        Column(title="per"),
        Column(title="warns at", right=True),
        Column(title="within", shrinks=True),
    ]
    rows = [
        [
            one.id,
            dollars(one.limit_usd_micro),
            one.period.value,
            "" if one.soft_ppm is None else f"{one.soft_ppm / 10_000:g} %",
            one.parent or "",
        ]
        for one in policy.budgets
    ]
    return [format_heading("Budgets", "", style), *format_table(columns, rows, style)]


def _rules(policy: Policy, style: Style) -> list[str]:
    rows = [
        *([one.name, one.level.value, "; ".join(_limits(one))] for one in policy.limits),
        *([one.name, one.level.value, one.message] for one in policy.rules),
    ]
    if not rows:
        return []
    lines = [format_heading("Limits and rules", "", style)]
    for name, level, what in rows:
        lines += format_paragraph(f"{name} ({level}): {what}", style, indent="    ", first="  ")
    return lines


def _limits(limit: Limit) -> Iterator[str]:
    for kind, names in limit.allow.items():
        yield f"{kind.replace('_', ' ')} only {', '.join(names)}"
    for kind, names in limit.deny.items():
        yield f"{kind.replace('_', ' ')} not {', '.join(names)}"
    if limit.max_usd_micro_per_hour is not None:
        yield f"at most {dollars(limit.max_usd_micro_per_hour)} an hour"
    if limit.max_usd_micro_per_job is not None:
        yield f"at most {dollars(limit.max_usd_micro_per_job)}"
    if limit.max_duration_s is not None:
        yield f"at most {format_duration(limit.max_duration_s)}"
    if limit.max_gpus is not None:
        yield f"at most {limit.max_gpus} GPUs"
    for model, age in limit.max_price_age_s.items():
        yield f"{model.replace('_', '-')} prices at most {format_duration(age)} old"
    if limit.least_basis is not None:
        yield f"memory at least {limit.least_basis.memory.value}, throughput {limit.least_basis.throughput.value}"
