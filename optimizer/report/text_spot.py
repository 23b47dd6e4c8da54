"""What a person reads about a spot machine: what losing it means, who acts, when to wait and when to go on-demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.search.spot.policy_table import CONTEXTS
from providers.money import NANO

from .describe import describe_pricing
from .figures import format_dollars, format_hourly, format_percent, format_span
from .table import Column, format_heading, format_list, format_pairs, format_paragraph, format_table

if TYPE_CHECKING:
    from optimizer.search.results import Candidate
    from optimizer.search.spot.answer import CheckpointAdvice, Fallback, SpotAnswer
    from optimizer.search.spot.policy_table import PolicyTable

    from .style import Style

ROWS = 5
HOUR_S = 3600.0
WHO = {
    "none": "nobody (executor none): a person notices and restarts; there is no net, so the deadline may be missed",
    "skypilot": "SkyPilot restarts it, in another region if need be; there is no on-demand net",
    "policy": "a launcher that asks `tunefare next`; on-demand machines keep the deadline",
}


def spot_section(candidate: Candidate, style: Style) -> list[str]:
    """Return what a plan says about its spot machine; nothing for one that stays."""
    answer = candidate.spot
    if answer is None:
        return []
    lost = answer.interruptions
    pairs = [
        ("Who acts", WHO[answer.executor]),
        ("Lost", f"{lost.expected:.1f} times in a run ({lost.low:.1f} – {lost.high:.1f}), {_rate(answer)}"),
        ("Time on", _time_on(answer)),
        *_worst(answer),
        ("Checkpoints", _checkpoints(answer.checkpoints)),
        *_fallback(answer),
        *_failover(answer),
    ]
    return [
        format_heading("When the spot machine is lost", f"basis {answer.basis.value}", style),
        *format_pairs(pairs, style),
        *_policy_lines(answer, style),
    ]


def _rate(answer: SpotAnswer) -> str:
    rate = answer.rate_per_hour
    share = format_percent(answer.available_fraction)
    return (
        f"{rate.expected:.2g} an hour ({rate.low:.2g} – {rate.high:.2g}), there {share} of the time; {answer.history}"
    )


def _time_on(answer: SpotAnswer) -> str:
    parts = [f"spot {format_span(answer.spot_s)}"]
    if answer.on_demand_s > 0.0:
        parts.append(f"on-demand {format_span(answer.on_demand_s)}")
    if answer.waiting_s > 0.0:
        parts.append(f"waiting {format_span(answer.waiting_s)}")
    return f"{', '.join(parts)}; {format_span(answer.wasted_s)} of it restarts and lost work (means)"


def _worst(answer: SpotAnswer) -> list[tuple[str, str]]:
    if answer.worst_usd_micro is None:
        return [("At worst", "nothing bounds the cost: interruptions may go on")]
    said = f"{format_dollars(answer.worst_usd_micro)}: all of it on-demand, and a tenth wasted on spot"
    return [("At worst", f"{said}; a budget is checked against this")]


def _checkpoints(advice: CheckpointAdvice) -> str:
    how = "chosen: it wastes least" if advice.chosen else f"as stated; {format_span(advice.best_every_s)} wastes least"
    said = f"every {format_span(advice.every_s)} ({how}), {format_percent(advice.waste_fraction)} of spot time wasted"
    if advice.waste_on_notice_fraction is not None:
        said += (
            f"; writing one on the {advice.notice_s:.0f} s notice instead wastes "
            f"{format_percent(advice.waste_on_notice_fraction)}"
        )
    return said


def _fallback(answer: SpotAnswer) -> list[tuple[str, str]]:
    return [] if answer.fallback is None else [("On-demand", _offer(answer.fallback))]


def _failover(answer: SpotAnswer) -> list[tuple[str, str]]:
    if len(answer.failover) < 2:
        return []
    return [("Spot, next", "; ".join(_offer(one) for one in answer.failover[1:]))]


def _offer(fallback: Fallback) -> str:
    offer = fallback.offer
    place = offer.zone or offer.region
    price, ceiling = (format_hourly(nano / NANO) for nano in (offer.unit_price_nano, fallback.ceiling_nano))
    where = "" if place in {"", "unknown"} else f" in {place}"
    return f"{offer.provider} {offer.instance_type}{where}, {describe_pricing(offer)}, {price} an hour, up to {ceiling}"


def _policy_lines(answer: SpotAnswer, style: Style) -> list[str]:
    table, problem = answer.policy, answer.problem
    if table is None or problem is None:
        return []
    columns = [
        Column(title="time left", right=True),
        Column(title="slack now", right=True, optional=True),
        Column(title="spot gone: wait above", right=True),
        Column(title="spot there: start above", right=True),
        Column(title="on-demand: back to spot above", right=True),
    ]
    rows = []
    for at in range(ROWS):
        left_s = problem.deadline_s * (ROWS - at) / ROWS
        even_s = left_s * problem.slack_s / problem.deadline_s
        rows.append(
            [
                format_span(left_s),
                format_span(even_s),
                _from(table, "idle_down", left_s, 0.0),
                _from(table, "idle_up", left_s, HOUR_S),
                _from(table, "on_demand_up", left_s, HOUR_S),
            ]
        )
    net = (
        f"Slack is the time left less the work left. Safety net: a spot machine is left for on-demand at "
        f"{format_span(table.net_spot_s)} of slack, and nothing else is started at {format_span(table.net_idle_s)}. "
        "It relies on on-demand machines being there then."
    )
    costs = [
        f"done {format_span(problem.deadline_s - deadline_s)} sooner: {format_dollars(micro)}"
        for deadline_s, micro in answer.deadline_costs[:-1]
    ]
    return [
        "",
        *format_table(columns, rows, style),
        *format_paragraph(net, style),
        *(format_list([f"A shorter deadline costs more: {'; '.join(reversed(costs))}."], style) if costs else []),
    ]


def _from(table: PolicyTable, context: str, left_s: float, age_s: float) -> str:
    """Return the slack from which on-demand is not the answer, for spot that has been there (or gone) so long."""
    slack_s = table.least_slack_s(CONTEXTS.index(context), left_s=left_s, age_s=age_s)
    return "never" if slack_s is None or slack_s >= left_s else format_span(slack_s)
