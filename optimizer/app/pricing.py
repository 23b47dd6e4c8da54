"""The use case `prices list`: what is known of the market, and how old each price is."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from heapq import nsmallest
from typing import TYPE_CHECKING

from cache.freshness import age_of, in_force, offer_freshness
from cache.store import BundledStore
from optimizer.report.answers import PricedOffer, PriceListAnswer
from optimizer.workload.job_limits import gpu_advice
from providers.errors import JobError
from providers.offer import PricingModel

from .clock import moment_in_force
from .gpu_table import load_gpu_table
from .market import MarketChoice, OfferStore, known_names, read_market, read_offers
from .price_store import opened
from .settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from decimal import Decimal
    from pathlib import Path

    from cache.store import PriceStore
    from providers.gpus import GpuTable
    from providers.offer import Offer
    from providers.scope import Scope

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
    limit: int = 0,
    digest: bool = True,
) -> PriceListAnswer:
    """Return the offers that pass the filter, cheapest per GPU-hour first, each with the age of its price.

    Live prices stand for the bundled ones of their scope. `limit` is how many offers to return, 0 for all; without
    `digest` the answer does not name the snapshot that it comes from, which saves a tenth of the time.
    Offers in dollars come before those in other currencies, which are never compared with them. Offers that no plan
    takes (a slice of a GPU, an unknown chip) are listed too and say why. Raises JobError for an unknown GPU, provider,
    region or pricing model (naming what is known), PricesUnavailable (exit 9) when no price is known at all. A filter
    that leaves nothing is an empty list, not an error.
    """
    stated = load_settings() if settings is None else settings
    table = load_gpu_table() if gpus is None else gpus
    moment = moment_in_force(now, stated.now)
    choice = MarketChoice(
        offers=stated.offers if offers is None else offers,
        only_offers=bool(stated.only_offers if only_offers is None else only_offers),
        discounts={**stated.discounts, **(discounts or {})},
        where=COMMAND_LINE,
    )
    if limit < 0:
        raise JobError(where=COMMAND_LINE, key="limit", value=limit, allowed="a whole number, 0 for all")
    wanted = wanted or PriceFilter()
    known = _known(choice, stated, table, moment, store=store, wanted=wanted, digest=digest)
    test = parse_filter(wanted, known.places, table)
    passing = [offer for offer in known.offers if test.takes(offer)]
    listed = nsmallest(limit or len(passing), passing, key=_cheapest_first)
    ages = in_force(stated.freshness)
    return PriceListAnswer(
        made_at=moment,
        offers=tuple(
            PricedOffer(
                offer=offer,
                age_s=int(age_of(offer.observed_at, now=moment).total_seconds()),
                freshness=offer_freshness(offer, now=moment, table=ages).value,
            )
            for offer in listed
        ),
        total=sum(known.places.values()),
        sha256=known.sha256,
        more=len(passing) - len(listed),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What there is to choose from. `places` counts by provider and region everything that is known, read or not."""

    offers: tuple[Offer, ...]
    places: Mapping[tuple[str, str], int]
    sha256: str | None = None


def _known(
    choice: MarketChoice,
    stated: Settings,
    gpus: GpuTable,
    now: datetime,
    *,
    store: PriceStore | None,
    wanted: PriceFilter,
    digest: bool,
) -> _Known:
    """Return what is known. Only what a digest, a discount or an own offer needs is read beyond `wanted` providers."""
    # Own offers alone need no database.
    given = BundledStore(gpus) if store is None and choice.only_offers else store
    with opened(stated, gpus, given) as here:
        if digest:
            snapshot = read_market(choice, store=here, gpus=gpus, now=now)
            return _Known(offers=snapshot.offers, places=_places(snapshot.offers), sha256=snapshot.sha256)
        if wanted.providers and choice.offers is None and not choice.discounts and isinstance(here, OfferStore):
            places = here.places(now=now)
            providers = known_names(wanted.providers, {name for name, _ in places}, key="provider", where=COMMAND_LINE)
            return _Known(offers=here.offers(now=now, providers=providers), places=places)
        offers = read_offers(choice, store=here, gpus=gpus, now=now)
        return _Known(offers=offers, places=_places(offers))


def _places(offers: Iterable[Offer]) -> Counter[tuple[str, str]]:
    return Counter((offer.provider, offer.region) for offer in offers)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferTest:
    """A filter in the words of the price list: ids and names as it writes them."""

    gpus: frozenset[str]
    providers: frozenset[str]
    regions: frozenset[str]
    pricing_models: frozenset[PricingModel]
    min_gpus: int

    def takes(self, offer: Offer) -> bool:
        """Return whether the offer passes."""
        return (
            (not self.gpus or offer.gpu in self.gpus)
            and (not self.providers or offer.provider in self.providers)
            and (not self.regions or offer.region in self.regions)
            and (not self.pricing_models or offer.pricing_model in self.pricing_models)
            and offer.gpu_count >= self.min_gpus
        )

    def takes_whole(self, scope: Scope) -> bool:
        """Return whether every offer of the scope passes, whatever it is."""
        return (
            not self.gpus
            and self.min_gpus == 1
            and (not self.providers or scope.provider in self.providers)
            and (not self.regions or scope.region in self.regions)
            and (not self.pricing_models or scope.pricing_model in self.pricing_models)
        )


def parse_filter(wanted: PriceFilter, places: Iterable[tuple[str, str]], gpus: GpuTable) -> OfferTest:
    """Return the filter that a person wrote. `places` are the providers and regions that prices are known of.

    Raises JobError for an unknown GPU, provider, region or pricing model, naming what is known.
    """
    places = tuple(places)
    providers, regions = (
        frozenset(known_names(names, {place[at] for place in places}, key=key, where=COMMAND_LINE))
        for at, key, names in ((0, "provider", wanted.providers), (1, "region", wanted.regions))
    )
    if wanted.min_gpus < 1:
        raise JobError(
            where=COMMAND_LINE, key="min_gpus", value=wanted.min_gpus, allowed="a whole number of at least 1"
        )
    return OfferTest(
        gpus=frozenset(parse_gpu(name, gpus) for name in wanted.gpus),
        providers=providers,
        regions=regions,
        pricing_models=frozenset(parse_pricing_model(name) for name in wanted.pricing_models),
        min_gpus=wanted.min_gpus,
    )


def parse_gpu(name: str, gpus: GpuTable) -> str:
    """Return the id of the GPU that a person named. Raises JobError for one that the table does not know."""
    gpu = gpus.resolve(name)
    if gpu is None:
        raise JobError(where=COMMAND_LINE, key="gpu", value=name, allowed=gpu_advice(name, gpus))
    return gpu.id


def parse_pricing_model(name: str) -> PricingModel:
    """Return the pricing model that a person named. Raises JobError for an unknown one."""
    try:
        return PricingModel(name.strip().lower().replace("-", "_"))
    except ValueError as err:
        allowed = f"one of {', '.join(PricingModel)}"
        raise JobError(where=COMMAND_LINE, key="pricing_model", value=name, allowed=allowed) from err


def _cheapest_first(offer: Offer) -> tuple[bool, str, float, tuple[str, ...]]:
    return (offer.currency != "USD", offer.currency, offer.unit_price_nano / offer.gpu_count, offer.key)
