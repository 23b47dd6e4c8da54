"""The document `tunefare.models/v1`: the models known by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.version import VERSION

from .json_text import JsonObject, to_text

if TYPE_CHECKING:
    from optimizer.workload.model_table import ModelTable

SCHEMA = "tunefare.models/v1"


def models_text(models: ModelTable) -> str:
    """Return the models in alphabetical order as JSON text: parameters counted, context in tokens."""
    rows: list[JsonObject] = []
    for name in models.names():
        spec = models.by_name[name]
        rows.append(
            {
                "model": name,
                "aliases": list(models.other_names(name)),
                "params": spec.total_params,
                "active_params": spec.active_params,
                "context_tokens": spec.context,
                "source": spec.source,
            }
        )
    return to_text({"schema": SCHEMA, "tool_version": VERSION, "models": list(rows)})
