"""The bundled GPU table, read once per process: apart from the other tables, because price lists need no physics."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from providers.gpus import load_gpus

if TYPE_CHECKING:
    from providers.gpus import GpuTable


@functools.lru_cache(maxsize=1)
def load_gpu_table() -> GpuTable:
    """Return the bundled GPU table; every call returns the same object."""
    return load_gpus()
