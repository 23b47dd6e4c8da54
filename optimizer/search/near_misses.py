"""Near misses: for each limit the candidates that break it alone, what relaxing it would take, and what that costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .candidates import (
    UNKNOWN_SPEED,
    Bills,
    allowed_places,
    allowed_rows,
    broken_of,
    budget_micro,
    factorise,
    join,
    over_budget,
)
from .constraints import BUDGET, HARDWARE_LIMITS, LIMITS, PLACE_LIMITS, UNITS, bit, names_of
from .results import NearMiss
from .showing import candidate_at
from .wording import broken_clause, cost_of, name_of, relaxing

if TYPE_CHECKING:
    from optimizer.physics.runs import Floats

    from .market import Market

_ON_HARDWARE = frozenset(name for name, _, _ in HARDWARE_LIMITS)
_ON_PLACES = frozenset(name for name, _, _ in PLACE_LIMITS)
_BY_DEGREES = frozenset({"memory", "host_memory", "nvme", "deadline", "max_price_age", BUDGET, "max_gpus", "max_nodes"})
"""Limits that can be broken a little or a lot. For the others the least relaxing is the cheapest."""
_FIXED = frozenset({"memory", "host_memory", "nvme"})
"""Nobody can relax these, so that the cheapest machine is always hopelessly small: only the nearest is told."""


def near_misses(market: Market) -> tuple[NearMiss, ...]:
    """Return, limit by limit, the cheapest candidate that breaks it alone and the one that breaks it least.

    Where every candidate breaks at least two limits, the one answer is the cheapest of those that break the fewest.
    """
    found: list[NearMiss] = []
    for limit in LIMITS:
        if limit == "speed_known":
            continue
        bills = _breaking_only(market, limit)
        if bills.count:
            found.extend(_told(market, limit, bills))
    return tuple(found) if found else _fewest(market)


def cheaper_than(market: Market, cost_micro: int) -> tuple[NearMiss, ...]:
    """Return for each limit one candidate that breaks it alone and costs less than `cost_micro`: the cheapest, or
    where nobody can relax the limit (memory) the one that comes nearest to keeping it."""
    found = []
    for limit in LIMITS:
        bills = _breaking_only(market, limit, sparse=limit not in _FIXED)
        cheaper = bills.take(bills.expected_micro < cost_micro)
        if limit == "speed_known" or cheaper.count == 0:
            continue
        nearest = limit in _FIXED
        at = _least(market, limit, cheaper) if nearest else _cheapest(cheaper)
        found.append(_near_miss(market, (limit,), cheaper, at, kind="least" if nearest else "cheapest"))
    return tuple(found)


def _breaking_only(market: Market, limit: str, *, sparse: bool = False) -> Bills:
    """Return the bills that break exactly `limit`; `sparse` leaves out those that cannot be the cheapest."""
    hardware_mask = bit(limit) if limit in _ON_HARDWARE else 0
    place_mask = bit(limit) if limit in _ON_PLACES else 0
    rows = allowed_rows(market, hardware_mask)
    places = allowed_places(market, place_mask)
    by_price_only = sparse or limit not in _BY_DEGREES or limit == "max_price_age"
    bills = join(market, factorise(market, rows) if by_price_only else rows, places)
    over = over_budget(market.job, bills)
    return bills.take(over if limit == BUDGET else ~over)


def _told(market: Market, limit: str, bills: Bills) -> list[NearMiss]:
    cheapest = _cheapest(bills)
    if limit not in _BY_DEGREES:
        return [_near_miss(market, (limit,), bills, cheapest, kind="cheapest")]
    needed = _needed(market, limit, bills)
    least = _least(market, limit, bills)
    if limit in _FIXED or needed[least] == needed[cheapest]:
        return [_near_miss(market, (limit,), bills, least, kind="least")]
    return [
        _near_miss(market, (limit,), bills, cheapest, kind="cheapest"),
        _near_miss(market, (limit,), bills, least, kind="least"),
    ]


def _fewest(market: Market) -> tuple[NearMiss, ...]:
    rows = np.flatnonzero((market.hardware.broken & UNKNOWN_SPEED) == 0)
    bills = join(market, rows, np.arange(market.places.count))
    if bills.count == 0:
        return ()
    masks = broken_of(market, bills)
    counts = np.zeros(masks.shape, dtype=np.int64)
    for limit in LIMITS:
        counts += (masks & bit(limit)) != 0
    best = int(np.lexsort((bills.expected_micro, counts))[0])
    limits = names_of(int(masks[best]))
    return (_near_miss(market, limits, bills, best, kind="cheapest"),) if limits else ()


def figures_of(market: Market, limit: str, bills: Bills) -> tuple[Floats, Floats]:
    """Return what each bill needs of a limit and what the limit allows, both of shape (n,) in the unit of the limit."""
    return _needed(market, limit, bills), _allowed(market, limit, bills)


def _near_miss(market: Market, limits: tuple[str, ...], bills: Bills, at: int, *, kind: str) -> NearMiss:
    candidate = candidate_at(market, int(bills.place[at]), int(bills.hardware[at]), runs=market.job.runs)
    one = bills.take(np.array([at]))
    clauses, changes = [], []
    figures = []
    for limit in limits:
        needed, allowed = float(_needed(market, limit, one)[0]), float(_allowed(market, limit, one)[0])
        figures.append((needed, allowed))
        clauses.append(broken_clause(limit, candidate, market.job, needed=needed, allowed=allowed))
        changes.append(relaxing(limit, needed=needed))
    return NearMiss(
        limit=limits[0],
        required=figures[0][0],
        allowed=figures[0][1],
        unit=UNITS[limits[0]],
        candidate=candidate,
        sentence=(
            f"{name_of(candidate)} {'; '.join(clauses)}: {'; '.join(changes)}, and a run costs {cost_of(candidate)}."
        ),
        kind=kind,
        also=limits[1:],
    )


def _cheapest(bills: Bills) -> int:
    return int(np.argmin(bills.expected_micro))


def _least(market: Market, limit: str, bills: Bills) -> int:
    """Return the position of the bill that breaks `limit` least; of equals the cheapest."""
    margin = _margin(market, limit, bills)
    nearest = np.flatnonzero(margin == margin.max())
    return int(nearest[np.argmin(bills.expected_micro[nearest])])


def _needed(market: Market, limit: str, bills: Bills) -> Floats:
    if limit == BUDGET:
        return bills.high_micro * market.job.runs
    if limit in _ON_HARDWARE:
        return market.hardware.slacks[limit].needed[bills.hardware]
    return market.places.slacks[limit].needed[market.places.offer[bills.place]]


def _allowed(market: Market, limit: str, bills: Bills) -> Floats:
    if limit == BUDGET:
        return np.full(bills.count, float(budget_micro(market.job) or 0))
    if limit in _ON_HARDWARE:
        return market.hardware.slacks[limit].allowed[bills.hardware]
    return market.places.slacks[limit].allowed[market.places.offer[bills.place]]


def _margin(market: Market, limit: str, bills: Bills) -> Floats:
    if limit == BUDGET:
        return -bills.high_micro
    if limit in _ON_HARDWARE:
        return market.hardware.slacks[limit].margin[bills.hardware]
    return market.places.slacks[limit].margin[market.places.offer[bills.place]]
