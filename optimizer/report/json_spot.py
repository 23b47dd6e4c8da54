"""The JSON object `spot` of a candidate: what was assumed, what it comes to, where to turn, and the policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.search.spot.policy_document import policy_document

from .json_text import ppm, whole

if TYPE_CHECKING:
    from optimizer.search.spot.answer import CheckpointAdvice, Fallback, SpotAnswer
    from providers.basis import Estimate

    from .json_text import Json, JsonObject

PER_MILLION = 1_000_000


def spot_object(answer: SpotAnswer | None, *, with_policy: bool) -> JsonObject | None:
    """Return what is said of a spot machine; None for machines that stay. `with_policy` adds the table to follow.

    Numbers of interruptions are in millionths, rates in interruptions per million hours, times in seconds.
    """
    if answer is None:
        return None
    document: JsonObject = {
        "executor": answer.executor,
        "basis": answer.basis.value,
        "history": answer.history,
        "worst_usd_micro": answer.worst_usd_micro,
        "interruptions_ppm": _per_million(answer.interruptions),
        "rate_ppm_per_h": _per_million(answer.rate_per_hour),
        "available_ppm": ppm(answer.available_fraction),
        "spot_s": whole(answer.spot_s),
        "on_demand_s": whole(answer.on_demand_s),
        "waiting_s": whole(answer.waiting_s),
        "wasted_s": whole(answer.wasted_s),
        "drawn_runs": answer.simulated,
        "checkpoint": _checkpoint(answer.checkpoints),
        "fallback": None if answer.fallback is None else fallback_object(answer.fallback),
        "failover": [fallback_object(one) for one in answer.failover],
        "deadline_costs": [
            {"deadline_s": deadline_s, "cost_usd_micro": micro} for deadline_s, micro in answer.deadline_costs
        ],
    }
    if with_policy:
        document["policy"] = _policy(answer)
    return document


def fallback_object(fallback: Fallback) -> JsonObject:
    """Return an offer to turn to with its price ceiling, both in billionths of its currency per instance-hour."""
    offer = fallback.offer
    return {
        "provider": offer.provider,
        "region": offer.region,
        "zone": offer.zone,
        "variant": offer.variant,
        "instance_type": offer.instance_type,
        "pricing_model": offer.pricing_model.value,
        "unit_price_nano": offer.unit_price_nano,
        "ceiling_nano": fallback.ceiling_nano,
    }


def _per_million(estimate: Estimate) -> JsonObject:
    return {
        "low": whole(PER_MILLION * estimate.low),
        "expected": whole(PER_MILLION * estimate.expected),
        "high": whole(PER_MILLION * estimate.high),
    }


def _checkpoint(advice: CheckpointAdvice) -> JsonObject:
    on_notice = advice.waste_on_notice_fraction
    return {
        "every_s": whole(advice.every_s),
        "chosen": advice.chosen,
        "best_every_s": whole(advice.best_every_s),
        "write_s": whole(advice.write_s),
        "waste_ppm": ppm(advice.waste_fraction),
        "notice_s": whole(advice.notice_s),
        "waste_on_notice_ppm": None if on_notice is None else ppm(on_notice),
    }


def _policy(answer: SpotAnswer) -> Json:
    if answer.problem is None or answer.policy is None:
        return None
    document: Json = policy_document(answer.problem, answer.policy)  # type: ignore[assignment]
    return document
