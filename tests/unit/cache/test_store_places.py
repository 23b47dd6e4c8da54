"""Where a store may lie: odd paths, URLs of other kinds, places where nothing can be written."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

import pytest

from cache.database import sqlite_path
from cache.errors import StoreDamaged
from cache.gate import Judged
from cache.publishing import publish
from cache.sql_store import SqlStore, open_store
from cache.sqlite import SqliteDatabase, _copy_in_memory
from providers.errors import JobError
from tests.fixtures.offers import NIGHT, NoList, make_batch, make_offer

if TYPE_CHECKING:
    from pathlib import Path


def filled(url: str, *names: str) -> SqlStore:
    store = open_store(url, NoList(), create=True)
    batch = make_batch(*(make_offer(name) for name in names or ("nimbus.large",)))
    with store.writing() as session:
        publish(session, Judged(batch=batch, published=batch.offers), origin="refresh", stored_at=NIGHT)
    return store


@pytest.mark.parametrize("name", ["a b.sqlite3", "a%20b.s", "wh?at#x&mode=memory.s", "sub dir/x.s", "ü漢.s"])
def test_a_name_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    filled(name).close()
    assert (tmp_path / name).is_file()
    store = open_store(f"sqlite:///{name}", NoList(), create=False)
    assert len(store.live_offers()) == 1
    store.close()


@pytest.mark.parametrize("url", ["mysql://u:hush@h/db", "postgresql+psycopg://u:hush@h/db", "sqlite://x.s"])
def test_another_kind_of_database_is_no_file_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(JobError, match="TUNEFARE_CACHE_URL") as caught:
        open_store(url, NoList(), create=True)
    assert "hush" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(JobError):
        sqlite_path(url)


def unwritable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let SQLite find that it can make no file beside the database, as on a read-only mount."""

    def refused(path: Path, *, create: bool, keeping: object) -> sqlite3.Connection:
        connection = sqlite3.connect(f"{(path / 'no folder').as_uri()}?mode=rw", uri=True)
        connection.execute("PRAGMA journal_mode = WAL")
        return connection

    monkeypatch.setattr("cache.sqlite._connect", refused)


def test_a_store_on_a_read_only_mount_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "prices.sqlite3"
    filled(str(path), "a", "b").close()
    unwritable(monkeypatch)
    store = open_store(str(path), NoList(), create=False)
    assert [one.instance_type for one in store.live_offers()] == ["a", "b"]
    with pytest.raises(StoreDamaged, match="readonly"), store.writing() as session:
        session.run("DELETE FROM price_history")
    store.close()
    with pytest.raises(StoreDamaged, match="cannot be used"):
        open_store(str(path), NoList(), create=True)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user whom permissions bind")
def test_a_store_in_a_folder_of_somebody_else_is_read(tmp_path: Path) -> None:
    path = tmp_path / "prices.sqlite3"
    filled(str(path)).close()
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        store = open_store(str(path), NoList(), create=False)
        assert len(store.live_offers()) == 1
        store.close()
    finally:
        tmp_path.chmod(0o755)


def test_what_somebody_writes_at_the_moment_is_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "prices.sqlite3"
    store = filled(str(path))
    assert _copy_in_memory(path) is None  # its log is not in the file yet
    store.close()
    copy = _copy_in_memory(path)
    assert copy is not None
    copy.close()
    assert _copy_in_memory(tmp_path / "absent") is None
    (tmp_path / "text").write_text("no database")
    assert _copy_in_memory(tmp_path / "text") is None


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    store = filled(str(tmp_path / "prices.sqlite3"))
    assert isinstance(store.database, SqliteDatabase)
    store.database._connection.execute("PRAGMA max_page_count = 40")
    later = make_batch(*(make_offer(f"n{number}" * 20) for number in range(2000)))
    with pytest.raises(StoreDamaged, match="full"), store.writing() as session:
        publish(session, Judged(batch=later, published=later.offers), origin="refresh", stored_at=NIGHT)
    assert [one.instance_type for one in store.live_offers()] == ["nimbus.large"]
    store.close()
