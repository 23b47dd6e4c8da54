"""The document `tunefare.budgets/v1`: limits, and what is spent, reserved and left of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.version import VERSION

from .json_text import JsonObject, exact_or_null, moment, to_text

if TYPE_CHECKING:
    from optimizer.approval.records import Budget, BudgetState

    from .ledger_answers import BudgetsAnswer

SCHEMA = "tunefare.budgets/v1"


def budgets_text(answer: BudgetsAnswer) -> str:
    """Return budgets as JSON text, parents before their children.

    `done` is made, changed or unchanged after `budget set` and null otherwise; `before` what the budget was.
    """
    return to_text(
        {
            "schema": SCHEMA,
            "made_at": moment(answer.made_at),
            "tool_version": VERSION,
            "ledger_id": answer.ledger_id,
            "done": answer.done,
            "before": None if answer.before is None else budget_document(answer.before),
            "budgets": [
                {**budget_document(one), "periods": [state_document(state) for state in answer.states_of(one)]}
                for one in answer.budgets
            ],
        }
    )


def budget_document(budget: Budget) -> JsonObject:
    """Return a limit as a document."""
    return {
        "id": budget.id,
        "period": budget.period.value,
        "limit_usd_micro": budget.limit_usd_micro,
        "soft_ppm": budget.soft_ppm,
        "parent": budget.parent,
    }


def state_document(state: BudgetState) -> JsonObject:
    """Return how a budget stands in one period; `left` is below zero after an overrun."""
    return {
        "period_key": state.period_key,
        "posted_usd_micro": exact_or_null(state.posted_usd_micro),
        "pending_usd_micro": exact_or_null(state.pending_usd_micro),
        "left_usd_micro": exact_or_null(state.left_usd_micro),
    }
