"""An infeasible job as a person reads it: which limits stand in the way, and what relaxing each one would take."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from optimizer.search.constraints import UNITS
from optimizer.workload.matrices import COMPLEXITY_ORDER, QUALITY_ORDER

from .colour import Meaning
from .describe import (
    command_lines,
    describe_counts,
    describe_flags,
    describe_limit,
    describe_machine,
    describe_method,
    describe_place,
    describe_snapshot,
    format_quote_range,
    job_lines,
)
from .figures import format_dollars, format_in_unit, format_span, plural
from .table import format_heading, format_pairs, format_paragraph, join_sections
from .text_rests_on import rests_on_section
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
            _rests_on(plan, style, verbose=verbose),
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
        return [*lines, *format_paragraph(_ways_out(plan.near_misses), style)]
    if not plan.solver.candidates:
        return [*lines, *format_paragraph("No offer passes the places and prices asked for: widen those first.", style)]
    return [*lines, *format_paragraph("Every candidate breaks more than one limit: relaxing one would not do.", style)]


def _ways_out(misses: Sequence[NearMiss]) -> str:
    if not any(miss.also for miss in misses):
        return "Each way out below relaxes one limit and keeps all others."
    if all(miss.also for miss in misses):
        return "Every candidate breaks more than one limit: each way out below relaxes those that it names."
    return "Each way out below relaxes the limits that it names and keeps all others."


def _near_miss(miss: NearMiss, style: Style) -> list[str]:
    candidate = miss.candidate
    choice = f"{describe_place(candidate.offer)} · {describe_machine(candidate)} · {describe_method(candidate.recipe)}"
    cost = f"{format_dollars(candidate.quote.expected_usd_micro)} ({format_quote_range(candidate.quote)})"
    pairs = [
        *([("Also", also)] if (also := _also(miss)) else []),
        *([("Choice", choice)] if miss.priced else []),
        *([("Cost", cost), ("Time", format_span(candidate.duration_s.expected))] if miss.priced else []),
        *([("Notice", notice)] if miss.priced and (notice := describe_flags(candidate.offer)) else []),
    ]
    gap = describe_gap(miss.limit, miss.unit, needed=miss.required, allowed=miss.allowed)
    title = _capital(f"{describe_limit(miss.limit)} {gap}".rstrip())
    # With a gap in figures and a choice to take the sentence would only say the same again.
    told = gap and miss.priced and miss.kind != "recipe"
    lines = [style.paint(style.plain(title), Meaning.TIGHT), *format_pairs(pairs, style)]
    return lines if told else [*lines, *format_paragraph(miss.sentence, style)]


def _also(miss: NearMiss) -> str:
    """Return the further limits that must give way, each with its gap."""
    words = []
    for limit in miss.also:
        needed = miss.broken.get(limit)
        gap = "" if needed is None else describe_gap(limit, UNITS[limit], needed=needed, allowed=miss.allows.get(limit))
        words.append(f"{describe_limit(limit)} {gap}".rstrip())
    return " · ".join(words)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def describe_gap(limit: str, unit: str, *, needed: float, allowed: float | None) -> str:
    """Return "32.2 h instead of 3.0 h"; empty for a limit that is a yes or a no. None is unknown."""
    if not unit:
        return ""
    if allowed is None or not math.isfinite(allowed):
        return f"{format_in_unit(needed, unit)}, and what the machine has is unknown"
    if unit == "levels":
        # A floor is lowered to what the candidate has, a ceiling raised to it.
        ends = sorted((needed, allowed), reverse=limit == "max_complexity")
        return f"{level(limit, ends[0])} instead of {level(limit, ends[1])}"
    return f"{format_in_unit(needed, unit)} instead of {format_in_unit(allowed, unit)}"


def level(limit: str, rank: float) -> str:
    """Return the word of an ordinal level of quality or complexity."""
    order = COMPLEXITY_ORDER if limit == "max_complexity" else QUALITY_ORDER
    return order[max(0, min(len(order) - 1, round(rank)))]


def _rests_on(plan: Plan, style: Style, *, verbose: bool) -> list[str]:
    pairs = [("Prices", describe_snapshot(plan.snapshot, plan.made_at))]
    return rests_on_section(
        pairs,
        style,
        job=plan.job,
        calibration=plan.calibration,
        notes=(*plan.lost, *plan.notes),
        unusable=plan.snapshot.unusable,
        verbose=verbose,
    )


def _next(plan: Plan, style: Style, words: Sequence[str]) -> list[str]:
    """Return the cheapest way out that flags open, ready to type."""
    open_ways = [miss for miss in plan.near_misses if miss.flags and miss.priced]
    for miss in sorted(open_ways, key=lambda miss: miss.candidate.quote.expected_usd_micro):
        relaxed = list(words)
        for flag, values in miss.flags:
            relaxed = replace_flag(relaxed, flag, values)
        aside = "the cheapest way out"
        return [format_heading("Next", aside, style), *command_lines(["plan", *relaxed], style)]
    return []


def replace_flag(words: Sequence[str], flag: str, values: Sequence[str]) -> list[str]:
    """Return the words of a command line with `flag` set to the values, once for each, whatever they gave it before."""
    flag = flag if flag.startswith("--") else "--" + flag.replace("_", "-")
    kept: list[str] = []
    skip = False
    for word in words:
        if not skip and word != flag and not word.startswith(flag + "="):
            kept.append(word)
        skip = word == flag and not skip
    return [*kept, *(word for value in values for word in (flag, value))]
