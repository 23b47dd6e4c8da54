"""The tables that planning needs, read once per process and passed on as arguments."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optimizer.physics.memory_constants import load_memory_constants
from optimizer.physics.speed_constants import load_speed_constants
from optimizer.search.tables import Tables
from optimizer.workload.matrices import load_matrices
from optimizer.workload.models import load_models

from .gpu_table import load_gpu_table

if TYPE_CHECKING:
    from optimizer.workload.models import ModelTable
    from providers.gpus import GpuTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """Everything known beside prices: models, and what the search takes (GPUs, constants, matrices)."""

    models: ModelTable
    search: Tables

    @property
    def gpus(self) -> GpuTable:
        """The GPU table, the same object that the search gets."""
        return self.search.gpus


@functools.lru_cache(maxsize=1)
def load_tables() -> Knowledge:
    """Return the bundled tables. The first call reads them, later ones return the same object."""
    return Knowledge(
        models=load_models(),
        search=Tables(
            gpus=load_gpu_table(),
            memory=load_memory_constants(),
            speed=load_speed_constants(),
            matrices=load_matrices(),
        ),
    )
