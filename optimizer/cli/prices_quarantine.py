"""`tunefare prices quarantine`: the prices that the gate held back, and what becomes of them."""

from __future__ import annotations

from typing import Annotated

import typer

from .grouped_help import GroupedCommand
from .options import OUTPUT, Json, Output, parse_count
from .output import deliver, write

FILTERS = "Filters"

app = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Prices that the gate held back: looks at them, lets them pass or refuses them.",
)

Numbers = Annotated[
    list[int], typer.Argument(metavar="N", help="numbers of `prices quarantine list`", parser=parse_count)
]
Note = Annotated[
    str,
    typer.Option("--note", metavar="TEXT", help="why, for the record", rich_help_panel=OUTPUT, show_default=False),
]
Now = Annotated[
    str | None,
    typer.Option("--now", metavar="TIME", help="as of this moment", rich_help_panel=OUTPUT, show_default=False),
]


@app.callback()
def quarantine(context: typer.Context) -> None:
    """Prices that the gate held back: looks at them, lets them pass or refuses them."""
    if context.invoked_subcommand is None:
        write(context.get_help() + "\n")


@app.command("list", cls=GroupedCommand)
def list_(
    *,
    provider: Annotated[
        str | None,
        typer.Option("--provider", metavar="NAME", help="this provider", rich_help_panel=FILTERS, show_default=False),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="those that were decided or came right too", rich_help_panel=FILTERS)
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            metavar="N",
            help="at most N rows, 0 for all (default 20)",
            parser=parse_count,
            rich_help_panel=OUTPUT,
            show_default=False,
        ),
    ] = None,
    now: Now = None,
    as_json: Json = False,
    output: Output = None,
) -> int:
    """Held back prices, the newest first, each with the reason. They wait until somebody decides."""
    from optimizer.app.price_quarantine import SHOWN, list_quarantine
    from optimizer.report.json_quarantine import quarantine_text
    from optimizer.report.text_quarantine import format_quarantine

    answer = list_quarantine(provider=provider, everything=everything, now=now)
    shown = SHOWN if limit is None else limit
    deliver(
        text=lambda style: format_quarantine(answer, style, limit=shown),
        document=lambda: quarantine_text(answer),
        as_json=as_json,
        output=output,
    )
    return 0


@app.command("release", cls=GroupedCommand)
def release(numbers: Numbers, *, note: Note = "", now: Now = None, as_json: Json = False, output: Output = None) -> int:
    """Lets prices pass: those that stand are published at once, and the next refresh takes them too."""
    return _decide(numbers, release=True, note=note, now=now, as_json=as_json, output=output)


@app.command("reject", cls=GroupedCommand)
def reject(numbers: Numbers, *, note: Note = "", now: Now = None, as_json: Json = False, output: Output = None) -> int:
    """Refuses prices: they stay out, without being shown again, until the source states another."""
    return _decide(numbers, release=False, note=note, now=now, as_json=as_json, output=output)


def _decide(numbers: list[int], *, release: bool, note: str, now: str | None, as_json: bool, output: str | None) -> int:
    from optimizer.app.price_quarantine import decide_quarantined
    from optimizer.report.json_quarantine import quarantine_text
    from optimizer.report.text_quarantine import format_decision

    answer = decide_quarantined(numbers, release=release, note=note, now=now)
    deliver(
        text=lambda style: format_decision(answer, style),
        document=lambda: quarantine_text(answer),
        as_json=as_json,
        output=output,
    )
    return 0
