"""The use cases `settle` and `void`: what a launch really cost, and reservations that nobody needs any more."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from optimizer.approval.canonical import read_bytes
from optimizer.approval.focus_ledger import LARGEST_BILL_BYTES, REQUEST_TAG, Bill, read_bill
from optimizer.report.ledger_answers import EndedAnswer
from providers.errors import JobError
from providers.payload import LONGEST_NAME, clean_name

from .budgeting import COMMAND_LINE, parse_exact_usd, parse_month
from .clock import moment_in_force
from .ledger_place import opened_ledger, this_user
from .settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from optimizer.approval.ledger import Ledger
    from optimizer.approval.records import BudgetState, Principal, Request

    from .settings import Settings


def settle_request(
    request_id: str,
    *,
    usd: str | None = None,
    parts: Sequence[str] = (),
    bill: str | None = None,
    tag: str | None = None,
    resource: str | None = None,
    note: str = "",
    now: datetime | str | None = None,
    settings: Settings | None = None,
    ledger: Ledger | None = None,
    actor: Principal | None = None,
) -> EndedAnswer:
    """Post what a launch really cost, and return the request: `usd`, `parts` ("2026-11=100") or a FOCUS `bill`.

    Of a bill those rows count that carry `tag` ("KEY=VALUE", by default `tunefare_request` with the request's id) or
    belong to `resource`. Raises JobError for wrong or contradicting values, ApprovalError (exit 8) for a request that
    is not launched, or settled already.
    """
    stated = load_settings() if settings is None else settings
    moment = moment_in_force(now, stated.now)
    words = _note(note)
    by_period: Mapping[str, int] | None = _parse_parts(parts)
    amount = None if usd is None else parse_exact_usd(usd, key="usd")
    if by_period is not None and amount is None and bill is None:
        amount = sum(by_period.values())
    if (amount is None) == (bill is None) or (bill is not None and by_period is not None):
        raise JobError(where=COMMAND_LINE, key="usd", value=usd, allowed="either --usd (or --in), or --focus BILL.csv")
    source = "hand"
    with opened_ledger(stated, given=ledger) as here:
        before = here.request(request_id)
        if bill is not None:
            found = _read(bill, tag, resource, request_id)
            amount, source, words = found.usd_micro, "focus", words or f"{found.rows} rows of a bill, {found.cost}"
            by_period = _of_bill(found, before)
        done = here.settle(
            request_id, amount or 0, source, by_period=by_period, note=words, now=moment, actor=actor or this_user()
        )
        return EndedAnswer(
            made_at=moment,
            ledger_id=here.ledger_id,
            done="settled",
            request=done,
            before=before,
            source=source,
            by_period=by_period,
            states=_states(here, done, moment),
        )


def void_request(
    request_id: str,
    *,
    note: str = "",
    now: datetime | str | None = None,
    settings: Settings | None = None,
    ledger: Ledger | None = None,
    actor: Principal | None = None,
) -> EndedAnswer:
    """End a request that was not launched, give back what it reserved, and return it.

    Raises ApprovalError (exit 8) for one that was launched, or that has ended.
    """
    stated = load_settings() if settings is None else settings
    moment = moment_in_force(now, stated.now)
    words = _note(note)
    with opened_ledger(stated, given=ledger) as here:
        before = here.request(request_id)
        done = here.void(request_id, note=words, now=moment, actor=actor or this_user())
        return EndedAnswer(
            made_at=moment,
            ledger_id=here.ledger_id,
            done="voided",
            request=done,
            before=before,
            source=None,
            by_period=None,
            states=_states(here, done, moment),
        )


def _states(here: Ledger, request: Request, moment: datetime) -> tuple[BudgetState, ...]:
    return here.states(request.budgets, request.period_keys, now=moment)


def _note(text: str) -> str:
    if len(text) > LONGEST_NAME:
        raise JobError(where=COMMAND_LINE, key="note", value=text, allowed=f"at most {LONGEST_NAME} characters")
    return clean_name(text)


def _parse_parts(parts: Sequence[str]) -> dict[str, int] | None:
    """Return what fell into which month, from "2026-11=100" and so on; None where nothing is said."""
    found: dict[str, int] = {}
    for text in parts:
        month, _, amount = text.partition("=")
        if parse_month(month) in found:
            raise JobError(where=COMMAND_LINE, key="in", value=text, allowed="each month once")
        found[month] = parse_exact_usd(amount, key="in")
    return found or None


def _read(path: str, tag: str | None, resource: str | None, request_id: str) -> Bill:
    if tag is not None and resource is not None:
        raise JobError(where=COMMAND_LINE, key="tag", value=tag, allowed="either --tag or --resource")
    key, equals, value = (tag or f"{REQUEST_TAG}={request_id}").partition("=")
    if not key or not equals:
        raise JobError(where=COMMAND_LINE, key="tag", value=tag, allowed="KEY=VALUE")
    data = read_bytes(Path(path), what="focus", most=LARGEST_BILL_BYTES)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        raise JobError(where=path, key="file", value=path, allowed="UTF-8") from err
    return read_bill(text, where=path, tag=None if resource is not None else (key, value), resource=resource)


def _of_bill(bill: Bill, request: Request) -> Mapping[str, int] | None:
    """Return the months of a bill as the ledger takes them: None where they are not those that were reserved."""
    return bill.by_month if set(bill.by_month) <= set(request.period_keys) else None
