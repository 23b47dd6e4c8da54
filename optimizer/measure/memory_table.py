"""The project's own table of published memory readings: `data/memory_runs.csv`, each row with its source and date.

A thinned selection, chosen by rule before predicting: every second completed and every third failed run of
fms-acceleration, every second of Qwen, every sixth of llm-foundry (which publishes that a batch fitted, and no
reading), all of the others whose recipe is stated. The rows are normalised to the words of `Recipe`.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from optimizer.workload.models import load_models
from providers.units import GIB

from .record import MeasuredRun, Readings, RunStatus
from .table_rows import recipe_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from optimizer.workload.models import ModelTable

TABLE = "memory_runs.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedMemory:
    """One row: the run, the family of its model, what to know about it, and why it is not fitted to ("": it is).

    `reading_doubt` is the standard deviation of the logarithm of its readings for an unknown unit, tool or rounding.
    """

    run: MeasuredRun
    family: str
    reading_doubt: float
    note: str
    unfitted: str


def load_memory_table(path: Path | None = None) -> tuple[PublishedMemory, ...]:
    """Return the rows of the table of published readings, in its order (from `path`, or the one of the package)."""
    text = path.read_text("utf-8") if path else (files(__package__) / "data" / TABLE).read_text("utf-8")
    return parse_memory_table(text.splitlines())


def parse_memory_table(lines: Iterable[str]) -> tuple[PublishedMemory, ...]:
    """Return the rows of a table in the format of the package's own. Raises ValueError, KeyError for a broken one."""
    models = load_models()
    return tuple(
        PublishedMemory(
            run=_run(row, models),
            family=row["family"],
            reading_doubt=float(row["reading_doubt"] or 0),
            note=row["note"],
            unfitted=row["unfitted"],
        )
        for row in csv.DictReader(lines)
    )


def _run(row: Mapping[str, str], models: ModelTable) -> MeasuredRun:
    return MeasuredRun(
        model=models.resolve(row["model"]),
        recipe=recipe_of(row),
        gpu=row["gpu"] or None,
        gpus_per_node=int(row["gpus_per_node"]),
        nodes=int(row["nodes"]),
        status=RunStatus(row["status"]),
        readings=Readings(
            load_peak_bytes=_bytes(row["load_peak_gib"]),
            allocated_bytes=_bytes(row["allocated_gib"]),
            reserved_bytes=_bytes(row["reserved_gib"]),
            device_bytes=_bytes(row["device_gib"]),
        ),
        made_at=row["date"],
        source=row["source"],
        group=row["group"],
    )


def _bytes(gib: str) -> int | None:
    return round(float(gib) * GIB) if gib else None
