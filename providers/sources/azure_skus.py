"""What a row of Azure's retail price list means: which machine, which pricing model, which price. Pure.

One size (`armSkuName`) has many rows: Linux and Windows, on demand, Spot and Low Priority, Cloud Services, dedicated
hosts, and each of them once per window of time in which a price is, was or will be in force. What a row prices is said
by `type`, `productName`, `skuName` and `meterName`; what is in the machine is not said at all and stands in
`data/azure_machines.csv`. There `source` is a key of `data/sources.csv`, or `calculator` (Azure's price calculator, as
public copies of it show it), or `sibling` (a name that differs from a documented one by a suffix only). A GPU count of
0 is no GPU: an FPGA, a video transcoder.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from providers.errors import ResponseChanged
from providers.offer import Offer, PriceClass, PricingModel
from providers.payload import Fields, RowProblem, clean_name, exact_number, sample_of
from providers.units import GIB

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from providers.gpus import GpuTable
    from providers.scope import DroppedRow

PROVIDER = "azure"
SOURCE = "azure retail prices api"
SERVICE = "Virtual Machines"
GPU_PREFIX = "Standard_N"
"""All sizes with an accelerator: NC, ND, NG, NV, and NM and NP, which hold no GPU."""

RESTRICTED_REGIONS = frozenset({
    "australiacentral2", "brazilsoutheast", "francesouth", "germanynorth", "jioindiacentral", "jioindiawest",
    "norwaywest", "southafricawest", "swedensouth", "switzerlandwest", "uaecentral",
    # Clouds of their own, open to governments and to companies in China only.
    "chinaeast", "chinaeast2", "chinaeast3", "chinanorth", "chinanorth2", "chinanorth3",
    "usdodcentral", "usdodeast", "usgovarizona", "usgovtexas", "usgovvirginia",
})  # fmt: skip
"""Regions that Azure opens on request only."""

_SPOT = re.compile(r"(?<![a-z0-9])spot(?![a-z0-9])", re.IGNORECASE)
_LOW_PRIORITY = re.compile(r"(?<![a-z0-9])low[\s_]?priority(?![a-z0-9])", re.IGNORECASE)
_OTHER_PRODUCT = re.compile(r"\b(?:windows|cloud\s?services|dedicated\s?host)\b", re.IGNORECASE)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_TABLE = Path(__file__).parents[1] / "data" / "azure_machines.csv"
_COLUMNS = ["instance_type", "gpu", "gpu_name", "gpu_count", "vcpus", "host_ram_gib", "flags", "source"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureSize:
    """What is in a machine of one size. `gpu` None: the GPU table does not know the chip, or it is a slice of one."""

    name: str
    gpu: str | None
    gpu_name: str
    gpu_count: int
    vcpus: int | None = None
    host_ram_bytes: int | None = None
    flags: tuple[str, ...] = ()


@dataclass(slots=True)
class Parsed:
    """What the rows of one region became, by pricing model; rows that belong to none stand under None."""

    offers: dict[PricingModel, list[Offer]] = field(default_factory=lambda: defaultdict(list))
    dropped: dict[PricingModel | None, list[DroppedRow]] = field(default_factory=lambda: defaultdict(list))


@dataclass(frozen=True, slots=True)
class _Price:
    """One row that states a price in force: `start` is when it came into force, `label` names the row."""

    name: str
    model: PricingModel
    currency: str
    nano: int
    start: datetime | None
    label: str


def parse_items(items: Sequence[object], *, region: str, observed_at: datetime, gpus: GpuTable) -> Parsed:
    """Return the offers of one region, and the rows that became none with their reasons.

    Raises ResponseChanged when there are rows and not one of them has the fields that a row has.
    """
    parsed = Parsed()
    prices: dict[tuple[str, PricingModel], list[_Price]] = defaultdict(list)
    for item in items:
        label, model = _label(item), None
        try:
            row = Fields(item, what="the row")
            _check_product(row, region)
            model = _pricing_model(row)
            price = _read_price(row, model, label, observed_at)
        except RowProblem as err:
            parsed.dropped[model].append(err.dropped(label))
        else:
            prices[price.name, model].append(price)
    broken = [row.reason for rows in parsed.dropped.values() for row in rows]
    if items and not prices and set(broken) == {"bad_row"}:
        raise ResponseChanged(f"{PROVIDER}: no row of the price list is understood", sample=sample_of(items))
    for (_name, model), rows in sorted(prices.items()):
        chosen, others = _price_in_force(rows)
        parsed.dropped[model].extend(others)
        if chosen is not None:
            parsed.offers[model].append(_offer(chosen, region=region, observed_at=observed_at, gpus=gpus))
    return parsed


@lru_cache(maxsize=1)
def load_sizes() -> Mapping[str, AzureSize]:
    """Return the sizes by name in lower case. Raises ValueError, naming the line, for a bad table."""
    rows = csv.reader(_TABLE.read_text(encoding="utf-8").splitlines())
    if (header := next(rows)) != _COLUMNS:
        raise ValueError(f"azure_machines.csv: columns {', '.join(header)} are not {', '.join(_COLUMNS)}")
    sizes: dict[str, AzureSize] = {}
    for number, row in enumerate(rows, start=2):
        try:
            size = _size(row)
        except ValueError as err:
            raise ValueError(f"azure_machines.csv line {number}: {err}") from err
        if size.name.casefold() in sizes:
            raise ValueError(f"azure_machines.csv line {number}: {size.name} stands here twice")
        sizes[size.name.casefold()] = size
    return sizes


def _size(row: list[str]) -> AzureSize:
    name, gpu, gpu_name, gpu_count, vcpus, ram_gib, flags, source = row
    if not (name and gpu_name and source):
        raise ValueError("instance_type, gpu_name and source may not be empty")
    return AzureSize(
        name=name,
        gpu=gpu or None,
        gpu_name=gpu_name,
        gpu_count=int(gpu_count),
        vcpus=int(vcpus) if vcpus else None,
        host_ram_bytes=int(ram_gib) * GIB if ram_gib else None,
        flags=tuple(flags.split(";")) if flags else (),
    )


def _label(item: object) -> str:
    """Return the words by which a person finds the row again: size, meter, product."""
    if not isinstance(item, dict):
        return "a row that is no object"
    words = [item.get(key) for key in ("armSkuName", "meterName", "productName")]
    return clean_name(" / ".join(word for word in words if isinstance(word, str) and word.strip())) or "unnamed row"


def _check_product(row: Fields, region: str) -> None:
    """Raise RowProblem for a row that prices something else than a GPU machine with Linux by the hour in `region`."""
    if (place := row.text("armRegionName")) != region:
        raise RowProblem("bad_row", f"region {place}, asked for {region}")
    if (service := row.text("serviceName")) != SERVICE:
        raise RowProblem("other_product", service)
    # A reservation states the sum for one or more years, in the unit "1 Hour".
    if (kind := row.text("type")) != "Consumption":
        raise RowProblem("other_product", kind)
    product = row.text("productName")
    if _OTHER_PRODUCT.search(product):
        raise RowProblem("other_product", product)
    name = row.text("armSkuName")
    size = load_sizes().get(name.casefold())
    if not name.casefold().startswith(GPU_PREFIX.casefold()):
        raise RowProblem("not_a_gpu", name)
    if size is not None and size.gpu_count == 0:
        raise RowProblem("not_a_gpu", size.gpu_name)


def _pricing_model(row: Fields) -> PricingModel:
    """Return spot where any name of the row says so: taking a spot price for an on-demand one would be the worse error.

    Raises RowProblem for Low Priority, which only Azure Batch rents out, and which came before Spot.
    """
    names = [row.text("meterName"), row.text_or_none("skuName") or "", row.text("productName")]
    if any(_LOW_PRIORITY.search(name) for name in names):
        raise RowProblem("other_product", "Low Priority")
    return PricingModel.SPOT if any(_SPOT.search(name) for name in names) else PricingModel.ON_DEMAND


def _read_price(row: Fields, model: PricingModel, label: str, now: datetime) -> _Price:
    if (unit := row.text("unitOfMeasure")) != "1 Hour":
        raise RowProblem("unknown_unit", unit)
    least = row.get("tierMinimumUnits")
    if least is not None and exact_number(least, what="tierMinimumUnits") != 0:
        raise RowProblem("other_product", f"the price from {least} units on")
    if not _CURRENCY.fullmatch(currency := row.text("currencyCode")):
        raise RowProblem("bad_row", f"currencyCode {currency}")
    start, end = _moment(row, "effectiveStartDate"), _moment(row, "effectiveEndDate")
    _check_window(start, end, now)
    name = row.text("armSkuName")
    size = load_sizes().get(name.casefold())
    return _Price(size.name if size else name, model, currency, row.price_nano("retailPrice"), start, label)


def _check_window(start: datetime | None, end: datetime | None, now: datetime) -> None:
    """Raise RowProblem for a price that is not in force. The last day counts whole: two prices then may overlap,
    and the newer one stands (`_price_in_force`)."""
    if start is not None and end is not None and end < start:
        # Placeholders of a cent or less come with such windows.
        raise RowProblem("not_in_force", f"a window that ends ({end:%Y-%m-%d}) before it begins ({start:%Y-%m-%d})")
    if start is not None and start > now:
        raise RowProblem("not_in_force", f"in force only from {start:%Y-%m-%d} on")
    if end is not None and end.date() < now.date():
        raise RowProblem("not_in_force", f"in force only until {end:%Y-%m-%d}")


def _moment(row: Fields, key: str) -> datetime | None:
    text = row.text_or_none(key)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as err:
        raise RowProblem("bad_row", f"{key} {text} is no moment") from err


def _price_in_force(rows: list[_Price]) -> tuple[_Price | None, list[DroppedRow]]:
    """Return the one price of a size under one pricing model, and the rows that do not count.

    The list moves while it is read, and a row may come twice: equal prices are one. Of several prices in force the one
    that came into force last stands, because the list keeps windows open that a newer price has ended. Where that does
    not decide, none stands: `isPrimaryMeterRegion` does not either, it says where a meter has its home and not what is
    paid (older sizes are priced in most regions by rows that are not primary).
    """
    if len({(row.currency, row.nano) for row in rows}) == 1:
        return rows[0], []
    starts = [row.start for row in rows if row.start is not None]
    newest = [row for row in rows if len(starts) == len(rows) and row.start == max(starts)]
    if len({(row.currency, row.nano) for row in newest}) != 1:
        problem = RowProblem("ambiguous_parts", "two prices are in force from the same moment on")
        return None, [problem.dropped(row.label) for row in rows]
    older = RowProblem("not_in_force", f"superseded by the price in force from {newest[0].start:%Y-%m-%d} on")
    return newest[0], [older.dropped(row.label) for row in rows if row.start != newest[0].start]


def _offer(price: _Price, *, region: str, observed_at: datetime, gpus: GpuTable) -> Offer:
    size = load_sizes().get(price.name.casefold())
    if size is None:
        size = AzureSize(name=price.name, gpu=None, gpu_name=price.name, gpu_count=1)
    gpu = gpus.by_id.get(size.gpu) if size.gpu else None
    return Offer(
        provider=PROVIDER,
        region=region,
        instance_type=size.name,
        gpu=gpu.id if gpu else None,
        gpu_name=size.gpu_name,
        gpu_count=size.gpu_count,
        vcpus=size.vcpus,
        host_ram_bytes=size.host_ram_bytes,
        pricing_model=price.model,
        unit_price_nano=price.nano,
        currency=price.currency,
        observed_at=observed_at,
        source=SOURCE,
        price_class=PriceClass.LIVE,
        flags=_flags(size.flags, gpu_known=gpu is not None, region=region, currency=price.currency),
    )


def _flags(of_size: Iterable[str], *, gpu_known: bool, region: str, currency: str) -> tuple[str, ...]:
    """Return all flags of an offer in alphabetical order, as the bundled list has them."""
    more = {
        "gpu_unknown": not gpu_known,
        "restricted_region": region in RESTRICTED_REGIONS,
        "foreign_currency": currency != "USD",
    }
    return tuple(sorted({*of_size, *(flag for flag, holds in more.items() if holds)}))
