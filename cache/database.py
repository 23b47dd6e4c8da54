"""Connects to SQLite or PostgreSQL, and brings the schema up to date. SQL is written once, for both.

A URL is `postgresql://...`, or the path of a SQLite file (`sqlite:///path` too). Statements use `?` for parameters.
A read sees one consistent state of the database from its first statement to its last; a write holds everybody else's
writes off until it is committed whole, or not at all.

Migrations are numbered SQL files, forward only, each applied in a transaction of its own. `room` names a set of them:
other records may live in the same database under a schema history of their own.
"""

from __future__ import annotations

import os
import re
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from providers.errors import JobError

from .errors import StoreBusy, StoreDamaged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

ONLY = re.compile(r"\s*/\*only (\w+)\*/\s*")
"""Begins a statement of a migration that one dialect alone takes."""

Value: TypeAlias = "int | float | str | None"
Row: TypeAlias = "tuple[Any, ...]"

POSTGRES_SCHEMES = ("postgresql://", "postgres://")
BUSY_S = 15.0
"""How long to wait for another process's write before giving up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """How a database is kept, and what messages call it; the defaults are the price store's.

    `durable`: what is committed outlives a loss of power. `private`: a SQLite file is made for its owner alone, in a
    directory of his own. `writers` names the lock that PostgreSQL's writers take turns by.
    """

    noun: str = "price store"
    variable: str = "TUNEFARE_CACHE_URL"
    when_damaged: str = "delete it, prices can be fetched again"
    writers: str = "tunefare writers"
    busy_s: float = BUSY_S
    durable: bool = False
    private: bool = False


PRICES = Keeping()


class Session(Protocol):
    """Runs statements within one transaction."""

    def rows(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        """Return all rows of a query."""
        ...

    def run(self, sql: str, values: Sequence[Value] = ()) -> int:
        """Run a statement and return how many rows it touched."""
        ...

    def run_many(self, sql: str, values: Iterable[Sequence[Value]]) -> None:
        """Run a statement once per row of values."""
        ...


class Database(Protocol):
    """One database. `dialect` is sqlite or postgresql; `place` names it in messages, without a password."""

    dialect: str
    place: str
    keeping: Keeping

    def reading(self) -> AbstractContextManager[Session]:
        """Return a session that sees one consistent state. Raises StoreBusy, StoreDamaged."""
        ...

    def writing(self, *, keep: bool = True) -> AbstractContextManager[Session]:
        """Return the only writing session, committed at the end (undone without `keep`). Raises StoreBusy."""
        ...

    def lock(self, name: str) -> AbstractContextManager[None]:
        """Hold a lock between processes. Raises StoreBusy at once where another one holds it."""
        ...

    def close(self) -> None:
        """Give the connection back."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One step of the schema's history."""

    version: int
    name: str
    statements: tuple[str, ...]


def open_database(url: str, *, create: bool, keeping: Keeping = PRICES) -> Database:
    """Return the database at `url`, its schema untouched. Without `create` a SQLite file must exist.

    Raises StoreBusy where PostgreSQL does not answer, StoreDamaged for a file that is no database or that cannot be
    written, JobError for the URL of another kind of database.
    """
    if url.startswith(POSTGRES_SCHEMES):
        from .postgres import PostgresDatabase

        return PostgresDatabase(url, keeping=keeping)
    from .sqlite import SqliteDatabase

    return SqliteDatabase(sqlite_path(url, variable=keeping.variable), create=create, keeping=keeping)


def is_postgres(url: str) -> bool:
    """Return whether `url` names a PostgreSQL server."""
    return url.startswith(POSTGRES_SCHEMES)


def sqlite_path(url: str, *, variable: str = PRICES.variable) -> Path:
    """Return the file that `url` names. Raises JobError (exit 2) for the URL of another kind of database."""
    path = url.removeprefix("sqlite:///")
    scheme, separator, _ = path.partition("://")
    if separator:  # the rest may hold a password
        raise JobError(
            where="settings", key=variable, value=f"{scheme}://...",
            allowed="postgresql://..., or the path of a SQLite file",
        )  # fmt: skip
    return Path(path).expanduser()


