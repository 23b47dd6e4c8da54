"""The price of the deadline as JSON objects, for every document that tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .json_text import JsonObject, moment, whole, whole_or_null

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.search.deadline_price import DeadlinePrice, DeadlineStretch


def deadline_price_object(price: DeadlinePrice | None) -> JsonObject | None:
    """Return what an hour more or less of deadline changes, in micro-dollars a run; null without a deadline."""
    if price is None:
        return None
    return {
        "cost_usd_micro": price.cost_usd_micro,
        "saved_by_one_hour_more_usd_micro": price.saved_by_one_hour_more_usd_micro,
        "cost_of_one_hour_less_usd_micro": price.cost_of_one_hour_less_usd_micro,
        "next_saving_at": moment(price.next_saving_at),
        "next_saving_after_s": whole_or_null(price.next_saving_after_s),
        "next_saving_usd_micro": price.next_saving_usd_micro,
        "next_cost_usd_micro": price.next_cost_usd_micro,
    }


def deadline_stretch_objects(stretches: Sequence[DeadlineStretch]) -> list[JsonObject]:
    """Return what an hour saves between two deadlines, both in seconds from the moment of planning."""
    return [
        {
            "from_s": whole(one.from_s),
            "to_s": whole(one.to_s),
            "from_usd_micro": one.from_usd_micro,
            "to_usd_micro": one.to_usd_micro,
            "usd_micro_per_hour": one.usd_micro_per_hour,
        }
        for one in stretches
    ]
