"""The limits of a job, each one function that gives a `Slack`: it prunes, decides, explains and feeds the solver.

A limit looks at one of two things, as columns: the grid points on their hardware (`HardwareView`), or the offers times
nodes (`PlaceView`). The budget looks at the bill and stands apart, because bills exist only after prices are joined.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optimizer.workload.matrices import complexity_rank, quality_rank

if TYPE_CHECKING:
    from datetime import datetime

    from optimizer.physics.runs import Bools, Floats, Ints
    from optimizer.workload.job import Job

    from .offers_columns import OfferColumns


@dataclass(frozen=True, slots=True, kw_only=True)
class Slack:
    """How far a limit is kept: `margin` >= 0 is satisfied, NaN is not judged. All of shape (n,), in `unit`.

    `needed` is what the candidate needs or has, `allowed` what the limit allows, NaN where that is unknown.
    """

    needed: Floats
    allowed: Floats
    margin: Floats

    @property
    def broken(self) -> Bools:
        """Where the limit is broken."""
        return self.margin < 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareView:
    """Grid points on hardware, arrays of shape (n,): bytes, seconds, ranks. NaN is unknown."""

    usable_bytes: Floats
    needed_bytes: Floats
    host_ram_bytes: Floats
    host_bytes: Floats
    local_disk_bytes: Floats
    nvme_bytes: Floats
    offloads: Bools
    finish_s: Floats
    quality: Floats
    complexity: Floats
    method_allowed: Bools
    gpus: Floats
    nodes: Floats
    other_gpus: Floats
    """GPUs that the other runs of a sweep need at least, at the same time; 0 for a single run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceView:
    """Offers, arrays of shape (n,)."""

    offers: OfferColumns
    spot_allowed: Bools
    dearer: Bools
    """Spot that costs as much as on-demand in the same place, or more."""
    without_net: Bools
    """Spot under a policy with a deadline, and no on-demand machine of its kind to fall back on."""

    @classmethod
    def of(cls, offers: OfferColumns) -> PlaceView:
        """Return offers with nothing said against their being spot."""
        nothing = np.zeros(offers.count, dtype=np.bool_)
        return cls(offers=offers, spot_allowed=~nothing, dearer=nothing, without_net=nothing)


HardwareLimit = Callable[["Job", HardwareView, "datetime"], Slack | None]
PlaceLimit = Callable[["Job", PlaceView], Slack | None]


def memory(_job: Job, view: HardwareView, _now: datetime) -> Slack | None:
    """High end of what one GPU needs (training or loading) against what a framework sees of it, in bytes."""
    return _at_most(view.needed_bytes, view.usable_bytes)


def host_memory(_job: Job, view: HardwareView, _now: datetime) -> Slack | None:
    """Memory of the node, in bytes. Unknown memory allows nothing to a recipe that offloads, and is else not judged."""
    kept = _at_most(view.host_bytes, view.host_ram_bytes)
    return _nothing_where_unknown(kept, uses=view.offloads)


def nvme(_job: Job, view: HardwareView, _now: datetime) -> Slack | None:
    """Local disk for state offloaded to NVMe, in bytes per node. Unknown disk allows nothing."""
    uses = view.nvme_bytes > 0.0
    kept = _at_most(view.nvme_bytes, np.where(uses, view.local_disk_bytes, np.nan))
    return _nothing_where_unknown(kept, uses=uses)


def speed_known(_job: Job, view: HardwareView, _now: datetime) -> Slack | None:
    """Whether the speed is known at all: a chip without figures gives none, and unknown is never fast."""
    known = np.isfinite(view.finish_s)
    return None if known.all() else _whether(known)


def deadline(job: Job, view: HardwareView, now: datetime) -> Slack | None:
    """Finish time at the confidence asked for against the time that is left, in seconds."""
    if job.deadline_at is None:
        return None
    return _at_most(view.finish_s, np.full(view.finish_s.shape, (job.deadline_at - now).total_seconds()))


def quality(job: Job, view: HardwareView, _now: datetime) -> Slack | None:
    """Quality level of the method against the floor, in levels of the ordinal scale."""
    if job.quality_floor is None:
        return None
    return _at_least(view.quality, float(quality_rank(job.quality_floor)))


