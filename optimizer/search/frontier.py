"""The frontier of a job: what no other candidate beats in cost, time and quality, each limit on those three lifted.

A candidate is on it when no other has at most its expected cost, at most its time (the finish time at the confidence
asked for) and at least its quality, one of them strictly better. With a budget, keeping it counts as a fourth
advantage: it is checked against the high end of a cost, so the cheapest within it may be beaten by what is beyond it.
Deadline and floor need no such thing: what beats a candidate that keeps them keeps them too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optimizer.workload.matrices import quality_rank
from providers.offer import PricingModel

from .candidates import allowed_places, allowed_rows, budget_micro, factorise, join
from .choice import filled, settle
from .deadline_price import cost_steps, deadline_price, deadline_stretches
from .near_misses import all_runs_alike
from .showing import candidate_at

if TYPE_CHECKING:
    from datetime import datetime

    from optimizer.physics.runs import Bools, Floats, Ints
    from optimizer.workload.job import Job

    from .candidates import Bills
    from .choice import Settlement
    from .deadline_price import DeadlinePrice, DeadlineStretch
    from .market import Market
    from .results import CalibrationReport, Candidate, SnapshotReport

LIFTED = ("deadline", "quality_floor")
"""The limits on time and quality; the budget is no limit of hardware or place and is left out by not being asked."""
BANDS = 64
"""Bands of time by which bills that are plainly beaten are left out before the rest is sorted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontierPoint:
    """A candidate that nothing beats, and which limits of the job it keeps; None where the job sets no such limit."""

    candidate: Candidate
    keeps_deadline: bool | None
    keeps_budget: bool | None
    keeps_quality_floor: bool | None
    chosen: bool
    """Whether it is what the plan takes, or equals that in cost, time and quality."""

    @property
    def allowed(self) -> bool:
        """Whether it keeps every limit of the job."""
        return False not in (self.keeps_deadline, self.keeps_budget, self.keeps_quality_floor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """The points of a frontier, lowest quality first, within a level cheapest first and so slowest first."""

    job: Job
    made_at: datetime
    points: tuple[FrontierPoint, ...]
    candidates: int
    """Distinct (offer, nodes, recipe) tuples that were looked at."""
    feasible: bool
    """Whether anything keeps every limit of the job."""
    lifted: bool
    """Whether recipes that are not needed had to be admitted (`choice.settle`)."""
    deadline: DeadlinePrice | None = None
    """What moving the deadline of the job changes; None without one."""
    stretches: tuple[DeadlineStretch, ...] = ()
    """What an hour of deadline is worth, with the quality floor and the budget of the job kept."""
    snapshot: SnapshotReport | None = None
    """Which prices were seen; set by the use case, as are the two below."""
    notes: tuple[str, ...] = ()
    calibration: CalibrationReport | None = None
    """The measured runs that the figures are calibrated with; None without any."""

    @property
    def chosen(self) -> FrontierPoint | None:
        """The point of the plan's choice; None for an infeasible job and for a sweep over several machines."""
        return next((point for point in self.points if point.chosen), None)


def frontier_of(market: Market, settled: Settlement | None = None) -> Frontier:
    """Return the frontier of the job that `market` was surveyed for; no points where nothing fits any machine.

    Every limit but deadline, budget and quality floor is kept. Of equals in cost, time and quality the one that the
    plan would take stands for all. The runs of a sweep are all on the same machine here. `settled` is the settlement
    of `market` where the caller has it already.
    """
    steps = cost_steps(market)
    price = deadline_price(market, steps)
    settled = settle(market) if settled is None else settled
    market = all_runs_alike(settled.market)
    for limit in LIFTED:
        market = market.without(limit)
    bills = join(market, factorise(market, allowed_rows(market)), allowed_places(market))
    within = _within_budget(market, bills)
    at = _by_quality(market, bills, frontier_positions(market, bills, within))
    chosen = _chosen(settled, market, bills, at)
    points = [_point(market, bills, within, int(one), chosen=int(one) == chosen) for one in at]
    if chosen is None and len(settled.solution.chosen) == 1:
        points.append(_choice(settled, market))
    if market.offers.spot.any():
        points = sorted(_unbeaten(points), key=_order)
    return Frontier(
        job=market.job,
        made_at=market.now,
        points=tuple(points),
        candidates=market.candidates(),
        feasible=bool(settled.solution.chosen),
        lifted=settled.lifted,
        deadline=price,
        stretches=deadline_stretches(steps),
    )


def frontier_positions(market: Market, bills: Bills, within: Bools) -> Ints:
    """Return the positions of the bills that no other beats, shape (p,); `within` says which keep the budget.

    Sorted by cost once; of each quality a running minimum of time over all that are at least as good.
    """
    if bills.count == 0:
        return np.zeros(0, dtype=np.int64)
    quality = qualities(market)[bills.hardware]
    finish = market.hardware.finish_s[bills.hardware]
    advantage = 2.0 * quality + within
    worth = _worth_sorting(bills, finish, advantage)
    keys = (filled(market, bills.hardware[worth]), -advantage[worth], finish[worth], bills.expected_micro[worth])
    order = worth[np.lexsort(keys)]
    kept = []
    for level in np.unique(advantage):
        floor, keeps = quality >= level // 2.0, within >= level % 2.0
        above = order[(floor & keeps)[order]]
        times = finish[above]
        earlier = np.concatenate([[True], times[1:] < np.minimum.accumulate(times)[:-1]])
        found = above[earlier]
        kept.append(found[advantage[found] == level])
    return np.concatenate(kept)


def _worth_sorting(bills: Bills, finish: Floats, advantage: Floats) -> Ints:
    """Return the positions of the bills that are not plainly beaten: few of a million need sorting.

    Within bands of time the cheapest bill that ends before a band begins beats all that are dearer in it.
    """
    bands = np.quantile(finish, np.linspace(0.0, 1.0, BANDS + 1))
    band = np.clip(np.searchsorted(bands, finish, side="right") - 1, 0, BANDS - 1)
    worth = np.zeros(bills.count, dtype=np.bool_)
    for level in np.unique(advantage):
        mine = advantage == level
        cheapest = np.full(BANDS, np.inf)
        np.minimum.at(cheapest, band[mine], bills.expected_micro[mine])
        before = np.concatenate([[np.inf], np.minimum.accumulate(cheapest)[:-1]])
        worth |= mine & (bills.expected_micro < before[band])
    return np.flatnonzero(worth)


def qualities(market: Market) -> Floats:
    """Return the quality level of each hardware row, shape (m,), higher is better."""
    matrices = market.tables.matrices
    ranks = [quality_rank(matrices.quality(one.tuning.value, one.bits)) for one in market.grid.variants]
    return np.array(ranks, dtype=np.float64)[market.hardware.variant]


def _within_budget(market: Market, bills: Bills) -> Bools:
    allowed = budget_micro(market.job)
    if allowed is None:
        return np.ones(bills.count, dtype=np.bool_)
    kept: Bools = bills.high_micro * market.job.runs <= allowed
    return kept


def _by_quality(market: Market, bills: Bills, at: Ints) -> Ints:
    quality = qualities(market)[bills.hardware[at]]
    finish = market.hardware.finish_s[bills.hardware[at]]
    return at[np.lexsort((finish, bills.expected_micro[at], quality))]


def _chosen(settled: Settlement, market: Market, bills: Bills, at: Ints) -> int | None:
    """Return the position of the bill on the frontier that is the plan's choice or equals it; None without any."""
    if len(settled.solution.chosen) != 1:
        return None
    ((chosen, _),) = settled.solution.chosen
    place, row = int(settled.bills.place[chosen]), int(settled.bills.hardware[chosen])
    itself = at[(bills.place[at] == place) & (bills.hardware[at] == row)]
    if itself.size:
        return int(itself[0])
    same = (bills.expected_micro[at] == settled.bills.expected_micro[chosen]) & (
        market.hardware.finish_s[bills.hardware[at]] == settled.market.hardware.finish_s[row]
    )
    found = at[same & (qualities(market)[bills.hardware[at]] >= qualities(settled.market)[row])]
    return int(found[0]) if found.size else None


def _unbeaten(points: list[FrontierPoint]) -> list[FrontierPoint]:
    """Return the points that none of the others beats by the figures that are shown; the choice stays.

    Spot under a policy is billed by an approximation and worked out closely for what is shown, so that a point may turn
    out to be beaten after all.
    """
    return [one for one in points if one.chosen or not any(_beats(other, one) for other in points)]


def _beats(one: FrontierPoint, other: FrontierPoint) -> bool:
    mine, its = (
        (
            point.candidate.quote.expected_usd_micro,
            point.candidate.finish_s_at_confidence,
            -quality_rank(point.candidate.quality),
            point.keeps_budget is False,
        )
        for point in (one, other)
    )
    return mine != its and all(a <= b for a, b in zip(mine, its, strict=True))


def _choice(settled: Settlement, market: Market) -> FrontierPoint:
    """Return the choice of the plan as a point of its own: on spot the plan may have looked closer than bills do."""
    ((chosen, _),) = settled.solution.chosen
    one = settled.bills.take(np.array([chosen]))
    return _point(market, one, np.ones(1, dtype=np.bool_), 0, chosen=True)


def _order(point: FrontierPoint) -> tuple[int, int, float]:
    one = point.candidate
    return (quality_rank(one.quality), one.quote.expected_usd_micro, one.finish_s_at_confidence)


def _point(market: Market, bills: Bills, within: Bools, at: int, *, chosen: bool) -> FrontierPoint:
    job = market.job
    candidate = candidate_at(market, int(bills.place[at]), int(bills.hardware[at]), runs=job.runs)
    floor = job.quality_floor
    return FrontierPoint(
        candidate=candidate,
        keeps_deadline=_in_time(market, candidate),
        keeps_budget=None if job.budget_usd is None else bool(within[at]),
        keeps_quality_floor=None if floor is None else quality_rank(candidate.quality) >= quality_rank(floor),
        chosen=chosen,
    )


def _in_time(market: Market, candidate: Candidate) -> bool | None:
    """Return whether a candidate keeps the deadline, as `choice.settle` judges it; None without one."""
    job = market.job
    if job.deadline_at is None:
        return None
    in_time = candidate.finish_s_at_confidence <= (job.deadline_at - market.now).total_seconds()
    # Times on spot machines are an approximation to rank by: the chance itself decides.
    spot = candidate.offer.pricing_model is PricingModel.SPOT
    return in_time and (not spot or candidate.finish_probability_ppm >= job.confidence_ppm)
