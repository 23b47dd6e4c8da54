"""What AWS says of its machine types: the GPU behind a name, how many, and what stands around it.

`describe_instance_types` names the chip; the price list counts the GPUs and names none. So the family of the type says
which chip it is (`FAMILIES`), and a description that names another one is not believed: the GPU is then unknown.
Memory: A100 and H100 come with their nameplate, L4, A10G and L40S with what a driver shows, slices with their share.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from providers.errors import ResponseChanged
from providers.machines import BYTES_PER_GBIT
from providers.payload import Fields, RowProblem, clean_name, sample_of
from providers.units import GB, GIB, MIB

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from providers.gpus import GpuTable
    from providers.scope import DroppedRow

GPU_TYPES: tuple[str, ...] = ("dl*", "g*", "p*")
"""Patterns of the types that are asked for: AWS names everything with a GPU g or p, and Gaudi dl."""

MEMORY_TOLERANCE = 0.15
"""Between nameplate and what a driver shows lie up to 9 %; other memory of the same chip is 20 % away or more."""
MOST_GPUS = 1024


class Family(NamedTuple):
    """The chip of a family: its id in the GPU table (None: not there), and the names that AWS gives it."""

    gpu: str | None
    names: tuple[str, ...]
    arm: bool = False


FAMILIES: Mapping[str, Family] = {
    "dl1": Family(None, ("Gaudi HL-205",)),
    "g2": Family(None, ("K520",)),
    "g3": Family(None, ("M60",)),
    "g3s": Family(None, ("M60",)),
    "g4ad": Family(None, ("Radeon Pro V520",)),
    "g4dn": Family("T4-16GB", ("T4",)),
    "g5": Family("A10G-24GB", ("A10G",)),
    "g5g": Family("T4G-16GB", ("T4g",), arm=True),
    "g6": Family("L4-24GB", ("L4",)),
    "g6e": Family("L40S-48GB", ("L40S",)),
    "g6f": Family(None, ("L4",)),
    "g7": Family("RTX-PRO-4500-32GB", ("RTX PRO 4500",)),
    "g7e": Family("RTX-PRO-6000-96GB", ("RTX PRO Server 6000", "RTX PRO 6000")),
    "gr6": Family("L4-24GB", ("L4",)),
    "gr6f": Family(None, ("L4",)),
    "p2": Family(None, ("K80",)),
    "p3": Family("V100-SXM2-16GB", ("V100",)),
    "p3dn": Family("V100-SXM2-32GB", ("V100",)),
    "p4d": Family("A100-SXM-40GB", ("A100",)),
    "p4de": Family("A100-SXM-80GB", ("A100",)),
    "p5": Family("H100-SXM-80GB", ("H100",)),
    "p5e": Family("H200-SXM-141GB", ("H200",)),
    "p5en": Family("H200-SXM-141GB", ("H200",)),
    "p6-b200": Family("B200-SXM-180GB", ("B200",)),
    "p6-b300": Family("B300-SXM-288GB", ("B300",)),
    "p6e-gb200": Family("GB200-186GB", ("GB200", "B200"), arm=True),
    "p6e-gb300": Family("GB300-288GB", ("GB300", "B300"), arm=True),
}
"""The part of a type before its dot, and the chip in it. A family that is not here has an unknown GPU."""

SLICES: Mapping[str, str] = {
    "g6f.large": "1/8", "g6f.xlarge": "1/8", "g6f.2xlarge": "1/4", "g6f.4xlarge": "1/2", "gr6f.4xlarge": "1/2",
}  # fmt: skip
"""Types with a share of a GPU, for the price list, which does not say so."""

NOT_GPUS: Mapping[str, str] = {
    "dl2q": "Qualcomm AI 100 accelerators", "f1": "FPGAs", "f2": "FPGAs", "inf1": "Inferentia", "inf2": "Inferentia2",
    "trn1": "Trainium", "trn1n": "Trainium", "trn2": "Trainium2", "trn2u": "Trainium2", "trn3": "Trainium3",
    "vt1": "video transcoders",
}  # fmt: skip
"""Families with an accelerator that no CUDA or ROCm program trains on."""

_NETWORK = re.compile(r"(?:(\d{1,3})x )?(\d{1,6}(?:\.\d{1,3})?) (Gigabit|Megabit)", re.ASCII)
_MEMORY = re.compile(r"([\d,]{1,12}(?:\.\d{1,4})?) GiB", re.ASCII)
_GPU_MEMORY = re.compile(r"([\d,]{1,9}(?:\.\d{1,4})?) (GB|GiB)(?: HBM\w*)?", re.ASCII)
_DISKS = re.compile(r"(?:(\d{1,3}) x )?(\d{1,7}) ?(?:GB )?(?:NVMe )?SSD", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What is known of one machine type. Sizes in bytes, network in bytes/s of one direction; None is unknown."""

    instance_type: str
    gpu: str | None
    gpu_name: str
    gpu_count: int
    vcpus: int | None = None
    host_ram_bytes: int | None = None
    disk_bytes: int | None = None
    network_bytes_per_s: float | None = None
    gpu_memory_bytes: int | None = None
    flags: tuple[str, ...] = ()
    usage: frozenset[str] = frozenset()
    """How it can be had, in AWS's words: on-demand, spot, capacity-block. Empty: not stated."""


