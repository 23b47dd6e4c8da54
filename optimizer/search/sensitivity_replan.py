"""The best plan at an end of a driver: for another job by a new survey, at another width from the bills there are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from providers.errors import JobError

from .candidates import allowed_places
from .choice import best_of, settle
from .market import survey
from .quota_places import within_quotas
from .sensitivity_results import BestThere
from .showing import candidate_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.workload.job import Job
    from providers.offer import PriceSnapshot

    from .choice import Settlement
    from .market import Market
    from .results import Candidate
    from .solve import Quota
    from .tables import Tables


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplanChoices:
    """The prices that a new survey needs: what cannot be the best, whatever is trained, is left out."""

    snapshot: PriceSnapshot
    quotas: Sequence[Quota] = ()

    @classmethod
    def of(cls, market: Market, snapshot: PriceSnapshot, quotas: Sequence[Quota] = ()) -> ReplanChoices:
        """Return of the offers that the job allows those that no other on the same machine beats.

        Offers of one machine, billed alike and under the same quotas, differ in price and its spread only: whatever
        the job, the cheaper and surer one is taken. Spot offers all stay, because places differ in how often they take
        machines away.
        """
        columns = market.offers
        kept: dict[tuple[object, ...], list[int]] = {}
        for at in sorted({int(market.places.offer[place]) for place in allowed_places(market)}):
            place = columns.offers[at].key if columns.spot[at] else ()
            shared = tuple(quota.covers(columns.offers[at]) for quota in quotas)
            key = (shared, int(columns.machine[at]), columns.terms[at], bool(columns.owned[at]), place)
            rivals = kept.setdefault(key, [])
            if not any(_beats(market, one, at) for one in rivals):
                rivals[:] = [one for one in rivals if not _beats(market, at, one)] + [at]
        offers = tuple(columns.offers[at] for rivals in kept.values() for at in rivals)
        return cls(snapshot=replace(snapshot, offers=offers), quotas=quotas)


def _beats(market: Market, one: int, other: int) -> bool:
    """Return whether an offer is no dearer and its price no less certain; of equals the first wins."""
    price, sigma = market.offers.price_micro_per_s, market.offers.price_sigma
    if (price[one], sigma[one]) == (price[other], sigma[other]):
        return one < other
    return bool(price[one] <= price[other] and sigma[one] <= sigma[other])


def best_of_job(
    job: Job, choices: ReplanChoices, tables: Tables, market: Market, choice: Candidate
) -> BestThere | None:
    """Return the best plan of another job over the same offers; None where no plan keeps every limit."""
    try:
        settled = settle(
            within_quotas(survey(job, choices.snapshot, tables, now=market.now), choices.quotas), choices.quotas
        )
    except JobError:  # no recipe makes sense then: a batch that no machine divides
        return None
    return best_settled(settled, choice)


def best_settled(settled: Settlement, choice: Candidate) -> BestThere | None:
    """Return the cheapest of what a settlement chose; None where it chose nothing."""
    if not settled.solution.chosen:
        return None
    bills = settled.bills
    at, _ = min(settled.solution.chosen, key=lambda one: (float(bills.expected_micro[one[0]]), one[0]))
    return _best_at(settled, at, choice)


def best_at_width(settled: Settlement, choice: Candidate, bits: int) -> BestThere | None:
    """Return the cheapest bill whose frozen weights have `bits` bits; None where none keeps every limit."""
    bills, variants = settled.bills, settled.market.grid.variants
    of_width = np.array([one.bits == bits for one in variants], dtype=np.bool_)
    positions = np.flatnonzero(of_width[settled.market.hardware.variant[bills.hardware]])
    if positions.size == 0:
        return None
    return _best_at(settled, int(positions[best_of(settled.market, bills.take(positions))]), choice)


def _best_at(settled: Settlement, at: int, choice: Candidate) -> BestThere:
    market, bills = settled.market, settled.bills
    hardware = int(bills.hardware[at])
    if not market.has_net:
        # It is named, not judged again: the chance of making the deadline takes long to work out on spot.
        market = replace(market, job=replace(market.job, deadline_at=None), answers={})
    candidate = candidate_at(market, int(bills.place[at]), hardware, runs=market.job.runs)
    return BestThere(
        candidate=candidate,
        usd_micro=int(bills.expected_micro[at]),
        finish_s=float(market.hardware.finish_s[hardware]),
        same=is_same(candidate, choice),
    )


def is_same(one: Candidate, other: Candidate) -> bool:
    """Return whether two candidates rent the same offer and train with the same method; batch shapes may differ."""
    mine, its = one.recipe, other.recipe
    return (one.offer.key, one.nodes, mine.tuning, mine.bits) == (other.offer.key, other.nodes, its.tuning, its.bits)
