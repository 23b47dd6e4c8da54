"""Predicted against measured memory: as shipped, and with each source left out of the fit in turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optimizer.physics.memory import estimate_memory
from optimizer.physics.overhead import Z80

from .constant_paths import with_constants
from .errors import Compared
from .memory_fit import PARAMETERS, READINGS, fit_memory, memory_readings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.physics.memory_constants import MemoryConstants
    from optimizer.physics.runs import Bools, Floats

    from .fit import Parameter
    from .memory_table import PublishedMemory
    from .record import MeasuredRun


def compared_memory(rows: Sequence[PublishedMemory], constants: MemoryConstants) -> tuple[Compared, list[str], Bools]:
    """Return every reading beside its prediction (bytes), the name of each reading, and whether several GPUs ran.

    Where a source leaves its unit or tool open, the interval is wider for it.
    """
    runs = [row.run for row in rows]
    seen = memory_readings(runs)
    columns = estimate_memory(seen.runs, constants)
    expected, doubt = seen.of(columns), Z80 * np.array([rows[row].reading_doubt for row in seen.row])
    down, up = (np.hypot(np.log(seen.of(columns, end) / expected), doubt) for end in ("low", "high"))
    compared = Compared(
        measured=seen.measured,
        low=expected * np.exp(-down),
        expected=expected,
        high=expected * np.exp(up),
        group=seen.groups,
    )
    several = np.array([runs[row].gpus > 1 for row in seen.row])
    return compared, [READINGS[kind] for kind in seen.reading], several


def without_source(
    table: Sequence[PublishedMemory],
    group: str,
    constants: MemoryConstants,
    parameters: Sequence[Parameter] = PARAMETERS,
) -> MemoryConstants:
    """Return the constants refitted to the rows of every other source."""
    rest = [row.run for row in table if not row.unfitted and row.run.group != group]
    return with_constants(constants, fit_memory(rest, constants, parameters).values)


def required_bytes(runs: Sequence[MeasuredRun], constants: MemoryConstants) -> tuple[Floats, Floats, Floats]:
    """Return what must fit (the larger of training and loading), expected and high end, and the usable memory.

    Bytes per GPU, shape (n,) each.
    """
    seen = memory_readings(runs).runs
    needed = estimate_memory(seen, constants).needed
    return needed.expected, needed.high, seen.machine.usable_bytes
