"""The project's own table of published speeds: `data/speed_runs.csv`, normalised, each row with its source and date.

One row is one published figure: model, recipe and machine in the words of the product, tokens/s per GPU as published.
Tokens are processed ones (the publications count padding), so that `padding_factor` stays 1; where rows vary in length
`row_tokens` is the mean of a processed row.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from optimizer.workload.models import load_models

from .record import MeasuredRun, Readings
from .table_rows import recipe_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from optimizer.workload.models import ModelTable

TABLE = "speed_runs.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedSpeed:
    """One row of the table: the run, the family of its model, what to know about it, and why it is not fitted to.

    `unfitted` is empty for a row that takes part in the fit; `note` says what the source says or leaves open.
    """

    run: MeasuredRun
    family: str
    note: str
    unfitted: str


def load_speed_table(path: Path | None = None) -> tuple[PublishedSpeed, ...]:
    """Return the rows of the table of published speeds, in its order (from `path`, or the one of the package)."""
    text = path.read_text("utf-8") if path else (files(__package__) / "data" / TABLE).read_text("utf-8")
    return parse_speed_table(text.splitlines())


def parse_speed_table(lines: Iterable[str]) -> tuple[PublishedSpeed, ...]:
    """Return the rows of a table in the format of the package's own. Raises ValueError, KeyError for a broken one."""
    models = load_models()
    return tuple(
        PublishedSpeed(
            run=_run(row, models), family=row["family"], note=row["note"], unfitted=row["unfitted"]
        )
        for row in csv.DictReader(lines)
    )  # fmt: skip


def fitted_runs(table: Iterable[PublishedSpeed]) -> tuple[MeasuredRun, ...]:
    """Return the runs that constants are fitted to."""
    return tuple(row.run for row in table if not row.unfitted)


def _run(row: Mapping[str, str], models: ModelTable) -> MeasuredRun:
    gpus = int(row["gpu_count"]) * int(row["nodes"])
    network = row["network_gbytes_per_s"]
    return MeasuredRun(
        model=models.resolve(row["model"]),
        recipe=recipe_of(row),
        gpu=row["gpu"],
        gpus_per_node=int(row["gpu_count"]),
        nodes=int(row["nodes"]),
        network_bytes_per_s=float(network) * 1e9 if network else None,
        readings=Readings(tokens_per_s=float(row["tokens_per_s_per_gpu"]) * gpus),
        made_at=row["date"],
        source=row["source"],
        group=row["group"],
    )
