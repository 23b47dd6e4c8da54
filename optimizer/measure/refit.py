"""Refitting the shipped constants from the shipped measurements: what `make calibrate` runs.

`python -m optimizer.measure.refit` is a tool of the repository, not of the product: it writes into the package.
"""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from optimizer.physics.memory import estimate_memory
from optimizer.physics.memory_constants import load_memory_constants

from .constant_paths import with_constants
from .constants_file import Fitted, rewrite_constants
from .memory_fit import PARAMETERS, fit_memory, memory_readings
from .memory_table import load_memory_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.physics.memory_constants import MemoryConstants

    from .fit import Fit
    from .record import MeasuredRun

BEARS = 0.02
"""A row bears on a constant when doubling the constant's logarithmic step moves the prediction by this share of it."""


def refit_memory_text(text: str) -> str:
    """Return the text of `memory.toml` with every fitted constant as the shipped table of readings gives it."""
    runs = [row.run for row in load_memory_table() if not row.unfitted]
    constants = load_memory_constants()
    fit = fit_memory(runs, constants)
    rows = bearing_rows(runs, with_constants(constants, fit.values), fit)
    return rewrite_constants(
        text,
        {name: Fitted(value=fit.values[name], sigma=fit.sigmas[name], rows=rows[name]) for name in fit.values},
    )


def bearing_rows(runs: Sequence[MeasuredRun], constants: MemoryConstants, fit: Fit) -> dict[str, str]:
    """Return for each constant how many rows of which source move with it: "fms-acceleration 85, torchtune 7"."""
    seen = memory_readings(runs)
    before = seen.of(estimate_memory(seen.runs, constants))
    found = {}
    for parameter in PARAMETERS:
        moved = with_constants(constants, {parameter.name: fit.values[parameter.name] * 1.1})
        share = np.abs(np.log(seen.of(estimate_memory(seen.runs, moved)) / before)) / np.log(1.1)
        counts: dict[str, int] = {}
        for group, bears in zip(seen.groups, share > BEARS, strict=True):
            if bears:
                counts[group] = counts.get(group, 0) + 1
        found[parameter.name] = ", ".join(f"{group} {count}" for group, count in sorted(counts.items()))
    return found


def main() -> int:
    """Rewrite the data files in place; say on stderr what changed."""
    path = Path(str(files("optimizer.physics") / "data" / "memory.toml"))
    before = path.read_text("utf-8")
    after = refit_memory_text(before)
    path.write_text(after, "utf-8")
    changed = sum(old != new for old, new in zip(before.splitlines(), after.splitlines(), strict=False))
    sys.stderr.write(f"memory.toml: {changed} lines changed\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
