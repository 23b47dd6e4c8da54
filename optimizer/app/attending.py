"""What goes with a refresh and must not depend on how it ends: its log, its metrics, the ping of whoever watches it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from providers.errors import Interrupted, JobError, TunefareError

from .gpu_table import load_gpu_table
from .metrics_file import read_figures, write_metrics
from .pinging import check_ping_url, ping
from .price_store import reading_store
from .refresh_log import RefreshLog
from .writing import check_writable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from .interruption import Interruption
    from .metrics_file import SourceFigures
    from .settings import Settings

BUG, STOPPED = 1, 130
NOTHING_STORED = "interrupted: nothing was stored"
STORED = "interrupted: the prices are stored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Duties:
    """What is asked for beside the refresh itself; None is "not that". A dry run writes no metrics and pings nobody."""

    metrics_textfile: str | None = None
    ping_url: str | None = None
    log_file: str | None = None
    dry_run: bool = False


class Attendance:
    """The duties of one refresh: checked before it starts, done however it ends."""

    def __init__(
        self,
        duties: Duties,
        *,
        settings: Settings,
        clock: Callable[[], datetime],
        interruption: Interruption,
        tell: Callable[[str], None],
    ) -> None:
        """`tell` takes a line for stderr. Raises JobError for a file or an address that cannot be used."""
        stated = duties.ping_url
        if stated is not None:
            check_ping_url(stated, where="command line", key="ping_url")
        self._duties = replace(duties, ping_url=stated or settings.ping_url)
        if duties.metrics_textfile is not None:
            check_writable(duties.metrics_textfile, key="metrics_textfile")
        self._settings = settings
        self._interruption = interruption
        self._tell = tell
        self.log = RefreshLog(duties.log_file, clock)

    @contextmanager
    def around(self) -> Iterator[Ending]:
        """Surround a refresh, which states its exit code in what is yielded; an error states its own.

        A KeyboardInterrupt becomes Interrupted, which says whether prices were stored.
        """
        ending = Ending()
        self.log.event("refresh_started", dry_run=self._duties.dry_run)
        try:
            yield ending
        except KeyboardInterrupt:
            ending.fails(STOPPED, STORED if self._interruption.stored else NOTHING_STORED)
            raise Interrupted(ending.error) from None
        except TunefareError as err:
            ending.fails(err.exit_code, str(err))
            raise
        except BaseException as err:
            ending.fails(BUG, type(err).__name__)
            raise
        finally:
            self._finish(ending)

    def _finish(self, ending: Ending) -> None:
        with self._interruption.holding():
            self._write(ending)
        if self._duties.ping_url is not None and not self._duties.dry_run:
            problem = ping(self._duties.ping_url, fine=ending.code == 0)
            if problem:
                self._tell(problem)

    def _write(self, ending: Ending) -> None:
        """End the log and write the metrics: files of which nothing may be missing."""
        level = "info" if ending.code == 0 else "error"
        self.log.event("refresh_finished", level=level, exit_code=ending.code, error=ending.error)
        self.log.close()
        if self.log.problem:
            self._tell(self.log.problem)
        if self._duties.metrics_textfile is None or self._duties.dry_run:
            return
        try:
            write_metrics(Path(self._duties.metrics_textfile), self._figures(), exit_code=ending.code)
        except JobError as err:
            self._tell(f"the metrics are lost: {err}")

    def _figures(self) -> list[SourceFigures]:
        """Return what the store knows of the sources; nothing where it is out of reach."""
        from cache.sql_store import SqlStore

        try:
            store = reading_store(self._settings, load_gpu_table())
        except TunefareError:
            return []
        if not isinstance(store, SqlStore):
            return []
        try:
            return read_figures(store)
        except TunefareError:
            return []
        finally:
            store.close()


class Ending:
    """How a refresh ended: a bug, until somebody says otherwise."""

    def __init__(self) -> None:
        """`code` is the exit code of the process, `error` what went wrong, without secrets."""
        self.code = BUG
        self.error = ""

    def fails(self, code: int, error: str) -> None:
        """Note an error."""
        self.code, self.error = code, error
