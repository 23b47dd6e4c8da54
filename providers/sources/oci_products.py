"""What a row of Oracle's public price list means: which machines a part number prices, and at what. Pure.

The list names products, not machines. A GPU product has a price per GPU and hour that includes CPU, memory and local
disks, so a machine costs that times its GPUs. Products are told apart by part number: labels repeat (B98415 and B109480
are both sold as H100, at different prices), and a label that changes its meaning is noticed by the words that it must
have. What is in a machine stands in Oracle's documentation of shapes, which counts memory in GB and means GiB.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING

from providers.offer import BillingTerms, Offer, PriceClass, PricingModel
from providers.payload import Fields, RowProblem, clean_name, price_nano, rows_of
from providers.scope import GLOBAL_REGION
from providers.units import GIB

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from providers.gpus import GpuTable
    from providers.scope import DroppedRow

PROVIDER = "oci"
SOURCE = "oci price list api"
PREEMPTIBLE_SOURCE = f"{SOURCE}, halved: preemptible capacity costs 50 % of on demand by Oracle's rule"
CURRENCY = "USD"
METRIC = "GPU Per Hour"
CATEGORIES = frozenset({"Compute - GPU", "Compute - GPU - Other"})
"""Products in Oracle's own regions. "Compute Cloud@Customer" sells the same labels for the customer's building."""

PREEMPTIBLE_FRACTION = Decimal("0.5")

_NUMBER = re.compile(r"B\d{4,9}", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_WORDS = re.compile(r"[A-Za-z0-9]+")
_LICENCE = "nvidia ai enterprise"
_BILLING = "Oracle: per second, {least} at least (2018); a stopped {what} {stopped} (Compute documentation)"
_VM_A10 = BillingTerms(
    increment_s=1, minimum_s=60, source=_BILLING.format(least="a minute", what="VM.GPU.A10", stopped="is not charged")
)
_VM = BillingTerms(
    increment_s=1,
    minimum_s=60,
    charged_when_stopped=True,
    source=_BILLING.format(least="a minute", what="GPU machine", stopped="stays charged"),
)
_BARE_METAL = BillingTerms(
    increment_s=1,
    minimum_s=3600,
    charged_when_stopped=True,
    source=_BILLING.format(least="an hour", what="GPU machine", stopped="stays charged"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OciShape:
    """A machine that Oracle rents out. `billing` is that of its kind; None is unknown."""

    name: str
    gpu_count: int
    vcpus: int | None
    host_ram_gib: int | None
    billing: BillingTerms = _BARE_METAL

    @property
    def preemptible(self) -> bool:
        """Whether it can be had as preemptible capacity: virtual machines can, bare metal cannot."""
        return self.name.startswith("VM.")


@dataclass(frozen=True, slots=True, kw_only=True)
class OciPart:
    """What one part number prices. `words` are those that its label must have, in lower case."""

    gpu: str
    gpu_name: str
    words: frozenset[str]
    shapes: tuple[OciShape, ...]
    flags: tuple[str, ...] = ()


def _part(gpu: str, gpu_name: str, words: str, *shapes: OciShape, flags: tuple[str, ...] = ()) -> OciPart:
    return OciPart(gpu=gpu, gpu_name=gpu_name, words=frozenset(words.split()), shapes=shapes, flags=flags)


def _metal(name: str, gpu_count: int, vcpus: int | None, host_ram_gib: int | None) -> OciShape:
    return OciShape(name=name, gpu_count=gpu_count, vcpus=vcpus, host_ram_gib=host_ram_gib)


def _virtual(name: str, gpu_count: int, vcpus: int, host_ram_gib: int, billing: BillingTerms = _VM) -> OciShape:
    return OciShape(name=name, gpu_count=gpu_count, vcpus=vcpus, host_ram_gib=host_ram_gib, billing=billing)


PARTS: Mapping[str, OciPart] = {
    # The documentation does not say which P100 it is.
    "B88517": _part(
        "P100-PCIE-16GB", "P100", "bare metal gpu x7", _metal("BM.GPU2.2", 2, 56, None), flags=("form_factor_assumed",)
    ),
    "B88518": _part(
        "P100-PCIE-16GB", "P100", "virtual machine gpu x7",
        _virtual("VM.GPU2.1", 1, 24, 72), flags=("form_factor_assumed",),
    ),
    "B89734": _part(
        "V100-SXM2-16GB", "V100", "gpu standard v2",
        _virtual("VM.GPU3.1", 1, 12, 90), _virtual("VM.GPU3.2", 2, 24, 180), _virtual("VM.GPU3.4", 4, 48, 360),
        _metal("BM.GPU3.8", 8, 104, 768),
    ),
    "B92740": _part("A100-SXM-40GB", "A100", "gpu e3", _metal("BM.GPU4.8", 8, 128, 2048)),
    "B95907": _part("A100-SXM-80GB", "A100-80GB", "gpu a100 v2", _metal("BM.GPU.A100-v2.8", 8, 256, 2048)),
    "B95909": _part(
        "A10-24GB", "A10", "gpu a10",
        _virtual("VM.GPU.A10.1", 1, 30, 240, _VM_A10), _virtual("VM.GPU.A10.2", 2, 60, 480, _VM_A10),
        _metal("BM.GPU.A10.4", 4, 128, 1024),
    ),
    "B98415": _part("H100-SXM-80GB", "H100", "gpu h100", _metal("BM.GPU.H100.8", 8, 224, 2048)),
    "B109479": _part("L40S-48GB", "L40S", "gpu l40s", _metal("BM.GPU.L40S.4", 4, 224, 1024)),
    "B109485": _part("MI300X-OAM-192GB", "MI300X", "gpu mi300x", _metal("BM.GPU.MI300X.8", 8, 224, 2048)),
    "B110519": _part("H200-SXM-141GB", "H200", "gpu h200", _metal("BM.GPU.H200.8", 8, 224, 3072)),
    "B110978": _part("B200-SXM-180GB", "B200", "gpu b200", _metal("BM.GPU.B200.8", 8, 256, 4096)),
    # Two Grace CPUs of 72 cores without a second thread.
    "B110979": _part("GB200-186GB", "GB200", "gpu gb200", _metal("BM.GPU.GB200.4", 4, 144, 960), flags=("arm_host",)),
    "B111758": _part("MI355X-OAM-288GB", "MI355X", "gpu mi355x", _metal("BM.GPU.MI355X.8", 8, 256, 3072)),
    "B112140": _part("GB300-288GB", "GB300", "gpu gb300", _metal("BM.GPU.GB300.4", 4, 144, 960), flags=("arm_host",)),
    "B112237": _part("B300-SXM-288GB", "B300", "gpu b300", _metal("BM.GPU.B300.8", 8, 256, 4096)),
    "B112613": _part(
        "RTX-PRO-6000-96GB", "RTX PRO 6000", "gpu rtx pro 6000", _metal("BM.GPU.RTXPRO.8", 8, 288, 3072)
    ),
}  # fmt: skip
"""Part numbers and the machines that they price. B93544 ("GPU - E4") and B109480 ("H100T") are GPU products whose
machine is not known: they are kept, as products that the GPU table does not know."""


@dataclass(frozen=True, slots=True)
class _Product:
    """One GPU product with a price per GPU and hour."""

    number: str
    label: str
    currency: str
    per_gpu: Decimal
    part: OciPart | None


@dataclass(slots=True)
class Parsed:
    """What the list became: offers by pricing model, and the rows that became none."""

    on_demand: list[Offer] = field(default_factory=list)
    spot: list[Offer] = field(default_factory=list)
    dropped: list[DroppedRow] = field(default_factory=list)


def part_of(instance_type: str) -> str:
    """Return the part number that prices a machine; one that is not known is taken for a part number itself."""
    for number, part in PARTS.items():
        if any(shape.name == instance_type for shape in part.shapes):
            return number
    return instance_type


def parse_products(answer: object, *, observed_at: datetime, gpus: GpuTable) -> Parsed:
    """Return the offers of the list, and the rows that became none. Raises ResponseChanged where it is no such list."""
    parsed = Parsed()
    products: dict[str, list[_Product]] = {}
    for item in rows_of(answer, "items", source=PROVIDER):
        try:
            product = _read_product(item)
        except RowProblem as err:
            parsed.dropped.append(err.dropped(_label(item)))
        else:
            products.setdefault(product.number, []).append(product)
    for number, rows in sorted(products.items()):
        if len({(row.currency, row.per_gpu) for row in rows}) > 1:
            problem = RowProblem("ambiguous_parts", "one part number with two prices")
            parsed.dropped.extend(problem.dropped(f"{number} {row.label}") for row in rows)
            continue
        try:
            _add_offers(parsed, rows[0], observed_at, gpus)
        except RowProblem as err:
            parsed.dropped.append(err.dropped(f"{number} {rows[0].label}"))
    return parsed


def _read_product(item: object) -> _Product:
    row = Fields(item, what="the product")
    number, label = row.text("partNumber"), row.text("displayName")
    if not _NUMBER.fullmatch(number):
        raise RowProblem("bad_row", f"partNumber {number}")
    part, words = PARTS.get(number), {word.lower() for word in _WORDS.findall(label)}
    metric, category = row.text("metricName"), row.text_or_none("serviceCategory") or ""
    if metric != METRIC and part is None:
        raise RowProblem("other_product" if "gpu" in words else "not_a_gpu", f"{category}, {metric}")
    if _LICENCE in label.casefold():
        raise RowProblem("other_product", "a software licence per GPU, on top of the machine")
    if category not in CATEGORIES:
        raise RowProblem("other_product", category or "no service category")
    if metric != METRIC:
        raise RowProblem("unknown_unit", metric)
    if part is not None and not part.words <= words:
        raise RowProblem("unknown_shape", f"{number} is no longer {part.gpu_name}")
    currency, per_gpu = _price(row)
    return _Product(number, label, currency, per_gpu, part)


def _price(row: Fields) -> tuple[str, Decimal]:
    """Return currency and price of one GPU-hour, in dollars where there is such a price. Raises RowProblem."""
    found: dict[str, set[Decimal]] = {}
    for entry in row.items("currencyCodeLocalizations"):
        local = Fields(entry, what="a currency")
        if not _CURRENCY.fullmatch(currency := local.text("currencyCode")):
            raise RowProblem("bad_row", f"currencyCode {currency}")
        for each in local.items("prices"):
            price = Fields(each, what="a price")
            if price.get("model") == "PAY_AS_YOU_GO" and price.get("value") is not None:
                found.setdefault(currency, set()).add(price.number("value"))
    if not found:
        raise RowProblem("no_price", "no price for pay as you go")
    currency = CURRENCY if CURRENCY in found else min(found)
    if len(found[currency]) > 1:
        raise RowProblem("ambiguous_parts", f"{len(found[currency])} prices for pay as you go")
    (per_gpu,) = found[currency]
    return currency, per_gpu


def _add_offers(parsed: Parsed, product: _Product, observed_at: datetime, gpus: GpuTable) -> None:
    """Add the machines that a product prices; one that prices none known is kept as what it is: a GPU-hour."""
    part = product.part
    shapes = part.shapes if part else (_metal(product.number, 1, None, None),)
    gpu = gpus.by_id.get(part.gpu) if part else None
    flags = {*(part.flags if part else ("per_gpu_of_node",))}
    flags |= {"gpu_unknown"} if gpu is None else set()
    flags |= {"foreign_currency"} if product.currency != CURRENCY else set()

    def offer(shape: OciShape, model: PricingModel, fraction: Decimal, source: str) -> Offer:
        with localcontext(prec=100):
            whole = product.per_gpu * shape.gpu_count * fraction
        return Offer(
            provider=PROVIDER,
            region=GLOBAL_REGION,
            instance_type=shape.name,
            gpu=gpu.id if gpu else None,
            gpu_name=part.gpu_name if part else product.label,
            gpu_count=shape.gpu_count,
            vcpus=shape.vcpus,
            host_ram_bytes=None if shape.host_ram_gib is None else shape.host_ram_gib * GIB,
            pricing_model=model,
            unit_price_nano=price_nano(whole),
            currency=product.currency,
            observed_at=observed_at,
            source=source,
            price_class=PriceClass.LIVE,
            flags=tuple(sorted(flags)),
            billing=shape.billing,
        )

    on_demand = [offer(shape, PricingModel.ON_DEMAND, Decimal(1), SOURCE) for shape in shapes]
    spot = [
        offer(shape, PricingModel.SPOT, PREEMPTIBLE_FRACTION, PREEMPTIBLE_SOURCE)
        for shape in shapes
        if shape.preemptible
    ]
    parsed.on_demand.extend(on_demand)
    parsed.spot.extend(spot)


def _label(item: object) -> str:
    """Return the words by which a person finds the product again."""
    if not isinstance(item, dict):
        return "a product that is no object"
    words = [item.get(key) for key in ("partNumber", "displayName")]
    return clean_name(" ".join(word for word in words if isinstance(word, str) and word.strip())) or "unnamed product"
