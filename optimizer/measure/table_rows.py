"""What the two tables of published runs share: a recipe from the columns of a row, and runs as columns of physics."""

from __future__ import annotations

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
from optimizer.physics.tabulate import Machine, tabulate
from providers.gpus import load_gpus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optimizer.physics.runs import Runs

    from .record import MeasuredRun

STAND_IN_GPU = "A100-SXM-80GB"
"""The card of a row whose source does not name it; its size decides where a device reading is cut off."""


def recipe_of(row: Mapping[str, str]) -> Recipe:
    """Return the recipe of a row; an empty cell is the stack's default, a column that the table lacks the plain one.

    Raises ValueError or KeyError for a broken row: the tables are the project's own.
    """
    return Recipe(
        tuning=Tuning(row["tuning"]),
        bits=int(row["bits"]),
        double_quant=row["double_quant"] == "1",
        precision=Precision(row["precision"]),
        kbit_preparation=_flag(row["kbit_preparation"]),
        lora_rank=int(row["lora_rank"] or 16),
        target_modules=_words(row["target_modules"]) or ("all-linear",),
        modules_to_save=_words(row["modules_to_save"]),
        optimizer=Optimizer(row["optimizer"]),
        fused_optimizer=_flag(row.get("fused_optimizer", "")),
        optimizer_in_backward=row.get("optimizer_in_backward") == "1",
        activation_offload=row.get("activation_offload") == "1",
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


def tabulate_runs(runs: Sequence[MeasuredRun]) -> Runs:
    """Return the runs as columns. Raises ValueError for none, KeyError for a GPU that is not in the table."""
    gpus = load_gpus()
    return tabulate(
        [
            (
                run.model,
                run.recipe,
                Machine(
                    gpu=gpus.by_id[run.gpu or STAND_IN_GPU],
                    gpu_count=run.gpus_per_node,
                    nodes=run.nodes,
                    network_bytes_per_s=run.network_bytes_per_s,
                ),
            )
            for run in runs
        ]
    )


def _flag(cell: str) -> bool | None:
    return None if not cell else cell == "1"


def _words(cell: str) -> tuple[str, ...]:
    return tuple(cell.split(";")) if cell else ()
