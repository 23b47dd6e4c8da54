"""Dominance as columns: of each group, the rows that no other row of the group beats or equals in everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.physics.runs import Floats, Ints


def undominated(group: Ints, columns: Sequence[Floats], *, tie: Floats | None = None) -> Ints:
    """Return the rows (positions, ascending) of the Pareto set of every group; less is better in every column.

    `group` has shape (n,) and ascends; the columns have shape (n,) and hold no NaN. Of rows that are equal in every
    column the one with the smallest `tie` stays, of those the first. Each round takes the lexicographically smallest
    row of every group, which nothing can dominate, and drops what it dominates: as many rounds as the largest Pareto
    set has rows, usually one to four.
    """
    alive = np.arange(group.shape[0])
    kept: list[Ints] = []
    while alive.size:
        values = [column[alive] for column in columns]
        starts, sizes = _runs(group[alive])
        first = _lexicographic_first(values if tie is None else [*values, tie[alive]], starts, sizes)
        kept.append(alive[first])
        dominated = np.ones(alive.size, dtype=np.bool_)
        for column in values:
            dominated &= column >= np.repeat(column[first], sizes)
        alive = alive[~dominated]
    return np.sort(np.concatenate(kept)) if kept else alive


def _runs(group: Ints) -> tuple[Ints, Ints]:
    starts = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]]))
    return starts, np.diff(np.concatenate([starts, [group.shape[0]]]))


def _lexicographic_first(columns: Sequence[Floats], starts: Ints, sizes: Ints) -> Ints:
    count = columns[0].shape[0]
    best = np.ones(count, dtype=np.bool_)
    for column in columns:
        values = np.where(best, column, np.inf)
        best &= values == np.repeat(np.minimum.reduceat(values, starts), sizes)
    position = np.where(best, np.arange(count), count)
    return np.minimum.reduceat(position, starts)
