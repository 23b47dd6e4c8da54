"""Where results go: text or JSON on stdout, a file when asked for, talk on stderr."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from optimizer.report.style import Style

from .errors import silence_stdout


def choose_style(piped_width: int = 80) -> Style:
    """Return how to draw on this stdout: its width, its characters, colours on a terminal unless NO_COLOR is set.

    Without a terminal the width is COLUMNS, otherwise `piped_width`.
    """
    terminal = sys.stdout.isatty()
    colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Style(width=shutil.get_terminal_size((piped_width, 24)).columns, unicode=_shows_unicode(), colour=colour)


def _shows_unicode() -> bool:
    try:
        "█░─·×–…".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def deliver(
    *,
    text: Callable[[Style], str],
    document: Callable[[], str],
    as_json: bool,
    output: str | None,
    piped_width: int = 80,
) -> None:
    """Write a result: with `output` its JSON goes to that file, and stdout keeps the text unless `as_json`.

    The file is written first, so that a failure leaves nothing behind, on stdout neither.
    """
    if output is not None:
        from optimizer.app.writing import write_file

        write_file(Path(output), document())
        tell(f"wrote {output}")
    if not as_json:
        write(text(choose_style(piped_width)))
    elif output is None:
        write(document())


def write(text: str) -> None:
    """Write `text` to stdout. A reader that has seen enough (`| head`) is no failure: the rest is dropped."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        silence_stdout()


def tell(message: str) -> None:
    """Write one line of talk to stderr."""
    sys.stderr.write(f"tunefare: {message}\n")
