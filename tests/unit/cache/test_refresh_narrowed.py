"""A refresh that asks for less than everything, or does not store: what it must leave as it was."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from cache.fetching import Asking
from cache.outcome import Outcome, RefreshReport
from cache.refresh import RefreshOrder, refresh
from cache.sql_store import SqlStore, open_store
from providers.base import FetchContext, FetchPart, FetchResult, Wanted
from providers.gpus import load_gpus
from providers.http import Validator
from tests.fixtures.offers import DAY, NIGHT, SPOT, Nimbus, NoList, make_batch, make_offer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from providers.base import Provider
    from providers.scope import ScopeBatch

GPUS = load_gpus()
URL = "https://nimbus.test/list"
HOUR = timedelta(hours=1)


@dataclass
class Nights:
    store: SqlStore
    now: datetime = NIGHT

    def run(self, *providers: Provider, regions: tuple[str, ...] = (), **order: Any) -> RefreshReport:
        wanted = Wanted(regions=frozenset(regions), pricing_models=order.pop("models", frozenset()))
        asking = Asking(gpus=GPUS, environment={}, now=lambda: self.now, wanted=wanted)
        undisturbed = order.pop("undisturbed", None)
        more = {"undisturbed": undisturbed} if undisturbed else {}
        return refresh(self.store, providers, RefreshOrder(asking=asking, **order), listed=(), **more)

    def observed(self) -> dict[str, datetime]:
        return {offer.region: offer.observed_at for offer in self.store.live_offers()}


@pytest.fixture
def nights(tmp_path: Path) -> Iterator[Nights]:
    store = open_store(str(tmp_path / "prices.sqlite3"), NoList(), create=True)
    yield Nights(store)
    store.close()


@dataclass
class Catalogue:
    """A source with one part for all regions, which hands out an ETag; `asked` are the validators that it was sent."""

    etag: str = "1"
    price: float = 2.0
    asked: list[dict[str, Validator]] = field(default_factory=list)

    def source(self) -> Nimbus:
        source = Nimbus(self.rows)
        source.parts = lambda wanted, context: [FetchPart(name="catalogue")]  # type: ignore[method-assign]
        return source

    def rows(self, context: FetchContext, part: FetchPart) -> FetchResult:
        self.asked.append(dict(context.validators))
        if context.validators.get(URL) == Validator(etag=self.etag):
            return FetchResult(unchanged=True, observed_at=context.now())
        return FetchResult(
            batches=tuple(
                make_batch(make_offer("a", region=region, price=self.price), at=context.now())
                for region in ("north", "south")
            ),
            validators={URL: Validator(etag=self.etag)},
        )


def test_unchanged_never_confirms_a_price_that_a_narrow_night_left_out(nights: Nights) -> None:
    catalogue = Catalogue()
    nights.run(catalogue.source())
    catalogue.etag, catalogue.price = "2", 2.5
    nights.now += DAY
    nights.run(catalogue.source(), regions=("north",))
    nights.now += DAY
    nights.run(catalogue.source())
    assert catalogue.asked == [{}, {URL: Validator(etag="1")}, {}]
    assert {offer.unit_price_nano for offer in nights.store.live_offers()} == {2_500_000_000}


def test_unchanged_confirms_only_the_region_that_was_asked_for(nights: Nights) -> None:
    catalogue = Catalogue()
    nights.run(catalogue.source())
    nights.now += DAY
    nights.run(catalogue.source(), regions=("north",))
    assert nights.observed() == {"north": NIGHT + DAY, "south": NIGHT}
    nights.now += DAY
    nights.run(catalogue.source())
    assert set(nights.observed().values()) == {NIGHT + 2 * DAY}


def test_unchanged_keeps_what_was_handed_out_for_asking_again(nights: Nights) -> None:
    catalogue = Catalogue()
    for _ in range(3):
        nights.run(catalogue.source())
        nights.now += DAY
    assert catalogue.asked == [{}, *[{URL: Validator(etag="1")}] * 2]
    report = nights.run(catalogue.source(), max_age=2 * DAY)
    assert report.sources[0].outcome is Outcome.FRESH


def test_what_a_narrow_night_left_out_is_not_young(nights: Nights) -> None:
    catalogue = Catalogue()
    nights.run(catalogue.source(), regions=("north",))
    assert set(nights.observed()) == {"north"}
    nights.now += HOUR
    nights.run(catalogue.source(), max_age=2 * HOUR)
    assert nights.observed() == {"north": NIGHT + HOUR, "south": NIGHT + HOUR}


def test_a_region_without_offers_is_young_too(nights: Nights) -> None:
    """Otherwise every hour would ask for the regions that have no GPUs."""

    def rows(context: FetchContext, part: FetchPart) -> list[ScopeBatch]:
        offer = make_offer("a", region=part.name)
        if part.name == "south":
            return [make_batch(at=context.now(), scope=scope_in("south"))]
        return [make_batch(offer, at=context.now())]

    source = Nimbus(rows, regions=("north", "south"))
    nights.run(source)
    source.asked.clear()
    nights.now += HOUR
    assert nights.run(source, max_age=2 * HOUR).sources[0].outcome is Outcome.FRESH
    assert source.asked == []
    nights.now += 2 * HOUR
    nights.run(source, max_age=2 * HOUR)
    assert sorted(source.asked) == ["north", "south"]


def test_what_was_not_asked_renews_nothing(nights: Nights) -> None:
    source = Nimbus(lambda context, part: [make_batch(make_offer("a"), at=context.now())])
    nights.run(source)
    nights.now += HOUR
    report = nights.run(source, max_age=2 * HOUR)
    assert report.sources[0].last_success_at == NIGHT
    record = nights.store.sources()["nimbus"]
    assert (record.attempt_at, record.success_at, record.outcome) == (NIGHT, NIGHT, "refreshed")
    assert report.exit_code(allow_partial=False) == 0


def test_a_source_without_the_region_is_no_failure(nights: Nights) -> None:
    source = Nimbus(lambda context, part: [make_batch(make_offer("a"), at=context.now())])
    other = Nimbus(lambda context, part: [], name="cirrus", regions=("mars",))
    report = nights.run(source, other, regions=("north",))
    assert [one.outcome for one in report.sources] == [Outcome.REFRESHED, Outcome.NOT_OFFERED]
    assert report.exit_code(allow_partial=False) == 0
    assert report.sources[0].regions == {"north"}
    assert "cirrus" not in nights.store.sources()
    alone = nights.run(other, regions=("north",))
    assert alone.exit_code(allow_partial=False) == alone.exit_code(allow_partial=True) == 9
    empty = nights.run(source, models=frozenset({SPOT}))
    assert empty.sources[0].outcome is Outcome.NOT_OFFERED


def test_a_dry_run_says_when_the_store_was_last_refreshed(nights: Nights) -> None:
    source = Nimbus(lambda context, part: [make_batch(make_offer("a"), at=context.now())])
    assert nights.run(source, dry_run=True).sources[0].last_success_at is None
    nights.run(source)
    nights.now += DAY
    assert nights.run(source, dry_run=True).sources[0].last_success_at == NIGHT


def test_an_attempt_is_not_younger_than_what_it_brought(nights: Nights) -> None:
    """So that a scope older than the last attempt is one that this attempt did not renew."""

    def rows(context: FetchContext, part: FetchPart) -> list[ScopeBatch]:
        nights.now += HOUR  # a slow source
        return [make_batch(make_offer("a"), at=context.now())]

    nights.run(Nimbus(rows))
    assert nights.store.sources()["nimbus"].attempt_at == NIGHT
    assert nights.observed() == {"north": NIGHT + HOUR}


def test_an_offer_that_the_store_cannot_take_is_a_failure_of_its_source(nights: Nights) -> None:
    def rows(context: FetchContext, part: FetchPart) -> list[ScopeBatch]:
        return [make_batch(make_offer("a", host_ram_bytes=2**70, provider="cirrus"), at=context.now())]

    fine = Nimbus(lambda context, part: [make_batch(make_offer("a"), at=context.now())])
    report = nights.run(Nimbus(rows, name="cirrus"), fine)
    assert [one.outcome for one in report.sources] == [Outcome.FAILED, Outcome.REFRESHED]
    assert "this is a bug in its adapter" in report.sources[0].errors[0]
    assert set(nights.observed()) == {"north"}
    assert nights.store.sources()["cirrus"].outcome == "failed"


def test_a_refusal_is_the_error_of_the_attempt(nights: Nights) -> None:
    offers = [make_offer("a")]
    source = Nimbus(lambda context, part: [make_batch(*offers, at=context.now(), scope=scope_in("north"))])
    nights.run(source)
    offers.clear()
    nights.now += DAY
    nights.run(source)
    record = nights.store.sources()["nimbus"]
    assert record.error == "nimbus north on_demand: the batch is empty, the one before was not (1 offer)"
    assert record.outcome == "failed"


def test_a_source_without_a_word_says_so(nights: Nights) -> None:
    report = nights.run(Nimbus(lambda context, part: []))
    assert report.sources[0].errors == ("nimbus: it names no offers at all",)


def test_all_sources_are_published_undisturbed(nights: Nights) -> None:
    seen: list[dict[str, datetime]] = []

    @contextmanager
    def undisturbed() -> Iterator[None]:
        seen.append(nights.observed())
        yield
        seen.append(nights.observed())

    sources = [
        Nimbus(lambda context, part: [make_batch(make_offer("a", region=part.name), at=context.now())]),
        Nimbus(
            lambda context, part: [make_batch(make_offer("a", region="x", provider="cirrus"), at=context.now())],
            name="cirrus",
        ),
    ]
    nights.run(*sources, undisturbed=undisturbed)
    assert [set(one) for one in seen] == [set(), {"north", "x"}]


def scope_in(region: str) -> Any:
    from tests.fixtures.offers import scope_of

    return scope_of(make_offer("a", region=region))
