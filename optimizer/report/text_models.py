"""The models known by name, as a person looks one up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .figures import format_count, plural
from .table import format_heading, format_paragraph, pad

if TYPE_CHECKING:
    from optimizer.workload.model_table import ModelTable

    from .style import Style

NUMBERS = 24
"""Columns taken by the three figures before the name."""


def format_models(models: ModelTable, style: Style) -> str:
    """Return one line per model: parameters (and those active per token), context, name, aliases.

    Names and aliases are there to be copied: they are wrapped, never cut.
    """
    title = "  " + pad("params", 7, right=True) + pad("active", 7, right=True) + pad("context", 10, right=True)
    lines = [
        format_heading(plural(len(models.by_name), "model"), "the last part of a name will do, in any case", style),
        title + "  model (aliases)",
    ]
    for name in models.names():
        spec = models.by_name[name]
        active = format_count(spec.active_params) if spec.moe_experts else ""
        figures = pad(format_count(spec.total_params), 7, right=True) + pad(active, 7, right=True)
        obvious = {name.lower(), name.lower().rpartition("/")[2]}
        aliases = ", ".join(alias for alias in models.other_names(name) if alias not in obvious)
        lines += format_paragraph(
            f"{name} ({aliases})" if aliases else name,
            style,
            indent=" " * (NUMBERS + 4),
            first=f"  {figures}{pad(f'{spec.context:,}', 10, right=True)}  ",
        )
    return "\n".join(lines) + "\n"
