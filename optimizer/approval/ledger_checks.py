"""What the ledger takes in: ids, digests and amounts by strict patterns, before a statement sees them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from providers.errors import ApprovalError, JobError
from providers.payload import clean_name

from .action import LARGEST_MICRO
from .audit import LEDGER_ID
from .records import RequestState, chain_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from .records import Budget, Principal, Request, Statement

BUDGET_ID = r"[A-Za-z0-9][A-Za-z0-9._:@/+-]{0,127}"
REQUEST_ID = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
MONTH = r"[0-9]{4}-(0[1-9]|1[0-2])"
SOURCE = r"[a-z][a-z0-9-]{0,31}"
_HEX = r"[0-9a-f]{64}"
_NONCE = r"[0-9a-f]{32}"
PPM = 1_000_000


def check_ledger_id(text: str) -> str:
    """Return the id of a ledger. Raises JobError for one that no ledger has."""
    if not re.fullmatch(LEDGER_ID, text, re.ASCII):
        allowed = "letters, digits, dot, dash and underscore, at most 64"
        raise JobError(where="ledger", key="ledger_id", value=text, allowed=allowed)
    return text


def check_budget(budget: Budget, others: Sequence[Budget]) -> None:
    """Raise JobError for a budget that the ledger does not take: its id, amounts, or its place among `others`."""
    _named(budget.id, "budget")
    if not 0 <= budget.limit_usd_micro <= LARGEST_MICRO:
        allowed = f"an amount from 0 to {LARGEST_MICRO // PPM:,} dollars"
        raise JobError(where="budget", key="limit", value=budget.limit_usd_micro, allowed=allowed)
    if budget.soft_ppm is not None and not 0 <= budget.soft_ppm <= PPM:
        raise JobError(where="budget", key="soft", value=budget.soft_ppm, allowed="a share from 0 to 1")
    if budget.parent is not None:
        _named(budget.parent, "parent")
        known = [*(one for one in others if one.id != budget.id), budget]
        try:
            chain_of(known, [budget.id])
        except KeyError as err:
            allowed = "a budget of the ledger (set the parent first)"
            raise JobError(where="budget", key="parent", value=budget.parent, allowed=allowed) from err
        except ValueError as err:
            raise JobError(where="budget", key="parent", value=budget.parent, allowed=f"no ring: {err}") from err


def check_request(request: Request, budgets: Sequence[Budget]) -> None:
    """Raise ApprovalError for a request that the ledger does not take, naming the field."""
    _matches("id", request.id, REQUEST_ID)
    for name in ("action_sha256", "plan_sha256", "policy_sha256", "price_snapshot_sha256"):
        _matches(name, getattr(request, name), _HEX)
    check_principal(request.requester)
    check_amount("cap_usd_micro", request.cap_usd_micro)
    if not request.budgets:
        raise ApprovalError(f"request {request.id}: budgets = []: a launch is charged to at least one budget")
    try:
        charged = chain_of(budgets, request.budgets)
    except KeyError as err:
        raise ApprovalError(f"request {request.id}: budgets: the ledger has no budget {err}") from err
    if charged != request.budgets:
        raise ApprovalError(f"request {request.id}: budgets: with all parents, sorted, they are {', '.join(charged)}")
    check_keys(request.period_keys)
    if request.expires_at <= request.made_at:
        raise ApprovalError(f"request {request.id}: expires_at: later than made_at")
    if request.state is not RequestState.PENDING or request.approvals or request.settled_usd_micro is not None:
        raise ApprovalError(f"request {request.id}: a new request is pending, without approvals")
    if not 0 <= request.approvals_needed <= 100:
        raise ApprovalError(f"request {request.id}: approvals_needed: a number from 0 to 100")


def check_statement(statement: Statement, request: Request, budgets: Sequence[Budget], now: datetime) -> None:
    """Raise ApprovalError for a statement that is not about exactly this request, or not for this moment."""
    _matches("nonce", statement.nonce, _NONCE)
    what = f"the approval of {statement.approver!r}"
    for name in ("action_sha256", "cap_usd_micro", "policy_sha256"):
        if getattr(statement, name) != getattr(request, name):
            raise ApprovalError(f"{what}: {name} is another than that of request {request.id}")
    if statement.request_id != request.id or statement.currency != "USD":
        raise ApprovalError(f"{what} is not for request {request.id} in USD")
    try:
        charged = chain_of(budgets, statement.budgets)
    except (KeyError, ValueError):
        charged = ()
    if charged != request.budgets:
        raise ApprovalError(f"{what}: budgets are others than those of request {request.id}")
    if now < statement.not_before:
        raise ApprovalError(f"{what} is not valid yet: from {statement.not_before:%Y-%m-%d %H:%M:%S} UTC on")
    if now >= statement.expires_at:
        raise ApprovalError(f"{what} has expired: {statement.expires_at:%Y-%m-%d %H:%M:%S} UTC")


def check_principal(principal: Principal) -> None:
    """Raise ApprovalError for a name or a key that could not be shown and stored as it is."""
    if not principal.name or clean_name(principal.name) != principal.name:
        raise ApprovalError(f"the name {clean_name(principal.name)!r}: printable, not empty, at most 200 characters")
    if clean_name(principal.key) != principal.key:
        raise ApprovalError(f"the key {clean_name(principal.key)!r}: printable, at most 200 characters")


def check_amount(name: str, usd_micro: int) -> None:
    """Raise ApprovalError for an amount that is no whole number of micro-dollars from 0 to a thousand million."""
    if isinstance(usd_micro, bool) or not isinstance(usd_micro, int) or not 0 <= usd_micro <= LARGEST_MICRO:
        raise ApprovalError(f"{name} = {usd_micro}: a whole number of micro-dollars from 0 to {LARGEST_MICRO}")


def check_keys(keys: Sequence[str]) -> None:
    """Raise ApprovalError for periods that are no months, sorted, each once."""
    if not keys or list(keys) != sorted(set(keys)) or not all(re.fullmatch(MONTH, key, re.ASCII) for key in keys):
        raise ApprovalError("period_keys: months such as 2026-11, sorted, each once")


def check_source(source: str) -> None:
    """Raise ApprovalError for a source of a settlement that is not a word such as "runtime"."""
    _matches("source", source, SOURCE)


def _named(text: str, key: str) -> None:
    if not re.fullmatch(BUDGET_ID, text, re.ASCII):
        allowed = "letters, digits and ._:@/+-, at most 128, beginning with a letter or digit"
        raise JobError(where="budget", key=key, value=text, allowed=allowed)


def _matches(name: str, value: str, pattern: str) -> None:
    if not isinstance(value, str) or not re.fullmatch(pattern, value, re.ASCII):
        raise ApprovalError(f"{name} = {clean_name(str(value))!r}: {pattern} is expected")
