"""The spot candidates whose policy is worked out: the cheapest by the ranking, until the best one is among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .spot_candidates import finish_probability_ppm, spot_run
from .spot_policies import exact_micro

if TYPE_CHECKING:
    from optimizer.physics.runs import Bools, Floats, Ints

    from .candidates import Bills
    from .market import Market

SHORTLIST = 10
"""Policies worked out at a time, each for all offers that share it."""
MOST_ROUNDS = 4


def refined(market: Market, bills: Bills) -> Bills:
    """Return the bills with the exact cost of spot under a policy, and of those only what was worked out.

    Ten policies at a time, cheapest by the ranking first, until what is cheapest of all is exact, or stays.
    """
    spot = market.offers.spot[market.places.offer[bills.place]]
    if not market.has_net or not spot.any():
        return bills
    exact = np.where(spot, np.nan, bills.expected_micro)
    for _ in range(MOST_ROUNDS):
        open_rows = np.flatnonzero(spot & np.isnan(exact))
        if open_rows.size == 0 or bills.expected_micro[open_rows].min() >= np.nanmin(exact, initial=np.inf):
            break
        for rows in _cheapest_policies(market, bills, open_rows):
            exact[rows] = [exact_micro(spot_run(market, int(bills.place[at]), int(bills.hardware[at]))) for at in rows]
    kept = np.flatnonzero(~np.isnan(exact))
    return bills.take(kept).with_expected(exact[kept])


def not_confident(market: Market, bills: Bills, chosen: Ints) -> Bools:
    """Return which chosen bills (positions) end in time less surely than the job asks, shape (chosen,).

    The columns rank spot without a net by an approximation; what is chosen is checked by the distribution itself.
    """
    failed = np.zeros(chosen.shape, dtype=np.bool_)
    for position, at in enumerate(chosen):
        place = int(bills.place[at])
        if market.offers.spot[market.places.offer[place]]:
            run = spot_run(market, place, int(bills.hardware[at]))
            failed[position] = finish_probability_ppm(run) < market.job.confidence_ppm
    return failed


def _cheapest_policies(market: Market, bills: Bills, rows: Ints) -> list[Ints]:
    """Return the rows (positions) of the cheapest policies, each with all rows that share it."""
    offer = market.places.offer[bills.place[rows]]
    # Equal prices, net, kind and recipe make one policy: places in one region that differ in zone, say.
    same = np.stack(
        [
            bills.hardware[rows],
            market.places.nodes[bills.place[rows]],
            _ranks(market.offers.price_micro_per_s[offer]),
            _ranks(np.nan_to_num(market.fallback_micro_per_s[offer])),
        ]
    )
    _, policy = np.unique(same, axis=1, return_inverse=True)
    policy = policy.ravel()
    order = np.lexsort((rows, bills.expected_micro[rows]))
    cheapest = list(dict.fromkeys(policy[order].tolist()))[:SHORTLIST]
    return [rows[policy == one] for one in cheapest]


def _ranks(values: Floats) -> Ints:
    _, ranks = np.unique(values, return_inverse=True)
    return ranks.ravel().astype(np.int64)
