"""The document `tunefare.refresh/v1`: what a refresh did, source by source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.version import VERSION

from .json_text import JsonObject, moment, to_text

if TYPE_CHECKING:
    from .refresh_answers import RefreshAnswer, RefreshedSource

SCHEMA = "tunefare.refresh/v1"


def refresh_text(answer: RefreshAnswer) -> str:
    """Return the summary as JSON text."""
    return to_text(refresh_document(answer))


def refresh_document(answer: RefreshAnswer) -> JsonObject:
    """Return the summary as a document; durations in milliseconds, `store` null in a dry run."""
    return {
        "schema": SCHEMA,
        "tool_version": VERSION,
        "started_at": moment(answer.started_at),
        "finished_at": moment(answer.finished_at),
        "duration_ms": answer.duration_ms,
        "dry_run": answer.dry_run,
        "exit_code": answer.exit_code,
        "store": answer.place or None,
        "quarantine_waiting": answer.waiting,
        "regions_without_prices": list(answer.unserved_regions),
        "sources": [_source(source) for source in answer.sources],
    }


def _source(source: RefreshedSource) -> JsonObject:
    return {
        "provider": source.provider,
        "outcome": source.outcome,
        "duration_ms": source.duration_ms,
        "scopes": source.scopes,
        "offers": source.offers,
        "new": source.added,
        "changed": source.changed,
        "gone": source.gone,
        "quarantined": source.quarantined,
        "released": source.released,
        "dropped": source.dropped_rows,
        "dropped_by_reason": dict(source.dropped),
        "unknown_gpus": [{"name": name, "offers": count} for name, count in source.unknown_gpus.items()],
        "refused": [
            {
                "region": one.region,
                "pricing_model": one.pricing_model,
                "reason": one.reason,
                "detail": one.detail,
            }
            for one in source.refused
        ],
        "errors": list(source.errors),
        "last_success_at": moment(source.last_success_at),
    }
