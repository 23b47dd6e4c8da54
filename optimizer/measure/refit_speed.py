"""Refitting the shipped time model: `python -m optimizer.measure.refit_speed` writes the fit into `speed.toml`.

The values come from the table of published runs and the priors alone: running it again changes nothing.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from optimizer.physics import speed_constants
from optimizer.physics.speed_constants import load_speed_constants

from .speed_fit import bearing, fit_speed, tabulate_runs
from .speed_table import fitted_runs, load_speed_table

if TYPE_CHECKING:
    from collections.abc import Mapping

DIGITS = 4


def fitted_values() -> tuple[dict[str, float], dict[str, str]]:
    """Return the fitted constants by name, to four digits, and for each the rows that bear on it, in words."""
    runs = fitted_runs(load_speed_table())
    constants = load_speed_constants()
    found = fit_speed(runs, constants)
    values = {name: float(f"{value:.{DIGITS}g}") for name, value in found.values.items()}
    rows = bearing(tabulate_runs(runs), constants, values)
    groups = [run.group for run in runs]
    words = {}
    for name, bears in rows.items():
        counted = Counter(group for group, here in zip(groups, bears, strict=True) if here)
        words[name] = ", ".join(f"{group} {count}" for group, count in sorted(counted.items())) or "prior alone"
    return values, words


def rewritten(document: str, values: Mapping[str, float], rows: Mapping[str, str]) -> str:
    """Return the text of `speed.toml` with the values put in, and the rows named at the end of each origin.

    Units, bases, order and the words of the origins stay. Raises KeyError for a constant that the text lacks.
    """
    lines = document.split("\n")
    for name, value in values.items():
        table, _, entry = name.partition(".")
        heading, key = (f"[{table}.values]", entry) if entry else (f"[{table}]", "value")
        place = _line(lines, heading, key)
        lines[place] = f"{key} = {value:.{DIGITS}g}"
    for table in dict.fromkeys(name.partition(".")[0] for name in values):
        place = _line(lines, f"[{table}]", "origin")
        bare = re.sub(r" \[rows: .*\]\"$", '"', lines[place])
        lines[place] = f'{bare[:-1]} [rows: {_of_table(table, rows)}]"'
    return "\n".join(lines)


def refit(path: Path) -> bool:
    """Write the fitted values into the file at `path`; return whether it changed."""
    before = path.read_text("utf-8")
    after = rewritten(before, *fitted_values())
    if after == before:
        return False
    path.write_text(after, "utf-8")
    return True


def _of_table(table: str, rows: Mapping[str, str]) -> str:
    entries = {name.partition(".")[2]: words for name, words in rows.items() if name.partition(".")[0] == table}
    return "; ".join(f"{entry}: {words}" if entry else words for entry, words in entries.items())


def _line(lines: list[str], heading: str, key: str) -> int:
    start = lines.index(heading)
    for place in range(start + 1, len(lines)):
        if lines[place].startswith("["):
            break
        if lines[place].split("=")[0].strip() == key:
            return place
    raise KeyError(f"{heading} {key}")


if __name__ == "__main__":
    target = Path(speed_constants.__file__).parent / "data" / "speed.toml"
    sys.stdout.write(f"{target.name}: {'rewritten' if refit(target) else 'as it was'}\n")
