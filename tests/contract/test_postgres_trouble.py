"""What can go wrong with a PostgreSQL store is named: with an exit code, without a password, without a traceback."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from cache.errors import StoreBusy, StoreDamaged
from cache.gate import Judged
from cache.publishing import SourceState, note_source, publish
from cache.sql_store import SqlStore, open_store
from tests.fixtures.offers import DAY, NIGHT, NoList, make_batch, make_offer
from tests.fixtures.postgres_server import serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from providers.offer import Offer

pytestmark = pytest.mark.loopback


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    yield from serve()


@contextmanager
def database(server: str, name: str, options: str = "") -> Iterator[str]:
    """Yield the URL of a database of that name."""
    command(server, f"CREATE DATABASE {name} {options}")
    try:
        yield server.replace("/postgres?", f"/{name}?")
    finally:
        command(server, f"DROP DATABASE {name} WITH (FORCE)")


def command(url: str, sql: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql)  # type: ignore[call-overload]


def put(store: SqlStore, *offers: Offer, days: int = 0) -> None:
    batch = make_batch(*offers, at=NIGHT + days * DAY)
    with store.writing() as session:
        publish(session, Judged(batch=batch, published=batch.offers), origin="refresh", stored_at=batch.observed_at)


def names(store: SqlStore) -> list[str]:
    return sorted(offer.instance_type for offer in store.live_offers())


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "UTF8"])
def test_text_is_text_whatever_the_encoding_of_the_database(server: str, encoding: str) -> None:
    options = f"ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
    with database(server, f"e_{encoding.lower()}", options) as url:
        store = open_store(url, NoList(), create=True)
        put(store, make_offer("nimbus.größe"))
        assert names(store) == ["nimbus.größe"]
        store.close()


def test_a_database_that_only_reads_is_named(server: str) -> None:
    with database(server, "replica") as url:
        store = open_store(url, NoList(), create=True)
        put(store, make_offer())
        store.close()
        command(server, "ALTER DATABASE replica SET default_transaction_read_only = on")
        store = open_store(url, NoList(), create=True)
        with pytest.raises(StoreDamaged, match="read-only"):
            put(store, make_offer(price=3.0), days=1)
        assert names(store) == ["nimbus.large"]  # no transaction was left open
        store.close()


def test_a_user_who_may_read_reads_and_does_not_write(server: str) -> None:
    with database(server, "shared") as url:
        store = open_store(url, NoList(), create=True)
        put(store, make_offer())
        store.close()
        command(url, "CREATE ROLE reader LOGIN")
        command(url, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
        store = open_store(url.replace("//tunefare@", "//reader@"), NoList(), create=False)
        assert names(store) == ["nimbus.large"]
        with pytest.raises(StoreDamaged, match="does not let this user"):
            put(store, make_offer(price=3.0), days=1)
        assert names(store) == ["nimbus.large"]
        store.close()
        command(url, "DROP OWNED BY reader")
        command(url, "DROP ROLE reader")


def test_a_table_that_is_gone_is_named(server: str) -> None:
    with database(server, "broken") as url:
        store = open_store(url, NoList(), create=True)
        command(url, "DROP TABLE price_parts")
        with pytest.raises(StoreDamaged, match="is no price store"):
            store.parts("nimbus")
        assert names(store) == []
        store.close()


@pytest.mark.parametrize("limit", ["statement_timeout", "idle_in_transaction_session_timeout"])
def test_a_limit_of_the_server_is_busy(server: str, limit: str) -> None:
    with database(server, f"slow_{limit[:4]}") as url:
        open_store(url, NoList(), create=True).close()
        store = open_store(f"{url}&options=-c%20{limit}%3D20ms", NoList(), create=True)

        def slow() -> None:
            with store.reading() as session:
                session.rows("SELECT 1")
                if limit.startswith("idle"):
                    time.sleep(0.1)
                session.rows("SELECT pg_sleep(0.1)")

        with pytest.raises(StoreBusy, match="out of reach"):
            slow()
        store.close()


def test_a_connection_that_is_cut_within_a_write_leaves_nothing(server: str) -> None:
    with database(server, "cut") as url:
        store = open_store(url, NoList(), create=True)
        put(store, make_offer())

        def cut() -> None:
            batch = make_batch(make_offer(price=3.0), at=NIGHT + DAY)
            with store.writing() as session:
                publish(session, Judged(batch=batch, published=batch.offers), origin="refresh", stored_at=NIGHT)
                command(server, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'cut'")
                session.rows("SELECT 1")

        with pytest.raises(StoreBusy, match="out of reach"):
            cut()
        store.close()
        store = open_store(url, NoList(), create=False)
        assert [offer.observed_at for offer in store.live_offers()] == [NIGHT]
        store.close()


@pytest.mark.parametrize("url", ["postgresql://u:hush-hush@[::1/x", "postgresql://u:hush%zz@none.invalid/x"])
def test_a_url_that_is_none_is_named_without_its_password(url: str) -> None:
    with pytest.raises((StoreBusy, StoreDamaged)) as caught:
        open_store(url, NoList(), create=True)
    assert "hush" not in str(caught.value)


def test_a_sample_of_what_is_no_text_is_kept(server: str) -> None:
    failed = SourceState(
        provider="nimbus", attempt_at=NIGHT, succeeded=False, duration_ms=1, outcome="failed", sample="PK\0\ud800"
    )
    with database(server, "sample") as url:
        store = open_store(url, NoList(), create=True)
        with store.writing() as session:
            note_source(session, failed)
        assert store.sources()["nimbus"].sample == "PK\N{REPLACEMENT CHARACTER}?"
        store.close()
