"""Offers laid out once as columns: price, billing terms, age, and the kind of machine that each one rents out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optimizer.physics.tabulate import Machine
from providers.offer import EXCLUDING_FLAGS, BillingTerms, PriceClass, PricingModel

from .price_age import price_sigma
from .spot.interruption_classes import availability_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from optimizer.physics.runs import Bools, Floats, Ints
    from providers.gpus import GpuTable
    from providers.offer import Offer, PriceSnapshot

    from .spot.interruption_classes import SpotPrior

NANO_PER_HOUR_TO_MICRO_PER_S = 1.0 / (1000.0 * 3600.0)
AHEAD = "observed after now"
CLOCKS_DIFFER_S = 300.0
"""A price may be this much younger than `now`: the clock of its source runs ahead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferColumns:
    """n usable offers, ordered by provider, region, instance type, zone, variant, pricing model.

    Arrays have shape (n,); money is micro-dollars per second.

    `machine` points into `machines`, the distinct kinds of single node (their `nodes` is 1).
    """

    offers: tuple[Offer, ...]
    terms: tuple[BillingTerms, ...]
    machines: tuple[Machine, ...]
    machine: Ints
    price_micro_per_s: Floats
    increment_s: Floats
    minimum_s: Floats
    age_s: Floats
    price_sigma: Floats
    spot: Bools
    prior: Ints
    """Which of `priors` says how often a spot machine is lost; 0 on machines that stay."""
    priors: tuple[SpotPrior, ...]
    """Distinct; `priors[0]` is that of a place nobody has watched."""
    owned: Bools
    local_disk_bytes: Floats
    """NaN unknown."""
    unusable: Mapping[str, int]

    @property
    def count(self) -> int:
        """Number of usable offers."""
        return len(self.offers)


def lay_out_offers(snapshot: PriceSnapshot, gpus: GpuTable, *, now: datetime) -> OfferColumns:
    """Return the usable offers of a snapshot as columns, each key once: newest observation, then cheapest.

    Unusable, and counted by reason (`why_unusable`): a price that nobody had seen at `now`, a GPU that the table does
    not know or that nobody trains on, a price that is not in dollars, a price of zero that is not the user's own.
    """
    seen = [offer for offer in snapshot.offers if not is_ahead(offer, now=now)]
    distinct = _once_per_key(seen)
    unusable: Counter[str] = Counter()
    if len(snapshot.offers) > len(seen):
        unusable[AHEAD] = len(snapshot.offers) - len(seen)
    if len(seen) > len(distinct):
        unusable["older or dearer duplicate of another offer"] = len(seen) - len(distinct)
    usable = []
    for offer in distinct:
        reason = why_unusable(offer, gpus, now=now)
        if reason is None:
            usable.append(offer)
        else:
            unusable[reason] += 1
    terms = tuple(snapshot.billing_of(offer) for offer in usable)
    return _columns(tuple(usable), terms, gpus, now=now, unusable=dict(sorted(unusable.items())))


def _once_per_key(offers: Iterable[Offer]) -> list[Offer]:
    """Return one offer a key: the newest, among those the cheapest, then by the remaining fields. In tie order."""
    best: dict[tuple[str, ...], Offer] = {}
    for offer in offers:
        held = best.get(offer.key)
        if held is None or _preference(offer) < _preference(held):
            best[offer.key] = offer
    return sorted(best.values(), key=_tie_order)


def _tie_order(offer: Offer) -> tuple[str, ...]:
    """Return what breaks ties between equally good offers: provider, region, type, then the rest of the key."""
    provider, region, zone, instance_type, variant, pricing_model = offer.key
    return (provider, region, instance_type, zone, variant, pricing_model)


def _preference(offer: Offer) -> tuple[float, int, str, str]:
    return (-offer.observed_at.timestamp(), offer.unit_price_nano, offer.source, repr(offer))


def is_ahead(offer: Offer, *, now: datetime) -> bool:
    """Return whether a price was observed after `now`: a plan made then could not have seen it."""
    return (offer.observed_at - now).total_seconds() > CLOCKS_DIFFER_S


