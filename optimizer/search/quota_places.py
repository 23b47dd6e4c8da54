"""Quotas as a limit on single places: what needs more GPUs than a quota allows is out, whoever asks.

How the runs of a sweep share a quota, the solver decides (`solve`); here every run is looked at alone, or, after
`near_misses.all_runs_alike`, all of them on the same machine.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .constraints import QUOTA, Slack, bit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.physics.runs import Floats

    from .market import Market
    from .solve import Quota


def within_quotas(market: Market, quotas: Sequence[Quota]) -> Market:
    """Return the market with the places marked whose GPUs, for one run, are more than a quota on them allows."""
    if not quotas:
        return market
    places, offers = market.places, market.offers.offers
    least = np.array([min((one.gpus for one in quotas if one.covers(offer)), default=np.inf) for offer in offers])
    counts = np.array([offer.gpu_count for offer in offers], dtype=np.float64)
    return marked(market, needed=counts[places.offer] * places.nodes, allowed=least[places.offer])


def marked(market: Market, *, needed: Floats, allowed: Floats) -> Market:
    """Return the market with the GPUs that places need, and those that quotas allow them, both of shape (places,)."""
    places = market.places
    slack = Slack(needed=needed, allowed=allowed, margin=allowed - needed)
    broken = (places.broken & ~bit(QUOTA)) | np.where(slack.broken, bit(QUOTA), 0)
    return replace(market, places=replace(places, broken=broken), quota=slack)
