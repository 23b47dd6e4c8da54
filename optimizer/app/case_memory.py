"""Memory of cases: the model's own intervals, widened where a row leaves open what decides its memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from optimizer.physics.memory import estimate_memory
from optimizer.physics.overhead import Z80
from optimizer.physics.results import Interval
from optimizer.physics.tabulate import tabulate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.physics.memory_constants import MemoryConstants
    from optimizer.physics.recipe import Recipe
    from optimizer.physics.results import MemoryColumns
    from optimizer.physics.runs import Floats
    from optimizer.physics.tabulate import Machine
    from optimizer.workload.models import ModelSpec

    from .case_parsing import Case


READINGS: tuple[str, ...] = ("allocated", "reserved", "device", "required")


def case_memory(cases: Sequence[Case], memory: MemoryColumns, constants: MemoryConstants) -> MemoryColumns:
    """Return `memory` of the cases as their readings show it, with what the rows leave open added in quadrature.

    An assumed row length is taken at its own 10 % and 90 % quantile and the model run again with each; what that
    moves, in logarithms, adds to the half widths. So does doubt about the recipe, and, for the device alone, about
    the reading (which tool, which unit). torch's peak counter runs from the start of the process: the load peak is in
    the allocated reading where it is the larger one.
    """
    doubtful = [index for index, case in enumerate(cases) if case.length_doubt > 0]
    shorter, longer = (_expected_at(cases, doubtful, end, memory, constants) for end in (-Z80, Z80))
    recipe = Z80 * np.array([case.recipe_doubt for case in cases])
    unread = np.hypot(recipe, Z80 * np.array([case.reading_doubt for case in cases]))
    usable = np.array([float(case.machine.gpu.usable_bytes) for case in cases])
    unbounded = np.full(len(cases), np.inf)

    def widened(name: str, doubt: Floats, ceiling: Floats) -> Interval:
        return _widened(getattr(memory, name), shorter[name], longer[name], doubt, ceiling)

    return replace(
        memory,
        allocated=widened("allocated", recipe, unbounded).or_larger(memory.load_peak),
        reserved=widened("reserved", recipe, usable),
        device=widened("device", unread, usable),
        required=widened("required", recipe, unbounded),
    )


def _expected_at(
    cases: Sequence[Case], doubtful: list[int], end: float, memory: MemoryColumns, constants: MemoryConstants
) -> dict[str, Floats]:
    """Return the expected readings with the doubtful lengths moved by `end` standard deviations."""
    found = {name: getattr(memory, name).expected.copy() for name in READINGS}
    if doubtful:
        moved = estimate_memory(tabulate([_moved(cases[index], end) for index in doubtful]), constants)
        for name in READINGS:
            found[name][doubtful] = getattr(moved, name).expected
    return found


def _moved(case: Case, end: float) -> tuple[ModelSpec, Recipe, Machine]:
    length = case.recipe.seq_len * np.exp(end * case.length_doubt)
    seq_len = max(1, min(round(float(length)), max(case.length_limit, case.recipe.seq_len)))
    return case.model, replace(case.recipe, seq_len=seq_len, row_tokens=None), case.machine


def _widened(interval: Interval, shorter: Floats, longer: Floats, doubt: Floats, ceiling: Floats) -> Interval:
    """Return the interval with the moves and the doubt (half widths in logarithms) added, cut off at `ceiling`."""
    middle = np.maximum(interval.expected, 1.0)
    down = _root(np.log(middle / np.maximum(interval.low, 1.0)), np.log(middle / np.maximum(shorter, 1.0)), doubt)
    up = _root(np.log(interval.high / middle), np.log(longer / middle), doubt)
    return Interval(
        low=np.minimum(interval.low, interval.expected * np.exp(-down)),
        expected=interval.expected,
        high=np.maximum(interval.high, np.minimum(interval.expected * np.exp(up), ceiling)),
    )


def _root(*parts: Floats) -> Floats:
    return np.sqrt(sum((np.maximum(part, 0.0) ** 2 for part in parts), np.zeros_like(parts[0])))