def complexity(job: Job, view: HardwareView, _now: datetime) -> Slack | None:
    """Complexity level of the method against the ceiling, in levels of the ordinal scale."""
    if job.max_complexity is None:
        return None
    return _at_most(view.complexity, np.full(view.complexity.shape, float(complexity_rank(job.max_complexity))))


def method(_job: Job, view: HardwareView, _now: datetime) -> Slack | None:
    """Whether the job asks for this method and width; only a widened market holds others."""
    return None if view.method_allowed.all() else _whether(view.method_allowed)


def gpus(job: Job, view: HardwareView, _now: datetime) -> Slack | None:
    """GPUs of the whole job against the most that it may use at once.

    The runs of a sweep are placed all at once: beside this one the others need at least the smallest machines there
    are. What an assignment uses in total is a row of the solver.
    """
    return _at_most(view.gpus + view.other_gpus, np.full(view.gpus.shape, float(job.max_gpus)))


def nodes(job: Job, view: HardwareView, _now: datetime) -> Slack | None:
    """Nodes against the most that the job may use."""
    return _at_most(view.nodes, np.full(view.nodes.shape, float(job.max_nodes)))


def provider(job: Job, view: PlaceView) -> Slack | None:
    """Whether the provider is one of those allowed."""
    return _among_names([offer.provider for offer in view.offers.offers], job.providers)


def region(job: Job, view: PlaceView) -> Slack | None:
    """Whether the region is one of those allowed."""
    return _among_names([offer.region for offer in view.offers.offers], job.regions)


def gpu(job: Job, view: PlaceView) -> Slack | None:
    """Whether the GPU is one of those allowed."""
    return _among([offer.gpu or "" for offer in view.offers.offers], job.gpus)


def exclude_gpu(job: Job, view: PlaceView) -> Slack | None:
    """Whether the GPU is none of those excluded."""
    if not job.exclude_gpus:
        return None
    excluded = set(job.exclude_gpus)
    return _whether(np.array([offer.gpu not in excluded for offer in view.offers.offers], dtype=np.bool_))


def pricing_model(job: Job, view: PlaceView) -> Slack | None:
    """Whether the pricing model was asked for; unasked, on-demand, and spot where its price is fresh."""
    if job.pricing_models:
        return _among([offer.pricing_model.value for offer in view.offers.offers], job.pricing_models)
    return _whether(view.spot_allowed)


def price_age(job: Job, view: PlaceView) -> Slack | None:
    """Age of the price against the oldest that the job accepts, in seconds."""
    if job.max_price_age_s is None:
        return None
    return _at_most(view.offers.age_s, np.full(view.offers.count, job.max_price_age_s))


def spot_price(_job: Job, view: PlaceView) -> Slack | None:
    """Whether spot costs less than on-demand in the same place: it can cost more, and then buys nothing."""
    return _whether(~view.dearer) if view.dearer.any() else None


def fallback(_job: Job, view: PlaceView) -> Slack | None:
    """Whether there is an on-demand machine to fall back on, where a policy needs one to keep the deadline."""
    return _whether(~view.without_net) if view.without_net.any() else None


def budget(allowed_micro: int, high_micro: Floats) -> Slack:
    """High end of the bill against the budget, in micro-dollars."""
    return _at_most(high_micro, np.full(high_micro.shape, float(allowed_micro)))


