"""A frontier as a person reads it: by quality, cheapest first, each point with what it costs more and buys."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from optimizer.search.frontier_steps import SHOWN, steps_along, telling_points

from .colour import Meaning
from .describe import (
    PAID,
    command_lines,
    describe_machine_briefly,
    describe_method_briefly,
    describe_place_briefly,
    describe_snapshot,
    job_lines,
)
from .figures import format_dollars, format_span_briefly, plural
from .table import Column, format_heading, format_paragraph, format_table, join_sections
from .text_deadline_price import deadline_lines
from .text_rests_on import rests_on_section

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.search.frontier import Frontier, FrontierPoint
    from optimizer.search.frontier_steps import Step

    from .style import Style

COLUMNS = (
    Column(title="cost", right=True),
    Column(title="time", right=True),
    Column(title="machine", shrinks=True, smallest=14),
    Column(title="recipe"),
    Column(title="paid"),
    Column(title="provider", shrinks=True, smallest=6),
    Column(title="region", shrinks=True, smallest=6, optional=True),
    Column(title=""),
)


def format_frontier(frontier: Frontier, style: Style, *, most: int | None = SHOWN, words: Sequence[str] = ()) -> str:
    """Return the frontier as text, at most `most` telling points of it (None: all). `words` are repeated as typed.

    Costs are expected ones of one run, times those within which it ends at the confidence asked for.
    """
    points = frontier.points
    at = range(len(points)) if most is None else telling_points(points, most)
    shown = [points[one] for one in at]
    steps = steps_along(shown)
    return join_sections(
        [
            job_lines(frontier.job, frontier.made_at, style),
            _summary(frontier, len(shown), style),
            *_levels(frontier, shown, steps, style),
            deadline_lines(frontier.deadline, frontier.stretches, style),
            _rests_on(frontier, style),
            _next(frontier, len(points) - len(shown), style, words),
        ]
    )


def _summary(frontier: Frontier, shown: int, style: Style) -> list[str]:
    total = len(frontier.points)
    count = plural(total, "point") if shown == total else f"{shown} of {plural(total, 'point')}"
    lines = [format_heading("Frontier", f"{count} that nothing beats in cost, time and quality", style)]
    if not frontier.feasible:
        lines.append("  " + style.paint("Nothing keeps every limit of the job.", Meaning.BROKEN))
    return [*lines, *format_paragraph(" ".join(_readings(frontier)), style)]


def _readings(frontier: Frontier) -> list[str]:
    """Return how the figures are meant, in sentences."""
    runs = frontier.job.runs
    told = [f"Times are those within which a run ends at {frontier.job.confidence_ppm / 1e4:g} % confidence."]
    if runs > 1:
        told.append(f"Costs are of one run of {runs}, all on the same machine.")
    if frontier.feasible and frontier.chosen is None:
        told.append("The plan spreads the runs over several machines, which is no point here.")
    if frontier.lifted:
        told.append("Recipes that shard or offload without need take part: nothing else keeps every limit.")
    return told


def _levels(
    frontier: Frontier, shown: Sequence[FrontierPoint], steps: Sequence[Step | None], style: Style
) -> list[list[str]]:
    """Return a section a quality level; the columns of all stand under each other."""
    mixed = len({point.candidate.offer.pricing_model for point in shown}) > 1
    title, *rows = format_table(COLUMNS, [_row(point, mixed=mixed) for point in shown], style)
    found = list(zip(shown, steps, rows, strict=True))
    sections = []
    for level, members in groupby(found, key=lambda one: one[0].candidate.quality):
        total = sum(point.candidate.quality == level for point in frontier.points)
        sections.append(_level(level, list(members), total, title, style))
    return sections


def _level(
    level: str, members: list[tuple[FrontierPoint, Step | None, str]], total: int, title: str, style: Style
) -> list[str]:
    aside = plural(total, "point") if len(members) == total else f"{len(members)} of {plural(total, 'point')}"
    if members[0][0].keeps_quality_floor is False:
        aside += ", below the floor of the job"
    found = [format_heading(f"Quality {level}", aside, style), title]
    for point, step, row in members:
        found.append(style.paint(row, Meaning.CHOICE) if point.chosen else row)
        if step is not None:
            told = format_paragraph(step.sentence, style, indent="             ", first="           ")
            found += [style.paint(one, Meaning.ASIDE) for one in told]
    return found


def _row(point: FrontierPoint, *, mixed: bool) -> list[str]:
    candidate = point.candidate
    return [
        format_dollars(candidate.quote.expected_usd_micro),
        format_span_briefly(candidate.finish_s_at_confidence),
        describe_machine_briefly(candidate),
        describe_method_briefly(candidate.recipe),
        PAID[candidate.offer.pricing_model.value] if mixed else "",
        candidate.offer.provider,
        describe_place_briefly(candidate.offer),
        describe_limits_kept(point),
    ]


def describe_limits_kept(point: FrontierPoint) -> str:
    """Return "the choice", or which limits of the job a point breaks: "late, over budget"; empty for the others.

    The floor is not among them: the whole level is below it, and its heading says so.
    """
    if point.chosen:
        return "the choice"
    late, dear = point.keeps_deadline is False, point.keeps_budget is False
    return ", ".join([*(["late"] if late else []), *(["over budget"] if dear else [])])


def _rests_on(frontier: Frontier, style: Style) -> list[str]:
    pairs = [("Searched", plural(frontier.candidates, "candidate"))]
    if frontier.snapshot is not None:
        pairs.insert(0, ("Prices", describe_snapshot(frontier.snapshot, frontier.made_at)))
    return rests_on_section(
        pairs,
        style,
        job=frontier.job,
        calibration=frontier.calibration,
        notes=frontier.notes,
    )


def _next(frontier: Frontier, left_out: int, style: Style, words: Sequence[str]) -> list[str]:
    lines = [format_heading("Next", "", style)]
    if not frontier.feasible:
        lines += command_lines(["plan", *words], style)
    if left_out:
        lines += command_lines(["frontier", *words, "--all"], style)
    return [*lines, *command_lines(["frontier", *words, "--plot", "frontier.svg"], style)]
