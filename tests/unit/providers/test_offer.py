"""Offers: what keeps one from being a candidate, and whose billing terms count."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from providers.offer import (
    EXCLUDING_FLAGS,
    NOTICE_FLAGS,
    UNKNOWN_BILLING,
    BillingTerms,
    Offer,
    PriceClass,
    PricingModel,
)
from providers.snapshot import make_snapshot

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


def test_key_has_no_none() -> None:
    assert OFFER.key == ("tinycloud", "moon-1", "", "crater.large", "", "on_demand")
    assert replace(OFFER, zone="b", variant="secure").key[2:5:2] == ("b", "secure")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gpu_count": 0}, "gpu_count 0 is not at least 1"),
        ({"unit_price_nano": -1}, "unit_price_nano -1 is negative"),
        ({"observed_at": datetime(2026, 11, 1)}, "has no time zone"),  # noqa: DTZ001 - the naive moment is the point
    ],
)
def test_an_offer_refuses(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"offer tinycloud/moon-1/crater.large: .*{message}"):
        replace(OFFER, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("flag", sorted(EXCLUDING_FLAGS))
def test_excluding_flags_exclude(flag: str) -> None:
    assert replace(OFFER, flags=("marketplace", flag)).excluded_because == EXCLUDING_FLAGS[flag]


@pytest.mark.parametrize("flag", sorted(NOTICE_FLAGS))
def test_notices_do_not_exclude(flag: str) -> None:
    assert replace(OFFER, flags=(flag,)).excluded_because is None


def test_unknown_gpus_and_other_currencies_are_excluded() -> None:
    assert OFFER.excluded_because is None
    assert replace(OFFER, gpu=None, gpu_name="X9000").excluded_because == "the GPU table does not know 'X9000'"
    assert replace(OFFER, currency="EUR").excluded_because == "priced in EUR: currencies are never converted"


def test_billing_terms_of_the_offer_then_of_the_provider_then_whole_hours() -> None:
    minutes, seconds = BillingTerms(increment_s=60, source="a"), BillingTerms(increment_s=1, source="b")
    snapshot = make_snapshot([OFFER], billing={"tinycloud": minutes})
    assert snapshot.billing_of(OFFER) is minutes
    assert snapshot.billing_of(replace(OFFER, billing=seconds)) is seconds
    unknown = snapshot.billing_of(replace(OFFER, provider="other"))
    assert unknown is UNKNOWN_BILLING
    assert (unknown.increment_s, unknown.minimum_s, unknown.charged_when_stopped) == (3600, 3600, True)
    assert unknown.source.startswith("assumed")


@pytest.mark.parametrize("terms", [{"increment_s": 0}, {"minimum_s": -1}])
def test_billing_terms_refuse(terms: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="billing terms"):
        BillingTerms(**terms)  # type: ignore[arg-type]