def load_migrations(package: str, folder: str = "migrations", *, dialect: str) -> tuple[Migration, ...]:
    """Return the numbered migrations of a package, in order. Raises ValueError for a gap in the numbers."""
    found = []
    for file in sorted(resources.files(package).joinpath(folder).iterdir(), key=lambda file: file.name):
        number, _, name = file.name.removesuffix(".sql").partition("_")
        if file.name.endswith(".sql"):
            text = file.read_text(encoding="utf-8")
            found.append(Migration(version=int(number), name=name, statements=_statements(text, dialect)))
    if [item.version for item in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"migrations of {package}: the numbers {[item.version for item in found]} have a gap")
    return tuple(found)


def migrate(database: Database, migrations: Sequence[Migration], *, room: str, up_to: int | None = None) -> int:
    """Bring the schema of `room` up to date (or to version `up_to`) and return its version.

    Raises StoreDamaged for a database that a newer version of the program has written.
    """
    newest = migrations[-1].version
    if schema_version(database, room=room) == newest:
        return newest
    with database.writing() as session:
        session.run("CREATE TABLE IF NOT EXISTS tunefare_schema (room TEXT PRIMARY KEY, version INTEGER NOT NULL)")
        session.run("INSERT INTO tunefare_schema (room, version) VALUES (?, 0) ON CONFLICT (room) DO NOTHING", (room,))
    version = 0
    for migration in migrations:
        if up_to is not None and migration.version > up_to:
            break
        with database.writing() as session:
            # Read within the transaction: another process may have been faster.
            version = int(session.rows("SELECT version FROM tunefare_schema WHERE room = ?", (room,))[0][0])
            if version > newest:
                raise StoreDamaged(
                    f"{database.place} was written by a newer version of tunefare (schema {version}, known {newest}): "
                    f"upgrade, or name another {database.keeping.noun} with {database.keeping.variable}"
                )
            if version < migration.version:
                for statement in migration.statements:
                    session.run(statement)
                version = migration.version
                session.run("UPDATE tunefare_schema SET version = ? WHERE room = ?", (version, room))
    return version


def schema_version(database: Database, *, room: str) -> int:
    """Return the version of the schema of `room`; 0 where there is none yet."""
    with database.reading() as session:
        if database.dialect == "sqlite":
            there = session.rows("SELECT 1 FROM sqlite_master WHERE name = 'tunefare_schema'")
        else:
            there = session.rows("SELECT 1 WHERE to_regclass('tunefare_schema') IS NOT NULL")
        if not there:
            return 0
        found = session.rows("SELECT version FROM tunefare_schema WHERE room = ?", (room,))
        return int(found[0][0]) if found else 0


def _statements(text: str, dialect: str) -> tuple[str, ...]:
    """Return the statements of a migration, each up to a semicolon at the end of a line.

    Remarks say what differs: `/*only sqlite*/` before a statement, `/*without rowid*/` and `/*strict*/` behind a table
    of SQLite (a strict one knows INTEGER alone, which holds 64 bits there).
    """
    lines = [line.rstrip() for line in text.splitlines() if not line.lstrip().startswith("--")]
    found = []
    for part in re.split(r";\n", "\n".join(lines) + "\n"):
        statement = part.strip()
        if only := ONLY.match(statement):
            if only[1] != dialect:
                continue
            statement = statement[only.end() :]
        if dialect == "sqlite":
            if "/*strict*/" in statement:
                statement = statement.replace("BIGINT", "INTEGER").replace("/*strict*/", "STRICT")
            statement = statement.replace("/*without rowid*/", "WITHOUT ROWID")
        if statement:
            found.append(statement)
    return tuple(found)


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the lock on `path` (made if missing, never removed: a removed lock file can be held twice).

    Raises StoreBusy at once where another process holds it. The system releases it when the process ends, however.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as err:
        raise StoreDamaged(f"{path}: cannot be written ({err.strerror}): name another with TUNEFARE_CACHE_URL") from err
    try:
        _lock_at_once(handle, path)
        yield
    finally:
        os.close(handle)


def _lock_at_once(handle: int, path: Path) -> None:
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as err:
        raise StoreBusy(f"another process refreshes the prices ({path} is locked): try again when it is done") from err
