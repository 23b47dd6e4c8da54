"""The market of a job: every offer, machine and recipe that could carry it, and the limits that each part breaks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import isqrt
from typing import TYPE_CHECKING

import numpy as np

from providers.errors import JobError, PricesUnavailable

from .constraints import PlaceView, bit, broken_mask, place_slacks
from .fallbacks import dearer_than_on_demand, elsewhere_allowed, failover_regions, fallbacks, follows_policy, lacks_net
from .grid import GridLayout, build_grid, rungs
from .hardware import HardwareRows, Places, classes_of, hardware_rows, physics_classes
from .offers_columns import lay_out_offers
from .physics_rows import evaluate_rows
from .price_age import spot_is_fresh
from .spot_rows import MOST_REGIONS
from .variants import all_variants, variants_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from optimizer.physics.axes import Loss
    from optimizer.physics.runs import Bools, Floats, Ints
    from optimizer.workload.job import Job
    from providers.offer import PriceSnapshot

    from .constraints import Slack
    from .grid import GridRows, RecipeGrid
    from .offers_columns import OfferColumns
    from .physics_rows import PhysicsRows
    from .spot.dynamic_program import SpotSolution
    from .spot_simulated import Drawn, Draws
    from .tables import Tables

WIDER_NODES = (2, 4, 8)
"""Node counts beyond the limit of the job that near misses and explanations look at."""
ALL_NODES_UP_TO = 16
"""Up to here every node count that divides the batch is searched, beyond it the largest up to each power of two."""
MOST_ROWS, MOST_TUPLES = 50_000, 1_000_000
"""Work of one survey: beyond it fewer node counts are searched, those up to each power of 2, 4, 8, 16 or 32, or one."""
COARSEST = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """Everything a job could run on, with the limits that each part breaks; bills are worked out on demand."""

    job: Job
    now: datetime
    tables: Tables
    offers: OfferColumns
    grid: RecipeGrid
    rows: GridRows
    physics: PhysicsRows
    hardware: HardwareRows
    places: Places
    fallback: Ints
    """The on-demand offer (position) that a policy falls back on, for each offer; -1 where there is none."""
    quota: Slack | None = None
    """GPUs that places need and that quotas allow, shape (places,), where there are quotas (`quota_places`)."""
    draws: Draws | None = None
    """How many runs on spot to draw where they are asked for, and the seed."""
    answers: dict[object, SpotSolution | Drawn] = field(default_factory=dict, compare=False, repr=False)
    """Policies worked out so far, by what they hang on: the same question is not asked twice."""

    @property
    def has_net(self) -> bool:
        """Whether spot runs are kept in time by on-demand machines: a policy acts, and there is a deadline to keep."""
        return follows_policy(self.job)

    @property
    def bounded(self) -> Bools:
        """Which offers are spot under a policy with an on-demand machine to fall back on, shape (offers,)."""
        bounded: Bools = self.offers.spot & (self.fallback >= 0) & self.has_net
        return bounded

    @property
    def fallback_micro_per_s(self) -> Floats:
        """Price of the on-demand machine to fall back on, micro-dollars per second, shape (offers,); NaN for none."""
        price = self.offers.price_micro_per_s[np.maximum(self.fallback, 0)]
        return np.where(self.fallback >= 0, price, np.nan)

    @property
    def hardware_classes(self) -> int:
        """Number of hardware classes on which at least one recipe makes sense."""
        return int(np.count_nonzero(np.diff(self.hardware.start)))

    def candidates(self) -> int:
        """Return the number of distinct valid (offer, nodes, recipe) tuples."""
        return int(self._recipes()[self.places.klass].sum())

    def without(self, limit: str) -> Market:
        """Return the market with a limit on hardware lifted: nothing breaks it."""
        hardware = replace(
            self.hardware,
            broken=self.hardware.broken & ~bit(limit),
            slacks={name: slack for name, slack in self.hardware.slacks.items() if name != limit},
        )
        return replace(self, hardware=hardware)

    def rejected(self, limit: str) -> int:
        """Return how many tuples break a limit (other than the budget), whatever else they break."""
        here = (self.places.broken & bit(limit)) != 0
        there = self._recipes((self.hardware.broken & bit(limit)) != 0)
        return int(np.where(here, self._recipes()[self.places.klass], there[self.places.klass]).sum())

    def _recipes(self, chosen: Bools | None = None) -> Ints:
        """Return the number of (chosen) recipes of each hardware class, twins of equal cost included."""
        weights = self.hardware.copies if chosen is None else np.where(chosen, self.hardware.copies, 0)
        classes = self.hardware.start.shape[0] - 1
        return np.bincount(self.hardware.klass, weights=weights.astype(np.float64), minlength=classes).astype(np.int64)


def survey(
    job: Job, snapshot: PriceSnapshot, tables: Tables, *, now: datetime, wide: bool = False, loss: Loss | None = None
) -> Market:
    """Return the market of a job, no prices joined yet.

    `wide` adds methods, widths and node counts that the job does not allow, marked as breaking a limit: near misses
    and explanations look there. `loss` replaces the cross-entropy that the job names. Raises JobError when no recipe
    makes sense (no offer's GPUs divide the global batch included), PricesUnavailable when no offer can be used.
    """
    offers = lay_out_offers(snapshot, tables.gpus, now=now)
    if offers.count == 0:
        raise PricesUnavailable(_no_offers(offers))
    fallback = fallbacks(job, offers)
    judged = _judged(job, offers, tables, fallback)
    regions = np.minimum(failover_regions(offers, elsewhere_allowed(judged, offers), fallback), MOST_REGIONS)
    grid = build_grid(job, all_variants(job) if wide else variants_of(job), loss=loss)
    layout = GridLayout(grid)
    for coarseness in range(COARSEST + 1):
        node_counts = _node_counts(job, offers, wide=wide, coarseness=coarseness)
        classes, places = classes_of(offers, node_counts, regions=regions)
        physics_class, machines = physics_classes(classes, offers)
        counts = layout.count_on(machines)
        if counts.sum() <= MOST_ROWS and counts[physics_class][places.klass].sum() <= MOST_TUPLES:
            break
    rows = layout.rows_on(machines)
    if rows.count == 0:
        raise JobError(
            where=job.name or "job",
            key="global_batch",
            value=job.global_batch,
            allowed="a multiple of the GPUs of some offer, for a recipe that makes sense there",
        )
    physics = evaluate_rows(job, grid, rows, machines, tables)
    hardware = hardware_rows(
        job=job,
        now=now,
        matrices=tables.matrices,
        offers=offers,
        grid=grid,
        rows=rows,
        physics=physics,
        classes=classes,
        physics_class=physics_class,
    )
    return Market(
        job=job,
        now=now,
        tables=tables,
        offers=offers,
        grid=grid,
        rows=rows,
        physics=physics,
        hardware=hardware,
        places=replace(places, broken=broken_mask(judged, offers.count)[places.offer], slacks=judged),
        fallback=fallback,
    )


def _node_counts(job: Job, offers: OfferColumns, *, wide: bool, coarseness: int) -> Mapping[int, tuple[int, ...]]:
    """Return for each number of GPUs a node how many such nodes are looked at, ascending; always at least one.

    Several nodes only where all their GPUs divide the global batch, and never nodes of one GPU: a network between
    single GPUs costs more than it brings. What is searched does not hang on the limit of nodes: a larger limit only
    adds counts.
    """
    found = {}
    for gpus in sorted({offer.gpu_count for offer in offers.offers}):
        share = 0 if gpus == 1 or job.global_batch % gpus else job.global_batch // gpus
        divisors = _divisors(share)
        if coarseness == COARSEST:
            searched = []
        elif coarseness:
            searched = rungs(divisors, ratio=2**coarseness)
        else:
            searched = [one for one in divisors if one <= ALL_NODES_UP_TO]
            searched += [one for one in rungs(divisors) if one > ALL_NODES_UP_TO]
        beyond = [one for one in WIDER_NODES if wide and one > job.max_nodes and one in divisors]
        found[gpus] = (1, *sorted({one for one in searched if 1 < one <= job.max_nodes} | set(beyond)))
    return found


def _divisors(number: int) -> list[int]:
    """Return the divisors of a number, ascending; none of 0."""
    low = [one for one in range(1, isqrt(number) + 1) if number % one == 0]
    return sorted({*low, *(number // one for one in low)})


def _judged(job: Job, offers: OfferColumns, tables: Tables, fallback: Ints) -> dict[str, Slack]:
    """Return the slack of every limit on offers."""
    limits_s = tables.spot_fresh_s
    fresh = [
        not spot or spot_is_fresh(price_class=offer.price_class, age_s=float(age), limits_s=limits_s)
        for offer, spot, age in zip(offers.offers, offers.spot, offers.age_s, strict=True)
    ]
    view = PlaceView(
        offers=offers,
        spot_allowed=np.array(fresh, dtype=np.bool_),
        dearer=dearer_than_on_demand(offers),
        without_net=lacks_net(job, offers, fallback),
    )
    return place_slacks(job, view)


def _no_offers(offers: OfferColumns) -> str:
    reasons = ", ".join(f"{count} x {reason}" for reason, count in offers.unusable.items())
    return f"no usable offer in the price list ({reasons})" if reasons else "the price list is empty"
