"""From what the driver calls a card to its canonical id. Whole names only: no part of a name is enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.gpus import load_gpus, normal_name

if TYPE_CHECKING:
    from providers.gpus import GpuTable

DRIVER_NAMES: dict[str, str] = {
    "NVIDIA H800": "H800-SXM-80GB",
    "NVIDIA H100 SXM5 80GB": "H100-SXM-80GB",
    "NVIDIA GH200 120GB": "GH200-96GB",
    "NVIDIA B300 SXM6 AC": "B300-SXM-288GB",
    "NVIDIA A100-SXM-80GB": "A100-SXM-80GB",
    "NVIDIA V100-SXM2-16GB": "V100-SXM2-16GB",
    "NVIDIA V100-SXM2-32GB": "V100-SXM2-32GB",
    "NVIDIA V100-PCIE-16GB": "V100-PCIE-16GB",
    "NVIDIA V100-PCIE-32GB": "V100-PCIE-32GB",
    "Tesla V100-SXM3-32GB": "V100-SXM2-32GB",
    "NVIDIA RTX PRO 4500 Blackwell": "RTX-PRO-4500-32GB",
}
"""Names of drivers that stand beside those in the GPU table. A GH200's name counts the memory of its CPU.

Left out on purpose: cards whose name does not settle their power (RTX PRO 6000 Max-Q), or that the table lacks."""

_LEAST_SHARE, _MOST_SHARE = 0.9, 1.12
"""How much of the table's memory a card must show. One name may stand for two sizes (RTX 3060, 3080, 4060 Ti)."""


def canonical_gpu(name: str, total_bytes: int | None = None, *, gpus: GpuTable | None = None) -> str | None:
    """Return the id of the card that the driver calls `name`, or None where the table does not know it.

    `total_bytes` is the memory that torch reports: with far less or more than the table has, it is another card of the
    same name, or a slice of one, and its id is unknown.
    """
    table = gpus or load_gpus()
    gpu = table.resolve(name)
    if gpu is None:
        known = {normal_name(spelling): gpu_id for spelling, gpu_id in DRIVER_NAMES.items()}
        found = known.get(normal_name(name))
        gpu = None if found is None else table.by_id.get(found)
    if gpu is None:
        return None
    if total_bytes is not None and not _LEAST_SHARE <= total_bytes / gpu.usable_bytes <= _MOST_SHARE:
        return None
    return gpu.id
