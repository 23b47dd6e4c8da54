"""What the use cases on the ledger hand to reports. Data only, no formatting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from optimizer.approval.audit import Anchor, AuditReport
    from optimizer.approval.records import Budget, BudgetState, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetsAnswer:
    """Budgets and how they stand, a parent before its children.

    `months` are those that were asked for. `before` is what a budget was before it was set, None for a new one; `done`
    is "made", "changed" or "unchanged" after that, None for a list.
    """

    made_at: datetime
    ledger_id: str
    place: str
    budgets: tuple[Budget, ...]
    depths: tuple[int, ...]
    """How many parents each of them has."""
    states: tuple[BudgetState, ...]
    months: tuple[str, ...]
    done: str | None = None
    before: Budget | None = None

    def states_of(self, budget: Budget) -> tuple[BudgetState, ...]:
        """Return how a budget stands in each of its periods."""
        return tuple(state for state in self.states if state.budget.id == budget.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerAnswer:
    """Requests, the newest first. `total` counts those that pass the filter, `requests` are the first of them."""

    made_at: datetime
    ledger_id: str
    requests: tuple[Request, ...]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerExport:
    """What an export wrote: rows, in which form, to where."""

    file: str
    format: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedAnswer:
    """A request that was just settled or voided, and how its budgets stand since."""

    made_at: datetime
    ledger_id: str
    done: str
    request: Request
    before: Request
    source: str | None
    by_period: Mapping[str, int] | None
    states: tuple[BudgetState, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditAnswer:
    """What a check of the audit chain found."""

    made_at: datetime
    place: str
    report: AuditReport


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorAnswer:
    """The head of the chain."""

    made_at: datetime
    anchor: Anchor
