"""The use case `prices list`: what is known of the market, and how old each price is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cache.freshness import age_of, offer_freshness
from optimizer.report.answers import PricedOffer, PriceListAnswer
from optimizer.workload.job_limits import gpu_advice
from providers.errors import JobError
from providers.offer import PricingModel

from .clock import current_time
from .gpu_table import load_gpu_table
from .market import MarketChoice, known_names, read_market
from .settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from decimal import Decimal
    from pathlib import Path

    from cache.store import PriceStore
    from providers.gpus import GpuTable
    from providers.offer import Offer, PriceSnapshot

    from .settings import Settings

COMMAND_LINE = "command line"


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceFilter:
    """Which offers to list; an empty tuple is no restriction. Values of one field are alternatives."""

    gpus: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    pricing_models: tuple[str, ...] = ()
    min_gpus: int = 1


def list_prices(
    wanted: PriceFilter | None = None,
    *,
    offers: Path | None = None,
    only_offers: bool | None = None,
    discounts: Mapping[str, Decimal] | None = None,
    now: datetime | str | None = None,
    settings: Settings | None = None,
    store: PriceStore | None = None,
    gpus: GpuTable | None = None,
) -> PriceListAnswer:
    """Return the offers that pass the filter, cheapest per GPU-hour first, each with the age of its price.

    Offers in dollars come before those in other currencies, which are never compared with them. Offers that no plan
    takes (a slice of a GPU, an unknown chip) are listed too and say why. Raises JobError for an unknown GPU, provider,
    region or pricing model (naming what is known), PricesUnavailable (exit 9) when no price is known at all. A filter
    that leaves nothing is an empty list, not an error.
    """
    in_force = load_settings() if settings is None else settings
    table = load_gpu_table() if gpus is None else gpus
    moment = _moment(now, in_force)
    choice = MarketChoice(
        offers=in_force.offers if offers is None else offers,
        only_offers=bool(in_force.only_offers if only_offers is None else only_offers),
        discounts={**in_force.discounts, **(discounts or {})},
        where=COMMAND_LINE,
    )
    snapshot = read_market(choice, store=store, gpus=table, now=moment)
    passing = _passing(snapshot, wanted or PriceFilter(), table)
    return PriceListAnswer(
        made_at=moment,
        offers=tuple(
            PricedOffer(
                offer=offer,
                age_s=int(age_of(offer.observed_at, now=moment).total_seconds()),
                freshness=offer_freshness(offer, now=moment).value,
            )
            for offer in sorted(passing, key=_cheapest_first)
        ),
        total=len(snapshot.offers),
        sha256=snapshot.sha256,
    )


def _moment(now: datetime | str | None, settings: Settings) -> datetime:
    if now is None and settings.now is not None:
        return current_time(settings.now, where="environment", key="TUNEFARE_NOW")
    return current_time(now)


def _passing(snapshot: PriceSnapshot, wanted: PriceFilter, gpus: GpuTable) -> list[Offer]:
    chips = {_gpu_id(name, gpus) for name in wanted.gpus}
    providers, regions = (
        known_names(names, known, key=key, where=COMMAND_LINE)
        for key, names, known in (
            ("provider", wanted.providers, {offer.provider for offer in snapshot.offers}),
            ("region", wanted.regions, {offer.region for offer in snapshot.offers}),
        )
    )
    models = {_pricing_model(name) for name in wanted.pricing_models}
    if wanted.min_gpus < 1:
        raise JobError(
            where=COMMAND_LINE, key="min_gpus", value=wanted.min_gpus, allowed="a whole number of at least 1"
        )
    return [
        offer
        for offer in snapshot.offers
        if (not chips or offer.gpu in chips)
        and (not providers or offer.provider in providers)
        and (not regions or offer.region in regions)
        and (not models or offer.pricing_model in models)
        and offer.gpu_count >= wanted.min_gpus
    ]


def _gpu_id(name: str, gpus: GpuTable) -> str:
    gpu = gpus.resolve(name)
    if gpu is None:
        raise JobError(where=COMMAND_LINE, key="gpu", value=name, allowed=gpu_advice(name, gpus))
    return gpu.id


def _pricing_model(name: str) -> PricingModel:
    try:
        return PricingModel(name.strip().lower().replace("-", "_"))
    except ValueError as err:
        allowed = f"one of {', '.join(PricingModel)}"
        raise JobError(where=COMMAND_LINE, key="pricing_model", value=name, allowed=allowed) from err


def _cheapest_first(offer: Offer) -> tuple[bool, str, float, tuple[str, ...]]:
    return (offer.currency != "USD", offer.currency, offer.unit_price_nano / offer.gpu_count, offer.key)
