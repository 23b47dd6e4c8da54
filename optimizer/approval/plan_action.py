"""From a plan to the action that it asks leave for: ceilings, time limits, fallbacks, and the cap that all of it keeps.

    max unit price  the quote and its drift allowed by the policy (2 % on-demand, 15 % spot), rounded up
    time limit      the 99 % quantile of the duration; under a spot policy the time to the deadline
    cap             time limit x max unit price x nodes x runs + fixed; under a spot policy its worst case

The 99 % quantile is the 90 % one carried on as a lognormal: exact where the duration is one.
"""

from __future__ import annotations

from datetime import UTC
from math import ceil, exp, log
from typing import TYPE_CHECKING

from .action import Action, OfferTerms, Placement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optimizer.search.results import Candidate, Plan
    from optimizer.search.spot.answer import Fallback
    from providers.offer import Offer

DRIFT_BPS: Mapping[str, int] = {"on_demand": 200, "spot": 1500, "reserved": 0}
"""How far a price may move up before a plan must be made anew, in hundredths of a per cent, unless a policy says."""
BPS = 10_000
Z99_OVER_Z90 = 2.3263478740 / 1.2815515655
NANO_S_PER_MICRO = 3_600_000
"""Billionths per hour times seconds, divided by this, are micro-dollars."""
BESIDE_MACHINES = frozenset({"disk", "egress"})


def action_of(
    plan: Plan,
    *,
    account: str | None = None,
    budgets: Sequence[str] = (),
    dataset_sha256: str | None = None,
    drift_bps: Mapping[str, int] = DRIFT_BPS,
    storage_factor: int = 2,
) -> Action | None:
    """Return what a plan asks leave for; None where it chose nothing. `storage_factor` is the dearest that disk and
    egress may turn out, as a multiple of their assumed rates."""
    if not plan.choices:
        return None
    placements = tuple(_placement(one, drift_bps, storage_factor) for one in plan.choices)
    cap = sum(_cap(one, placed) for one, placed in zip(plan.choices, placements, strict=True))
    deadline = plan.job.deadline_at
    return Action(
        placements=placements,
        account=account,
        model=plan.job.model.name,
        objective=plan.job.objective,
        dataset_sha256=dataset_sha256,
        executor=plan.job.executor,
        currency="USD",
        cap_usd_micro=cap,
        budgets=tuple(sorted(set(budgets))),
        deadline_at=None if deadline is None else deadline.astimezone(UTC).replace(microsecond=0),
    )


def _placement(choice: Candidate, drift_bps: Mapping[str, int], storage_factor: int) -> Placement:
    spot = choice.spot
    fallbacks: tuple[Fallback, ...] = ()
    if spot is not None:
        fallbacks = (*spot.failover[1:], *(() if spot.fallback is None else (spot.fallback,)))
    return Placement(
        offer=_terms(choice.offer, _raised(choice.offer, drift_bps)),
        gpu=choice.gpu.id,
        gpus_per_node=choice.offer.gpu_count,
        nodes=choice.nodes,
        runs=choice.runs,
        method=choice.recipe.method,
        quantization_bits=choice.recipe.bits,
        time_limit_s=_time_limit_s(choice),
        fixed_usd_micro=choice.runs * _fixed_micro(choice, storage_factor),
        fallbacks=tuple(_terms(one.offer, one.ceiling_nano) for one in fallbacks),
    )


def _terms(offer: Offer, ceiling_nano: int) -> OfferTerms:
    return OfferTerms(
        provider=offer.provider,
        region=offer.region,
        zone=offer.zone,
        variant=offer.variant,
        instance_type=offer.instance_type,
        pricing_model=offer.pricing_model.value,
        max_unit_price_nano=ceiling_nano,
    )


def _raised(offer: Offer, drift_bps: Mapping[str, int]) -> int:
    drift = drift_bps.get(offer.pricing_model.value, 0)
    return -(-offer.unit_price_nano * (BPS + drift) // BPS)


def _time_limit_s(choice: Candidate) -> int:
    spot = choice.spot
    if spot is not None and spot.problem is not None:
        return max(int(spot.problem.deadline_s), 1)
    duration = choice.duration_s
    spread = max(log(duration.high / duration.expected), 0.0) if duration.expected > 0.0 else 0.0
    longest = duration.expected * exp(Z99_OVER_Z90 * spread)
    return max(ceil(longest), 1)


def _fixed_micro(choice: Candidate, storage_factor: int) -> int:
    """Return what one run costs beside machines at most: storage at its dearest, and the job's hidden costs."""
    items = [item for item in choice.quote.items if item.unit != "s"]
    return sum(item.usd_micro * (storage_factor if item.name in BESIDE_MACHINES else 1) for item in items)


def _cap(choice: Candidate, placed: Placement) -> int:
    spot = choice.spot
    if spot is not None and spot.problem is not None and spot.worst_usd_micro is not None:
        return choice.runs * spot.worst_usd_micro
    seconds = placed.time_limit_s * placed.nodes * placed.runs
    return -(-placed.offer.max_unit_price_nano * seconds // NANO_S_PER_MICRO) + placed.fixed_usd_micro
