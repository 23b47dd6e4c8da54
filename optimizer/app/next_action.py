"""The use case `next`: the next action under a plan's spot policy, for any launcher that asks."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from optimizer.report.spot_answers import NextAnswer
from optimizer.search.spot.next_step import RunState, next_step
from optimizer.search.spot.problem import Mode
from providers.errors import JobError
from providers.units import format_moment

from .clock import moment_in_force
from .plan_reading import read_planned_policy
from .settings import load_settings
from .spans import COMMAND_LINE, span_s

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from .plan_reading import PlannedPolicy

MODES: dict[str, Mode] = {"idle": Mode.IDLE, "spot": Mode.SPOT, "on_demand": Mode.ON_DEMAND}
MOST_STARTS = 1_000_000


def next_action(
    plan: Path | str,
    *,
    done: str,
    mode: str,
    spot_up: bool,
    age: str,
    elapsed: str | None = None,
    starting: str | None = None,
    starts: int | None = None,
    work: str | None = None,
    now: datetime | str | None = None,
) -> NextAnswer:
    """Return the next action. Time is counted from the plan's `made_at`: `elapsed`, or until `now` (the clock).

    `work` is the machine time of the whole run as it turned out, instead of what the plan expected.

    Spans are texts such as "5h" or "0s"; `done` is a fraction ("0.3") or a share ("30%"). Raises JobError for a value
    that is none, and for a plan without a spot policy.
    """
    mode = mode.replace("-", "_")
    if mode not in MODES:
        raise JobError(where=COMMAND_LINE, key="mode", value=mode, allowed=f"one of {', '.join(MODES)}")
    if starts is not None and not 0 <= starts <= MOST_STARTS:
        raise JobError(where=COMMAND_LINE, key="starts", value=starts, allowed=f"0 to {MOST_STARTS}")
    planned = read_planned_policy(plan)
    problem = planned.problem if work is None else replace(planned.problem, work_s=_work_s(work))
    elapsed_s = _elapsed_s(planned, elapsed, now)
    state = RunState(
        left_s=planned.problem.deadline_s - elapsed_s,
        done_fraction=_fraction(done),
        mode=MODES[mode],
        spot_up=spot_up,
        age_s=span_s(age, key="age"),
        starting_s=0.0 if starting is None else span_s(starting, key="starting"),
        starts=starts,
    )
    if state.starting_s > planned.problem.restart_s:
        raise JobError(
            where=COMMAND_LINE,
            key="starting",
            value=starting,
            allowed=f"at most the {planned.problem.restart_s:.0f}s that a start takes in this plan",
        )
    return NextAnswer(
        plan=planned.path,
        state=state,
        step=next_step(problem, planned.table, state),
        elapsed_s=elapsed_s,
        nodes=planned.nodes,
        spot=planned.spot,
        on_demand=planned.on_demand,
    )


def _elapsed_s(planned: PlannedPolicy, elapsed: str | None, now: datetime | str | None) -> float:
    if elapsed is not None and now is not None:
        raise JobError(where=COMMAND_LINE, key="now", value=now, allowed="not beside --elapsed: one of them says when")
    if elapsed is not None:
        return span_s(elapsed, key="elapsed")
    moment = moment_in_force(now, load_settings().now)
    passed = (moment - planned.made_at).total_seconds()
    if passed < 0.0:
        allowed = f"a moment from the plan's made_at on ({format_moment(planned.made_at)}), or --elapsed"
        raise JobError(where=COMMAND_LINE, key="now", value=format_moment(moment), allowed=allowed)
    return passed


def _work_s(text: str) -> float:
    seconds = span_s(text, key="work")
    if seconds == 0.0:
        raise JobError(where=COMMAND_LINE, key="work", value=text, allowed="a span above zero, such as 48h")
    return seconds


def _fraction(text: str) -> float:
    """Return the share of the work that is done from "0.3" or "30%"."""
    percent = text.endswith("%")
    try:
        value = float(text.removesuffix("%").strip()) / (100.0 if percent else 1.0)
    except ValueError:
        value = math.nan
    if not 0.0 <= value <= 1.0:
        raise JobError(where=COMMAND_LINE, key="done", value=text, allowed='a fraction from 0 to 1, or "30%"')
    return value
