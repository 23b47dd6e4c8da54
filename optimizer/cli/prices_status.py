"""`tunefare prices status`: what is known of prices, and how old it is."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import OUTPUT, Json, Output
from .output import deliver

WHAT = "What to show"


def status(
    *,
    provider: Annotated[
        list[str] | None,
        typer.Option(
            "--provider", metavar="NAME", help="this provider; repeat", rich_help_panel=WHAT, show_default=False
        ),
    ] = None,
    scopes: Annotated[
        bool,
        typer.Option(
            "--scopes", help="a line for each region, not the oldest alone", rich_help_panel=WHAT, show_default=False
        ),
    ] = False,
    now: Annotated[
        str | None,
        typer.Option(
            "--now", metavar="TIME", help="ages as of this moment", rich_help_panel=OUTPUT, show_default=False
        ),
    ] = None,
    as_json: Json = False,
    output: Output = None,
) -> int:
    """What is known of prices: how old, how many, what failed, what is not configured.

    Old prices are no failure: the exit code is 0.
    """
    from optimizer.app.price_status import price_status
    from optimizer.report.json_status import status_text
    from optimizer.report.text_status import format_status

    answer = price_status(tuple(provider or ()), now=now)
    deliver(
        text=lambda style: format_status(answer, style, every_scope=scopes),
        document=lambda: status_text(answer),
        as_json=as_json,
        output=output,
    )
    return 0
