from __future__ import annotations

import json
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

import pytest

from optimizer.app.pricing import PriceFilter, list_prices
from optimizer.app.settings import Settings
from optimizer.report.json_prices import prices_text
from providers.errors import JobError, PricesUnavailable
from providers.offer import PricingModel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from optimizer.report.answers import PriceListAnswer
    from providers.gpus import GpuTable
    from providers.offer import Offer


@pytest.fixture
def prices(market_csv: Path, now: datetime, gpus: GpuTable, no_settings: Settings) -> Callable[..., PriceListAnswer]:
    return partial(list_prices, offers=market_csv, only_offers=True, now=now, gpus=gpus, settings=no_settings)


def test_offers_come_cheapest_per_gpu_hour_first(prices: Callable[..., PriceListAnswer]) -> None:
    answer = prices()
    per_gpu = [row.unit_price_per_gpu_nano for row in answer.offers]
    assert per_gpu == sorted(per_gpu)
    assert [row.offer.instance_type for row in answer.offers[:3]] == ["invented.t4", "made-up-4090", "invented.a100x8"]
    assert per_gpu[2] == 875_000_000
    assert answer.total == len(answer.offers) == 10


def test_every_price_shows_its_age(prices: Callable[..., PriceListAnswer], now: datetime) -> None:
    rows = {(row.offer.instance_type, row.offer.variant): row for row in prices().offers}
    assert rows["invented.t4", None].age_s == 5 * 86_400 + 7 * 3_600 + 8 * 60 + 9
    assert rows["made-up-h100", "secure"].age_s == 16 * 86_400 + 7 * 3_600 + 8 * 60 + 9
    document = json.loads(prices_text(prices()))
    assert all(isinstance(row["age_s"], int) and row["observed_at"] for row in document["offers"])
    older = {row.offer.key: row.age_s for row in prices(now=now + timedelta(days=1)).offers}
    assert all(older[row.offer.key] == row.age_s + 86_400 for row in prices().offers)


def test_freshness_is_judged_by_class_and_pricing_model(
    store_of: Callable[..., object], offer_of: Callable[..., Offer], now: datetime, gpus: GpuTable
) -> None:
    spot = offer_of(pricing_model=PricingModel.SPOT)
    listed = list_prices(store=store_of(offer_of(), spot), now=now, gpus=gpus, settings=Settings())  # type: ignore[arg-type]
    by_model = {row.offer.pricing_model: row.freshness for row in listed.offers}
    assert by_model == {PricingModel.ON_DEMAND: "fresh", PricingModel.SPOT: "stale"}


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (PriceFilter(gpus=("h100-sxm-80gb",)), 3),
        (PriceFilter(gpus=("L4-24GB", "T4-16GB")), 3),
        (PriceFilter(providers=("cirrus",)), 4),
        (PriceFilter(regions=("venus-2", "mars-1")), 6),
        (PriceFilter(pricing_models=("spot",)), 1),
        (PriceFilter(pricing_models=("On-Demand",)), 9),
        (PriceFilter(min_gpus=4), 4),
        (PriceFilter(providers=("cirrus",), min_gpus=9), 0),
    ],
)
def test_filters_narrow_the_list(prices: Callable[..., PriceListAnswer], wanted: PriceFilter, count: int) -> None:
    answer = prices(wanted)
    assert len(answer.offers) == count
    assert answer.total == 10


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (PriceFilter(gpus=("H100-SXM-81GB",)), "gpu = 'H100-SXM-81GB': a GPU id or alias of the table, such as H100"),
        (PriceFilter(providers=("cirus",)), r"provider = 'cirus': no prices are known for it; did you mean cirrus\?"),
        (PriceFilter(regions=("mars-11",)), "region = 'mars-11'"),
        (PriceFilter(pricing_models=("spott",)), "pricing_model = 'spott': one of on_demand, spot, reserved"),
        (PriceFilter(min_gpus=0), "min_gpus = 0"),
    ],
)
def test_a_filter_that_means_nothing_is_refused(
    prices: Callable[..., PriceListAnswer], wanted: PriceFilter, message: str
) -> None:
    with pytest.raises(JobError, match=message):
        prices(wanted)


def test_other_currencies_come_after_dollars(
    store_of: Callable[..., object], offer_of: Callable[..., Offer], now: datetime, gpus: GpuTable
) -> None:
    store = store_of(offer_of(currency="EUR", unit_price_nano=1, instance_type="a"), offer_of(instance_type="b"))
    answer = list_prices(store=store, now=now, gpus=gpus, settings=Settings())  # type: ignore[arg-type]
    assert [row.offer.currency for row in answer.offers] == ["USD", "EUR"]
    rows = json.loads(prices_text(answer))["offers"]
    assert [row["excluded_because"] for row in rows] == [None, "priced in EUR: currencies are never converted"]


def test_settings_stand_in_for_flags(market_csv: Path, gpus: GpuTable) -> None:
    stated = Settings(offers=market_csv, only_offers=True, now="2031-06-01T00:00Z")
    answer = list_prices(gpus=gpus, settings=stated)
    assert answer.total == 10
    assert answer.made_at == datetime.fromisoformat("2031-06-01T00:00Z")
    assert answer.newest_observed_at == datetime.fromisoformat("2031-05-05T00:00Z")
    assert answer.oldest_observed_at == datetime.fromisoformat("2031-04-20T00:00Z")
    assert list_prices(gpus=gpus, settings=stated, only_offers=False).total > 1_000
    broken = Settings(now="noon")
    with pytest.raises(JobError, match="environment: TUNEFARE_NOW = 'noon'"):
        list_prices(gpus=gpus, settings=broken)


def test_discounts_of_settings_and_call_are_joined(
    store_of: Callable[..., object], offer_of: Callable[..., Offer], now: datetime, gpus: GpuTable
) -> None:
    store = store_of(offer_of(), offer_of(provider="cirrus"))
    answer = list_prices(
        store=store,  # type: ignore[arg-type]
        now=now,
        gpus=gpus,
        settings=Settings(discounts={"nimbus": Decimal("0.5"), "cirrus": Decimal("0.5")}),
        discounts={"cirrus": Decimal("0.1")},
    )
    assert [row.offer.unit_price_nano for row in answer.offers] == [1_000_000_000, 1_800_000_000]


def test_no_price_at_all_ends_with_exit_9(store_of: Callable[..., object], now: datetime, gpus: GpuTable) -> None:
    with pytest.raises(PricesUnavailable):
        list_prices(store=store_of(), now=now, gpus=gpus, settings=Settings())  # type: ignore[arg-type]
