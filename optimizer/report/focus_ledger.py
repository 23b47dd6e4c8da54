"""What the ledger settled, as charges with the column names of FOCUS 1.2, the FinOps open cost and usage specification.

A row a run, so that sums are what was spent: a run over two months stands in the month in which it was launched. Costs
are what was settled; list and contracted costs are not known here and stay empty. What FOCUS has no name for stands in
columns that begin with `x_`, as the specification asks.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .csv_cells import csv_table, name_cell
from .csv_ledger import usd_cell
from .focus import PRICING_CATEGORIES
from .json_text import moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from optimizer.approval.ledger_rows import RequestRecord

COLUMNS: tuple[str, ...] = (
    "BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "BillingCurrency", "BillingAccountId",
    "BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd", "ChargeCategory", "ChargeClass",
    "ChargeFrequency", "ChargeDescription", "ProviderName", "PublisherName", "InvoiceIssuerName", "ServiceCategory",
    "ServiceSubcategory", "ServiceName", "RegionId", "ResourceType", "SkuId", "PricingCategory", "Tags",
    "x_LedgerId", "x_RequestId", "x_Requester", "x_Budgets", "x_CapCost", "x_CostSource", "x_ActionSha256",
)  # fmt: skip


def focus_ledger_csv(records: Iterable[RequestRecord], *, ledger_id: str) -> str:
    """Return what was settled as CSV text, a charge a run, in the order given."""
    return csv_table(COLUMNS, (_row(one, ledger_id) for one in records))


def _row(record: RequestRecord, ledger_id: str) -> list[str]:
    one = record.request
    cost = usd_cell(one.settled_usd_micro)
    begin = record.launched_at or one.made_at
    provider = _stated(record.launch, "provider")
    tags = {"tunefare_budgets": " ".join(one.budgets), "tunefare_request": one.id}
    return [
        cost,
        cost,
        "",
        "",
        "USD",
        name_cell(_stated(record.launch, "account")),
        moment(_month(begin, 0)) or "",
        moment(_month(begin, 1)) or "",
        moment(begin) or "",
        moment(record.ended_at) or "",
        "Usage",
        "",
        "Usage-Based",
        name_cell(f"training run of request {one.id}"),
        name_cell(provider),
        name_cell(provider),
        name_cell(provider),
        "Compute",
        "Virtual Machines",
        "GPU instances",
        name_cell(_stated(record.launch, "region")),
        "GPU instance",
        name_cell(_stated(record.launch, "instance_type")),
        PRICING_CATEGORIES.get(_stated(record.launch, "pricing_model"), ""),
        json.dumps(tags, sort_keys=True),
        name_cell(ledger_id),
        name_cell(one.id),
        name_cell(one.requester.name),
        name_cell(";".join(one.budgets)),
        usd_cell(one.cap_usd_micro),
        name_cell(record.source),
        one.action_sha256,
    ]


def _stated(launch: Mapping[str, object], key: str) -> str:
    """Return what the launch said of itself; empty where it did not."""
    value = launch.get(key)
    return value if isinstance(value, str) else ""


def _month(at: datetime, later: int) -> datetime:
    """Return the beginning of the month of a moment, or of the one `later` months after it."""
    months = at.year * 12 + at.month - 1 + later
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)
