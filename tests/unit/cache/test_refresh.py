"""The nightly refresh against invented sources: each alone, whole or not at all, and no age renewed by an attempt."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from cache.errors import StoreBusy
from cache.fetching import Asking
from cache.outcome import Outcome, RefreshReport
from cache.quarantine import decide, list_rows
from cache.refresh import RefreshOrder, refresh
from cache.sql_store import SqlStore, open_store
from providers.base import FetchContext, FetchPart, FetchResult, Variable, Wanted
from providers.errors import CredentialsMissing, ProviderUnavailable, ResponseChanged
from providers.gpus import load_gpus
from providers.http import Validator
from providers.offer import NANO, Offer, PriceClass
from providers.scope import DroppedRow, ScopeBatch
from tests.fixtures.offers import DAY, NIGHT, SPOT, Nimbus, NoList, make_batch, make_offer, scope_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from providers.base import Provider

GPUS = load_gpus()
SECRET = "hush-hush-secret"  # noqa: S105 - a canary


@dataclass
class Clock:
    now: datetime = NIGHT

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Nights:
    """A store and its clock; `run` is one night."""

    store: SqlStore
    clock: Clock = field(default_factory=Clock)
    environment: dict[str, str] = field(default_factory=dict)
    listed: tuple[Offer, ...] = ()

    def run(self, *providers: Provider, wanted: Wanted | None = None, **order: Any) -> RefreshReport:
        asking = Asking(
            gpus=GPUS,
            environment=self.environment,
            now=self.clock,
            wanted=wanted or Wanted(),
            provider_s=order.pop("provider_s", 60.0),
        )
        stop = order.pop("stop", None)
        return refresh(self.store, providers, RefreshOrder(asking=asking, **order), listed=self.listed, stop=stop)

    def prices(self) -> dict[str, float]:
        return {offer.instance_type: offer.unit_price_nano / NANO for offer in self.store.live_offers()}


@pytest.fixture
def nights(tmp_path: Path) -> Iterator[Nights]:
    store = open_store(str(tmp_path / "prices.sqlite3"), NoList(), create=True)
    yield Nights(store)
    store.close()


def steady(*offers: Offer) -> Nimbus:
    """A source that answers with these offers whenever it is asked."""

    def rows(context: FetchContext, part: FetchPart) -> list[ScopeBatch]:
        here = [offer for offer in offers if offer.region == part.region]
        scopes = sorted({scope_of(offer) for offer in here})
        return [
            make_batch(*(offer for offer in here if scope_of(offer) == scope), at=context.now()) for scope in scopes
        ]

    return Nimbus(rows, regions=tuple(sorted({offer.region for offer in offers})))


def failing(error: Exception) -> Nimbus:
    def rows(context: FetchContext, part: FetchPart) -> list[ScopeBatch]:
        raise error

    return Nimbus(rows, name="cirrus")


def outcomes(report: RefreshReport) -> dict[str, str]:
    return {one.provider: one.outcome.value for one in report.sources}


def test_a_night_is_published(nights: Nights) -> None:
    report = nights.run(steady(make_offer("a"), make_offer("b", price=3.0, region="south")))
    (source,) = report.sources
    assert (source.outcome, source.offers, source.added, source.scopes) == (Outcome.REFRESHED, 2, 2, 2)
    assert report.exit_code(allow_partial=False) == 0
    assert nights.prices() == {"a": 2.0, "b": 3.0}
    assert source.last_success_at == NIGHT


def test_one_that_fails_harms_no_other_and_renews_no_age(nights: Nights) -> None:
    nights.run(steady(make_offer("a")), replace(steady(make_offer("c", provider="cirrus")), name="cirrus"))
    nights.clock.now += DAY
    report = nights.run(steady(make_offer("a", price=2.5)), failing(ProviderUnavailable("cirrus: HTTP 500")))
    assert outcomes(report) == {"nimbus": "refreshed", "cirrus": "failed"}
    assert report.exit_code(allow_partial=False) == 9
    assert report.exit_code(allow_partial=True) == 0
    ages = {offer.provider: offer.observed_at for offer in nights.store.live_offers()}
    assert ages == {"nimbus": NIGHT + DAY, "cirrus": NIGHT}
    record = nights.store.sources()["cirrus"]
    assert (record.success_at, record.attempt_at, record.error) == (NIGHT, NIGHT + DAY, "cirrus: HTTP 500")


def test_a_bug_in_an_adapter_is_its_own(nights: Nights) -> None:
    report = nights.run(steady(make_offer("a")), failing(ZeroDivisionError("x / 0")))
    assert outcomes(report) == {"nimbus": "refreshed", "cirrus": "failed"}
    assert "this is a bug in its adapter" in report.sources[1].errors[0]


def test_a_part_that_fails_leaves_its_scope_as_it_was(nights: Nights) -> None:
    def rows(context: FetchContext, part: FetchPart) -> list[ScopeBatch]:
        if part.region == "south" and context.now() > NIGHT:
            raise ProviderUnavailable("nimbus: south did not answer")
        return [
            make_batch(make_offer(part.name, region=part.name, price=2.0 + context.now().day / 100), at=context.now())
        ]

    source = Nimbus(rows, regions=("north", "south"))
    nights.run(source)
    nights.clock.now += DAY
    report = nights.run(source)
    assert outcomes(report) == {"nimbus": "partial"}
    assert {offer.region: offer.observed_at for offer in nights.store.live_offers()} == {
        "north": NIGHT + DAY,
        "south": NIGHT,
    }
    assert nights.store.sources()["nimbus"].success_at == NIGHT


def test_one_region_harms_no_other(nights: Nights) -> None:
    source = steady(make_offer("a"), make_offer("b", region="south"))
    nights.run(source)
    nights.clock.now += DAY
    nights.run(source, wanted=Wanted(regions=frozenset({"south"})))
    assert {offer.region: offer.observed_at for offer in nights.store.live_offers()} == {
        "north": NIGHT,
        "south": NIGHT + DAY,
    }


def test_a_scope_that_was_not_asked_for_is_not_published(nights: Nights) -> None:
    source = steady(make_offer("a"), make_offer("a", pricing_model=SPOT, price=0.5))
    nights.run(source, wanted=Wanted(pricing_models=frozenset({SPOT})))
    assert [offer.pricing_model for offer in nights.store.live_offers()] == [SPOT]


def test_a_region_that_a_whole_answer_no_longer_names_is_refused_and_kept(nights: Nights) -> None:
    offers = [make_offer("a", region="global-a"), make_offer("b", region="global-b")]

    def rows(context: FetchContext, part: FetchPart) -> list[ScopeBatch]:
        return [make_batch(offer, at=context.now()) for offer in offers]

    source = Nimbus(rows, regions=("everything",))
    catalogue = replace(source)
    catalogue.parts = lambda wanted, context: [FetchPart(name="catalogue")]  # type: ignore[method-assign]
    nights.run(catalogue)
    nights.clock.now += DAY
    offers.pop()
    report = nights.run(catalogue)
    assert outcomes(report) == {"nimbus": "partial"}
    assert [(one.scope.region, one.reason) for one in report.sources[0].refused] == [("global-b", "empty")]
    assert nights.prices() == {"a": 2.0, "b": 2.0}


def test_a_market_of_what_is_there_loses_regions(nights: Nights) -> None:
    offers = [make_offer("a", region="ra"), make_offer("b", region="rb")]

    def rows(context: FetchContext, part: FetchPart) -> list[ScopeBatch]:
        return [make_batch(offer, at=context.now()) for offer in offers]

    market = Nimbus(rows, volatile=True)
    market.parts = lambda wanted, context: [FetchPart(name="catalogue")]  # type: ignore[method-assign]
    nights.run(market)
    nights.clock.now += DAY
    offers.pop()
    assert outcomes(nights.run(market)) == {"nimbus": "refreshed"}
    assert nights.prices() == {"a": 2.0}


def test_a_jump_is_held_and_the_rest_published(nights: Nights) -> None:
    nights.run(steady(make_offer("a"), make_offer("b")))
    nights.clock.now += DAY
    report = nights.run(steady(make_offer("a", price=20.0), make_offer("b", price=2.1)))
    assert report.sources[0].quarantined == 1
    assert report.exit_code(allow_partial=False) == 0
    assert nights.prices() == {"a": 2.0, "b": 2.1}
    with nights.store.writing() as session:
        (row,) = list_rows(session)
        decide(session, row.number, release=True, at=nights.clock.now)
    assert nights.prices() == {"a": 20.0, "b": 2.1}
    nights.clock.now += DAY
    assert nights.run(steady(make_offer("a", price=20.0), make_offer("b"))).sources[0].quarantined == 0


def test_a_rejected_price_stays_out_without_another_word(nights: Nights) -> None:
    nights.run(steady(make_offer("a")))
    dear = steady(make_offer("a", price=20.0))
    nights.clock.now += DAY
    nights.run(dear)
    with nights.store.writing() as session:
        (row,) = list_rows(session)
        decide(session, row.number, release=False, at=nights.clock.now)
    nights.clock.now += DAY
    nights.run(dear)
    with nights.store.reading() as session:
        assert list_rows(session) == []
        assert [one.times for one in list_rows(session, states=["rejected"])] == [2]
    assert nights.prices() == {"a": 2.0}


def test_a_family_that_doubles_everywhere_is_released(nights: Nights) -> None:
    places = [f"r{number}" for number in range(12)]
    nights.run(steady(*(make_offer("a", region=place, pricing_model=SPOT, price=0.2) for place in places)))
    nights.clock.now += DAY
    report = nights.run(steady(*(make_offer("a", region=place, pricing_model=SPOT, price=0.7) for place in places)))
    assert (report.sources[0].released, report.sources[0].quarantined) == (12, 0)
    assert {offer.unit_price_nano for offer in nights.store.live_offers()} == {round(0.7 * NANO)}


def test_a_crowd_that_comes_region_by_region_is_released_in_the_end(nights: Nights) -> None:
    places = [f"r{number}" for number in range(5)]
    nights.run(steady(*(make_offer("a", region=place, price=0.2) for place in places)))
    source = steady(*(make_offer("a", region=place, price=0.7) for place in places))
    for number, place in enumerate(places):
        nights.clock.now += timedelta(hours=1)
        report = nights.run(source, wanted=Wanted(regions=frozenset({place})))
        assert report.sources[0].released == (1 if number == 4 else 0)


def test_the_first_live_price_is_held_against_the_list(nights: Nights) -> None:
    nights.listed = (make_offer("a", price=46.86, price_class=PriceClass.LIST),)
    report = nights.run(steady(make_offer("a", price=7.692), make_offer("b")))
    assert report.sources[0].quarantined == 1
    assert nights.prices() == {"b": 2.0}


def test_without_an_account_it_is_listed_and_no_failure_unless_named(nights: Nights) -> None:
    missing = failing(CredentialsMissing("cirrus: set CIRRUS_KEY"))
    report = nights.run(steady(make_offer("a")), missing)
    assert outcomes(report) == {"nimbus": "refreshed", "cirrus": "no_credentials"}
    assert report.exit_code(allow_partial=False) == 0
    assert nights.run(missing).exit_code(allow_partial=False) == 9
    named = nights.run(steady(make_offer("a")), missing, named=frozenset({"cirrus"}))
    assert named.exit_code(allow_partial=False) == 9


def test_what_is_young_enough_is_not_asked(nights: Nights) -> None:
    source = steady(make_offer("a"), make_offer("b", region="south"))
    nights.run(source)
    nights.clock.now += timedelta(hours=2)
    nights.run(source, wanted=Wanted(regions=frozenset({"south"})))
    source.asked.clear()
    nights.clock.now += timedelta(hours=2)
    report = nights.run(source, max_age=timedelta(hours=3))
    assert source.asked == ["north"]
    assert outcomes(report) == {"nimbus": "refreshed"}
    assert outcomes(nights.run(source, max_age=timedelta(hours=3))) == {"nimbus": "fresh"}


def test_a_dry_run_stores_nothing(nights: Nights) -> None:
    report = nights.run(steady(make_offer("a")), dry_run=True)
    assert report.sources[0].offers == 1
    assert nights.prices() == {}
    assert nights.store.sources() == {}
    assert nights.store.scope_states() == []


def test_one_refresh_at_a_time(nights: Nights) -> None:
    with nights.store.lock(), pytest.raises(StoreBusy):
        nights.run(steady(make_offer("a")))


def test_unchanged_renews_the_age_of_what_was_confirmed(nights: Nights) -> None:
    def rows(context: FetchContext, part: FetchPart) -> FetchResult:
        if context.validators.get("https://x") == Validator(etag="1"):
            return FetchResult(unchanged=True, observed_at=context.now())
        return FetchResult(
            batches=(make_batch(make_offer("a"), at=context.now()),), validators={"https://x": Validator(etag="1")}
        )

    source = Nimbus(rows)
    nights.run(source)
    nights.clock.now += DAY
    report = nights.run(source)
    assert (report.sources[0].outcome, report.sources[0].offers, report.sources[0].changed) == (Outcome.REFRESHED, 1, 0)
    assert [offer.observed_at for offer in nights.store.live_offers()] == [NIGHT + DAY]


def test_validators_are_not_used_where_the_last_batch_was_refused(nights: Nights) -> None:
    """What was refused must come again, in full: "unchanged" would confirm the batch before it."""
    count = [20]
    seen: list[dict[str, Validator]] = []

    def rows(context: FetchContext, part: FetchPart) -> FetchResult:
        seen.append(dict(context.validators))
        offers = [make_offer(f"n{number}") for number in range(count[0])]
        return FetchResult(
            batches=(make_batch(*offers, at=context.now()),), validators={"https://x": Validator(etag=str(count[0]))}
        )

    source = Nimbus(rows)
    nights.run(source)
    nights.clock.now += DAY
    count[0] = 3
    assert outcomes(nights.run(source)) == {"nimbus": "failed"}
    nights.clock.now += DAY
    nights.run(source)
    assert seen == [{}, {"https://x": Validator(etag="20")}, {}]


def test_what_was_dropped_is_counted_by_reason(nights: Nights) -> None:
    def rows(context: FetchContext, part: FetchPart) -> FetchResult:
        batch = replace(
            make_batch(make_offer("a", gpu=None, gpu_name="Odd", flags=("gpu_unknown",)), at=context.now()),
            dropped=(DroppedRow(reason="zero_price", item="x"),),
        )
        return FetchResult(
            batches=(batch,),
            dropped=(DroppedRow(reason="not_a_gpu", item="y"), DroppedRow(reason="zero_price", item="z")),
        )

    (source,) = nights.run(Nimbus(rows)).sources
    assert source.dropped == {"not_a_gpu": 1, "zero_price": 2}
    assert source.unknown_gpus == {"Odd": 1}


def test_an_answer_without_anything_is_a_failure(nights: Nights) -> None:
    report = nights.run(Nimbus(lambda _context, _part: []))
    assert outcomes(report) == {"nimbus": "failed"}
    assert report.exit_code(allow_partial=True) == 9


def test_secrets_reach_neither_report_nor_store(nights: Nights) -> None:
    nights.environment = {"CIRRUS_KEY": SECRET}
    error = ResponseChanged(f"cirrus: said {SECRET}", sample=f'{{"key": "{SECRET}"}}')
    source = replace(failing(error), secrets=(Variable(name="CIRRUS_KEY", help="a key", secret=True),))
    report = nights.run(source)
    record = nights.store.sources()["cirrus"]
    assert SECRET not in repr(report) + repr(record)
    assert record.sample.startswith('{"key"')


def test_a_source_that_takes_too_long_is_given_up(nights: Nights) -> None:
    waiting = threading.Event()

    def rows(context: FetchContext, part: FetchPart) -> list[ScopeBatch]:
        waiting.wait(5)
        return []

    started = time.monotonic()
    report = nights.run(Nimbus(rows, name="cirrus"), steady(make_offer("a")), provider_s=0.3)
    waiting.set()
    assert time.monotonic() - started < 4
    assert outcomes(report) == {"cirrus": "failed", "nimbus": "refreshed"}
    assert "took longer" in report.sources[0].errors[0]


def test_an_interruption_leaves_the_store_as_it_was(nights: Nights) -> None:
    nights.run(steady(make_offer("a")))
    stop, waiting = threading.Event(), threading.Event()

    def rows(context: FetchContext, part: FetchPart) -> list[ScopeBatch]:
        stop.set()
        waiting.wait(5)
        return []

    nights.clock.now += DAY
    with pytest.raises(KeyboardInterrupt):
        nights.run(steady(make_offer("a", price=2.5)), Nimbus(rows, name="cirrus"), stop=stop)
    waiting.set()
    assert nights.prices() == {"a": 2.0}
    assert set(nights.store.sources()) == {"nimbus"}
    assert nights.store.sources()["nimbus"].attempt_at == NIGHT


def test_many_sources_are_asked_at_once(nights: Nights) -> None:
    together = threading.Barrier(8, timeout=5)

    def rows(context: FetchContext, part: FetchPart) -> list[ScopeBatch]:
        together.wait()
        return [make_batch(make_offer("a", provider=part.name), at=context.now())]

    sources = [Nimbus(rows, name=f"cloud{number}", regions=(f"cloud{number}",)) for number in range(8)]
    report = nights.run(*sources)
    assert set(outcomes(report).values()) == {"refreshed"}


def test_a_night_with_a_clock_in_the_future_is_put_right(nights: Nights) -> None:
    nights.clock.now = NIGHT + 365 * DAY
    nights.run(steady(make_offer("a"), make_offer("b", price=5.0)))
    nights.clock.now = NIGHT
    report = nights.run(steady(make_offer("a", price=2.5)))
    assert outcomes(report) == {"nimbus": "refreshed"}
    assert nights.prices() == {"a": 2.5}
    assert [offer.observed_at for offer in nights.store.live_offers()] == [NIGHT]
    nights.clock.now = NIGHT + DAY
    assert outcomes(nights.run(steady(make_offer("a", price=2.5)))) == {"nimbus": "refreshed"}
    assert [offer.unit_price_nano for offer in nights.store.snapshot(now=NIGHT).offers] == [round(2.5 * NANO)]


def test_another_clock_a_little_ahead_is_older(nights: Nights) -> None:
    nights.clock.now = NIGHT + timedelta(minutes=4)
    nights.run(steady(make_offer("a")))
    nights.clock.now = NIGHT
    assert outcomes(nights.run(steady(make_offer("a", price=2.5)))) == {"nimbus": "failed"}
    assert nights.prices() == {"a": 2.0}
