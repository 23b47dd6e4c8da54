"""How a refresh goes, on stderr: a bar for each source on a terminal, a line for each part elsewhere."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from providers.errors import one_line

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LONGEST_LINE = 30
"""Characters of what a source says of itself beside its bar."""


class Lines:
    """One line a part: "aws: us-east-1 spot done (3 of 12)"."""

    def __init__(self, stream: TextIO) -> None:
        """`stream` takes the lines."""
        self._stream = stream
        self._parts: Counter[str] = Counter()
        self._done: Counter[str] = Counter()

    def started(self, provider: str, parts: int) -> None:
        """Remember how many parts there are."""
        self._parts[provider] = parts

    def progress(self, provider: str, line: str) -> None:
        """Say nothing: a line a part is enough."""

    def part_done(self, provider: str, part: str, error: str) -> None:
        """Say that a part is there, or why not."""
        self._done[provider] += 1
        count = f"({self._done[provider]} of {self._parts[provider]})"
        self._say(f"{provider}: {part} failed {count}: {error}" if error else f"{provider}: {part} done {count}")

    def finished(self, provider: str, error: str) -> None:
        """Say why a source could not be asked at all; the rest has been said part by part."""
        if error and not self._parts[provider]:
            self._say(error)

    def _say(self, line: str) -> None:
        self._stream.write(one_line(line) + "\n")
        self._stream.flush()


class Bars:
    """One bar a source, gone at the end."""

    def __init__(self, shown: Progress) -> None:
        """`shown` is running, and has the field `said`."""
        self._shown = shown
        self._tasks: dict[str, TaskID] = {}

    def started(self, provider: str, parts: int) -> None:
        """Show a source."""
        self._tasks[provider] = self._shown.add_task(provider, total=parts, said="")

    def progress(self, provider: str, line: str) -> None:
        """Show the last line of a source."""
        if provider in self._tasks:
            self._shown.update(self._tasks[provider], said=one_line(line)[:LONGEST_LINE])

    def part_done(self, provider: str, part: str, error: str) -> None:
        """Move the bar of a source."""
        if provider in self._tasks:
            said = f"{part} failed" if error else part
            self._shown.update(self._tasks[provider], advance=1, said=one_line(said)[:LONGEST_LINE])

    def finished(self, provider: str, error: str) -> None:
        """Say that a source is done."""
        if provider in self._tasks:
            self._shown.update(self._tasks[provider], said="failed" if error else "done")


@contextmanager
def showing(*, quiet: bool) -> Iterator[tuple[Lines | Bars, ...]]:
    """Yield who is to be told how it goes: nobody when `quiet`, bars on a terminal that can draw them, else lines."""
    if quiet:
        yield ()
        return
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield (Lines(sys.stderr),)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[said]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        yield (Bars(shown),)
