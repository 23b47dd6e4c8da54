"""Prices that EC2 states itself and only to an account: spot price history, capacity blocks. No requests.

Zones are kept by id: the letter of a zone ("us-east-1a") means another building in every account.
"""

from __future__ import annotations

import re
from datetime import datetime
from decimal import localcontext
from typing import TYPE_CHECKING

from providers.errors import ResponseChanged
from providers.offer import BillingTerms, PricingModel
from providers.payload import Fields, RowProblem, price_nano, sample_of

from .aws_machines import name_in
from .aws_prices import CURRENCY, SOURCE, Parsed, currency_of, offer_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from providers.scope import DroppedRow

    from .aws_machines import Machine

SPOT_SOURCE = "ec2 spot price history"
BLOCK_SOURCE = "ec2 capacity block offerings"

PRODUCT_DESCRIPTIONS = frozenset({"Linux/UNIX", "Linux/UNIX (Amazon VPC)"})
LOCAL_ZONE = "local-zone"
"""The variant of what is rented in a local or wavelength zone: its on-demand price is not that of its region, so the
two must not be compared."""

_REGION_ZONE = re.compile(r"[a-z]+\d-az\d+", re.ASCII)

_ZoneKey = tuple[str, str]
"""Machine type and zone id."""


def parse_spot(
    rows: Iterable[object],
    *,
    region: str,
    machines: Mapping[str, Machine],
    zone_ids: Mapping[str, str],
    observed_at: datetime,
) -> Parsed:
    """Return the newest spot price of every type and zone; older ones in the answer are history.

    `zone_ids` maps zone names of this account to ids, for rows that state no id. Raises ResponseChanged when there are
    rows and none is understood.
    """
    newest: dict[_ZoneKey, tuple[datetime, int]] = {}
    dropped: list[DroppedRow] = []
    count = 0
    for count, row in enumerate(rows, start=1):  # noqa: B007 (the last number is the count)
        try:
            key, found = _spot_row(Fields(row), zone_ids, machines)
        except RowProblem as problem:
            dropped.append(problem.dropped(name_in(row, "InstanceType")))
            continue
        newest[key] = max(found, newest.get(key, found))
    if count and all(row.reason == "bad_row" for row in dropped) and not newest:
        raise ResponseChanged(
            f"{SOURCE}: no row of the spot price history is understood", sample=sample_of(dropped[:5])
        )
    offers = tuple(
        offer_of(
            machines[instance_type],
            region=region,
            zone=zone,
            pricing_model=PricingModel.SPOT,
            nano=nano,
            currency=currency_of(region),
            observed_at=observed_at,
            source=SPOT_SOURCE,
            variant=_variant(zone),
        )
        for (instance_type, zone), (_moment, nano) in sorted(newest.items())
    )
    return Parsed(offers, tuple(dropped))


def lacks_zone_ids(rows: Iterable[object]) -> bool:
    """Return whether some row states its zone by name only."""
    return any(isinstance(row, dict) and not row.get("AvailabilityZoneId") for row in rows)


def parse_zones(rows: Iterable[object]) -> dict[str, str]:
    """Return the id of each zone by its name in this account, out of `describe_availability_zones`.

    Raises ResponseChanged for a zone without either.
    """
    zones: dict[str, str] = {}
    for row in rows:
        try:
            zone = Fields(row, what="zone")
            zones[zone.text("ZoneName")] = zone.text("ZoneId")
        except RowProblem as problem:
            raise ResponseChanged(f"{SOURCE}: a zone is not understood: {problem}", sample=sample_of(row)) from problem
    return zones


