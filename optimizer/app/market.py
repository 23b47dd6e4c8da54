"""The prices that a use case sees: the store's snapshot with discounts taken off, and own offers in front of it."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from cache.store import BundledStore
from providers.errors import JobError, PricesUnavailable
from providers.own_offers import apply_discounts, load_own_offers
from providers.snapshot import with_offers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime
    from decimal import Decimal
    from pathlib import Path

    from cache.store import PriceStore
    from providers.gpus import GpuTable
    from providers.offer import Offer, PriceSnapshot


@runtime_checkable
class OfferStore(Protocol):
    """A store that can tell its offers without the digest that names them all, and those of a provider alone."""

    def offers(self, *, now: datetime, providers: Collection[str] = ()) -> tuple[Offer, ...]:
        """Return the offers known at `now`, of `providers` where some are named."""
        ...

    def places(self, *, now: datetime) -> Mapping[tuple[str, str], int]:
        """Return how many offers are known by provider and region."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketChoice:
    """Which prices to look at: own offers, whether only those, and the fraction taken off by provider."""

    offers: Path | None
    only_offers: bool
    discounts: Mapping[str, Decimal]
    where: str = "command line"
    """Names the origin in error messages."""


def read_market(choice: MarketChoice, *, store: PriceStore | None, gpus: GpuTable, now: datetime) -> PriceSnapshot:
    """Return all offers and token prices to choose from, with a digest of exactly those.

    Own offers replace store offers of the same key; discounts come off the store's prices only, because an own price
    is what is really paid. `store` defaults to the bundled list. Raises JobError for `only_offers` without a file and
    for a discount on a provider without prices, PricesUnavailable (exit 9) when no price is left.
    """
    known = (store or _bundled(gpus)).snapshot(now=now)
    offers = _chosen(known.offers, choice, gpus, now)
    return known if offers is known.offers else with_offers(known, offers)


def read_offers(choice: MarketChoice, *, store: PriceStore, gpus: GpuTable, now: datetime) -> tuple[Offer, ...]:
    """Return the offers of `read_market` without the digest that names them: for a list on a screen."""
    known = store.offers(now=now) if isinstance(store, OfferStore) else store.snapshot(now=now).offers
    return _chosen(known, choice, gpus, now)


def _chosen(known: tuple[Offer, ...], choice: MarketChoice, gpus: GpuTable, now: datetime) -> tuple[Offer, ...]:
    """Return own offers behind those of the store that they do not replace; `known` itself where nothing differs."""
    if choice.only_offers and choice.offers is None:
        raise JobError(where=choice.where, key="only_offers", value=True, allowed="needs --offers FILE.csv beside it")
    listed = () if choice.only_offers else _discounted(known, choice)
    own = _own_offers(choice, gpus, now)
    if not listed and not own:
        place = f"{choice.offers} has no offer" if choice.only_offers else "the price list is empty"
        raise PricesUnavailable(
            f"no price is known: {place}; add rows to a CSV file and name it with --offers FILE.csv"
        )
    if not own:
        return listed
    replaced = {offer.key for offer in own}
    return (*(offer for offer in listed if offer.key not in replaced), *own)


def known_names(wanted: Iterable[str], known: Iterable[str], *, key: str, where: str) -> tuple[str, ...]:
    """Return `wanted`, in any case, as the price list writes them: every spelling where it has several.

    Raises JobError for the first that no price is known for, naming what comes close.
    """
    names = set(known)
    spellings: dict[str, list[str]] = {}
    for name in sorted(names):
        spellings.setdefault(name.casefold(), []).append(name)
    found: list[str] = []
    for name in wanted:
        here = spellings.get(name.strip().casefold())
        if here is None:
            raise JobError(where=where, key=key, value=name, allowed=_known_names(name, names))
        found += [name] if name in here else here
    return tuple(dict.fromkeys(found))


def _known_names(name: str, names: set[str]) -> str:
    folded = {candidate.casefold(): candidate for candidate in sorted(names)}
    # In a short name one wrong letter weighs more.
    cutoff = 0.6 if len(name) < 6 else 0.75
    close = [folded[match] for match in get_close_matches(name.casefold(), folded, n=3, cutoff=cutoff)]
    if close:
        return f"no prices are known for it; did you mean {' or '.join(close)}?"
    shown = sorted(names)[:12]
    more = "" if len(shown) == len(names) else f" and {len(names) - len(shown)} more (tunefare prices list)"
    return f"no prices are known for it; there are {', '.join(shown)}{more}"


def _bundled(gpus: GpuTable) -> PriceStore:
    return BundledStore(gpus)


def _own_offers(choice: MarketChoice, gpus: GpuTable, now: datetime) -> tuple[Offer, ...]:
    if choice.offers is None:
        return ()
    return load_own_offers(choice.offers, gpus, now=now)


def _discounted(offers: tuple[Offer, ...], choice: MarketChoice) -> tuple[Offer, ...]:
    if not choice.discounts:
        return offers
    return apply_discounts(offers, choice.discounts, where=choice.where)
