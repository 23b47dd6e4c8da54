"""What being surer costs: the cheapest plan at other confidences than the one asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .candidates import affordable_bills
from .constraints import SIMPLER, bit
from .near_misses import all_runs_alike

if TYPE_CHECKING:
    from .market import Market

CONFIDENCES_PPM = (500_000, 900_000, 950_000, 990_000)
DEADLINE = "deadline"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfidencePrice:
    """The cheapest cost of one run in micro-dollars at a confidence; None where nothing is that sure."""

    confidence_ppm: int
    cost_usd_micro: int | None


def confidence_prices(market: Market) -> tuple[ConfidencePrice, ...]:
    """Return the cheapest cost at a few confidences, that of the job among them, rising; empty without a deadline.

    Machines that stay are judged by the quantile of their own duration. Spot counts as it does at the confidence asked
    for: less sure at a lower one it may well be, so what is said there is the most that it can cost.
    """
    job = market.job
    if job.deadline_at is None:
        return ()
    left_s = (job.deadline_at - market.now).total_seconds()
    asked = sorted({*CONFIDENCES_PPM, job.confidence_ppm})
    return tuple(ConfidencePrice(confidence_ppm=one, cost_usd_micro=_cheapest(market, one, left_s)) for one in asked)


def _cheapest(market: Market, confidence_ppm: int, left_s: float) -> int | None:
    rows = market.hardware
    stays = rows.stretch == 1.0
    at = market.physics.duration.quantile(confidence_ppm / 1e6)[rows.row]
    finish = np.where(stays, at, rows.finish_s)
    broken = (rows.broken & ~bit(DEADLINE)) | np.where(finish <= left_s, 0, bit(DEADLINE))
    judged = all_runs_alike(replace(market, hardware=replace(rows, finish_s=finish, broken=broken)))
    bills, _ = affordable_bills(judged)
    if bills.count == 0 and SIMPLER in rows.slacks:
        bills, _ = affordable_bills(judged.without(SIMPLER))
    return round(float(bills.expected_micro.min())) if bills.count else None
