"""Hardware classes, and the grid points on them: where physics, interruptions and the limits on hardware come together.

A hardware class is what decides memory and time: GPU, GPUs per node, nodes, host RAM, network, disk, and whether it can
be taken away (spot). Host RAM, disk and spot change no estimate of memory or speed, so physics runs on fewer classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from optimizer.workload.matrices import complexity_rank, quality_rank

from .admission import FITTING, not_needed
from .constraints import SIMPLER, HardwareView, Slack, broken_mask, hardware_slacks, simpler
from .spot_rows import SpotColumns, spot_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from optimizer.physics.runs import Bools, Floats, Ints
    from optimizer.physics.tabulate import Machine
    from optimizer.workload.job import Job
    from optimizer.workload.matrices import Matrices

    from .grid import GridRows, RecipeGrid
    from .offers_columns import OfferColumns
    from .physics_rows import PhysicsRows


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareClass:
    """A kind of node (index into the machines of the offers), how many of them, and whether they can be taken away.

    `prior` says how often (index into the priors of the offers), `regions` in how many regions they are offered.
    """

    machine: int
    nodes: int
    spot: bool
    prior: int = 0
    regions: int = 1


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
    """Factor by which interruptions and waits lengthen the median; 1 on machines that stay."""
    stretch_high: Floats
    held_fraction: Floats
    """Share of the time in which a machine is held, and billed; 1 on machines that stay."""
    on_spot_fraction: Floats
    """Share of that on the spot machine; the rest is on the on-demand machine to fall back on. 1 without a policy."""
    regions: Ints
    """In how many regions the machines of each class are offered as spot, shape (classes,)."""
    every_s: Floats
    """Work between two checkpoints, seconds; 0: none but the last."""
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
        return int(self.row.shape[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Offer x nodes: k rows, fewest nodes first, then in the order of the offers.

    `broken` masks the limits that the offer breaks.
    """

    offer: Ints
    nodes: Ints
    klass: Ints
    broken: Ints
    slacks: dict[str, Slack]
    """Per offer, not per place."""

    @property
    def count(self) -> int:
        """Number of places."""
        return int(self.offer.shape[0])


