"""`tunefare prices export` and `import`: prices as a file, and a file as prices."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import OUTPUT, Json, Output
from .output import deliver, tell
from .price_filters import Gpus, MinGpus, PricingModels, Providers, Regions, price_filter

STDOUT = "-"


def export(
    file: Annotated[str, typer.Argument(metavar="FILE", help="where to write, - for stdout")],
    *,
    format: Annotated[  # noqa: A002 - the name of the flag
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="json, csv, parquet or focus (default: by the name of FILE)",
            rich_help_panel=OUTPUT,
            show_default=False,
        ),
    ] = None,
    gpu: Gpus = None,
    provider: Providers = None,
    region: Regions = None,
    pricing_model: PricingModels = None,
    min_gpus: MinGpus = None,
    offers: Annotated[
        str | None, price_filter("--offers", "FILE.csv", "own machines too, which nobody else knows")
    ] = None,
    now: Annotated[
        str | None,
        typer.Option(
            "--now", metavar="TIME", help="prices as of this moment", rich_help_panel=OUTPUT, show_default=False
        ),
    ] = None,
) -> int:
    """Writes prices to a file, whole or not at all, without discounts.

    json holds everything, exactly, and is what `prices import` reads; csv and parquet have a row an offer; focus is a
    CSV with the column names of FOCUS 1.2. Own machines are left out unless --offers names them.
    """
    from pathlib import Path

    from optimizer.app.price_transfer import export_prices
    from optimizer.app.pricing import PriceFilter
    from optimizer.report.text_transfer import format_export

    answer = export_prices(
        file,
        PriceFilter(
            gpus=tuple(gpu or ()),
            providers=tuple(provider or ()),
            regions=tuple(region or ()),
            pricing_models=tuple(pricing_model or ()),
            min_gpus=1 if min_gpus is None else min_gpus,
        ),
        format=format,
        offers=None if offers is None else Path(offers),
        now=now,
    )
    for line in format_export(answer):
        tell(line)
    return 0


def import_(
    file: Annotated[str, typer.Argument(metavar="FILE.json", help="a file of `prices export`")],
    *,
    sha256: Annotated[
        str | None,
        typer.Option(
            "--sha256",
            metavar="HEX",
            help="refuse any other file than the one of this digest",
            rich_help_panel=OUTPUT,
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="read and judge, store nothing", rich_help_panel=OUTPUT)
    ] = False,
    now: Annotated[
        str | None,
        typer.Option("--now", metavar="TIME", help="as of this moment", rich_help_panel=OUTPUT, show_default=False),
    ] = None,
    as_json: Json = False,
    output: Output = None,
) -> int:
    """Takes over live prices that another machine exported, through the gate that a refresh passes.

    A file that does not match its digest is refused whole. No age is renewed or turned back: a scope of which the store
    knows newer prices stays as it is.
    """
    from optimizer.app.price_transfer import import_prices
    from optimizer.report.json_transfer import import_text
    from optimizer.report.text_transfer import format_import

    answer = import_prices(file, sha256=sha256, dry_run=dry_run, now=now)
    deliver(
        text=lambda style: format_import(answer, style),
        document=lambda: import_text(answer),
        as_json=as_json,
        output=output,
    )
    return 0
