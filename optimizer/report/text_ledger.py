"""The ledger's requests as a person reads them, and what settling or voiding one did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .colour import Meaning
from .figures import format_cents, plural
from .table import Column, format_heading, format_pairs, format_paragraph, format_table, join_sections
from .text_history import format_minute

if TYPE_CHECKING:
    from optimizer.approval.records import Request

    from .ledger_answers import EndedAnswer, LedgerAnswer, LedgerExport
    from .style import Style

COLUMNS = (
    Column(title="request", shrinks=True, smallest=16),
    Column(title="state"),
    Column(title="cap", right=True),
    Column(title="settled", right=True),
    Column(title="requester", shrinks=True),
    Column(title="budgets", shrinks=True, optional=True),
    Column(title="made (UTC)"),
    Column(title="until (UTC)", optional=True),
)


def format_ledger(answer: LedgerAnswer, style: Style) -> str:
    """Return the requests as a table, the newest first."""
    heading = format_heading("Ledger", f"{answer.ledger_id}, {plural(answer.total, 'request')}", style)
    if not answer.requests:
        return join_sections([[heading, *format_paragraph("No request.", style)]])
    lines = [heading, *format_table(COLUMNS, [_row(one) for one in answer.requests], style)]
    more = answer.total - len(answer.requests)
    return join_sections([lines, format_paragraph(f"… {more:,} more: --limit 0", style) if more else []])


def format_ledger_export(answer: LedgerExport) -> str:
    """Return what was written, in a line of talk."""
    noun = "charge" if answer.format == "focus" else "request"
    return f"wrote {answer.file}: {plural(answer.rows, noun)} as {answer.format}"


def format_ended(answer: EndedAnswer, style: Style) -> str:
    """Return what settling or voiding a request did as text, and what is left of its budgets."""
    one = answer.request
    pairs = [("Cap", format_cents(one.cap_usd_micro))]
    over = 0
    if one.settled_usd_micro is not None:
        over = one.settled_usd_micro - one.cap_usd_micro
        pairs.append(("Settled", f"{format_cents(one.settled_usd_micro)} ({answer.source})"))
    pairs += [
        (f"Left of {state.budget.id}", f"{format_cents(state.left_usd_micro)} ({state.period_key})")
        for state in answer.states
    ]
    notes = []
    if over > 0:
        notes.append(f"{format_cents(over)} more than the cap: posted in full.")
    if one.settled_usd_micro and len(one.period_keys) > 1 and answer.by_period is None:
        months = " and ".join(one.period_keys)
        notes.append(f"Posted in full in {months}: nobody said what fell into which (--in MONTH=USD).")
    heading = format_heading(f"Request {one.id}", answer.done, style)
    lines = [line for note in notes for line in format_paragraph(note, style)]
    return join_sections([[heading, *format_pairs(pairs, style)], [style.paint(line, Meaning.TIGHT) for line in lines]])


def _row(one: Request) -> list[str]:
    waits = one.state.value in {"pending", "reserved"}
    return [
        one.id,
        one.state.value,
        format_cents(one.cap_usd_micro),
        "" if one.settled_usd_micro is None else format_cents(one.settled_usd_micro),
        one.requester.name,
        ", ".join(one.budgets),
        format_minute(one.made_at),
        format_minute(one.expires_at) if waits else "",
    ]
