"""A sensitivity as one SVG file: the tornado, a bar a driver, largest swing on top.

Readable on light and on dark ground, without any script. Equal sensitivities give equal bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .chart_axis import Axis, axis_around, money_label, money_ticks
from .chart_svg import chart_head, escaped, gridline, text
from .describe import describe_job, describe_machine, describe_method, describe_place
from .describe_driver import (
    describe_best,
    describe_trouble,
    describe_trouble_briefly,
    format_input,
    has_effect,
    name_driver,
)
from .figures import format_dollars
from .table import shorten

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optimizer.search.sensitivity_results import Driver, DriverPoint, Sensitivity

WIDTH = 960
LEFT, RIGHT, TOP, BOTTOM = 230, 190, 92, 56
ROW = 38
LONGEST = 110
STYLE = """.cheaper{fill:#1a7f37}
.dearer{fill:#bc4c00}
.broken{fill-opacity:.35;stroke-width:1.5;stroke-dasharray:4 3}
.cheaper.broken{stroke:#1a7f37}
.dearer.broken{stroke:#bc4c00}
.base{stroke:#1f2328;stroke-width:1.5}
@media (prefers-color-scheme:dark){
.cheaper{fill:#56d364}
.dearer{fill:#f0883e}
.cheaper.broken{stroke:#56d364}
.dearer.broken{stroke:#f0883e}
.base{stroke:#e6edf3}
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chart:
    sensitivity: Sensitivity
    cost: Axis
    bottom: float

    @property
    def base(self) -> float:
        """Where the cost of the choice lies."""
        return self.cost.place(self.sensitivity.choice.quote.expected_usd_micro)


def svg_sensitivity(sensitivity: Sensitivity) -> str:
    """Return the tornado as the text of an SVG file."""
    height = TOP + ROW * len(sensitivity.drivers) + BOTTOM
    costs = [point.usd_micro for one in sensitivity.drivers for point in one.points if point.usd_micro is not None]
    cost = axis_around([float(one) for one in costs], start=LEFT, end=WIDTH - RIGHT)
    chart = _Chart(sensitivity=sensitivity, cost=cost, bottom=height - BOTTOM)
    choice = sensitivity.choice
    title = f"What the cost hangs on: {describe_job(sensitivity.job)}"
    what = f"{describe_place(choice.offer)} · {describe_machine(choice)} · {describe_method(choice.recipe)}"
    told = f"{format_dollars(choice.quote.expected_usd_micro)} a run: {what}"
    lines = chart_head(WIDTH, height, title=title, words=f"A bar for each driver of the cost. {told}", style=STYLE)
    lines += [text(24, 32, title, "title"), text(24, 52, shorten(told, LONGEST), "small"), *_legend(), *_axis(chart)]
    for at, driver in enumerate(sensitivity.drivers):
        lines += _row(chart, driver, TOP + ROW * at)
    lines.append(f'<line class="base" x1="{chart.base:.1f}" y1="{TOP}" x2="{chart.base:.1f}" y2="{chart.bottom}"/>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def _legend() -> Iterator[str]:
    x = 24.0
    for kind, words in (
        ("cheaper", "cheaper"),
        ("dearer", "dearer"),
        ("dearer broken", "breaks a limit or does not fit"),
    ):
        yield f'<rect class="{kind}" x="{x:.1f}" y="66" width="14" height="12"/>'
        yield text(x + 20, 76, words, "small")
        x += 44 + 6.5 * len(words)


def _axis(chart: _Chart) -> Iterator[str]:
    for tick in money_ticks(chart.cost):
        x = chart.cost.place(tick)
        yield gridline(x, TOP, x, chart.bottom)
        yield text(x, chart.bottom + 18, money_label(tick), "small", anchor="middle")
    scale = " (logarithmic)" if chart.cost.log else ""
    middle = (LEFT + WIDTH - RIGHT) / 2
    yield text(middle, chart.bottom + 40, f"expected cost of a run{scale}", "small", anchor="middle")


def _row(chart: _Chart, driver: Driver, top: float) -> Iterator[str]:
    yield text(24, top + ROW / 2 + 4, name_driver(driver), "name")
    if not has_effect(driver):
        yield text(chart.base + 8, top + ROW / 2 + 4, "no effect on the cost", "small")
        return
    ends = [point for point in driver.points if point != driver.base and point.usd_micro is not None]
    # The longer bar first, so that a shorter one on the same side stays visible.
    for point in sorted(ends, key=lambda one: -abs(_cost(one) - _cost(driver.base))):
        yield _bar(chart, driver, point, top)
    yield from _inputs(chart, driver, ends, top)
    if not ends:
        words = " and ".join(format_input(driver, point) for point in driver.points if point.senseless)
        yield text(chart.base + 8, top + ROW / 2 + 4, f"{words} makes no sense", "small")


def _bar(chart: _Chart, driver: Driver, point: DriverPoint, top: float) -> str:
    at = chart.cost.place(_cost(point))
    kind = "cheaper" if _cost(point) < _cost(driver.base) else "dearer"
    trouble = describe_trouble(point)
    words = [
        f"{format_input(driver, point)}: {format_dollars(point.usd_micro)}",
        point.detail,
        trouble,
        describe_best(point),
    ]
    left, width = min(at, chart.base), max(abs(at - chart.base), 1.5)
    return (
        f'<rect class="{kind}{" broken" if trouble else ""}" x="{left:.1f}" y="{top + 9:.1f}" width="{width:.1f}" '
        f'height="{ROW - 18}"><title>{escaped("; ".join(one for one in words if one))}</title></rect>'
    )


def _inputs(chart: _Chart, driver: Driver, ends: list[DriverPoint], top: float) -> Iterator[str]:
    """Yield the input at the cheapest and at the dearest end, beside the bars."""
    base = _cost(driver.base)
    for side in (-1, 1):
        points = [point for point in ends if (_cost(point) - base) * side > 0 or (side > 0 and _cost(point) == base)]
        if points:
            far = max(points, key=lambda point: (abs(_cost(point) - base), describe_trouble(point)))
            x = chart.cost.place(_cost(far)) + 6 * side
            anchor = "start" if side > 0 else "end"
            trouble = describe_trouble_briefly(far)
            words = f"{format_input(driver, far)} ({trouble})" if trouble else format_input(driver, far)
            yield text(x, top + ROW / 2 + 4, words, "label", anchor=anchor)


def _cost(point: DriverPoint) -> int:
    return point.usd_micro or 0
