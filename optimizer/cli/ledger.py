"""`tunefare ledger`: the requests that were made, for people and for other programs."""

from __future__ import annotations

from typing import Annotated

import typer

from .grouped_help import GroupedCommand
from .ledger_options import Now
from .options import OUTPUT, Json, Output, parse_count
from .output import deliver, tell, write

FILTERS = "Filters"
SHOWN = 20

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback()
def ledger(context: typer.Context) -> None:
    """What was asked for, approved, reserved and spent."""
    if context.invoked_subcommand is None:
        write(context.get_help() + "\n")


def _filter(flag: str, metavar: str, text: str) -> object:
    return typer.Option(flag, metavar=metavar, help=text, rich_help_panel=FILTERS, show_default=False)


@app.command("list", cls=GroupedCommand)
def list_(
    *,
    state: Annotated[
        list[str] | None, _filter("--state", "STATE", "pending, reserved, launched, settled, ...; repeat")
    ] = None,
    budget: Annotated[list[str] | None, _filter("--budget", "NAME", "charged to this budget; repeat")] = None,
    requester: Annotated[list[str] | None, _filter("--requester", "NAME", "made by this person; repeat")] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            metavar="N",
            help="at most N requests, 0 for all (default 20; all with --json)",
            parser=parse_count,
            rich_help_panel=OUTPUT,
            show_default=False,
        ),
    ] = None,
    now: Now = None,
    as_json: Json = False,
    output: Output = None,
) -> int:
    """Requests, the newest first: their caps, and what they really cost."""
    from optimizer.app.ledger_records import list_requests
    from optimizer.report.json_ledger import ledger_text
    from optimizer.report.text_ledger import format_ledger

    everything = 0 if as_json or output is not None else SHOWN
    answer = list_requests(
        states=tuple(state or ()),
        budgets=tuple(budget or ()),
        requesters=tuple(requester or ()),
        limit=everything if limit is None else limit,
        now=now,
    )
    deliver(
        text=lambda style: format_ledger(answer, style),
        document=lambda: ledger_text(answer),
        as_json=as_json,
        output=output,
        piped_width=132,
    )
    return 0


@app.command("export", cls=GroupedCommand)
def export(
    file: Annotated[str, typer.Argument(metavar="FILE", help="where to write, - for stdout")],
    *,
    focus: Annotated[
        bool, typer.Option("--focus", help="what was settled, as charges of FOCUS 1.2", rich_help_panel=OUTPUT)
    ] = False,
    format: Annotated[  # noqa: A002 - the name of the flag
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="csv, json or focus (default: by the name of FILE)",
            rich_help_panel=OUTPUT,
            show_default=False,
        ),
    ] = None,
    now: Now = None,
) -> int:
    """Writes all requests to a file, whole or not at all."""
    from optimizer.app.ledger_records import export_ledger
    from optimizer.report.text_ledger import format_ledger_export

    answer = export_ledger(file, format="focus" if focus else format, now=now)
    tell(format_ledger_export(answer))
    return 0
