"""Bills whose spot candidates hold what is asked: exact under a policy, sure enough without a net."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .spot_candidates import finish_probability_ppm, spot_run
from .spot_shortlist import refined

if TYPE_CHECKING:
    from .candidates import Bills
    from .market import Market

MOST_VETTED = 30
"""Spot candidates without a net whose chance of making the deadline is drawn; dearer ones are left out."""


def vetted(market: Market, bills: Bills) -> Bills:
    """Return the bills that a plan could choose from one by one: of spot only the cheapest, each looked at closely.

    Under a policy their cost is the dynamic program's (`spot_shortlist.refined`). Without a net those are left out that
    make the deadline less surely than asked for.
    """
    if market.has_net:
        return refined(market, bills)
    if market.job.deadline_at is None:
        return bills
    spot = np.flatnonzero(market.offers.spot[market.places.offer[bills.place]])
    if spot.size == 0:
        return bills
    kept = np.ones(bills.count, dtype=np.bool_)
    kept[spot] = False
    sure: dict[tuple[int, int], bool] = {}
    for at in spot[np.argsort(bills.expected_micro[spot], kind="stable")]:
        run = spot_run(market, int(bills.place[at]), int(bills.hardware[at]))
        key = (run.hardware, int(market.offers.prior[run.offer_at]))
        if key not in sure:
            if len(sure) == MOST_VETTED:
                break
            sure[key] = finish_probability_ppm(run) >= market.job.confidence_ppm
        kept[at] = sure[key]
    return bills.take(kept)
