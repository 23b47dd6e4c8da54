"""The GPU table: canonical ids, aliases, usable memory, dense peaks, bandwidths and links, each row sourced.

**Ids** read chip, form factor, memory: `H100-SXM-80GB`, `H100-PCIE-80GB`, `A100-SXM-40GB`. The form factor is named
where the chip comes as a module (SXM, OAM, GCD) or in more than one form (PCIE, NVL beside SXM), because its figures
then differ; a chip that exists as one kind of card or superchip only goes without: `L40S-48GB`, `RTX-4090-24GB`,
`GH200-96GB`. Memory is the nameplate figure. The chip is never guessed from a substring: RTX A6000, RTX 6000 Ada,
Quadro RTX 6000 and RTX PRO 6000 are four chips.

**Usable memory** is the lowest figure that torch was seen to report (`usable_basis` measured, the report named in
`source`), otherwise nameplate (in GiB) times the lowest ratio seen in the chip's class (derived):

| class | factor | lowest of |
|---|---|---|
| HBM | 0.985 | V100-16 0.986, A100-40 0.987, H100 0.989, B200 0.991 |
| GDDR of datacentre cards (error correction takes a sixteenth) | 0.91 | T4 0.91, A10G 0.916, L4 0.923, L40S 0.925 |
| GeForce and RTX workstation cards | 0.972 | RTX 3070 0.9725, A4000 0.976, RTX 5090 0.980, RTX 4090 0.984 |
| only nvidia-smi's total is known (the driver keeps a part) | 0.993 of it | H100 0.993, H200 0.995, B200 0.996 |

**Peaks** are dense (half of what a datasheet prints with sparsity) and with fp32 accumulation (on GeForce half of the
fp16-accumulate figure). A chip without a trustworthy peak, or that the physics does not describe (Gaudi, TPU,
Trainium), is in the table so that its name is known, with `trainable` no and the reason in `notes`.

**Links** are one direction, per GPU. An optional NVLink bridge counts as PCIe, because hosts rarely
say that it is there.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from .basis import Basis
from .units import GIB

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ARCHITECTURES = frozenset({
    "other", "pascal", "volta", "turing", "ampere", "ampere-consumer", "ada", "ada-consumer", "hopper", "blackwell",
    "blackwell-consumer", "cdna2", "cdna3", "cdna4", "gaudi",
})  # fmt: skip
"""Families that share kernels and bottlenecks. GA10x (A10, A40, RTX A-series, RTX 30) is `ampere-consumer`; GeForce
RTX 40 is `ada-consumer`, the other AD10x cards (L4, L40S, RTX Ada) are `ada`."""

LINK_KINDS = frozenset({"nvlink", "nvswitch", "xgmi", "pcie", "other"})

_TABLE = Path(__file__).parent / "data" / "gpus.csv"
_SEPARATORS = re.compile(r"[\s_\-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One accelerator. id = chip, form factor, memory: `H100-SXM-80GB`.

    Memory in bytes; `usable_bytes` is what a framework sees (the lowest observed figure, or derived from nameplate
    when nobody published one, as `usable_basis` says). Peaks are dense (no sparsity) FLOP/s with fp32 accumulation;
    None where the chip has no such unit or the figure is unknown. Bandwidths in bytes/s, one direction, per GPU.
    `link_kind` is nvlink | nvswitch | xgmi | pcie | other; `link_bytes_per_s` the GPU-to-GPU speed inside a node.
    """

    id: str
    vendor: str
    chip: str
    form_factor: str
    architecture: str
    memory_nameplate_gb: float
    usable_bytes: int
    usable_basis: Basis
    memory_bandwidth_bytes_per_s: float
    bf16_flops_per_s: float | None
    fp16_flops_per_s: float | None
    fp8_flops_per_s: float | None
    int8_ops_per_s: float | None
    tf32_flops_per_s: float | None
    fp32_flops_per_s: float | None
    link_kind: str
    link_bytes_per_s: float | None
    pcie_bytes_per_s: float | None
    compute_capability: str
    supports_bf16: bool
    supports_fp8: bool
    trainable: bool
    source: str
    notes: str
    watts: float | None = None
    """Board power as sold, W; None unknown."""

    def __post_init__(self) -> None:
        where = f"gpu {self.id}"
        if self.architecture not in ARCHITECTURES:
            raise ValueError(
                f"{where}: architecture {self.architecture!r} is none of {', '.join(sorted(ARCHITECTURES))}"
            )
        if self.link_kind not in LINK_KINDS:
            raise ValueError(f"{where}: link_kind {self.link_kind!r} is none of {', '.join(sorted(LINK_KINDS))}")
        if not 0 < self.usable_bytes <= self.memory_nameplate_gb * GIB:
            raise ValueError(f"{where}: usable_bytes {self.usable_bytes} is not within the nameplate memory")
        if self.memory_bandwidth_bytes_per_s <= 0:
            raise ValueError(f"{where}: memory bandwidth is not positive")
        if self.trainable and self.peak_flops_per_s is None:
            raise ValueError(f"{where}: trainable without a bf16 or fp16 peak")

    @property
    def peak_flops_per_s(self) -> float | None:
        """Dense peak of the type that training computes in, FLOP/s: bf16 where supported, otherwise fp16."""
        return self.bf16_flops_per_s if self.supports_bf16 else self.fp16_flops_per_s


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuTable:
    """GPUs by canonical id, and every accepted spelling of them (normalised, see `normal_name`) to that id."""

    by_id: Mapping[str, Gpu]
    aliases: Mapping[str, str]

    def resolve(self, name: str) -> Gpu | None:
        """Return the GPU that `name` (an id or an alias, case-insensitive) stands for, or None. No substring match."""
        gpu_id = self.aliases.get(normal_name(name))
        return None if gpu_id is None else self.by_id[gpu_id]

    def close_names(self, name: str, *, limit: int = 3) -> tuple[str, ...]:
        """Return up to `limit` canonical ids whose id or alias looks like `name`, closest first: for messages only."""
        from difflib import get_close_matches

        wanted = normal_name(name)
        parts = set(wanted.split("-"))
        within = [alias for alias in self.aliases if wanted and (parts <= set(alias.split("-")))]
        similar = get_close_matches(wanted, self.aliases, n=4 * limit, cutoff=0.6)
        return tuple(dict.fromkeys(self.aliases[alias] for alias in (*sorted(within), *similar)))[:limit]


