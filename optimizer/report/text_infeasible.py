"""An infeasible job as a person reads it: which limits stand in the way, and what relaxing each one would take."""

from __future__ import annotations

import math

from optimizer.search.results import NearMiss, Plan

from .colour import Meaning
from .describe import (
    describe_counts,
    describe_job,
    describe_limits,
    describe_machine,
    describe_method,
    describe_place,
    describe_snapshot,
    format_quote_range,
)
from .figures import format_dollars, format_gib, format_span, plural
from .style import Style
from .table import format_heading, format_list, format_pairs, format_paragraph
from .text_verbose import verbose_lines

FLAGS: dict[str, str] = {"deadline": "--deadline", "budget": "--budget", "confidence": "--confidence"}
"""Limits that one flag relaxes to a figure; the others are named without a command to type."""


def format_infeasible(plan: Plan, style: Style, *, flags: str = "", verbose: bool = False) -> str:
    """Return why nothing fits. Limits are never relaxed here: the reader is told by how much, and at what cost."""
    sections = [
        [format_heading(describe_job(plan.job), describe_limits(plan.job, plan.made_at), style)],
        _verdict(plan, style),
        *(_near_miss(miss, style) for miss in plan.near_misses),
        _rests_on(plan, style),
        verbose_lines(plan, style) if verbose else [],
        _next(plan, style, flags),
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


def _verdict(plan: Plan, style: Style) -> list[str]:
    counts = describe_counts(dict(plan.rejected))
    lines = [style.paint("Nothing fits", Meaning.BROKEN) + f"  {plural(plan.solver.candidates, 'candidate')} considered"]
    if counts:
        lines += format_pairs([("Lost to", counts)], style)
    if plan.near_misses:
        lines += format_paragraph("Each way out below relaxes one limit and keeps all others.", style)
    elif not plan.solver.candidates:
        lines += format_paragraph("No offer passes the places, GPUs and prices asked for: widen those first.", style)
    else:
        lines += format_paragraph("Every candidate breaks more than one limit: no single one would help.", style)
    return lines


def _near_miss(miss: NearMiss, style: Style) -> list[str]:
    candidate = miss.candidate
    pairs = [
        ("Needs", describe_gap(miss)),
        ("Would be", f"{describe_place(candidate.offer)} · {describe_machine(candidate)} · {describe_method(candidate.recipe)}"),
        ("Cost", f"{format_dollars(candidate.quote.expected_usd_micro)} ({format_quote_range(candidate.quote)})"),
        ("Time", format_span(candidate.duration_s.expected)),
    ]
    title = f"Relax the {miss.limit.replace('_', ' ')}"
    return [style.paint(title, Meaning.TIGHT), *format_pairs(pairs, style), *format_paragraph(miss.sentence, style)]


def describe_gap(miss: NearMiss) -> str:
    """Return "31.2 h, 24.0 h allowed: 7.2 h more"."""
    required, allowed = format_in_unit(miss.required, miss.unit), format_in_unit(miss.allowed, miss.unit)
    gap = abs(miss.required - miss.allowed)
    if not math.isfinite(gap):
        return f"{required}, {allowed} allowed"
    return f"{required}, {allowed} allowed: {format_in_unit(gap, miss.unit)} {'more' if miss.required > miss.allowed else 'less'}"


def format_in_unit(value: float, unit: str) -> str:
    """Return a figure of a limit in people's units."""
    if unit == "s":
        return format_span(value)
    if unit in {"byte", "bytes"}:
        return format_gib(value)
    if unit in {"usd_micro", "micro-dollars"}:
        return format_dollars(round(value))
    if unit == "usd":
        return format_dollars(round(value * 1_000_000))
    if unit == "ppm":
        return f"{value / 10_000:.1f} %"
    return f"{value:,.4g} {unit}".rstrip()


def _rests_on(plan: Plan, style: Style) -> list[str]:
    pairs = [("Prices", describe_snapshot(plan.snapshot, plan.made_at))]
    if unusable := describe_counts(dict(plan.snapshot.unusable)):
        pairs.append(("Left out", f"offers: {unusable}"))
    if plan.job.defaults_used:
        pairs.append(("Defaults", "; ".join(plan.job.defaults_used)))
    lines = [format_heading("What this rests on", "", style), *format_pairs(pairs, style)]
    return [*lines, *format_list((*plan.lost, *plan.notes), style)]


def _next(plan: Plan, style: Style, flags: str) -> list[str]:
    """Return the cheapest way out that is one flag away, ready to type."""
    for miss in sorted(plan.near_misses, key=lambda miss: miss.candidate.quote.expected_usd_micro):
        flag = relaxing_flag(miss)
        if flag:
            given = f" {flags}" if flags else " JOB.toml"
            command = format_paragraph(f"tunefare plan{given} {flag}", style, indent="      ", first="  $ ")
            return [format_heading("Next", "the cheapest way out", style), *command]
    return []


def relaxing_flag(miss: NearMiss) -> str | None:
    """Return the flag with the figure that lets this near miss in, rounded to the generous side; None if none does."""
    flag = FLAGS.get(miss.limit)
    if flag is None or not math.isfinite(miss.required):
        return None
    if miss.limit == "deadline" and miss.unit == "s":
        return f"{flag} {math.ceil(miss.required / 3600)}h"
    if miss.limit == "budget":
        micro = miss.required if miss.unit in {"usd_micro", "micro-dollars"} else miss.required * 1e6
        return f"{flag} {math.ceil(micro / 1e6)}"
    return None
