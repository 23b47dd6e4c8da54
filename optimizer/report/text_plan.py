"""A plan as a person reads it: the choice on top, then the bill, the others, and what it all rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.search.results import Candidate, Plan, PlanStatus

from .describe import (
    PAID,
    bill_lines,
    command_lines,
    describe_counts,
    describe_finish,
    describe_flags,
    describe_machine,
    describe_machine_briefly,
    describe_memory,
    describe_method,
    describe_method_briefly,
    describe_place,
    describe_place_briefly,
    describe_price,
    describe_pricing,
    describe_recipe,
    describe_snapshot,
    explain_marks,
    format_quote_range,
    job_lines,
    mark_offer,
)
from .figures import (
    format_dollars,
    format_percent,
    format_ppm_briefly,
    format_rate,
    format_span,
    format_span_briefly,
    format_span_range,
    plural,
)
from .objective import describe_objective
from .table import (
    Column,
    format_heading,
    format_headline,
    format_list,
    format_pairs,
    format_paragraph,
    format_table,
    join_sections,
)
from .text_deadline_price import describe_confidence_prices, describe_deadline_price
from .text_infeasible import format_infeasible
from .text_rests_on import rests_on_section
from .text_rivals import rivals_section
from .text_spot import spot_section
from .text_verbose import verbose_sections

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .style import Style


def format_plan(plan: Plan, style: Style, *, words: Sequence[str] = (), verbose: bool = False) -> str:
    """Return the plan as text, an infeasible one too. `words` are those of the command line, to be repeated.

    Low and high are the 10 % and 90 % quantiles, times are UTC, GiB are 2^30 bytes.
    """
    if plan.status is PlanStatus.INFEASIBLE or not plan.choices:
        return format_infeasible(plan, style, words=words, verbose=verbose)
    best = plan.choices[0]
    return join_sections(
        [
            job_lines(plan.job, plan.made_at, style),
            _choice_lines(plan, best, style),
            _sweep_section(plan, style),
            _bill_section(plan, best, style),
            spot_section(best, style),
            _others_section(plan, best, style),
            _lost_section(plan, style),
            rivals_section(plan.rivals, style, verbose=verbose),
            _basis_section(plan, style, verbose=verbose),
            *(verbose_sections(plan, style) if verbose else []),
            _next_section(plan, best, style, words),
        ]
    )


def _choice_lines(plan: Plan, best: Candidate, style: Style) -> list[str]:
    offer, quote, duration = best.offer, best.quote, best.duration_s
    headline = f"{describe_place(offer)} · {describe_machine(best)} · {describe_method(best.recipe)}"
    span = format_span_range(duration.low, duration.high)
    time = f"{format_span(duration.expected, like=duration.high):<10}{_range(span)}"
    cost = f"{format_dollars(quote.expected_usd_micro):<10}{_range(format_quote_range(quote))}"
    pairs = [
        ("Cost", cost + (" for each run" if plan.job.runs > 1 else "")),
        ("Time", time),
        ("Finish", describe_finish(best, plan.job, plan.made_at)),
        *([("Deadline", describe_deadline_price(plan.deadline_price))] if plan.deadline_price else []),
        *([("Robust", robust)] if (robust := _describe_robust(plan)) else []),
        *([("Surer", surer)] if (surer := describe_confidence_prices(plan)) else []),
        ("Memory", describe_memory(best.memory, style)),
        ("Speed", _describe_speed(best)),
        (
            "Machine",
            f"{offer.instance_type}, {describe_pricing(offer)}, {describe_price(offer, best.nodes, plan.made_at)}",
        ),
        *([("Notice", notice)] if (notice := describe_flags(offer)) else []),
        ("Recipe", describe_recipe(best.recipe)),
        ("Quality", f"{best.quality} (complexity {best.complexity})"),
        ("Objective", describe_objective(plan.job.objective)),
    ]
    title = "Best found in the time allowed" if plan.status is PlanStatus.TIME_LIMIT else "Cheapest"
    return [*format_headline(title, headline, style), *format_pairs(pairs, style)]


def _describe_robust(plan: Plan) -> str:
    """Return what the robust choice costs at worst, against the plan of least expected cost; nothing unless asked."""
    report = plan.robust
    if report is None:
        return ""
    worst = f"{format_dollars(report.worst_usd_micro)} where all turns out badly at once"
    if report.same or report.least_expected_usd_micro is None or report.worst_of_least_usd_micro is None:
        return f"{worst}; it is the cheapest expected as well" if report.same else worst
    less = report.expected_usd_micro - report.least_expected_usd_micro
    more = report.worst_of_least_usd_micro - report.worst_usd_micro
    other = f"the cheapest expected would save {format_dollars(max(less, 0))}"
    return f"{worst}; {other}, and then cost {format_dollars(max(more, 0))} more, or miss a limit"


def _range(text: str) -> str:
    return f"(80 % within {text})"


def _describe_speed(best: Candidate) -> str:
    speed = best.speed.tokens_per_s
    low, high = format_rate(speed.low), format_rate(speed.high)
    rate = f"{format_rate(speed.expected)} tokens/s ({low} – {high})"
    return f"{rate}, bound by {best.speed.bound} (basis {speed.basis.value})"


def _bill_section(plan: Plan, best: Candidate, style: Style) -> list[str]:
    if len([item for item in best.quote.items if item.usd_micro]) < 2:
        return []
    aside = f"expected, one run of {plan.job.runs}" if plan.job.runs > 1 else "expected"
    if best.nodes > 1:
        aside += f"; times are those of {best.nodes} nodes added up"
    return [
        format_heading("The bill", aside, style),
        *bill_lines(best.quote.items, style),
    ]


def _sweep_section(plan: Plan, style: Style) -> list[str]:
    """Return which machine carries how many runs of a sweep, and what they cost together."""
    if plan.job.runs == 1:
        return []
    columns = [
        Column(title="runs", right=True),
        Column(title="provider", shrinks=True),
        Column(title="region", shrinks=True),
        Column(title="machine", shrinks=True, smallest=14),
        Column(title="recipe"),
        Column(title="cost", right=True),
        Column(title="time", right=True),
    ]
    rows = [
        [
            str(choice.runs),
            choice.offer.provider,
            describe_place_briefly(choice.offer),
            describe_machine_briefly(choice),
            describe_method_briefly(choice.recipe),
            format_dollars(choice.runs * choice.quote.expected_usd_micro),
            format_span_briefly(choice.duration_s.expected),
        ]
        for choice in plan.choices
    ]
    total = sum(choice.runs * choice.quote.expected_usd_micro for choice in plan.choices)
    return [
        format_heading("The sweep", f"{plan.job.runs} runs for {format_dollars(total)}", style),
        *format_table(columns, rows, style),
    ]


def _others_section(plan: Plan, best: Candidate, style: Style) -> list[str]:
    if not plan.runners_up:
        return []
    columns = [
        Column(title="provider", shrinks=True, smallest=5),
        Column(title="region", shrinks=True, smallest=5),
        Column(title="machine", shrinks=True, smallest=17),
        Column(title="paid"),
        Column(title="recipe"),
        Column(title="cost", right=True),
        Column(title="more", right=True, optional=True),
        Column(title="time", right=True),
        Column(title="sure", right=True),
        Column(title=""),
    ]
    mixed = len({candidate.offer.pricing_model for candidate in (best, *plan.runners_up)}) > 1
    rows = [
        [
            candidate.offer.provider,
            describe_place_briefly(candidate.offer),
            describe_machine_briefly(candidate),
            PAID[candidate.offer.pricing_model.value] if mixed else "",
            describe_method_briefly(candidate.recipe),
            format_dollars(candidate.quote.expected_usd_micro),
            _more(candidate, best),
            format_span_briefly(candidate.duration_s.expected),
            format_ppm_briefly(candidate.finish_probability_ppm) if plan.job.deadline_at else "",
            mark_offer(candidate.offer),
        ]
        for candidate in plan.runners_up
    ]
    marks = explain_marks(candidate.offer for candidate in plan.runners_up)
    return [
        format_heading("Runners-up", "the next best of each kind", style),
        *format_table(columns, rows, style),
        *(format_paragraph(marks, style) if marks else []),
    ]


def _more(candidate: Candidate, best: Candidate) -> str:
    """Return how much more than the choice a candidate costs, in per cent of the choice."""
    base = best.quote.expected_usd_micro
    if base == 0:
        return ""
    more = candidate.quote.expected_usd_micro / base - 1
    if abs(more) < 0.005:
        return "same"
    return f"+{format_percent(more)}" if more > 0.0 else format_percent(more)


def _lost_section(plan: Plan, style: Style) -> list[str]:
    counts = describe_counts(plan.rejected)
    if not plan.lost and not counts:
        return []
    lines = [format_heading("Why the others lost", "", style)]
    if counts:
        lines += format_pairs([("Lost to", counts)], style)
    return [*lines, *format_list(plan.lost, style)]


def _basis_section(plan: Plan, style: Style, *, verbose: bool) -> list[str]:
    """Return what the answer rests on: prices and their age, candidates, defaults, notes."""
    solver = plan.solver
    pairs = [
        ("Prices", describe_snapshot(plan.snapshot, plan.made_at)),
        ("Searched", f"{plural(solver.candidates, 'candidate')}, {solver.kept:,} of them left to choose from"),
    ]
    return rests_on_section(
        pairs,
        style,
        job=plan.job,
        calibration=plan.calibration,
        notes=plan.notes,
        unusable=plan.snapshot.unusable,
        verbose=verbose,
    )


def _next_section(plan: Plan, best: Candidate, style: Style, words: Sequence[str]) -> list[str]:
    """Return the commands that a reader of this plan would type next."""
    other = next((c.gpu.id for c in plan.runners_up if c.gpu.id != best.gpu.id), "spot")
    return [
        format_heading("Next", "", style),
        *command_lines(["explain", *words, "--why-not", other], style),
        *command_lines(["plan", *words, "--output", "plan.json"], style),
    ]
