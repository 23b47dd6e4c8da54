"""What a person reads about a spot machine: what losing it means, who acts, when to wait and when to go on-demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.search.spot.policy_table import CONTEXTS
from providers.money import NANO

from .describe import describe_pricing
from .figures import format_dollars, format_hourly, format_percent, format_span
from .table import Column, format_heading, format_pairs, format_paragraph, format_table

if TYPE_CHECKING:
    from optimizer.search.results import Candidate
    from optimizer.search.spot.answer import CheckpointAdvice, Fallback, SpotAnswer
    from optimizer.search.spot.policy_table import PolicyTable

    from .style import Style

ROWS = 5
HOUR_S = 3600.0
NOBODY = "nobody (executor none): a person notices and restarts; there is no net, so the deadline may be missed"
ELSEWHERE = "SkyPilot restarts it, in another region if need be; there is no on-demand net"
NOWHERE_ELSE = "SkyPilot restarts it once it is back, as no other region offers it; there is no on-demand net"
BY_TABLE = "a launcher that asks `tunefare next`; on-demand machines keep the deadline"
WAITING = "a launcher that starts it again once it is back; without a deadline nothing hurries"


def spot_section(candidate: Candidate, style: Style) -> list[str]:
    """Return what a plan says about its spot machine; nothing for one that stays."""
    answer = candidate.spot
    if answer is None:
        return []
    pairs = [
        ("Who acts", _who(answer)),
        ("Lost", _lost(answer)),
        ("Assumed", answer.history),
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


def _who(answer: SpotAnswer) -> str:
    if answer.executor == "none":
        return NOBODY
    if answer.executor == "policy":
        return WAITING if answer.policy is None else BY_TABLE
    return ELSEWHERE if len(answer.failover) > 1 else NOWHERE_ELSE


def _lost(answer: SpotAnswer) -> str:
    lost, rate = answer.interruptions, answer.rate_per_hour
    return (
        f"{lost.expected:.1f} times in a run ({lost.low:.1f} – {lost.high:.1f}): {rate.expected:.2g} an hour "
        f"({rate.low:.2g} – {rate.high:.2g}) of a machine that is there {format_percent(answer.available_fraction)} "
        "of the time"
    )


def _time_on(answer: SpotAnswer) -> str:
    parts = [f"spot {format_span(answer.spot_s)}"]
    if answer.on_demand_s > 0.0:
        parts.append(f"on-demand {format_span(answer.on_demand_s)}")
    if answer.waiting_s > 0.0:
        parts.append(f"waiting {format_span(answer.waiting_s)}")
    return f"{', '.join(parts)} on average; {format_span(answer.wasted_s)} of it is starts and lost work"


def _worst(answer: SpotAnswer) -> list[tuple[str, str]]:
    if answer.worst_usd_micro is None:
        return [("At worst", "nothing bounds the cost: interruptions may go on")]
    said = f"{format_dollars(answer.worst_usd_micro)}: all of it on-demand, and a tenth wasted on spot"
    return [("At worst", f"{said}; a budget is checked against this")]


def _checkpoints(advice: CheckpointAdvice) -> str:
    every, best = format_span(advice.every_s), format_span(advice.best_every_s)
    if not advice.chosen:
        how = f"as stated; {best} wastes least"
    elif advice.every_s > 1.05 * advice.best_every_s:
        how = f"chosen; {best} would waste least, but is too often to be worth it"
    else:
        how = "chosen: it wastes least"
    said = f"every {every} ({how}), {format_percent(advice.waste_fraction)} of spot time wasted"
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
        Column(title="slack on course", right=True),
        Column(title="wait for spot", right=True),
        Column(title="start on spot", right=True),
        Column(title="back to spot", right=True),
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
    lead = (
        "What to do by the slack, which is the time left less the work left: with more of it than here wait for spot "
        "(just lost), start on it, or go back to it from on-demand (there for an hour); with less go on-demand."
    )
    net = (
        f"Safety net: at {format_span(table.net_spot_s)} of slack a spot machine is left for an on-demand one, and at "
        f"{format_span(table.net_idle_s)} nothing but on-demand is started. "
        "It relies on on-demand machines being there then."
    )
    return [
        "",
        *format_paragraph(lead, style),
        *format_table(columns, rows, style),
        *format_paragraph(net, style),
        *_earlier(answer, problem.deadline_s, style),
    ]


def _earlier(answer: SpotAnswer, deadline_s: float, style: Style) -> list[str]:
    costs = [
        f"{format_span(deadline_s - earlier_s)} earlier {format_dollars(micro)}"
        for earlier_s, micro in reversed(answer.deadline_costs[:-1])
    ]
    return format_paragraph(f"Earlier deadlines cost more: {', '.join(costs)}.", style) if costs else []


def _from(table: PolicyTable, context: str, left_s: float, age_s: float) -> str:
    """Return the slack from which on-demand is not the answer, for spot that has been there (or gone) so long."""
    slack_s = table.least_slack_s(CONTEXTS.index(context), left_s=left_s, age_s=age_s)
    return "never" if slack_s is None or slack_s >= left_s else format_span(slack_s)
