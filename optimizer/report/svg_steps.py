"""Price histories as one SVG file: a panel an offer, readable on light and on dark ground, without any script.

Equal histories give equal bytes. Names come from outside and are escaped.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from providers.payload import clean_name

from .chart_ticks import moment_label, price_ticks, tick_labels, time_ticks
from .figures import format_price
from .table import shorten
from .text_history import format_minute, window_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from .record_answers import PriceHistoryAnswer, PricePoint, PriceSeries

WIDTH = 840
HEAD, PANEL = 56, 280
LEFT, RIGHT, TOP, BOTTOM = 104, 24, 44, 56
LONGEST_TITLE = 100

STYLE = """text{font-family:system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;fill:#1f2328}
.back{fill:#ffffff}
.title{font-size:18px;font-weight:600}
.name{font-size:13px;font-weight:600}
.small{font-size:11px;fill:#59636e}
.grid{stroke:#d1d9e0;stroke-width:1}
.axis{stroke:#59636e;stroke-width:1}
.line{fill:none;stroke:#0550ae;stroke-width:2}
.dot{fill:#0550ae}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}
.back{fill:#0d1117}
.small{fill:#9198a1}
.grid{stroke:#30363d}
.axis{stroke:#9198a1}
.line{stroke:#79c0ff}
.dot{fill:#79c0ff}
}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """Turns moments and prices into places of one panel."""

    start: datetime
    end: datetime
    low: int
    high: int
    top: float

    def x(self, moment: datetime) -> float:
        """Return how far right a moment lies; the window's edges hold what lies outside."""
        span = max((self.end - self.start).total_seconds(), 1.0)
        share = (moment - self.start).total_seconds() / span
        return LEFT + min(max(share, 0.0), 1.0) * (WIDTH - LEFT - RIGHT)

    def y(self, nano: int) -> float:
        """Return how far down a price lies."""
        return self.top + (self.high - nano) / (self.high - self.low) * (PANEL - TOP - BOTTOM)

    @property
    def bottom(self) -> float:
        """Where the time axis lies."""
        return self.top + PANEL - TOP - BOTTOM


def svg_history(answer: PriceHistoryAnswer) -> str:
    """Return the histories as the text of an SVG file; a panel says so where nothing is to be drawn."""
    height = HEAD + PANEL * max(1, len(answer.series))
    title = f"Price history, as of {format_minute(answer.made_at)} UTC"
    size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title desc">',
        f'<title id="title">{title}</title>',
        f'<desc id="desc">Step charts of the price per instance-hour of {len(answer.series)} offers.</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="back" width="{WIDTH}" height="{height}"/>',
        _text(LEFT, 34, title, "title"),
    ]
    if not answer.series:
        lines.append(_text(LEFT, HEAD + TOP, "No offer that passes the filters had a price then.", "name"))
    for at, series in enumerate(answer.series):
        lines += _panel(series, answer, HEAD + PANEL * at)
    if answer.more:
        lines.append(_text(LEFT, height - 6, f"{answer.more:,} more offers are not shown", "small"))
    return "\n".join([*lines, "</svg>"]) + "\n"


def _panel(series: PriceSeries, answer: PriceHistoryAnswer, top: float) -> Iterator[str]:
    start, end = window_of(series, answer)
    prices = [point.price_nano for point in series.points if point.price_nano is not None]
    low, high = _padded(min(prices), max(prices))
    scale = _Scale(start=start, end=end, low=low, high=high, top=top + TOP)
    machine = f"{series.gpu_count} × {series.gpu or series.gpu_name}"
    yield _text(LEFT, top + 16, shorten(series.key, LONGEST_TITLE), "name")
    yield _text(LEFT, top + 32, machine, "small")
    yield from _price_axis(scale, series.currency)
    yield from _time_axis(scale)
    yield f'<path class="line" d="{_path(series, scale)}"/>'
    for point in series.points:
        if point.price_nano is not None and point.at >= start:
            yield _dot(point, series, scale)


def _padded(low: int, high: int) -> tuple[int, int]:
    """Return the ends of the price axis: a little room beyond the prices, never below zero."""
    room = max((high - low) // 10, high // 50, 1)
    return max(0, low - room), high + room


def _price_axis(scale: _Scale, currency: str) -> Iterator[str]:
    ticks = price_ticks(scale.low, scale.high)
    for tick, label in zip(ticks, tick_labels(ticks, currency), strict=True):
        y = scale.y(tick)
        yield f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>'
        yield _text(LEFT - 8, y + 4, label, "small", anchor="end")
    middle = (scale.top + scale.bottom) / 2
    words = f"{currency} per instance-hour"
    yield (
        f'<text class="small" x="16" y="{middle:.1f}" text-anchor="middle" '
        f'transform="rotate(-90 16 {middle:.1f})">{_escaped(words)}</text>'
    )
    yield f'<line class="axis" x1="{LEFT}" y1="{scale.top:.1f}" x2="{LEFT}" y2="{scale.bottom:.1f}"/>'


def _time_axis(scale: _Scale) -> Iterator[str]:
    y = scale.bottom
    yield f'<line class="axis" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>'
    for tick in time_ticks(scale.start, scale.end):
        x = scale.x(tick)
        yield f'<line class="axis" x1="{x:.1f}" y1="{y:.1f}" x2="{x:.1f}" y2="{y + 5:.1f}"/>'
        yield _text(x, y + 19, moment_label(tick, within=scale.end - scale.start), "small", anchor="middle")
    yield _text((LEFT + WIDTH - RIGHT) / 2, y + 37, "date (UTC)", "small", anchor="middle")


def _path(series: PriceSeries, scale: _Scale) -> str:
    """Return the line: flat while a price holds, an upright where it changes, a gap while the offer is gone."""
    parts: list[str] = []
    drawn = False
    for point in series.points:
        x = scale.x(point.at)
        if point.price_nano is None:
            parts.append(f"H{x:.1f}")
        elif drawn:
            parts.append(f"H{x:.1f}V{scale.y(point.price_nano):.1f}")
        else:
            parts.append(f"M{x:.1f} {scale.y(point.price_nano):.1f}")
        drawn = point.price_nano is not None
    if drawn:
        # Not up to the moment of asking: nobody has seen that price since.
        parts.append(f"H{scale.x(series.last_seen_at):.1f}")
    return "".join(parts)


def _dot(point: PricePoint, series: PriceSeries, scale: _Scale) -> str:
    assert point.price_nano is not None  # noqa: S101 - for the type checker: the caller asked
    words = f"{format_minute(point.at)} UTC: {format_price(point.price_nano, series.currency)}"
    return (
        f'<circle class="dot" cx="{scale.x(point.at):.1f}" cy="{scale.y(point.price_nano):.1f}" r="3">'
        f"<title>{_escaped(words)}</title></circle>"
    )


def _text(x: float, y: float, words: str, kind: str, *, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{_escaped(words)}</text>'


def _escaped(words: str) -> str:
    # Characters that no XML may hold are not printable.
    return escape(clean_name(words))