def classes_of(
    offers: OfferColumns, node_counts: Mapping[int, Sequence[int]], *, regions: Ints | None = None
) -> tuple[list[HardwareClass], Places]:
    """Return the distinct hardware classes, and every offer at every node count, its limits not yet judged.

    `node_counts` says how many nodes of a given number of GPUs are strung together, ascending; `regions` in how
    many regions each offer's machine may be looked for when it is lost (default: one).
    """
    gpus = np.array([offer.gpu_count for offer in offers.offers], dtype=np.int64)
    regions = np.ones(offers.count, dtype=np.int64) if regions is None else regions
    distinct_kinds, kind = np.unique(
        np.stack([offers.machine, offers.spot.astype(np.int64), offers.prior, regions]), axis=1, return_inverse=True
    )
    kind = kind.ravel()
    found = []
    for nodes in sorted({nodes for counts in node_counts.values() for nodes in counts}):
        sizes = [size for size, counts in node_counts.items() if nodes in counts]
        position = np.flatnonzero(np.isin(gpus, sizes))
        found.append(np.stack([position, np.full(position.shape, nodes), kind[position]]))
    position, nodes_at, kind_at = np.concatenate(found, axis=1)
    kinds = distinct_kinds.shape[1]
    distinct, klass = np.unique(nodes_at * kinds + kind_at, return_inverse=True)
    classes = []
    for one in distinct:
        machine, spot, prior, count = (int(value) for value in distinct_kinds[:, one % kinds])
        classes.append(
            HardwareClass(machine=machine, nodes=int(one // kinds), spot=bool(spot), prior=prior, regions=count)
        )
    places = Places(
        offer=position,
        nodes=nodes_at,
        klass=klass,
        broken=np.zeros(position.shape, dtype=np.int64),
        slacks={},
    )
    return classes, places


def physics_classes(classes: Sequence[HardwareClass], offers: OfferColumns) -> tuple[Ints, list[Machine]]:
    """Return for each hardware class its physics class, and the machines of those (host RAM and disk left open)."""
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


def hardware_rows(
    *,
    job: Job,
    now: datetime,
    matrices: Matrices,
    offers: OfferColumns,
    grid: RecipeGrid,
    rows: GridRows,
    physics: PhysicsRows,
    classes: Sequence[HardwareClass],
    physics_class: Ints,
) -> HardwareRows:
    """Return the physics rows spread over the hardware classes, each judged against the limits of the job."""
    sizes = np.diff(rows.start)[physics_class]
    start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    klass = np.repeat(np.arange(len(classes)), sizes)
    row = np.arange(start[-1]) - np.repeat(start[:-1] - rows.start[physics_class], sizes)
    variant = grid.variant[rows.base[row]]
    total = physics.duration.total
    timed = _times(job, physics, offers, classes, klass=klass, row=row, now=now)
    finish_s = timed.finish_s
    gpus = np.array([offers.machines[one.machine].gpu_count * one.nodes for one in classes], dtype=np.int64)
    view = _view(
        matrices=matrices,
        offers=offers,
        grid=grid,
        physics=physics,
        classes=classes,
        klass=klass,
        row=row,
        variant=variant,
        finish_s=finish_s,
        # Beside one run of a sweep the others take at least the smallest machine on which anything makes sense.
        other_gpus=(job.runs - 1) * int(gpus[sizes > 0].min()),
    )
    slacks = hardware_slacks(job, view, now=now)
    slacks |= _not_needed(slacks, group=klass * len(grid.variants) + variant, rank=grid.rank[rows.base[row]])
    return HardwareRows(
        klass=klass,
        start=start,
        row=row,
        variant=variant,
        copies=np.array([len(one.tunings) for one in grid.variants], dtype=np.int64)[variant],
        stretch=timed.expected_s / total.expected[row],
        stretch_high=timed.high_s / total.high[row],
        held_fraction=timed.held_fraction,
        on_spot_fraction=timed.on_spot_fraction,
        regions=np.array([one.regions for one in classes], dtype=np.int64),
        every_s=timed.every_s,
        low_s=timed.low_s,
        expected_s=timed.expected_s,
        high_s=timed.high_s,
        finish_s=finish_s,
        disk_bytes=physics.disk_bytes[row],
        slacks=slacks,
        broken=broken_mask(slacks, row.shape[0]),
    )


def _not_needed(slacks: Mapping[str, Slack], *, group: Ints, rank: Ints) -> dict[str, Slack]:
    """Return the slack of the recipes that are not needed; nothing where all are."""
    misfits: Bools = np.zeros(group.shape, dtype=np.bool_)
    for limit in FITTING:
        misfits = misfits | slacks[limit].broken
    surplus = not_needed(group, rank, fits=~misfits)
    return {SIMPLER: simpler(surplus)} if surplus.any() else {}


def _times(
    job: Job,
    physics: PhysicsRows,
    offers: OfferColumns,
    classes: Sequence[HardwareClass],
    *,
    klass: Ints,
    row: Ints,
    now: datetime,
) -> SpotColumns:
    """Return the times of every row; on machines that stay those of physics."""
    total = physics.duration.total
    ones = np.ones(row.shape)
    columns = {
        "low_s": total.low[row],
        "expected_s": total.expected[row],
        "high_s": total.high[row],
        "finish_s": physics.finish_s[row],
        "held_fraction": ones,
        "on_spot_fraction": ones,
        "every_s": physics.checkpoint_every_s[row],
    }
    spot = np.flatnonzero(np.array([one.spot for one in classes], dtype=np.bool_)[klass])
    if spot.size == 0:
        return SpotColumns(**columns)
    prior, regions = (np.array(of, dtype=np.int64)[klass[spot]] for of in _spot_facts(classes))
    left_s = None if job.deadline_at is None else (job.deadline_at - now).total_seconds()
    timed = spot_columns(job, physics, row[spot], prior=prior, priors=offers.priors, regions=regions, left_s=left_s)
    for name, column in columns.items():
        columns[name] = column.copy()
        columns[name][spot] = getattr(timed, name)
    return SpotColumns(**columns)


def _spot_facts(classes: Sequence[HardwareClass]) -> tuple[list[int], list[int]]:
    return [one.prior for one in classes], [one.regions for one in classes]


def _view(
    *,
    matrices: Matrices,
    offers: OfferColumns,
    grid: RecipeGrid,
    physics: PhysicsRows,
    classes: Sequence[HardwareClass],
    klass: Ints,
    row: Ints,
    variant: Ints,
    finish_s: Floats,
    other_gpus: int,
) -> HardwareView:
    def per_class(values: list[float]) -> Floats:
        return np.array(values, dtype=np.float64)[klass]

    def per_variant(values: list[float]) -> Floats:
        return np.array(values, dtype=np.float64)[variant]

    nodes = [(offers.machines[one.machine], one.nodes) for one in classes]
    named = [(one.tuning.value, one.bits) for one in grid.variants]
    return HardwareView(
        usable_bytes=per_class([node.gpu.usable_bytes for node, _ in nodes]),
        needed_bytes=physics.needed_bytes[row],
        host_ram_bytes=per_class([_known(node.host_ram_bytes) for node, _ in nodes]),
        host_bytes=physics.host_bytes[row],
        local_disk_bytes=per_class([_known(node.disk_bytes) for node, _ in nodes]),
        nvme_bytes=physics.nvme_bytes[row],
        offloads=physics.offloads[row],
        finish_s=finish_s,
        quality=per_variant([quality_rank(matrices.quality(*name)) for name in named]),
        complexity=per_variant([complexity_rank(matrices.complexity(*name)) for name in named]),
        method_allowed=np.array([one.allowed for one in grid.variants], dtype=np.bool_)[variant],
        gpus=per_class([node.gpu_count * count for node, count in nodes]),
        nodes=per_class([count for _, count in nodes]),
        other_gpus=np.full(klass.shape, float(other_gpus)),
    )


def _known(value: float | None) -> float:
    return np.nan if value is None else value
