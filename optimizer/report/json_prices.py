"""The document `tunefare.prices/v1`: the offers that pass the filters, each with the age of its price."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.version import VERSION

from .json_candidate import offer_object
from .json_text import JsonObject, moment, to_text

if TYPE_CHECKING:
    from .answers import PricedOffer, PriceListAnswer

SCHEMA = "tunefare.prices/v1"


def prices_text(answer: PriceListAnswer) -> str:
    """Return the price list as JSON text: equal bytes for an equal list at an equal moment."""
    return to_text(prices_document(answer))


def prices_document(answer: PriceListAnswer) -> JsonObject:
    """Return the price list as a document; `gpu` is null for a chip that the GPU table does not know."""
    return {
        "schema": SCHEMA,
        "made_at": moment(answer.made_at),
        "tool_version": VERSION,
        "offers": [_row(row, answer) for row in answer.offers],
        "matching_offers": len(answer.offers) + answer.more,
        "known_offers": answer.total,
        "snapshot": {
            "sha256": answer.sha256,
            "oldest_observed_at": moment(answer.oldest_observed_at),
            "newest_observed_at": moment(answer.newest_observed_at),
        },
    }


def _row(row: PricedOffer, answer: PriceListAnswer) -> JsonObject:
    offer = row.offer
    return {
        **offer_object(offer, answer.made_at),
        "gpu": offer.gpu,
        "gpu_name": offer.gpu_name,
        "gpu_count": offer.gpu_count,
        "unit_price_per_gpu_nano": row.unit_price_per_gpu_nano,
        "vcpus": offer.vcpus,
        "host_ram_bytes": offer.host_ram_bytes,
        "disk_bytes": offer.disk_bytes,
        "freshness": row.freshness,
        "excluded_because": offer.excluded_because,
    }
