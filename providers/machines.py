"""What vendors say of their machine types beside the price: network between nodes, and local NVMe disks.

`data/machines.csv` has one row a machine type. `network_gbit_s` is what one node can send to others of its kind, one
direction, over the cards that GPU traffic takes: InfiniBand or EFA where there is one, otherwise Ethernet. Where a
vendor states a baseline and a burst, it is the baseline. `disk_bytes` are local NVMe disks that the price includes: 0
where it is known that there are none, empty where nobody wrote it down. A temporary disk that is not NVMe stands in
`notes` only. Sources are keys of `data/sources.csv`. The figures are nominal: what of them a job sees is for the
physics to say.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .offer import Offer

MACHINE_COLUMNS: tuple[str, ...] = (
    "provider", "instance_type", "network_gbit_s", "disk_bytes", "network_source", "disk_source", "checked_on", "notes",
)  # fmt: skip

BYTES_PER_GBIT = 125_000_000
MOST_GBIT_S = 100_000
"""Far above any machine: a larger figure is a slip of the unit."""

_TABLE = Path(__file__).parent / "data" / "machines.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFacts:
    """What is known of one machine type; None is unknown. `network_bytes_per_s` is per node, one direction."""

    network_bytes_per_s: float | None = None
    disk_bytes: int | None = None
    notes: str = ""


UNKNOWN_MACHINE = MachineFacts()
"""A machine type that nobody described."""


def load_machines() -> Mapping[tuple[str, str], MachineFacts]:
    """Return the facts by (provider, instance type). Raises ValueError, naming the line, for a bad table."""
    rows = csv.reader(_read().splitlines())
    header = tuple(next(rows))
    if header != MACHINE_COLUMNS:
        raise ValueError(f"machines.csv: columns {', '.join(header)} are not {', '.join(MACHINE_COLUMNS)}")
    machines: dict[tuple[str, str], MachineFacts] = {}
    for number, row in enumerate(rows, start=2):
        try:
            key, facts = _parse(row)
        except ValueError as err:
            raise ValueError(f"machines.csv line {number}: {err}") from err
        if key in machines:
            raise ValueError(f"machines.csv line {number}: {' '.join(key)} stands here twice")
        machines[key] = facts
    return machines


def complete_facts(offer: Offer) -> Offer:
    """Return the offer with network and disks from the table where its source states none."""
    if offer.disk_bytes is not None and offer.network_bytes_per_s is not None:
        return offer
    machine = _machines().get((offer.provider, offer.instance_type))
    if machine is None:
        return offer
    return replace(
        offer,
        disk_bytes=machine.disk_bytes if offer.disk_bytes is None else offer.disk_bytes,
        network_bytes_per_s=(
            machine.network_bytes_per_s if offer.network_bytes_per_s is None else offer.network_bytes_per_s
        ),
    )


@lru_cache(maxsize=1)
def _machines() -> Mapping[tuple[str, str], MachineFacts]:
    return load_machines()


def _parse(row: list[str]) -> tuple[tuple[str, str], MachineFacts]:
    provider, instance_type, gbit, disk, network_source, disk_source, checked_on, notes = row
    if not (provider and instance_type and checked_on):
        raise ValueError("provider, instance_type and checked_on may not be empty")
    if bool(gbit) != bool(network_source) or bool(disk) != bool(disk_source):
        raise ValueError("each figure has a source, and each source a figure")
    if gbit and not 0 < float(gbit) <= MOST_GBIT_S:
        raise ValueError(f"network_gbit_s {gbit} is not above 0, at most {MOST_GBIT_S}")
    if disk and int(disk) < 0:
        raise ValueError(f"disk_bytes {disk} is negative")
    facts = MachineFacts(
        network_bytes_per_s=float(gbit) * BYTES_PER_GBIT if gbit else None,
        disk_bytes=int(disk) if disk else None,
        notes=notes,
    )
    return (provider, instance_type), facts


def _read() -> str:
    return _TABLE.read_text(encoding="utf-8")
