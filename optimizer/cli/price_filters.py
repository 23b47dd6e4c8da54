"""The filters that the price commands share, said once: which offers to list, to follow or to export."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import parse_count

FILTERS = "Filters (repeat for alternatives)"


def price_filter(flag: str, metavar: str, help_text: str) -> object:
    """Return an option of the panel of filters."""
    return typer.Option(flag, metavar=metavar, help=help_text, rich_help_panel=FILTERS, show_default=False)


Gpus = Annotated[list[str] | None, price_filter("--gpu", "ID", "this GPU, like H100-SXM-80GB")]
Providers = Annotated[list[str] | None, price_filter("--provider", "NAME", "this provider")]
Regions = Annotated[list[str] | None, price_filter("--region", "NAME", "this region")]
PricingModels = Annotated[list[str] | None, price_filter("--pricing-model", "MODEL", "on_demand, spot or reserved")]
MinGpus = Annotated[
    int | None,
    typer.Option(
        "--min-gpus",
        metavar="N",
        help="at least N GPUs per machine",
        parser=parse_count,
        rich_help_panel=FILTERS,
        show_default=False,
    ),
]
