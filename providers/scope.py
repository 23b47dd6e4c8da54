"""The unit in which prices are fetched, judged and published: one provider, one region, one pricing model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from .offer import PricingModel

if TYPE_CHECKING:
    from datetime import datetime

    from .offer import Offer

GLOBAL_REGION = "global"
"""The region of a price that the source asks for everywhere alike, or that it does not break down by place."""

UNSTATED_REGION = "unknown"
"""The region of bundled rows whose source states none: a live batch of any region stands for them."""


class OfferKey(NamedTuple):
    """The identity of an offer, in the order of `Offer.key`; an absent zone or variant is ""."""

    provider: str
    region: str
    zone: str
    instance_type: str
    variant: str
    pricing_model: str

    @property
    def scope(self) -> Scope:
        """The scope whose batches hold this offer. Raises ValueError for an unknown pricing model."""
        return Scope(provider=self.provider, region=self.region, pricing_model=PricingModel(self.pricing_model))

    def __str__(self) -> str:
        return "/".join(part or "-" for part in self)


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Scope:
    """Where a batch of prices belongs: it replaces the last batch of the same scope, and touches no other."""

    provider: str
    region: str
    pricing_model: PricingModel

    def __str__(self) -> str:
        return f"{self.provider} {self.region} {self.pricing_model.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedRow:
    """A row of a source that became no offer. `reason` is a code of `DROP_REASONS`, `item` names the row."""

    reason: str
    item: str
    detail: str = ""

    def __post_init__(self) -> None:
        if self.reason not in DROP_REASONS:
            raise ValueError(f"dropped row {self.item!r}: reason {self.reason!r} is none of {', '.join(DROP_REASONS)}")


DROP_REASONS: dict[str, str] = {
    "not_a_gpu": "rents out no GPU",
    "no_price": "the source states no price",
    "zero_price": "a price of zero, which stands for unknown",
    "negative_price": "a price below zero",
    "bad_price": "the price is not a number",
    "bad_count": "the number of GPUs is not a whole number of at least 1",
    "bad_row": "a field that is needed is missing or of the wrong kind",
    "other_product": "another product under the same name: Windows, reserved, dedicated hosts, sole tenancy",
    "incomplete_parts": "a part of the machine (core, memory, GPU, disk) has no price",
    "ambiguous_parts": "a part of the machine has two prices that differ",
    "unknown_unit": "the unit of the price is not known",
    "bid_floor": "a minimum bid, which is not a price",
    "not_in_force": "a price of another time: past, or still to come",
    "no_capacity": "not on offer at the moment",
    "unknown_shape": "which machine is meant is not known",
    "beyond_cheapest": "a marketplace host dearer than the cheapest of its kind that are kept",
}
"""Why a row of a source becomes no offer: code and words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeBatch:
    """All offers of one scope as a source stated them at one moment, whole or not at all.

    `observed_at` is when the source was asked, aware UTC. An empty batch says that the source was asked and has nothing
    there. Raises ValueError for an offer of another scope: a parser that mixes them up is a bug.
    """

    scope: Scope
    observed_at: datetime
    offers: tuple[Offer, ...]
    dropped: tuple[DroppedRow, ...] = ()

    def __post_init__(self) -> None:
        if self.observed_at.tzinfo is None:
            raise ValueError(f"batch {self.scope}: observed_at has no time zone")
        for offer in self.offers:
            if (offer.provider, offer.region, offer.pricing_model) != (
                self.scope.provider,
                self.scope.region,
                self.scope.pricing_model,
            ):
                raise ValueError(f"batch {self.scope}: holds an offer of {offer.key}")
