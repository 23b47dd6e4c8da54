"""Price histories as a person reads them: a block an offer, with every change since it was first seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .colour import Meaning
from .figures import DAY, format_age, format_day, format_price, plural
from .step_chart import Steps, draw_steps
from .table import Column, format_heading, format_paragraph, format_table, join_sections

if TYPE_CHECKING:
    from datetime import datetime

    from .record_answers import PriceHistoryAnswer, PricePoint, PriceSeries
    from .style import Style

GONE = "gone"
COLUMNS = (
    Column(title="since"),
    Column(title="$/h", right=True),
    Column(title="$/GPU", right=True),
    Column(title="change", right=True),
)


def format_history(answer: PriceHistoryAnswer, style: Style, *, plot: bool = False) -> str:
    """Return the histories as text; with `plot` each has a step chart over its changes."""
    since = "since it was first seen" if answer.since is None else f"since {format_minute(answer.since)} UTC"
    title = [format_heading("Price history", f"{plural(answer.matching, 'offer')}, per hour, {since}", style)]
    if not answer.series:
        return "\n".join([*title, "  No offer that passes the filters had a price then."]) + "\n"
    sections = [title, *(_block(one, answer, style, plot=plot) for one in answer.series)]
    if answer.more:
        sections.append(format_paragraph(f"… {plural(answer.more, 'more offer')}: --limit 0", style))
    return join_sections(sections)


def format_minute(moment: datetime) -> str:
    """Return an aware UTC time as "2026-11-24 03:00"."""
    return f"{moment:%Y-%m-%d %H:%M}"


def format_change(ppm: int | None) -> str:
    """Return a change in per cent: "+25.0 %", "-0.4 %"; what is not nothing does not read 0."""
    if not ppm:
        return "" if ppm is None else "as before"
    percent = ppm / 10_000
    if abs(percent) < 0.05:
        return "+<0.1 %" if ppm > 0 else "-<0.1 %"
    return f"{percent:+,.1f} %" if abs(percent) < 999.95 else f"{percent:+,.0f} %"


def _block(series: PriceSeries, answer: PriceHistoryAnswer, style: Style, *, plot: bool) -> list[str]:
    lines = format_paragraph(series.key, style, indent="  ", first="")
    lines[0] = style.paint(lines[0], Meaning.HEADING)
    lines += format_paragraph(_facts(series, answer.made_at), style)
    if plot:
        lines += draw_history(series, answer, style)
    table = format_table(COLUMNS, [_row(series, point) for point in series.points], style)
    return [*lines, *table]


def draw_history(series: PriceSeries, answer: PriceHistoryAnswer, style: Style) -> list[str]:
    """Return the step chart of one offer, up to the moment of asking; blank where no price is known."""
    start, end = window_of(series, answer)
    steps = Steps(
        start_s=start.timestamp(),
        end_s=end.timestamp(),
        known_until_s=series.last_seen_at.timestamp(),
        changes=[(point.at.timestamp(), point.price_nano) for point in series.points],
        start_label=_axis_label(start, start, end),
        end_label=_axis_label(end, start, end),
    )
    return draw_steps(steps, lambda nano: format_price(nano, series.currency), style)


def window_of(series: PriceSeries, answer: PriceHistoryAnswer) -> tuple[datetime, datetime]:
    """Return where the time axis of an offer begins and ends."""
    return answer.since or series.points[0].at, max(answer.made_at, series.points[-1].at)


def _axis_label(moment: datetime, start: datetime, end: datetime) -> str:
    return format_day(moment) if (end - start).total_seconds() >= 2 * DAY else format_minute(moment)


def _facts(series: PriceSeries, now: datetime) -> str:
    machine = f"{series.gpu_count}×{series.gpu or series.gpu_name}"
    age = format_age(max(0.0, (now - series.last_seen_at).total_seconds()))
    if series.points[-1].price_nano is None:
        return f"{machine} · gone for {age}"
    words = f"{machine} · last seen {age} ago"
    return f"{words} · held: a newer price is in quarantine" if series.held else words


def _row(series: PriceSeries, point: PricePoint) -> list[str]:
    if point.price_nano is None:
        return [format_minute(point.at), GONE, "", ""]
    return [
        format_minute(point.at),
        format_price(point.price_nano, series.currency),
        format_price(point.price_nano // series.gpu_count, series.currency),
        format_change(point.change_ppm),
    ]
