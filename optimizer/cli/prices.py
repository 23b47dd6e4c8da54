"""`tunefare prices`: what is known of the market."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .grouped_help import GroupedCommand
from .options import OUTPUT, Json, Output, parse_count
from .output import deliver, write

FILTERS = "Filters (repeat for alternatives)"

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback()
def prices(context: typer.Context) -> None:
    """The prices that a plan sees."""
    if context.invoked_subcommand is None:
        write(context.get_help() + "\n")


def _filter(flag: str, metavar: str, help_text: str) -> object:
    return typer.Option(flag, metavar=metavar, help=help_text, rich_help_panel=FILTERS, show_default=False)


@app.command("list", cls=GroupedCommand)
def list_(
    *,
    gpu: Annotated[list[str] | None, _filter("--gpu", "ID", "this GPU, like H100-SXM-80GB")] = None,
    provider: Annotated[list[str] | None, _filter("--provider", "NAME", "this provider")] = None,
    region: Annotated[list[str] | None, _filter("--region", "NAME", "this region")] = None,
    pricing_model: Annotated[
        list[str] | None, _filter("--pricing-model", "MODEL", "on_demand, spot or reserved")
    ] = None,
    min_gpus: Annotated[
        int | None,
        typer.Option(
            "--min-gpus",
            metavar="N",
            help="at least N GPUs per machine",
            parser=parse_count,
            rich_help_panel=FILTERS,
            show_default=False,
        ),
    ] = None,
    offers: Annotated[str | None, _filter("--offers", "FILE.csv", "own machines, beside the price list")] = None,
    only_offers: Annotated[
        bool, typer.Option("--only-offers", help="list --offers alone", rich_help_panel=FILTERS)
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
    """Offers, cheapest per GPU-hour first, each with source class and age."""
    from optimizer.app.pricing import PriceFilter, list_prices
    from optimizer.report.json_prices import prices_text
    from optimizer.report.text_prices import format_prices

    answer = list_prices(
        PriceFilter(
            gpus=tuple(gpu or ()),
            providers=tuple(provider or ()),
            regions=tuple(region or ()),
            pricing_models=tuple(pricing_model or ()),
            min_gpus=1 if min_gpus is None else min_gpus,
        ),
        offers=None if offers is None else Path(offers),
        only_offers=only_offers or None,
        now=now,
    )
    deliver(
        text=lambda style: format_prices(answer, style),
        document=lambda: prices_text(answer),
        as_json=as_json,
        output=output,
        # Whoever greps the list wants whole names.
        piped_width=132,
    )
    return 0
