"""Reads the plans of Vultr. Pure: rows in, offers and dropped rows out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from providers.offer import BillingTerms, Offer, PriceClass, PricingModel
from providers.payload import Fields, RowProblem
from providers.units import GB, GIB, MIB

from .cloud_parts import LEAST_MEMORY, Parsed, all_of, fits, marks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from providers.gpus import Gpu, GpuTable
    from providers.scope import DroppedRow

NAME = "vultr"
SOURCE = "vultr api, plans"
METAL = "bare-metal"
"""The variant of a machine without a hypervisor, as the bundled list names it."""
BILLING = BillingTerms(
    increment_s=3600,
    minimum_s=3600,
    charged_when_stopped=True,
    source="docs.vultr.com, How am I billed for my servers: whole hours, stopped or not, until destroyed",
)

CHIPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "NVIDIA_A100": ("A100-PCIE-80GB", "A100-PCIE-40GB"),
        "NVIDIA_A100_PCIE": ("A100-PCIE-80GB", "A100-PCIE-40GB"),
        "NVIDIA_A100_SXM": ("A100-SXM-80GB", "A100-SXM-40GB"),
        "NVIDIA_H100": ("H100-SXM-80GB",),
        "NVIDIA_GH200": ("GH200-96GB",),
        "AMD_MI300X": ("MI300X-OAM-192GB",),
        "AMD_MI325X": ("MI325X-OAM-256GB",),
        "AMD_MI355X": ("MI355X-OAM-288GB",),
    }
)
"""What `gpu_type` stands for where the GPU table does not spell it: of two, the one whose memory fits. Vultr's H100 are
HGX machines, so SXM."""
FORM_FACTOR_ASSUMED = frozenset({"NVIDIA_A100"})
ARM_CHIPS = frozenset({"GH200", "GB200", "GB300"})

UNNAMED: Mapping[str, tuple[str, int]] = MappingProxyType({
    "vbm-48c-1024gb-4-a100-gpu": ("NVIDIA_A100", 4),
    "vbm-112c-2048gb-8-a100-gpu": ("NVIDIA_A100_SXM", 8),
    "vbm-112c-2048gb-8-h100-gpu": ("NVIDIA_H100", 8),
    "vbm-64c-2048gb-8-l40-gpu": ("NVIDIA_L40S", 8),
    "vbm-72c-480gb-gh200-gpu": ("NVIDIA_GH200", 1),
    "vbm-256c-2048gb-8-mi300x-gpu": ("AMD_MI300X", 8),
    "vbm-256c-3072gb-8-mi325x-gpu": ("AMD_MI325X", 8),
    "vbm-256c-3072gb-8-b200-gpu": ("NVIDIA_B200", 8),
    "vbm-256c-3072gb-8-mi355x-gpu": ("AMD_MI355X", 8),
    "vcg-a16-6c-64g-16vram": ("NVIDIA_A16", 1),
    "vcg-a16-96c-960g-256vram": ("NVIDIA_A16", 16),
    "vcg-a16-96c-878g-256vram": ("NVIDIA_A16", 16),
    "vcg-a40-24c-120g-48vram": ("NVIDIA_A40", 1),
    "vcg-a40-96c-480g-192vram": ("NVIDIA_A40", 4),
    "vcg-a100-12c-120g-80vram": ("NVIDIA_A100", 1),
    "vcg-a100-96c-896g-320vram": ("NVIDIA_A100", 4),
    "vcg-a100-96c-960g-640vram": ("NVIDIA_A100", 8),
    "vcg-h100-216c-1914gb-640vram": ("NVIDIA_H100", 8),
    "vcg-b200-248c-2826g-1536vram": ("NVIDIA_B200", 8),
    "vcg-mi355x-252c-2872g-2304vram": ("AMD_MI355X", 8),
})  # fmt: skip
"""Plans whose rows do not name their GPUs (dedicated ones do not, bare metal did not always). The dedicated MI325X plan
is missing: its name says 1,536 GB, which is no whole number of GPUs that is confirmed."""

GPU_PLANS = frozenset({"vcg", "vdm", "vdg"})
_WHOLE = re.compile(r"\d{1,3}", re.ASCII)
_FRACTION = re.compile(r"(\d{1,3})/(\d{1,3})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The GPUs of a plan. `memory_bytes` is that of one GPU, or of the slice; None where it is not stated."""

    gpu: Gpu | None
    name: str
    count: int
    memory_bytes: int | None
    fractional: bool = False


