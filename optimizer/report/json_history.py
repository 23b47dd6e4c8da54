"""The document `tunefare.price-history/v1`: every change of price of the offers that were asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.version import VERSION

from .json_text import JsonObject, moment, to_text

if TYPE_CHECKING:
    from .record_answers import PriceHistoryAnswer, PriceSeries

SCHEMA = "tunefare.price-history/v1"


def history_text(answer: PriceHistoryAnswer) -> str:
    """Return the histories as JSON text."""
    return to_text(history_document(answer))


def history_document(answer: PriceHistoryAnswer) -> JsonObject:
    """Return the histories as a document; a null price says that the offer is gone from that moment on."""
    return {
        "schema": SCHEMA,
        "made_at": moment(answer.made_at),
        "tool_version": VERSION,
        "since": moment(answer.since),
        "matching_offers": answer.matching,
        "offers": [_series(one) for one in answer.series],
    }


def _series(series: PriceSeries) -> JsonObject:
    return {
        "key": series.key,
        "provider": series.provider,
        "region": series.region,
        "zone": series.zone,
        "instance_type": series.instance_type,
        "variant": series.variant,
        "pricing_model": series.pricing_model,
        "gpu": series.gpu,
        "gpu_name": series.gpu_name,
        "gpu_count": series.gpu_count,
        "currency": series.currency,
        "last_seen_at": moment(series.last_seen_at),
        "held": series.held,
        "changes": [
            {
                "at": moment(point.at),
                "unit_price_nano": point.price_nano,
                "unit_price_per_gpu_nano": series.per_gpu_nano(point),
                "change_ppm": point.change_ppm,
            }
            for point in series.points
        ],
    }
