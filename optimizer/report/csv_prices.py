"""Offers as a CSV file: a row an offer, prices exact, empty where nothing is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .csv_cells import csv_table, name_cell, number_cell, price_cell
from .json_text import moment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from providers.offer import Offer

COLUMNS: tuple[str, ...] = (
    "provider", "region", "zone", "instance_type", "variant", "pricing_model", "gpu", "gpu_name", "gpu_count",
    "price_per_hour", "currency", "observed_at", "price_class", "source", "vcpus", "host_ram_bytes", "disk_bytes",
    "network_bytes_per_s", "gpu_memory_bytes", "billing_increment_s", "billing_minimum_s",
    "billing_charged_when_stopped", "billing_source", "flags",
)  # fmt: skip
"""`price_per_hour` is for the whole instance; flags are separated by `;`."""


def prices_csv(offers: Iterable[Offer]) -> str:
    """Return the offers as CSV text, in the order given."""
    return csv_table(COLUMNS, (_row(offer) for offer in offers))


def _row(offer: Offer) -> list[str]:
    terms = offer.billing
    return [
        name_cell(offer.provider),
        name_cell(offer.region),
        name_cell(offer.zone),
        name_cell(offer.instance_type),
        name_cell(offer.variant),
        offer.pricing_model.value,
        name_cell(offer.gpu),
        name_cell(offer.gpu_name),
        str(offer.gpu_count),
        price_cell(offer.unit_price_nano),
        name_cell(offer.currency),
        moment(offer.observed_at) or "",
        offer.price_class.value,
        name_cell(offer.source),
        number_cell(offer.vcpus),
        number_cell(offer.host_ram_bytes),
        number_cell(offer.disk_bytes),
        number_cell(offer.network_bytes_per_s),
        number_cell(offer.gpu_memory_bytes),
        "" if terms is None else str(terms.increment_s),
        "" if terms is None else str(terms.minimum_s),
        "" if terms is None else ("yes" if terms.charged_when_stopped else "no"),
        "" if terms is None else name_cell(terms.source),
        name_cell(";".join(offer.flags)),
    ]
