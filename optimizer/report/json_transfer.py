"""The document `tunefare.price-import/v1`: what an import did with each scope of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.version import VERSION

from .json_text import JsonObject, moment, to_text

if TYPE_CHECKING:
    from .record_answers import ImportAnswer, ImportedScope

SCHEMA = "tunefare.price-import/v1"


def import_text(answer: ImportAnswer) -> str:
    """Return what an import did as JSON text."""
    return to_text(import_document(answer))


def import_document(answer: ImportAnswer) -> JsonObject:
    """Return what an import did as a document."""
    return {
        "schema": SCHEMA,
        "made_at": moment(answer.made_at),
        "tool_version": VERSION,
        "file": answer.file,
        "sha256": answer.sha256,
        "exported_at": moment(answer.exported_at),
        "dry_run": answer.dry_run,
        "skipped_list_offers": answer.skipped_list,
        "skipped_own_offers": answer.skipped_own,
        "unknown_gpu_offers": answer.unknown_gpus,
        "scopes": [_scope(scope) for scope in answer.scopes],
    }


def _scope(scope: ImportedScope) -> JsonObject:
    return {
        "provider": scope.provider,
        "region": scope.region,
        "pricing_model": scope.pricing_model,
        "batch_at": moment(scope.batch_at),
        "outcome": scope.outcome,
        "offers": scope.offers,
        "added": scope.added,
        "changed": scope.changed,
        "gone": scope.gone,
        "quarantined": scope.quarantined,
        "detail": scope.detail,
    }
