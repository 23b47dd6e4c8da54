"""`tunefare audit`: whether the ledger's record is whole, and its head for an outside place."""

from __future__ import annotations

from typing import Annotated

import typer

from .grouped_help import GroupedCommand
from .ledger_options import Now
from .options import OUTPUT, Json, Output
from .output import deliver, write

BROKEN = 8

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback()
def audit(context: typer.Context) -> None:
    """Whether the ledger's record is whole."""
    if context.invoked_subcommand is None:
        write(context.get_help() + "\n")


@app.command("verify", cls=GroupedCommand)
def verify(
    *,
    anchor: Annotated[
        str | None,
        typer.Option(
            "--anchor",
            metavar="FILE|TEXT",
            help="what `audit anchor` printed earlier",
            rich_help_panel=OUTPUT,
            show_default=False,
        ),
    ] = None,
    now: Now = None,
    as_json: Json = False,
    output: Output = None,
) -> int:
    """Checks every row of the audit, and that the tables hold what the rows say.

    Exit code 8 where the record is not whole; the first row that is wrong is named.
    """
    from optimizer.app.ledger_audit import verify_audit
    from optimizer.report.json_audit import audit_text
    from optimizer.report.text_audit import format_audit

    answer = verify_audit(anchor, now=now)
    deliver(
        text=lambda style: format_audit(answer, style),
        document=lambda: audit_text(answer),
        as_json=as_json,
        output=output,
    )
    return 0 if answer.report.ok else BROKEN


@app.command("anchor", cls=GroupedCommand)
def anchor_(*, now: Now = None, as_json: Json = False, output: Output = None) -> int:
    """Prints the head of the audit in one line: keep it where nobody who may write the ledger can change it."""
    from optimizer.app.ledger_audit import head_of_audit
    from optimizer.report.json_audit import anchor_text
    from optimizer.report.text_audit import format_anchor

    answer = head_of_audit(now=now)
    deliver(
        text=lambda _: format_anchor(answer),
        document=lambda: anchor_text(answer),
        as_json=as_json,
        output=output,
    )
    return 0
