"""`tunefare prices`: what is known of the market."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .grouped_help import GroupedCommand
from .options import OUTPUT, Json, Output, parse_count
from .output import deliver, write
from .price_filters import FILTERS, Gpus, MinGpus, PricingModels, Providers, Regions, price_filter
from .prices_history import PlotCommand, history
from .prices_quarantine import app as quarantine
from .prices_refresh import refresh
from .prices_status import status
from .prices_transfer import export, import_

if TYPE_CHECKING:
    from optimizer.report.answers import PriceListAnswer

SCREENFUL = 40
"""Offers listed on a terminal where nobody says how many."""

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback()
def prices(context: typer.Context) -> None:
    """The prices that a plan sees."""
    if context.invoked_subcommand is None:
        write(context.get_help() + "\n")


@app.command("list", cls=GroupedCommand)
def list_(
    *,
    gpu: Gpus = None,
    provider: Providers = None,
    region: Regions = None,
    pricing_model: PricingModels = None,
    min_gpus: MinGpus = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            metavar="N",
            help="at most N offers, 0 for all (default: 40 on a terminal, all elsewhere)",
            parser=parse_count,
            rich_help_panel=OUTPUT,
            show_default=False,
        ),
    ] = None,
    keys: Annotated[
        bool, typer.Option("--keys", help="the keys alone, as prices history takes them", rich_help_panel=OUTPUT)
    ] = False,
    offers: Annotated[str | None, price_filter("--offers", "FILE.csv", "own machines, beside the price list")] = None,
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
    from optimizer.report.text_prices import format_keys, format_prices

    shown = SCREENFUL if limit is None and sys.stdout.isatty() else limit or 0
    whole = as_json or output is not None
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
        limit=limit or 0 if whole or keys else shown,
        digest=whole,
    )
    deliver(
        text=lambda style: format_keys(answer) if keys else format_prices(answer.first(shown), style),
        document=lambda: _document(answer),
        as_json=as_json,
        output=output,
        # Whoever greps the list wants whole names.
        piped_width=132,
    )
    return 0


def _document(answer: PriceListAnswer) -> str:
    # Its objects are those of plans, which bring NumPy: no list on a screen waits for that.
    from optimizer.report.json_prices import prices_text

    return prices_text(answer)


app.command("refresh", cls=GroupedCommand)(refresh)
app.command("status", cls=GroupedCommand)(status)
app.command("history", cls=PlotCommand)(history)
app.command("export", cls=GroupedCommand)(export)
app.command("import", cls=GroupedCommand)(import_)
app.add_typer(quarantine, name="quarantine")
