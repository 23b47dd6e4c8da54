"""The on-demand price list of AWS, turned into offers. No requests.

Both roads to it (the query API and the bulk list) bring the same attributes, and meet in `OnDemandPrices`. A price of
zero there is a type that is sold as capacity block only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from providers.errors import ResponseChanged
from providers.money import format_unit_price
from providers.offer import Offer, PriceClass, PricingModel
from providers.payload import Fields, RowProblem, decode_json, price_nano

from .aws_machines import machine_of_attributes, name_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from providers.gpus import GpuTable
    from providers.offer import BillingTerms
    from providers.scope import DroppedRow

    from .aws_machines import Machine

SOURCE = "aws"
QUERY_SOURCE = "aws price list query api"
BULK_SOURCE = "aws bulk price list"

PLAIN_LINUX: Mapping[str, str] = {
    "operatingSystem": "Linux", "preInstalledSw": "NA", "tenancy": "Shared", "capacitystatus": "Used",
}  # fmt: skip
"""The product that is meant: Linux without software, on shared hardware, running (not merely reserved)."""
IF_STATED: Mapping[str, str] = {"marketoption": "OnDemand", "locationType": "AWS Region"}
"""Likewise, where the list says so. A local zone has prices of its own, which are not those of its region."""

CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)


class Parsed(NamedTuple):
    """What became of the rows of one scope."""

    offers: tuple[Offer, ...]
    dropped: tuple[DroppedRow, ...]


class StatedPrice(NamedTuple):
    """A price with its unit and currency, as they stand in the price list."""

    unit: object
    currency: object
    amount: object


class OnDemandPrices:
    """Collects the on-demand prices of one region, row by row: a type that is priced twice differently has none."""

    def __init__(
        self,
        *,
        region: str,
        gpus: GpuTable,
        machines: Mapping[str, Machine] | None = None,
        offered: frozenset[str] | None = None,
    ) -> None:
        """`machines` are types as EC2 describes them, `offered` what the region has; None: not known."""
        self._region = region
        self._gpus = gpus
        self._machines = machines or {}
        self._offered = offered
        self._found: dict[str, set[tuple[str, int]]] = {}
        self._known: dict[str, Machine] = {}
        self._dropped: list[DroppedRow] = []
        self.right_product = 0
        """Rows of plain Linux in this region, with a GPU or without."""

    def add(self, attributes: object, prices: Iterable[StatedPrice]) -> None:
        """Take one row of the price list."""
        try:
            fields = Fields(attributes, what="attributes")
            self._check_product(fields)
            self.right_product += 1
            machine = self._machine(fields)
            price = _one_price(prices)
        except RowProblem as problem:
            self._dropped.append(problem.dropped(name_in(attributes, "instanceType")))
            return
        self._known[machine.instance_type] = machine
        self._found.setdefault(machine.instance_type, set()).add(price)

    def drop(self, problem: RowProblem, item: str) -> None:
        """Take a row that is none of these, or many such rows at once."""
        self._dropped.append(problem.dropped(item))

    def finish(self, *, observed_at: datetime, source: str) -> Parsed:
        """Return the offers in the order of their types."""
        offers = []
        for instance_type, prices in sorted(self._found.items()):
            if len(prices) > 1:
                stated = ", ".join(format_unit_price(nano, currency=currency) for currency, nano in sorted(prices))
                self._dropped.append(RowProblem("ambiguous_parts", stated).dropped(instance_type))
                continue
            [(currency, nano)] = prices
            offers.append(
                offer_of(
                    self._known[instance_type],
                    region=self._region,
                    pricing_model=PricingModel.ON_DEMAND,
                    nano=nano,
                    currency=currency,
                    observed_at=observed_at,
                    source=source,
                )
            )
        return Parsed(tuple(offers), tuple(self._dropped))

    def _check_product(self, fields: Fields) -> None:
        for key, meant in (*PLAIN_LINUX.items(), ("regionCode", self._region)):
            if (stated := fields.text(key)) != meant:
                raise RowProblem("other_product", f"{key} {stated}")
        for key, meant in IF_STATED.items():
            if (maybe := fields.text_or_none(key)) not in {None, meant}:
                raise RowProblem("other_product", f"{key} {maybe}")

    def _machine(self, fields: Fields) -> Machine:
        name = fields.text("instanceType")
        machine = self._machines.get(name) or machine_of_attributes(fields, self._gpus)
        if self._offered is not None and name not in self._offered:
            raise RowProblem("no_capacity", f"priced, but {self._region} does not offer it")
        return machine


def add_products(prices: OnDemandPrices, rows: Iterable[object]) -> None:
    """Hand the products of `get_products` (texts of JSON) to `prices`.

    Raises ResponseChanged when there are rows, and not one is the product that was asked for.
    """
    count = 0
    for count, row in enumerate(rows, start=1):  # noqa: B007 (the last number is the count)
        try:
            product = Fields(_decoded(row), what="product")
            attributes = product.fields("product").get("attributes")
            stated = _stated_prices(product)
        except RowProblem as problem:
            prices.drop(problem, "product")
        else:
            prices.add(attributes, stated)
    if count and not prices.right_product:
        raise ResponseChanged(f"{SOURCE}: no product of the price list is understood")


def offer_of(
    machine: Machine,
    *,
    region: str,
    pricing_model: PricingModel,
    nano: int,
    currency: str,
    observed_at: datetime,
    source: str,
    zone: str | None = None,
    variant: str | None = None,
    flags: tuple[str, ...] = (),
    billing: BillingTerms | None = None,
) -> Offer:
    """Return the offer of a machine at a price, in billionths of the currency for an hour."""
    foreign = () if currency == "USD" else ("foreign_currency",)
    return Offer(
        provider=SOURCE,
        region=region,
        zone=zone,
        variant=variant,
        instance_type=machine.instance_type,
        gpu=machine.gpu,
        gpu_name=machine.gpu_name,
        gpu_count=machine.gpu_count,
        pricing_model=pricing_model,
        unit_price_nano=nano,
        currency=currency,
        observed_at=observed_at,
        source=source,
        price_class=PriceClass.LIVE,
        vcpus=machine.vcpus,
        host_ram_bytes=machine.host_ram_bytes,
        disk_bytes=machine.disk_bytes,
        network_bytes_per_s=machine.network_bytes_per_s,
        gpu_memory_bytes=machine.gpu_memory_bytes,
        flags=(*machine.flags, *flags, *foreign),
        billing=billing,
    )


def currency_of(region: str) -> str:
    """Return what EC2 itself prices in, where an answer does not say: CNY in China."""
    return "CNY" if region.startswith("cn-") else "USD"


def _decoded(row: object) -> object:
    """Return one product of `get_products`, which comes as a text of JSON within the JSON."""
    if not isinstance(row, str):
        raise RowProblem("bad_row", f"a product is {type(row).__name__}, not a text")
    try:
        return decode_json(row)
    except ValueError as err:
        raise RowProblem("bad_row", f"a product is no JSON ({type(err).__name__})") from err


def _stated_prices(product: Fields) -> list[StatedPrice]:
    """Return every on-demand price of a product: terms and dimensions have names of no meaning, so by value."""
    return [
        StatedPrice(dimension.get("unit"), currency, amount)
        for term in _entries(product.fields("terms").get("OnDemand"), "OnDemand").values()
        for stated in _entries(Fields(term, what="term").get("priceDimensions"), "priceDimensions").values()
        for dimension in (Fields(stated, what="price dimension"),)
        for currency, amount in _entries(dimension.get("pricePerUnit"), "pricePerUnit").items()
    ]


def _entries(value: object, what: str) -> dict[str, object]:
    """Return an object that may be missing."""
    if not isinstance(value, dict | None):
        raise RowProblem("bad_row", f"{what} is {type(value).__name__}, not an object")
    return value or {}


def _one_price(prices: Iterable[StatedPrice]) -> tuple[str, int]:
    """Return the currency and the price in billionths: dollars where there are some. Raises RowProblem."""
    found: dict[str, set[int]] = {}
    for price in prices:
        if price.unit != "Hrs":
            raise RowProblem("unknown_unit", f"unit {price.unit!r}"[:80])
        if not isinstance(price.currency, str) or not CURRENCY.fullmatch(price.currency):
            raise RowProblem("bad_row", f"currency {price.currency!r}"[:80])
        found.setdefault(price.currency, set()).add(price_nano(price.amount, what=price.currency))
    if not found:
        raise RowProblem("no_price", "no on-demand term")
    currency = "USD" if "USD" in found else min(found)
    if len(found[currency]) > 1:
        raise RowProblem("ambiguous_parts", f"{len(found[currency])} prices in {currency}")
    return currency, found[currency].pop()
