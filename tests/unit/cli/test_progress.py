"""How a refresh goes: lines elsewhere, bars on a terminal, nothing when quiet."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress

from optimizer.cli.progress import Bars, Lines, showing

if TYPE_CHECKING:
    import pytest


def tell(watcher: Lines | Bars) -> None:
    watcher.started("aws", 2)
    watcher.progress("aws", "page 3")
    watcher.part_done("aws", "us-east-1 spot", "")
    watcher.part_done("aws", "eu-west-1 \x1b[31mspot", "aws: HTTP 500")
    watcher.finished("aws", "aws: HTTP 500")
    watcher.progress("gcp", "before it has parts")
    watcher.part_done("oci", "never started", "")
    watcher.finished("gcp", "gcp: set GCP_KEY")


def test_lines_are_one_a_part() -> None:
    stream = io.StringIO()
    tell(Lines(stream))
    assert stream.getvalue().splitlines() == [
        "aws: us-east-1 spot done (1 of 2)",
        "aws: eu-west-1 [31mspot failed (2 of 2): aws: HTTP 500",
        "oci: never started done (1 of 0)",
        "gcp: set GCP_KEY",
    ]


def test_bars_stand_at_what_is_done() -> None:
    with Progress(console=Console(file=io.StringIO(), force_terminal=True), auto_refresh=False) as shown:
        bars = Bars(shown)
        bars.started("aws", 2)
        bars.progress("aws", "page 3 " * 20)
        (task,) = shown.tasks
        assert (task.description, task.completed, task.total) == ("aws", 0, 2)
        assert task.fields["said"] == ("page 3 " * 20)[:30]
        bars.part_done("aws", "north", "")
        assert (task.completed, task.fields["said"]) == (1, "north")
        bars.part_done("aws", "south", "down")
        assert (task.completed, task.fields["said"]) == (2, "south failed")
        bars.finished("aws", "")
        assert task.fields["said"] == "done"
        tell(bars)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_who_is_told_depends_on_where_it_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with showing(quiet=True) as watchers:
        assert watchers == ()
    with showing(quiet=False) as watchers:
        assert [type(one) for one in watchers] == [Lines]
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "dumb")
    with showing(quiet=False) as watchers:
        assert [type(one) for one in watchers] == [Lines]
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with showing(quiet=False) as (bars,):
        assert type(bars) is Bars
        bars.started("a[b]c", 3)
        bars.part_done("a[b]c", "[bold]north", "")
    # What a source says of itself is no markup.
    assert "a[b]c" in terminal.getvalue()
    assert "[bold]north" in terminal.getvalue()
