"""How old a price may be before one should stop believing it.

Age counts from the moment at which the price was observed; a failed refresh does not renew it. `fresh` prices are used
without remark, `stale` ones with their age beside them and a wider interval. `expired` live prices are left out of
plans unless the user says how old a price may be; a bundled list has no refresh that would renew it, and an own price
holds until its owner changes it: those are used at any age, which the answer states.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from providers.offer import PriceClass, PricingModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.offer import Offer


class Freshness(StrEnum):
    """How far a price can be believed, best first."""

    FRESH = "fresh"
    STALE = "stale"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Ages up to which (inclusive) a price is fresh, and up to which it is stale; why."""

    fresh: timedelta
    stale: timedelta
    reason: str

    def __post_init__(self) -> None:
        if not timedelta(0) <= self.fresh <= self.stale:
            raise ValueError(f"freshness limits out of order: {self.fresh}, {self.stale}")


FreshnessTable: TypeAlias = "Mapping[tuple[PriceClass, PricingModel], Limits]"

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)

LIMITS: FreshnessTable = MappingProxyType({
    (PriceClass.LIVE, PricingModel.ON_DEMAND): Limits(
        fresh=36 * _HOUR, stale=14 * _DAY, reason="one nightly refresh may be missed; on-demand prices rarely move"
    ),
    (PriceClass.LIVE, PricingModel.SPOT): Limits(
        fresh=6 * _HOUR, stale=3 * _DAY, reason="spot prices are reset within days, and zones differ by a quarter"
    ),
    (PriceClass.LIVE, PricingModel.RESERVED): Limits(
        fresh=36 * _HOUR, stale=14 * _DAY, reason="as on-demand: a published list"
    ),
    (PriceClass.LIST, PricingModel.ON_DEMAND): Limits(
        fresh=30 * _DAY, stale=365 * _DAY, reason="in 72 snapshots over four years one provider changed 4 of 105 prices"
    ),
    (PriceClass.LIST, PricingModel.SPOT): Limits(
        fresh=timedelta(0), stale=180 * _DAY, reason="a listed spot price is history: used only when spot is asked for"
    ),
    (PriceClass.LIST, PricingModel.RESERVED): Limits(
        fresh=30 * _DAY, stale=365 * _DAY, reason="as on-demand: a published list"
    ),
    (PriceClass.OWN, PricingModel.ON_DEMAND): Limits(
        fresh=365 * _DAY, stale=730 * _DAY, reason="the user's own figure: it holds until the user changes it"
    ),
    (PriceClass.OWN, PricingModel.SPOT): Limits(
        fresh=1 * _DAY, stale=30 * _DAY, reason="the user's own reading of a market that moves"
    ),
    (PriceClass.OWN, PricingModel.RESERVED): Limits(
        fresh=365 * _DAY, stale=1095 * _DAY, reason="the term of a contract, one or three years"
    ),
})  # fmt: skip
"""The thresholds where nobody sets others. A bundled (`list`) spot price is never fresh, whatever the table says."""

NEVER_FRESH = frozenset({(PriceClass.LIST, PricingModel.SPOT)})


def in_force(stated: FreshnessTable) -> FreshnessTable:
    """Return the whole table: the limits that were stated, the defaults for the rest."""
    return MappingProxyType({**LIMITS, **stated})


def age_of(observed_at: datetime, *, now: datetime) -> timedelta:
    """Return how old a price is. A moment after `now` (clocks differ) counts as age 0. Raises ValueError if naive."""
    if observed_at.tzinfo is None or now.tzinfo is None:
        raise ValueError("age of a price: both moments need a time zone")
    return max(now.astimezone(UTC) - observed_at.astimezone(UTC), timedelta(0))


def freshness(
    price_class: PriceClass, pricing_model: PricingModel, age: timedelta, table: FreshnessTable = LIMITS
) -> Freshness:
    """Return how far a price of that class, pricing model and age can be believed."""
    limits = table[price_class, pricing_model]
    if age <= limits.fresh and (price_class, pricing_model) not in NEVER_FRESH:
        return Freshness.FRESH
    return Freshness.STALE if age <= limits.stale else Freshness.EXPIRED


def offer_freshness(offer: Offer, *, now: datetime, table: FreshnessTable = LIMITS) -> Freshness:
    """Return how far the price of `offer` can be believed at `now`."""
    return freshness(offer.price_class, offer.pricing_model, age_of(offer.observed_at, now=now), table)


def usable_unasked(offer: Offer, *, now: datetime, table: FreshnessTable = LIMITS) -> bool:
    """Return whether a plan may use the offer when the user named no pricing model: spot only while its price is
    fresh (a bundled one never is), everything else at any age, which the answer then states."""
    return (
        offer.pricing_model is not PricingModel.SPOT or offer_freshness(offer, now=now, table=table) is Freshness.FRESH
    )


def has_expired(offer: Offer, *, now: datetime, table: FreshnessTable = LIMITS) -> bool:
    """Return whether a plan leaves the offer out for its age, unless it is told how old a price may be: a live price
    that has expired, and that a refresh would renew."""
    return offer.price_class is PriceClass.LIVE and offer_freshness(offer, now=now, table=table) is Freshness.EXPIRED
