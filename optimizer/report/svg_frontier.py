"""A frontier as one SVG file: cost over time on logarithmic axes, one series for each quality level.

Readable on light and on dark ground, without any script. Equal frontiers give equal bytes. Names are escaped.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from optimizer.search.frontier_steps import telling_points

from .chart_axis import Axis, axis_around, money_label, money_ticks, span_ticks
from .chart_labels import Boxes, LabelBox
from .chart_svg import chart_head, dashed, escaped, gridline, text
from .describe import describe_job, describe_machine_briefly, describe_method_briefly, describe_place
from .figures import MICRO, format_dollars, format_span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from optimizer.search.frontier import Frontier, FrontierPoint
    from optimizer.search.results import Candidate

WIDTH, HEIGHT = 960, 600
LEFT, RIGHT, TOP, BOTTOM = 84, 28, 92, 60
BEYOND = 4.0
"""A deadline or a budget that lies further outside the points than this factor is told, not drawn."""
COLOURS: dict[str, tuple[str, str]] = {
    "low": ("#9a6700", "#d29922"),
    "medium": ("#1a7f37", "#56d364"),
    "med-high": ("#0550ae", "#79c0ff"),
    "high": ("#bf3989", "#ff9bce"),
    "highest": ("#8250df", "#d2a8ff"),
}
"""Each quality level on light and on dark ground."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chart:
    frontier: Frontier
    time: Axis
    cost: Axis
    left_s: float | None
    budget_micro: float | None

    def x(self, candidate: Candidate) -> float:
        return self.time.place(candidate.finish_s_at_confidence)

    def y(self, candidate: Candidate) -> float:
        return self.cost.place(candidate.quote.expected_usd_micro)


def svg_frontier(frontier: Frontier) -> str:
    """Return the frontier as the text of an SVG file. It has at least one point."""
    chart = _chart(frontier)
    title = f"What time costs: {describe_job(frontier.job)}"
    words = (
        f"Expected cost over time for the {len(frontier.points)} points that nothing beats in cost, time and quality."
    )
    lines = chart_head(WIDTH, HEIGHT, title=title, words=words, style=_style())
    lines += [text(LEFT, 32, title, "title"), text(LEFT, 52, _subtitle(chart), "small")]
    lines += _axes(chart)
    lines += _limits(chart)
    for level, members in groupby(frontier.points, key=lambda point: point.candidate.quality):
        lines += _series(chart, level, list(members))
    lines += _labels(chart)
    lines += _legend(frontier.points)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _chart(frontier: Frontier) -> _Chart:
    job, points = frontier.job, frontier.points
    times = [point.candidate.finish_s_at_confidence for point in points]
    costs = [float(point.candidate.quote.expected_usd_micro) for point in points]
    left_s = None if job.deadline_at is None else (job.deadline_at - frontier.made_at).total_seconds()
    budget = None if job.budget_usd is None else float(job.budget_usd) * MICRO / job.runs
    times += [one for one in (left_s,) if one is not None and _near(one, times)]
    costs += [one for one in (budget,) if one is not None and _near(one, costs)]
    return _Chart(
        frontier=frontier,
        time=axis_around(times, start=LEFT, end=WIDTH - RIGHT),
        cost=axis_around(costs, start=HEIGHT - BOTTOM, end=TOP),
        left_s=left_s,
        budget_micro=budget,
    )


def _near(limit: float, values: list[float]) -> bool:
    return min(values) / BEYOND <= limit <= max(values) * BEYOND and limit > 0.0


def _drawn(limit: float | None, axis: Axis) -> bool:
    return limit is not None and axis.low <= limit <= axis.high


def _subtitle(chart: _Chart) -> str:
    words = [f"time within which a run ends at {chart.frontier.job.confidence_ppm / 1e4:g} % confidence"]
    if chart.left_s is not None and not _drawn(chart.left_s, chart.time):
        words.append(f"the deadline, {format_span(chart.left_s)}, lies outside")
    if chart.budget_micro is not None and not _drawn(chart.budget_micro, chart.cost):
        words.append(f"the budget, {format_dollars(round(chart.budget_micro))}, lies outside")
    return "; ".join(words)


def _axes(chart: _Chart) -> Iterator[str]:
    for tick in money_ticks(chart.cost):
        y = chart.cost.place(tick)
        yield gridline(LEFT, y, WIDTH - RIGHT, y)
        yield text(LEFT - 8, y + 4, money_label(tick), "small", anchor="end")
    for tick in span_ticks(chart.time):
        x = chart.time.place(tick)
        yield gridline(x, TOP, x, HEIGHT - BOTTOM)
        yield text(x, HEIGHT - BOTTOM + 19, _span_label(tick), "small", anchor="middle")
    yield f'<path class="axis" d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>'
    time, cost = (" (logarithmic)" if axis.log else "" for axis in (chart.time, chart.cost))
    yield text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, f"time{time}", "small", anchor="middle")
    words = f"expected cost of a run{cost}"
    yield text(16, (TOP + HEIGHT - BOTTOM) / 2, words, "small", anchor="middle", turned=True)


