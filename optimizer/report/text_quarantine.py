"""Prices that the gate held back, as a person reads them who is to decide: what, from where, why, how often."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .colour import Meaning
from .figures import format_age, format_price, plural
from .record_answers import PPM
from .table import format_heading, format_pairs, format_paragraph, join_sections
from .text_history import format_minute

if TYPE_CHECKING:
    from .record_answers import HeldPrice, QuarantineAnswer
    from .style import Style

EFFECTS = {
    "released": "Published at once where the source still states them; the next refresh takes them too.",
    "rejected": "They stay out, without being shown again, until the source states another price.",
}


def format_quarantine(answer: QuarantineAnswer, style: Style, *, limit: int = 0) -> str:
    """Return the list as text; `limit` 0 shows all rows."""
    pending = sum(row.state == "pending" for row in answer.rows)
    aside = f"{plural(pending, 'price')} held back"
    if len(answer.rows) > pending:
        aside += f", {len(answer.rows) - pending:,} settled"
    heading = [format_heading("Quarantine", aside, style)]
    if not answer.rows:
        return "\n".join([*heading, "  Nothing waits for a decision."]) + "\n"
    shown = answer.rows[:limit] if limit else answer.rows
    width = max(len(f"{row.number}") for row in shown)
    sections = [heading, *(_block(row, answer, style, width) for row in shown)]
    if len(shown) < len(answer.rows):
        sections.append(format_paragraph(f"… {len(answer.rows) - len(shown):,} more: --limit 0", style))
    if waiting := next((row.number for row in shown if row.state == "pending"), None):
        command = "tunefare prices quarantine"
        pairs = [("Let pass", f"{command} release {waiting}"), ("Refuse", f"{command} reject {waiting}")]
        sections.append(format_pairs(pairs, style))
    return join_sections(sections)


def format_decision(answer: QuarantineAnswer, style: Style) -> str:
    """Return what was decided as text: a line a row, then what follows from it."""
    done = answer.done or ""
    heading = [format_heading(done.capitalize(), plural(len(answer.rows), "price"), style)]
    lines = [
        line
        for row in answer.rows
        for line in format_paragraph(f"{row.number}  {row.key}  {_price(row)}", style, indent="     ", first="  ")
    ]
    return join_sections([[*heading, *lines], format_paragraph(EFFECTS[done], style)])


def _block(row: HeldPrice, answer: QuarantineAnswer, style: Style, width: int) -> list[str]:
    indent = " " * (width + 4)
    first = f"  {row.number:>{width}}  "
    key = format_paragraph(row.key, style, indent=indent, first=first)
    key[0] = style.paint(key[0], Meaning.HEADING)
    lines = [_price(row), f"{row.reason}: {row.words} ({row.detail})", _seen(row, answer)]
    if row.state != "pending":
        lines.append(f"{row.state}: {row.note}" if row.note else row.state)
    return [*key, *(part for line in lines for part in format_paragraph(line, style, indent=indent))]


def _price(row: HeldPrice) -> str:
    price = f"{format_price(row.price_nano, row.currency)}/h"
    if row.previous_nano is None:
        return f"{price}, no price before"
    factor = (row.factor_ppm or 0) / PPM
    times = f", × {factor:.3g}" if row.previous_nano and 1e-3 <= factor < 1e4 else ""
    return f"{price}, before {format_price(row.previous_nano, row.currency)}/h{times}"


def _seen(row: HeldPrice, answer: QuarantineAnswer) -> str:
    ago = format_age(max(0.0, (answer.made_at - row.last_seen_at).total_seconds()))
    if row.times == 1:
        return f"seen once, {format_minute(row.last_seen_at)} UTC, {ago} ago"
    return f"seen {row.times} times since {format_minute(row.first_seen_at)} UTC, last {ago} ago"