def parse_plans(rows: Iterable[object], gpus: GpuTable, observed_at: datetime, *, metal: bool) -> Parsed:
    """Return offers and dropped rows of a list of plans, those of bare metal where `metal` says so."""
    return all_of(_parse_plan(row, gpus, observed_at, metal=metal) for row in rows)


def _parse_plan(value: object, gpus: GpuTable, observed_at: datetime, *, metal: bool) -> Parsed:
    name = value.get("id") if isinstance(value, dict) else None
    item = name if isinstance(name, str) and name.strip() else "plan"
    try:
        plan = Fields(value, what="plan")
        shape = _shape(plan, gpus)
        regions = _regions(plan)
    except RowProblem as problem:
        return Parsed(dropped=(problem.dropped(item),))
    offers: list[Offer] = []
    dropped: list[DroppedRow] = []
    for region in regions:
        for model in _models(plan):
            try:
                offers.append(_offer(plan, shape, region, model, observed_at, metal=metal))
            except RowProblem as problem:
                dropped.append(problem.dropped(f"{item} {region} {model.value}"))
    return Parsed(offers=tuple(offers), dropped=tuple(dropped))


def _models(plan: Fields) -> tuple[PricingModel, ...]:
    if plan.get("deploy_preemptible") is True:
        return (PricingModel.ON_DEMAND, PricingModel.SPOT)
    return (PricingModel.ON_DEMAND,)


def _regions(plan: Fields) -> list[str]:
    """Return the regions of a plan. Raises RowProblem (`no_capacity`) where it has none: "" stands in some lists."""
    stated = [item for item in plan.items("locations") if item != ""]
    if not stated:
        raise RowProblem("no_capacity", "offered in no region")
    return list(dict.fromkeys(Fields({"location": item}).text("location") for item in stated))


def _shape(plan: Fields, gpus: GpuTable) -> Shape:
    """Return the GPUs of a plan. Raises RowProblem: `not_a_gpu`, `unknown_shape`."""
    identity = plan.text("id")
    kind, known_count = UNNAMED.get(identity, ("", 0))
    kind = plan.text_or_none("gpu_type") or kind
    if not kind:
        if str(plan.get("type")) in GPU_PLANS or "gpu" in identity.split("-"):
            raise RowProblem("unknown_shape", "a plan with GPUs that does not name them")
        raise RowProblem("not_a_gpu")
    total = plan.whole_or_none("gpu_vram_gb", high=100_000) or None
    whole, share = _stated_count(plan)
    if share:
        return _slice(kind, total, share, gpus)
    count = whole or known_count
    cards = _cards(kind, gpus)
    if not count:
        return _counted(kind, total, cards)
    memory = total * GIB // count if total else None
    gpu = next((card for card in cards if fits(card, memory)), None)
    if gpu is None and cards and memory and memory < LEAST_MEMORY * _bytes(min(cards, key=_bytes)):
        return Shape(gpu=cards[0], name=kind, count=count, memory_bytes=memory, fractional=True)
    # A memory that fits no card of that name is for the gate to judge.
    return Shape(gpu=gpu or next(iter(cards), None), name=kind, count=count, memory_bytes=memory)


def _slice(kind: str, total: int | None, share: tuple[int, int], gpus: GpuTable) -> Shape:
    """Return the shape of a part of a GPU, "1/8" of it."""
    numerator, denominator = share
    whole = total * GIB * denominator // numerator if total else None
    cards = _cards(kind, gpus)
    gpu = next((card for card in cards if fits(card, whole)), next(iter(cards), None))
    return Shape(gpu=gpu, name=kind, count=1, memory_bytes=total * GIB if total else None, fractional=True)


