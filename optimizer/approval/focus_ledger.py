"""What a run cost by a provider's bill in FOCUS columns: the rows that belong to it, summed exactly, by month."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal, InvalidOperation, localcontext
from typing import TYPE_CHECKING

from providers.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COSTS = ("EffectiveCost", "BilledCost")
"""The first of them that a bill has: with commitments and prepayments spread over what they paid for."""
REQUEST_TAG = "tunefare_request"
LARGEST_BILL_BYTES = 256 * 2**20
_MONTH = re.compile(r"(\d{4}-(?:0[1-9]|1[0-2]))-\d{2}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What rows of a bill sum to: micro-dollars, rounded up, by the month in which each charge began."""

    usd_micro: int
    by_month: Mapping[str, int]
    rows: int
    cost: str
    """The column that was summed."""


def read_bill(text: str, *, where: str, tag: tuple[str, str] | None, resource: str | None) -> Bill:
    """Return what the rows of a bill sum to that carry a tag, or belong to a resource.

    Raises JobError for a file without the columns that are needed, for a row in another currency or with a cost that
    is no number, where no row fits, and where the sum is below zero.
    """
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = rows.fieldnames or ()
        cost = next((name for name in COSTS if name in columns), "")
        key = "Tags" if resource is None else "ResourceId"
        for name in (cost or COSTS[0], "BillingCurrency", "ChargePeriodStart", key):
            if name not in columns:
                raise JobError(
                    where=where, key=name, value=None, allowed="a bill with the columns of FOCUS 1.0 or later"
                )
        months: dict[str, Decimal] = {}
        count = 0
        for number, row in _fitting(rows, tag, resource):
            month, amount = _charge(row, cost, where=f"{where}, line {number}")
            with localcontext(prec=60):
                months[month] = months.get(month, Decimal(0)) + amount
            count += 1
    except csv.Error as err:
        raise JobError(where=where, key="file", value=where, allowed=f"readable CSV ({err})") from err
    if not count:
        wanted = f"ResourceId = {resource}" if resource is not None else "Tags with " + "=".join(tag or ())
        raise JobError(where=where, key="rows", value=0, allowed=f"at least one row of this run ({wanted})")
    return _summed(months, count, cost, where)


def _summed(months: Mapping[str, Decimal], count: int, cost: str, where: str) -> Bill:
    by_month = {month: _micro(amount) for month, amount in sorted(months.items())}
    if any(amount < 0 for amount in by_month.values()):
        # A credit of another month: what the run cost in each cannot be told apart.
        by_month = {min(by_month): _micro(sum(months.values(), Decimal(0)))}
    total = sum(by_month.values())
    if total < 0:
        raise JobError(where=where, key=cost, value=Decimal(total).scaleb(-6), allowed="a sum of at least 0")
    return Bill(usd_micro=total, by_month=by_month, rows=count, cost=cost)


def _fitting(
    rows: csv.DictReader[str], tag: tuple[str, str] | None, resource: str | None
) -> Iterator[tuple[int, dict[str, str]]]:
    for row in rows:
        if resource is not None:
            fits = row.get("ResourceId") == resource
        else:
            fits = tag is not None and _tags(row.get("Tags") or "").get(tag[0]) == tag[1]
        if fits:
            yield rows.line_num, row


def _tags(text: str) -> dict[str, object]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _charge(row: Mapping[str, str], cost: str, *, where: str) -> tuple[str, Decimal]:
    if row.get("BillingCurrency") != "USD":
        raise JobError(where=where, key="BillingCurrency", value=row.get("BillingCurrency"), allowed="USD")
    text = row.get(cost) or ""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or abs(amount) > 10**9:
        raise JobError(where=where, key=cost, value=text, allowed="a number of dollars")
    match = _MONTH.match(row.get("ChargePeriodStart") or "")
    if match is None:
        value = row.get("ChargePeriodStart")
        raise JobError(
            where=where, key="ChargePeriodStart", value=value, allowed="a moment such as 2026-11-24T00:00:00Z"
        )
    return match[1], amount


def _micro(amount: Decimal) -> int:
    with localcontext(prec=60):
        return int((amount * 1_000_000).to_integral_value(rounding=ROUND_CEILING))
