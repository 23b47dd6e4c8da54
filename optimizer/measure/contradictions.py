"""Runs that contradict each other, or the calibration that was made of them: how unsure that leaves it, and the words.

An interval that its own measurements lie outside of is no interval: it is widened to cover them, as far as they can be
believed at all, and what does not belong is named wherever the calibration is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optimizer.physics.throughput import Z90

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.physics.runs import Floats

    from .run_rows import Row

SAME_RECIPE = 1.5
"""Runs of one recipe on one machine that differ by more than this factor contradict each other: 3.6 deviations."""
FAR = 3.0
"""Deviations beyond which a run does not belong to the others. A single run has to lie in its own 80 % interval."""
COVERED = 0.8
"""Share of a card's own runs that its 80 % interval has to cover."""
MOST_NAMED = 4
"""Runs that a sentence names; the others are counted."""


def covering_sigma(rows: Sequence[Row], off: Floats, sigma: float) -> float:
    """Return the deviation of log speed that is left: `sigma`, or as much as covers the runs of the card.

    `off` is ln(measured / calibrated) of each run, shape (n,). Four runs in five are covered, and all runs of a
    recipe that contradict each other: nobody knows which of them is right.
    """
    distances = np.sort(np.abs(off))
    most = float(distances[max(1, round(COVERED * len(off))) - 1])
    for group in _contradicting(rows):
        most = max(most, float(np.max(np.abs(off[group]))))
    # A hair more than to the very edge, for what stands in a file is rounded.
    return max(sigma, 1.001 * most / Z90)


def warnings_of(rows: Sequence[Row], off: Floats, sigma: float) -> tuple[str, ...]:
    """Return what is wrong among the runs of one stack and card, one sentence each; arguments as before."""
    said = []
    disputed: set[int] = set()
    card = f"{rows[0].stack} on {rows[0].machine.gpu.id}"
    for group in _contradicting(rows):
        disputed.update(group)
        speeds = [_speed(rows[at]) for at in group]
        said.append(
            f"Runs of the same recipe ({card}) differ by a factor of {max(speeds) / min(speeds):.3g}: "
            f"{_named([rows[at] for at in group])}. The interval covers them all; leave out what was measured wrongly."
        )
    limit = (Z90 if len(rows) == 1 else FAR) * sigma
    strange = set(np.flatnonzero(np.abs(off) > limit).tolist()) - disputed
    said += [
        f"A run does not belong to the others ({card}): {_named([rows[at]])}, which is {np.exp(off[at]):.3g} times "
        "what the calibration says of it. Measure it again, or leave it out."
        for at in sorted(strange, key=lambda at: rows[at].where)
    ]
    return tuple(said)


def figure(value: float) -> str:
    """Return a figure as a sentence holds it: "12,330", "0.25"."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _contradicting(rows: Sequence[Row]) -> list[list[int]]:
    """Return the places of runs of one recipe, model and machine that differ too far, a list for each recipe."""
    groups: dict[object, list[int]] = {}
    for at, row in enumerate(rows):
        run = row.run
        groups.setdefault((run.model, run.recipe, row.machine), []).append(at)
    found = []
    for group in groups.values():
        speeds = [_speed(rows[at]) for at in group]
        if max(speeds) > SAME_RECIPE * min(speeds):
            found.append(sorted(group, key=lambda at: (_speed(rows[at]), rows[at].where)))
    return sorted(found, key=lambda group: rows[group[0]].where)


def _speed(row: Row) -> float:
    return row.run.readings.tokens_per_s or 0.0


def _named(rows: Sequence[Row]) -> str:
    """Return the runs by where they were read, each with its speed; of many the first ones and the last."""
    words = [f"{row.where} ({figure(_speed(row))} tokens/s)" for row in rows]
    if len(words) > MOST_NAMED:
        words = [*words[: MOST_NAMED - 1], f"{len(words) - MOST_NAMED} more", words[-1]]
    return ", ".join(words)
