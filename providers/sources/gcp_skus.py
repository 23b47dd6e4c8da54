"""Read SKUs of the Cloud Billing Catalog: which part of a machine each prices, in which regions, at what price.

A SKU says what it is in a sentence ("Spot Preemptible A2 Instance Core running in Iowa"). The sentence is taken apart
by its grammar, and the product's name is looked up whole: a name that merely contains another is another product.
What the sentence says of spot goes before the category, which files some spot prices under OnDemand. Prices are
fractions: `units` and `nanos` of the last tier, per hour of one vCPU, one GPU or one GiB.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

from providers.offer import NANO
from providers.payload import LARGEST_PRICE, Fields, RowProblem, clean_name, exact_number
from providers.scope import DroppedRow
from providers.units import GB, GIB, MB, MIB, TB, TIB

from .gcp_machines import SLICE, SSD_PART, core_part, ram_part

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HOURS: Mapping[str, int] = {"h": 1, "mo": 730}
"""Hours of a billing period. Google's month has 730: list prices of machines with local disks come out with it."""

SIZES: Mapping[str, int] = {"MBy": MB, "MiBy": MIB, "GBy": GB, "GiBy": GIB, "TBy": TB, "TiBy": TIB}

_FAMILIES = ("A2", "A3", "A3Plus", "A3Ultra", "A4", "G2", "G4")
_PARTS: Mapping[str, str] = {
    **{f"{family} Instance Core".casefold(): core_part(family) for family in _FAMILIES},
    **{f"{family} Instance Ram".casefold(): ram_part(family) for family in _FAMILIES},
    # Written in one word or in two.
    "a3 ultra instance core": core_part("A3Ultra"),
    "a3 ultra instance ram": ram_part("A3Ultra"),
    "n1 predefined instance core": core_part("N1"),
    "n1 predefined instance ram": ram_part("N1"),
    "ssd backed local storage": SSD_PART,
    "nvidia tesla a100 gpu": "GPU A100-40GB",
    "nvidia tesla a100 80gb gpu": "GPU A100-80GB",
    "nvidia h100 80gb gpu": "GPU H100",
    # The GPU of A3 Mega has three names, by region; its cores are called A3Plus.
    "nvidia h100 80gb mega gpu": "GPU H100 Mega",
    "nvidia h100 mega 80gb gpu": "GPU H100 Mega",
    "nvidia h100 80gb plus gpu": "GPU H100 Mega",
    "h200 141gb gpu": "GPU H200",
    "nvidia h200 141gb gpu": "GPU H200",
    "a4 nvidia b200 (1 gpu slice)": f"{SLICE}B200",
    "nvidia l4 gpu": "GPU L4",
    "rtx 6000 96gb": "GPU RTX PRO 6000",
    "nvidia tesla t4 gpu": "GPU T4",
    "nvidia tesla v100 gpu": "GPU V100",
    "nvidia tesla p100 gpu": "GPU P100",
    "nvidia tesla p4 gpu": "GPU P4",
}
"""What the catalogue calls a product, in lower case, to the part that it prices."""

_SENTENCE = re.compile(
    r"(?P<spot>(?:Spot )?Preemptible )?(?P<name>.+?)(?: attached to (?P<attached>.+?) VMs?)?(?: (?:running )?in .+)?",
    re.IGNORECASE,
)
_ATTACHED_SPOT = frozenset({"spot preemptible", "preemptible"})

_OTHER_PRODUCT = re.compile(
    r"\b(?:calendar mode|capacity optimized|commitment|committed use|confidential|custom|defined duration|dws|extended"
    r"|flex start|premium|reserved|sole tenancy|suspended|virtual workstation|vm state)\b",
    re.IGNORECASE,
)
"""Other ways of buying the same hardware: they may not be taken for its price by the hour."""

_COUNTED = frozenset({"not_a_gpu", "other_product", "unknown_shape"})
"""Reasons that hold for whole kinds of SKUs, tens of thousands of them: one dropped row a kind, with their number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The price of one part in some regions, US dollars an hour for one unit of it, exact. `sku` is the SKU's id."""

    name: str
    spot: bool
    usd_per_hour: Fraction
    regions: tuple[str, ...]
    sku: str

    @property
    def is_gpu(self) -> bool:
        """Whether it prices GPUs, alone or with their share of the machine."""
        return self.name.startswith(("GPU ", SLICE))


