"""The use case `prices list`: what is known of the market, and how old each price is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal
    from pathlib import Path

    from cache.store import PriceStore
    from optimizer.report.answers import PriceListAnswer

    from .settings import Settings
    from .tables import Knowledge


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceFilter:
    """Which offers to list; an empty tuple is no restriction. Values of one field are alternatives."""

    gpus: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    pricing_models: tuple[str, ...] = ()
    min_gpus: int = 1


def list_prices(
    wanted: PriceFilter | None = None,
    *,
    offers: Path | None = None,
    only_offers: bool | None = None,
    discounts: dict[str, Decimal] | None = None,
    now: datetime | str | None = None,
    settings: Settings | None = None,
    store: PriceStore | None = None,
    tables: Knowledge | None = None,
) -> PriceListAnswer:
    """Return the offers that pass the filter, cheapest per GPU-hour first, each with the age of its price.

    Raises JobError for an unknown GPU, provider, region or pricing model (naming what is known), PricesUnavailable
    (exit 9) when no price is known at all. A filter that leaves nothing is an empty list, not an error.
    """
    raise NotImplementedError
