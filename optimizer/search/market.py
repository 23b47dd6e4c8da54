"""Hardware x recipes x offers: physics first, then the exact factorisation, then prices. Physics and prices meet here.

A hardware class is what decides memory and time: GPU, GPUs per node, nodes, host RAM, network, disk, and whether it can
be taken away (spot). Within a class prices do not matter, so of every variant (tuning x width) only the Pareto set over
the times that a bill or a deadline can depend on is ever joined with prices. The cost of an offer is a non-decreasing
function of those times, so nothing that could be the cheapest is lost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from optimizer.physics.tabulate import Machine
from providers.offer import PricingModel

from .constraints import (
    HardwareView,
    PlaceView,
    Slack,
    bit,
    broken_mask,
    hardware_slacks,
    place_slacks,
)
from .cost import Rates, disk_micro_per_s, egress_micro, expected_micro, hidden_share_micro, high_micro
from .grid import GridRows, RecipeGrid, build_grid, rows_on
from .interruptions import ASSUMED_RATE, MANUAL_RESTART_S, stretch
from .offers_columns import OfferColumns, lay_out_offers
from .pareto import undominated
from .physics_rows import PhysicsRows, evaluate_rows
from .price_age import spot_is_fresh
from .variants import all_variants, variants_of

if TYPE_CHECKING:
    from datetime import datetime

    from optimizer.physics.runs import Bools, Floats, Ints
    from optimizer.workload.job import Job
    from providers.offer import PriceSnapshot

    from .tables import Tables

WIDEST_NODES = 8
"""Nodes up to which near misses look beyond the limit of the job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareRows:
    """Grid points on hardware classes: m rows grouped by class, within a class in grid order (by recipe name).

    The rows of class c are `start[c]` to `start[c + 1]`. `row` points into the physics rows. `copies` counts the
    recipes that a row stands for (2 where rsLoRA shares LoRA's row). Times in seconds, interruptions included.
    """

    klass: Ints
    start: Ints
    row: Ints
    variant: Ints
    copies: Ints
    stretch: Floats
    """Factor by which interruptions lengthen the median; 1 on machines that stay."""
    low_s: Floats
    expected_s: Floats
    high_s: Floats
    finish_s: Floats
    disk_bytes: Floats
    slacks: dict[str, Slack]
    broken: Ints

    @property
    def count(self) -> int:
        """Number of rows."""
        return self.row.shape[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Offer x nodes: k rows in the order of the offers' keys. `broken` masks the limits that the offer breaks."""

    offer: Ints
    nodes: Ints
    klass: Ints
    broken: Ints
    slacks: dict[str, Slack]
    """Per offer, not per place."""

    @property
    def count(self) -> int:
        """Number of places."""
        return self.offer.shape[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """Everything a job could run on, with the limits that each part breaks; bills are worked out on demand."""

    job: Job
    now: datetime
    tables: Tables
    offers: OfferColumns
    grid: RecipeGrid
    rows: GridRows
    physics: PhysicsRows | None
    hardware: HardwareRows
    places: Places

    @property
    def hardware_classes(self) -> int:
        """Number of hardware classes on which at least one recipe makes sense."""
        return int(np.count_nonzero(np.diff(self.hardware.start)))

    def candidates(self) -> int:
        """Return the number of distinct valid (offer, nodes, recipe) tuples."""
        return int(self._recipes_per_class(np.ones(self.hardware.count, dtype=np.bool_))[self.places.klass].sum())

    def rejected(self, limit: str) -> int:
        """Return how many tuples break a limit other than the budget, whatever else they break."""
        per_class = self._recipes_per_class((self.hardware.broken & bit(limit)) != 0)
        everything = self._recipes_per_class(np.ones(self.hardware.count, dtype=np.bool_))
        here = (self.places.broken & bit(limit)) != 0
        return int(np.where(here, everything[self.places.klass], per_class[self.places.klass]).sum())

    def _recipes_per_class(self, chosen: Bools) -> Ints:
        weights = np.where(chosen, self.hardware.copies, 0).astype(np.float64)
        classes = self.hardware.start.shape[0] - 1
        return np.bincount(self.hardware.klass, weights=weights, minlength=classes).astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bills:
    """Places joined with hardware rows of their class: shape (n,). Costs are whole micro-dollars in float64."""

    place: Ints
    hardware: Ints
    expected_micro: Floats
    high_micro: Floats

    @property
    def count(self) -> int:
        """Number of bills."""
        return self.place.shape[0]

    def take(self, rows: Ints) -> Bills:
        """Return the bills at the given positions."""
        return Bills(
            place=self.place[rows],
            hardware=self.hardware[rows],
            expected_micro=self.expected_micro[rows],
            high_micro=self.high_micro[rows],
        )


def survey(job: Job, snapshot: PriceSnapshot, tables: Tables, *, now: datetime, wide: bool = False) -> Market:
    """Return the market of a job. `wide` adds methods, widths and node counts that the job does not allow (and marks
    them so), for near misses and explanations. Raises JobError when no recipe makes sense."""
    offers = lay_out_offers(snapshot, tables.gpus, now=now)
    grid = build_grid(job, all_variants(job) if wide else variants_of(job))
    node_counts = set(range(1, job.max_nodes + 1))
    if wide:
        node_counts |= {count for count in (2, 4, WIDEST_NODES) if count > job.max_nodes}
    classes, places = _classes(offers, sorted(node_counts))
    physics_class, machines = _physics_classes(classes, offers)
    rows = rows_on(grid, machines)
    physics = evaluate_rows(job, grid, rows, machines, tables) if rows.count else None
    market = Market(
        job=job,
        now=now,
        tables=tables,
        offers=offers,
        grid=grid,
        rows=rows,
        physics=physics,
        hardware=_hardware_rows(job, offers, grid, rows, physics, classes, physics_class, machines, tables, now),
        places=places,
    )
    slacks = place_slacks(job, PlaceView(offers=offers, spot_allowed=_spot_allowed(offers), now=now))
    mask = broken_mask(slacks, offers.count)
    return replace(market, places=replace(places, broken=mask[places.offer], slacks=slacks))


@dataclass(frozen=True, slots=True, kw_only=True)
class _HardwareClass:
    """A kind of node, how many of them, and whether they can be taken away."""

    machine: int
    nodes: int
    spot: bool


def _classes(offers: OfferColumns, node_counts: list[int]) -> tuple[list[_HardwareClass], Places]:
    """Return the distinct hardware classes, and every offer at every node count (one GPU is not worth a network)."""
    index: dict[_HardwareClass, int] = {}
    columns: list[tuple[int, int, int]] = []
    for position, offer in enumerate(offers.offers):
        for nodes in node_counts if offer.gpu_count > 1 else node_counts[:1]:
            key = _HardwareClass(
                machine=int(offers.machine[position]), nodes=nodes, spot=offer.pricing_model is PricingModel.SPOT
            )
            columns.append((position, nodes, index.setdefault(key, len(index))))
    table = np.array(columns, dtype=np.int64).reshape(-1, 3)
    places = Places(
        offer=table[:, 0],
        nodes=table[:, 1],
        klass=table[:, 2],
        broken=np.zeros(len(columns), dtype=np.int64),
        slacks={},
    )
    return list(index), places


def _physics_classes(classes: list[_HardwareClass], offers: OfferColumns) -> tuple[Ints, list[Machine]]:
    """Return for each hardware class its physics class, and those: host RAM, disk and spot change no estimate."""
    index: dict[tuple[str, int, int, float | None], int] = {}
    machines: list[Machine] = []
    where = np.zeros(len(classes), dtype=np.int64)
    for position, klass in enumerate(classes):
        node = offers.machines[klass.machine]
        key = (node.gpu.id, node.gpu_count, klass.nodes, node.network_bytes_per_s)
        if key not in index:
            index[key] = len(machines)
            machines.append(replace(node, nodes=klass.nodes, host_ram_bytes=None, disk_bytes=None))
        where[position] = index[key]
    return where, machines


def _hardware_rows(
    market_of: tuple[Job, Tables, datetime],
    offers: OfferColumns,
    grid: RecipeGrid,
    rows: GridRows,
    physics: PhysicsRows | None,
    classes: list[_HardwareClass],
    physics_class: Ints,
    machines: list[Machine],
) -> HardwareRows:
    """Spread the physics rows over the hardware classes and judge each against the limits of the job."""
    job, tables, now = market_of
    sizes = np.diff(rows.start)[physics_class] if classes else np.zeros(0, dtype=np.int64)
    start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    klass = np.repeat(np.arange(len(classes)), sizes)
    if physics is None:
        return _no_rows(start)
    row = np.arange(start[-1]) - np.repeat(start[:-1] - rows.start[physics_class], sizes)
    variant = grid.variant[rows.base[row]]
    lengthened = _stretches(job, physics, np.array([one.spot for one in classes], dtype=np.bool_)[klass], row)
    total = physics.duration.total
    finish_s = physics.finish_s[row] * lengthened.high
    view = _hardware_view(tables, offers, grid, physics, classes, klass, row, variant, finish_s)
    slacks = hardware_slacks(job, view, now=now)
    return HardwareRows(
        klass=klass,
        start=start,
        row=row,
        variant=variant,
        copies=np.array([len(one.tunings) for one in grid.variants], dtype=np.int64)[variant],
        stretch=lengthened.expected,
        low_s=total.low[row] * lengthened.low,
        expected_s=total.expected[row] * lengthened.expected,
        high_s=total.high[row] * lengthened.high,
        finish_s=finish_s,
        disk_bytes=physics.disk_bytes[row],
        slacks=slacks,
        broken=broken_mask(slacks, row.shape[0]),
    )
