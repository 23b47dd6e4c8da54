"""The spot candidates that are looked at closely: policies worked out for the cheapest, chances drawn if chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .candidates import allowed_places, allowed_rows, factorise, join
from .constraints import Slack, bit
from .spot_candidates import drawn_of, finish_probability_ppm, spot_run
from .spot_policies import exact_micro

if TYPE_CHECKING:
    from collections.abc import Callable

    from optimizer.physics.runs import Bools, Floats, Ints

    from .candidates import Bills
    from .market import Market

DEADLINE = "deadline"
SHORTLIST = 10
"""Policies worked out at a time, each for all offers that share it."""
MOST_ROUNDS = 4
RANKED_WITHIN = 0.8
"""The ranking is off by a fifth at most (`spot_share`): what it puts so far above the best known is not looked at."""
MOST_DRAWN = 30
"""Spot candidates without a net that may fail the confidence asked for before spot is left aside. What is drawn for one
takes 10 to 200 ms, and the ranking puts the chance of most within two per cent of what is drawn."""


def refined(market: Market, bills: Bills) -> Bills:
    """Return the bills with the exact cost of spot under a policy, and of those only what was worked out.

    Ten policies at a time, cheapest by the ranking first, until what is cheapest of all is exact, or stays.
    """
    shortlist = Shortlist(market, bills)
    shortlist.start()
    return shortlist.bills.take(shortlist.exact)


class Shortlist:
    """Bills, of which those of spot under a policy are ranked at first, and exact once they are worked out."""

    def __init__(self, market: Market, bills: Bills, *, seen: Callable[[Bills], Bills] = lambda bills: bills) -> None:
        """`seen` gives the bills with the costs to compare (`robust`: those of the unfavourable corner)."""
        self._market = market
        self._seen = seen
        self.bills = bills
        """Positions stay as they are."""
        self.exact: Bools = ~market.bounded[market.places.offer[bills.place]]

    def start(self) -> None:
        """Work out ten policies at a time, the cheapest by the ranking first, until the cheapest known is cheapest."""
        margin = RANKED_WITHIN
        for _ in range(MOST_ROUNDS):
            cost = self._seen(self.bills).expected_micro
            waiting = np.flatnonzero(~self.exact)
            if waiting.size == 0 or margin * cost[waiting].min() >= cost[self.exact].min(initial=np.inf):
                return
            for rows in _cheapest_policies(self._market, self.bills, waiting, cost):
                self._work_out(rows)
            margin = 1.0

    def work_out(self, rows: Ints) -> None:
        """Make bills (positions) exact, with those that share their policies."""
        policies = _policies(self._market, self.bills)
        self._work_out(np.flatnonzero(np.isin(policies, policies[rows]) & ~self.exact))

    def _work_out(self, rows: Ints) -> None:
        expected = self.bills.expected_micro.copy()
        for at in rows:
            run = spot_run(self._market, int(self.bills.place[at]), int(self.bills.hardware[at]))
            expected[at] = exact_micro(run)
        self.exact[rows] = True
        self.bills = self.bills.with_expected(expected)


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


def unsure_as_late(market: Market) -> Market:
    """Return the market with spot that is in time by the ranking only, and less sure than asked for, breaking the
    deadline: of an infeasible job the cheapest of it, which near misses would otherwise take for feasible."""
    if market.job.deadline_at is None or not market.offers.spot.any():
        return market
    rows = market.hardware
    bills = join(market, factorise(market, allowed_rows(market)), allowed_places(market))
    order = bills.take(np.argsort(bills.expected_micro, kind="stable"))
    late: dict[int, float] = {}
    for place, hardware in zip(order.place.tolist(), order.hardware.tolist(), strict=True):
        if len(late) >= MOST_DRAWN or not market.offers.spot[market.places.offer[place]]:
            break
        run = spot_run(market, place, hardware)
        if hardware in late or run.has_net or finish_probability_ppm(run) >= market.job.confidence_ppm:
            continue
        finish_s = drawn_of(run).finish_s
        late[hardware] = max(finish_s, float(rows.finish_s[hardware])) if np.isfinite(finish_s) else np.inf
    return _with_finish(market, late) if late else market


def _with_finish(market: Market, finish_s: dict[int, float]) -> Market:
    """Return the market with other finish times of hardware rows, all of them beyond the deadline."""
    rows = market.hardware
    at = np.array(list(finish_s), dtype=np.int64)
    finish, broken, slack = rows.finish_s.copy(), rows.broken.copy(), rows.slacks[DEADLINE]
    finish[at] = list(finish_s.values())
    broken[at] |= bit(DEADLINE)
    late = Slack(needed=finish, allowed=slack.allowed, margin=slack.allowed - finish)
    hardware = replace(rows, finish_s=finish, broken=broken, slacks=rows.slacks | {DEADLINE: late})
    return replace(market, hardware=hardware)


def alike(market: Market, bills: Bills, rows: Ints) -> Bools:
    """Return the bills that make the deadline as surely as some of `rows` (positions): same run, same availability."""
    prior = market.offers.prior[market.places.offer[bills.place]]
    key = bills.hardware * len(market.offers.priors) + prior
    spot = market.offers.spot[market.places.offer[bills.place]]
    same: Bools = np.isin(key, key[rows]) & spot
    return same


def _cheapest_policies(market: Market, bills: Bills, rows: Ints, cost: Floats) -> list[Ints]:
    """Return the rows (positions) of the cheapest policies, each with all rows that share it."""
    policy = _policies(market, bills)[rows]
    order = np.lexsort((rows, cost[rows]))
    cheapest = list(dict.fromkeys(policy[order].tolist()))[:SHORTLIST]
    return [rows[policy == one] for one in cheapest]


def _policies(market: Market, bills: Bills) -> Ints:
    """Return which policy each bill follows, shape (n,): equal prices, net, kind and recipe make one policy, as with
    places in one region that differ in zone."""
    offer = market.places.offer[bills.place]
    same = np.stack(
        [
            bills.hardware,
            market.places.nodes[bills.place],
            market.offers.prior[offer],
            _ranks(market.offers.price_micro_per_s[offer]),
            _ranks(np.nan_to_num(market.fallback_micro_per_s[offer])),
        ]
    )
    _, policy = np.unique(same, axis=1, return_inverse=True)
    return policy.ravel().astype(np.int64)


def _ranks(values: Floats) -> Ints:
    _, ranks = np.unique(values, return_inverse=True)
    return ranks.ravel().astype(np.int64)
