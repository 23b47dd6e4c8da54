"""The use cases `budget list`, `budget show` and `budget set`: the limits, and what is left of them."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

from optimizer.approval.ledger_checks import MONTH
from optimizer.approval.records import Budget, Period, chain_of, period_keys
from optimizer.report.ledger_answers import BudgetsAnswer
from providers.errors import JobError

from .clock import moment_in_force
from .ledger_place import opened_ledger, this_user
from .settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from optimizer.approval.ledger import Ledger
    from optimizer.approval.records import BudgetState, Principal

    from .settings import Settings

COMMAND_LINE = "command line"
MICRO = 1_000_000
MOST_USD = 1_000_000_000
USD_ALLOWED = "dollars of at least 0 with at most six decimals, such as 500 or 1,234.50, at most a thousand million"
SHARE_ALLOWED = "a share of the limit from 0 to 1, such as 0.8 or 80%"
_USD = re.compile(r"\$?(\d{1,3}(?:,\d{3})+|\d{1,10})(\.\d{1,6}0*)?", re.ASCII)
_SHARE = re.compile(r"(\d{1,3}(?:\.\d{1,4})?)%|([01](?:\.\d{1,6})?)", re.ASCII)


def show_budgets(
    ids: Sequence[str] = (),
    *,
    months: Sequence[str] = (),
    now: datetime | str | None = None,
    settings: Settings | None = None,
    ledger: Ledger | None = None,
) -> BudgetsAnswer:
    """Return how budgets stand in this month, or in `months`; with ids those, their parents and what is below them.

    Raises JobError for a budget that is not there and for what is no month, LedgerMissing (exit 10) without a ledger.
    """
    stated = load_settings() if settings is None else settings
    moment = moment_in_force(now, stated.now)
    keys = tuple(sorted({parse_month(month) for month in months})) or period_keys(moment, moment)
    with opened_ledger(stated, given=ledger) as here:
        budgets = here.budgets()
        wanted = _related(budgets, ids) if ids else {one.id for one in budgets}
        states = here.states(sorted(wanted), keys, now=moment)
        return _answer(here, moment, [one for one in budgets if one.id in wanted], states=states, months=keys)


def set_budget(
    name: str,
    *,
    limit: str | None = None,
    period: str | None = None,
    parent: str | None = None,
    no_parent: bool = False,
    soft: str | None = None,
    no_soft: bool = False,
    new_ledger: str | None = None,
    now: datetime | str | None = None,
    settings: Settings | None = None,
    ledger: Ledger | None = None,
    actor: Principal | None = None,
) -> BudgetsAnswer:
    """Make a budget or change one, what is not said staying as it is, and return it with its parents.

    `new_ledger` makes the ledger, of that id, where there is none. Raises JobError for a value that cannot be and for
    a new budget without a limit, LedgerMissing (exit 10) without a ledger.
    """
    stated = load_settings() if settings is None else settings
    moment = moment_in_force(now, stated.now)
    usd = None if limit is None else parse_exact_usd(limit, key="limit")
    share = None if soft is None else parse_share(soft)
    kind = None if period is None else _parse_period(period)
    if new_ledger is not None and usd is None:
        raise JobError(where=COMMAND_LINE, key="limit", value=None, allowed=USD_ALLOWED)
    with opened_ledger(stated, ledger_id=new_ledger, create=new_ledger is not None, given=ledger) as here:
        before = next((one for one in here.budgets() if one.id == name), None)
        if usd is None and before is None:
            raise JobError(where=COMMAND_LINE, key="limit", value=None, allowed=f"{USD_ALLOWED}: {name} is new")
        old = before or Budget(id=name, period=Period.MONTH, limit_usd_micro=usd or 0)
        budget = Budget(
            id=name,
            period=old.period if kind is None else kind,
            limit_usd_micro=old.limit_usd_micro if usd is None else usd,
            soft_ppm=None if no_soft else old.soft_ppm if share is None else share,
            parent=None if no_parent else old.parent if parent is None else parent,
        )
        before = here.set_budget(budget, now=moment, actor=actor or this_user())
        budgets = here.budgets()
        chain = chain_of(budgets, [name])
        keys = period_keys(moment, moment)
        done = "made" if before is None else "unchanged" if before == budget else "changed"
        states = here.states(chain, keys, now=moment)
        shown = [one for one in budgets if one.id in chain]
        return _answer(here, moment, shown, states=states, months=keys, done=done, before=before)


def parse_exact_usd(text: str, *, key: str) -> int:
    """Return dollars that a person wrote as micro-dollars, exactly. Raises JobError for what is no such amount.

    That is a sign, an exponent, NaN, more than six decimals that are not zero, more than a thousand million.
    """
    match = _USD.fullmatch(text.strip())
    amount = None if match is None else Decimal(match[1].replace(",", "") + (match[2] or ""))
    if amount is None or amount > MOST_USD:
        raise JobError(where=COMMAND_LINE, key=key, value=text, allowed=USD_ALLOWED)
    return int(amount * MICRO)


def parse_share(text: str) -> int:
    """Return a share, 0.8 or 80%, in parts per million. Raises JobError for what is none."""
    match = _SHARE.fullmatch(text.strip())
    ppm = -1 if match is None else int(Decimal(match[1]) * 10_000) if match[1] else int(Decimal(match[2]) * MICRO)
    if not 0 <= ppm <= MICRO:
        raise JobError(where=COMMAND_LINE, key="soft", value=text, allowed=SHARE_ALLOWED)
    return ppm


def parse_month(text: str) -> str:
    """Return a month, "2026-11". Raises JobError for what is none."""
    if not re.fullmatch(MONTH, text, re.ASCII):
        raise JobError(where=COMMAND_LINE, key="month", value=text, allowed="a month such as 2026-11")
    return text


def _parse_period(text: str) -> Period:
    try:
        return Period(text)
    except ValueError as err:
        raise JobError(where=COMMAND_LINE, key="period", value=text, allowed="month or total") from err


def _related(budgets: Sequence[Budget], ids: Sequence[str]) -> set[str]:
    """Return the budgets named, their parents, and all that are charged to them."""
    known = {one.id for one in budgets}
    for name in ids:
        if name not in known:
            allowed = f"a budget of the ledger: {', '.join(sorted(known)) or 'there is none yet'}"
            raise JobError(where=COMMAND_LINE, key="budget", value=name, allowed=allowed)
    below = {one.id for one in budgets if set(ids) & set(chain_of(budgets, [one.id]))}
    return below | set(chain_of(budgets, ids))


def _answer(
    here: Ledger,
    moment: datetime,
    budgets: Sequence[Budget],
    *,
    states: tuple[BudgetState, ...],
    months: tuple[str, ...],
    done: str | None = None,
    before: Budget | None = None,
) -> BudgetsAnswer:
    order = _tree(budgets)
    return BudgetsAnswer(
        made_at=moment,
        ledger_id=here.ledger_id,
        place=here.database.place,
        budgets=tuple(budget for budget, _ in order),
        depths=tuple(depth for _, depth in order),
        states=states,
        months=months,
        done=done,
        before=before,
    )


def _tree(budgets: Sequence[Budget]) -> list[tuple[Budget, int]]:
    """Return the budgets with their depth, each parent before its children, by id."""
    known = {one.id for one in budgets}
    children: dict[str | None, list[Budget]] = {}
    for one in sorted(budgets, key=lambda budget: budget.id):
        children.setdefault(one.parent if one.parent in known else None, []).append(one)
    found: list[tuple[Budget, int]] = []
    waiting = [(one, 0) for one in reversed(children.get(None, []))]
    while waiting:
        budget, depth = waiting.pop()
        found.append((budget, depth))
        waiting += [(one, depth + 1) for one in reversed(children.get(budget.id, []))]
    return found
