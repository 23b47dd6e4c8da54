"""A portfolio as a person reads it: who runs where, who does not and why, money by team, quotas and their worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.search.portfolio.request import quota_name
from optimizer.search.portfolio.results import PortfolioStatus, Reason, SolverStatus
from providers.errors import one_line

from .colour import Meaning
from .describe import (
    PAID,
    describe_calibration,
    describe_machine_briefly,
    describe_method_briefly,
    describe_place_briefly,
    describe_snapshot,
)
from .figures import format_dollars, format_range, format_small_span, format_span_briefly, plural
from .table import Column, format_heading, format_list, format_pairs, format_paragraph, format_table, join_sections

if TYPE_CHECKING:
    from optimizer.search.portfolio.results import Money, PlacedJob, Portfolio, TeamTotal, UnplacedJob

    from .style import Style

REASONS: dict[Reason, str] = {
    Reason.LIMITS: "its own limits",
    Reason.QUOTA: "quota too small",
    Reason.BUDGET: "budget too small",
    Reason.CROWDED_OUT: "crowded out",
}


def format_portfolio(answer: Portfolio, style: Style, *, verbose: bool = False) -> str:
    """Return the portfolio as text. Low and high are the 10 % and 90 % quantiles, times count from now."""
    return join_sections(
        [
            _title(answer, style),
            _placed_section(answer, style),
            _unplaced_section(answer, style),
            _money_section(answer, style),
            _quota_section(answer, style),
            _basis_section(answer, style, verbose=verbose),
        ]
    )


def _title(answer: Portfolio, style: Style) -> list[str]:
    jobs, left = len(answer.order), len(answer.unplaced)
    heading = format_heading(plural(jobs, "job"), "", style)
    if answer.status is PortfolioStatus.INFEASIBLE:
        return [f"{heading}  {style.paint('None can be placed', Meaning.BROKEN)}"]
    cost = f"{format_dollars(answer.total.expected_usd_micro)} (80 % within {_range(answer.total)})"
    if left == 0:
        return [f"{heading}  {style.paint('All placed', Meaning.GOOD)} for {style.plain(cost)}"]
    words = f"{jobs - left} placed, {left} not"
    return [f"{heading}  {style.paint(words, Meaning.BROKEN)}; those placed for {style.plain(cost)}"]


def _range(money: Money) -> str:
    return format_range(format_dollars(money.low_usd_micro), format_dollars(money.high_usd_micro))


def _placed_section(answer: Portfolio, style: Style) -> list[str]:
    if not answer.placed:
        return []
    columns = [
        Column(title="job", shrinks=True, smallest=10),
        Column(title="team", shrinks=True, smallest=4, optional=True),
        Column(title="prio", right=True, optional=True),
        Column(title="start", shrinks=True, smallest=5),
        Column(title="runs", right=True),
        Column(title="machine", shrinks=True, smallest=14),
        Column(title="provider", shrinks=True, smallest=5),
        Column(title="region", shrinks=True, smallest=5, optional=True),
        Column(title="paid"),
        Column(title="recipe"),
        Column(title="cost", right=True),
        Column(title="done in", right=True),
        Column(title="slack", right=True),
    ]
    priorities = {one.priority for one in answer.placed} | {one.priority for one in answer.unplaced}
    mixed = len({one.offer.pricing_model for job in answer.placed for one in job.choices}) > 1
    rows = [row for job in answer.placed for row in _job_rows(job, several=len(priorities) > 1, mixed=mixed)]
    return [format_heading("Placed", "slack: from the end, as sure as asked for, to the deadline", style),
            *format_table(columns, rows, style)]  # fmt: skip


def _job_rows(job: PlacedJob, *, several: bool, mixed: bool) -> list[list[str]]:
    sweep = job.job.runs > 1
    rows = []
    for at, one in enumerate(job.choices):
        slack = one.slacks.get("deadline")
        rows.append(
            [
                one_line(job.job.name) if at == 0 else "",
                one_line(job.team or "") if at == 0 else "",
                str(job.priority) if several and at == 0 else "",
                one_line(job.slots[at]),
                str(one.runs) if sweep else "",
                describe_machine_briefly(one),
                one_line(one.offer.provider),
                one_line(describe_place_briefly(one.offer)),
                PAID[one.offer.pricing_model.value] if mixed else "",
                describe_method_briefly(one.recipe),
                format_dollars(one.quote.expected_usd_micro * one.runs),
                format_span_briefly(job.starts_s[at] + one.duration_s.expected),
                "" if slack is None else format_span_briefly(slack),
            ]
        )
    return rows


def _unplaced_section(answer: Portfolio, style: Style) -> list[str]:
    if not answer.unplaced:
        return []
    lines = [format_heading("Not placed", "priority 1 goes first; a limit is never relaxed by itself", style)]
    for jobs in _alike(answer.unplaced):
        first = jobs[0]
        names = ", ".join(one_line(one.job.name) for one in jobs[:6])
        more = f" and {len(jobs) - 6} more" if len(jobs) > 6 else ""
        title = f"{names}{more} (priority {first.priority}): {REASONS[first.reason]}"
        lines += [style.paint(line, Meaning.TIGHT) for line in format_paragraph(title, style)]
        lines += format_paragraph(one_line(first.sentence), style, indent="    ")
    return lines


def _alike(jobs: tuple[UnplacedJob, ...]) -> list[list[UnplacedJob]]:
    """Return the jobs of one priority that are told the same together."""
    groups: dict[tuple[int, str], list[UnplacedJob]] = {}
    for job in jobs:
        groups.setdefault((job.priority, job.sentence), []).append(job)
    return [groups[key] for key in sorted(groups, key=lambda key: key[0])]


def _money_section(answer: Portfolio, style: Style) -> list[str]:
    if len(answer.teams) == 1 and answer.teams[0].budget_usd_micro is None:
        return []
    columns = [
        Column(title="team", shrinks=True),
        Column(title="placed", right=True),
        Column(title="cost", right=True),
        Column(title="80 % within", right=True, optional=True),
        Column(title="counted", right=True),
        Column(title="budget", right=True),
        Column(title="left", right=True),
    ]
    aside = "counted against a budget: the high end of every job"
    return [
        format_heading("Money", aside, style),
        *format_table(columns, [_team_row(one) for one in answer.teams], style),
    ]


def _team_row(one: TeamTotal) -> list[str]:
    name = "all" if one.team is None else one_line(one.team) or "no team"
    budget = one.budget_usd_micro
    return [
        name,
        f"{one.placed} of {one.jobs}",
        format_dollars(one.cost.expected_usd_micro),
        _range(one.cost),
        format_dollars(one.charged_usd_micro),
        "" if budget is None else format_dollars(budget),
        "" if budget is None else format_dollars(budget - one.charged_usd_micro),
    ]


def _quota_section(answer: Portfolio, style: Style) -> list[str]:
    if not answer.quotas:
        return []
    columns = [
        Column(title="quota", shrinks=True, smallest=20),
        Column(title="slot", shrinks=True, smallest=5),
        Column(title="used", right=True),
        Column(title="of", right=True),
        Column(title="one more saves", right=True),
        Column(title="and places", right=True),
    ]
    rows = [
        [
            one_line(quota_name(use.quota)),
            one_line(use.slot),
            f"{use.used:,}",
            f"{use.quota.gpus:,}",
            format_dollars(use.saves_usd_micro) if use.saves_usd_micro >= 5_000 else "",
            f"{use.places_ppm / 1e6:.2f} jobs" if use.places_ppm >= 5_000 else "",
        ]
        for use in answer.quotas
    ]
    aside = "what one more GPU saves or places is an estimate"
    return [format_heading("Quotas", aside, style), *format_table(columns, rows, style)]


def _basis_section(answer: Portfolio, style: Style, *, verbose: bool) -> list[str]:
    solver = answer.solver
    proof = f"no plan that places as many costs less than {format_dollars(solver.bound_usd_micro)}"
    gap = f"{describe_gap_ppm(solver.gap_ppm)}: {proof}" if answer.placed else "nothing is placed"
    if solver.status is SolverStatus.TIME_LIMIT:
        gap = f"stopped by the time limit; {gap}"
    if answer.unplaced and not solver.fewest_unplaced_proven:
        gap += "; that no more can be placed is not proven"
    elif answer.unplaced:
        gap += "; that no more can be placed, priority by priority, is proven"
    pairs = [
        ("Prices", describe_snapshot(answer.snapshot, answer.made_at)),
        (
            "Searched",
            f"{plural(solver.columns, 'column')}, {solver.held:,} at once, {plural(solver.iterations, 'round')}",
        ),
        ("Proven", gap),
    ]
    if answer.calibration is not None:
        pairs.append(("Calibration", describe_calibration(answer.calibration)))
    if verbose and solver.timings_s:
        pairs.append(("Took", ", ".join(f"{name} {format_small_span(s)}" for name, s in solver.timings_s.items())))
    lines = [format_heading("What this rests on", "", style), *format_pairs(pairs, style)]
    return [*lines, *format_list([one_line(note) for note in answer.notes], style)]


def describe_gap_ppm(gap_ppm: int) -> str:
    """Return a gap in words: "within 0.002 % of the least cost"."""
    if gap_ppm == 0:
        return "the least cost"
    return f"within {max(gap_ppm, 1) / 1e4:.4f} % of the least cost".replace("00 %", " %")
