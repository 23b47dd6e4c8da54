"""A simulation as a person reads it: the policies side by side, then trace by trace, then what it rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.search.spot.availability import HOUR_S
from optimizer.search.spot.simulation import PolicyName
from providers.errors import one_line

from .colour import Meaning
from .figures import format_dollars, format_hourly, format_percent, format_range, format_span, plural
from .table import Column, format_heading, format_list, format_pairs, format_paragraph, format_table, join_sections

if TYPE_CHECKING:
    from optimizer.search.spot.simulation import Comparison

    from .spot_answers import SimulatedPart, SimulationAnswer
    from .style import Style

NAMES: dict[PolicyName, str] = {
    PolicyName.DYNAMIC_PROGRAM: "dynamic program",
    PolicyName.UNIFORM_PROGRESS: "Uniform Progress",
    PolicyName.GREEDY: "greedy",
    PolicyName.ON_DEMAND: "on-demand",
}
BOUND = "knowing all beforehand"
NOT_APPLICABLE = "–"
LONGEST_LABEL = 40
JUST_EQUAL = 0.005
"""Of the gap between greedy and the bound: what reads as 0 %."""


def format_simulation(answer: SimulationAnswer, style: Style) -> str:
    """Return a simulation as text. Money is of machines only; a run is one episode."""
    overall = answer.together or (answer.traces[0].comparison if answer.traces else None)
    several = len(answer.traces) > 1
    return join_sections(
        [
            _head(answer, style),
            [] if overall is None else _side_by_side(overall, _weighing(several=several), style),
            _by_trace(answer, style) if several else [],
            [] if answer.drawn is None else _side_by_side(answer.drawn.comparison, f"seed {answer.seed}", style),
            _legend(answer, style),
            _rests_on(answer, style),
        ]
    )


def _head(answer: SimulationAnswer, style: Style) -> list[str]:
    parts = _parts(answer)
    problem = parts[0].problem
    subject = f"the policy of {one_line(answer.plan)}" if answer.plan else "for a run given by flags"
    on_demand = format_hourly(problem.on_demand_micro_per_s * HOUR_S / 1e6)
    spot = [one.comparison.spot_micro_per_s * HOUR_S / 1e6 for one in parts]
    prices = f"on-demand {on_demand} an hour, spot {format_range(format_hourly(min(spot)), format_hourly(max(spot)))}"
    pairs = [
        ("Run", f"{format_span(problem.work_s)} of work, due in {format_span(problem.deadline_s)}"),
        ("Each start", f"{format_span(problem.restart_s)} until work goes on{_loss(problem.loss_s)}"),
        ("Prices", f"{prices} on average"),
    ]
    if answer.traces:
        runs = sum(part.comparison.episodes for part in answer.traces)
        apart = "each window is one" if answer.every_s is None else f"one begins every {_apart(answer, answer.every_s)}"
        pairs.append(("Episodes", f"{plural(runs, 'episode')} of {plural(len(answer.traces), 'trace')}; {apart}"))
    return [format_heading("Spot policies", subject, style), *format_pairs(pairs, style)]


def _apart(answer: SimulationAnswer, every_s: float) -> str:
    """Return the distance of two episodes: as asked for, but whole steps of the trace."""
    distances = {max(round(every_s / part.step_s), 1) * part.step_s for part in answer.traces if part.step_s}
    return format_span(distances.pop() if len(distances) == 1 else every_s)


def _loss(loss_s: float) -> str:
    return f"; an interruption destroys {format_span(loss_s)} of work" if loss_s else ""


def _weighing(*, several: bool) -> str:
    return "each trace weighs the same" if several else ""


def _side_by_side(found: Comparison, aside: str, style: Style) -> list[str]:
    """Return a row a policy, and the bound below them."""
    columns = [
        Column(title="policy"),
        Column(title="saves", right=True),
        Column(title="mean cost", right=True),
        Column(title="worst", right=True),
        Column(title="missed", right=True),
        Column(title="interruptions", right=True),
        Column(title="starts", right=True, optional=True),
    ]
    rows = [
        [
            NAMES[one.policy],
            _percent(one.saving_fraction),
            format_dollars(round(one.mean_micro)),
            f"{one.worst_ratio:.2f}×",
            f"{one.missed:,}",
            f"{one.interruptions:.1f}",
            f"{one.starts:.1f}",
        ]
        for one in found.policies
    ]
    if found.bound_micro is not None and found.bound_saving_fraction is not None:
        cost = format_dollars(round(found.bound_micro))
        rows.append([BOUND, _percent(found.bound_saving_fraction), cost, *[NOT_APPLICABLE] * 4])
    title, *lines = format_table(columns, rows, style)
    lines[0] = style.paint(lines[0], Meaning.CHOICE)
    there = format_percent(found.available_fraction)
    about = f"{_label(found.label)}: {plural(found.episodes, 'run')}, spot there {there} of the time"
    heading = format_heading(about, aside, style)
    return [heading, title, *lines, *_readings(found, style)]


def _readings(found: Comparison, style: Style) -> list[str]:
    told = []
    closed = found.gap_closed_fraction
    if closed is not None:
        told.append(_gap_closed(closed))
    if found.bound_micro is None:
        told.append("The deadline leaves no room for the work and a start: every run is late.")
    return [line for one in told for line in format_paragraph(one, style)]


def _gap_closed(closed: float) -> str:
    """Return how the dynamic program stands between greedy and the bound; on a trace unlike its hazards, behind."""
    share = format_percent(abs(closed))
    if abs(closed) < JUST_EQUAL:
        return "The dynamic program saves as much as greedy."
    if closed < 0.0:
        return f"The dynamic program saves less than greedy here, by {share} of the gap to {BOUND}."
    return f"The dynamic program closes {share} of the gap between greedy and {BOUND}."


def _legend(answer: SimulationAnswer, style: Style) -> list[str]:
    problem = _parts(answer)[0].problem
    work = format_dollars(round(problem.work_s * problem.on_demand_micro_per_s))
    told = (
        f"Savings and worst costs are against the work at the on-demand price, {work}, without the start of such a run."
    )
    return format_paragraph(told, style)


def _by_trace(answer: SimulationAnswer, style: Style) -> list[str]:
    columns = [
        Column(title="trace", shrinks=True),
        Column(title="spot there", right=True),
        Column(title="runs", right=True, optional=True),
        Column(title="dynamic", right=True),
        Column(title="uniform", right=True),
        Column(title="greedy", right=True),
        Column(title="bound", right=True),
        Column(title="worst", right=True),
        Column(title="missed", right=True),
    ]
    rows = []
    for part in answer.traces:
        found = part.comparison
        ours = found.of(PolicyName.DYNAMIC_PROGRAM)
        bound = found.bound_saving_fraction
        rows.append(
            [
                _label(found.label),
                format_percent(found.available_fraction),
                f"{found.episodes:,}",
                *(_percent(found.of(name).saving_fraction) for name in list(PolicyName)[:3]),
                NOT_APPLICABLE if bound is None else _percent(bound),
                f"{ours.worst_ratio:.2f}×",
                f"{ours.missed:,}",
            ]
        )
    aside = "what each saves; worst and missed: the dynamic program"
    return [format_heading("Trace by trace", aside, style), *format_table(columns, rows, style)]


def _rests_on(answer: SimulationAnswer, style: Style) -> list[str]:
    parts = _parts(answer)
    model = parts[0].problem.availability
    pairs = [("Hazards", f"{one_line(model.name).removeprefix('hazards ')} ({model.basis.value})")]
    sources = dict.fromkeys(one_line(part.source) for part in answer.traces if part.source)
    pairs += [("Traces", "; ".join(sources))] if sources else []
    if answer.plan is not None:
        solved = (
            "worked out anew for each trace" if any(part.solved for part in parts) else "the plan's table as it stands"
        )
        pairs.append(("Policy", solved))
    pairs.append(("On-demand", "taken to be there whenever the safety net asks for it"))
    notes = [one_line(note) for note in answer.notes]
    return [format_heading("What this rests on", "", style), *format_pairs(pairs, style), *format_list(notes, style)]


def _parts(answer: SimulationAnswer) -> list[SimulatedPart]:
    return [*answer.traces, *([] if answer.drawn is None else [answer.drawn])]


def _label(text: str) -> str:
    name = one_line(text)
    return name if len(name) <= LONGEST_LABEL else name[: LONGEST_LABEL - 1] + "…"


def _percent(fraction: float) -> str:
    """Return a saving with one decimal: policies differ by less than whole per cent."""
    text = f"{100.0 * fraction:.1f} %"
    return "0.0 %" if text == "-0.0 %" else text
