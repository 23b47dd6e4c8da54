"""Near misses: the candidates just outside the limits, what letting one in takes, and what a run costs then."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .admission import FITTING
from .candidates import (
    UNKNOWN_SPEED,
    Bills,
    allowed_places,
    allowed_rows,
    broken_of,
    budget_micro,
    factorise,
    join,
    join_in_parts,
)
from .constraints import BUDGET, FIXED, HARDWARE_LIMITS, LIMITS, PLACE_LIMITS, QUOTA, SIMPLER, Slack, bit, names_of
from .market import survey
from .pareto import undominated
from .quota_places import marked, within_quotas
from .spot_shortlist import unsure_as_late
from .ways_out import another_loss, near_miss_at, too_small

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from optimizer.physics.runs import Bools, Floats, Ints
    from optimizer.workload.job import Job
    from providers.offer import PriceSnapshot

    from .market import Market
    from .results import NearMiss
    from .solve import Quota
    from .tables import Tables

_ON_HARDWARE = frozenset(name for name, _, _ in HARDWARE_LIMITS) | {SIMPLER}
_ON_PLACES = frozenset(name for name, _, _ in PLACE_LIMITS) | {QUOTA}
_BY_DEGREES = frozenset({"deadline", "max_price_age", BUDGET, "max_gpus", "max_nodes", QUOTA})
"""Limits that can be broken a little or a lot. For the others the least relaxing is the cheapest; those of machines
nobody can relax, and the cheapest machine is always hopelessly small, so only the nearest is told."""


def near_misses(
    job: Job, snapshot: PriceSnapshot, tables: Tables, *, now: datetime, quotas: Sequence[Quota] = ()
) -> tuple[NearMiss, ...]:
    """Return the ways out of an infeasible job: relaxing what one of them names makes it feasible.

    Limit by limit the cheapest candidate that breaks it alone and the one that breaks it least. Where no candidate
    breaks a single limit that can be relaxed, the cheapest of those that break the fewest is told too, with all of its
    limits. For a job that fits no machine, a recipe that does.
    """
    wide = within_quotas(survey(job, snapshot, tables, now=now, wide=True), quotas)
    market = unsure_as_late(all_runs_alike(wide))
    found = _ways_out(market)
    if not _one_is_enough(found) and SIMPLER in market.hardware.slacks:
        lifted = _ways_out(market.without(SIMPLER))
        found = lifted if _one_is_enough(lifted) or not found else found
    fused = None if _fits_somewhere(market) else another_loss(job, snapshot, tables, now=now)
    return (*found, *([fused] if fused is not None else []))


def cheaper_than(market: Market, cost_micro: int) -> tuple[NearMiss, ...]:
    """Return for each limit one candidate that breaks it alone and costs less than `cost_micro`: the cheapest, or
    where nobody can relax the limit (memory) the one that comes nearest to keeping it."""
    found = []
    for limit in LIMITS:
        if limit in {"speed_known", SIMPLER}:
            continue
        bills = _breaking_only(market, limit)
        cheaper = bills.take(bills.expected_micro < cost_micro)
        if cheaper.count == 0:
            continue
        nearest = limit in FITTING
        at = _least(market, limit, cheaper) if nearest else _cheapest(cheaper)
        found.append(_near_miss(market, (limit,), cheaper, at, kind="least" if nearest else "cheapest"))
    return tuple(found)


def all_runs_alike(market: Market) -> Market:
    """Return the market with every run of a sweep on the same candidate, so that a near miss stands for the job.

    What a plan mixes, the solver decides; but a sweep that is infeasible is so with all its runs alike, and relaxing
    what they break together makes it feasible.
    """
    runs, rows = market.job.runs, market.hardware
    if runs > 1 and market.quota is not None:
        gpus_each = np.array([offer.gpu_count for offer in market.offers.offers], dtype=np.float64)
        needed = runs * gpus_each[market.places.offer] * market.places.nodes
        market = marked(market, needed=needed, allowed=market.quota.allowed)
    if runs == 1 or "max_gpus" not in rows.slacks:
        return market
    counts = np.array([offer.gpu_count for offer in market.offers.offers], dtype=np.float64)
    gpus = np.zeros(rows.start.shape[0] - 1)
    gpus[market.places.klass] = counts[market.places.offer] * market.places.nodes
    allowed = rows.slacks["max_gpus"].allowed
    needed = runs * gpus[rows.klass]
    slack = Slack(needed=needed, allowed=allowed, margin=allowed - needed)
    mask = (rows.broken & ~bit("max_gpus")) | np.where(slack.broken, bit("max_gpus"), 0)
    return replace(market, hardware=replace(rows, slacks=rows.slacks | {"max_gpus": slack}, broken=mask))


def _ways_out(market: Market) -> tuple[NearMiss, ...]:
    found: list[NearMiss] = []
    for limit in LIMITS:
        if limit in {"speed_known", SIMPLER}:
            continue
        bills = _breaking_only(market, limit)
        if bills.count:
            found.extend(_told(market, limit, bills))
    found = _once_elsewhere(found)
    return tuple(found) if _one_is_enough(found) else (*found, *_fewest(market, told=bool(found)))


def _once_elsewhere(found: list[NearMiss]) -> list[NearMiss]:
    """Return the near misses without those that send the reader to the same larger machine for another reason."""
    seen: set[tuple[object, ...]] = set()
    kept = []
    for miss in found:
        where = (miss.candidate.offer.key, miss.candidate.recipe)
        if miss.limit in FITTING and miss.flags and where in seen:
            continue
        if miss.limit in FITTING and miss.flags:
            seen.add(where)
        kept.append(miss)
    return kept


def _one_is_enough(found: list[NearMiss] | tuple[NearMiss, ...]) -> bool:
    return any(not miss.also and (miss.flags or miss.limit == QUOTA) for miss in found)


def _breaking_only(market: Market, limit: str) -> Bills:
    """Return the bills that break exactly `limit`, without those that can be neither the cheapest nor the nearest."""
    rows = allowed_rows(market, bit(limit) if limit in _ON_HARDWARE else 0)
    places = allowed_places(market, bit(limit) if limit in _ON_PLACES else 0)
    # A limit on time, money or GPUs is broken least where times are least, and factorising keeps those.
    rows = _least_needing(market, limit, rows) if limit in FITTING else factorise(market, rows)
    bills = join(market, rows, places)
    over = _over_budget(market, bills)
    return bills.take(over if limit == BUDGET else ~over)


def _least_needing(market: Market, limit: str, rows: Ints) -> Ints:
    """Return of the rows that break a limit of machines the one of each class and variant that needs least.

    Classes that some recipe of the variant fits have none: there the limit is not what is in the way.
    """
    hardware = market.hardware
    group = hardware.klass * len(market.grid.variants) + hardware.variant
    fitting = np.zeros(int(group.max(initial=0)) + 1, dtype=np.bool_)
    fitting[group[(hardware.broken & sum(map(bit, FITTING))) == 0]] = True
    rows = rows[~fitting[group[rows]]]
    order = rows[np.lexsort((hardware.expected_s[rows], hardware.slacks[limit].needed[rows], group[rows]))]
    _, first = np.unique(group[order], return_index=True)
    return np.sort(order[first])


def _over_budget(market: Market, bills: Bills) -> Bools:
    allowed = budget_micro(market.job)
    if allowed is None:
        return np.zeros(bills.count, dtype=np.bool_)
    over: Bools = bills.high_micro * market.job.runs > allowed
    return over


def _fits_somewhere(market: Market) -> bool:
    """Return whether a recipe that was asked for fits a machine that may be used, time and money aside."""
    rows = market.hardware
    reachable = np.zeros(rows.start.shape[0] - 1, dtype=np.bool_)
    reachable[market.places.klass[(market.places.broken & ~bit(QUOTA)) == 0]] = True
    limits = (*FITTING, "speed_known", "method", "max_gpus", "max_nodes")
    mask = sum(bit(limit) for limit in limits)
    return bool((reachable[rows.klass] & ((rows.broken & mask) == 0)).any())


def _told(market: Market, limit: str, bills: Bills) -> list[NearMiss]:
    least = _least(market, limit, bills)
    if limit in FITTING:
        nearest = _near_miss(market, (limit,), bills, least, kind="least")
        return [nearest if nearest.allowed is None else too_small(market, nearest)]
    cheapest = _cheapest(bills)
    told = [_near_miss(market, (limit,), bills, cheapest, kind="cheapest")]
    if limit in _BY_DEGREES:
        needed = _needed(market, limit, bills)
        if needed[least] == needed[cheapest]:
            return [replace(told[0], kind="least")]
        told.append(_near_miss(market, (limit,), bills, least, kind="least"))
    return told


def _fewest(market: Market, *, told: bool) -> tuple[NearMiss, ...]:
    """Return the cheapest of the candidates that break the fewest limits, all of which somebody can relax.

    Where there is none, and nothing else is `told`, the cheapest of those that break the fewest limits of any kind.
    """
    rows = _undominated_alike(market, np.flatnonzero((market.hardware.broken & UNKNOWN_SPEED) == 0))
    fixed = sum(bit(limit) for limit in FIXED)
    best: tuple[tuple[bool, int, float], Bills] | None = None
    for bills in join_in_parts(market, rows, np.arange(market.places.count)):
        masks = broken_of(market, bills)
        counts = sum(((masks & bit(limit)) != 0).astype(np.int64) for limit in LIMITS)
        stuck = (masks & fixed) != 0
        at = int(np.lexsort((bills.expected_micro, counts, stuck))[0])
        key = (bool(stuck[at]), int(np.asarray(counts)[at]), float(bills.expected_micro[at]))
        if best is None or key < best[0]:
            best = key, bills.take(np.array([at]))
    if best is None or (told and best[0][0]):
        return ()
    limits = names_of(int(broken_of(market, best[1])[0]))
    return (_near_miss(market, limits, best[1], 0, kind="cheapest"),) if limits else ()


def _undominated_alike(market: Market, rows: Ints) -> Ints:
    """Return of rows (ascending) of one class and variant that break the same limits those that no other beats."""
    hardware = market.hardware
    group = hardware.klass[rows] * len(market.grid.variants) + hardware.variant[rows]
    group = group * (1 << len(LIMITS)) + hardware.broken[rows]
    order = np.argsort(group, kind="stable")
    ordered = rows[order]
    times = [hardware.expected_s[ordered], hardware.finish_s[ordered], hardware.high_s[ordered]]
    return np.sort(ordered[undominated(group[order], times)])


def figures_of(market: Market, limit: str, bills: Bills) -> tuple[Floats, Floats]:
    """Return what each bill needs of a limit and what the limit allows, both of shape (n,) in the unit of the limit.

    NaN where it is unknown what is allowed.
    """
    return _needed(market, limit, bills), _allowed(market, limit, bills)


def _near_miss(market: Market, limits: tuple[str, ...], bills: Bills, at: int, *, kind: str) -> NearMiss:
    one = bills.take(np.array([at]))
    figures = {
        limit: (float(_needed(market, limit, one)[0]), float(_allowed(market, limit, one)[0])) for limit in limits
    }
    return near_miss_at(market, int(one.place[0]), int(one.hardware[0]), figures, kind=kind)


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
    if limit == QUOTA and market.quota is not None:
        return market.quota.needed[bills.place]
    return market.places.slacks[limit].needed[market.places.offer[bills.place]]


def _allowed(market: Market, limit: str, bills: Bills) -> Floats:
    if limit == BUDGET:
        return np.full(bills.count, float(budget_micro(market.job) or 0))
    if limit in _ON_HARDWARE:
        return market.hardware.slacks[limit].allowed[bills.hardware]
    if limit == QUOTA and market.quota is not None:
        return market.quota.allowed[bills.place]
    return market.places.slacks[limit].allowed[market.places.offer[bills.place]]


def _margin(market: Market, limit: str, bills: Bills) -> Floats:
    if limit == BUDGET:
        return -bills.high_micro
    if limit in _ON_HARDWARE:
        return market.hardware.slacks[limit].margin[bills.hardware]
    if limit == QUOTA and market.quota is not None:
        return market.quota.margin[bills.place]
    return market.places.slacks[limit].margin[market.places.offer[bills.place]]
