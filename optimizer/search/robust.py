"""The robust choice: what keeps every limit, and costs least, where everything turns out at its unfavourable end.

The corner: throughput and interruptions at their slow end (90 % quantile of the duration), the price at the 90 %
quantile of its age, storage at its dearest, all at once. In a plan that is not robust the deadline is kept at the
confidence asked for and the high end of the cost joins independent causes in quadrature; the corner multiplies them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from optimizer.physics.throughput import Z90

from .candidates import join, rates_at, worst_micro
from .constraints import bit
from .cost import expected_micro

if TYPE_CHECKING:
    from optimizer.physics.runs import Floats

    from .candidates import Bills
    from .market import Market

DEADLINE = "deadline"


def held_at_worst(market: Market) -> Market:
    """Return the market with the deadline also kept at the 90 % quantile of every duration, interruptions included."""
    job, rows = market.job, market.hardware
    if job.deadline_at is None:
        return market
    left_s = (job.deadline_at - market.now).total_seconds()
    # Under a policy, which may wait until the deadline, the high end is when the net must hold.
    late = np.where(np.maximum(rows.finish_s, rows.high_s) > left_s, bit(DEADLINE), 0)
    return replace(market, hardware=replace(rows, broken=rows.broken | late))


def at_worst(market: Market, bills: Bills) -> Bills:
    """Return the bills with what each costs in the corner, in place of its expected cost and of its high end."""
    worst = np.maximum(corner_micro(market, bills), bills.high_micro)
    return replace(bills, expected_micro=worst, high_micro=worst)


def corner_micro(market: Market, bills: Bills) -> Floats:
    """Return the cost of each bill in the corner in whole micro-dollars, shape (n,)."""
    rates = rates_at(market, bills.place, bills.hardware)
    dearest = replace(
        rates,
        price_micro_per_s=rates.price_micro_per_s * np.exp(Z90 * rates.price_sigma),
        disk_micro_per_s=rates.disk_micro_per_s * rates.high_factor,
        egress_micro=rates.egress_micro * rates.high_factor,
    )
    corner = expected_micro(dearest, market.hardware.high_s[bills.hardware])
    if not market.has_net:
        return corner
    bounded = market.bounded[market.places.offer[bills.place]]
    return np.where(bounded, worst_micro(market, rates, bills.place, bills.hardware), corner)


def corner_of(market: Market, place: int, hardware: int) -> int:
    """Return what one candidate costs in the corner, in micro-dollars."""
    bills = join(market, np.array([hardware]), np.array([place]))
    return round(float(at_worst(market, bills).expected_micro[0]))
