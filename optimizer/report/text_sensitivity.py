"""A sensitivity as a person reads it: the tornado, then the choice at each end, then the price of the deadline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .colour import Meaning
from .describe import (
    command_lines,
    describe_machine,
    describe_method,
    describe_place,
    describe_snapshot,
    job_lines,
)
from .describe_driver import (
    describe_best,
    describe_misfit,
    describe_trouble_briefly,
    format_input,
    format_interval,
    has_effect,
    name_driver,
)
from .figures import format_dollars, format_range, format_span, format_span_briefly
from .table import (
    Column,
    format_heading,
    format_paragraph,
    format_table,
    join_sections,
    text_width,
)
from .text_deadline_price import deadline_lines
from .text_rests_on import rests_on_section

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.search.sensitivity_results import Driver, DriverPoint, Sensitivity

    from .style import Style

MOST_CELLS, LEAST_CELLS = 40, 12


def format_sensitivity(sensitivity: Sensitivity, style: Style, *, words: Sequence[str] = ()) -> str:
    """Return the sensitivity as text. Costs are expected ones of one run. `words` are repeated as typed."""
    return join_sections(
        [
            job_lines(sensitivity.job, sensitivity.made_at, style),
            _choice(sensitivity, style),
            _tornado(sensitivity, style),
            _ends(sensitivity, style),
            deadline_lines(sensitivity.deadline, sensitivity.stretches, style),
            _rests_on(sensitivity, style),
            _next(style, words),
        ]
    )


def _choice(sensitivity: Sensitivity, style: Style) -> list[str]:
    one = sensitivity.choice
    where = f"{describe_place(one.offer)} · {describe_machine(one)} · {describe_method(one.recipe)}"
    cost = (
        f"{format_dollars(one.quote.expected_usd_micro)} a run, done within {format_span(one.finish_s_at_confidence)}"
    )
    sure = f"at {sensitivity.job.confidence_ppm / 1e4:g} % confidence"
    return [format_heading("The choice", "", style), *format_paragraph(f"{where}: {cost} {sure}", style)]


def _tornado(sensitivity: Sensitivity, style: Style) -> list[str]:
    """Return a bar a driver: from its cheapest to its dearest point, the cost of the choice marked in it."""
    drivers = sensitivity.drivers
    rows = [[name_driver(one), format_interval(one), _costs(one)] for one in drivers]
    taken = sum(max(text_width(row[at]) for row in rows) + 2 for at in range(3)) + 2
    cells = max(LEAST_CELLS, min(MOST_CELLS, style.width - taken))
    ends = [point.usd_micro for one in drivers for point in one.points if point.usd_micro is not None]
    low, high, base = min(ends), max(ends), sensitivity.choice.quote.expected_usd_micro
    for row, driver in zip(rows, drivers, strict=True):
        row.append(_bar(driver, low=low, high=high, base=base, cells=cells, style=style))
    columns = [Column(title="driver"), Column(title="interval", shrinks=True), Column(title="cost"), Column(title="")]
    aside = "one driver at a time, largest swing first"
    return [format_heading("What the cost hangs on", aside, style), *format_table(columns, rows, style)]


def _costs(driver: Driver) -> str:
    costs = [point.usd_micro for point in driver.points if point.usd_micro is not None]
    if not has_effect(driver) or driver.swing_usd_micro == 0:
        return format_dollars(driver.base.usd_micro)
    return format_range(format_dollars(min(costs)), format_dollars(max(costs)))


def _bar(driver: Driver, *, low: int, high: int, base: int, cells: int, style: Style) -> str:
    """Return a bar on the scale that all drivers share; words where there is nothing to draw."""
    costs = [point.usd_micro for point in driver.points if point.usd_micro is not None]
    if not has_effect(driver):
        words = "no effect on the cost"
        return words if len(words) <= cells else "no effect"
    span = max(high - low, 1)

    def cell(cost: int) -> int:
        return min(cells - 1, (cost - low) * cells // span)

    full, middle = ("█", "│") if style.unicode else ("#", "|")
    first, last, marked = cell(min(costs)), cell(max(costs)), cell(base)
    drawn = [full if first <= at <= last and first != last else " " for at in range(cells)]
    drawn[marked] = middle
    return "".join(drawn).rstrip()


def _ends(sensitivity: Sensitivity, style: Style) -> list[str]:
    """Return the choice at the ends of every driver that has an effect, and what becomes of it there."""
    found: list[tuple[str, Driver, DriverPoint]] = []
    for driver in sensitivity.drivers:
        name = name_driver(driver)
        for point in driver.points if has_effect(driver) else ():
            if point is not driver.base and point != driver.base:
                found.append((name, driver, point))
                name = ""
    if not found:
        return []
    rows = [
        [
            name,
            format_input(driver, point),
            "" if point.usd_micro is None else format_dollars(point.usd_micro),
            "" if point.finish_s is None else format_span_briefly(point.finish_s),
            describe_trouble_briefly(point),
        ]
        for name, driver, point in found
    ]
    columns = [
        Column(title="driver"),
        Column(title="at"),
        Column(title="cost", right=True),
        Column(title="time", right=True),
        Column(title="", shrinks=True, smallest=4),
    ]
    title, *lines = format_table(columns, rows, style)
    told = [format_heading("The choice at each end", "and the best plan there, where it was sought", style), title]
    for line, (_, _, point) in zip(lines, found, strict=True):
        told.append(line)
        notes = [words for words in (point.detail, describe_misfit(point), describe_best(point)) if words]
        if notes:
            aside = format_paragraph("; ".join(notes), style, indent="      ", first="    ")
            told += [style.paint(one, Meaning.ASIDE) for one in aside]
    return told


def _rests_on(sensitivity: Sensitivity, style: Style) -> list[str]:
    pairs = [("Prices", describe_snapshot(sensitivity.snapshot, sensitivity.made_at))]
    pairs.append(("Intervals", "; ".join(_interval(driver) for driver in sensitivity.drivers)))
    return rests_on_section(
        pairs,
        style,
        job=sensitivity.job,
        calibration=sensitivity.calibration,
        notes=sensitivity.notes,
    )


def _interval(driver: Driver) -> str:
    words = [one for one in (driver.why, driver.one_sided) if one]
    return f"{name_driver(driver)}: {', but '.join(words)}"


def _next(style: Style, words: Sequence[str]) -> list[str]:
    lines = [format_heading("Next", "", style), *command_lines(["frontier", *words], style)]
    return [*lines, *command_lines(["sensitivity", *words, "--plot", "sensitivity.svg"], style)]
