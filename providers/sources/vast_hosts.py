"""Reads the hosts that a search of Vast.ai found. Pure: rows in, offers and dropped rows out."""

from __future__ import annotations

import re
from decimal import ROUND_FLOOR, Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from providers.gpus import normal_name
from providers.offer import Offer, PriceClass, PricingModel
from providers.payload import Fields, RowProblem
from providers.scope import GLOBAL_REGION, DroppedRow
from providers.units import GIB, MB, MIB

from .cloud_parts import Parsed, fits, machine_name, marks, slug

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from providers.gpus import GpuTable

NAME = "vast"
SOURCE = "vast.ai search api"
CHEAPEST = 10
"""Hosts that are kept of each machine, country and pricing model."""


class Card(NamedTuple):
    """A GPU that a name of the marketplace may stand for. `assumed`: the name does not say which form it has."""

    gpu: str
    machine: str
    assumed: bool = False


CARDS: Mapping[str, tuple[Card, ...]] = MappingProxyType({
    normal_name(name): cards
    for name, cards in {
        "A100 SXM4": (Card("A100-SXM-40GB", "a100-sxm-40gb"), Card("A100-SXM-80GB", "a100-sxm-80gb")),
        "A100 PCIE": (Card("A100-PCIE-40GB", "a100-pcie-40gb"), Card("A100-PCIE-80GB", "a100-pcie-80gb")),
        "A800 PCIE": (Card("A800-PCIE-80GB", "a800-pcie"),),
        "Tesla V100": (Card("V100-PCIE-16GB", "v100", assumed=True), Card("V100-PCIE-32GB", "v100-32gb", assumed=True)),
        "Tesla P100": (Card("P100-PCIE-16GB", "p100", assumed=True),),
        "Tesla P40": (Card("P40-24GB", "p40"),),
        "Tesla T4": (Card("T4-16GB", "t4"),),
        "Q RTX 4000": (Card("QUADRO-RTX-4000-8GB", "quadro-rtx-4000"),),
        "Q RTX 5000": (Card("QUADRO-RTX-5000-16GB", "quadro-rtx-5000"),),
        "Q RTX 6000": (Card("QUADRO-RTX-6000-24GB", "quadro-rtx-6000"),),
        "RTX 4000Ada": (Card("RTX-4000-ADA-20GB", "rtx-4000-ada"),),
        "RTX 6000Ada": (Card("RTX-6000-ADA-48GB", "rtx-6000-ada"),),
        "RTX 4070S Ti": (Card("RTX-4070-TI-SUPER-16GB", "rtx-4070-ti-super"),),
        "RTX PRO 6000 S": (Card("RTX-PRO-6000-96GB", "rtx-pro-6000-s"),),
        "RTX PRO 6000 WS": (Card("RTX-PRO-6000-96GB", "rtx-pro-6000-ws"),),
        "RTX 3060": (Card("RTX-3060-12GB", "rtx-3060"), Card("RTX-3060-8GB", "rtx-3060-8gb")),
        "GTX 1660 S": (Card("GTX-1660-SUPER-6GB", "gtx-1660-super"),),
    }.items()
})  # fmt: skip
"""Names that the GPU table does not spell, or that stand for cards with different memory."""

_COUNTRY = re.compile(r"(?:.*,)?\s*([A-Za-z]{2})\s*", re.ASCII | re.DOTALL)


def parse_hosts(rows: Iterable[object], gpus: GpuTable, observed_at: datetime) -> Parsed:
    """Return offers and dropped rows of everything that the searches found; only the cheapest of each kind are kept."""
    offers: list[Offer] = []
    dropped: list[DroppedRow] = []
    for value in rows:
        try:
            host = _Host(Fields(value, what="host"), gpus, observed_at)
        except RowProblem as problem:
            dropped.append(problem.dropped(_item(value)))
            continue
        for model in (PricingModel.ON_DEMAND, PricingModel.SPOT):
            try:
                offers.append(host.offer(model))
            except RowProblem as problem:
                dropped.append(problem.dropped(f"{host.item} {model.value}"))
    kept, beyond = _cheapest(offers)
    return Parsed(offers=kept, dropped=(*dropped, *beyond))


def _cheapest(offers: list[Offer]) -> tuple[tuple[Offer, ...], list[DroppedRow]]:
    """Return the cheapest of each kind in the order of their keys, and the rest as dropped rows."""
    kept: dict[tuple[str, str, str, str, str, str], Offer] = {}
    beyond: list[DroppedRow] = []
    kinds: dict[tuple[str, str, PricingModel], int] = {}
    for offer in sorted(offers, key=lambda offer: (offer.unit_price_nano, offer.key)):
        kind = (offer.instance_type, offer.region, offer.pricing_model)
        item = f"{offer.variant} {offer.instance_type} {offer.region} {offer.pricing_model.value}"
        if offer.key in kept:
            beyond.append(DroppedRow(reason="beyond_cheapest", item=item, detail="dearer offer of the same machine"))
        elif kinds.get(kind, 0) >= CHEAPEST:
            beyond.append(DroppedRow(reason="beyond_cheapest", item=item))
        else:
            kinds[kind] = kinds.get(kind, 0) + 1
            kept[offer.key] = offer
    return tuple(kept[key] for key in sorted(kept)), beyond


