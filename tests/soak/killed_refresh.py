"""Refreshes an invented market for ever, so that a test can kill it at any moment: `python killed_refresh.py URL SEED`.

Every night all prices of a scope are the number of the night: a scope that shows two numbers is half a batch.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from typing import TYPE_CHECKING

from cache.fetching import Asking
from cache.refresh import RefreshOrder, refresh
from cache.sql_store import open_store
from providers.base import FetchContext, FetchPart, Wanted
from providers.gpus import load_gpus
from tests.fixtures.offers import NIGHT, Nimbus, NoList, make_batch, make_offer

if TYPE_CHECKING:
    from providers.scope import ScopeBatch

REGIONS = tuple(f"r{number}" for number in range(12))
OFFERS = 120


def main(url: str, first: int) -> None:
    night = first

    def rows(context: FetchContext, part: FetchPart) -> list[ScopeBatch]:
        # Small steps: a jump would be held back.
        price = 1000.0 + night
        offers = [make_offer(f"n{number}", region=part.name, price=price) for number in range(OFFERS)]
        return [make_batch(*offers, at=context.now())]

    store = open_store(url, NoList(), create=True)
    while True:
        night += 1
        at = NIGHT + timedelta(seconds=night)
        asking = Asking(gpus=load_gpus(), environment={}, now=lambda at=at: at, wanted=Wanted())
        report = refresh(store, [Nimbus(rows, regions=REGIONS)], RefreshOrder(asking=asking), listed=())
        print(night, report.sources[0].outcome.value, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
