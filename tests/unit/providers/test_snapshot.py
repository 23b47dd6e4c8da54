"""The digest that names a snapshot."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from providers.offer import BillingTerms, Offer, PriceClass, PricingModel, TokenPrice
from providers.snapshot import make_snapshot, snapshot_digest, with_offers

OFFER = Offer(
    provider="tinycloud",
    region="moon-1",
    instance_type="crater.large",
    gpu="H100-SXM-80GB",
    gpu_name="H100",
    gpu_count=8,
    pricing_model=PricingModel.ON_DEMAND,
    unit_price_nano=20_000_000_000,
    observed_at=datetime(2026, 11, 1, tzinfo=UTC),
    source="invented",
    price_class=PriceClass.LIST,
)
OTHERS: dict[str, object] = {
    "provider": "x", "region": "x", "instance_type": "x", "gpu": None, "gpu_name": "x", "gpu_count": 4,
    "pricing_model": PricingModel.SPOT, "unit_price_nano": 1, "observed_at": datetime(2026, 11, 2, tzinfo=UTC),
    "source": "x", "price_class": PriceClass.LIVE, "zone": "x", "variant": "x", "currency": "EUR", "vcpus": 3,
    "host_ram_bytes": 5, "disk_bytes": 7, "network_bytes_per_s": 2.5, "flags": ("x",), "billing": BillingTerms(),
    "gpu_memory_bytes": 11,
}  # fmt: skip
TOKEN = TokenPrice(
    vendor="v", model="m", method="sft", low_nano_per_token=1, high_nano_per_token=2, source="s", source_date="d"
)


def test_every_field_of_an_offer_is_in_the_digest() -> None:
    assert set(OTHERS) == {field.name for field in fields(Offer)}
    digests = {snapshot_digest([replace(OFFER, **{name: value})], (), {}) for name, value in OTHERS.items()}  # type: ignore[arg-type]
    assert len(digests | {snapshot_digest([OFFER], (), {})}) == len(OTHERS) + 1


def test_every_field_of_token_prices_and_billing_is_in_the_digest() -> None:
    base = snapshot_digest((), [TOKEN], {"p": BillingTerms()})
    changes = [
        snapshot_digest((), [replace(TOKEN, **{field.name: 9 if "nano" in field.name else "z"})], {"p": BillingTerms()})  # type: ignore[arg-type]
        for field in fields(TokenPrice)
    ]
    changes += [
        snapshot_digest((), [TOKEN], {"p": terms})
        for terms in (
            BillingTerms(increment_s=2), BillingTerms(minimum_s=1), BillingTerms(charged_when_stopped=True),
            BillingTerms(source="z"),
        )
    ]  # fmt: skip
    changes += [snapshot_digest((), [TOKEN], {"q": BillingTerms()}), snapshot_digest((), (), {"p": BillingTerms()})]
    assert base not in changes
    assert len(set(changes)) == len(changes)


def test_order_repetition_and_time_zone_do_not_matter() -> None:
    other = replace(OFFER, region="moon-2")
    east = replace(OFFER, observed_at=datetime(2026, 11, 1, 3, tzinfo=timezone(timedelta(hours=3))))
    assert snapshot_digest([OFFER, other], (), {}) == snapshot_digest([other, east, OFFER, other], (), {})


def test_the_digest_is_stable_across_runs_and_machines() -> None:
    assert make_snapshot([OFFER], [TOKEN], {"tinycloud": BillingTerms()}).sha256 == (
        "0a29764d97e7fcfa6a5f2346c3965f078df0389375473699e386c6cce38eed73"
    )


def test_with_offers_renews_the_digest_and_keeps_the_rest() -> None:
    snapshot = make_snapshot([OFFER], [TOKEN], {"tinycloud": BillingTerms()})
    more = with_offers(snapshot, [OFFER, replace(OFFER, zone="a")])
    assert more.token_prices == (TOKEN,)
    assert more.billing == {"tinycloud": BillingTerms()}
    assert len(more.offers) == 2
    assert more.sha256 != snapshot.sha256
    assert with_offers(more, [OFFER]).sha256 == snapshot.sha256


def test_fields_cannot_run_into_each_other() -> None:
    assert snapshot_digest([replace(OFFER, region="a", zone="bc")], (), {}) != snapshot_digest(
        [replace(OFFER, region="ab", zone="c")], (), {}
    )
    with pytest.raises(AttributeError):
        OFFER.region = "elsewhere"  # type: ignore[misc]
