"""The log of refreshes: one JSON object a line, appended, without secrets. For people and for programs that watch."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from optimizer.report.json_text import moment
from optimizer.report.refresh_answers import GOOD_OUTCOMES
from providers.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from optimizer.report.refresh_answers import RefreshAnswer, RefreshedSource

STDERR = "-"


class RefreshLog:
    """Writes what happens, line by line, each whole. Is a `Watcher` of the sources; `close` gives the file back.

    A line that cannot be written is lost, and `problem` says why: a full disk does not stop a refresh.
    """

    def __init__(self, path: str | None, clock: Callable[[], datetime]) -> None:
        """`path` is a file, "-" for stderr, None for nothing. Raises JobError for one that cannot be written."""
        self.problem = ""
        self._clock = clock
        self._guard = threading.Lock()
        self._handle: int | None = None
        self._to_stderr = path == STDERR
        if path is not None and path != STDERR:
            try:
                self._handle = os.open(Path(path).expanduser(), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            except OSError as err:
                allowed = f"cannot be written ({err.strerror}): a file in a directory that exists, or - for stderr"
                raise JobError(where="command line", key="log_file", value=path, allowed=allowed) from err

    def close(self) -> None:
        """Give the file back."""
        with self._guard:
            if self._handle is not None:
                os.close(self._handle)
                self._handle = None

    def event(self, name: str, *, level: str = "info", **fields: object) -> None:
        """Append one event; fields without a value are left out."""
        line: dict[str, object] = {"ts": moment(self._clock()), "level": level, "event": name}
        line |= {key: value for key, value in fields.items() if value not in (None, "")}
        text = json.dumps(line) + "\n"
        with self._guard:
            try:
                if self._handle is not None:
                    # One write: lines of two processes do not mix.
                    os.write(self._handle, text.encode("ascii"))
                elif self._to_stderr:
                    sys.stderr.write(text)
                    sys.stderr.flush()
            except (OSError, ValueError) as err:
                self.problem = self.problem or f"the log cannot be written ({err})"

    def started(self, provider: str, parts: int) -> None:
        """Note that a source was split into parts."""
        self.event("source_started", provider=provider, parts=parts)

    def progress(self, provider: str, line: str) -> None:
        """Note nothing: pages are for whoever looks on."""

    def part_done(self, provider: str, part: str, error: str) -> None:
        """Note that a part is there, or why not."""
        if error:
            self.event("part_failed", level="error", provider=provider, part=part, error=error)
        else:
            self.event("part_done", provider=provider, part=part)

    def finished(self, provider: str, error: str) -> None:
        """Note that a source was asked for everything."""
        self.event("source_fetched", level="warning" if error else "info", provider=provider, error=error)

    def settled(self, answer: RefreshAnswer) -> None:
        """Note what was published of each source, and what was not."""
        for source in answer.sources:
            for refused in source.refused:
                self.event(
                    "batch_refused",
                    level="error",
                    provider=source.provider,
                    region=refused.region,
                    pricing_model=refused.pricing_model,
                    reason=refused.reason,
                    error=refused.detail,
                )
            self.event(
                "source_settled",
                level=_level(source),
                provider=source.provider,
                outcome=source.outcome,
                dry_run=answer.dry_run,
                counts=_counts(source),
                duration_ms=source.duration_ms,
                error=next(iter(source.errors), ""),
            )


def _level(source: RefreshedSource) -> str:
    if source.outcome in {"failed", "partial"}:
        return "error"
    noteworthy = source.quarantined or source.unknown_gpus or source.outcome not in GOOD_OUTCOMES
    return "warning" if noteworthy else "info"


def _counts(source: RefreshedSource) -> dict[str, object]:
    return {
        "scopes": source.scopes,
        "offers": source.offers,
        "new": source.added,
        "changed": source.changed,
        "gone": source.gone,
        "quarantined": source.quarantined,
        "released": source.released,
        "dropped": dict(source.dropped),
        "unknown_gpus": sum(source.unknown_gpus.values()),
    }
