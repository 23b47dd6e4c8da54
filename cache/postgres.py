"""PostgreSQL as a `Database`: the store that a team shares. Needs the extra `postgres` (psycopg 3)."""

from __future__ import annotations

import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .database import PRICES
from .errors import StoreBusy, StoreDamaged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import LiteralString

    import psycopg

    from .database import Keeping, Row, Session, Value

CONNECT_S = 10


class _PostgresSession:
    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self._connection = connection

    def rows(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        return self._connection.execute(_translated(sql), values).fetchall()

    def run(self, sql: str, values: Sequence[Value] = ()) -> int:
        return self._connection.execute(_translated(sql), values or None).rowcount

    def run_many(self, sql: str, values: Iterable[Sequence[Value]]) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(_translated(sql), values)


class PostgresDatabase:
    """A PostgreSQL database: one connection, used by one thread at a time."""

    dialect = "postgresql"

    def __init__(self, url: str, *, keeping: Keeping = PRICES) -> None:
        """Raises StoreBusy where the server does not answer, StoreDamaged where psycopg is missing."""
        self.keeping = keeping
        # The advisory lock that one writer holds at a time; readers need none.
        self._writers = zlib.crc32(keeping.writers.encode())
        try:
            parts = urlsplit(url)
        except ValueError as err:  # the URL may hold a password
            raise StoreDamaged(f"{keeping.variable} is no URL ({err}): postgresql://USER@HOST/NAME is one") from err
        self.place = f"postgresql://{parts.hostname or ''}{parts.path}"
        self._url = url
        self._connection = self._connect()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Return a session on one consistent state."""
        with self._transaction("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") as session:
            yield session

    @contextmanager
    def writing(self, *, keep: bool = True) -> Iterator[Session]:
        """Return the only writing session."""
        with self._transaction("BEGIN", end="COMMIT" if keep else "ROLLBACK") as session:
            session.run(f"SET LOCAL lock_timeout = {int(self.keeping.busy_s * 1000)}")
            if self.keeping.durable:
                session.run("SET LOCAL synchronous_commit = on")
            session.rows("SELECT pg_advisory_xact_lock(?)", (self._writers,))
            yield session

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold an advisory lock, on a connection of its own: it ends with the process, however that ends."""
        connection = self._connect()
        try:
            number = zlib.crc32(f"tunefare {name}".encode())
            held = connection.execute("SELECT pg_try_advisory_lock(%s)", (number,)).fetchone()
            if not held or not held[0]:
                raise StoreBusy(f"another process refreshes the prices in {self.place}: try again when it is done")
            yield
        finally:
            connection.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _connect(self) -> psycopg.Connection[Row]:
        try:
            import psycopg
        except ImportError as err:
            raise StoreDamaged("PostgreSQL needs psycopg: pip install 'tunefare[postgres]'") from err
        try:
            # Said, because a database of no encoding (SQL_ASCII) would answer with bytes.
            return psycopg.connect(self._url, autocommit=True, connect_timeout=CONNECT_S, client_encoding="utf8")
        except psycopg.Error as err:
            reason = " ".join(str(err).split())[:200]
            password = urlsplit(self._url).password
            if password:
                reason = reason.replace(password, "[secret]")
            raise StoreBusy(f"{self.place} cannot be reached ({reason})") from err

    @contextmanager
    def _transaction(self, begin: LiteralString, *, end: LiteralString = "COMMIT") -> Iterator[Session]:
        import psycopg

        try:
            self._connection.execute(begin)
            try:
                yield _PostgresSession(self._connection)
            except BaseException:
                if not self._connection.closed:
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute(end)
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction) as err:
            raise StoreDamaged(f"{self.place} does not let this user do that ({err.diag.message_primary})") from err
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as err:
            reason = err.diag.message_primary
            raise StoreDamaged(
                f"{self.place} is no {self.keeping.noun} ({reason}): name another with {self.keeping.variable}"
            ) from err
        except (psycopg.OperationalError, psycopg.errors.IdleInTransactionSessionTimeout) as err:
            raise StoreBusy(f"{self.place} is out of reach ({' '.join(str(err).split())[:200]}): try again") from err


def _translated(sql: str) -> LiteralString:
    """Return the statement with psycopg's parameters. All statements are constants of this package."""
    return sql.replace("%", "%%").replace("?", "%s")
