"""The document `tunefare.status/v1`: what is known of prices, scope by scope, and of the sources they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.version import VERSION

from .json_text import JsonObject, moment, to_text

if TYPE_CHECKING:
    from .refresh_answers import ListedStatus, ScopeStatus, SourceStatus, StatusAnswer

SCHEMA = "tunefare.status/v1"


def status_text(answer: StatusAnswer) -> str:
    """Return the status as JSON text."""
    return to_text(status_document(answer))


def status_document(answer: StatusAnswer) -> JsonObject:
    """Return the status as a document; `store` is null where nothing was ever refreshed."""
    return {
        "schema": SCHEMA,
        "tool_version": VERSION,
        "made_at": moment(answer.made_at),
        "store": answer.place or None,
        "sources": [_source(source) for source in answer.sources],
        "scopes": [_scope(scope) for scope in answer.scopes],
        "listed": [_listed(row) for row in answer.listed],
    }


def _source(source: SourceStatus) -> JsonObject:
    return {
        "provider": source.provider,
        "title": source.title,
        "configured": not source.missing and not source.broken,
        "missing_variables": [{"name": item.name, "help": item.help} for item in source.missing],
        "broken": source.broken or None,
        "last_attempt_at": moment(source.last_attempt_at),
        "last_success_at": moment(source.last_success_at),
        "outcome": source.outcome or None,
        "error": source.error or None,
        "duration_ms": source.duration_ms,
    }


def _scope(scope: ScopeStatus) -> JsonObject:
    return {
        "provider": scope.provider,
        "region": scope.region,
        "pricing_model": scope.pricing_model,
        "last_attempt_at": moment(scope.last_attempt_at),
        "last_success_at": moment(scope.last_success_at),
        "age_s": scope.age_s,
        "freshness": scope.freshness,
        "offers": scope.offers,
        "quarantined": scope.quarantined,
        "refused": scope.refused or None,
        "error": scope.error or None,
    }


def _listed(row: ListedStatus) -> JsonObject:
    return {
        "provider": row.provider,
        "pricing_model": row.pricing_model,
        "price_class": "list",
        "offers": row.offers,
        "regions": row.regions,
        "oldest_observed_at": moment(row.oldest_observed_at),
        "newest_observed_at": moment(row.newest_observed_at),
        "age_s": row.age_s,
        "freshness": row.freshness,
    }
