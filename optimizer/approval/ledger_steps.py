"""The steps of a request's life, each in one writing transaction: reserved in all budgets or none, spent once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from providers.errors import ApprovalError
from providers.money import format_usd
from providers.payload import clean_name

from .canonical import canonical_bytes, sha256_of
from .errors import ApprovalNeeded, BudgetInsufficient, LedgerUnusable
from .ledger_checks import check_amount, check_keys, check_principal, check_request, check_source, check_statement
from .ledger_rows import list_text, read_budgets, seconds
from .ledger_writing import release
from .records import Period, RequestState, period_keys

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from .audit import Charge
    from .ledger_writing import Writing
    from .records import Budget, Principal, Request, Statement

TOTAL = "total"
WAITING = (RequestState.PENDING, RequestState.RESERVED)


def add_request(here: Writing, request: Request) -> None:
    """Record a new, pending request. Raises ApprovalError for a wrong one and for an id that was used before."""
    check_request(request, read_budgets(here.session))
    if seconds(request.expires_at) <= here.now_s:
        at = f"{request.expires_at:%Y-%m-%d %H:%M:%S} UTC"
        raise ApprovalNeeded(f"request {request.id} would expire at {at}, which is past{here.behind}")
    number = here.session.rows("SELECT COALESCE(MAX(number), 0) + 1 FROM ledger_requests")[0][0]
    who = request.requester
    added = here.session.run(
        "INSERT INTO ledger_requests (id, number, action_sha256, plan_sha256, policy_sha256, price_snapshot_sha256, "
        "requester_name, requester_assurance, requester_key, cap_usd_micro, budgets, period_keys, made_at, expires_at, "
        "counted_at, state, approvals_needed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        (
            request.id, number, request.action_sha256, request.plan_sha256, request.policy_sha256,
            request.price_snapshot_sha256, who.name, who.assurance.value, who.key, request.cap_usd_micro,
            list_text(request.budgets), list_text(request.period_keys), seconds(request.made_at),
            seconds(request.expires_at), max(here.now_s, seconds(request.made_at)), request.state.value,
            request.approvals_needed,
        ),
    )  # fmt: skip
    if added != 1:
        raise ApprovalError(f"request {request.id} is in the ledger already: replay")
    here.record(
        "request_added",
        {
            "request": request.id,
            "state": request.state.value,
            "action_sha256": request.action_sha256,
            "plan_sha256": request.plan_sha256,
            "policy_sha256": request.policy_sha256,
            "price_snapshot_sha256": request.price_snapshot_sha256,
            "requester": {"name": who.name, "assurance": who.assurance.value, "key": who.key},
            "cap_usd_micro": request.cap_usd_micro,
            "budgets": list(request.budgets),
            "period_keys": list(request.period_keys),
            "made_at": seconds(request.made_at),
            "expires_at": seconds(request.expires_at),
            "approvals_needed": request.approvals_needed,
            "settled_usd_micro": None,
        },
    )


def add_approval(here: Writing, request: Request, statement: Statement, approver: Principal, group: str) -> None:
    """Record a verified approval of a pending request. Raises ApprovalError for a replay or another action."""
    if request.state is not RequestState.PENDING:
        here.move(request, (RequestState.PENDING,), RequestState.PENDING, what="approved")
    if statement.decision != "approve":
        raise ApprovalError(f"the statement of {statement.approver!r} decides {statement.decision!r}, not approve")
    check_statement(statement, request, read_budgets(here.session), here.now)
    _use(here, request, statement, approver, group)
    here.record(
        "approval_given",
        {
            **_said(statement, approver, group),
            "request": request.id,
            "statement_expires_at": seconds(statement.expires_at),
        },
    )


def reserve(here: Writing, request: Request, *, keys: tuple[str, ...] | None, until: datetime | None) -> None:
    """Reserve the cap in every budget and period of a pending request, or in none.

    It stands until the first of its approvals expires (until the request does where it needs none), or `until`, if that
    is earlier. Raises BudgetInsufficient naming the first budget that does not hold it, by id.
    """
    here.move(request, (RequestState.PENDING,), RequestState.RESERVED, what="reserved")
    valid = [one for one in request.approvals if seconds(one.expires_at) > here.now_s]
    if len(valid) < request.approvals_needed:
        missing = request.approvals_needed - len(valid)
        raise ApprovalNeeded(f"request {request.id} lacks {missing} of {request.approvals_needed} approvals")
    periods = request.period_keys if keys is None else keys
    check_keys(periods)
    budgets = {one.id: one for one in read_budgets(here.session)}
    charges: list[Charge] = []
    for name in request.budgets:
        for key in _keys(budgets[name], periods):
            _charge(here, budgets[name], key, request)
            charges.append((name, key, request.cap_usd_micro, 0))
    ends = min([one.expires_at for one in valid] or [request.expires_at])
    ends_s = min(seconds(ends), seconds(ends if until is None else until))
    if ends_s <= here.now_s:
        raise ApprovalNeeded(f"the reservation of request {request.id} would end before it begins{here.behind}")
    here.session.run(
        "UPDATE ledger_requests SET period_keys = ?, expires_at = ?, counted_at = ? WHERE id = ?",
        (list_text(periods), ends_s, here.now_s, request.id),
    )
    here.record(
        "reserved",
        {
            "request": request.id,
            "state": "reserved",
            "expires_at": ends_s,
            "period_keys": list(periods),
            "charges": charges,
        },
    )


def consume(
    here: Writing,
    request: Request,
    *,
    action_sha256: str | None,
    ends_at: datetime | None,
    launch: Mapping[str, object],
) -> None:
    """Spend a reservation on a launch, once. Raises ApprovalError for another action and for a second launch."""
    if action_sha256 is not None and action_sha256 != request.action_sha256:
        raise ApprovalError(f"request {request.id} authorises another action: {request.action_sha256}")
    here.move(request, (RequestState.RESERVED,), RequestState.LAUNCHED, what="launched")
    if any(one.period is Period.MONTH for one in read_budgets(here.session) if one.id in request.budgets):
        touched = period_keys(here.now, max(here.now, here.now if ends_at is None else ends_at))
        beyond = [key for key in touched if key not in request.period_keys]
        if beyond:
            held = ", ".join(request.period_keys)
            raise ApprovalNeeded(
                f"request {request.id} reserved for {held}; a launch now runs in {beyond[0]}: request it again"
            )
    here.session.run(
        "UPDATE ledger_requests SET launched_at = ?, launch = ? WHERE id = ?",
        (here.now_s, canonical_bytes(launch).decode("utf-8"), request.id),
    )
    here.record("launched", {"request": request.id, "state": "launched", "launch": dict(launch)})


def settle(
    here: Writing, request: Request, usd_micro: int, source: str, *, by_period: Mapping[str, int] | None, note: str
) -> None:
    """Post what a launch really cost, in full, also beyond the cap or a limit, and give back what was reserved.

    A run that crossed a month is posted in full in each, unless `by_period` says what fell into which.
    """
    check_amount("settled", usd_micro)
    check_source(source)
    if by_period is not None and (
        sum(by_period.values()) != usd_micro or not set(by_period) <= set(request.period_keys)
    ):
        months = ", ".join(request.period_keys)
        raise ApprovalError(f"request {request.id}: the parts of {format_usd(usd_micro)} must sum to it, in {months}")
    for amount in (by_period or {}).values():
        check_amount("settled", amount)
    here.move(request, (RequestState.LAUNCHED,), RequestState.SETTLED, what="settled")
    charges = release(here.session, request.id)
    charged = here.session.rows(
        "SELECT budget_id, period_key FROM ledger_charges WHERE request_id = ? ORDER BY budget_id, period_key",
        (request.id,),
    )
    for name, key in charged:
        amount = usd_micro if key == TOTAL or by_period is None else by_period.get(key, 0)
        for table, column, owner in (("totals", "budget_id", name), ("charges", "request_id", request.id)):
            more = " AND budget_id = ?" if table == "charges" else ""
            here.session.run(
                f"UPDATE ledger_{table} SET posted_usd_micro = posted_usd_micro + ? "
                f"WHERE {column} = ? AND period_key = ?{more}",
                (amount, owner, key, *((name,) if more else ())),
            )
        charges.append((name, key, 0, amount))
    here.session.run(
        "UPDATE ledger_requests SET settled_usd_micro = ?, settled_source = ? WHERE id = ?",
        (usd_micro, source, request.id),
    )
    data = {"request": request.id, "state": "settled", "settled_usd_micro": usd_micro, "source": source}
    here.record("settled", {**data, "note": clean_name(note), "charges": charges})


def end(
    here: Writing,
    request: Request,
    to: RequestState,
    *,
    what: str,
    note: str = "",
    statement: Statement | None = None,
    approver: Principal | None = None,
    group: str = "",
) -> None:
    """End a request that was not launched, and give back what it reserved: voided, rejected, revoked, superseded."""
    if request.state is RequestState.LAUNCHED:
        raise ApprovalError(
            f"request {request.id} is launched: it cannot be {what}; "
            "settle it (tunefare settle), with 0 dollars if provably nothing was created"
        )
    here.move(request, WAITING, to, what=what)
    said: dict[str, object] = {}
    if statement is not None and approver is not None:
        check_statement(statement, request, read_budgets(here.session), here.now)
        _use(here, request, statement, approver, group)
        said = _said(statement, approver, group)
    charges = release(here.session, request.id)
    data = {"request": request.id, "state": to.value, "note": clean_name(note), "charges": charges}
    here.record(to.value, {**said, **data})


def _use(here: Writing, request: Request, statement: Statement, approver: Principal, group: str) -> None:
    """Take a statement as used, with its nonce. Raises ApprovalError where it was used before."""
    check_principal(approver)
    if clean_name(group) != group:
        raise ApprovalError(f"the group {clean_name(group)!r}: printable, at most 200 characters")
    number = here.session.rows("SELECT COALESCE(MAX(number), 0) + 1 FROM ledger_approvals")[0][0]
    used = here.session.run(
        "INSERT INTO ledger_approvals (nonce, statement_sha256, number, request_id, decision, approver_name, "
        "approver_assurance, approver_key, group_name, given_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        (
            statement.nonce, sha256_of(statement.document()), number, request.id, statement.decision, approver.name,
            approver.assurance.value, approver.key, group, here.now_s, seconds(statement.expires_at),
        ),
    )  # fmt: skip
    if used != 1:
        raise ApprovalError(
            f"the statement of {statement.approver!r} (nonce {statement.nonce}) was used before: replay"
        )


def _said(statement: Statement, approver: Principal, group: str) -> dict[str, object]:
    return {
        "nonce": statement.nonce,
        "statement_sha256": sha256_of(statement.document()),
        "decision": statement.decision,
        "approver": approver.name,
        "assurance": approver.assurance.value,
        "key": approver.key,
        "group": group,
    }


def _keys(budget: Budget, periods: Sequence[str]) -> Sequence[str]:
    return sorted(periods) if budget.period is Period.MONTH else (TOTAL,)


def _charge(here: Writing, budget: Budget, key: str, request: Request) -> None:
    """Reserve the cap in one budget and period: the UPDATE is the gate, not a check before it."""
    place, cap = (budget.id, key), request.cap_usd_micro
    here.session.run("INSERT INTO ledger_totals (budget_id, period_key) VALUES (?, ?) ON CONFLICT DO NOTHING", place)
    held = here.session.run(
        "UPDATE ledger_totals SET pending_usd_micro = pending_usd_micro + ? WHERE budget_id = ? AND period_key = ? "
        "AND pending_usd_micro + posted_usd_micro + ? <= (SELECT limit_usd_micro FROM ledger_budgets WHERE id = ?)",
        (cap, *place, cap, budget.id),
    )
    if held != 1:
        row = here.session.rows(
            "SELECT pending_usd_micro, posted_usd_micro FROM ledger_totals WHERE budget_id = ? AND period_key = ?",
            place,
        )[0]
        left = budget.limit_usd_micro - row[0] - row[1]
        where = budget.id if key == TOTAL else f"{budget.id} in {key}"
        raise BudgetInsufficient(
            f"budget {where}: {exact_usd(cap)} is asked for, {exact_usd(left)} is left of "
            f"{exact_usd(budget.limit_usd_micro)}: {exact_usd(cap - left)} is missing",
            budget_id=budget.id,
            period_key=key,
            missing_usd_micro=cap - left,
        )
    added = here.session.run(
        "INSERT INTO ledger_charges (request_id, budget_id, period_key, pending_usd_micro, posted_usd_micro) "
        "VALUES (?, ?, ?, ?, 0) ON CONFLICT DO NOTHING",
        (request.id, *place, cap),
    )
    if added != 1:
        raise LedgerUnusable(f"request {request.id} is charged to {budget.id} already: the ledger is damaged")


def exact_usd(micro: int) -> str:
    """Return micro-dollars to the last digit that says something, at least to the cent: "$0.000001", "$1,234.50"."""
    text = format_usd(micro, digits=6)
    head, _, tail = text.partition(".")
    return f"{head}.{tail.rstrip('0').ljust(2, '0')}"


def read_launch(text: str) -> dict[str, object]:
    """Return what was recorded of a launch."""
    found: dict[str, object] = json.loads(text)
    return found
