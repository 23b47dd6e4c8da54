"""What is asked with an account: machines, the price list by query, spot, capacity blocks, regions, quotas."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from providers.errors import CredentialsRefused, JobError, ResponseChanged
from providers.offer import PricingModel
from providers.payload import Fields, RowProblem, sample_of
from providers.quota import Quota, QuotaReading
from providers.scope import DroppedRow, ScopeBatch

from .aws_client import RequestRejected
from .aws_machines import GPU_TYPES, parse_machines
from .aws_prices import PLAIN_LINUX, QUERY_SOURCE, SOURCE, OnDemandPrices, Parsed, add_products
from .aws_spot import lacks_zone_ids, parse_blocks, parse_spot, parse_zones

if TYPE_CHECKING:
    from collections.abc import Iterable

    from providers.base import FetchContext
    from providers.scope import Scope

    from .aws_client import AwsAccount
    from .aws_machines import Machine

BLOCK_HOURS = 24
"""The shortest capacity block: its fee is the least that has to be paid in advance."""
PRODUCTS_A_PAGE, TYPES_A_PAGE, ROWS_A_PAGE = 100, 100, 1000

_NO_BLOCKS = re.compile(r"Unsupported\w*|InvalidParameter\w*|InvalidInstanceType\w*", re.ASCII)
"""How EC2 says that a type has no capacity blocks in a region."""
_QUOTA_NAME = re.compile(
    r"Running On-Demand (G and VT|P) instances|All (G and VT|P\d[P\d, and]*) Spot Instance Requests", re.ASCII
)


class _Machines(NamedTuple):
    """The types with GPUs that a region offers, the names of all that it offers, and rows not understood."""

    known: dict[str, Machine]
    offered: frozenset[str]
    dropped: tuple[DroppedRow, ...]


def has_price_query(region: str) -> bool:
    """Return whether an account of this region's partition may query the price list: those of GovCloud may not."""
    return not region.startswith("us-gov-")


def enabled_regions(account: AwsAccount, wanted: Iterable[str]) -> tuple[str, ...]:
    """Return the regions that the account may use, in order; of `wanted`, where some are named.

    Raises JobError for one that does not exist or is not enabled.
    """
    rows = account.rows("ec2", "describe_regions", account.home, "Regions", AllRegions=True)
    try:
        known = {row.text("RegionName"): row.text_or_none("OptInStatus") for row in map(Fields, rows)}
    except RowProblem as problem:
        raise ResponseChanged(f"{SOURCE}: the list of regions: {problem}", sample=sample_of(rows)) from problem
    enabled = sorted(region for region, status in known.items() if status != "not-opted-in")
    for region in sorted(wanted):
        if region not in enabled:
            why = "that one is not enabled in this account" if region in known else "that one is not a region of it"
            allowed = f"a region that this account may use: {', '.join(enabled)} ({why})"
            raise JobError(where="command line", key="region", value=region, allowed=allowed)
    return tuple(sorted(wanted) or enabled)


def read_scope(account: AwsAccount, scope: Scope, context: FetchContext, *, only: str | None = None) -> ScopeBatch:
    """Return what AWS asks in one region under one pricing model; `only` one machine type, where it is named."""
    machines = _machines(account, scope.region, context, only)
    if scope.pricing_model is PricingModel.ON_DEMAND:
        parsed = _on_demand(account, scope.region, context, machines, only)
    elif scope.pricing_model is PricingModel.SPOT:
        parsed = _spot(account, scope.region, context, machines)
    else:
        parsed = _blocks(account, scope.region, context, machines)
    return ScopeBatch(
        scope=scope,
        observed_at=context.now(),
        offers=parsed.offers,
        dropped=(*machines.dropped, *parsed.dropped),
    )


def read_quotas(account: AwsAccount, region: str) -> QuotaReading:
    """Return how many vCPUs of machines with GPUs the account may run in a region, on demand and as spot."""
    try:
        rows = account.rows(
            "service-quotas", "list_service_quotas", region, "Quotas", ServiceCode="ec2", MaxResults=100
        )
    except (CredentialsRefused, RequestRejected) as err:
        return QuotaReading(reason=str(err))
    found = [quota for row in rows if (quota := _quota(row, region)) is not None]
    if not found:
        return QuotaReading(reason=f"{SOURCE}: no quota of machines with GPUs is listed in {region}")
    return QuotaReading(quotas=tuple(sorted(found, key=lambda quota: quota.code)))


