"""The next action under a policy, with its reason: what a launcher is told that asks at a look at the market."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from .problem import WASTE_ALLOWED, Mode

if TYPE_CHECKING:
    from .policy_table import PolicyTable
    from .problem import SpotProblem


class Action(StrEnum):
    """What should run until the next look."""

    SPOT = "spot"
    ON_DEMAND = "on_demand"
    WAIT = "wait"
    DONE = "done"


class Reason(StrEnum):
    """Why."""

    DONE = "done"
    LATE = "late"
    NET = "net"
    WASTE = "waste"
    HOLD = "hold"
    TABLE = "table"


JUST_ABOVE_S = 1e-3
ACTIONS: dict[Mode, Action] = {Mode.IDLE: Action.WAIT, Mode.SPOT: Action.SPOT, Mode.ON_DEMAND: Action.ON_DEMAND}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """Where a run stands. Times in seconds."""

    left_s: float
    """Until the deadline of the policy; negative after it."""
    done_fraction: float
    """Share of the work that is done and kept, 0 to 1."""
    mode: Mode
    spot_up: bool
    """Whether a spot machine can be had, or the one that runs is still there."""
    age_s: float
    """For how long `spot_up` has been as it is."""
    starting_s: float = 0.0
    """What is left of the start of the machine that runs."""
    starts: int | None = None
    """Machines started so far; None: not counted, the allowance for waste is not looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """The slack (seconds) at which another action follows, and which."""

    slack_s: float
    action: Action


@dataclass(frozen=True, slots=True, kw_only=True)
class NextStep:
    """The action, and what it rests on. Times in seconds."""

    action: Action
    reason: Reason
    left_s: float
    need_s: float
    """Machine time still needed, the rest of a start included."""
    slack_s: float
    net_s: float
    """Slack at which the safety net catches the run as it stands."""
    below: Threshold | None
    """The action for less slack, as it falls; None where there is none, or where the action is not the table's."""
    above: Threshold | None
    """The action for more slack."""
    most_starts: int | None
    """Starts after which no spot machine is started any more; None where starts are free."""
    ask_again_s: float | None
    """When to ask again; None when nothing is left to ask."""


def next_step(problem: SpotProblem, table: PolicyTable, state: RunState) -> NextStep:
    """Return what should run now. The same look-up as `replay` makes, and the allowance for waste on top of it."""
    work_s = problem.work_s * (1.0 - state.done_fraction)
    held = state.mode is Mode.SPOT and state.spot_up
    # The start of a machine that is gone need not be ended any more.
    starting_s = state.starting_s if held or state.mode is Mode.ON_DEMAND else 0.0
    need_s = work_s + starting_s if work_s > 0.0 else 0.0
    slack_s = state.left_s - need_s
    net_s = table.net_spot_s if held else table.net_idle_s
    action = ACTIONS[_look_up(table, state, need_s)]
    most = most_starts(problem)
    if action is Action.WAIT and work_s <= 0.0:
        action, reason = Action.DONE, Reason.DONE
    elif slack_s < 0.0:
        reason = Reason.LATE
    elif slack_s <= net_s:
        reason = Reason.NET
    elif held:
        reason = Reason.HOLD
    elif state.starts is not None and most is not None and state.starts >= most:
        action, reason = Action.ON_DEMAND, Reason.WASTE
    else:
        reason = Reason.TABLE
    below, above = _thresholds(table, state, slack_s, action) if reason is Reason.TABLE else (None, None)
    return NextStep(
        action=action,
        reason=reason,
        left_s=state.left_s,
        need_s=need_s,
        slack_s=slack_s,
        net_s=net_s,
        below=below,
        above=above,
        most_starts=most,
        ask_again_s=None if action is Action.DONE else max(problem.poll_s, 1.0),
    )


def most_starts(problem: SpotProblem) -> int | None:
    """Return how many spot machines may be started before what they waste reaches the allowance; None for no limit.

    Every start counts as the dearer of two: a spot machine's, with the work that its interruption destroys, and an
    on-demand machine's, because a policy that goes back and forth pays for both. The start of the on-demand machine
    that follows is kept back. At least 1: the first start is no waste.
    """
    paid = problem.restart_s * problem.on_demand_micro_per_s
    each = max((problem.restart_s + problem.loss_s) * problem.spot_micro_per_s, paid)
    if each <= 0.0:
        return None
    allowed = WASTE_ALLOWED * problem.work_s * problem.on_demand_micro_per_s
    return max(int((allowed - paid) / each), 1)


def _look_up(table: PolicyTable, state: RunState, need_s: float) -> Mode:
    found = table.act(
        left_s=state.left_s,
        need_s=np.array([need_s]),
        mode=np.array([int(state.mode)]),
        up=np.array([state.spot_up]),
        age_s=np.array([state.age_s]),
    )
    action = Mode(int(found[0]))
    # A spot machine that cannot be had cannot be started.
    return Mode.IDLE if action is Mode.SPOT and not state.spot_up else action


def _thresholds(
    table: PolicyTable, state: RunState, slack_s: float, action: Action
) -> tuple[Threshold | None, Threshold | None]:
    """Return where the action changes at this time left, this age: for less slack, and for more."""
    slacks = np.arange(table.actions.shape[3]) * table.slack_step_s
    # The net's own slack, what lies just above it, and where each further step of the table begins.
    above_net = [table.net_idle_s, table.net_idle_s + JUST_ABOVE_S]
    slacks = np.concatenate([above_net, slacks[slacks > table.net_idle_s + JUST_ABOVE_S]])
    count = slacks.shape[0]
    found = table.act(
        left_s=state.left_s,
        need_s=np.maximum(state.left_s - slacks, 1e-6),
        mode=np.full(count, int(state.mode)),
        up=np.full(count, state.spot_up),
        age_s=np.full(count, state.age_s),
    )
    words = [ACTIONS[Mode(int(one))] for one in found]
    here = min(int(np.searchsorted(slacks, slack_s + 1e-6, side="right")) - 1, count - 1)
    below = next((at for at in range(here, -1, -1) if words[at] is not action), None)
    above = next((at for at in range(here + 1, count) if words[at] is not action), None)
    return (
        # The first of the slacks is the net's own; the others begin a step of the table.
        None
        if below is None
        else Threshold(slack_s=float(slacks[min(below + 1, here) if below else 0]), action=words[below]),
        None if above is None else Threshold(slack_s=float(slacks[above]), action=words[above]),
    )
