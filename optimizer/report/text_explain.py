"""Why something is not the choice, as a person reads it: the sentence, then both side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.search.constraints import UNITS

from .colour import Meaning
from .describe import (
    describe_calibration,
    describe_flags,
    describe_machine,
    describe_method,
    describe_pricing,
    format_quote_range,
)
from .figures import (
    format_age,
    format_dollars,
    format_gib,
    format_in_unit,
    format_ppm,
    format_span,
)
from .table import Column, format_heading, format_list, format_pairs, format_paragraph, format_table, join_sections

if TYPE_CHECKING:
    from datetime import datetime

    from optimizer.search.results import Candidate, Explanation
    from providers.offer import Offer

    from .style import Style

VERDICTS: dict[str, tuple[str, Meaning]] = {
    "chosen": ("It is the choice", Meaning.GOOD),
    "dearer": ("It would do, and costs more", Meaning.TIGHT),
    "infeasible": ("It breaks a limit", Meaning.BROKEN),
    "absent": ("There is no such candidate", Meaning.BROKEN),
}


def format_explanation(explanation: Explanation, style: Style, *, deadline: bool = True) -> str:
    """Return an explanation as text; `deadline` says whether the job has one, and chances are worth showing."""
    words, meaning = VERDICTS.get(explanation.verdict, (explanation.verdict, Meaning.TIGHT))
    title = f"{format_heading(f'Why not {explanation.spec}?', '', style)}  {style.paint(words, meaning)}"
    return join_sections(
        [
            [title, *format_paragraph(explanation.sentence, style)],
            _broken(explanation, style),
            _side_by_side(explanation, style, deadline=deadline),
            _notices(explanation, style),
            _calibration(explanation, style),
        ]
    )


def _broken(explanation: Explanation, style: Style) -> list[str]:
    """Return the limits that it breaks, each with what it needs and what is allowed."""
    pairs = [
        (limit.replace("_", " "), f"needs {format_in_unit(needed, unit)}, allowed {format_in_unit(allowed, unit)}")
        for limit, (needed, allowed) in explanation.broken.items()
        if (unit := UNITS.get(limit, "")) not in {"", "levels"}
    ]
    return [format_heading("Limits broken", "", style), *format_pairs(pairs, style)] if pairs else []


def _side_by_side(explanation: Explanation, style: Style, *, deadline: bool) -> list[str]:
    """Return the choice of the plan and what was asked about in two columns, line by line."""
    asked, choice = explanation.candidate, explanation.choice
    if asked is None or choice is None or explanation.verdict == "chosen":
        return []
    columns = [Column(title=""), Column(title="the choice", shrinks=True), Column(title="asked about", shrinks=True)]
    now = explanation.made_at
    ours, theirs = (_facts(one, now, deadline=deadline) for one in (choice, asked))
    rows = [[name, fact, other] for (name, fact), (_, other) in zip(ours, theirs, strict=True)]
    return format_table(columns, rows, style)


def _notices(explanation: Explanation, style: Style) -> list[str]:
    """Return what a reader should know of either offer beside its figures."""
    both = (("the choice", explanation.choice), ("asked about", explanation.candidate))
    pairs = [(name, words) for name, one in both if one is not None and (words := describe_flags(one.offer))]
    return [format_heading("Notice", "", style), *format_pairs(pairs, style)] if pairs else []


def _calibration(explanation: Explanation, style: Style) -> list[str]:
    """Return the measured runs that the figures are calibrated with, and how far they reach."""
    if explanation.calibration is None:
        return []
    lines = format_pairs([("Calibration", describe_calibration(explanation.calibration))], style)
    return [*lines, *format_list(explanation.notes, style)]


def _facts(candidate: Candidate, now: datetime | None, *, deadline: bool) -> list[tuple[str, str]]:
    offer, quote, memory = candidate.offer, candidate.quote, candidate.memory
    facts = [
        ("machine", describe_machine(candidate)),
        ("place", f"{offer.provider} {offer.zone or offer.region}"),
        ("type", f"{offer.instance_type} {offer.variant or ''}".rstrip()),
        ("paid", describe_pricing(offer)),
        ("price", _price_age(offer, now)),
        ("method", describe_method(candidate.recipe)),
        ("cost", format_dollars(quote.expected_usd_micro)),
        ("80 % within", format_quote_range(quote)),
        ("time", format_span(candidate.duration_s.expected)),
        ("memory", f"{format_gib(memory.needed.high)} of {format_gib(memory.usable_bytes)}"),
    ]
    return [*facts, ("in time", format_ppm(candidate.finish_probability_ppm))] if deadline else facts


def _price_age(offer: Offer, now: datetime | None) -> str:
    if now is None:
        return f"{offer.price_class.value} price of {offer.observed_at:%Y-%m-%d}"
    return f"{offer.price_class.value}, {format_age((now - offer.observed_at).total_seconds())} old"