@dataclass(slots=True, kw_only=True)
class Catalogue:
    """What was understood of the SKUs read so far, and how often which SKUs were not."""

    parts: list[Part] = field(default_factory=list)
    problems: list[DroppedRow] = field(default_factory=list)
    kinds: Counter[tuple[str, str]] = field(default_factory=Counter)

    def read(self, rows: Iterable[object]) -> None:
        """Add SKUs as the REST API states them (decoded JSON)."""
        for number, row in enumerate(rows, start=1):
            try:
                self.parts.append(parse_sku(row))
            except RowProblem as err:
                if err.reason in _COUNTED:
                    self.kinds[err.reason, clean_name(err.detail)] += 1
                else:
                    self.problems.append(err.dropped(_item(row, number)))

    @property
    def dropped(self) -> tuple[DroppedRow, ...]:
        """The SKUs that price no part of a GPU machine: counted by kind, named where something is wrong with them."""
        counted = [
            DroppedRow(reason=reason, item=kind, detail=f"SKUs: {count:,}")
            for (reason, kind), count in sorted(self.kinds.items())
        ]
        return (*counted, *self.problems)


def parse_sku(row: object) -> Part:
    """Return the part that a SKU prices. Raises RowProblem for one that prices none, or that is not understood."""
    fields = Fields(row, what="SKU")
    description = fields.text("description")
    if other := _OTHER_PRODUCT.search(description):
        raise RowProblem("other_product", other[0].lower())
    category = fields.fields("category")
    # The expression takes any text: what it cannot take apart is all name.
    sentence = _SENTENCE.fullmatch(description)
    words = sentence.groupdict() if sentence else {"name": description}
    name = _PARTS.get((words["name"] or "").casefold())
    if name is None:
        if category.get("resourceGroup") == "GPU":
            raise RowProblem("unknown_shape", words["name"] or description)
        raise RowProblem("not_a_gpu", category.text_or_none("resourceFamily") or "no family")
    usage = category.text("usageType")
    attached = (words.get("attached") or "").casefold()
    if usage not in {"OnDemand", "Preemptible"} or (attached and attached not in _ATTACHED_SPOT):
        raise RowProblem("other_product", words.get("attached") or usage)
    regions = tuple(dict.fromkeys(_region(region) for region in fields.items("serviceRegions")))
    if not regions:
        raise RowProblem("bad_row", "it has no region")
    return Part(
        name=name,
        spot=bool(words.get("spot") or attached) or usage == "Preemptible",
        usd_per_hour=_price(fields, sized=name == SSD_PART or name.startswith(ram_part(""))),
        regions=regions,
        sku=fields.text("skuId"),
    )


def _price(sku: Fields, *, sized: bool) -> Fraction:
    """Return US dollars an hour for one unit, or one GiB of what has a size."""
    # The newest price of a timeline, and of tiers the one that a machine which keeps running pays.
    expression = Fields(_last(sku.items("pricingInfo")), what="pricingInfo").fields("pricingExpression")
    money = Fields(_last(expression.items("tieredRates")), what="tieredRates").fields("unitPrice")
    currency = money.text_or_none("currencyCode") or "USD"
    if currency != "USD":
        raise RowProblem("other_product", f"priced in {currency}")
    price = _money(money)
    unit = expression.text("usageUnit")
    size, _, period = unit.rpartition(".")
    if period not in HOURS or (size not in SIZES if sized else size != ""):
        raise RowProblem("unknown_unit", f"priced by {unit}")
    return price * (Fraction(GIB, SIZES[size]) if sized else 1) / HOURS[period]


def _money(money: Fields) -> Fraction:
    """Return `units` + `nanos`. Raises RowProblem: a zero is left out of JSON, so a missing field is one."""
    units = Fraction(exact_number(money.get("units") or 0, what="units"))
    nanos = Fraction(exact_number(money.get("nanos") or 0, what="nanos"))
    if units.denominator != 1 or nanos.denominator != 1 or abs(nanos) >= NANO:
        raise RowProblem("bad_price", "units and nanos are no whole numbers of dollars and billionths")
    amount = units + nanos / NANO
    if amount < 0:
        raise RowProblem("negative_price", "units and nanos are below zero")
    if amount == 0:
        raise RowProblem("zero_price", "0 units and 0 nanos")
    if amount > LARGEST_PRICE:
        raise RowProblem("bad_price", f"more than {LARGEST_PRICE:,} for one unit")
    return amount


def _last(items: list[object]) -> object:
    if not items:
        raise RowProblem("no_price", "the SKU states no price")
    return items[-1]


def _region(region: object) -> str:
    name = clean_name(region) if isinstance(region, str) else ""
    if not name:
        raise RowProblem("bad_row", "a region is not a name")
    return name


def _item(row: object, number: int) -> str:
    """Return what a SKU is called in the list of dropped rows."""
    texts = [row.get(key) for key in ("skuId", "description")] if isinstance(row, dict) else []
    return " ".join(text for text in texts if isinstance(text, str)) or f"SKU {number} of its page"
