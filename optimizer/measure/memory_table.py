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

from optimizer.physics.axes import (
    Attention,
    Checkpointing,
    Loss,
    Offload,
    Optimizer,
    Precision,
    Sharding,
    Stack,
    Tuning,
)
from optimizer.physics.recipe import Recipe
from optimizer.workload.models import load_models

from .record import MeasuredRun, Readings, RunStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from optimizer.workload.models import ModelTable

TABLE = "memory_runs.csv"
GIB = 2.0**30


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
        recipe=_recipe(row),
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


def _flag(cell: str) -> bool | None:
    return None if not cell else cell == "1"


def _words(cell: str, default: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(cell.split(";")) if cell else default


def _recipe(row: Mapping[str, str]) -> Recipe:
    return Recipe(
        tuning=Tuning(row["tuning"]),
        bits=int(row["bits"]),
        double_quant=row["double_quant"] == "1",
        precision=Precision(row["precision"]),
        kbit_preparation=_flag(row["kbit_preparation"]),
        lora_rank=int(row["lora_rank"] or 16),
        target_modules=_words(row["target_modules"], ("all-linear",)),
        modules_to_save=_words(row["modules_to_save"], ()),
        optimizer=Optimizer(row["optimizer"]),
        fused_optimizer=_flag(row["fused_optimizer"]),
        optimizer_in_backward=row["optimizer_in_backward"] == "1",
        activation_offload=row["activation_offload"] == "1",
        loss=Loss(row["loss"]),
        fused_kernels=row["fused_kernels"] == "1",
        checkpointing=Checkpointing(row["checkpointing"]),
        attention=Attention(row["attention"]),
        compiled=row["compiled"] == "1",
        sharding=Sharding(row["sharding"]),
        offload=Offload(row["offload"]),
        stack=Stack(row["stack"]),
        stack_known=True,
        micro_batch=int(row["micro_batch"]),
        grad_accum=int(row["grad_accum"]),
        seq_len=int(row["seq_len"]),
        row_tokens=float(row["row_tokens"]) if row["row_tokens"] else None,
        packing=row["packing"] == "1",
        variable_length=row["variable_length"] == "1",
    )
