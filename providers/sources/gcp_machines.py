"""Google's GPU machine types: of which priced parts each is made.

The billing catalogue prices parts (a core, a GiB of memory, a GPU, a GiB of local disk), never a machine: how many of
each a machine has stands in `data/gcp_machines.csv`. Rows whose source is `price list` are in the bundled price list,
and their counts reproduce its prices in every region; the others come from Google's documentation.

- `gpu_billed` is how many GPU prices are charged: a fraction of a GPU costs that fraction of the price.
- `ssd_gib` is local disk that comes with the machine and is billed with it; optional disks are not part of the price.
- A part called `slice` prices a GPU with its share of the whole machine: cores, memory and disk are not charged again.
- `regions` lists where a type is known to be, for types that are missing in most regions in which their parts have a
  price (as of the price list's date); empty: wherever its parts have a price.
- GPUs that are attached to N1 machines can stand in hosts of any size up to a limit. One host a GPU count is listed:
  8 vCPUs and 30 GiB for each GPU, within Google's limits for every GPU, named `n1-standard-8+1xT4`.
- Left out: `a3-edgegpu-8g` (same parts and price as `a3-highgpu-8g`, in few regions, and the catalogue does not say
  which), A4X (no price in the catalogue), the `-nolssd` and `-lowmem` variants.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from providers.units import GIB

if TYPE_CHECKING:
    from collections.abc import Mapping

MACHINE_COLUMNS: tuple[str, ...] = (
    "instance_type", "family", "gpu_part", "gpu", "gpu_name", "gpu_count", "gpu_billed", "vcpus", "ram_gib", "ssd_gib",
    "regions", "flags", "on_demand_flags", "source",
)  # fmt: skip

SSD_PART = "local SSD"
SLICE = "slice "

_TABLE = Path(__file__).parents[1] / "data" / "gcp_machines.csv"


def core_part(family: str) -> str:
    """Return the name of the part that one vCPU of a machine family is billed as."""
    return f"core {family}"


def ram_part(family: str) -> str:
    """Return the name of the part that one GiB of memory of a machine family is billed as."""
    return f"RAM {family}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GcpMachine:
    """One machine type. `gpu` is the name that the GPU table is asked for, "" for a fraction of a GPU."""

    instance_type: str
    family: str
    gpu_part: str
    gpu: str
    gpu_name: str
    gpu_count: int
    gpu_billed: Fraction
    vcpus: int
    ram_gib: Fraction
    ssd_gib: int
    regions: frozenset[str]
    flags: tuple[str, ...]
    on_demand_flags: tuple[str, ...]

    def __post_init__(self) -> None:
        if min(self.gpu_count, self.vcpus) < 1 or min(self.gpu_billed, self.ram_gib) <= 0 or self.ssd_gib < 0:
            raise ValueError("a count is not above 0")
        if not (self.instance_type and self.family and self.gpu_part and self.gpu_name):
            raise ValueError("instance_type, family, gpu_part and gpu_name may not be empty")

    @property
    def host_ram_bytes(self) -> int:
        """Memory of the host, bytes."""
        return int(self.ram_gib * GIB)

    @property
    def family_parts(self) -> tuple[str, str]:
        """The parts that its vCPUs and its memory are billed as."""
        return core_part(self.family), ram_part(self.family)

    @property
    def billed(self) -> Mapping[str, Fraction]:
        """How much of each part the price consists of: vCPUs, GiB of memory, GPUs, GiB of disk."""
        if self.gpu_part.startswith(SLICE):
            return {self.gpu_part: self.gpu_billed}
        core, ram = self.family_parts
        parts = {core: Fraction(self.vcpus), ram: self.ram_gib, self.gpu_part: self.gpu_billed}
        return {**parts, SSD_PART: Fraction(self.ssd_gib)} if self.ssd_gib else parts

    @property
    def contradicting(self) -> frozenset[str]:
        """Parts that may not have a price of their own where a slice stands for the whole machine."""
        if self.gpu_part.startswith(SLICE):
            return frozenset(self.family_parts)
        return frozenset()


@lru_cache(maxsize=1)
def load_gcp_machines() -> Mapping[str, GcpMachine]:
    """Return the machine types by name. Raises ValueError, naming the line, for a bad table."""
    rows = csv.reader(_TABLE.read_text(encoding="utf-8").splitlines())
    header = tuple(next(rows))
    if header != MACHINE_COLUMNS:
        raise ValueError(f"gcp_machines.csv: columns {', '.join(header)} are not {', '.join(MACHINE_COLUMNS)}")
    machines: dict[str, GcpMachine] = {}
    for number, row in enumerate(rows, start=2):
        try:
            machine = _parse(dict(zip(MACHINE_COLUMNS, row, strict=True)))
        except (ValueError, ZeroDivisionError) as err:
            raise ValueError(f"gcp_machines.csv line {number}: {err}") from err
        if machine.instance_type in machines:
            raise ValueError(f"gcp_machines.csv line {number}: {machine.instance_type} stands here twice")
        machines[machine.instance_type] = machine
    return MappingProxyType(machines)


def dedicated_parts(machines: Mapping[str, GcpMachine]) -> frozenset[str]:
    """Return the core parts of families with one kind of GPU: where they have a price, that GPU should have one."""
    kinds: dict[str, set[str]] = {}
    for machine in machines.values():
        kinds.setdefault(machine.family, set()).add(machine.gpu_part)
    return frozenset(core_part(family) for family, parts in kinds.items() if len(parts) == 1)


def _parse(row: Mapping[str, str]) -> GcpMachine:
    return GcpMachine(
        instance_type=row["instance_type"],
        family=row["family"],
        gpu_part=row["gpu_part"],
        gpu=row["gpu"],
        gpu_name=row["gpu_name"],
        gpu_count=int(row["gpu_count"]),
        gpu_billed=Fraction(row["gpu_billed"]),
        vcpus=int(row["vcpus"]),
        ram_gib=Fraction(row["ram_gib"]),
        ssd_gib=int(row["ssd_gib"]),
        regions=frozenset(row["regions"].split()),
        flags=_flags(row["flags"]),
        on_demand_flags=_flags(row["on_demand_flags"]),
    )


def _flags(text: str) -> tuple[str, ...]:
    return tuple(flag for flag in text.split(";") if flag)
