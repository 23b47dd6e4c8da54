"""The search may not import the cache, so the limit of a fresh spot price stands twice: here both must agree."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cache.freshness import Freshness, freshness
from optimizer.search.price_age import SPOT_FRESH_S, spot_is_fresh
from providers.offer import PriceClass, PricingModel

AGES = sorted({0.0, 1.0, 7 * 86400.0, *(limit + step for limit in SPOT_FRESH_S.values() for step in (-1.0, 0.0, 1.0))})


@pytest.mark.parametrize("price_class", list(PriceClass))
@pytest.mark.parametrize("age_s", AGES)
def test_search_and_cache_call_the_same_spot_prices_fresh(price_class: PriceClass, age_s: float) -> None:
    remembered = freshness(price_class, PricingModel.SPOT, timedelta(seconds=age_s)) is Freshness.FRESH
    assert spot_is_fresh(price_class=price_class, age_s=age_s) is remembered
