"""Offers as a price sheet with the column names of FOCUS 1.2, the FinOps open cost and usage specification.

A price sheet is no bill: columns of charges (costs, periods, accounts) are left out, so that nobody adds up what was
never spent. What FOCUS has no name for stands in columns that begin with `x_`, as the specification asks.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from .csv_cells import csv_table, name_cell, number_cell, price_cell
from .json_text import moment
from .record_answers import key_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from providers.offer import Offer

PRICING_CATEGORIES: Mapping[str, str] = MappingProxyType(
    {"on_demand": "Standard", "spot": "Dynamic", "reserved": "Committed"}
)

COLUMNS: tuple[str, ...] = (
    "ProviderName", "RegionId", "AvailabilityZone", "ServiceCategory", "ServiceSubcategory", "ResourceType", "SkuId",
    "SkuPriceId", "PricingCategory", "PricingUnit", "ListUnitPrice", "BillingCurrency", "PricingCurrency",
    "PricingCurrencyListUnitPrice", "x_GpuModel", "x_GpuName", "x_GpuCount", "x_ListUnitPricePerGpu", "x_Variant",
    "x_VcpuCount", "x_HostMemoryBytes", "x_GpuMemoryBytes", "x_ObservedAt", "x_PriceClass", "x_Source", "x_Flags",
)  # fmt: skip


def focus_csv(offers: Iterable[Offer]) -> str:
    """Return the offers as CSV text, in the order given; prices are per hour of the whole instance."""
    return csv_table(COLUMNS, (_row(offer) for offer in offers))


def _row(offer: Offer) -> list[str]:
    price, currency = price_cell(offer.unit_price_nano), name_cell(offer.currency)
    return [
        name_cell(offer.provider),
        name_cell(offer.region),
        name_cell(offer.zone),
        "Compute",
        "Virtual Machines",
        "GPU instance",
        name_cell(offer.instance_type),
        name_cell(key_text(offer.key)),
        PRICING_CATEGORIES[offer.pricing_model.value],
        "Hours",
        price,
        currency,
        currency,
        price,
        name_cell(offer.gpu),
        name_cell(offer.gpu_name),
        str(offer.gpu_count),
        price_cell(offer.unit_price_nano // offer.gpu_count),
        name_cell(offer.variant),
        number_cell(offer.vcpus),
        number_cell(offer.host_ram_bytes),
        number_cell(offer.gpu_memory_bytes),
        moment(offer.observed_at) or "",
        offer.price_class.value,
        name_cell(offer.source),
        name_cell(";".join(offer.flags)),
    ]
