"""Where a run turns when its spot machine is lost: the on-demand offer of the net, or spot elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .constraints import PlaceView, broken_mask, exclude_gpu, gpu, price_age, provider, region

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optimizer.physics.runs import Bools, Ints
    from optimizer.workload.job import Job
    from providers.offer import Offer

    from .constraints import Slack
    from .offers_columns import OfferColumns


def follows_policy(job: Job) -> bool:
    """Return whether a policy keeps the job's spot runs in time: somebody follows it, and there is a deadline."""
    return job.executor == "policy" and job.deadline_at is not None


def fallbacks(job: Job, offers: OfferColumns) -> Ints:
    """Return for each spot offer an on-demand offer (position) with the same GPUs, -1 for none; shape (n,).

    The same instance type in the same region, else the cheapest of the same provider, else the cheapest of all that the
    job allows. Asking for spot alone does not rule it out: a policy without a net could not keep a deadline. None where
    nobody acts on a loss (executor none).
    """
    found = np.full(offers.count, -1, dtype=np.int64)
    if job.executor == "none":  # nobody would go there
        return found
    allowed = _allowed_places(job, offers)
    by_machine: dict[tuple[str, int], list[int]] = {}
    for at in np.flatnonzero(~offers.spot & allowed):
        if offers.offers[int(at)].pricing_model.value == "on_demand":
            by_machine.setdefault(_kind(offers.offers[int(at)]), []).append(int(at))
    for at in np.flatnonzero(offers.spot):
        spot = offers.offers[int(at)]
        choices = by_machine.get(_kind(spot), [])
        if choices:
            found[at] = min(
                choices,
                key=lambda one: (*_distance(offers.offers[one], spot), float(offers.price_micro_per_s[one]), one),
            )
    return found


def lacks_net(job: Job, offers: OfferColumns, fallback: Ints) -> Bools:
    """Return which spot offers a policy cannot keep in time for want of an on-demand machine; shape (n,).

    Those that the job does not allow anyway are not among them.
    """
    if not follows_policy(job):
        return np.zeros(offers.count, dtype=np.bool_)
    return offers.spot & (fallback < 0) & _allowed_places(job, offers)


def dearer_than_on_demand(offers: OfferColumns) -> Bools:
    """Return which spot offers cost as much as on-demand of the same type in the same region, or more; shape (n,)."""
    cheapest: dict[tuple[str, str, str], float] = {}
    for at in np.flatnonzero(~offers.spot):
        offer = offers.offers[int(at)]
        if offer.pricing_model.value == "on_demand":
            key = (offer.provider, offer.region, offer.instance_type)
            cheapest[key] = min(cheapest.get(key, np.inf), float(offers.price_micro_per_s[at]))
    dearer = np.zeros(offers.count, dtype=np.bool_)
    for at in np.flatnonzero(offers.spot):
        offer = offers.offers[int(at)]
        there = cheapest.get((offer.provider, offer.region, offer.instance_type), np.inf)
        dearer[at] = float(offers.price_micro_per_s[at]) >= there
    return dearer


def elsewhere_allowed(slacks: Mapping[str, Slack], offers: OfferColumns) -> Bools:
    """Return which offers failover may turn to: those that break no limit on offers; shape (n,)."""
    kept: Bools = broken_mask(dict(slacks), offers.count) == 0
    return kept


def failover_order(offers: OfferColumns, at: int, allowed: Bools, fallback: Ints) -> list[int]:
    """Return where to look for the next spot machine, the offer itself first, then the cheapest of each other region.

    Regions of their own come first because availability is correlated within a region; further offers of regions named
    already are left out, and those that cost no less than the on-demand machine to fall back on.
    """
    own = offers.offers[at]
    order, regions = [at], {(own.provider, own.region)}
    for one in _same_machines(offers, allowed).get(_kind(own), ()):
        offer = offers.offers[one]
        if (offer.provider, offer.region) in regions or not _is_bargain(offers, one, fallback[at]):
            continue
        regions.add((offer.provider, offer.region))
        order.append(one)
    return order


def failover_regions(offers: OfferColumns, allowed: Bools, fallback: Ints) -> Ints:
    """Return in how many regions a lost spot machine may be looked for, its own included; shape (n,), 1 for others."""
    same = _same_machines(offers, allowed)
    counts = np.ones(offers.count, dtype=np.int64)
    for at in np.flatnonzero(offers.spot):
        own = offers.offers[int(at)]
        regions = {(own.provider, own.region)}
        regions |= {
            (offers.offers[one].provider, offers.offers[one].region)
            for one in same.get(_kind(own), ())
            if _is_bargain(offers, one, fallback[at])
        }
        counts[at] = len(regions)
    return counts


def _same_machines(offers: OfferColumns, allowed: Bools) -> dict[tuple[str, int], list[int]]:
    """Return the allowed spot offers (positions) by their GPUs, the cheapest first."""
    found: dict[tuple[str, int], list[int]] = {}
    for at in np.flatnonzero(offers.spot & allowed):
        found.setdefault(_kind(offers.offers[int(at)]), []).append(int(at))
    return {kind: sorted(ats, key=lambda at: (float(offers.price_micro_per_s[at]), at)) for kind, ats in found.items()}


def _is_bargain(offers: OfferColumns, at: int, net: int) -> bool:
    return net < 0 or float(offers.price_micro_per_s[at]) < float(offers.price_micro_per_s[net])


def _allowed_places(job: Job, offers: OfferColumns) -> Bools:
    """Return which offers keep the job's limits on where, and on the age of prices."""
    view = PlaceView.of(offers)
    kept = np.ones(offers.count, dtype=np.bool_)
    for limit in (provider, region, gpu, exclude_gpu, price_age):
        slack = limit(job, view)
        if slack is not None:
            kept &= ~slack.broken
    return kept


def _kind(offer: Offer) -> tuple[str, int]:
    """Return what a machine must have for a run to go on there as fast: the same GPUs, as many."""
    return (offer.gpu or "", offer.gpu_count)


def _distance(offer: Offer, spot: Offer) -> tuple[bool, bool]:
    same_place = (offer.provider, offer.region, offer.instance_type) == (
        spot.provider, spot.region, spot.instance_type,
    )  # fmt: skip
    return (not same_place, offer.provider != spot.provider)
