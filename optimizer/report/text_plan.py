"""A plan as a person reads it: the choice on top, then the bill, the others, and what it all rests on."""

from __future__ import annotations

from optimizer.search.results import Candidate, Plan, PlanStatus, Rival

from .colour import Meaning
from .describe import (
    bill_lines,
    describe_counts,
    describe_finish,
    describe_job,
    describe_limits,
    describe_machine,
    describe_memory,
    describe_method,
    describe_place,
    describe_price,
    describe_pricing,
    describe_recipe,
    describe_snapshot,
    format_quote_range,
)
from .figures import format_dollars, format_percent, format_ppm, format_rate, format_span, format_span_range, plural
from .style import Style
from .table import Column, format_heading, format_list, format_pairs, format_paragraph, format_table
from .text_infeasible import format_infeasible
from .text_verbose import verbose_lines

PROMPT = "  $ "


def format_plan(plan: Plan, style: Style, *, flags: str = "", verbose: bool = False) -> str:
    """Return the plan as text, an infeasible one too. `flags` are the words of the command line, to be repeated.

    Low and high are the 10 % and 90 % quantiles, times are UTC, GiB are 2^30 bytes.
    """
    if plan.status is PlanStatus.INFEASIBLE or not plan.choices:
        return format_infeasible(plan, style, flags=flags, verbose=verbose)
    best = plan.choices[0]
    sections = [
        [format_heading(describe_job(plan.job), describe_limits(plan.job, plan.made_at), style)],
        _choice_lines(plan, best, style),
        _bill_section(plan, best, style),
        _sweep_section(plan, style),
        _others_section(plan, best, style),
        _list_section("Why the others lost", _lost_aside(plan), plan.lost, style),
        _rivals_section(plan.rivals, best, style),
        _basis_section(plan, style),
        verbose_lines(plan, style) if verbose else [],
        _next_section(plan, best, style, flags),
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


def _choice_lines(plan: Plan, best: Candidate, style: Style) -> list[str]:
    offer, quote, speed = best.offer, best.quote, best.speed
    headline = f"{describe_place(offer)} · {describe_machine(best)} · {describe_method(best.recipe)}"
    time = f"{format_span(best.duration_s.expected):<10}{_range(format_span_range(best.duration_s.low, best.duration_s.high))}"
    cost = f"{format_dollars(quote.expected_usd_micro):<10}{_range(format_quote_range(quote))}"
    pairs = [
        ("Cost", cost + (" for each run" if plan.job.runs > 1 else "")),
        ("Time", time),
        ("Finish" if plan.job.deadline_at else "Done", describe_finish(best, plan.job, plan.made_at)),
        ("Memory", describe_memory(best.memory, style)),
        ("Speed", _describe_speed(best)),
        ("Machine", f"{offer.instance_type}, {describe_pricing(offer)}, {describe_price(offer, best.nodes, plan.made_at)}"),
        ("Recipe", describe_recipe(best.recipe)),
        ("Quality", f"{best.quality} (complexity {best.complexity})"),
    ]
    title = "Best found in the time allowed" if plan.status is PlanStatus.TIME_LIMIT else "Cheapest"
    return [
        f"{style.paint(title, Meaning.HEADING)}  {style.paint(style.plain(headline), Meaning.CHOICE)}",
        *format_pairs(pairs, style),
    ]


def _range(text: str) -> str:
    return f"(80 % within {text})"


def _describe_speed(best: Candidate) -> str:
    speed = best.speed.tokens_per_s
    low, high = format_rate(speed.low), format_rate(speed.high)
    return f"{format_rate(speed.expected)} tokens/s ({low} – {high}), bound by {best.speed.bound}, {speed.basis.value}"


def _bill_section(plan: Plan, best: Candidate, style: Style) -> list[str]:
    if len([item for item in best.quote.items if item.usd_micro]) < 2:
        return []
    aside = f"expected, one run of {plan.job.runs}" if plan.job.runs > 1 else "expected"
    return [format_heading("The bill", aside, style), *bill_lines(best.quote.items, best.quote.expected_usd_micro, style)]


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
            choice.offer.region,
            describe_machine(choice),
            describe_method(choice.recipe),
            format_dollars(choice.runs * choice.quote.expected_usd_micro),
            format_span(choice.duration_s.expected),
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
        Column(title="provider", shrinks=True, smallest=6),
        Column(title="region", shrinks=True, smallest=6),
        Column(title="machine", shrinks=True, smallest=14),
        Column(title="price"),
        Column(title="recipe"),
        Column(title="cost", right=True),
        Column(title="more", right=True),
        Column(title="time", right=True),
        Column(title="in time", right=True),
    ]
    mixed = len({candidate.offer.pricing_model for candidate in (best, *plan.runners_up)}) > 1
    rows = [
        [
            candidate.offer.provider,
            candidate.offer.region,
            describe_machine(candidate),
            describe_pricing(candidate.offer) if mixed else "",
            describe_method(candidate.recipe),
            format_dollars(candidate.quote.expected_usd_micro),
            _more(candidate, best),
            format_span(candidate.duration_s.expected),
            format_ppm(candidate.finish_probability_ppm) if plan.job.deadline_at else "",
        ]
        for candidate in plan.runners_up
    ]
    return [format_heading("Runners-up", "the next best of each kind", style), *format_table(columns, rows, style)]


