"""The next action as a launcher and a person read it: one word, then why, then where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.search.spot.next_step import Action, Reason

from .figures import format_price, format_span, plural
from .table import format_pairs, format_paragraph

if TYPE_CHECKING:
    from optimizer.search.spot.next_step import NextStep

    from .spot_answers import NamedOffer, NextAnswer
    from .style import Style

WORDS: dict[Action, str] = {
    Action.SPOT: "a spot machine",
    Action.ON_DEMAND: "on-demand",
    Action.WAIT: "waiting",
    Action.DONE: "nothing",
}


def format_next(answer: NextAnswer, style: Style) -> str:
    """Return the action in one word on the first line, the reason below it, then where to start, and when to ask."""
    lines = [answer.step.action.value, *format_paragraph(next_sentence(answer), style)]
    pairs: list[tuple[str, str]] = []
    if answer.starts_machine:
        count = f"{answer.nodes} × " if answer.nodes > 1 else ""
        for at, offer in enumerate(answer.offers):
            pairs.append(("Start" if at == 0 else "or else", f"{count}{_offer(offer)}"))
    if answer.step.ask_again_s is not None:
        lost = "" if answer.step.action is Action.WAIT else ", or when the machine is lost"
        pairs.append(("Ask again", f"in {format_span(answer.step.ask_again_s)}{lost}"))
    return "\n".join([*lines, *format_pairs(pairs, style)]) + "\n"


def next_sentence(answer: NextAnswer) -> str:
    """Return why the action is what it is, with the slack, the net, and where it would change."""
    step = answer.step
    slack, net = format_span(step.slack_s), format_span(step.net_s)
    need = f"{format_span(step.need_s)} of machine time"
    late = f"it passed {format_span(-step.left_s)} ago, and {need} is left"
    stand = late if step.left_s < 0.0 else f"{format_span(step.left_s)} left for {need}"
    if step.reason is Reason.DONE:
        return "The work is done."
    if step.reason is Reason.LATE:
        return f"The deadline cannot be kept any more ({stand}): on-demand to the end is late by the least."
    if step.reason is Reason.NET:
        return f"A slack of {slack} ({stand}) is within the safety net of {net}: on-demand to the end."
    if step.reason is Reason.HOLD:
        return (
            f"Keep the spot machine while it is there: the slack is {slack} ({stand}), the safety net comes at {net}."
        )
    if step.reason is Reason.WASTE:
        starts = answer.state.starts or 0
        return (
            f"{_were(starts)} started. After {plural(step.most_starts or 0, 'machine')} no spot machine is, so that "
            "waste stays within a tenth of the on-demand cost: on-demand to the end."
        )
    return f"{_why(answer)} at a slack of {slack} ({stand}){_changes(step)}; the safety net comes at {net}."


def _were(starts: int) -> str:
    return f"{plural(starts, 'machine')} {'was' if starts == 1 else 'were'}"


def _why(answer: NextAnswer) -> str:
    up, age = answer.state.spot_up, format_span(answer.state.age_s)
    market = f"Spot has been {'there' if up else 'away'} for {age}:"
    return f"{market} {WORDS[answer.step.action]} costs least"


def _changes(step: NextStep) -> str:
    told = []
    if step.below is not None and step.below.slack_s > step.net_s:
        told.append(f"below {format_span(step.below.slack_s)} {WORDS[step.below.action]}")
    if step.above is not None:
        told.append(f"from {format_span(step.above.slack_s)} on {WORDS[step.above.action]}")
    return f"; {', '.join(told)}" if told else ""


def _offer(one: NamedOffer) -> str:
    ceiling = "" if one.ceiling_nano is None else f" for at most {format_price(one.ceiling_nano, 'USD')} an hour"
    place = one.zone or one.region
    where = one.provider if place == "unknown" else f"{one.provider} {place}"
    return f"{one.instance_type} {one.pricing_model.replace('_', '-')}, {where}{ceiling}"
