"""Flags that the commands on the ledger share."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import OUTPUT

Now = Annotated[
    str | None,
    typer.Option("--now", metavar="TIME", help="as of this moment", rich_help_panel=OUTPUT, show_default=False),
]
Note = Annotated[
    str,
    typer.Option("--note", metavar="TEXT", help="why, for the record", rich_help_panel=OUTPUT, show_default=False),
]
RequestId = Annotated[str, typer.Argument(metavar="REQUEST", help="id of a request (tunefare ledger list)")]
