"""A price snapshot as a file: the document `tunefare.price-snapshot/v1`, written and read back exactly.

The digest is the SHA-256 of the canonical form of everything else in the document: sorted keys, no blanks, UTF-8. It
finds damage; whoever wants to be sure of the sender compares it with one that came another way.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

from providers.errors import JobError
from providers.offer import BillingTerms, Offer, PriceClass, PricingModel
from providers.scope import Scope
from providers.strict_json import Reader, decode_strictly

from .rows import HELD

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

SCHEMA = "tunefare.price-snapshot/v1"
LARGEST_BYTES = 100_000_000
CLOCK_SKEW = timedelta(minutes=5)
"""How far the clock of the exporting machine may be ahead."""

TOP_KEYS = ("schema", "made_at", "tool_version", "sha256", "market_sha256", "billing", "scopes", "offers")
SCOPE_KEYS = ("provider", "region", "pricing_model", "batch_at", "offers", "whole")
BILLING_KEYS = ("increment_s", "minimum_s", "charged_when_stopped", "source")
OFFER_KEYS = (
    "provider", "region", "zone", "instance_type", "variant", "pricing_model", "gpu", "gpu_name", "gpu_count",
    "unit_price_nano", "currency", "observed_at", "price_class", "source", "vcpus", "host_ram_bytes", "disk_bytes",
    "network_bytes_per_s", "gpu_memory_bytes", "flags", "billing",
)  # fmt: skip

SHA256 = r"[0-9a-f]{64}"
CURRENCY = r"[A-Z]{3}"
FLAG = r"[a-z][a-z0-9_]{0,63}"
DECIMAL = r"[0-9]{1,19}(\.[0-9]{1,30})?"


@dataclass(frozen=True, slots=True, kw_only=True)
class FiledScope:
    """A live scope in a file. Only a `whole` one can stand for what another store holds of it."""

    scope: Scope
    batch_at: datetime
    whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotFile:
    """What a file holds. `market_sha256` is the digest by which a plan names these very prices."""

    made_at: datetime
    sha256: str
    market_sha256: str
    scopes: tuple[FiledScope, ...]
    offers: tuple[Offer, ...]


def snapshot_text(
    offers: Iterable[Offer],
    scopes: Iterable[FiledScope],
    *,
    billing: Mapping[str, BillingTerms],
    made_at: datetime,
    market_sha256: str,
    tool_version: str,
) -> tuple[str, str]:
    """Return the document as text, a line an offer, and its digest. Order of rows does not matter."""
    rows = sorted(offers, key=lambda offer: (offer.key, offer.price_class.value))
    count: dict[tuple[str, str, str], int] = {}
    for offer in rows:
        if offer.price_class is PriceClass.LIVE:
            place = (offer.provider, offer.region, offer.pricing_model.value)
            count[place] = count.get(place, 0) + 1
    document: dict[str, object] = {
        "schema": SCHEMA,
        "made_at": _moment(made_at),
        "tool_version": tool_version,
        "market_sha256": market_sha256,
        "billing": {name: _terms(billing[name]) for name in sorted({o.provider for o in rows} & billing.keys())},
        "scopes": [_scope(item, count) for item in sorted(scopes, key=lambda item: item.scope)],
        "offers": [_offer(offer) for offer in rows],
    }
    sha256 = _digest(document)
    document["sha256"] = sha256
    return _laid_out(document), sha256


def parse_snapshot(data: bytes, *, where: str, now: datetime) -> SnapshotFile:
    """Return what a file holds. Raises JobError, naming the file and the place in it, for anything that is not exactly
    as `snapshot_text` writes it: another schema, a digest that does not match, a moment to come, an unknown key."""
    if len(data) > LARGEST_BYTES:
        raise JobError(where=where, key="size", value=len(data), allowed=f"at most {LARGEST_BYTES} bytes")
    raw = decode_strictly(data, where=where)
    document = Reader(raw, where=where)
    document.matching("schema", re.escape(SCHEMA), f"{SCHEMA}, which is what this version reads")
    document.only(*TOP_KEYS)
    sha256 = document.matching("sha256", SHA256, "the digest of the content: 64 hexadecimal digits")
    assert isinstance(raw, dict)  # noqa: S101 - for the type checker: the reader refuses anything else
    found = _digest({key: value for key, value in raw.items() if key != "sha256"})
    if found != sha256:
        document.refuse("sha256", f"the digest of the content, which is {found}: the file is damaged or was changed")
    document.name("tool_version")
    document.inner("billing")
    made_at = _past(document, "made_at", now)
    scopes = tuple(_read_scope(item, now) for item in document.objects("scopes"))
    batches = {item.scope: item.batch_at for item in scopes}
    if len(batches) < len(scopes):
        document.refuse("scopes", "each scope once")
    offers = tuple(_read_offer(item, batches, now) for item in document.objects("offers"))
    if len({(offer.key, offer.price_class) for offer in offers}) < len(offers):
        document.refuse("offers", "each offer once")
    _check_counts(document, offers)
    return SnapshotFile(
        made_at=made_at,
        sha256=sha256,
        market_sha256=document.matching("market_sha256", SHA256, "64 hexadecimal digits"),
        scopes=scopes,
        offers=offers,
    )


def _digest(document: Mapping[str, object]) -> str:
    return hashlib.sha256(_canonical(document).encode("utf-8", "backslashreplace")).hexdigest()


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _laid_out(document: Mapping[str, object]) -> str:
    """Return the document with an item of its lists on a line: for `diff` and `grep`."""
    parts = []
    for key in sorted(document):
        value = document[key]
        if isinstance(value, list) and value:
            items = ",\n".join(_canonical(item) for item in value)
            parts.append(f"{_canonical(key)}:[\n{items}\n]")
        else:
            parts.append(f"{_canonical(key)}:{_canonical(value)}")
    text = "{\n" + ",\n".join(parts) + "\n}\n"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _scope(item: FiledScope, count: Mapping[tuple[str, str, str], int]) -> dict[str, object]:
    scope = item.scope
    place = (scope.provider, scope.region, scope.pricing_model.value)
    return {
        "provider": scope.provider,
        "region": scope.region,
        "pricing_model": scope.pricing_model.value,
        "batch_at": _moment(item.batch_at),
        "offers": count.get(place, 0),
        "whole": item.whole,
    }


def _offer(offer: Offer) -> dict[str, object]:
    fields: dict[str, object] = {key: getattr(offer, key) for key in OFFER_KEYS}
    return fields | {
        "pricing_model": offer.pricing_model.value,
        "price_class": offer.price_class.value,
        "observed_at": _moment(offer.observed_at),
        "network_bytes_per_s": _rate(offer.network_bytes_per_s),
        "flags": list(offer.flags),
        "billing": None if offer.billing is None else _terms(offer.billing),
    }


def _rate(value: float | None) -> int | str | None:
    """Return a rate as a whole number; one with a fraction as its decimals, which read back to the same float."""
    if value is None:
        return None
    return int(value) if float(value).is_integer() else f"{value:.17f}".rstrip("0")


def _terms(terms: BillingTerms) -> dict[str, object]:
    return {key: getattr(terms, key) for key in BILLING_KEYS}


def _moment(value: datetime) -> str:
    return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _read_scope(item: Reader, now: datetime) -> FiledScope:
    item.only(*SCOPE_KEYS)
    return FiledScope(
        scope=Scope(provider=item.name("provider"), region=item.name("region"), pricing_model=_read_model(item)),
        batch_at=_past(item, "batch_at", now),
        whole=item.truth("whole"),
    )


def _read_offer(item: Reader, batches: Mapping[Scope, datetime], now: datetime) -> Offer:
    item.only(*OFFER_KEYS)
    offer = Offer(
        provider=item.name("provider"),
        region=item.name("region"),
        zone=item.name_or_none("zone"),
        instance_type=item.name("instance_type"),
        variant=item.name_or_none("variant"),
        pricing_model=_read_model(item),
        gpu=item.name_or_none("gpu"),
        gpu_name=item.name("gpu_name") if item.get("gpu_name") != "" else "",
        gpu_count=item.whole("gpu_count", low=1, high=100_000),
        unit_price_nano=item.whole("unit_price_nano"),
        currency=item.matching("currency", CURRENCY, "three capital letters"),
        observed_at=_past(item, "observed_at", now),
        price_class=PriceClass(item.matching("price_class", "|".join(PriceClass), f"one of {', '.join(PriceClass)}")),
        source=item.name("source"),
        vcpus=item.whole_or_none("vcpus", high=2**31 - 1),
        host_ram_bytes=item.whole_or_none("host_ram_bytes"),
        disk_bytes=item.whole_or_none("disk_bytes"),
        network_bytes_per_s=_read_rate(item),
        gpu_memory_bytes=item.whole_or_none("gpu_memory_bytes"),
        flags=item.texts("flags", FLAG, "a list of marks"),
        billing=_read_terms(item),
    )
    if offer.price_class is PriceClass.LIVE:
        _check_live(item, offer, batches)
    return offer


def _check_live(item: Reader, offer: Offer, batches: Mapping[Scope, datetime]) -> None:
    """Refuse a live offer that no batch of the file can have held."""
    if offer.unit_price_nano == 0:
        item.refuse("unit_price_nano", "more than zero: a live price of nothing stands for unknown")
    scope = Scope(provider=offer.provider, region=offer.region, pricing_model=offer.pricing_model)
    if scope not in batches:
        item.refuse("provider", f"a provider whose scope {scope} stands in the file")
    if offer.observed_at > batches[scope]:
        item.refuse("observed_at", "a moment that is not after the batch of its scope")
    if HELD not in offer.flags and offer.observed_at != batches[scope]:
        item.refuse("observed_at", f"the moment of the batch of its scope, or the mark {HELD}")


def _check_counts(document: Reader, offers: Iterable[Offer]) -> None:
    count: dict[tuple[str, str, str], int] = {}
    for offer in offers:
        if offer.price_class is PriceClass.LIVE:
            place = (offer.provider, offer.region, offer.pricing_model.value)
            count[place] = count.get(place, 0) + 1
    for item in document.objects("scopes"):
        place = (item.name("provider"), item.name("region"), _read_model(item).value)
        there = count.get(place, 0)
        item.whole("offers", low=there, high=there)


def _read_model(item: Reader) -> PricingModel:
    return PricingModel(item.matching("pricing_model", "|".join(PricingModel), f"one of {', '.join(PricingModel)}"))


def _read_rate(item: Reader) -> float | None:
    if isinstance(item.get("network_bytes_per_s"), str):
        return float(item.matching("network_bytes_per_s", DECIMAL, "a whole number, or decimals as text"))
    whole = item.whole_or_none("network_bytes_per_s", high=2**53 - 1)
    return None if whole is None else float(whole)


def _read_terms(item: Reader) -> BillingTerms | None:
    terms = item.inner_or_none("billing")
    if terms is None:
        return None
    terms.only(*BILLING_KEYS)
    return BillingTerms(
        increment_s=terms.whole("increment_s", low=1, high=2**31 - 1),
        minimum_s=terms.whole("minimum_s", high=2**31 - 1),
        charged_when_stopped=terms.truth("charged_when_stopped"),
        source=terms.name("source"),
    )


def _past(item: Reader, key: str, now: datetime) -> datetime:
    moment = item.moment(key)
    if moment > now + CLOCK_SKEW:
        item.refuse(key, "a moment that has come (is a clock wrong?)")
    return moment