def normal_name(name: str) -> str:
    """Return the spelling that aliases are compared in: lower case, each run of spaces, "_" and "-" as one "-"."""
    return _SEPARATORS.sub("-", name.strip()).casefold()


def make_table(gpus: Iterable[tuple[Gpu, Iterable[str]]]) -> GpuTable:
    """Return the table of the given GPUs, each with its aliases. Raises ValueError for a repeated id or spelling."""
    by_id: dict[str, Gpu] = {}
    aliases: dict[str, str] = {}
    for gpu, names in gpus:
        if gpu.id in by_id:
            raise ValueError(f"gpu {gpu.id} appears twice")
        by_id[gpu.id] = gpu
        for name in (gpu.id, *names):
            other = aliases.setdefault(normal_name(name), gpu.id)
            if other != gpu.id:
                raise ValueError(f"gpu {gpu.id}: alias {name!r} already stands for {other}")
    return GpuTable(by_id=MappingProxyType(by_id), aliases=MappingProxyType(aliases))


@lru_cache(maxsize=1)
def load_gpus() -> GpuTable:
    """Return the GPU table of the package. Raises ValueError, naming the row, when the table is inconsistent."""
    text = _TABLE.read_text(encoding="utf-8")
    return make_table((_parse_row(row), _aliases(row)) for row in csv.DictReader(text.splitlines()))


def _aliases(row: Mapping[str, str]) -> list[str]:
    return [alias for alias in row["aliases"].split(";") if alias]


def _parse_row(row: Mapping[str, str]) -> Gpu:
    """Return one GPU from a row in the table's units: GB, GiB, GB/s, TFLOP/s, yes and no; empty is unknown."""

    def scaled(column: str, scale: float) -> float | None:
        return float(row[column]) * scale if row[column] else None

    bandwidth = scaled("memory_bandwidth_gb_s", 1e9)
    if bandwidth is None:
        raise ValueError(f"gpu {row['id']}: memory_bandwidth_gb_s is empty")
    return Gpu(
        id=row["id"],
        vendor=row["vendor"],
        chip=row["chip"],
        form_factor=row["form_factor"],
        architecture=row["architecture"],
        memory_nameplate_gb=float(row["memory_gb"]),
        usable_bytes=int(float(row["usable_gib"]) * GIB),
        usable_basis=Basis(row["usable_basis"]),
        memory_bandwidth_bytes_per_s=bandwidth,
        bf16_flops_per_s=scaled("bf16_tflops", 1e12),
        fp16_flops_per_s=scaled("fp16_tflops", 1e12),
        fp8_flops_per_s=scaled("fp8_tflops", 1e12),
        int8_ops_per_s=scaled("int8_tops", 1e12),
        tf32_flops_per_s=scaled("tf32_tflops", 1e12),
        fp32_flops_per_s=scaled("fp32_tflops", 1e12),
        link_kind=row["link_kind"],
        link_bytes_per_s=scaled("link_gb_s", 1e9),
        pcie_bytes_per_s=scaled("pcie_gb_s", 1e9),
        compute_capability=row["compute_capability"],
        supports_bf16=_yes(row, "bf16"),
        supports_fp8=_yes(row, "fp8"),
        trainable=_yes(row, "trainable"),
        source=row["source"],
        notes=row["notes"],
        watts=scaled("tdp_w", 1.0),
    )


def _yes(row: Mapping[str, str], column: str) -> bool:
    if row[column] not in {"yes", "no"}:
        raise ValueError(f"gpu {row['id']}: {column} {row[column]!r} is neither yes nor no")
    return row[column] == "yes"