def _machines(account: AwsAccount, region: str, context: FetchContext, only: str | None) -> _Machines:
    types = [only] if only else list(GPU_TYPES)
    described = account.rows(
        "ec2", "describe_instance_types", region, "InstanceTypes",
        Filters=[{"Name": "instance-type", "Values": types}], MaxResults=TYPES_A_PAGE,
    )  # fmt: skip
    narrowed = {"Filters": [{"Name": "instance-type", "Values": [only]}]} if only else {}
    offerings = account.rows(
        "ec2", "describe_instance_type_offerings", region, "InstanceTypeOfferings",
        LocationType="region", MaxResults=ROWS_A_PAGE, **narrowed,
    )  # fmt: skip
    known, dropped = parse_machines(described, context.gpus)
    try:
        offered = frozenset(Fields(row).text("InstanceType") for row in offerings)
    except RowProblem as problem:
        raise ResponseChanged(
            f"{SOURCE}: the offerings of {region}: {problem}", sample=sample_of(offerings)
        ) from problem
    return _Machines({name: machine for name, machine in known.items() if name in offered}, offered, dropped)


def _on_demand(
    account: AwsAccount, region: str, context: FetchContext, machines: _Machines, only: str | None
) -> Parsed:
    wanted = {**PLAIN_LINUX, "marketoption": "OnDemand", "regionCode": region}
    if only:
        wanted["instanceType"] = only
    products = account.rows(
        "pricing", "get_products", "cn-northwest-1" if region.startswith("cn-") else "us-east-1", "PriceList",
        ServiceCode="AmazonEC2", FormatVersion="aws_v1", MaxResults=PRODUCTS_A_PAGE,
        Filters=[{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()],
    )  # fmt: skip
    prices = OnDemandPrices(region=region, gpus=context.gpus, machines=machines.known, offered=machines.offered)
    add_products(prices, products)
    return prices.finish(observed_at=context.now(), source=QUERY_SOURCE)


def _spot(account: AwsAccount, region: str, context: FetchContext, machines: _Machines) -> Parsed:
    if not machines.known:
        return Parsed((), ())  # to name no type would ask for all of them
    rows = account.rows(
        "ec2", "describe_spot_price_history", region, "SpotPriceHistory",
        InstanceTypes=sorted(machines.known), ProductDescriptions=["Linux/UNIX"], StartTime=context.now(),
        MaxResults=ROWS_A_PAGE,
    )  # fmt: skip
    return parse_spot(
        rows,
        region=region,
        machines=machines.known,
        zone_ids=_zone_ids(account, region) if lacks_zone_ids(rows) else {},
        observed_at=context.now(),
    )


def _blocks(account: AwsAccount, region: str, context: FetchContext, machines: _Machines) -> Parsed:
    rows: list[object] = []
    dropped: list[DroppedRow] = []
    for name in sorted(name for name, machine in machines.known.items() if "capacity-block" in machine.usage):
        why = f"no block of {BLOCK_HOURS} h"
        try:
            found = account.rows(
                "ec2", "describe_capacity_block_offerings", region, "CapacityBlockOfferings",
                InstanceType=name, InstanceCount=1, CapacityDurationHours=BLOCK_HOURS,
            )  # fmt: skip
        except RequestRejected as err:
            if not _NO_BLOCKS.fullmatch(err.code):
                raise
            found, why = [], err.code
        rows += found
        if not found:
            dropped.append(DroppedRow(reason="no_capacity", item=name, detail=why))
    parsed = parse_blocks(
        rows,
        region=region,
        machines=machines.known,
        zone_ids=_zone_ids(account, region) if lacks_zone_ids(rows) else {},
        observed_at=context.now(),
    )
    return Parsed(parsed.offers, (*dropped, *parsed.dropped))


def _zone_ids(account: AwsAccount, region: str) -> dict[str, str]:
    return parse_zones(
        account.rows("ec2", "describe_availability_zones", region, "AvailabilityZones", AllAvailabilityZones=True)
    )


def _quota(row: object, region: str) -> Quota | None:
    """Return one quota of machines with GPUs; None for another one, and for one whose value could not be read."""
    try:
        fields = Fields(row)
        name, code, value = fields.text("QuotaName"), fields.text("QuotaCode"), fields.get("Value")
    except RowProblem:
        return None
    if not _QUOTA_NAME.fullmatch(name) or isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    exact = Decimal(str(value))
    if not exact.is_finite() or exact < 0:
        return None
    whole = exact == exact.to_integral_value()
    return Quota(
        provider=SOURCE, region=region, name=name, code=code, value=Decimal(int(exact)) if whole else exact, unit="vCPU"
    )
