"""Live prices that are too old to plan with: left out, and said to be, unless the user says how old a price may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache.freshness import age_of, has_expired, usable_unasked
from optimizer.report.figures import format_age, plural
from providers.snapshot import with_offers
from providers.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from cache.freshness import FreshnessTable
    from optimizer.workload.job import Job
    from providers.offer import Offer, PriceSnapshot

DAY_S = 86_400


def without_expired(
    snapshot: PriceSnapshot, *, now: datetime, table: FreshnessTable
) -> tuple[PriceSnapshot, tuple[Offer, ...]]:
    """Return the snapshot without live prices that have expired, and those offers; the same snapshot where none has."""
    expired = tuple(offer for offer in snapshot.offers if has_expired(offer, now=now, table=table))
    if not expired:
        return snapshot, ()
    gone = {id(offer) for offer in expired}
    return with_offers(snapshot, tuple(offer for offer in snapshot.offers if id(offer) not in gone)), expired


def usable_by(job: Job, offers: Iterable[Offer], *, now: datetime, table: FreshnessTable) -> tuple[Offer, ...]:
    """Return the offers that the job could use: in its places, on its GPUs, paid for as it asks."""
    asked = frozenset(job.pricing_models)
    return tuple(
        offer
        for offer in offers
        if offer.excluded_because is None
        and (offer.pricing_model.value in asked if asked else usable_unasked(offer, now=now, table=table))
        and (not job.providers or offer.provider in job.providers)
        and (not job.regions or offer.region in job.regions)
        and (not job.gpus or offer.gpu in job.gpus)
        and offer.gpu not in job.exclude_gpus
    )


def expired_sentence(offers: Sequence[Offer], *, now: datetime, table: FreshnessTable) -> str:
    """Return how many prices were left out (at least one), how old they are, how old they may be, and what to do."""
    ages = [age_of(offer.observed_at, now=now).total_seconds() for offer in offers]
    limits = {offer.pricing_model: table[offer.price_class, offer.pricing_model].stale for offer in offers}
    allowed = ", ".join(
        f"{model.value.replace('_', '-')} up to {format_duration(limit.total_seconds())}"
        for model, limit in sorted(limits.items())
    )
    youngest, oldest = format_age(min(ages)), format_age(max(ages))
    old = oldest if youngest == oldest else f"{youngest} to {oldest}"
    were, them = ("was", "it") if len(ages) == 1 else ("were", "them")
    return (
        f"{plural(len(ages), 'live price')} {were} left out for being {old} old (used are {allowed}): tunefare prices"
        f" refresh renews {them}, --max-price-age {int(max(ages) // DAY_S) + 1}d accepts {them}."
    )
