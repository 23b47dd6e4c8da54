"""Readings that no card takes: they are in another unit, and are left out with the reason before anything is fitted.

A speed is held against the model, whose errors lie far inside the bounds of a card's factor; memory against the
weights, which are counted, and against what the card has.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from optimizer.physics.memory import estimate_memory
from optimizer.physics.throughput import estimate_throughput
from optimizer.search.calibrated import FACTORS
from providers.units import GIB

from .contradictions import figure
from .memory_calibration import FITTED_READINGS, has_reading
from .record import RunStatus
from .run_rows import Skipped, lay_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.physics.memory_constants import MemoryConstants
    from optimizer.physics.speed_constants import SpeedConstants

    from .run_rows import Row

LEAST_OF_WEIGHTS = 0.9
"""Share of the counted weights below which no run was read: blocks of quantised weights are counted roughly."""
MOST_OF_USABLE = 1.02
"""Share of a card's usable memory beyond which none was read: the table has the least of what drivers show."""


def plausible_rows(
    rows: Sequence[Row], memory: MemoryConstants, speed: SpeedConstants
) -> tuple[tuple[Row, ...], tuple[Skipped, ...]]:
    """Return the rows without readings that cannot be, and what was left out with the reason.

    A run whose speed is out of bounds is left out as a whole: its record describes something else. Of memory the one
    reading is.
    """
    if not rows:
        return (), ()
    runs = lay_out(rows)
    count = len(rows)
    with np.errstate(all="ignore"):
        modelled = np.broadcast_to(estimate_throughput(runs, speed).tokens_per_s.expected, (count,))
    weights = np.broadcast_to(estimate_memory(runs, memory).parts["weights"], (count,))
    kept: list[Row] = []
    skipped: list[Skipped] = []
    for row, tokens_per_s, weight_bytes in zip(rows, modelled.tolist(), weights.tolist(), strict=True):
        reason = _of_speed(row, tokens_per_s)
        wrong = {} if reason else _of_memory(row, weight_bytes)
        skipped += [Skipped(where=row.where, reason=one) for one in ([reason] if reason else wrong.values())]
        left = row if not wrong else _without(row, tuple(wrong))
        if not reason and (left.run.status is not RunStatus.OK or left.run.readings.tokens_per_s or has_reading(left)):
            kept.append(left)
    return tuple(kept), tuple(skipped)


def _of_speed(row: Row, modelled: float) -> str | None:
    measured = row.run.readings.tokens_per_s
    if row.run.status is not RunStatus.OK or measured is None or FACTORS[0] <= measured / modelled <= FACTORS[1]:
        return None
    times = measured / modelled
    return (
        f"{figure(measured)} tokens/s are {figure(times)} times the model's ({FACTORS[0]:g} to {FACTORS[1]:g} "
        "are believed): are they tokens, and not samples, steps or characters, and of the whole job, not of one GPU?"
    )


def _of_memory(row: Row, weight_bytes: float) -> dict[str, str]:
    """Return what is wrong with readings of memory, by their names."""
    if row.run.status is not RunStatus.OK:
        return {}
    usable, found = row.machine.gpu.usable_bytes, {}
    for name in FITTED_READINGS:
        key = f"{name}_bytes"
        read = getattr(row.run.readings, key)
        if read is not None and read < LEAST_OF_WEIGHTS * weight_bytes:
            words = f"less than the weights alone ({weight_bytes / GIB:.3g} GiB a GPU)"
        elif read is not None and read > MOST_OF_USABLE * usable:
            words = f"more than {row.machine.gpu.id} has ({usable / GIB:.3g} GiB a GPU)"
        else:
            continue
        found[key] = f"{key} = {read:,} is {words}, and is not used: is it in bytes, and of one GPU?"
    return found


def _without(row: Row, keys: tuple[str, ...]) -> Row:
    readings = replace(row.run.readings, **dict.fromkeys(keys))  # type: ignore[arg-type]  # keys of memory, all optional
    return replace(row, run=replace(row.run, readings=readings))
