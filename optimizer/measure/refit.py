"""Refitting the shipped constants from the shipped measurements: what `make calibrate` runs.

`python -m optimizer.measure.refit` is a tool of the repository, not of the product: it writes into the package. Values
come from the tables of published runs and the priors alone: running it again changes nothing.
"""

from __future__ import annotations

import sys
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from optimizer.physics.memory import estimate_memory
from optimizer.physics.memory_constants import load_memory_constants
from optimizer.physics.speed_constants import load_speed_constants

from .constant_paths import with_constants
from .constants_file import Fitted, rewrite_constants
from .memory_fit import PARAMETERS, fit_memory, memory_readings
from .memory_table import load_memory_table
from .speed_fit import bearing, fit_speed
from .speed_table import fitted_runs, load_speed_table
from .table_rows import tabulate_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from optimizer.physics.memory_constants import MemoryConstants
    from optimizer.physics.runs import Bools, Floats

    from .fit import Fit
    from .record import MeasuredRun

BEARS_ON = 0.02
"""A row bears on a constant where one unit of its logarithm moves the logarithm of the prediction by this much."""


def fitted_memory() -> dict[str, Fitted]:
    """Return the fitted constants of the memory model by name."""
    runs = [row.run for row in load_memory_table() if not row.unfitted]
    constants = load_memory_constants()
    fit = fit_memory(runs, constants)
    rows, groups = _bearing_memory(runs, with_constants(constants, fit.values), fit)
    return _fitted(fit, rows, groups)


def fitted_speed() -> dict[str, Fitted]:
    """Return the fitted constants of the time model by name."""
    runs = fitted_runs(load_speed_table())
    constants = load_speed_constants()
    fit = fit_speed(runs, constants)
    return _fitted(fit, bearing(tabulate_runs(runs), constants, fit.values), [run.group for run in runs])


FILES: dict[str, Callable[[], dict[str, Fitted]]] = {"memory.toml": fitted_memory, "speed.toml": fitted_speed}


def main() -> int:
    """Rewrite the data files in place; say on stderr whether they changed."""
    for name, fitted in FILES.items():
        path = Path(str(files("optimizer.physics") / "data" / name))
        before = path.read_text("utf-8")
        after = rewrite_constants(before, fitted())
        path.write_text(after, "utf-8")
        sys.stderr.write(f"{name}: {'as it was' if after == before else 'rewritten'}\n")
    return 0


def _bearing_memory(
    runs: Sequence[MeasuredRun], constants: MemoryConstants, fit: Fit
) -> tuple[dict[str, Bools], Sequence[str]]:
    """Return which readings bear on each constant, and the source of each reading."""
    seen = memory_readings(runs)
    before = np.log(seen.of(estimate_memory(seen.runs, constants)))
    step = 0.1
    found = {}

    def moved(name: str, factor: float) -> Floats:
        changed = with_constants(constants, {name: fit.values[name] * factor})
        result: Floats = np.abs(np.log(seen.of(estimate_memory(seen.runs, changed))) - before)
        return result

    for name in (parameter.name for parameter in PARAMETERS):
        found[name] = np.maximum(moved(name, 1.0 + step), moved(name, 1.0 / (1.0 + step))) > BEARS_ON * step
    return found, seen.groups


def _fitted(fit: Fit, rows: Mapping[str, Bools], groups: Sequence[str]) -> dict[str, Fitted]:
    return {
        name: Fitted(value=value, sigma=fit.sigmas[name], rows=_counted(groups, rows[name]))
        for name, value in fit.values.items()
    }


def _counted(groups: Iterable[str], bears: Bools) -> str:
    """Return how many rows of which source: "fms-acceleration 85, torchtune 7"."""
    counts = Counter(group for group, here in zip(groups, bears, strict=True) if here)
    return ", ".join(f"{group} {count}" for group, count in sorted(counts.items()))


if __name__ == "__main__":
    sys.exit(main())
