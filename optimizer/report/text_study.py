"""A study as a person reads it: how the plan's choice fares, what would have been the cheapest, what is robust."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .colour import Meaning
from .describe import (
    PAID,
    command_lines,
    describe_machine,
    describe_machine_briefly,
    describe_method,
    describe_method_briefly,
    describe_place,
    describe_place_briefly,
    describe_snapshot,
    explain_marks,
    job_lines,
    mark_offer,
)
from .figures import format_dollars, format_range, format_span, format_span_range, plural
from .table import (
    Column,
    format_heading,
    format_headline,
    format_pairs,
    format_paragraph,
    format_table,
    join_sections,
)
from .text_rests_on import rests_on_section

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optimizer.search.scenario_results import Outcome, Study

    from .style import Style

SHOWN = 8
"""Alternatives that a table shows unless it is verbose."""
NAMED = 4
"""GPUs and providers that a line names."""


def format_study(study: Study, style: Style, *, words: Sequence[str] = (), verbose: bool = False) -> str:
    """Return the study as text; `words` are those of the command line, to be repeated.

    Low and high are the 10 % and 90 % quantiles over the scenarios.
    """
    return join_sections(
        [
            job_lines(study.job, study.made_at, style),
            _base_section(study, style),
            _alternatives_section(study, style, verbose=verbose),
            _robust_section(study, style),
            _basis_section(study, style, verbose=verbose),
            _next_section(study, style, words),
        ]
    )


def _base_section(study: Study, style: Style) -> list[str]:
    base = study.base
    if base is None:
        possible = format_share(study.scenarios - study.nothing_fits, study.scenarios)
        verdict = f"{style.paint('Nothing fits', Meaning.BROKEN)}  there is no plan to study"
        return [verdict, *format_paragraph(f"In {possible} of the scenarios something would keep every limit.", style)]
    pairs = [
        ("Cost", _cost(base)),
        ("Time", _time(base)),
        *_limits(base, study),
        ("Cheapest", f"in {format_share(base.best, study.scenarios)} of the scenarios"),
        ("Regret", _regret(base)),
    ]
    return [*format_headline("The plan's choice", _name(base), style), *format_pairs(pairs, style)]


def _cost(outcome: Outcome) -> str:
    cost = outcome.cost_usd_micro
    span = format_range(format_dollars(cost.p10), format_dollars(cost.p90))
    return f"{format_dollars(cost.p50):<10}(80 % within {span}, mean {format_dollars(cost.mean)})"


def _time(outcome: Outcome) -> str:
    time = outcome.duration_s
    return f"{format_span(time.p50, like=time.p90):<10}(80 % within {format_span_range(time.p10, time.p90)})"


def _limits(outcome: Outcome, study: Study) -> list[tuple[str, str]]:
    job, pairs = study.job, []
    if job.deadline_at is not None:
        asked = f"{job.confidence_ppm / 10_000:g} % asked for"
        pairs.append(("In time", f"in {format_share(outcome.in_time, study.scenarios)} of the scenarios ({asked})"))
    if job.budget_usd is not None:
        pairs.append(("In budget", f"in {format_share(outcome.in_budget, study.scenarios)} of the scenarios"))
    return pairs


def _regret(outcome: Outcome) -> str:
    regret = outcome.regret_usd_micro
    if regret is None:
        return "unknown: it never keeps the limits"
    average, tenth = format_dollars(regret.mean), format_dollars(regret.p90)
    return f"{average} on average, {tenth} or more in one of ten: what it costs above the cheapest in hindsight"


def _alternatives_section(study: Study, style: Style, *, verbose: bool) -> list[str]:
    shown = study.alternatives if verbose else study.alternatives[:SHOWN]
    lines = [format_heading("Cheapest in hindsight", f"over {_scenarios(study)}", style)]
    pairs = []
    if study.nothing_fits:
        pairs.append(("Nothing", f"keeps the limits in {format_share(study.nothing_fits, study.scenarios)} of them"))
    if len(study.best_by_gpu) > 1:
        pairs.append(("GPUs", _tally(study.best_by_gpu, study.scenarios)))
    if len(study.best_by_provider) > 1:
        pairs.append(("Providers", _tally(study.best_by_provider, study.scenarios)))
    lines += format_pairs(pairs, style) if pairs else []
    if not shown:
        return lines if pairs else []
    entries = [*([study.base] if study.base else []), *shown]
    entries.sort(key=lambda one: -one.best)
    mixed = len({one.candidate.offer.pricing_model for one in entries}) > 1
    columns = [
        Column(title="best", right=True),
        Column(title="provider", shrinks=True, smallest=5),
        Column(title="region", shrinks=True, smallest=5),
        Column(title="machine", shrinks=True, smallest=15),
        Column(title="paid"),
        Column(title="recipe"),
        Column(title="cost", right=True),
        Column(title="90 %", right=True),
        Column(title="sure", right=True),
        Column(title=""),
    ]
    rows = [
        [
            format_share(one.best, study.scenarios),
            one.candidate.offer.provider,
            describe_place_briefly(one.candidate.offer),
            describe_machine_briefly(one.candidate),
            PAID[one.candidate.offer.pricing_model.value] if mixed else "",
            describe_method_briefly(one.candidate.recipe),
            format_dollars(one.cost_usd_micro.p50),
            format_dollars(one.cost_usd_micro.p90),
            format_share(one.in_time, study.scenarios) if study.job.deadline_at else "",
            mark_offer(one.candidate.offer),
        ]
        for one in entries
    ]
    rest = len(study.alternatives) - len(shown) + study.further_alternatives
    more = [f"{plural(rest, 'further candidate')} won in the rest."] if rest else []
    marks = explain_marks(one.candidate.offer for one in entries)
    return [
        *lines,
        *format_table(columns, rows, style),
        *(line for text in (*more, marks) if text for line in format_paragraph(text, style)),
    ]


def _tally(counts: Mapping[str, int], scenarios: int) -> str:
    named = [f"{name} {format_share(count, scenarios)}" for name, count in list(counts.items())[:NAMED]]
    rest = sum(list(counts.values())[NAMED:])
    return " · ".join([*named, f"others {format_share(rest, scenarios)}"] if rest else named)


def _robust_section(study: Study, style: Style) -> list[str]:
    """Return which candidate is the safest, and which the cheapest on average, of those that a plan may choose."""
    safest, average = study.steadiest, study.cheapest_on_average
    if safest is None or average is None:
        return []
    heading = format_heading("Robust choice", "of what a plan may choose", style)
    at_most = f"in nine of ten scenarios at most {format_dollars(safest.cost_usd_micro.p90)}"
    mean = f"{format_dollars(average.cost_usd_micro.mean)} on average"
    if safest is average is study.base:
        return [
            heading,
            *format_paragraph(f"The plan's choice is the safest and the cheapest on average: {at_most}.", style),
        ]
    pairs = [("Safest", f"{_called(safest, study)}, {at_most}"), ("On average", f"{_called(average, study)}, {mean}")]
    return [heading, *format_pairs(pairs, style)]


def _called(outcome: Outcome, study: Study) -> str:
    return "the plan's choice" if outcome is study.base else _name(outcome)


def _basis_section(study: Study, style: Style, *, verbose: bool) -> list[str]:
    drawn = f"{plural(study.gpu_models, 'speed')} (one a GPU model) and {plural(study.price_groups, 'price factor')}"
    pairs = [
        ("Drawn", f"{drawn} for each scenario, seed {study.seed}; disk and egress stay at their assumed rates"),
        ("Prices", describe_snapshot(study.snapshot, study.made_at)),
        ("Candidates", f"{study.candidates:,}"),
    ]
    return rests_on_section(
        pairs,
        style,
        job=study.job,
        calibration=study.calibration,
        notes=study.notes,
        unusable=study.snapshot.unusable,
        verbose=verbose,
    )


def _next_section(study: Study, style: Style, words: Sequence[str]) -> list[str]:
    if study.feasible:
        return []
    aside = "which limit to relax, and by how much"
    return [format_heading("Next", aside, style), *command_lines(["plan", *words], style)]


def _name(outcome: Outcome) -> str:
    candidate = outcome.candidate
    return f"{describe_place(candidate.offer)} · {describe_machine(candidate)} · {describe_method(candidate.recipe)}"


def _scenarios(study: Study) -> str:
    return plural(study.scenarios, "scenario")


def format_share(count: int, whole: int) -> str:
    """Return a count of scenarios as per cent of all: "100 %" and "0 %" only where it is all of them, or none."""
    if count in {0, whole}:
        return "0 %" if count == 0 else "100 %"
    percent = 100.0 * count / whole
    if percent < 0.1:
        return "<0.1 %"
    if percent > 99.9:
        return ">99.9 %"
    return f"{percent:.1f} %" if percent < 10.0 or percent > 90.0 else f"{percent:.0f} %"
