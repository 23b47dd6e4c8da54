"""A spot policy as a plain document, `tunefare.policy/v1`: what a plan file holds, and what a launcher can read.

Whole numbers and texts only. One row for each time left; in a row one text for each context (`CONTEXTS`), in it one
part for each bucket of ages, parts separated by "|". A part says what to do by slack: `o 5400 s 9000 w` is on-demand
below 5,400 s of slack, spot from there to 9,000 s, above that wait. "=" repeats the part before. The net comes first:
at `net_spot_s` of slack or less a spot machine is left for on-demand, at `net_idle_s` or less nothing else is started.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from providers.basis import Basis
from providers.errors import JobError

from .availability import AGE_FROM_H, HOUR_S, AvailabilityModel
from .policy_fields import Fields
from .policy_table import CONTEXTS, PolicyTable
from .problem import Mode, SpotProblem

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCHEMA = "tunefare.policy/v1"
LONGEST_S = 400_000_000
"""Seconds that a document may name: twelve years, far above any job."""
LARGEST_PRICE = 10**15
"""Micro-dollars per hour that a document may name."""
LARGEST_RATE_PPM = 10**12
MOST_ROWS = 512
MOST_SLACK_STEPS = 4096
_AGE_FROM_S = [round(age * HOUR_S) for age in AGE_FROM_H]
_LETTERS = {Mode.IDLE: "w", Mode.SPOT: "s", Mode.ON_DEMAND: "o"}
_CODES = {letter: int(mode) for mode, letter in _LETTERS.items()}
_KEYS = (
    *("schema", "work_s", "deadline_s", "restart_s", "loss_s", "poll_s", "net_idle_s", "net_spot_s"),
    *("spot_usd_micro_per_h", "on_demand_usd_micro_per_h", "availability", "age_from_s"),
    *("slack_step_s", "slack_steps", "rows"),
)


def policy_document(problem: SpotProblem, table: PolicyTable) -> dict[str, object]:
    """Return problem and policy as a document of whole numbers and texts; `read_policy` gives identical actions back.

    Times in seconds, prices in micro-dollars per hour of everything that is rented at once, rates in events per million
    hours.
    """
    whole = problem.in_whole_seconds()
    model = problem.availability
    return {
        "schema": SCHEMA,
        "work_s": int(whole.work_s),
        "deadline_s": int(whole.deadline_s),
        "restart_s": int(whole.restart_s),
        "loss_s": int(whole.loss_s),
        "poll_s": int(whole.poll_s),
        "net_idle_s": int(table.net_idle_s),
        "net_spot_s": int(table.net_spot_s),
        "spot_usd_micro_per_h": round(problem.spot_micro_per_s * HOUR_S),
        "on_demand_usd_micro_per_h": max(round(problem.on_demand_micro_per_s * HOUR_S), 1),
        "availability": {
            "name": model.name,
            "basis": model.basis.value,
            "loss_ppm_per_h": [round(float(rate) * 1e6) for rate in model.loss_per_hour],
            "return_ppm_per_h": [round(float(rate) * 1e6) for rate in model.return_per_hour],
        },
        "age_from_s": list(_AGE_FROM_S),
        "slack_step_s": int(table.slack_step_s),
        "slack_steps": table.actions.shape[3],
        "rows": [
            {
                "time_left_s": int(left),
                **{
                    context: _context_text(table.actions[at, row], int(table.slack_step_s))
                    for at, context in enumerate(CONTEXTS)
                },
            }
            for row, left in enumerate(table.time_left_s)
        ],
    }


def read_policy(document: object, *, where: str) -> tuple[SpotProblem, PolicyTable]:
    """Return the problem and the policy of a document. Raises JobError naming `where` and the key that is wrong."""
    fields = Fields(document, where=where, place="policy").only(*_KEYS)
    if fields.get("schema") != SCHEMA:
        fields.refuse("schema", SCHEMA)
    problem = _problem(fields)
    for key, expected in (("net_idle_s", problem.net_idle_s), ("net_spot_s", problem.net_spot_s)):
        if fields.whole(key, high=LONGEST_S) != expected:
            fields.refuse(key, f"{expected:.0f}, which restart_s, loss_s and poll_s make")
    if fields.get("age_from_s") != _AGE_FROM_S:
        fields.refuse("age_from_s", f"the ages {', '.join(map(str, _AGE_FROM_S))}")
    step_s = fields.whole("slack_step_s", low=1, high=LONGEST_S)
    steps = fields.whole("slack_steps", low=1, high=MOST_SLACK_STEPS)
    rows = list(fields.objects("rows", most=MOST_ROWS))
    time_left_s = [row.whole("time_left_s", high=LONGEST_S) for row in rows]
    if not rows or any(later >= sooner for sooner, later in pairwise(time_left_s)):
        fields.refuse("rows", "at least one row, time_left_s descending")
    actions = np.empty((len(CONTEXTS), len(rows), len(AGE_FROM_H), steps), dtype=np.int8)
    for at, row in enumerate(rows):
        row.only("time_left_s", *CONTEXTS)
        for context, key in enumerate(CONTEXTS):
            actions[context, at] = _context_actions(row, key, step_s=step_s, steps=steps)
    table = PolicyTable(
        time_left_s=np.array(time_left_s, dtype=np.float64),
        slack_step_s=float(step_s),
        actions=actions,
        restart_s=problem.restart_s,
        net_idle_s=problem.net_idle_s,
        net_spot_s=problem.net_spot_s,
        deadline_s=problem.deadline_s,
        work_s=problem.work_s,
    )
    return problem, table


def _problem(fields: Fields) -> SpotProblem:
    return SpotProblem(
        work_s=float(fields.whole("work_s", high=LONGEST_S)),
        deadline_s=float(fields.whole("deadline_s", high=LONGEST_S)),
        restart_s=float(fields.whole("restart_s", high=LONGEST_S)),
        loss_s=float(fields.whole("loss_s", high=LONGEST_S)),
        spot_micro_per_s=fields.whole("spot_usd_micro_per_h", high=LARGEST_PRICE) / HOUR_S,
        on_demand_micro_per_s=fields.whole("on_demand_usd_micro_per_h", low=1, high=LARGEST_PRICE) / HOUR_S,
        availability=_model(fields.inner("availability")),
        poll_s=float(fields.whole("poll_s", high=LONGEST_S)),
    )


def _model(fields: Fields) -> AvailabilityModel:
    fields.only("name", "basis", "loss_ppm_per_h", "return_ppm_per_h")
    basis = fields.get("basis")
    if basis not in tuple(Basis):
        fields.refuse("basis", f"one of {', '.join(Basis)}")
    ages = len(AGE_FROM_H)
    return AvailabilityModel(
        loss_per_hour=np.array(fields.wholes("loss_ppm_per_h", count=ages, high=LARGEST_RATE_PPM)) / 1e6,
        return_per_hour=np.array(fields.wholes("return_ppm_per_h", count=ages, high=LARGEST_RATE_PPM)) / 1e6,
        name=fields.text("name"),
        basis=Basis(str(basis)),
    )


def _context_text(actions: NDArray[np.int8], step_s: int) -> str:
    """Return the actions of one context and row, shape (ages, slacks), as text."""
    parts = [_part_text(one, step_s) for one in actions]
    return " | ".join("=" if at and part == parts[at - 1] else part for at, part in enumerate(parts))


def _part_text(actions: NDArray[np.int8], step_s: int) -> str:
    starts = np.flatnonzero(np.diff(actions)) + 1
    words = [_LETTERS[Mode(int(actions[0]))]]
    for start in starts:
        words += [str(int(start) * step_s), _LETTERS[Mode(int(actions[start]))]]
    return " ".join(words)


def _context_actions(row: Fields, key: str, *, step_s: int, steps: int) -> NDArray[np.int8]:
    """Return the actions of a context's text, shape (ages, slacks). Raises JobError for a text that is no policy."""
    parts = [part.strip() for part in row.text(key, longest=200_000).split("|")]
    if len(parts) != len(AGE_FROM_H):
        row.refuse(key, f"{len(AGE_FROM_H)} parts separated by |, one for each age")
    actions = np.empty((len(parts), steps), dtype=np.int8)
    for age, part in enumerate(parts):
        if part == "=" and age:
            actions[age] = actions[age - 1]
            continue
        try:
            actions[age] = _part_actions(part, step_s=step_s, steps=steps)
        except ValueError as err:
            raise JobError(where=row.where, key=f"{row.at(key)}, part {age}", value=part, allowed=str(err)) from err
    return actions


def _part_actions(part: str, *, step_s: int, steps: int) -> NDArray[np.int8]:
    words = part.split()
    letters, bounds = words[::2], words[1::2]
    grammar = f"o, s or w, then slack in seconds and the next of them, such as o {step_s} s"
    if len(letters) != len(bounds) + 1 or any(one not in _CODES for one in letters):
        raise ValueError(grammar)
    if not all(one.isascii() and one.isdigit() and len(one) <= 12 for one in bounds):
        raise ValueError(grammar)
    edges = [0, *(int(one) for one in bounds), steps * step_s]
    if any(edge % step_s for edge in edges) or any(a >= b for a, b in pairwise(edges)):
        raise ValueError(f"ascending multiples of slack_step_s = {step_s}, below {steps * step_s}")
    widths = np.diff(np.array(edges) // step_s)
    return np.repeat(np.array([_CODES[one] for one in letters], dtype=np.int8), widths)