def why_unusable(offer: Offer, gpus: GpuTable, *, now: datetime) -> str | None:
    """Return why an offer can never be a candidate, in words; None when it can."""
    if is_ahead(offer, now=now):
        return AHEAD
    for flag in offer.flags:
        if flag in EXCLUDING_FLAGS:
            return EXCLUDING_FLAGS[flag]
    gpu = gpus.by_id.get(offer.gpu) if offer.gpu is not None else None
    if gpu is None:
        return "GPU unknown to the table"
    if not gpu.trainable:
        return "GPU not modelled for training"
    if offer.currency != "USD":
        return "price not in USD"
    if offer.unit_price_nano == 0 and offer.price_class is not PriceClass.OWN:
        return "price of zero"  # a defect of the source, not a gift
    return None


def _columns(
    offers: tuple[Offer, ...],
    terms: tuple[BillingTerms, ...],
    gpus: GpuTable,
    *,
    now: datetime,
    unusable: Mapping[str, int],
) -> OfferColumns:
    machines: dict[tuple[object, ...], int] = {}
    kinds: list[Machine] = []
    machine = np.zeros(len(offers), dtype=np.int64)
    for position, offer in enumerate(offers):
        kind = (offer.gpu, offer.gpu_count, offer.host_ram_bytes, offer.disk_bytes, offer.network_bytes_per_s)
        if kind not in machines:
            machines[kind] = len(kinds)
            kinds.append(machine_of(offer, gpus))
        machine[position] = machines[kind]
    prior, priors = _priors(offers)
    ages = [(now - offer.observed_at).total_seconds() for offer in offers]
    sigmas = [
        price_sigma(price_class=offer.price_class, pricing_model=offer.pricing_model, age_s=age)
        for offer, age in zip(offers, ages, strict=True)
    ]
    return OfferColumns(
        offers=offers,
        terms=terms,
        machines=tuple(kinds),
        machine=machine,
        price_micro_per_s=_floats([offer.unit_price_nano for offer in offers]) * NANO_PER_HOUR_TO_MICRO_PER_S,
        increment_s=_floats([max(term.increment_s, 1) for term in terms]),
        minimum_s=_floats([term.minimum_s for term in terms]),
        age_s=_floats(ages),
        price_sigma=_floats(sigmas),
        spot=np.array([offer.pricing_model is PricingModel.SPOT for offer in offers], dtype=np.bool_),
        prior=prior,
        priors=priors,
        owned=np.array([offer.price_class is PriceClass.OWN for offer in offers], dtype=np.bool_),
        local_disk_bytes=_floats([np.nan if offer.disk_bytes is None else offer.disk_bytes for offer in offers]),
        unusable=unusable,
    )


def _priors(offers: tuple[Offer, ...]) -> tuple[Ints, tuple[SpotPrior, ...]]:
    """Return what is assumed of the availability of each spot offer, as indices into the distinct assumptions."""
    found = [availability_for(provider="", region="", instance_type="")]
    index = np.zeros(len(offers), dtype=np.int64)
    for position, offer in enumerate(offers):
        if offer.pricing_model is PricingModel.SPOT:
            prior = availability_for(provider=offer.provider, region=offer.region, instance_type=offer.instance_type)
            known = [at for at, one in enumerate(found) if one is prior]
            if not known:
                found.append(prior)
            index[position] = known[0] if known else len(found) - 1
    return index, tuple(found)


def machine_of(offer: Offer, gpus: GpuTable, *, nodes: int = 1) -> Machine:
    """Return the machine that `nodes` instances of an offer make. Raises KeyError for a GPU the table lacks."""
    return Machine(
        gpu=gpus.by_id[offer.gpu or ""],
        gpu_count=offer.gpu_count,
        nodes=nodes,
        host_ram_bytes=offer.host_ram_bytes,
        disk_bytes=offer.disk_bytes,
        network_bytes_per_s=offer.network_bytes_per_s,
    )


def _floats(values: list[float] | list[int]) -> Floats:
    return np.array(values, dtype=np.float64)
