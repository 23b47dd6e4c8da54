"""How budgets stand: what is reserved, spent and left, and what was committed of late."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from providers.errors import JobError

from .ledger_checks import check_keys
from .ledger_rows import read_budgets, seconds
from .ledger_steps import TOTAL
from .records import BudgetState, Period

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cache.database import Session, Value


def read_states(
    session: Session, ids: Sequence[str] | None, keys: Sequence[str], *, now: datetime | None
) -> tuple[BudgetState, ...]:
    """Return the states of budgets, by id and period; a period in which nothing happened stands at zero."""
    if keys:
        check_keys(sorted(set(keys)))
    budgets = {one.id: one for one in read_budgets(session)}
    for name in ids or ():
        if name not in budgets:
            close = ", ".join(budgets) or "none yet"
            raise JobError(where="command line", key="budget", value=name, allowed=f"a budget of the ledger: {close}")
    sums = {
        (row[0], row[1]): (row[2], row[3])
        for row in session.rows("SELECT budget_id, period_key, pending_usd_micro, posted_usd_micro FROM ledger_totals")
    }
    overdue = {} if now is None else _overdue(session, now)
    found = []
    for name in sorted(set(budgets if ids is None else ids)):
        budget = budgets[name]
        for key in sorted(set(keys)) if budget.period is Period.MONTH else (TOTAL,):
            pending, posted = sums.get((name, key), (0, 0))
            pending -= overdue.get((name, key), 0)
            found.append(BudgetState(budget=budget, period_key=key, pending_usd_micro=pending, posted_usd_micro=posted))
    return tuple(found)


def committed(session: Session, requester_name: str | None, budget_ids: Sequence[str], since: datetime) -> int:
    """Return the micro-dollars committed since a moment, by a requester and on budgets."""
    sql = (
        "SELECT budgets, state, cap_usd_micro, settled_usd_micro FROM ledger_requests WHERE counted_at >= ? "
        "AND state IN ('pending', 'reserved', 'launched', 'settled')"
    )
    values: list[Value] = [seconds(since)]
    if requester_name is not None:
        sql += " AND requester_name = ?"
        values.append(requester_name)
    wanted = set(budget_ids)
    total = 0
    for budgets, state, cap, settled in session.rows(sql, values):
        if not wanted or wanted & set(json.loads(budgets)):
            total += settled if state == "settled" else cap
    return total


def _overdue(session: Session, now: datetime) -> dict[tuple[str, str], int]:
    rows = session.rows(
        "SELECT c.budget_id, c.period_key, SUM(c.pending_usd_micro) FROM ledger_requests r "
        "JOIN ledger_charges c ON c.request_id = r.id WHERE r.state = 'reserved' AND r.expires_at <= ? "
        "GROUP BY c.budget_id, c.period_key",
        (seconds(now),),
    )
    return {(row[0], row[1]): int(row[2]) for row in rows}
