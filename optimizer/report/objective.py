"""The cells of an objective in the trade-off matrices: the user's choice, shown beside the answer and not searched."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from optimizer.workload.matrices import load_matrices

if TYPE_CHECKING:
    from optimizer.workload.matrices import Matrices, ObjectiveCells

    from .json_text import JsonObject

WORDS = {"sft": "instruction tuning", "dpo": "preference tuning", "ppo": "RLHF with PPO"}


@functools.lru_cache(maxsize=1)
def _matrices() -> Matrices:
    return load_matrices()


def objective_cells(objective: str) -> ObjectiveCells:
    """Return the cells of an objective (sft, dpo, ppo). Raises ValueError for another one."""
    return _matrices().objective(objective)


def objective_object(objective: str) -> JsonObject:
    """Return the cells as the keys `objective_quality` and `objective_complexity`."""
    cells = objective_cells(objective)
    return {"objective_quality": cells.quality, "objective_complexity": cells.complexity}


def describe_objective(objective: str) -> str:
    """Return the cells in a clause: "instruction tuning (sft): quality high, complexity medium; not searched"."""
    cells = objective_cells(objective)
    return (
        f"{WORDS[objective]} ({objective}): quality {cells.quality}, complexity {cells.complexity}; "
        "your choice, not searched"
    )
