"""Picking and slimming dataclasses of columns. A column of shape (1,) is common to all rows and stays as it is."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from optimizer.physics.results import Interval
from optimizer.physics.runs import MachineColumns, RecipeColumns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from optimizer.physics.duration import DurationColumns
    from optimizer.physics.results import MemoryColumns, ThroughputColumns
    from optimizer.physics.runs import Floats, Ints

Flat = TypeVar("Flat", MachineColumns, RecipeColumns)
Scalar = TypeVar("Scalar", bound=np.generic)


def take(columns: Flat, rows: Ints) -> Flat:
    """Return the given rows (int64, shape (m,)) of recipe or machine columns."""
    picked = {field.name: _at(getattr(columns, field.name), rows) for field in fields(columns)}
    return replace(columns, **picked)


def slim(columns: Flat) -> Flat:
    """Collapse every column that holds one value to shape (1,): physics works it out once then, not once a row."""
    slimmed = {
        field.name: values[:1] if (values == values[0]).all() else values
        for field in fields(columns)
        for values in (getattr(columns, field.name),)
    }
    return replace(columns, **slimmed)


def memory_at(memory: MemoryColumns, rows: Ints) -> MemoryColumns:
    """Return the given rows of a memory estimate."""
    readings = {
        name: interval_at(getattr(memory, name), rows)
        for name in (
            "load_peak", "load_required", "allocated", "reserved", "device", "required", "host", "nvme",
        )
    }  # fmt: skip
    return replace(
        memory,
        parts=parts_at(memory.parts, rows),
        load_parts=parts_at(memory.load_parts, rows),
        basis=_at(memory.basis, rows),
        **readings,
    )


def speed_at(speed: ThroughputColumns, rows: Ints) -> ThroughputColumns:
    """Return the given rows of a throughput estimate."""
    return replace(
        speed,
        tokens_per_s=interval_at(speed.tokens_per_s, rows),
        step_s=_at(speed.step_s, rows),
        parts_s=parts_at(speed.parts_s, rows),
        sigma_log=_at(speed.sigma_log, rows),
        mfu=_at(speed.mfu, rows),
        bound=_at(speed.bound, rows),
        basis=_at(speed.basis, rows),
    )


def duration_at(duration: DurationColumns, rows: Ints) -> DurationColumns:
    """Return the given rows of a duration estimate."""
    return replace(
        duration,
        total=interval_at(duration.total, rows),
        parts_s=parts_at(duration.parts_s, rows),
        variable_sigma=_at(duration.variable_sigma, rows),
    )


def interval_at(interval: Interval, rows: Ints) -> Interval:
    """Return the given rows of an interval."""
    return Interval(low=_at(interval.low, rows), expected=_at(interval.expected, rows), high=_at(interval.high, rows))


def parts_at(parts: Mapping[str, Floats], rows: Ints) -> dict[str, Floats]:
    """Return the given rows of every part."""
    return {name: _at(part, rows) for name, part in parts.items()}


def _at(values: NDArray[Scalar], rows: Ints) -> NDArray[Scalar]:
    return values if values.shape[0] == 1 else values[rows]
