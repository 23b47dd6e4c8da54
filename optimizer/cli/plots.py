"""The option `--plot FILE.svg` of the commands that draw one chart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from providers.errors import JobError

from .options import OUTPUT
from .output import tell

Plot = Annotated[
    str | None,
    typer.Option(
        "--plot",
        metavar="FILE.svg",
        help="draw the chart in this SVG file too",
        rich_help_panel=OUTPUT,
        show_default=False,
    ),
]


def check_plot(plot: str | None) -> None:
    """Raise JobError for a file that is not called an SVG file, or cannot be written: before anything is worked out."""
    if plot is None:
        return
    if not plot.lower().endswith(".svg"):
        raise JobError(where="command line", key="plot", value=plot, allowed="the name of an SVG file")
    from optimizer.app.writing import check_writable

    check_writable(plot, key="plot")


def write_plot(plot: str | None, draw: Callable[[], str]) -> None:
    """Write the chart to its file, whole or not at all, and say so on stderr; nothing without a file."""
    if plot is None:
        return
    from optimizer.app.writing import write_file

    write_file(Path(plot), draw(), key="plot")
    tell(f"wrote {plot}")
