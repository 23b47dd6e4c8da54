"""Reading and replacing single constants of the memory and time models by name.

A name is the key of the data file: `activations.live_hidden`, `launch_s.hf` (one stack of a column),
`architecture_factor.hopper`, `moe_efficiency`.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from optimizer.physics.axes import Optimizer, Stack
from optimizer.physics.runs import ARCHITECTURES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optimizer.physics.memory_constants import MemoryConstants
    from optimizer.physics.speed_constants import SpeedConstants

Constants = TypeVar("Constants", "MemoryConstants", "SpeedConstants")

_ENTRIES: dict[int, tuple[str, ...]] = {
    len(names): names for names in (tuple(map(str, Stack)), ARCHITECTURES, tuple(map(str, Optimizer)))
}
"""Names of the entries of a column of constants, by its length: stacks, architectures, optimizers."""


def constant(constants: Constants, name: str) -> float:
    """Return the value of one constant. Raises KeyError for a name that there is not."""
    first, _, rest = name.partition(".")
    value = getattr(constants, first, None)
    if isinstance(value, np.ndarray):
        return float(value[_entry(value, rest, name)])
    if is_dataclass(value) and rest in _names(value.__class__):
        return float(getattr(value, rest))
    if isinstance(value, float | int) and not rest:
        return float(value)
    raise KeyError(name)


def with_constants(constants: Constants, values: Mapping[str, float]) -> Constants:
    """Return the constants with the named ones replaced. Raises KeyError for a name that there is not."""
    whole: dict[str, Any] = {}
    within: dict[str, dict[str, float]] = {}
    for name, value in values.items():
        first, _, rest = name.partition(".")
        here = getattr(constants, first, None)
        if isinstance(here, np.ndarray):
            if first not in whole:
                whole[first] = here.copy()
            whole[first][_entry(here, rest, name)] = value
        elif is_dataclass(here) and rest in _names(here.__class__):
            within.setdefault(first, {})[rest] = value
        elif isinstance(here, float | int) and not rest:
            whole[first] = value
        else:
            raise KeyError(name)
    # Each group is made anew once, however many of its constants change: a fit asks for this at every evaluation.
    groups = {first: replace(getattr(constants, first), **changed) for first, changed in within.items()}
    return replace(constants, **whole, **groups)


@cache
def _names(group: type) -> frozenset[str]:
    """Return the names of the constants of a group."""
    return frozenset(one.name for one in fields(group))


def _entry(column: np.ndarray[Any, Any], entry: str, name: str) -> int:
    names = _ENTRIES.get(column.shape[0], ())
    if entry not in names:
        raise KeyError(name)
    return names.index(entry)
