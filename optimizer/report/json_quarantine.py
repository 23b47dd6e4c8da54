"""The document `tunefare.quarantine/v1`: prices that the gate held back, listed or just decided on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.version import VERSION

from .json_text import JsonObject, exact_or_null, moment, to_text

if TYPE_CHECKING:
    from .record_answers import HeldPrice, QuarantineAnswer

SCHEMA = "tunefare.quarantine/v1"


def quarantine_text(answer: QuarantineAnswer) -> str:
    """Return the rows as JSON text."""
    return to_text(quarantine_document(answer))


def quarantine_document(answer: QuarantineAnswer) -> JsonObject:
    """Return the rows as a document. `decision` is released or rejected after one, null for a list; `state` is what a
    row was before it."""
    return {
        "schema": SCHEMA,
        "made_at": moment(answer.made_at),
        "tool_version": VERSION,
        "decision": answer.done,
        "rows": [_row(row) for row in answer.rows],
    }


def _row(row: HeldPrice) -> JsonObject:
    return {
        "number": row.number,
        "key": row.key,
        "provider": row.provider,
        "region": row.region,
        "zone": row.zone,
        "instance_type": row.instance_type,
        "variant": row.variant,
        "pricing_model": row.pricing_model,
        "gpu": row.gpu,
        "gpu_count": row.gpu_count,
        # Whatever a source states is held back, a figure beyond every integer of JSON too.
        "unit_price_nano": exact_or_null(row.price_nano),
        "previous_unit_price_nano": exact_or_null(row.previous_nano),
        "factor_ppm": exact_or_null(row.factor_ppm),
        "currency": row.currency,
        "reason": row.reason,
        "reason_text": row.words,
        "detail": row.detail,
        "first_seen_at": moment(row.first_seen_at),
        "last_seen_at": moment(row.last_seen_at),
        "times": row.times,
        "state": row.state,
        "note": row.note,
    }
