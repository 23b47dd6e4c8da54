"""From the age of a price to how far it can be believed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from cache.freshness import (
    LIMITS,
    Freshness,
    Limits,
    age_of,
    freshness,
    has_expired,
    in_force,
    offer_freshness,
    usable_unasked,
)
from providers.offer import Offer, PriceClass, PricingModel

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)


def offer(price_class: PriceClass, model: PricingModel, age: timedelta) -> Offer:
    return Offer(
        provider="tinycloud",
        region="moon-1",
        instance_type="crater",
        gpu="H100-SXM-80GB",
        gpu_name="H100",
        gpu_count=1,
        pricing_model=model,
        unit_price_nano=1,
        observed_at=NOW - age,
        source="invented",
        price_class=price_class,
    )


def test_every_class_and_model_has_limits_and_reasons() -> None:
    assert set(LIMITS) == {(price_class, model) for price_class in PriceClass for model in PricingModel}
    assert all(limits.reason for limits in LIMITS.values())


@pytest.mark.parametrize(
    ("price_class", "model", "fresh", "stale"),
    [
        (PriceClass.LIVE, PricingModel.ON_DEMAND, 36 * HOUR, 14 * DAY),
        (PriceClass.LIVE, PricingModel.SPOT, 6 * HOUR, 3 * DAY),
        (PriceClass.LIST, PricingModel.ON_DEMAND, 30 * DAY, 365 * DAY),
        (PriceClass.OWN, PricingModel.ON_DEMAND, 365 * DAY, 730 * DAY),
    ],
)
def test_limits_are_inclusive(price_class: PriceClass, model: PricingModel, fresh: timedelta, stale: timedelta) -> None:
    assert freshness(price_class, model, timedelta(0)) is Freshness.FRESH
    assert freshness(price_class, model, fresh) is Freshness.FRESH
    assert freshness(price_class, model, fresh + SECOND) is Freshness.STALE
    assert freshness(price_class, model, stale) is Freshness.STALE
    assert freshness(price_class, model, stale + SECOND) is Freshness.EXPIRED


def test_a_bundled_spot_price_is_never_fresh() -> None:
    assert freshness(PriceClass.LIST, PricingModel.SPOT, timedelta(0)) is Freshness.STALE
    assert freshness(PriceClass.LIST, PricingModel.SPOT, 181 * DAY) is Freshness.EXPIRED


def test_believing_only_falls_with_age() -> None:
    order = list(Freshness)
    for price_class, model in LIMITS:
        steps = [order.index(freshness(price_class, model, age * HOUR)) for age in range(0, 30_000, 11)]
        assert steps == sorted(steps)
        assert steps[-1] == 2


def test_age() -> None:
    assert age_of(NOW - 3 * HOUR, now=NOW) == 3 * HOUR
    assert age_of(NOW + HOUR, now=NOW) == timedelta(0)
    assert age_of(datetime(2026, 11, 22, 10, 0, tzinfo=timezone(2 * HOUR)), now=NOW) == HOUR
    with pytest.raises(ValueError, match="time zone"):
        age_of(datetime(2026, 11, 22), now=NOW)  # noqa: DTZ001 - the naive moment is the point


def test_spot_needs_a_fresh_price_unless_asked_for() -> None:
    assert usable_unasked(offer(PriceClass.LIVE, PricingModel.SPOT, HOUR), now=NOW)
    assert not usable_unasked(offer(PriceClass.LIVE, PricingModel.SPOT, 7 * HOUR), now=NOW)
    assert not usable_unasked(offer(PriceClass.LIST, PricingModel.SPOT, timedelta(0)), now=NOW)
    assert usable_unasked(offer(PriceClass.LIST, PricingModel.ON_DEMAND, 900 * DAY), now=NOW)
    assert offer_freshness(offer(PriceClass.LIST, PricingModel.ON_DEMAND, 100 * DAY), now=NOW) is Freshness.STALE


def test_limits_refuse_disorder() -> None:
    with pytest.raises(ValueError, match="out of order"):
        Limits(fresh=2 * DAY, stale=DAY, reason="")


def test_a_stated_limit_counts_and_the_others_stay() -> None:
    longer = Limits(fresh=2 * DAY, stale=20 * DAY, reason="set here")
    table = in_force({(PriceClass.LIVE, PricingModel.SPOT): longer})
    assert set(table) == set(LIMITS)
    assert table[PriceClass.LIVE, PricingModel.SPOT] is longer
    assert table[PriceClass.LIVE, PricingModel.ON_DEMAND] is LIMITS[PriceClass.LIVE, PricingModel.ON_DEMAND]
    assert freshness(PriceClass.LIVE, PricingModel.SPOT, DAY, table) is Freshness.FRESH
    assert freshness(PriceClass.LIVE, PricingModel.SPOT, DAY) is Freshness.STALE
    old = offer(PriceClass.LIVE, PricingModel.SPOT, DAY)
    assert usable_unasked(old, now=NOW, table=table)
    assert not usable_unasked(old, now=NOW)
    assert in_force({}) == LIMITS


def test_no_table_makes_a_bundled_spot_price_fresh() -> None:
    table = in_force({(PriceClass.LIST, PricingModel.SPOT): Limits(fresh=DAY, stale=DAY, reason="set here")})
    assert freshness(PriceClass.LIST, PricingModel.SPOT, timedelta(0), table) is Freshness.STALE


def test_only_live_prices_expire_for_a_plan() -> None:
    spot, ages = PricingModel.SPOT, (3 * DAY, 3 * DAY + SECOND, 9_000 * DAY)
    assert [has_expired(offer(PriceClass.LIVE, spot, age), now=NOW) for age in ages] == [False, True, True]
    for price_class in (PriceClass.LIST, PriceClass.OWN):
        assert not any(has_expired(offer(price_class, spot, age), now=NOW) for age in ages)
    table = in_force({(PriceClass.LIVE, spot): Limits(fresh=DAY, stale=9_000 * DAY, reason="set here")})
    assert not any(has_expired(offer(PriceClass.LIVE, spot, age), now=NOW, table=table) for age in ages)
