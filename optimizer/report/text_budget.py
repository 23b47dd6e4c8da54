"""Budgets as a person reads them: spent, reserved and left, drawn as a bar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.approval.records import Period

from .colour import Meaning
from .figures import format_cents, format_percent
from .table import Column, format_heading, format_pairs, format_paragraph, format_table, join_sections

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.approval.records import Budget, BudgetState

    from .ledger_answers import BudgetsAnswer
    from .style import Style

CELLS = 24
PPM = 1_000_000
PERIODS = {Period.MONTH: "a month", Period.TOTAL: "in total"}
LIST_COLUMNS = (
    Column(title="budget", shrinks=True, smallest=12),
    Column(title="limit", right=True),
    Column(title="period"),
    Column(title="soft limit", right=True),
    Column(title="parent", shrinks=True),
)


def format_budget_list(answer: BudgetsAnswer, style: Style) -> str:
    """Return the limits as text, children under their parents."""
    heading = format_heading("Budgets", f"ledger {answer.ledger_id}", style)
    if not answer.budgets:
        return join_sections([[heading, *format_paragraph("None yet: tunefare budget set NAME --limit USD", style)]])
    rows = [
        [
            "  " * depth + budget.id,
            format_cents(budget.limit_usd_micro),
            budget.period.value,
            "" if budget.soft_ppm is None else format_percent(budget.soft_ppm / PPM),
            budget.parent or "",
        ]
        for budget, depth in zip(answer.budgets, answer.depths, strict=True)
    ]
    return join_sections([[heading, *format_table(LIST_COLUMNS, rows, style)]])


def format_budgets(answer: BudgetsAnswer, style: Style) -> str:
    """Return how budgets stand as text: a bar each, and what it means in dollars."""
    aside = f"{', '.join(answer.months)}, ledger {answer.ledger_id}"
    if not answer.budgets:
        return format_budget_list(answer, style)
    sections = [[format_heading("Budgets", aside, style)]]
    for budget, depth in zip(answer.budgets, answer.depths, strict=True):
        sections.append(_block(budget, depth, answer.states_of(budget), style))
    sections.append([style.paint(style.plain(f"  {_legend(style)}"), Meaning.ASIDE)])
    return join_sections(sections)


def format_budget_set(answer: BudgetsAnswer, name: str, style: Style) -> str:
    """Return what `budget set` did as text: what changed, then how the budget and its parents stand."""
    budget = next(one for one in answer.budgets if one.id == name)
    before = answer.before
    heading = format_heading(f"Budget {name}", answer.done or "", style)
    pairs = [
        ("Limit", _change(None if before is None else _limit(before), _limit(budget))),
        ("Soft limit", _change(None if before is None else _soft(before), _soft(budget))),
        ("Parent", _change(None if before is None else before.parent or "none", budget.parent or "none")),
    ]
    chain = zip(answer.budgets, answer.depths, strict=True)
    states = [_block(one, depth, answer.states_of(one), style) for one, depth in chain]
    cut = any(state.left_usd_micro < 0 for state in answer.states_of(budget))
    note = ["More is committed than the limit allows: nothing more is reserved until that changes."] if cut else []
    return join_sections(
        [
            [heading, *format_pairs(pairs, style)],
            *states,
            [line for text in note for line in format_paragraph(text, style)],
        ]
    )


def format_bar(state: BudgetState, style: Style, cells: int = CELLS) -> str:
    """Return spent, reserved and left as a bar. What is not nothing takes at least one cell."""
    limit = max(state.budget.limit_usd_micro, state.posted_usd_micro + state.pending_usd_micro, 1)
    spent = _cells(state.posted_usd_micro, limit, cells)
    reserved = min(_cells(state.pending_usd_micro, limit, cells), cells - min(spent, cells))
    if state.pending_usd_micro and not reserved:
        spent, reserved = cells - 1, 1
    full, held, empty = "█▒░" if style.unicode else "#=."
    return full * spent + held * reserved + empty * (cells - spent - reserved)


def _block(budget: Budget, depth: int, states: Sequence[BudgetState], style: Style) -> list[str]:
    indent = "  " * (depth + 1)
    parent = f", within {budget.parent}" if budget.parent else ""
    title = style.paint(style.plain(f"{indent}{budget.id}"), Meaning.HEADING)
    lines = [f"{title}  {style.plain(f'{format_cents(budget.limit_usd_micro)} {PERIODS[budget.period]}{parent}')}"]
    for state in states:
        key = f"{state.period_key}  " if len(states) > 1 else ""
        used = state.posted_usd_micro + state.pending_usd_micro
        share = f"{format_percent(used / budget.limit_usd_micro)} used" if budget.limit_usd_micro else ""
        lines.append(f"{indent}{key}{format_bar(state, style)}  {style.plain(share)}".rstrip())
        lines.append(f"{indent}{_figures(state)}")
        if warning := _warning(state):
            meaning = Meaning.BROKEN if state.left_usd_micro < 0 else Meaning.TIGHT
            lines += [style.paint(line, meaning) for line in format_paragraph(warning, style, indent=indent)]
    return lines


def _figures(state: BudgetState) -> str:
    parts = [f"spent {format_cents(state.posted_usd_micro)}", f"reserved {format_cents(state.pending_usd_micro)}"]
    return ", ".join([*parts, f"left {format_cents(max(0, state.left_usd_micro))}"])


def _warning(state: BudgetState) -> str:
    if state.left_usd_micro < 0:
        return f"{format_cents(-state.left_usd_micro)} over the limit: nothing is reserved any more"
    soft = state.budget.soft_ppm
    used = state.posted_usd_micro + state.pending_usd_micro
    if soft is not None and used * PPM > soft * state.budget.limit_usd_micro:
        return f"above the soft limit of {format_percent(soft / PPM)}"
    return ""


def _cells(amount: int, limit: int, cells: int) -> int:
    return max(1, round(cells * amount / limit)) if amount else 0


def _legend(style: Style) -> str:
    return "█ spent  ▒ reserved  ░ left" if style.unicode else "# spent  = reserved  . left"


def _limit(budget: Budget) -> str:
    return f"{format_cents(budget.limit_usd_micro)} {PERIODS[budget.period]}"


def _soft(budget: Budget) -> str:
    return "none" if budget.soft_ppm is None else format_percent(budget.soft_ppm / PPM)


def _change(before: str | None, after: str) -> str:
    return after if before is None or before == after else f"{after} (was {before})"