def _more(candidate: Candidate, best: Candidate) -> str:
    """Return how much more than the choice a candidate costs, in per cent of the choice."""
    base = best.quote.expected_usd_micro
    if base == 0:
        return ""
    more = candidate.quote.expected_usd_micro / base - 1
    return f"+{format_percent(more)}" if abs(more) >= 0.005 else "same"


def _lost_aside(plan: Plan) -> str:
    return describe_counts(dict(plan.rejected))


def _list_section(title: str, aside: str, items: tuple[str, ...], style: Style) -> list[str]:
    return [format_heading(title, aside, style), *format_list(items, style)] if items else []


def _rivals_section(rivals: tuple[Rival, ...], best: Candidate, style: Style) -> list[str]:
    if not rivals:
        return []
    columns = [
        Column(title="service", shrinks=True),
        Column(title="model", shrinks=True, smallest=14),
        Column(title="method"),
        Column(title="cost", right=True),
        Column(title="vs. choice", right=True),
        Column(title="price of"),
    ]
    rows = [
        [
            rival.vendor,
            rival.model,
            rival.method,
            _rival_cost(rival),
            _times(rival.low_usd_micro, best.quote.expected_usd_micro),
            rival.source_date,
        ]
        for rival in rivals
    ]
    return [format_heading("Managed services", "priced per training token", style), *format_table(columns, rows, style)]


def _rival_cost(rival: Rival) -> str:
    if rival.low_usd_micro is None or rival.high_usd_micro is None:
        return format_dollars(rival.low_usd_micro if rival.high_usd_micro is None else rival.high_usd_micro)
    low, high = format_dollars(rival.low_usd_micro), format_dollars(rival.high_usd_micro)
    return low if low == high else f"{low} – {high}"


def _times(cost_usd_micro: int | None, base_usd_micro: int) -> str:
    if cost_usd_micro is None or base_usd_micro == 0:
        return ""
    return f"{cost_usd_micro / base_usd_micro:,.1f} ×"


def _basis_section(plan: Plan, style: Style) -> list[str]:
    """Return what the answer rests on: prices and their age, candidates, defaults, notes."""
    solver = plan.solver
    pairs = [
        ("Prices", describe_snapshot(plan.snapshot, plan.made_at)),
        ("Searched", f"{plural(solver.candidates, 'candidate')}, {plural(solver.kept, 'candidate')} left to choose from"),
    ]
    unusable = describe_counts(dict(plan.snapshot.unusable))
    if unusable:
        pairs.append(("Left out", f"offers: {unusable}"))
    if plan.job.defaults_used:
        pairs.append(("Defaults", "; ".join(plan.job.defaults_used)))
    lines = [format_heading("What this rests on", "", style), *format_pairs(pairs, style)]
    return [*lines, *format_list(plan.notes, style)]


def _next_section(plan: Plan, best: Candidate, style: Style, flags: str) -> list[str]:
    """Return the commands that a reader of this plan would type next."""
    other = next((c.gpu.id for c in plan.runners_up if c.gpu.id != best.gpu.id), "spot")
    given = f" {flags}" if flags else " JOB.toml"
    commands = [f"tunefare explain{given} --why-not {other}", f"tunefare plan{given} --output plan.json"]
    lines = [format_heading("Next", "", style)]
    for command in commands:
        lines.extend(format_paragraph(command, style, indent="      ", first=PROMPT))
    return lines
