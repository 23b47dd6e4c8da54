"""Put a snapshot together, and name it: a digest of what it says, whatever the order of its rows."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING

from .offer import PriceSnapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from .offer import BillingTerms, Offer, TokenPrice

_SEPARATOR = "\x1f"
_FORMAT = "tunefare.snapshot/v1"


def make_snapshot(
    offers: Iterable[Offer],
    token_prices: Iterable[TokenPrice] = (),
    billing: Mapping[str, BillingTerms] | None = None,
) -> PriceSnapshot:
    """Return a snapshot of the given rows, in the given order, with its digest."""
    offers, token_prices, billing = tuple(offers), tuple(token_prices), dict(billing or {})
    digest = snapshot_digest(offers, token_prices, billing)
    return PriceSnapshot(offers=offers, token_prices=token_prices, billing=billing, sha256=digest)


def with_offers(snapshot: PriceSnapshot, offers: Iterable[Offer]) -> PriceSnapshot:
    """Return the snapshot with its offers replaced (own machines added, discounts applied) and its digest renewed."""
    offers = tuple(offers)
    digest = snapshot_digest(offers, snapshot.token_prices, snapshot.billing)
    return replace(snapshot, offers=offers, sha256=digest)


def snapshot_digest(
    offers: Iterable[Offer], token_prices: Iterable[TokenPrice], billing: Mapping[str, BillingTerms]
) -> str:
    """Return the SHA-256 of the content, in hexadecimal. Order and exact repetition of rows do not matter.

    Each row becomes one line of its fields (moments in UTC, None empty), the lines are sorted, and the whole is hashed.
    """
    moments: dict[datetime, str] = {}
    lines = {_offer_line(offer, moments) for offer in offers}
    lines.update(_token_line(price) for price in token_prices)
    lines.update(_billing_line(provider, terms) for provider, terms in billing.items())
    return hashlib.sha256("\n".join([_FORMAT, *sorted(lines)]).encode()).hexdigest()


def _offer_line(offer: Offer, moments: dict[datetime, str]) -> str:
    """One offer as text. `moments` remembers formatted moments, because few differ and formatting is slow."""
    moment = moments.get(offer.observed_at)
    if moment is None:
        moment = moments[offer.observed_at] = offer.observed_at.astimezone(UTC).isoformat()
    billing = _terms(offer.billing) if offer.billing else ""
    if offer.gpu_memory_bytes is not None:
        billing += f"{_SEPARATOR}{offer.gpu_memory_bytes}"
    return (
        f"offer{_SEPARATOR}{offer.provider}{_SEPARATOR}{offer.region}{_SEPARATOR}{offer.zone or ''}{_SEPARATOR}"
        f"{offer.instance_type}{_SEPARATOR}{offer.variant or ''}{_SEPARATOR}{offer.pricing_model}{_SEPARATOR}"
        f"{offer.gpu or ''}{_SEPARATOR}{offer.gpu_name}{_SEPARATOR}{offer.gpu_count}{_SEPARATOR}"
        f"{offer.unit_price_nano}{_SEPARATOR}{offer.currency}{_SEPARATOR}{moment}{_SEPARATOR}{offer.source}{_SEPARATOR}"
        f"{offer.price_class}{_SEPARATOR}{offer.vcpus}{_SEPARATOR}{offer.host_ram_bytes}{_SEPARATOR}"
        f"{offer.disk_bytes}{_SEPARATOR}{offer.network_bytes_per_s}{_SEPARATOR}{' '.join(offer.flags)}{_SEPARATOR}"
        f"{billing}"
    )


def _token_line(price: TokenPrice) -> str:
    return _SEPARATOR.join((
        "token", price.vendor, price.model, price.method, str(price.low_nano_per_token), str(price.high_nano_per_token),
        price.currency, price.source, price.source_date, price.notes,
    ))  # fmt: skip


def _billing_line(provider: str, terms: BillingTerms) -> str:
    return f"billing{_SEPARATOR}{provider}{_SEPARATOR}{_terms(terms)}"


def _terms(terms: BillingTerms) -> str:
    return f"{terms.increment_s} {terms.minimum_s} {terms.charged_when_stopped} {terms.source}"
