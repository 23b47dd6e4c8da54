"""The price list that comes with the program: dated, never live, each row with source and date.

`data/offers.csv` holds the offers, `data/machines.csv` network and disks of their types (`providers.machines`),
`data/sources.csv` what the source keys stand for, `data/billing.csv` what run time becomes on a bill,
`data/token_prices.csv` the managed services (`providers.managed`). docs/price-list.md says what is covered and what is
missing. Loading takes milliseconds, because every plan starts with it: rows are read by position,
and moments, flags and sizes that repeat are parsed once.
"""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from .machines import UNKNOWN_MACHINE, load_machines
from .managed import load_token_prices
from .money import parse_nano
from .offer import BillingTerms, Offer, PriceClass, PricingModel
from .snapshot import make_snapshot
from .units import GIB

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .gpus import GpuTable
    from .machines import MachineFacts
    from .offer import PriceSnapshot

OFFER_COLUMNS: tuple[str, ...] = (
    "provider", "region", "zone", "variant", "instance_type", "gpu", "gpu_name", "gpu_count", "vcpus", "host_ram_gib",
    "pricing_model", "price_per_hour", "currency", "observed_at", "source", "flags",
)  # fmt: skip
"""`price_per_hour` is for the whole instance, as a decimal; `observed_at` a date, read as 00:00 UTC; flags by `;`;
`source` a key of `data/sources.csv`."""

_DATA = Path(__file__).parent / "data"
_MODELS = {model.value: model for model in PricingModel}


def load_bundled_snapshot(gpus: GpuTable) -> PriceSnapshot:
    """Return the bundled list. Raises ValueError, naming the line, for a table that does not match its schema."""
    return make_snapshot(load_bundled_offers(gpus), load_token_prices(), load_billing())


def load_bundled_offers(gpus: GpuTable) -> tuple[Offer, ...]:
    """Return the offers of the bundled list, class `list`. Raises ValueError, naming the line, for a bad table."""
    rows = csv.reader(_read("offers.csv").splitlines())
    header = tuple(next(rows))
    if header != OFFER_COLUMNS:
        raise ValueError(f"offers.csv: columns {', '.join(header)} are not {', '.join(OFFER_COLUMNS)}")
    known, sources, machines = gpus.by_id, _load_sources(), load_machines()
    offers = []
    for number, row in enumerate(rows, start=2):
        try:
            offer = _parse_offer(row, sources, machines)
        except (ValueError, KeyError) as err:
            raise ValueError(f"offers.csv line {number}: {err}") from err
        if offer.gpu is not None and offer.gpu not in known:
            raise ValueError(f"offers.csv line {number}: the GPU table has no {offer.gpu}")
        offers.append(offer)
    return tuple(offers)


def load_billing() -> dict[str, BillingTerms]:
    """Return the billing terms by provider. A provider that is not in it bills as `offer.UNKNOWN_BILLING` says."""
    return {
        row["provider"]: BillingTerms(
            increment_s=int(row["increment_s"]),
            minimum_s=int(row["minimum_s"]),
            charged_when_stopped=row["charged_when_stopped"] == "yes",
            source=row["source"],
        )
        for row in csv.DictReader(_read("billing.csv").splitlines())
    }


def _parse_offer(row: list[str], sources: Mapping[str, str], machines: Mapping[tuple[str, str], MachineFacts]) -> Offer:
    (
        provider, region, zone, variant, instance_type, gpu, gpu_name, gpu_count, vcpus, ram, model, price, currency,
        observed_at, source, flags,
    ) = row  # fmt: skip
    machine = machines.get((provider, instance_type), UNKNOWN_MACHINE)
    return Offer(
        provider=provider,
        region=region,
        zone=zone or None,
        variant=variant or None,
        instance_type=instance_type,
        gpu=gpu or None,
        gpu_name=gpu_name,
        gpu_count=int(gpu_count),
        vcpus=int(vcpus) if vcpus else None,
        host_ram_bytes=_ram_bytes(ram),
        disk_bytes=machine.disk_bytes,
        network_bytes_per_s=machine.network_bytes_per_s,
        pricing_model=_MODELS[model],
        unit_price_nano=parse_nano(price),
        currency=currency,
        observed_at=_midnight(observed_at),
        source=sources[source],
        price_class=PriceClass.LIST,
        flags=_flags(flags),
    )


def _load_sources() -> dict[str, str]:
    rows = csv.DictReader(_read("sources.csv").splitlines())
    return {row["key"]: f"{row['source']} ({row['licence']})" for row in rows}


@cache
def _midnight(date: str) -> datetime:
    return datetime.strptime(date, "%Y-%m-%d").replace(tzinfo=UTC)


@cache
def _flags(text: str) -> tuple[str, ...]:
    return tuple(text.split(";")) if text else ()


@cache
def _ram_bytes(gib: str) -> int | None:
    return int(float(gib) * GIB) if gib else None


def _read(name: str) -> str:
    return (_DATA / name).read_text(encoding="utf-8")
