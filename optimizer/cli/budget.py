"""`tunefare budget`: the limits, and what is spent, reserved and left of them."""

from __future__ import annotations

from typing import Annotated

import typer

from .grouped_help import GroupedCommand
from .ledger_options import Now
from .options import Json, Output
from .output import deliver, write

LIMIT = "The limit"
WHAT = "What to show"

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback()
def budget(context: typer.Context) -> None:
    """The limits, and what is spent, reserved and left of them."""
    if context.invoked_subcommand is None:
        write(context.get_help() + "\n")


@app.command("list", cls=GroupedCommand)
def list_(*, now: Now = None, as_json: Json = False, output: Output = None) -> int:
    """The limits, a parent before what is charged to it."""
    from optimizer.app.budgeting import show_budgets
    from optimizer.report.json_budget import budgets_text
    from optimizer.report.text_budget import format_budget_list

    answer = show_budgets(now=now)
    deliver(
        text=lambda style: format_budget_list(answer, style),
        document=lambda: budgets_text(answer),
        as_json=as_json,
        output=output,
    )
    return 0


@app.command("show", cls=GroupedCommand)
def show(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="these, their parents and what is below them", show_default=False),
    ] = None,
    *,
    month: Annotated[
        list[str] | None,
        typer.Option(
            "--month",
            metavar="MONTH",
            help="2026-11; repeat (default: this month, UTC)",
            rich_help_panel=WHAT,
            show_default=False,
        ),
    ] = None,
    now: Now = None,
    as_json: Json = False,
    output: Output = None,
) -> int:
    """What is spent, reserved and left of each budget, drawn as a bar.

    A reservation that has expired does not count any more.
    """
    from optimizer.app.budgeting import show_budgets
    from optimizer.report.json_budget import budgets_text
    from optimizer.report.text_budget import format_budgets

    answer = show_budgets(tuple(names or ()), months=tuple(month or ()), now=now)
    deliver(
        text=lambda style: format_budgets(answer, style),
        document=lambda: budgets_text(answer),
        as_json=as_json,
        output=output,
    )
    return 0


def _limit(flag: str, metavar: str, text: str) -> object:
    return typer.Option(flag, metavar=metavar, help=text, rich_help_panel=LIMIT, show_default=False)


@app.command("set", cls=GroupedCommand)
def set_(
    name: Annotated[str, typer.Argument(metavar="NAME", help="id of the budget: letters, digits and ._:@/+-")],
    *,
    limit: Annotated[str | None, _limit("--limit", "USD", "most dollars, like 500.00; needed for a new one")] = None,
    period: Annotated[str | None, _limit("--period", "PERIOD", "month (in UTC, the default) or total")] = None,
    parent: Annotated[str | None, _limit("--parent", "NAME", "budget that all of it is charged to as well")] = None,
    no_parent: Annotated[bool, typer.Option("--no-parent", help="none any more", rich_help_panel=LIMIT)] = False,
    soft: Annotated[str | None, _limit("--soft", "SHARE", "warn above this share of the limit, 0.8 or 80%")] = None,
    no_soft: Annotated[bool, typer.Option("--no-soft", help="do not warn any more", rich_help_panel=LIMIT)] = False,
    new_ledger: Annotated[
        str | None, _limit("--new-ledger", "ID", "make the ledger, of this id, where there is none")
    ] = None,
    now: Now = None,
    as_json: Json = False,
    output: Output = None,
) -> int:
    """Makes a budget, or changes one; what is not said stays as it is.

    A limit may be cut below what is committed: then nothing more is reserved.
    """
    from optimizer.app.budgeting import set_budget
    from optimizer.report.json_budget import budgets_text
    from optimizer.report.text_budget import format_budget_set

    answer = set_budget(
        name,
        limit=limit,
        period=period,
        parent=parent,
        no_parent=no_parent,
        soft=soft,
        no_soft=no_soft,
        new_ledger=new_ledger,
        now=now,
    )
    deliver(
        text=lambda style: format_budget_set(answer, name, style),
        document=lambda: budgets_text(answer),
        as_json=as_json,
        output=output,
    )
    return 0
