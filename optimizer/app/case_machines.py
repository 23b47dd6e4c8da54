"""Which machine a measured case names: the card in a wild spelling, how many of them, on how many nodes."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from optimizer.physics.tabulate import Machine
from providers.units import GIB

from .case_fields import number, text, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.gpus import Gpu, GpuTable

STAND_IN_GPU = "A100-SXM-80GB"
"""Only its size is used, to say whether a run fits; a row without a GPU gets no speed."""

GPUS_PER_NODE = 8
GPUS_PER_RACK = 72
"""GB200 and GB300 are wired as one NVLink domain of 72."""

_NIC_BYTES_PER_S = {"hopper": 50e9, "blackwell": 50e9}
_OTHER_NIC_BYTES_PER_S = 25e9
"""Published runs on several nodes come from clusters with one NIC per GPU (400 Gbit/s on Hopper and later, 200 on
A100), one direction. Noted as assumed."""

_USABLE_SHARE = 0.985
"""Usable over nameplate GiB of cards that the table lacks: the median of the audited ones (T4 to B200)."""

_TIMES = re.compile(r"^\s*(?:(\d+)\s*(?:nodes?)?\s*[x×*]\s*)?(\d+)\s*[x×*]\s*(?=[^\d\s]|\d{4}|\d+\s*g)", re.IGNORECASE)
_PRODUCT = re.compile(r"^\s*(\d+)\s*(?:nodes?)?\s*(?:[x×*]|of)\s*(\d+)\s*(?:gpus?)?\s*$", re.IGNORECASE)
_BEHIND = re.compile(r"(?:\s|(?<=\d))[x×*]\s*(\d+)\s*$", re.IGNORECASE)
_GPUS_SAID = re.compile(
    r"(?<![-\d.])(\d+)\s*(?:x\s*)?gpus?\b(?!\s*(?:per|/|each))|\b(?:ddp|fsdp2?|dp|zero-?[123])\s*[x×]\s*(\d+)\b"
)

_MAKERS = frozenset(
    (
        "nvidia", "amd", "geforce", "tesla", "instinct", "dgx", "hgx", "colab", "kaggle", "google", "aws", "azure",
        "lambda", "gpu", "gpus", "card", "cards", "vram", "memory", "nvlink", "hbm", "hbm2", "hbm2e", "hbm3", "hbm3e",
        "generation", "edition", "ampere", "hopper", "blackwell", "single", "one", "meta", "server",
    )
)  # fmt: skip
"""Words beside the name of a chip: makers, cabinets, hosts, kinds of memory."""

_FORMS = {"sxm": "SXM", "sxm2": "SXM", "sxm3": "SXM", "sxm4": "SXM", "sxm5": "SXM", "pcie": "PCIE", "nvl": "NVL"}
_OTHER_CHIP = frozenset(["ti", "super", "ada", "laptop", "mobile", "max", "max-q", "d", "or", "vs", "and", "pro"])
"""Words that make another chip of the name before them, or a choice of two."""

_INSTANCES = {
    "p3": "V100-SXM2-16GB", "p4d": "A100-SXM-40GB", "p4de": "A100-SXM-80GB", "p5": "H100-SXM-80GB",
    "g4dn": "T4-16GB", "g5": "A10G-24GB", "g6": "L4-24GB", "g6e": "L40S-48GB",
}  # fmt: skip
"""Cards by the family of an Amazon instance ("p4d.24xlarge")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseMachine:
    """The machine of a case; `gpu_known` is False where a stand-in of the stated size takes its place."""

    machine: Machine
    gpu_known: bool
    size_known: bool
    assumed: tuple[str, ...]


