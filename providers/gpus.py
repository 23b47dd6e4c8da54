"""The GPU table: canonical ids, aliases, usable memory, dense peaks, bandwidths and links, each row sourced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .basis import Basis


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


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuTable:
    """GPUs by canonical id, and every accepted spelling of them."""

    by_id: Mapping[str, Gpu]
    aliases: Mapping[str, str]

    def resolve(self, name: str) -> Gpu | None:
        """Return the GPU that `name` (an id or an alias, case-insensitive) stands for, or None. No substring match."""
        raise NotImplementedError