def _item(value: object) -> str:
    number = value.get("id") if isinstance(value, dict) else None
    return f"offer {number}" if isinstance(number, int) and abs(number) < 10**18 else "offer"


class _Host:
    """One row of a search: a machine, or a share of its GPUs, at a host."""

    def __init__(self, row: Fields, gpus: GpuTable, observed_at: datetime) -> None:
        """Raises RowProblem for a row that is no machine that can be rented."""
        self._row = row
        self._observed_at = observed_at
        self._gpu_name = row.text("gpu_name")
        self._machine = f"machine-{row.whole('machine_id', high=10**18 - 1)}"
        self._count = _count(row)
        if row.get("rentable") is False or row.get("rented") is True:
            raise RowProblem("no_capacity", "rented out")
        # Only verified hosts are searched for: one that is not says that the search did not keep to it.
        if (standing := row.text_or_none("verification")) not in {None, "verified"}:
            raise RowProblem("other_product", f"a host that is {standing}")
        # The driver's figure for one GPU, in binary megabytes; `gpu_total_ram` would be that of all of them.
        memory = row.whole_or_none("gpu_ram", high=10**8)
        self._memory = memory * MIB if memory else None
        card, flags = _card(self._gpu_name, self._memory, gpus)
        self._gpu = card.gpu or None
        self._type = machine_name(card.machine, self._count)
        self._region = _region(row)
        self._flags = marks(
            *flags,
            "marketplace",
            "form_factor_assumed" if card.assumed else None,
            "arm_host" if row.get("cpu_arch") == "arm64" else None,
        )

    @property
    def item(self) -> str:
        """What names the row among those that are dropped."""
        return f"{self._machine} {self._type}"

    def offer(self, model: PricingModel) -> Offer:
        """Return what the host asks under `model`. Raises RowProblem where it asks nothing that is a price."""
        spot = model is PricingModel.SPOT
        vcpus, ram = _share(self._row)
        return Offer(
            provider=NAME,
            region=self._region,
            variant=self._machine,
            instance_type=self._type,
            gpu=self._gpu,
            gpu_name=self._gpu_name,
            gpu_count=self._count,
            gpu_memory_bytes=self._memory,
            vcpus=vcpus,
            host_ram_bytes=ram,
            pricing_model=model,
            unit_price_nano=self._row.price_nano("min_bid" if spot else "dph_base"),
            observed_at=self._observed_at,
            source=SOURCE,
            price_class=PriceClass.LIVE,
            flags=marks(*self._flags, "bid_floor" if spot else None),
        )


def _count(row: Fields) -> int:
    try:
        return row.whole("num_gpus", low=1, high=1024)
    except RowProblem as problem:
        raise RowProblem("bad_count", problem.detail) from problem


def _card(name: str, memory: int | None, gpus: GpuTable) -> tuple[Card, tuple[str, ...]]:
    """Return the card that name and memory stand for, its id "" where the table does not know it, and flags."""
    cards = CARDS.get(normal_name(name), ())
    if not cards and (gpu := gpus.resolve(name)):
        cards = (Card(gpu.id, slug(name)),)
    fitting = [card for card in cards if fits(gpus.by_id[card.gpu], memory)]
    # Without a memory, a name that stands for several cards is none of them.
    if fitting and (memory is not None or len(cards) == 1):
        return fitting[0], ()
    base = slug(name)
    if not base:
        raise RowProblem("bad_row", f"gpu_name {name!r} is no name of a machine")
    if cards and memory is not None:
        return Card("", f"{base}-{round(memory / GIB)}gb"), ("gpu_unknown", "memory_mismatch")
    return Card("", base), ("gpu_unknown",)


def _region(row: Fields) -> str:
    """Return the country in two small letters: "Sweden, SE" is "se"; `global` where none is stated."""
    stated = row.get("geolocation")
    country = _COUNTRY.fullmatch(stated[:400]) if isinstance(stated, str) else None
    return country[1].lower() if country else GLOBAL_REGION


def _share(row: Fields) -> tuple[int | None, int | None]:
    """Return virtual CPUs and bytes of memory that come with the GPUs; None where it is not stated.

    Memory is stated of the whole host, in megabytes: the offer has as large a share of it as of the cores.
    """
    cores, all_cores = _positive(row, "cpu_cores_effective"), _positive(row, "cpu_cores")
    ram = _positive(row, "cpu_ram")
    vcpus = int(cores.to_integral_value(rounding=ROUND_FLOOR)) if cores else 0
    if cores is None or all_cores is None or ram is None:
        return vcpus or None, None
    share = ram * MB * min(Decimal(1), cores / all_cores)
    return vcpus or None, int(share) or None


def _positive(row: Fields, key: str) -> Decimal | None:
    """Return a number above zero and below what any host has; None for anything else: it decides no price."""
    try:
        number = row.number(key)
    except RowProblem:
        return None
    return number if 0 < number < 10**9 else None