HARDWARE_LIMITS: tuple[tuple[str, str, HardwareLimit], ...] = (
    ("memory", "bytes", memory),
    ("host_memory", "bytes", host_memory),
    ("nvme", "bytes", nvme),
    ("speed_known", "", speed_known),
    ("deadline", "s", deadline),
    ("quality_floor", "levels", quality),
    ("max_complexity", "levels", complexity),
    ("method", "", method),
    ("max_gpus", "GPUs", gpus),
    ("max_nodes", "nodes", nodes),
)
PLACE_LIMITS: tuple[tuple[str, str, PlaceLimit], ...] = (
    ("provider", "", provider),
    ("region", "", region),
    ("gpu", "", gpu),
    ("exclude_gpu", "", exclude_gpu),
    ("pricing_model", "", pricing_model),
    ("max_price_age", "s", price_age),
    ("spot_price", "", spot_price),
    ("fallback", "", fallback),
)
BUDGET = "budget"
SIMPLER = "simpler"
"""No limit of the job: the recipe is not needed, because a simpler one fits the machine (`admission`)."""
QUOTA = "quota"
"""GPUs that a quota allows, by place (`quota_places`)."""
LIMITS: tuple[str, ...] = (
    *(name for name, _, _ in HARDWARE_LIMITS),
    *(name for name, _, _ in PLACE_LIMITS),
    BUDGET,
    SIMPLER,
    QUOTA,
)
"""Every limit. Its position is its bit in the masks of broken limits."""
FIXED: frozenset[str] = frozenset({"memory", "host_memory", "nvme", "speed_known", "spot_price", "fallback", SIMPLER})
"""What no flag of a job relaxes: only another machine helps, or another recipe."""

UNITS: dict[str, str] = {
    **{name: unit for name, unit, _ in HARDWARE_LIMITS},
    **{name: unit for name, unit, _ in PLACE_LIMITS},
    BUDGET: "usd_micro",
    SIMPLER: "",
    QUOTA: "GPUs",
}


def bit(limit: str) -> int:
    """Return the bit that stands for a limit in masks."""
    return 1 << LIMITS.index(limit)


def hardware_slacks(job: Job, view: HardwareView, *, now: datetime) -> dict[str, Slack]:
    """Return the slack of every limit on hardware that the job sets."""
    found = ((name, limit(job, view, now)) for name, _, limit in HARDWARE_LIMITS)
    return {name: slack for name, slack in found if slack is not None}


def place_slacks(job: Job, view: PlaceView) -> dict[str, Slack]:
    """Return the slack of every limit on offers that the job sets."""
    found = ((name, limit(job, view)) for name, _, limit in PLACE_LIMITS)
    return {name: slack for name, slack in found if slack is not None}


def simpler(surplus: Bools) -> Slack:
    """Return the slack of recipes that are not needed (`admission`); the others are not judged by it."""
    margin = np.where(surplus, -1.0, np.nan)
    return Slack(needed=np.where(surplus, 1.0, 0.0), allowed=np.zeros(margin.shape), margin=margin)


def broken_mask(slacks: dict[str, Slack], count: int) -> Ints:
    """Return the limits that each row breaks as a mask of bits, int64 of shape (count,)."""
    mask = np.zeros(count, dtype=np.int64)
    for name, slack in slacks.items():
        mask |= np.where(slack.broken, bit(name), 0)
    return mask


def names_of(mask: int) -> tuple[str, ...]:
    """Return the limits whose bits are set, in their order."""
    return tuple(name for name in LIMITS if mask & bit(name))


def _at_most(needed: Floats, allowed: Floats) -> Slack:
    return Slack(needed=needed, allowed=allowed, margin=allowed - needed)


def _at_least(has: Floats, floor: float) -> Slack:
    return Slack(needed=np.full(has.shape, floor), allowed=has, margin=has - floor)


def _nothing_where_unknown(slack: Slack, *, uses: Bools) -> Slack:
    """Return the slack with the limit broken by all that is needed, where it is unknown and the recipe `uses` it."""
    unknown = uses & np.isnan(slack.allowed)
    return Slack(needed=slack.needed, allowed=slack.allowed, margin=np.where(unknown, -slack.needed, slack.margin))


def _whether(kept: Bools) -> Slack:
    margin = np.where(kept, 0.0, -1.0)
    return Slack(needed=-margin, allowed=np.zeros(margin.shape), margin=margin)


def _among(values: list[str], allowed: tuple[str, ...]) -> Slack | None:
    if not allowed:
        return None
    accepted = set(allowed)
    return _whether(np.array([value in accepted for value in values], dtype=np.bool_))


def _among_names(values: list[str], allowed: tuple[str, ...]) -> Slack | None:
    """As `_among`, upper and lower case alike: people write AWS and Us-East-1."""
    return _among([value.casefold() for value in values], tuple(name.casefold() for name in allowed))
