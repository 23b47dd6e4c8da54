"""Offers as rows of the database, and back. Written equals read, to the second and the billionth."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from providers.offer import BillingTerms, Offer, PriceClass, PricingModel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .database import Row, Value

FACT_COLUMNS: tuple[str, ...] = (
    "gpu", "gpu_name", "gpu_count", "currency", "source", "vcpus", "host_ram_bytes", "disk_bytes",
    "network_bytes_per_s", "gpu_memory_bytes", "flags", "billing_increment_s", "billing_minimum_s",
    "billing_when_stopped", "billing_source",
)  # fmt: skip
"""Everything that is known of an offer beside its key, its price and its age."""

READ_COLUMNS = ", ".join((
    "s.provider", "s.region", "o.zone", "o.instance_type", "o.variant", "s.pricing_model", "o.price_nano",
    "COALESCE(o.seen_at, s.batch_at)", "o.seen_at IS NOT NULL", *(f"o.{name}" for name in FACT_COLUMNS),
))  # fmt: skip
"""What `offers_from` reads, from `price_offers o JOIN price_scopes s`."""

HELD = "price_held"
_MODELS = {model.value: model for model in PricingModel}


def seconds(moment: datetime) -> int:
    """Return a moment as the database holds it: whole seconds since 1970, UTC."""
    return int(moment.timestamp())


@lru_cache(maxsize=4096)
def moment(stored: int) -> datetime:
    """Return the moment that the database holds."""
    return datetime.fromtimestamp(stored, UTC)


def facts_of(offer: Offer) -> tuple[Value, ...]:
    """Return the values of FACT_COLUMNS."""
    terms = offer.billing
    return (
        offer.gpu,
        offer.gpu_name,
        offer.gpu_count,
        offer.currency,
        offer.source,
        offer.vcpus,
        offer.host_ram_bytes,
        offer.disk_bytes,
        offer.network_bytes_per_s,
        offer.gpu_memory_bytes,
        " ".join(flag for flag in offer.flags if flag != HELD),
        None if terms is None else terms.increment_s,
        None if terms is None else terms.minimum_s,
        None if terms is None else int(terms.charged_when_stopped),
        None if terms is None else terms.source,
    )


def offers_from(rows: Iterable[Row]) -> Iterator[Offer]:
    """Yield the offers of rows with READ_COLUMNS."""
    for (
        provider, region, zone, instance_type, variant, model, price, observed_at, held, gpu, gpu_name, gpu_count,
        currency, source, vcpus, ram, disk, network, memory, flags, increment, minimum, when_stopped, billing_source,
    ) in rows:  # fmt: skip
        yield Offer(
            provider=provider,
            region=region,
            zone=zone or None,
            instance_type=instance_type,
            variant=variant or None,
            pricing_model=_MODELS[model],
            unit_price_nano=price,
            observed_at=moment(observed_at),
            price_class=PriceClass.LIVE,
            gpu=gpu,
            gpu_name=gpu_name,
            gpu_count=gpu_count,
            currency=currency,
            source=source,
            vcpus=vcpus,
            host_ram_bytes=ram,
            disk_bytes=disk,
            network_bytes_per_s=network,
            gpu_memory_bytes=memory,
            flags=_flags(flags, bool(held)),
            billing=None if increment is None else _terms(increment, minimum, bool(when_stopped), billing_source),
        )


@lru_cache(maxsize=1024)
def _flags(text: str, held: bool) -> tuple[str, ...]:  # noqa: FBT001 - a cached function of what one row holds
    return (*text.split(), HELD) if held else tuple(text.split())


@lru_cache(maxsize=256)
def _terms(increment_s: int, minimum_s: int, when_stopped: bool, source: str) -> BillingTerms:  # noqa: FBT001
    return BillingTerms(increment_s=increment_s, minimum_s=minimum_s, charged_when_stopped=when_stopped, source=source)
