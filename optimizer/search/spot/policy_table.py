"""A spot policy as a table: what to do by time left, slack, state and age, with a safety net that overrules it.

Any launcher can follow it: it holds no history, and one look-up says what should run until the next look.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .availability import AGE_FROM_H, age_bucket
from .problem import Mode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.physics.runs import Bools, Floats, Ints

CONTEXTS = ("idle_up", "idle_down", "on_demand_up", "on_demand_down")
"""What runs, and whether spot can be had. On a spot machine there is one rule: stay, until the net says otherwise."""
ROWS = 32
"""Times left that a table has rows for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTable:
    """The actions of a policy. Times in seconds; the net comes first, then the table."""

    time_left_s: Floats
    """Shape (rows,), descending; between two rows the nearer one holds."""
    slack_step_s: float
    actions: NDArray[np.int8]
    """Codes of `Mode`, shape (contexts, rows, ages, slacks); a slack belongs to the step that it has reached."""
    restart_s: float
    net_idle_s: float
    net_spot_s: float
    deadline_s: float
    work_s: float

    def act(self, *, left_s: Floats | float, need_s: Floats, mode: Ints, up: Bools, age_s: Floats) -> Ints:
        """Return what should run now (`Mode`), shape (n,).

        `left_s` is the time until the deadline, `need_s` the machine time still needed (of a machine that is starting
        the rest of its start too), `mode` what runs, `up` whether spot can be had, `age_s` for how long it has been so.
        """
        slack_s = left_s - need_s
        row = self._row(np.broadcast_to(np.asarray(left_s, dtype=np.float64), slack_s.shape))
        column = np.clip(slack_s / self.slack_step_s + 1e-9, 0, self.actions.shape[3] - 1).astype(np.int64)
        context = np.where(mode == Mode.ON_DEMAND, 2, 0) + np.where(up, 0, 1)
        action = self.actions[context, row, age_bucket(age_s), column].astype(np.int64)
        action = np.where((mode == Mode.SPOT) & up, int(Mode.SPOT), action)
        caught = slack_s <= np.where((mode == Mode.SPOT) & up, self.net_spot_s, self.net_idle_s)
        action = np.where(caught, int(Mode.ON_DEMAND), action)
        done: Ints = np.where(need_s <= 0.0, int(Mode.IDLE), action)
        return done

    def least_slack_s(self, context: int, *, left_s: float, age_s: float) -> float | None:
        """Return the slack from which on something else than on-demand is done, the net observed; None for never."""
        row = int(self._row(np.array([left_s]))[0])
        actions = self.actions[context, row, int(age_bucket(np.array([age_s]))[0])]
        other = np.flatnonzero(actions != Mode.ON_DEMAND)
        if other.size == 0:
            return None
        # What lies between the last on-demand cell and the end is one block; below it the answer may alternate.
        last = np.flatnonzero(actions == Mode.ON_DEMAND)
        first = int(last[-1]) + 1 if last.size and last[-1] < other[-1] else int(other[0])
        return max(first * self.slack_step_s, self.net_idle_s)

    def _row(self, left_s: Floats) -> Ints:
        ascending = self.time_left_s[::-1]
        if ascending.shape[0] == 1:
            return np.zeros(left_s.shape, dtype=np.int64)
        middles = (ascending[1:] + ascending[:-1]) / 2.0
        rows: Ints = ascending.shape[0] - 1 - np.searchsorted(middles, left_s, side="right")
        return rows


AGES = len(AGE_FROM_H)