def case_machine(row: Mapping[str, str], gpus: GpuTable, *, nodes: int | None, notes: str = "") -> CaseMachine:
    """Return the machine of a row; `nodes` is what the row's texts say, None where they say nothing."""
    assumed: list[str] = []
    count = read_count(row, notes)
    if count is None:
        count = nodes or 1
        assumed.append(f"num_gpus {count}")
    gpu, known, size_known = _gpu(row, gpus, assumed)
    if nodes is None:
        nodes = -(-count // (GPUS_PER_RACK if gpu.id.startswith(("GB200", "GB300")) else GPUS_PER_NODE))
        if nodes > 1:
            assumed.append(f"nodes {nodes}")
    network = None
    if nodes > 1:
        network = _NIC_BYTES_PER_S.get(gpu.architecture, _OTHER_NIC_BYTES_PER_S) * max(1, count // nodes)
        assumed.append(f"network {network / 1e9:g} GB/s per node")
    machine = Machine(gpu=gpu, gpu_count=max(1, count // nodes), nodes=nodes, network_bytes_per_s=network)
    return CaseMachine(machine=machine, gpu_known=known, size_known=size_known, assumed=tuple(assumed))


def read_count(row: Mapping[str, str], notes: str) -> int | None:
    """Return the GPUs of the whole job: the column ("16", "2x8"), "8xA100" in the name, "DDP x8", "4 GPUs" in notes."""
    cell = text(row, "num_gpus")
    product = _PRODUCT.match(re.sub(r"\(.*?\)", "", cell))
    if product is not None:
        return int(product.group(1)) * int(product.group(2))
    times = _TIMES.match(cell)
    if times is not None:
        return int(times.group(1) or 1) * int(times.group(2))
    stated = whole(row, "num_gpus")
    if stated is not None:
        return stated
    name = text(row, "gpu")
    times, behind = _TIMES.match(name), _BEHIND.search(name)
    if times is not None or behind is not None:
        return int(times.group(1) or 1) * int(times.group(2)) if times else int(behind.group(1) if behind else 1)
    two_numbers = re.match(r"\s*(\d+)\s*[x×*]\s*(\d{1,2})\s+[a-z]", name, re.IGNORECASE)
    if two_numbers is not None:
        return int(two_numbers.group(1)) * int(two_numbers.group(2))
    said = _GPUS_SAID.search(f"{text(row, 'parallelism').lower()} | {notes}")
    return None if said is None else max(1, int(said.group(1) or said.group(2)))


def _gpu(row: Mapping[str, str], gpus: GpuTable, assumed: list[str]) -> tuple[Gpu, bool, bool]:
    name, size_gib = text(row, "gpu"), number(row, "gpu_mem_gib")
    in_name = re.search(r"(?<![a-z\d])(\d+)\s*(?:gi?b\b|g\b|gib-)", name, re.IGNORECASE)
    size_in_name = None if in_name is None else float(in_name.group(1))
    found = _named_gpu(name, size_gib or size_in_name, gpus)
    if found is None and size_gib is None:
        found = _largest_of_chip(name, gpus)
        if found is not None:
            assumed.append(f"gpu {found.id}")
    known = found is not None
    if found is None:
        size_gib = size_gib or size_in_name
        found = gpus.by_id[STAND_IN_GPU]
        assumed.append(f"gpu size only: {size_gib:g} GiB" if size_gib else "gpu unknown: no fit, no speed")
    if size_gib is not None and abs(size_gib - found.memory_nameplate_gb) > 0.1 * found.memory_nameplate_gb:
        if known:
            assumed.append(f"gpu {found.id} with {size_gib:g} GiB")
        found = replace(found, usable_bytes=int(size_gib * _USABLE_SHARE * GIB), memory_nameplate_gb=size_gib)
    return found, known, known or size_gib is not None


def _named_gpu(name: str, size_gib: float | None, gpus: GpuTable) -> Gpu | None:
    """Return the GPU by its full name, with the stated size, or by its first words; never by a part of a word.

    What stands in brackets is tried where the rest names none ("g5.xlarge (A10G)").
    """
    bare = re.sub(r"\(.*?\)", "", name).strip()
    if not bare or bare.lower().startswith(("unstated", "unknown", "card of")):
        return None
    gcd = "gcd" in name.lower()
    found = None if gcd else gpus.resolve(bare)
    if found is not None:
        return found
    for part in (bare, *re.findall(r"\((.*?)\)", name)):
        found = _by_words(_words(part), size_gib, gpus, gcd=gcd)
        if found is not None:
            return found
    instance = _INSTANCES.get(bare.lower().split(".")[0]) if re.match(r"[a-z]\d\w*\.\w", bare.lower()) else None
    return None if instance is None else gpus.by_id[instance]


def _words(part: str) -> list[str]:
    """Return the words of a card's name without counts, makers and sizes: "8x NVIDIA A100 80GB" is ["a100"]."""
    low = _BEHIND.sub("", re.sub(r"^\s*(?:\d+\s*[x×*]\s*)*(?:\d{1,2}\s+(?=[a-z]))?", "", part.lower()))
    low = re.sub(r"(?<![a-z\d])\d+\s*(?:gi?b|g)\b", " ", low)
    low = re.sub(r"\b(rtx|gtx)(?=[a-z]?\d)", r"\1 ", low)
    low = re.sub(r"(?<=\d)(ti|super)\b", r" \1", low)
    low = re.sub(r"\ba6000[\s_-]+ada\b", "rtx 6000 ada", low)
    return [word for word in re.findall(r"[a-z0-9.]+|/", low.replace("-", " ")) if word not in _MAKERS]


def _by_words(words: list[str], size_gib: float | None, gpus: GpuTable, *, gcd: bool) -> Gpu | None:
    """Return the card by its longest run of first words that names one, form and size where they are stated."""
    form = next((_FORMS[word] for word in words if word in _FORMS), None)
    words = [word for word in words if word not in _FORMS]
    if gcd or size_gib == 64:
        words = [f"{word}-gcd" if word in {"mi250", "mi250x"} else word for word in words]
    size = None if size_gib is None else f"{size_gib:g}GB"
    for length in range(len(words), 0, -1):
        if length < len(words) and (words[length] in _OTHER_CHIP or words[length] == "/"):
            return None
        chip = "-".join(words[:length])
        for base in dict.fromkeys((chip, f"rtx-{chip}", chip.removesuffix("s"), f"quadro-{chip}")):
            found = _sized(base, form, size, gpus)
            if found is not None:
                return found
    return None


def _sized(chip: str, form: str | None, size: str | None, gpus: GpuTable) -> Gpu | None:
    names = [f"{chip}-{form}-{size}", f"{chip}-{size}-{form}"] if form and size else []
    names += [f"{chip}-{form}"] if form else []
    names += [f"{chip}-{size}", f"{chip}-SXM2-{size}"] if size else []
    found = next((gpu for gpu in map(gpus.resolve, (*names, chip)) if gpu is not None), None)
    if found is not None or form not in {"SXM", "PCIE"}:
        return found
    sizes = [gpu for gpu in gpus.by_id.values() if gpu.chip.lower() == chip and gpu.form_factor.startswith(form)]
    return max(sizes, key=lambda gpu: gpu.usable_bytes, default=None) if size is None else None


def _largest_of_chip(name: str, gpus: GpuTable) -> Gpu | None:
    """Return the SXM card with most memory of a chip that comes in several sizes ("A100"): its speed is the same."""
    chip = " ".join(_words(re.sub(r"\(.*?\)", "", name)))
    sizes = [gpu for gpu in gpus.by_id.values() if gpu.chip.lower() == chip and gpu.form_factor.startswith("SXM")]
    return max(sizes, key=lambda gpu: gpu.usable_bytes, default=None)
