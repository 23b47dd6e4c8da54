"""Fitting the memory model to measured runs: which constants are free, what is believed of them before, and the fit.

Priors come from counting tensors and from how the libraries work, never from the rows; they are what remains of a
constant when the rows that bear on it are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optimizer.physics.memory import estimate_memory

from .constant_paths import with_constants
from .fit import Fit, Parameter, fit_constants, source_weights
from .record import RunStatus
from .table_rows import tabulate_runs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optimizer.physics.memory_constants import MemoryConstants
    from optimizer.physics.results import Interval, MemoryColumns
    from optimizer.physics.runs import Bools, Floats, Runs

    from .record import MeasuredRun

READINGS: tuple[str, ...] = ("load_peak", "allocated", "reserved", "device")
DEVIATION: dict[str, float] = {"load_peak": 0.02, "allocated": 0.04, "reserved": 0.08, "device": 0.12}
"""Standard deviation of ln(measured) around a right model, by reading: what releases and allocators change."""

ROWS_PER_SOURCE = 40.0
PARAMETERS: tuple[Parameter, ...] = (
    # One block in recomputation, counted: norms, attention and MLP of the block with their gradients on the way.
    Parameter(name="activations.live_hidden", prior=30.0, sigma=0.2),
    Parameter(name="activations.live_intermediate", prior=8.0, sigma=0.2),
    Parameter(name="activations.live_intermediate_plain", prior=5.0, sigma=0.25),
    # An unfused adapter casts its input to fp32 and keeps a dropped-out copy; a fused one keeps the 16-bit input.
    Parameter(name="activations.live_adapter_plain", prior=3.0, sigma=0.35),
    Parameter(name="activations.live_adapter_fused", prior=1.5, sigma=0.35),
    # In an fp32 stream half of a block's tensors are twice as wide.
    Parameter(name="activations.live_fp32_factor", prior=1.6, sigma=0.15, low=1.0, high=2.0),
    Parameter(name="activations.live_moe_factor", prior=0.8, sigma=0.2),
    Parameter(name="activations.live_unsloth_factor", prior=0.7, sigma=0.2),
    Parameter(name="activations.block_sharded_adapter_factor", prior=2.0, sigma=0.15, low=1.0),
    Parameter(name="activations.kept_adapter_factor", prior=0.75, sigma=0.2, high=1.0),
    Parameter(name="activations.kept_compiled_factor", prior=0.75, sigma=0.2, high=1.0),
    Parameter(name="activations.kept_selective_factor", prior=0.35, sigma=0.3, high=1.0),
    # transformers' loss: 16-bit logits 2, fp32 copy 4, log-softmax 4, its gradient 4.
    Parameter(name="logits.standard_vocab", prior=14.0, sigma=0.03),
    # A loss in the type of the logits: logits, shifted copy, log-softmax, gradient.
    Parameter(name="logits.half_vocab", prior=8.0, sigma=0.1),
    Parameter(name="logits.standard_hidden", prior=6.0, sigma=0.3),
    Parameter(name="logits.triton_vocab", prior=8.0, sigma=0.15),
    Parameter(name="logits.chunked_vocab", prior=2.5, sigma=0.2),
    Parameter(name="logits.fused_hidden", prior=6.0, sigma=0.3),
    Parameter(name="logits.compiled_factor", prior=0.8, sigma=0.15, high=1.0),
    Parameter(name="communication.nccl_bytes", prior=3.5e8, sigma=0.3),
    Parameter(name="overhead.context_bytes", prior=6e8, sigma=0.2),
    # What a caching allocator keeps beyond its peak while there is room.
    Parameter(name="overhead.slack_fused", prior=1.15, sigma=0.1, low=1.0),
    Parameter(name="overhead.slack_fused_sharded", prior=1.25, sigma=0.15, low=1.0),
    Parameter(name="overhead.slack_triton_small", prior=1.5, sigma=0.15, low=1.0),
    Parameter(name="overhead.slack_triton_small_sharded", prior=1.4, sigma=0.15, low=1.0),
    Parameter(name="overhead.slack_triton_large", prior=1.6, sigma=0.15, low=1.0),
    Parameter(name="overhead.slack_triton_large_sharded", prior=1.6, sigma=0.15, low=1.0),
    Parameter(name="overhead.slack_standard", prior=1.3, sigma=0.15, low=1.0),
    Parameter(name="overhead.slack_standard_sharded", prior=1.5, sigma=0.15, low=1.0),
    Parameter(name="overhead.full_sum", prior=1.0, sigma=0.05),
    Parameter(name="overhead.full_sum_sharded", prior=1.05, sigma=0.05),
)
"""The free constants of the memory model; all others are definitions or assumptions that no row speaks of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryReadings:
    """The readings of measured runs in one line: m readings of n runs.

    `row` is the position of the run (int64), `reading` the position in `READINGS`, `measured` bytes.
    """

    runs: Runs
    row: np.ndarray
    reading: np.ndarray
    measured: Floats
    groups: tuple[str, ...]
    """Source of each reading."""

    def of(self, columns: MemoryColumns, end: str = "expected") -> Floats:
        """Return the predicted readings, bytes, shape (m,); `end` is low, expected or high."""
        table = np.stack([getattr(_reading(columns, name), end) for name in READINGS])
        result: Floats = table[self.reading, self.row]
        return result


def memory_readings(runs: Sequence[MeasuredRun]) -> MemoryReadings:
    """Return the readings of the runs that completed; a run that ran out of memory has none."""
    rows, kinds, values = [], [], []
    for row, run in enumerate(runs):
        for kind, name in enumerate(READINGS):
            value = getattr(run.readings, f"{name}_bytes")
            if value is not None and run.status is RunStatus.OK:
                rows.append(row)
                kinds.append(kind)
                values.append(float(value))
    return MemoryReadings(
        runs=tabulate_runs(runs),
        row=np.array(rows, dtype=np.int64),
        reading=np.array(kinds, dtype=np.int64),
        measured=np.array(values, dtype=np.float64),
        groups=tuple(runs[row].group for row in rows),
    )


def fit_memory(
    runs: Sequence[MeasuredRun], constants: MemoryConstants, parameters: Sequence[Parameter] = PARAMETERS
) -> Fit:
    """Return the constants of the memory model fitted to the readings of `runs`; the others stay as in `constants`.

    Raises SolverFailed where a constant leaves the range in which the model has a value.
    """
    seen = memory_readings(runs)

    def predict(values: Mapping[str, float]) -> Floats:
        return seen.of(estimate_memory(seen.runs, with_constants(constants, values)))

    deviation = np.array([DEVIATION[name] for name in READINGS])[seen.reading]
    return fit_constants(
        parameters, predict, seen.measured, deviation=deviation, weight=source_weights(seen.groups, ROWS_PER_SOURCE)
    )


def failed(runs: Sequence[MeasuredRun]) -> Bools:
    """Return which runs ran out of memory, shape (n,)."""
    return np.array([run.status is RunStatus.OUT_OF_MEMORY for run in runs])


def _reading(columns: MemoryColumns, name: str) -> Interval:
    """Return a reading, in bytes; torch's peak of the allocated runs from the start, so that loading may hold it."""
    return columns.allocated.or_larger(columns.load_peak) if name == "allocated" else getattr(columns, name)