def _counted(kind: str, total: int | None, cards: list[Gpu]) -> Shape:
    """Return the shape of a plan that states the memory of its GPUs and not their number."""
    if total:
        for card in cards:
            count = round(total / card.memory_nameplate_gb)
            if count and fits(card, total * GIB // count):
                return Shape(gpu=card, name=kind, count=count, memory_bytes=total * GIB // count)
        if cards and total * GIB < LEAST_MEMORY * _bytes(min(cards, key=_bytes)):
            return Shape(gpu=cards[0], name=kind, count=1, memory_bytes=total * GIB, fractional=True)
    raise RowProblem("unknown_shape", f"how many {kind} is not stated")


def _stated_count(plan: Fields) -> tuple[int, tuple[int, int] | None]:
    """Return a whole number of GPUs, or the part of one as numerator and denominator; (0, None) where none is stated.

    Raises RowProblem (`bad_count`) for anything else.
    """
    stated = plan.get("gpu_count")
    if stated is None or stated == "":
        return 0, None
    text = str(stated).strip() if isinstance(stated, int | str) and not isinstance(stated, bool) else ""
    if _WHOLE.fullmatch(text) and int(text):
        return int(text), None
    part = _FRACTION.fullmatch(text)
    numerator, denominator = (int(part[1]), int(part[2])) if part else (0, 0)
    if not 0 < numerator < denominator:
        raise RowProblem("bad_count", f"gpu_count is {text[:40]!r}")
    return 0, (numerator, denominator)


def _cards(kind: str, gpus: GpuTable) -> list[Gpu]:
    if kind in CHIPS:
        return [gpus.by_id[name] for name in CHIPS[kind] if name in gpus.by_id]
    gpu = gpus.resolve(kind)
    return [gpu] if gpu else []


def _bytes(gpu: Gpu) -> float:
    return gpu.memory_nameplate_gb * GIB


def _offer(
    plan: Fields, shape: Shape, region: str, model: PricingModel, observed_at: datetime, *, metal: bool
) -> Offer:
    ram = plan.whole_or_none("ram")
    return Offer(
        provider=NAME,
        region=region,
        variant=METAL if metal else None,
        instance_type=plan.text("id"),
        gpu=shape.gpu.id if shape.gpu else None,
        gpu_name=shape.name,
        gpu_count=shape.count,
        gpu_memory_bytes=shape.memory_bytes,
        vcpus=plan.whole_or_none("cpu_threads" if metal else "vcpu_count") or None,
        host_ram_bytes=ram * MIB if ram else None,
        disk_bytes=None if metal else _disk_bytes(plan),
        pricing_model=model,
        unit_price_nano=_price_nano(plan, region, model),
        observed_at=observed_at,
        source=SOURCE,
        price_class=PriceClass.LIVE,
        billing=BILLING,
        flags=_flags(plan, shape, model),
    )


def _flags(plan: Fields, shape: Shape, model: PricingModel) -> tuple[str, ...]:
    on_demand = model is PricingModel.ON_DEMAND
    return marks(
        None if shape.gpu else "gpu_unknown",
        "fractional" if shape.fractional else None,
        "not_sold_on_demand" if on_demand and plan.get("deploy_ondemand") is False else None,
        "form_factor_assumed" if shape.name in FORM_FACTOR_ASSUMED else None,
        "arm_host" if shape.gpu and shape.gpu.chip in ARM_CHIPS else None,
    )


def _disk_bytes(plan: Fields) -> int | None:
    """Return the local disks of a cloud plan; dedicated and GPU plans have NVMe."""
    disk, count = plan.whole_or_none("disk", high=10**6), plan.whole_or_none("disk_count", high=100)
    return disk * (count or 1) * GB if disk else None


def _price_nano(plan: Fields, region: str, model: PricingModel) -> int:
    """Return the price of one hour in `region`. Raises RowProblem: `no_price` where only a month is priced."""
    key = "hourly_cost" if model is PricingModel.ON_DEMAND else "hourly_cost_preemptible"
    # An empty list stands for an empty object.
    local = plan.get("location_cost")
    own = local.get(region) if isinstance(local, dict) else None
    return (plan if own is None else Fields(own, what=f"location_cost of {region}")).price_nano(key)
