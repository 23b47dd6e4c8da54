"""The search may not import the cache, so the limit of a fresh spot price stands twice: here both must agree."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cache.freshness import LIMITS, Freshness, FreshnessTable, Limits, freshness, in_force
from optimizer.app.freshness_settings import spot_fresh_s
from optimizer.search.price_age import SPOT_FRESH_S, spot_is_fresh
from providers.offer import PriceClass, PricingModel

DAY = timedelta(days=1)
OWN_TABLE = in_force({
    (PriceClass.LIVE, PricingModel.SPOT): Limits(fresh=2 * DAY, stale=9 * DAY, reason="set here"),
    (PriceClass.LIST, PricingModel.SPOT): Limits(fresh=3 * DAY, stale=9 * DAY, reason="set here"),
    (PriceClass.LIVE, PricingModel.ON_DEMAND): Limits(fresh=4 * DAY, stale=9 * DAY, reason="set here"),
})  # fmt: skip
LIMITS_S = {*SPOT_FRESH_S.values(), *(days * 86400.0 for days in (2, 3, 4))}
AGES = sorted({0.0, 1.0, 7 * 86400.0, *(limit + step for limit in LIMITS_S for step in (-1.0, 0.0, 1.0))})


def test_the_defaults_are_the_same() -> None:
    assert spot_fresh_s(LIMITS) == dict(SPOT_FRESH_S)


@pytest.mark.parametrize("table", [LIMITS, OWN_TABLE], ids=["default", "own"])
@pytest.mark.parametrize("price_class", list(PriceClass))
@pytest.mark.parametrize("age_s", AGES)
def test_search_and_cache_call_the_same_spot_prices_fresh(
    price_class: PriceClass, age_s: float, table: FreshnessTable
) -> None:
    remembered = freshness(price_class, PricingModel.SPOT, timedelta(seconds=age_s), table) is Freshness.FRESH
    assert spot_is_fresh(price_class=price_class, age_s=age_s, limits_s=spot_fresh_s(table)) is remembered


@pytest.mark.parametrize("age_s", AGES)
def test_without_a_table_the_defaults_hold(age_s: float) -> None:
    assert spot_is_fresh(price_class=PriceClass.LIVE, age_s=age_s) is (age_s <= 6 * 3600.0)
