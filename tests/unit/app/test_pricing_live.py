"""The price list over live prices: what is read of a large store, and that a filter in SQL is a filter."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from cache.freshness import Limits
from cache.sql_store import SqlStore, open_store
from optimizer.app.pricing import PriceFilter, list_prices
from optimizer.app.settings import Settings
from providers.errors import JobError
from providers.offer import PriceClass, PricingModel
from providers.snapshot import make_snapshot
from tests.fixtures.nights import put_night
from tests.fixtures.offers import DAY, NIGHT, SPOT, make_offer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

    from optimizer.report.answers import PriceListAnswer
    from providers.gpus import GpuTable
    from providers.offer import PriceSnapshot


class Listed:
    def snapshot(self, *, now: datetime) -> PriceSnapshot:
        rows = [
            make_offer("listed.replaced"), make_offer("listed.west", region="west"),
            make_offer("listed.cirrus", provider="cirrus", region="east"),
        ]  # fmt: skip
        return make_snapshot([replace(row, price_class=PriceClass.LIST) for row in rows])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    here = open_store(str(tmp_path / "prices.sqlite3"), Listed(), create=True)
    put_night(here, make_offer("early"), at=NIGHT - DAY)
    put_night(
        here, make_offer("a", price=3.0), make_offer("b", price=4.0, gpu_count=8), make_offer("s", pricing_model=SPOT),
        make_offer("c", provider="stratus", region="south"), at=NIGHT,
    )  # fmt: skip
    yield here
    here.close()


@pytest.fixture
def prices(store: SqlStore, gpus: GpuTable) -> Callable[..., PriceListAnswer]:
    def run(wanted: PriceFilter | None = None, **more: Any) -> PriceListAnswer:
        return list_prices(wanted, **{"store": store, "gpus": gpus, "now": NIGHT, "settings": Settings(), **more})

    return run


def names(answer: PriceListAnswer) -> list[str]:
    return [row.offer.instance_type for row in answer.offers]


def test_live_prices_stand_for_listed_ones_of_their_scope(prices: Callable[..., PriceListAnswer]) -> None:
    assert sorted(names(prices())) == ["a", "b", "c", "listed.cirrus", "listed.west", "s"]


FILTERS = [
    PriceFilter(providers=("nimbus",)),
    PriceFilter(providers=("NIMBUS", "cirrus")),
    PriceFilter(providers=("nimbus",), pricing_models=("spot",)),
    PriceFilter(providers=("nimbus",), min_gpus=2),
    PriceFilter(providers=("nimbus",), gpus=("L4-24GB",), regions=("north", "west")),
]
NOWS = [NIGHT, NIGHT - DAY / 2, NIGHT - 2 * DAY]


@pytest.mark.parametrize("wanted", FILTERS)
@pytest.mark.parametrize("now", NOWS, ids=["now", "before", "long before"])
def test_what_the_database_filters_is_what_a_filter_over_all_would_be(
    prices: Callable[..., PriceListAnswer], wanted: PriceFilter, now: datetime
) -> None:
    whole, narrow = prices(wanted, now=now), prices(wanted, now=now, digest=False)
    assert narrow.offers == whole.offers
    assert narrow.total == whole.total
    assert narrow.sha256 is None
    assert whole.sha256 is not None


def test_only_the_provider_asked_for_is_read(
    prices: Callable[..., PriceListAnswer], store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    real = SqlStore.offers

    def offers(self: SqlStore, *, now: datetime, providers: Any = ()) -> Any:
        asked.append(providers)
        return real(self, now=now, providers=providers)

    monkeypatch.setattr(SqlStore, "offers", offers)
    prices(PriceFilter(providers=("Stratus",)), digest=False)
    prices(PriceFilter(gpus=("L4-24GB",)), digest=False)
    prices(PriceFilter(providers=("stratus",)), digest=False, settings=Settings(discounts={"nimbus": Decimal("0.5")}))
    assert asked == [("stratus",), (), ()]


@pytest.mark.parametrize("digest", [True, False])
def test_names_are_checked_against_everything_known(prices: Callable[..., PriceListAnswer], digest: bool) -> None:
    with pytest.raises(JobError, match=r"provider = 'nimbos'.*did you mean nimbus\?"):
        prices(PriceFilter(providers=("nimbos",)), digest=digest)
    with pytest.raises(JobError, match="region = 'nowhere'"):
        prices(PriceFilter(providers=("nimbus",), regions=("nowhere",)), digest=digest)
    assert names(prices(PriceFilter(providers=("nimbus",), regions=("south",)), digest=digest)) == []


def test_the_limit_keeps_the_cheapest_and_counts_the_rest(prices: Callable[..., PriceListAnswer]) -> None:
    whole = prices()
    for limit in range(1, 8):
        answer = prices(limit=limit)
        assert answer == whole.first(limit)
        assert (len(answer.offers), answer.more) == (min(limit, 6), max(0, 6 - limit))
    assert whole.first(0) is whole.first(6) is whole
    with pytest.raises(JobError, match="limit = -1"):
        prices(limit=-1)


def test_ages_are_judged_by_the_limits_in_force(prices: Callable[..., PriceListAnswer]) -> None:
    strict = {(PriceClass.LIVE, PricingModel.SPOT): Limits(fresh=DAY / 24, stale=DAY / 12, reason="a test")}
    for settings, word in ((Settings(), "fresh"), (Settings(freshness=strict), "expired")):
        (row,) = prices(PriceFilter(pricing_models=("spot",)), now=NIGHT + DAY / 8, settings=settings).offers
        assert row.freshness == word


def test_own_offers_alone_need_no_store(gpus: GpuTable, market_csv: Path, tmp_path: Path, now: datetime) -> None:
    (tmp_path / "broken.sqlite3").write_text("not a database, " * 100)
    broken = Settings(cache_url=str(tmp_path / "broken.sqlite3"))
    answer = list_prices(offers=market_csv, only_offers=True, now=now, settings=broken, gpus=gpus)
    assert answer.total == 10
