"""Writing fitted constants back into the data files of the physics, leaving every other word as it stands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from providers.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Mapping

_TABLE = re.compile(r"^\[(?P<name>[\w.-]+)\]\s*$")
_ENTRY = re.compile(r"^(?P<key>[\w-]+)\s*=\s*(?P<value>.*)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A fitted constant: value, standard deviation of its logarithm, and the rows that bear on it ("qwen1 12, ...")."""

    value: float
    sigma: float
    rows: str


def rewrite_constants(text: str, fitted: Mapping[str, Fitted]) -> str:
    """Return the TOML text with the values of the named constants replaced, and their `fitted` line with them.

    A constant stands in a table of its own (`[logits.half_vocab]` with `value`) or as one entry of a column
    (`[launch_s.values]` with `hf`). Raises JobError for a name that the file does not hold.
    """
    lines, found = [], set()
    table = ""
    for line in text.splitlines():
        heading = _TABLE.match(line)
        if heading is not None:
            table = heading.group("name")
        entry = _ENTRY.match(line)
        if entry is None:
            lines.append(line)
            continue
        key = entry.group("key")
        single = fitted.get(table) if key in {"value", "fitted"} else None
        cell = fitted.get(f"{table.removesuffix('.values')}.{key}") if table.endswith(".values") else None
        if single is not None and key == "fitted":
            continue
        if single is not None:
            lines += [f"value = {number(single.value)}", f'fitted = "{describe(single)}"']
            found.add(table)
        elif cell is not None:
            lines.append(f"{key} = {number(cell.value)} # {describe(cell)}")
            found.add(f"{table.removesuffix('.values')}.{key}")
        else:
            lines.append(line)
    missing = sorted(set(fitted) - found)
    if missing:
        raise JobError(where="constants", key=missing[0], value=None, allowed="a constant that the file holds")
    return "\n".join(lines) + "\n"


def number(value: float) -> str:
    """Return a constant with four significant digits, as TOML writes it."""
    short = f"{value:.4g}"
    return short if "e" not in short or "." in short else short.replace("e", ".0e")


def describe(fitted: Fitted) -> str:
    """Return how surely a constant is known, and from how many rows of which sources."""
    return f"+/- {100 * fitted.sigma:.0f} %; {fitted.rows or 'no row bears on it'}"
