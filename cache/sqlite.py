"""SQLite as a `Database`: the store of one machine."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .database import PRICES, file_lock
from .errors import StoreBusy, StoreDamaged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from .database import Keeping, Row, Session, Value

OLDEST_SQLITE = (3, 24, 0)
"""With `ON CONFLICT DO UPDATE`."""


class _SqliteSession:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        return self._connection.execute(sql, values).fetchall()

    def run(self, sql: str, values: Sequence[Value] = ()) -> int:
        return self._connection.execute(sql, values).rowcount

    def run_many(self, sql: str, values: Iterable[Sequence[Value]]) -> None:
        self._connection.executemany(sql, values)


class SqliteDatabase:
    """A SQLite file in WAL mode: readers see the last commit while another process writes."""

    dialect = "sqlite"

    def __init__(self, path: Path, *, create: bool, keeping: Keeping = PRICES) -> None:
        """Raises StoreDamaged where the file is missing (without `create`), is no database, or cannot be written."""
        self.path = path
        self.keeping = keeping
        self.place = str(path)
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise StoreDamaged(f"SQLite {sqlite3.sqlite_version} is too old: 3.24 or newer is needed")
        try:
            self._connection = _connect(path, create=create, keeping=keeping)
        except sqlite3.OperationalError as err:
            unwritable = err.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
            copy = _copy_in_memory(path) if unwritable and not create else None
            if copy is None:
                raise self._named(err) from err
            self._connection = copy
        except (sqlite3.Error, OSError) as err:
            raise self._named(err) from err

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Return a session on one consistent state."""
        with self._transaction("BEGIN") as session:
            yield session

    @contextmanager
    def writing(self, *, keep: bool = True) -> Iterator[Session]:
        """Return the only writing session."""
        with self._transaction("BEGIN IMMEDIATE", end="COMMIT" if keep else "ROLLBACK") as session:
            yield session

    def lock(self, name: str) -> AbstractContextManager[None]:
        """Hold the lock file beside the database."""
        return file_lock(self.path.with_name(f"{self.path.name}.{name}.lock"))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def _transaction(self, begin: str, *, end: str = "COMMIT") -> Iterator[Session]:
        try:
            self._connection.execute(begin)
            try:
                yield _SqliteSession(self._connection)
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute(end)
        except sqlite3.IntegrityError:
            raise  # a bug of ours
        except (sqlite3.OperationalError, sqlite3.DatabaseError) as err:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise self._named(err) from err

    def _named(self, err: Exception) -> StoreBusy | StoreDamaged:
        if isinstance(err, sqlite3.OperationalError) and ("locked" in str(err) or "busy" in str(err)):
            return StoreBusy(f"{self.place} is locked by another process: try again")
        if isinstance(err, sqlite3.DatabaseError) and ("not a database" in str(err) or "malformed" in str(err)):
            return StoreDamaged(f"{self.place} is no {self.keeping.noun} ({err}): {self.keeping.when_damaged}")
        reason = getattr(err, "strerror", None) or str(err)
        noun = "store" if self.keeping is PRICES else self.keeping.noun
        return StoreDamaged(f"{self.place} cannot be used ({reason}): name another {noun} with {self.keeping.variable}")


def _connect(path: Path, *, create: bool, keeping: Keeping) -> sqlite3.Connection:
    if create:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700 if keeping.private else 0o777)
        if keeping.private:
            # SQLite gives its log the permissions of the file: they are right before anything is in it.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode={'rwc' if create else 'rw'}",
        uri=True,
        timeout=keeping.busy_s,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # NORMAL is safe against a killed process; the loss of power may cost the newest prices, and damages nothing.
        connection.execute(f"PRAGMA synchronous = {'FULL' if keeping.durable else 'NORMAL'}")
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _copy_in_memory(path: Path) -> sqlite3.Connection | None:
    """Return a copy of a database that lies where nothing can be written; None while somebody writes it.

    SQLite needs a file beside a database in WAL mode even to read it. Without a log the file is whole by itself.
    """
    log = path.with_name(f"{path.name}-wal")
    try:
        before = path.stat()
        data = path.read_bytes()
        after = path.stat()
        if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
            return None
        if log.exists() and log.stat().st_size:
            return None
    except OSError:
        return None
    if not data.startswith(b"SQLite format 3\0"):
        return None
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    # The two bytes that say "WAL": there is none in memory.
    connection.deserialize(data[:18] + b"\1\1" + data[20:])
    connection.execute("PRAGMA query_only = ON")
    return connection
