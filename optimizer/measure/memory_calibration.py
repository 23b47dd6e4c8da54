"""Refitting the memory model to one stack's measured runs: the constants that its readings bear on, and no others.

The free constants and their bounds are those of `memory_fit`; what is believed of them before is the shipped value,
less surely than there, because releases of a stack differ. Intervals of memory never narrow, for a reading shows what
one batch took; they widen where the readings lie further from the refitted model than it allows for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from optimizer.physics.memory import estimate_memory
from optimizer.physics.overhead import Z80

from .constant_paths import constant, with_constants
from .fit import Parameter, fit_constants
from .memory_fit import DEVIATION, PARAMETERS, READINGS, memory_readings
from .record import RunStatus
from .run_rows import lay_out
from .speed_calibration import changes_of, rounded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optimizer.physics.memory_constants import MemoryConstants
    from optimizer.physics.results import MemoryColumns
    from optimizer.physics.runs import Floats

    from .memory_fit import MemoryReadings
    from .run_rows import Row
    from .speed_calibration import ConstantChange

FITTED_READINGS: tuple[str, ...] = tuple(name for name in READINGS if name != "load_peak")
"""The load peak has no free constants: it is counted."""
BEARS = 0.002
"""Least change of a log reading, for one standard deviation of a constant, by which a row bears on it."""
LEAST_SIGMA = {"activations": 0.15, "logits": 0.15, "overhead": 0.15, "communication": 0.3}
"""Least deviation of a constant's logarithm before, by group: what one user's release may differ in by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryFit:
    """What the readings of one stack say. Readings in bytes, shape (m,); `row` and `reading` say whose and which."""

    changes: tuple[ConstantChange, ...]
    row: tuple[int, ...]
    reading: tuple[str, ...]
    measured: Floats
    before: Floats
    after: Floats
    spread_before: float
    spread_after: float
    """`sigma.model`: the deviation of the logarithm of all readings that no part explains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedRun:
    """A run that ended out of memory, and what the calibrated model says it needs, in bytes per GPU.

    `fits` is True where the model says that it fits at its high end: then the model is wrong there.
    """

    where: str
    digest: str
    needed_expected: float
    needed_high: float
    usable_bytes: float

    @property
    def fits(self) -> bool:
        """Whether the calibrated model says that it fits at the high end."""
        return self.needed_high <= self.usable_bytes


def fit_memory_of_stack(rows: Sequence[Row], constants: MemoryConstants) -> MemoryFit:
    """Return the memory of one stack calibrated to the readings of its rows (those that completed).

    Raises SolverFailed where a constant leaves the range in which the model has a value.
    """
    seen = _readings(rows)
    before = seen.of(estimate_memory(seen.runs, constants))
    moved = _constants(seen, before, constants)

    def predict(values: Mapping[str, float]) -> Floats:
        return seen.of(estimate_memory(seen.runs, with_constants(constants, dict(values))))

    names = [READINGS[kind] for kind in seen.reading]
    deviation = np.array([DEVIATION[name] for name in names])
    fit = fit_constants(moved, predict, seen.measured, deviation=deviation)
    values = {name: rounded(value) for name, value in fit.values.items()}
    refitted = estimate_memory(seen.runs, with_constants(constants, values))
    spread = constants.sigma.model
    return MemoryFit(
        changes=changes_of(moved, values, fit.sigmas),
        row=tuple(int(at) for at in seen.row),
        reading=tuple(names),
        measured=seen.measured,
        before=before,
        after=seen.of(refitted),
        spread_before=rounded(spread, 4),
        spread_after=rounded(max(spread, math.hypot(spread, _unexplained(seen, refitted))), 4),
    )


def has_reading(row: Row) -> bool:
    """Return whether a row completed and reads memory that constants can be fitted to."""
    read = row.run.readings
    return row.run.status is RunStatus.OK and any(
        getattr(read, f"{name}_bytes") is not None for name in FITTED_READINGS
    )


def check_failed(rows: Sequence[Row], constants: MemoryConstants) -> tuple[FailedRun, ...]:
    """Return what the (calibrated) model says of the runs that ended out of memory."""
    failed = [row for row in rows if row.run.status is RunStatus.OUT_OF_MEMORY]
    if not failed:
        return ()
    needed = estimate_memory(lay_out(failed), constants).needed
    return tuple(
        FailedRun(
            where=row.where,
            digest=row.digest,
            needed_expected=float(round(needed.expected[at])),
            needed_high=float(round(needed.high[at])),
            usable_bytes=float(row.machine.gpu.usable_bytes),
        )
        for at, row in enumerate(failed)
    )


def _readings(rows: Sequence[Row]) -> MemoryReadings:
    """Return the readings of the rows, those of the load peak left out."""
    seen = memory_readings([row.run for row in rows])
    kept = np.array([READINGS[kind] in FITTED_READINGS for kind in seen.reading], dtype=np.bool_)
    return replace(
        seen,
        runs=lay_out(rows),
        row=seen.row[kept],
        reading=seen.reading[kept],
        measured=seen.measured[kept],
        groups=tuple(group for group, keep in zip(seen.groups, kept, strict=True) if keep),
    )


def _constants(seen: MemoryReadings, before: Floats, constants: MemoryConstants) -> list[Parameter]:
    """Return the free constants that the readings bear on, believed to be what ships with the project."""
    found = []
    for free in PARAMETERS:
        try:
            prior = constant(constants, free.name)
        except KeyError:
            continue
        if prior <= 0:
            continue
        sigma = max(free.sigma, LEAST_SIGMA.get(free.name.partition(".")[0], 0.0))
        low, high = min(free.low, prior), max(free.high, prior)
        ends = (max(prior * math.exp(-sigma), low), min(prior * math.exp(sigma), high))
        moves = (
            np.abs(np.log(seen.of(estimate_memory(seen.runs, with_constants(constants, {free.name: end}))) / before))
            for end in ends
        )
        if any(float(np.max(move)) >= BEARS for move in moves):
            found.append(Parameter(name=free.name, prior=prior, sigma=sigma, low=low, high=high))
    return found


def _unexplained(seen: MemoryReadings, memory: MemoryColumns) -> float:
    """Return the deviation of log readings beyond what the model's own intervals allow for.

    The allocated peak decides, for the others follow from it; where none was read, the others do.
    """
    expected = np.log(seen.of(memory))
    allowed = (np.log(seen.of(memory, "high")) - expected) / Z80
    chosen = seen.reading == READINGS.index("allocated")
    chosen = chosen if chosen.any() else np.ones_like(chosen)
    # A device reading is cut off at the end of the memory, and so is its interval.
    excess = (np.log(seen.measured) - expected)[chosen] ** 2 - allowed[chosen] ** 2
    return math.sqrt(max(0.0, float(np.mean(excess))))