class _Chip(NamedTuple):
    gpu: str | None
    name: str
    memory_bytes: int | None
    flags: tuple[str, ...]


def parse_machines(rows: Iterable[object], gpus: GpuTable) -> tuple[dict[str, Machine], tuple[DroppedRow, ...]]:
    """Return the types with GPUs out of the answer of `describe_instance_types`, by name, and rows not understood.

    Raises ResponseChanged when no row at all is understood.
    """
    machines: dict[str, Machine] = {}
    dropped: list[DroppedRow] = []
    plain = 0
    for row in rows:
        try:
            machine = _described(Fields(row), gpus)
        except RowProblem as problem:
            dropped.append(problem.dropped(name_in(row, "InstanceType")))
            continue
        if machine is None:
            plain += 1
        else:
            machines[machine.instance_type] = machine
    if dropped and not machines and not plain:
        raise ResponseChanged("aws: no machine type is understood", sample=sample_of(dropped[:5]))
    return machines, tuple(dropped)


def machine_of_attributes(attributes: Fields, gpus: GpuTable) -> Machine:
    """Return a machine type as the attributes of the price list describe it.

    Raises RowProblem: `not_a_gpu`, `bad_count`, `bad_row`.
    """
    name = attributes.text("instanceType")
    family = family_of(name)
    share = SLICES.get(name)
    stated = _attribute(attributes, "gpu")
    if stated in {"", "0"} and family not in FAMILIES:
        raise RowProblem("not_a_gpu", NOT_GPUS.get(family, _attribute(attributes, "instanceFamily")))
    count = 1
    if share is None:
        if not stated.isascii() or not stated.isdigit() or len(stated) > 4 or not 1 <= int(stated) <= MOST_GPUS:
            raise RowProblem("bad_count", f"gpu {stated!r}")
        count = int(stated)
    names = FAMILIES[family].names if family in FAMILIES else (f"GPU of {family}",)
    chip = _chip(name, names[0], _list_memory(attributes, family, count, gpus), share, gpus)
    return Machine(
        instance_type=name,
        gpu=chip.gpu,
        gpu_name=chip.name,
        gpu_count=count,
        vcpus=_whole(_attribute(attributes, "vcpu")),
        host_ram_bytes=_scaled(_MEMORY.fullmatch(_attribute(attributes, "memory")), GIB),
        disk_bytes=_list_disks(_attribute(attributes, "storage")),
        network_bytes_per_s=parse_network(_attribute(attributes, "networkPerformance")),
        gpu_memory_bytes=chip.memory_bytes,
        flags=chip.flags,
    )


def family_of(instance_type: str) -> str:
    """Return the family of a type: "p4d" of "p4d.24xlarge"."""
    return instance_type.partition(".")[0]


def name_in(row: object, key: str) -> str:
    """Return how a row is called that is not understood."""
    name = row.get(key) if isinstance(row, dict) else None
    return name if isinstance(name, str) and clean_name(name) else "row without a type"


def parse_network(text: str) -> float | None:
    """Return bytes/s of "400 Gigabit", "37500 Megabit" or "4x 100 Gigabit"; None for "Up to", which is a burst."""
    match = _NETWORK.fullmatch(text)
    if match is None:
        return None
    gbit = Decimal(match[2]) / (1 if match[3] == "Gigabit" else 1000) * int(match[1] or 1)
    return float(gbit * BYTES_PER_GBIT) or None


def _described(row: Fields, gpus: GpuTable) -> Machine | None:
    """Return the machine of one description; None for one without GPU."""
    name = row.text("InstanceType")
    if row.get("GpuInfo") is None:
        return None
    kinds = row.fields("GpuInfo").items("Gpus")
    if len(kinds) != 1:
        raise RowProblem("unknown_shape", f"{len(kinds)} kinds of GPU")
    kind = Fields(kinds[0], what="GPU")
    share = _share(kind, name)
    memory = kind.fields("MemoryInfo").whole_or_none("SizeInMiB") if kind.get("MemoryInfo") is not None else None
    chip = _chip(name, kind.text("Name"), memory * MIB if memory else None, share, gpus)
    arm = "arm64" in _texts(row, "ProcessorInfo", "SupportedArchitectures")
    return Machine(
        instance_type=name,
        gpu=chip.gpu,
        gpu_name=chip.name,
        gpu_count=_count(kind) if share is None else 1,
        vcpus=row.fields("VCpuInfo").whole("DefaultVCpus", low=1),
        host_ram_bytes=row.fields("MemoryInfo").whole("SizeInMiB", low=1) * MIB,
        disk_bytes=_described_disks(row),
        network_bytes_per_s=_described_network(row),
        gpu_memory_bytes=chip.memory_bytes,
        flags=tuple(dict.fromkeys((*chip.flags, *(("arm_host",) if arm else ())))),
        usage=frozenset(_texts(row, None, "SupportedUsageClasses")),
    )


