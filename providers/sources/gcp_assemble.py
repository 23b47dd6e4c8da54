"""Put machine prices together from the prices of their parts: exact fractions, rounded once, to billionths.

A part that two SKUs price alike has one price; one that they price differently has none, and the machines that need it
are dropped with both figures, because nothing in the catalogue says which of the two is charged.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from providers.money import format_unit_price
from providers.offer import NANO, Offer, PriceClass, PricingModel
from providers.payload import LARGEST_PRICE, RowProblem
from providers.scope import Scope, ScopeBatch

from .gcp_machines import dedicated_parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from providers.gpus import GpuTable
    from providers.scope import DroppedRow

    from .gcp_machines import GcpMachine
    from .gcp_skus import Part

    Prices = dict[str, dict[Fraction, str]]
    """Part to its prices, each with the SKU that first stated it."""

PROVIDER = "gcp"
SOURCE = "google cloud billing catalog"
MODELS: Mapping[PricingModel, bool] = {PricingModel.ON_DEMAND: False, PricingModel.SPOT: True}
"""The pricing models of the catalogue; whether each is spot."""


def make_batches(
    parts: Iterable[Part],
    machines: Mapping[str, GcpMachine],
    *,
    gpus: GpuTable,
    observed_at: datetime,
    regions: frozenset[str] = frozenset(),
    models: frozenset[PricingModel] = frozenset(),
) -> tuple[ScopeBatch, ...]:
    """Return a batch of every scope asked for, in order. Without regions: all in which a GPU has a price."""
    prices: dict[tuple[str, bool], Prices] = {}
    priced: set[str] = set()
    for part in parts:
        for region in part.regions:
            of_part = prices.setdefault((region, part.spot), {}).setdefault(part.name, {})
            of_part.setdefault(part.usd_per_hour, part.sku)
            if part.is_gpu:
                priced.add(region)
    return tuple(
        _make_batch(
            Scope(provider=PROVIDER, region=region, pricing_model=model),
            prices.get((region, spot), {}),
            machines,
            gpus=gpus,
            observed_at=observed_at,
        )
        for region in sorted(regions or priced)
        for model, spot in MODELS.items()
        if not models or model in models
    )


def _make_batch(
    scope: Scope, prices: Prices, machines: Mapping[str, GcpMachine], *, gpus: GpuTable, observed_at: datetime
) -> ScopeBatch:
    offers: list[Offer] = []
    dropped: list[DroppedRow] = []
    expected = dedicated_parts(machines)
    for machine in machines.values():
        if machine.regions and scope.region not in machine.regions:
            continue
        # A family that several GPUs share (N1, A2) is everywhere: only the GPU's price says that the machine is there.
        meant = {machine.gpu_part, *(part for part in machine.family_parts if part in expected)}
        if not meant & prices.keys():
            continue
        try:
            nano = price_machine(machine, prices)
        except RowProblem as err:
            dropped.append(err.dropped(machine.instance_type))
        else:
            offers.append(_make_offer(machine, scope, nano, gpus=gpus, observed_at=observed_at))
    return ScopeBatch(scope=scope, observed_at=observed_at, offers=tuple(offers), dropped=tuple(dropped))


def price_machine(machine: GcpMachine, prices: Mapping[str, Mapping[Fraction, str]]) -> int:
    """Return the machine's price in billionths of a dollar an hour, from each part's prices (and their SKUs).

    Raises RowProblem: `incomplete_parts` for a part without a price, `ambiguous_parts` for one with two, or where a
    price of the whole machine and prices of its parts stand side by side.
    """
    billed = machine.billed
    if missing := [part for part in billed if not prices.get(part)]:
        raise RowProblem("incomplete_parts", f"no price of {', '.join(missing)}")
    for part in billed:
        if len(prices[part]) > 1:
            raise RowProblem("ambiguous_parts", f"{part}: {_shown(prices[part])}")
    if twice := sorted(machine.contradicting & prices.keys()):
        raise RowProblem("ambiguous_parts", f"{machine.gpu_part} should include {', '.join(twice)}, which are priced")
    total = sum((amount * next(iter(prices[part])) for part, amount in billed.items()), Fraction(0))
    # Half to even, the only rounding on the way.
    nano = round(total * NANO)
    if nano == 0:
        raise RowProblem("zero_price", "less than a billionth of a dollar an hour")
    if nano > LARGEST_PRICE * NANO:
        raise RowProblem("bad_price", f"more than {LARGEST_PRICE:,} an hour")
    return nano


def _make_offer(machine: GcpMachine, scope: Scope, nano: int, *, gpus: GpuTable, observed_at: datetime) -> Offer:
    gpu = gpus.resolve(machine.gpu) if machine.gpu else None
    flags = (
        *machine.flags,
        *(machine.on_demand_flags if scope.pricing_model is PricingModel.ON_DEMAND else ()),
        *(() if gpu else ("gpu_unknown",)),
    )
    return Offer(
        provider=PROVIDER,
        region=scope.region,
        instance_type=machine.instance_type,
        gpu=gpu.id if gpu else None,
        gpu_name=machine.gpu_name,
        gpu_count=machine.gpu_count,
        pricing_model=scope.pricing_model,
        unit_price_nano=nano,
        observed_at=observed_at,
        source=SOURCE,
        price_class=PriceClass.LIVE,
        vcpus=machine.vcpus,
        host_ram_bytes=machine.host_ram_bytes,
        flags=flags,
    )


def _shown(prices: Mapping[Fraction, str]) -> str:
    return " or ".join(f"{format_unit_price(round(price * NANO))} (SKU {sku})" for price, sku in sorted(prices.items()))
