"""Where plans get their prices from: one interface for the bundled list and, later, for a database.

A store answers with a whole snapshot, because the market is small (about 10,000 rows) and a plan must see one
consistent set of prices that it can name by a digest. What does not interest a job is dropped by the search, which then
can say why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from providers.bundled import load_bundled_snapshot
from providers.errors import PricesUnavailable

if TYPE_CHECKING:
    from datetime import datetime

    from providers.gpus import GpuTable
    from providers.offer import PriceSnapshot


class PriceStore(Protocol):
    """Prices, as last known."""

    def snapshot(self, *, now: datetime) -> PriceSnapshot:
        """Return the prices known at `now`, each with the moment at which it was observed; nothing observed later.

        Where a scope (provider, region, pricing model) has live prices, they replace the bundled rows of that scope.
        Raises PricesUnavailable when there is not a single offer.
        """
        ...


class BundledStore:
    """The bundled, dated price list: needs no network, no disk and no account, and is never fresh for spot."""

    def __init__(self, gpus: GpuTable) -> None:
        """`gpus` is the table that the offers' GPU ids refer to."""
        self._gpus = gpus
        self._snapshot: PriceSnapshot | None = None

    def snapshot(self, *, now: datetime) -> PriceSnapshot:  # noqa: ARG002 - the protocol's; see below
        """Return the bundled list, whatever `now` is: its rows state their dates, and freshness judges those."""
        if self._snapshot is None:
            self._snapshot = load_bundled_snapshot(self._gpus)
        if not self._snapshot.offers:
            raise PricesUnavailable("the bundled price list is empty: install the package again")
        return self._snapshot