def _chip(instance_type: str, name: str, memory_bytes: int | None, share: str | None, gpus: GpuTable) -> _Chip:
    """Return which GPU it is; `memory_bytes` only where it agrees with the chip."""
    family = FAMILIES.get(family_of(instance_type))
    flags = ["arm_host"] if family and family.arm else []
    if share is not None:
        # A slice is none of the GPUs of the table, whichever chip it is cut from.
        return _Chip(None, f"{name} ({share})" if share else name, None, ("fractional", "gpu_unknown", *flags))
    known = {item.casefold() for item in family.names} if family else set()
    gpu = gpus.resolve(family.gpu) if family and family.gpu and name.casefold() in known else None
    if gpu is None:
        return _Chip(None, name, None, ("gpu_unknown", *flags))
    if memory_bytes is not None and not _agrees(memory_bytes, gpu.memory_nameplate_gb):
        return _Chip(gpu.id, name, None, ("memory_mismatch", *flags))
    return _Chip(gpu.id, name, memory_bytes, tuple(flags))


def _agrees(memory_bytes: int, nameplate_gib: float) -> bool:
    return abs(memory_bytes / (nameplate_gib * GIB) - 1) <= MEMORY_TOLERANCE


def _share(kind: Fields, instance_type: str) -> str | None:
    """Return the share of a slice in words ("1/8", "" where it is not stated), None for whole GPUs."""
    size = kind.get("GpuPartitionSize")
    if isinstance(size, float | Decimal) and math.isfinite(size) and 0 < size < 1:
        share = Fraction(size).limit_denominator(64)
        return f"{share.numerator}/{share.denominator}" if share else ""
    return SLICES.get(instance_type, "" if kind.get("Count") == 0 else None)


def _count(kind: Fields) -> int:
    try:
        return kind.whole("Count", low=1, high=MOST_GPUS)
    except RowProblem as problem:
        raise RowProblem("bad_count", problem.detail) from problem


def _described_disks(row: Fields) -> int | None:
    if row.get("InstanceStorageInfo") is not None:
        return row.fields("InstanceStorageInfo").whole("TotalSizeInGB") * GB
    return 0 if row.get("InstanceStorageSupported") is False else None


def _described_network(row: Fields) -> float | None:
    """Return the network of the whole machine; where AWS states a burst, the baseline of its only card."""
    if row.get("NetworkInfo") is None:
        return None
    network = row.fields("NetworkInfo")
    stated = network.get("NetworkPerformance")
    fixed = parse_network(stated) if isinstance(stated, str) else None
    cards = network.get("NetworkCards")
    if fixed is not None or not isinstance(cards, list) or len(cards) != 1:
        return fixed
    baseline = Fields(cards[0], what="network card").get("BaselineBandwidthInGbps")
    if not isinstance(baseline, int | float | Decimal) or isinstance(baseline, bool) or not 0 < baseline < 10**6:
        return None
    return float(baseline) * BYTES_PER_GBIT


def _list_memory(attributes: Fields, family: str, count: int, gpus: GpuTable) -> int | None:
    """Return the memory of one GPU as the price list states it, for one or for all; None where it says neither."""
    match = _GPU_MEMORY.fullmatch(_attribute(attributes, "gpuMemory"))
    chip = gpus.resolve(FAMILIES[family].gpu or "") if family in FAMILIES else None
    stated = _scaled(match, GB if match and match[2] == "GB" else GIB)
    if not stated or chip is None:
        return None
    return next((size for size in (stated // count, stated) if _agrees(size, chip.memory_nameplate_gb)), None)


def _list_disks(text: str) -> int | None:
    if text == "EBS only":
        return 0
    match = _DISKS.fullmatch(text)
    return None if match is None else int(match[1] or 1) * int(match[2]) * GB


def _scaled(match: re.Match[str] | None, unit: int) -> int | None:
    digits = match[1].replace(",", "") if match else ""
    return int(Decimal(digits) * unit) or None if digits and digits != "." else None


def _whole(text: str) -> int | None:
    return int(text) or None if text.isascii() and text.isdigit() and len(text) <= 6 else None


def _attribute(attributes: Fields, key: str) -> str:
    """Return a descriptive attribute of the price list, "" where it has none ("NA")."""
    value = attributes.get(key)
    text = clean_name(value) if isinstance(value, str) else ""
    return "" if text == "NA" else text


def _texts(row: Fields, outer: str | None, key: str) -> list[str]:
    if outer is not None and row.get(outer) is None:
        return []
    value = (row.fields(outer) if outer else row).get(key)
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