def parse_blocks(
    rows: Iterable[object],
    *,
    region: str,
    machines: Mapping[str, Machine],
    zone_ids: Mapping[str, str],
    observed_at: datetime,
) -> Parsed:
    """Return the cheapest capacity block of every type and zone, its whole fee spread over its hours.

    Raises ResponseChanged when there are rows and none is understood.
    """
    cheapest: dict[_ZoneKey, tuple[int, int, str]] = {}
    dropped: list[DroppedRow] = []
    count = 0
    for count, row in enumerate(rows, start=1):  # noqa: B007
        try:
            key, found = _block_row(Fields(row), zone_ids, machines)
        except RowProblem as problem:
            dropped.append(problem.dropped(name_in(row, "InstanceType")))
            continue
        cheapest[key] = min(found, cheapest.get(key, found))
    if count and all(row.reason == "bad_row" for row in dropped) and not cheapest:
        raise ResponseChanged(f"{SOURCE}: no capacity block is understood", sample=sample_of(dropped[:5]))
    offers = tuple(
        offer_of(
            machines[instance_type],
            region=region,
            zone=zone,
            pricing_model=PricingModel.RESERVED,
            nano=nano,
            currency=currency,
            observed_at=observed_at,
            source=BLOCK_SOURCE,
            variant=_variant(zone),
            flags=("commitment",),
            billing=BillingTerms(
                increment_s=seconds, minimum_s=seconds, charged_when_stopped=True, source="EC2 capacity block, prepaid"
            ),
        )
        for (instance_type, zone), (nano, seconds, currency) in sorted(cheapest.items())
    )
    return Parsed(offers, tuple(dropped))


def _spot_row(
    row: Fields, zone_ids: Mapping[str, str], machines: Mapping[str, Machine]
) -> tuple[_ZoneKey, tuple[datetime, int]]:
    instance_type, moment = row.text("InstanceType"), row.get("Timestamp")
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise RowProblem("bad_row", f"Timestamp {moment!r} is no moment with a time zone"[:120])
    if (product := row.text("ProductDescription")) not in PRODUCT_DESCRIPTIONS:
        raise RowProblem("other_product", product)
    if instance_type not in machines:
        raise RowProblem("not_a_gpu", "EC2 describes no GPU of it")
    return (instance_type, _zone(row, zone_ids)), (moment, row.price_nano("SpotPrice"))


def _block_row(
    row: Fields, zone_ids: Mapping[str, str], machines: Mapping[str, Machine]
) -> tuple[_ZoneKey, tuple[int, int, str]]:
    """Return type and zone; price of an hour in billionths, duration in seconds, currency."""
    instance_type = row.text("InstanceType")
    minutes = row.whole_or_none("CapacityBlockDurationMinutes", high=10**6) or 0
    seconds = row.whole("CapacityBlockDurationHours", high=10**6) * 3600 + minutes * 60
    if not seconds:
        raise RowProblem("bad_row", "a block of no duration")
    segments = row.get("CapacityBlockOfferingSegments")
    several = isinstance(segments, list) and len(segments) > 1
    if row.whole("InstanceCount") != 1 or several or row.text_or_none("UltraserverType"):
        raise RowProblem("other_product", "a block of several machines or pieces")
    if (tenancy := row.text_or_none("Tenancy")) not in {None, "default"}:
        raise RowProblem("other_product", f"tenancy {tenancy}")
    if not CURRENCY.fullmatch(currency := row.text("CurrencyCode")):
        raise RowProblem("bad_row", f"currency {currency}"[:80])
    if instance_type not in machines:
        raise RowProblem("not_a_gpu", "EC2 describes no GPU of it")
    row.price_nano("UpfrontFee")  # the fee itself has to be a price before it is divided
    with localcontext(prec=60):
        hourly = row.number("UpfrontFee") * 3600 / seconds
    return (instance_type, _zone(row, zone_ids)), (price_nano(hourly, what="fee an hour"), seconds, currency)


def _zone(row: Fields, zone_ids: Mapping[str, str]) -> str:
    """Return the id of the zone. Raises RowProblem for a name that this account does not know."""
    if stated := row.text_or_none("AvailabilityZoneId"):
        return stated
    name = row.text("AvailabilityZone")
    if name not in zone_ids:
        raise RowProblem("bad_row", f"zone {name} has no known id")
    return zone_ids[name]


def _variant(zone: str) -> str | None:
    return None if _REGION_ZONE.fullmatch(zone) else LOCAL_ZONE
