"""The market of a job: every offer, machine and recipe that could carry it, and the limits that each part breaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from providers.errors import JobError, PricesUnavailable

from .constraints import PlaceView, bit, broken_mask, place_slacks
from .grid import build_grid, rows_on
from .hardware import HardwareRows, Places, classes_of, hardware_rows, physics_classes
from .offers_columns import lay_out_offers
from .physics_rows import evaluate_rows
from .price_age import spot_is_fresh
from .variants import all_variants, variants_of

if TYPE_CHECKING:
    from datetime import datetime

    from optimizer.physics.runs import Bools, Ints
    from optimizer.workload.job import Job
    from providers.offer import PriceSnapshot

    from .grid import GridRows, RecipeGrid
    from .offers_columns import OfferColumns
    from .physics_rows import PhysicsRows
    from .tables import Tables

WIDER_NODES = (2, 4, 8)
"""Node counts beyond the limit of the job that near misses and explanations look at."""


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

    @property
    def hardware_classes(self) -> int:
        """Number of hardware classes on which at least one recipe makes sense."""
        return int(np.count_nonzero(np.diff(self.hardware.start)))

    def candidates(self) -> int:
        """Return the number of distinct valid (offer, nodes, recipe) tuples."""
        return int(self._recipes()[self.places.klass].sum())

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


def survey(job: Job, snapshot: PriceSnapshot, tables: Tables, *, now: datetime, wide: bool = False) -> Market:
    """Return the market of a job, no prices joined yet.

    `wide` adds methods, widths and node counts that the job does not allow, marked as breaking a limit: near misses
    and explanations look there. Raises JobError when no recipe makes sense (no offer's GPUs divide the global batch
    included), PricesUnavailable when no offer can be used.
    """
    offers = lay_out_offers(snapshot, tables.gpus, now=now)
    if offers.count == 0:
        raise PricesUnavailable(_no_offers(offers))
    grid = build_grid(job, all_variants(job) if wide else variants_of(job))
    allowed = tuple(range(1, job.max_nodes + 1))
    beyond = tuple(count for count in WIDER_NODES if count > job.max_nodes) if wide else ()
    classes, places = classes_of(offers, allowed + beyond)
    physics_class, machines = physics_classes(classes, offers)
    rows = rows_on(grid, machines)
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
        places=_judged(job, offers, places, now=now),
    )


def _judged(job: Job, offers: OfferColumns, places: Places, *, now: datetime) -> Places:
    fresh = [
        not spot or spot_is_fresh(price_class=offer.price_class, age_s=float(age))
        for offer, spot, age in zip(offers.offers, offers.spot, offers.age_s, strict=True)
    ]
    view = PlaceView(offers=offers, spot_allowed=np.array(fresh, dtype=np.bool_), now=now)
    slacks = place_slacks(job, view)
    return Places(
        offer=places.offer,
        nodes=places.nodes,
        klass=places.klass,
        broken=broken_mask(slacks, offers.count)[places.offer],
        slacks=slacks,
    )


def _no_offers(offers: OfferColumns) -> str:
    reasons = ", ".join(f"{count} x {reason}" for reason, count in offers.unusable.items())
    return f"no usable offer in the price list ({reasons})" if reasons else "the price list is empty"
