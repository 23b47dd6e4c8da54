"""The document `tunefare.next/v1`: the next action under a plan's spot policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.version import VERSION

from .json_text import JsonObject, ppm, to_text, whole
from .text_next import next_sentence

if TYPE_CHECKING:
    from optimizer.search.spot.next_step import Threshold

    from .spot_answers import NamedOffer, NextAnswer

SCHEMA = "tunefare.next/v1"


def next_text(answer: NextAnswer) -> str:
    """Return the next action as JSON text: equal bytes for equal input."""
    return to_text(next_document(answer))


def next_document(answer: NextAnswer) -> JsonObject:
    """Return the next action as a document; times in seconds, `offers` in the order in which to try them."""
    step, state = answer.step, answer.state
    return {
        "schema": SCHEMA,
        "tool_version": VERSION,
        "plan": answer.plan,
        "action": step.action.value,
        "reason": step.reason.value,
        "sentence": next_sentence(answer),
        "starts_machine": answer.starts_machine,
        "offers": [_offer(one) for one in answer.offers],
        "nodes": answer.nodes,
        "ask_again_s": None if step.ask_again_s is None else whole(step.ask_again_s),
        "elapsed_s": whole(answer.elapsed_s),
        "left_s": whole(step.left_s),
        "need_s": whole(step.need_s),
        "slack_s": whole(step.slack_s),
        "net_s": whole(step.net_s),
        "below": _threshold(step.below),
        "above": _threshold(step.above),
        "most_starts": step.most_starts,
        "state": {
            "mode": state.mode.name.lower(),
            "spot_up": state.spot_up,
            "age_s": whole(state.age_s),
            "done_ppm": ppm(state.done_fraction),
            "starting_s": whole(state.starting_s),
            "starts": state.starts,
        },
    }


def _threshold(one: Threshold | None) -> JsonObject | None:
    return None if one is None else {"slack_s": whole(one.slack_s), "action": one.action.value}


def _offer(one: NamedOffer) -> JsonObject:
    return {
        "provider": one.provider,
        "region": one.region,
        "zone": one.zone,
        "instance_type": one.instance_type,
        "pricing_model": one.pricing_model,
        "ceiling_nano": one.ceiling_nano,
    }
