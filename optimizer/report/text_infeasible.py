"""An infeasible job as a person reads it: which limits stand in the way, and what relaxing each one would take."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from optimizer.workload.matrices import COMPLEXITY_ORDER, QUALITY_ORDER

from .colour import Meaning
from .describe import (
    command_lines,
    describe_counts,
    describe_limit,
    describe_machine,
    describe_method,
    describe_place,
    describe_snapshot,
    format_quote_range,
    job_lines,
)
from .figures import DAY, HOUR, MICRO, format_dollars, format_in_unit, format_span, plural
from .table import format_heading, format_list, format_pairs, format_paragraph, join_sections
from .text_verbose import verbose_sections

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.search.results import NearMiss, Plan

    from .style import Style


def format_infeasible(plan: Plan, style: Style, *, words: Sequence[str] = (), verbose: bool = False) -> str:
    """Return why nothing fits. Limits are never relaxed here: the reader is told by how much, and at what cost."""
    return join_sections(
        [
            job_lines(plan.job, plan.made_at, style),
            _verdict(plan, style),
            *(_near_miss(miss, style) for miss in plan.near_misses),
            _rests_on(plan, style),
            *(verbose_sections(plan, style) if verbose else []),
            _next(plan, style, words),
        ]
    )


def _verdict(plan: Plan, style: Style) -> list[str]:
    considered = f"{plural(plan.solver.candidates, 'candidate')} considered"
    lines = [f"{style.paint('Nothing fits', Meaning.BROKEN)}  {considered}"]
    counts = describe_counts(plan.rejected)
    if counts:
        lines += format_pairs([("Lost to", counts)], style)
    if plan.near_misses:
        return [*lines, *format_paragraph("Each way out below relaxes one limit and keeps all others.", style)]
    if not plan.solver.candidates:
        return [*lines, *format_paragraph("No offer passes the places and prices asked for: widen those first.", style)]
    return [*lines, *format_paragraph("Every candidate breaks more than one limit: relaxing one would not do.", style)]


def _near_miss(miss: NearMiss, style: Style) -> list[str]:
    candidate = miss.candidate
    choice = f"{describe_place(candidate.offer)} · {describe_machine(candidate)} · {describe_method(candidate.recipe)}"
    pairs = [
        ("Choice", choice),
        ("Cost", f"{format_dollars(candidate.quote.expected_usd_micro)} ({format_quote_range(candidate.quote)})"),
        ("Time", format_span(candidate.duration_s.expected)),
    ]
    gap = describe_gap(miss)
    name = describe_limit(miss.limit)
    name = name[:1].upper() + name[1:]
    lines = [style.paint(f"{name} {gap}" if gap else name, Meaning.TIGHT)]
    # With a gap in figures the sentence would only say the same again.
    return [*lines, *format_pairs(pairs, style), *([] if gap else format_paragraph(miss.sentence, style))]


def describe_gap(miss: NearMiss) -> str:
    """Return "32.2 h instead of 3.0 h"; empty for a limit that is a yes or a no."""
    if miss.unit == "levels":
        # A floor is lowered to what the candidate has, a ceiling raised to it.
        ends = sorted((miss.required, miss.allowed), reverse=miss.limit == "max_complexity")
        return f"{level(miss.limit, ends[0])} instead of {level(miss.limit, ends[1])}"
    if not miss.unit:
        return ""
    return f"{format_in_unit(miss.required, miss.unit)} instead of {format_in_unit(miss.allowed, miss.unit)}"


def level(limit: str, rank: float) -> str:
    """Return the word of an ordinal level of quality or complexity."""
    order = COMPLEXITY_ORDER if limit == "max_complexity" else QUALITY_ORDER
    return order[max(0, min(len(order) - 1, round(rank)))]


def _rests_on(plan: Plan, style: Style) -> list[str]:
    pairs = [("Prices", describe_snapshot(plan.snapshot, plan.made_at))]
    if unusable := describe_counts(plan.snapshot.unusable):
        pairs.append(("Left out", f"offers: {unusable}"))
    if plan.job.defaults_used:
        pairs.append(("Defaults", "; ".join(plan.job.defaults_used)))
    lines = [format_heading("What this rests on", "", style), *format_pairs(pairs, style)]
    return [*lines, *format_list((*plan.lost, *plan.notes), style)]


def _next(plan: Plan, style: Style, words: Sequence[str]) -> list[str]:
    """Return the cheapest way out that is one flag away, ready to type."""
    for miss in sorted(plan.near_misses, key=lambda miss: miss.candidate.quote.expected_usd_micro):
        relaxed = relaxing_flag(miss)
        if relaxed:
            command = command_lines(["plan", *replace_flag(words, *relaxed)], style)
            return [format_heading("Next", "the cheapest way out", style), *command]
    return []


def relaxing_flag(miss: NearMiss) -> tuple[str, str] | None:
    """Return flag and value that let this near miss in, rounded to the generous side; None if no one flag does."""
    if not math.isfinite(miss.required):
        return None
    up = math.ceil(miss.required)
    values = {
        "deadline": lambda: f"{math.ceil(miss.required / HOUR)}h",
        "budget": lambda: f"{math.ceil(miss.required / MICRO)}",
        "max_price_age": lambda: f"{math.ceil(miss.required / DAY)}d",
        "max_gpus": lambda: f"{up}",
        "max_nodes": lambda: f"{up}",
        "quality_floor": lambda: level(miss.limit, min(miss.required, miss.allowed)),
        "max_complexity": lambda: level(miss.limit, max(miss.required, miss.allowed)),
    }
    value = values.get(miss.limit)
    return None if value is None else ("--" + miss.limit.replace("_", "-"), value())


def replace_flag(words: Sequence[str], flag: str, value: str) -> list[str]:
    """Return the words of a command line with `flag` set to `value`, whatever they gave it before."""
    kept: list[str] = []
    skip = False
    for word in words:
        if not skip and word != flag:
            kept.append(word)
        skip = word == flag and not skip
    return [*kept, flag, value]
