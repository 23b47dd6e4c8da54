"""Which price store is in force, and how it is opened: the database where there is one, otherwise the bundled list."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cache.store import BundledStore
from providers.errors import PricesUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cache.sql_store import SqlStore
    from cache.store import PriceStore
    from providers.gpus import GpuTable

    from .settings import Settings

FILE_NAME = "prices.sqlite3"


def store_url(settings: Settings, environment: Mapping[str, str] | None = None) -> str:
    """Return where the live prices are: as configured, else `$XDG_CACHE_HOME/tunefare/prices.sqlite3`."""
    if settings.cache_url:
        return settings.cache_url
    variables = os.environ if environment is None else environment
    stated = variables.get("XDG_CACHE_HOME", "")
    # The XDG specification says that a relative path is to be ignored.
    base = Path(stated) if stated and Path(stated).is_absolute() else Path.home() / ".cache"
    return str(base / "tunefare" / FILE_NAME)


def reading_store(settings: Settings, gpus: GpuTable) -> PriceStore:
    """Return the store that a plan reads: the bundled list alone where nothing was ever refreshed.

    Raises StoreBusy (exit 10) where a configured database does not answer, StoreDamaged (exit 9) for a damaged one,
    PricesUnavailable (exit 9) for a place that cannot hold one: never another price list in its place.
    """
    from cache.database import sqlite_path

    url = store_url(settings)
    bundled = BundledStore(gpus)
    if not _exists(url):
        if settings.cache_url and "://" not in settings.cache_url and not Path(url).expanduser().parent.is_dir():
            raise PricesUnavailable(
                f"no price store at {url}: its directory does not exist (TUNEFARE_CACHE_URL); "
                "tunefare prices refresh makes it"
            )
        if sqlite_path(url).exists():
            raise PricesUnavailable(
                f"no price store at {url}: that is no file; name one in TUNEFARE_CACHE_URL, such as .../{FILE_NAME}"
            )
        return bundled
    from cache.sql_store import open_store

    return open_store(url, bundled, create=False)


def writing_store(settings: Settings, gpus: GpuTable) -> SqlStore:
    """Return the database that a refresh or an import writes, made if missing. Raises StoreBusy, StoreDamaged."""
    from cache.sql_store import open_store

    return open_store(store_url(settings), BundledStore(gpus), create=True)


def database_store(settings: Settings, gpus: GpuTable) -> SqlStore:
    """Return the database, which must exist. Raises PricesUnavailable (exit 9) where nothing was ever refreshed."""
    url = store_url(settings)
    if not _exists(url):
        raise PricesUnavailable(f"no live prices yet: there is no {url}; run tunefare prices refresh")
    return writing_store(settings, gpus)


@contextmanager
def opened(settings: Settings, gpus: GpuTable, given: PriceStore | None = None) -> Iterator[PriceStore]:
    """Yield `given` (left open), or the store that a plan reads, closed at the end. Raises as `reading_store` does."""
    store = reading_store(settings, gpus) if given is None else given
    close = getattr(store, "close", None)
    try:
        yield store
    finally:
        if given is None and close is not None:
            close()


@contextmanager
def publishing_store(settings: Settings, gpus: GpuTable, *, dry_run: bool) -> Iterator[SqlStore]:
    """Yield the store to publish in, closed at the end. A dry run where there is none leaves no file behind."""
    from cache.sql_store import open_store

    with ExitStack() as stack:
        if dry_run and not _exists(store_url(settings)):
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="tunefare-"))
            store = open_store(str(Path(folder) / FILE_NAME), BundledStore(gpus), create=True)
        else:
            store = writing_store(settings, gpus)
        stack.callback(store.close)
        yield store


def _exists(url: str) -> bool:
    from cache.database import is_postgres, sqlite_path

    return is_postgres(url) or sqlite_path(url).is_file()