def _span_label(seconds: float) -> str:
    return format_span(seconds).replace(".0 ", " ")


def _limits(chart: _Chart) -> Iterator[str]:
    if chart.left_s is not None and _drawn(chart.left_s, chart.time):
        x = chart.time.place(chart.left_s)
        yield dashed(x, TOP, x, HEIGHT - BOTTOM)
        yield text(x + 5, HEIGHT - BOTTOM - 6, "deadline", "limit")
    if chart.budget_micro is not None and _drawn(chart.budget_micro, chart.cost):
        y = chart.cost.place(chart.budget_micro)
        yield dashed(LEFT, y, WIDTH - RIGHT, y)
        yield text(WIDTH - RIGHT - 5, y - 5, "budget (against the high end of a cost)", "limit", anchor="end")


def _series(chart: _Chart, level: str, members: list[FrontierPoint]) -> Iterator[str]:
    """Yield the steps of a level: what a run costs at least with that much time, and a mark at each point."""
    fastest_first = sorted(members, key=lambda point: point.candidate.finish_s_at_confidence)
    first = fastest_first[0].candidate
    path = f"M{chart.x(first):.1f} {chart.y(first):.1f}"
    for point in fastest_first[1:]:
        path += f"H{chart.x(point.candidate):.1f}V{chart.y(point.candidate):.1f}"
    yield f'<path class="line {level}" d="{path}H{WIDTH - RIGHT}"/>'
    for point in members:
        x, y = chart.x(point.candidate), chart.y(point.candidate)
        if point.chosen:
            yield f'<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="9"/>'
        dot = f"dot {level}" if point.allowed else f"hollow {level}"
        yield f'<circle class="{dot}" cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{escaped(_told(point))}</title></circle>'


def _told(point: FrontierPoint) -> str:
    one = point.candidate
    figures = f"{format_dollars(one.quote.expected_usd_micro)} in {format_span(one.finish_s_at_confidence)}"
    machine = f"{describe_machine_briefly(one)}, {describe_method_briefly(one.recipe)}, {describe_place(one.offer)}"
    return f"{'The choice: ' if point.chosen else ''}{figures}: {machine}"


def _labels(chart: _Chart) -> Iterator[str]:
    """Yield the machine at each telling point, where there is room for it; the choice first."""
    points = chart.frontier.points
    boxes = Boxes(left=LEFT, right=WIDTH - RIGHT, top=TOP, bottom=HEIGHT - BOTTOM)
    if chart.left_s is not None and _drawn(chart.left_s, chart.time):
        boxes.take(LabelBox(chart.time.place(chart.left_s), HEIGHT - BOTTOM - 20.0, WIDTH - RIGHT, HEIGHT - BOTTOM))
    for point in points:
        boxes.take(LabelBox.around(chart.x(point.candidate), chart.y(point.candidate), 5.0))
    telling = [points[at] for at in telling_points(points)]
    for point in sorted(telling, key=lambda one: not one.chosen):
        words = describe_machine_briefly(point.candidate)
        words = f"the choice: {words}" if point.chosen else words
        found = boxes.place(chart.x(point.candidate), chart.y(point.candidate), words)
        if found is not None:
            x, y, anchor = found
            yield text(x, y, words, "chosen" if point.chosen else "label", anchor=anchor)


def _legend(points: Sequence[FrontierPoint]) -> Iterator[str]:
    x = float(LEFT)
    yield text(x, 76, "quality", "small")
    x += 52
    for level in dict.fromkeys(point.candidate.quality for point in points):
        yield f'<circle class="dot {level}" cx="{x + 5:.1f}" cy="72" r="5"/>'
        yield text(x + 16, 76, level, "name")
        x += 40 + 8 * len(level)
    if not all(point.allowed for point in points):
        yield f'<circle class="hollow" cx="{x + 5:.1f}" cy="72" r="4"/>'
        yield text(x + 16, 76, "hollow: breaks a limit of the job", "small")


def _style() -> str:
    light = "".join(_coloured(level, colour) for level, (colour, _) in COLOURS.items())
    dark = "".join(_coloured(level, colour) for level, (_, colour) in COLOURS.items())
    return f"{light}@media (prefers-color-scheme:dark){{\n{dark}}}"


def _coloured(level: str, colour: str) -> str:
    return f".line.{level},.hollow.{level}{{stroke:{colour}}}\n.dot.{level}{{fill:{colour}}}\n"
