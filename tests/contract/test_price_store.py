"""What the price store must do, on both of its engines."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from cache.database import load_migrations, migrate, open_database, schema_version
from cache.errors import StoreBusy, StoreDamaged
from cache.gate import HeldRow, Judged, Refusal
from cache.publishing import SourceState, confirm, note_part, note_source, publish
from cache.quarantine import decide, list_rows, remember
from cache.sql_store import ROOM, SqlStore, open_store
from providers.errors import JobError, PricesUnavailable
from providers.http import Validator
from providers.offer import NANO, BillingTerms, Offer, PriceClass
from providers.scope import OfferKey, ScopeBatch
from providers.snapshot import make_snapshot
from tests.fixtures.offers import DAY, NIGHT, SPOT, NoList, make_batch, make_offer, scope_of
from tests.fixtures.postgres_server import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

    from providers.offer import PriceSnapshot

pytestmark = pytest.mark.loopback


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    yield from serve()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield str(tmp_path / "prices.sqlite3")
        return
    import psycopg

    server: str = request.getfixturevalue("server")
    name = f"t{abs(hash(request.node.nodeid)) % 10**12}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield server.replace("/postgres?", f"/{name}?")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def open_it(url: str) -> Iterator[Callable[[], SqlStore]]:
    opened: list[SqlStore] = []

    def opener() -> SqlStore:
        opened.append(open_store(url, NoList(), create=True))
        return opened[-1]

    yield opener
    for one in opened:
        one.close()


@pytest.fixture
def store(open_it: Callable[[], SqlStore]) -> SqlStore:
    return open_it()


def put(store: SqlStore, *offers: Offer, at: datetime = NIGHT, held: tuple[HeldRow, ...] = ()) -> None:
    batch = make_batch(*offers, *(row.offer for row in held), at=at)
    kept = batch.offers[: len(offers)]
    rows = tuple(replace(row, offer=offer) for row, offer in zip(held, batch.offers[len(offers) :], strict=True))
    judged = Judged(batch=batch, published=kept, quarantined=rows)
    with store.writing() as session:
        publish(session, judged, origin="refresh", stored_at=at)
        remember(session, batch.scope, rows, at=at)


def key_of(offer: Offer) -> OfferKey:
    return OfferKey(*offer.key)


def held(offer: Offer, reason: str = "price_jump", previous: int | None = None) -> HeldRow:
    return HeldRow(offer=offer, reason=reason, detail="moved", previous_nano=previous)


FULL = make_offer(
    zone="north-1", variant="host-7", vcpus=8, host_ram_bytes=32 * 2**30, disk_bytes=10**12,
    network_bytes_per_s=1.25e9, gpu_memory_bytes=24 * 2**30, flags=("marketplace", "arm_host"), currency="EUR",
    billing=BillingTerms(increment_s=60, minimum_s=600, charged_when_stopped=True, source="the test"),
    unit_price_nano=1_234_567_891,
)  # fmt: skip


def test_written_equals_read(store: SqlStore) -> None:
    unknown = make_offer("nimbus.odd", gpu=None, gpu_name="Odd 9000", flags=("gpu_unknown",))
    put(store, FULL, unknown)
    assert sorted(store.live_offers(), key=lambda offer: offer.key) == sorted(
        [FULL, unknown], key=lambda offer: offer.key
    )
    assert store.offer(key_of(FULL)) == FULL
    assert store.snapshot(now=NIGHT).sha256 == make_snapshot([FULL, unknown]).sha256


def test_an_empty_store_has_no_price(store: SqlStore) -> None:
    assert store.live_offers() == []
    assert store.snapshot(now=NIGHT).offers == ()


def test_a_price_that_does_not_change_is_one_point_and_a_young_one(store: SqlStore) -> None:
    for night in range(4):
        put(store, make_offer(price=2.0), at=NIGHT + night * DAY)
    put(store, make_offer(price=2.5), at=NIGHT + 4 * DAY)
    points = store.history(key_of(make_offer()))
    assert [(point.at, point.price_nano) for point in points] == [
        (NIGHT, 2 * NANO), (NIGHT + 4 * DAY, round(2.5 * NANO)),
    ]  # fmt: skip
    (now,) = store.live_offers()
    assert (now.observed_at, now.unit_price_nano) == (NIGHT + 4 * DAY, round(2.5 * NANO))


def test_what_the_newest_batch_does_not_hold_is_gone_and_may_come_back(store: SqlStore) -> None:
    one, two = make_offer("nimbus.one"), make_offer("nimbus.two")
    put(store, one, two)
    put(store, one, at=NIGHT + DAY)
    assert [offer.instance_type for offer in store.live_offers()] == ["nimbus.one"]
    assert [point.price_nano for point in store.history(key_of(two))] == [2 * NANO, None]
    put(store, one, two, at=NIGHT + 2 * DAY)
    assert [point.price_nano for point in store.history(key_of(two))] == [2 * NANO, None, 2 * NANO]
    assert len(store.live_offers()) == 2


def test_a_batch_touches_its_own_scope_only(store: SqlStore) -> None:
    put(store, make_offer(region="north"), at=NIGHT)
    put(store, make_offer(region="south"), at=NIGHT)
    put(store, make_offer(pricing_model=SPOT, price=1.0), at=NIGHT)
    put(store, make_offer(region="north", price=3.0), at=NIGHT + DAY)
    prices = {
        (offer.region, offer.pricing_model): (offer.unit_price_nano, offer.observed_at) for offer in store.live_offers()
    }
    assert prices == {
        ("north", make_offer().pricing_model): (3 * NANO, NIGHT + DAY),
        ("south", make_offer().pricing_model): (2 * NANO, NIGHT),
        ("north", SPOT): (1 * NANO, NIGHT),
    }


def test_a_held_row_keeps_the_old_price_with_the_old_age(store: SqlStore) -> None:
    put(store, make_offer(price=2.0), make_offer("nimbus.two"))
    for night in (1, 2):
        put(store, make_offer("nimbus.two"), at=NIGHT + night * DAY, held=(held(make_offer(price=20.0)),))
    offer = store.offer(key_of(make_offer()))
    assert offer is not None
    assert (offer.unit_price_nano, offer.observed_at, offer.flags) == (2 * NANO, NIGHT, ("price_held",))
    put(store, make_offer(price=2.1), make_offer("nimbus.two"), at=NIGHT + 3 * DAY)
    offer = store.offer(key_of(make_offer()))
    assert offer is not None
    assert (offer.observed_at, offer.flags) == (NIGHT + 3 * DAY, ())


def test_a_held_row_that_was_never_good_is_no_offer(store: SqlStore) -> None:
    put(store, make_offer("nimbus.two"), held=(held(make_offer()),))
    assert store.offer(key_of(make_offer())) is None
    with store.reading() as session:
        (row,) = list_rows(session)
    assert (row.key, row.reason, row.times, row.offer.unit_price_nano) == (
        key_of(make_offer()),
        "price_jump",
        1,
        2 * NANO,
    )


def test_a_refused_batch_changes_no_price_and_no_age(store: SqlStore) -> None:
    put(store, make_offer())
    batch = make_batch(make_offer(price=9.0), at=NIGHT + DAY)
    refused = Judged(batch=batch, published=(), refused=Refusal(reason="row_count", detail="far fewer", times=2))
    with store.writing() as session:
        publish(session, refused, origin="refresh", stored_at=NIGHT + DAY)
    assert [offer.observed_at for offer in store.live_offers()] == [NIGHT]
    (state,) = store.scope_states()
    assert (state.refused, state.refused_offers, state.refused_times) == ("far fewer", 1, 2)
    put(store, make_offer(), at=NIGHT + 2 * DAY)
    assert store.scope_states()[0].refused == ""


def test_unchanged_means_as_of_now(store: SqlStore) -> None:
    put(store, make_offer())
    with store.writing() as session:
        done = confirm(
            session,
            [scope_of(make_offer()), scope_of(make_offer(region="south"))],
            at=NIGHT + DAY,
            stored_at=NIGHT + DAY,
        )
    assert [one.scope.region for one in done] == ["north"]
    assert [offer.observed_at for offer in store.live_offers()] == [NIGHT + DAY]


def test_released_is_published_at_once_and_decided_once(store: SqlStore) -> None:
    put(store, make_offer(price=2.0), make_offer("nimbus.two"))
    put(store, make_offer("nimbus.two"), at=NIGHT + DAY, held=(held(make_offer(price=8.0), previous=2 * NANO),))
    with store.writing() as session:
        (row,) = list_rows(session)
        decide(session, row.number, release=True, at=NIGHT + 2 * DAY, note="announced")
    offer = store.offer(key_of(make_offer()))
    assert offer is not None
    assert (offer.unit_price_nano, offer.observed_at, offer.flags) == (8 * NANO, NIGHT + DAY, ())
    with pytest.raises(JobError, match="already"), store.writing() as session:
        decide(session, row.number, release=False, at=NIGHT)
    with pytest.raises(JobError, match="none of that number"), store.writing() as session:
        decide(session, 999, release=True, at=NIGHT)


def test_a_release_does_not_turn_back_a_newer_price(store: SqlStore) -> None:
    put(store, make_offer(price=2.0), held=())
    put(store, make_offer("nimbus.two"), at=NIGHT + DAY, held=(held(make_offer(price=8.0)),))
    with store.reading() as session:
        (row,) = list_rows(session)
    put(store, make_offer(price=2.2), make_offer("nimbus.two"), at=NIGHT + 2 * DAY)
    with store.reading() as session:
        assert list_rows(session) == []
    with pytest.raises(JobError, match="resolved"), store.writing() as session:
        decide(session, row.number, release=True, at=NIGHT + 3 * DAY)


def test_the_same_row_again_is_counted_not_repeated(store: SqlStore) -> None:
    for night in range(3):
        put(store, make_offer("nimbus.two"), at=NIGHT + night * DAY, held=(held(make_offer(price=8.0)),))
    with store.reading() as session:
        (row,) = list_rows(session)
    assert (row.times, row.first_seen_at, row.last_seen_at) == (3, NIGHT, NIGHT + 2 * DAY)


def test_a_plan_of_yesterday_sees_the_prices_of_yesterday(store: SqlStore) -> None:
    put(store, make_offer("nimbus.one", price=2.0), make_offer("nimbus.two", price=3.0))
    before = store.snapshot(now=NIGHT + timedelta(hours=1))
    put(store, make_offer("nimbus.one", price=4.0), at=NIGHT + DAY)
    after = store.snapshot(now=NIGHT + DAY)
    assert store.snapshot(now=NIGHT + timedelta(hours=1)).sha256 == before.sha256
    assert [offer.unit_price_nano for offer in after.offers] == [4 * NANO]
    assert store.snapshot(now=NIGHT - DAY).offers == ()


def test_live_scopes_stand_for_the_listed_rows_of_theirs(url: str) -> None:
    class Listed:
        def snapshot(self, *, now: datetime) -> PriceSnapshot:
            rows = [
                make_offer("listed.north", region="north"),
                make_offer("listed.south", region="south"),
                make_offer("listed.anywhere", region="unknown"),
                make_offer("listed.spot", region="unknown", pricing_model=SPOT),
                make_offer("listed.other", provider="cirrus", region="unknown"),
            ]
            return make_snapshot([replace(row, price_class=PriceClass.LIST) for row in rows])

    store = open_store(url, Listed(), create=True)
    put(store, make_offer("live.north"))
    names = {offer.instance_type for offer in store.snapshot(now=NIGHT).offers}
    assert names == {"live.north", "listed.south", "listed.spot", "listed.other"}
    put(store, make_offer("live.everywhere", region="global"))
    names = {offer.instance_type for offer in store.snapshot(now=NIGHT).offers}
    assert names == {"live.north", "live.everywhere", "listed.spot", "listed.other"}
    store.close()


def test_the_last_success_outlives_a_failure(store: SqlStore) -> None:
    fine = SourceState(provider="nimbus", attempt_at=NIGHT, succeeded=True, duration_ms=5, outcome="refreshed")
    failed = replace(fine, attempt_at=NIGHT + DAY, succeeded=False, outcome="failed", error="nimbus: HTTP 500")
    with store.writing() as session:
        note_source(session, fine)
        note_source(session, failed)
    record = store.sources()["nimbus"]
    assert (record.attempt_at, record.success_at, record.error) == (NIGHT + DAY, NIGHT, "nimbus: HTTP 500")


def test_parts_remember_validators_and_scopes(store: SqlStore) -> None:
    scope = scope_of(make_offer())
    with store.writing() as session:
        note_part(session, "nimbus", "north", at=NIGHT, validators={"https://x": Validator(etag='"1"')}, scopes=[scope])
    record = store.parts("nimbus")["north"]
    assert record.validators == {"https://x": Validator(etag='"1"')}
    assert record.scopes == (scope,)


def half_a_write(store: SqlStore) -> None:
    later = make_offer(price=5.0)
    with store.writing() as session:
        judged = Judged(batch=make_batch(later, at=NIGHT + DAY), published=(later,))
        publish(session, judged, origin="refresh", stored_at=NIGHT)
        raise RuntimeError("half way")


def test_a_failed_write_leaves_nothing(store: SqlStore) -> None:
    put(store, make_offer())
    with pytest.raises(RuntimeError, match="half way"):
        half_a_write(store)
    assert [offer.unit_price_nano for offer in store.live_offers()] == [2 * NANO]


def test_an_undone_write_leaves_nothing(store: SqlStore) -> None:
    with store.writing(keep=False) as session:
        publish(
            session,
            Judged(batch=make_batch(make_offer()), published=(make_offer(),)),
            origin="refresh",
            stored_at=NIGHT,
        )
    assert store.live_offers() == []


def test_a_reader_never_sees_half_a_write(open_it: Callable[[], SqlStore]) -> None:
    writer, reader = open_it(), open_it()
    put(writer, make_offer("nimbus.one"), make_offer("nimbus.two"))
    with writer.writing() as session:
        judged = Judged(
            batch=make_batch(make_offer("nimbus.one", price=7.0), at=NIGHT + DAY),
            published=(make_offer("nimbus.one", price=7.0),),
        )
        publish(session, judged, origin="refresh", stored_at=NIGHT)
        assert [offer.unit_price_nano for offer in reader.live_offers()] == [2 * NANO, 2 * NANO]
    assert [offer.unit_price_nano for offer in reader.live_offers()] == [7 * NANO]


def test_a_read_is_one_state_from_first_to_last(open_it: Callable[[], SqlStore]) -> None:
    writer, reader = open_it(), open_it()
    put(writer, make_offer())
    with reader.reading() as session:
        before = session.rows("SELECT MAX(at) FROM price_history")
        put(writer, make_offer(price=7.0), at=NIGHT + DAY)
        assert session.rows("SELECT MAX(at) FROM price_history") == before


def test_one_refresh_at_a_time(open_it: Callable[[], SqlStore]) -> None:
    one, two = open_it(), open_it()
    with one.lock(), pytest.raises(StoreBusy, match="another process refreshes"), two.lock():
        raise AssertionError("two hold the lock")
    with two.lock():
        pass


def test_two_writers_wait_for_each_other(open_it: Callable[[], SqlStore]) -> None:
    stores = [open_it() for _ in range(3)]

    def write(number: int) -> None:
        for night in range(5):
            put(stores[number], make_offer(region=f"region-{number}"), at=NIGHT + night * DAY)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {offer.region for offer in stores[0].live_offers()} == {"region-0", "region-1", "region-2"}


def test_find_is_what_a_filter_over_all_would_be(store: SqlStore) -> None:
    put(
        store,
        *(make_offer(f"n{count}", price=float(count), gpu_count=count) for count in (1, 2, 8)),
        make_offer("h", gpu="H100-SXM-80GB", price=3.0),
    )
    put(store, make_offer("n8", price=1.0, gpu_count=8, pricing_model=SPOT))
    found = store.find(gpu="L4-24GB", min_gpus=2, providers=["nimbus"])
    assert [(offer.instance_type, offer.pricing_model.value) for offer in found] == [
        ("n8", "spot"),
        ("n2", "on_demand"),
        ("n8", "on_demand"),
    ]
    assert store.find(gpu="L4-24GB", pricing_model=SPOT) == [found[0]]
    assert store.find(providers=["cirrus"]) == []


HOSTILE = "'; DROP TABLE price_offers; -- ? %s \" \\ \u202e"


def test_text_from_outside_is_text(store: SqlStore) -> None:
    offer = make_offer(HOSTILE, gpu_name=HOSTILE, region=HOSTILE, variant=HOSTILE, source=HOSTILE)
    put(store, offer, held=(held(make_offer("x" + HOSTILE, region=HOSTILE)),))
    assert store.live_offers() == [offer]
    assert store.offer(key_of(offer)) == offer
    assert store.find(gpu=HOSTILE) == []


@pytest.mark.parametrize("version", range(1, len(load_migrations("cache", dialect="sqlite")) + 1))
def test_every_version_of_the_schema_comes_up_to_date(url: str, version: int) -> None:
    """Prices that an older version stored survive; what it could not know is empty."""
    database = open_database(url, create=True)
    migrations = load_migrations("cache", dialect=database.dialect)
    assert migrate(database, migrations, room=ROOM, up_to=version) == version
    with database.writing() as session:
        session.run(
            "INSERT INTO price_scopes (id, provider, region, pricing_model, batch_at, offers) "
            "VALUES (1, 'nimbus', 'north', 'on_demand', 1000, 1)"
        )
        session.run(
            "INSERT INTO price_offers (id, scope_id, zone, instance_type, variant, gpu, gpu_name, gpu_count, "
            "price_nano, "
            "currency, source) "
            "VALUES (1, 1, '', 'nimbus.old', '', 'L4-24GB', 'L4', 1, 5, 'USD', 'old')"
        )
        session.run("INSERT INTO price_history (offer_id, at, price_nano) VALUES (1, 1000, 5)")
        if version >= 2:
            session.run("INSERT INTO price_batches VALUES (1, 1000, 1000, 1, 1, 0, 0, 'refresh')")
    database.close()
    store = open_store(url, NoList(), create=False)
    assert [(offer.instance_type, offer.unit_price_nano) for offer in store.live_offers()] == [("nimbus.old", 5)]
    assert schema_version(store.database, room=ROOM) == len(migrations)
    put(store, make_offer("nimbus.old", price=1.0), at=NIGHT)
    assert [point.price_nano for point in store.history(key_of(make_offer("nimbus.old")))] == [5, NANO]
    store.close()


def test_a_newer_schema_is_left_alone(url: str, store: SqlStore) -> None:
    with store.writing() as session:
        session.run("UPDATE tunefare_schema SET version = 99 WHERE room = ?", (ROOM,))
    with pytest.raises(StoreDamaged, match="newer version"):
        open_store(url, NoList(), create=True)


def test_an_older_batch_never_replaces_a_newer_one(store: SqlStore) -> None:
    put(store, make_offer(), at=NIGHT)
    with store.writing() as session:
        assert confirm(session, [scope_of(make_offer())], at=NIGHT - DAY, stored_at=NIGHT) == []
    assert store.live_offers()[0].observed_at == NIGHT


def test_a_batch_of_another_scope_is_a_bug() -> None:
    with pytest.raises(ValueError, match="holds an offer of"):
        ScopeBatch(scope=scope_of(make_offer()), observed_at=NIGHT, offers=(make_offer(region="south"),))


def test_a_server_that_is_not_there_is_busy(tmp_path: Path) -> None:
    with pytest.raises(StoreBusy, match="cannot be reached") as caught:
        open_store(f"postgresql://u:hush-hush@/none?host={tmp_path}", NoList(), create=True)
    assert "hush-hush" not in str(caught.value)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "prices.sqlite3"
    path.write_text("not a database, " * 100)
    with pytest.raises(StoreDamaged, match=r"prices\.sqlite3 is no price store"):
        open_store(str(path), NoList(), create=True)
    assert path.read_text().startswith("not a database")


def test_nothing_is_made_by_reading(tmp_path: Path) -> None:
    with pytest.raises(StoreDamaged):
        open_store(str(tmp_path / "absent.sqlite3"), NoList(), create=False)
    assert list(tmp_path.iterdir()) == []


def test_without_any_price_it_says_so(store: SqlStore) -> None:
    put(store, make_offer())
    with store.writing() as session:
        publish(
            session,
            Judged(batch=make_batch(scope=scope_of(make_offer()), at=NIGHT + DAY), published=()),
            origin="refresh",
            stored_at=NIGHT,
        )
    with pytest.raises(PricesUnavailable):
        store.snapshot(now=NIGHT + DAY)
