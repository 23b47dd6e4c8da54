"""Why a job is not placed, in a sentence with numbers, and what would place it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from optimizer.search.near_misses import near_misses
from optimizer.search.wording import counted, dollars_of, span
from providers.money import format_usd

from .instance import NO_LIMIT, budget_of, least_room, usable
from .job_columns import DEADLINE, job_of, starting
from .placement import Load
from .request import quota_name
from .results import Reason
from .solving import solve_portfolio

if TYPE_CHECKING:
    from datetime import datetime

    from optimizer.physics.runs import Ints

    from .instance import Instance
    from .placement import Placement
    from .request import Limits, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Why a job is not placed."""

    reason: Reason
    limit: str
    sentence: str


def own_limits(request: Request, limits: Limits, *, now: datetime) -> Told:
    """Return which of its own limits keep a job from every machine, and the nearest way out, as `plan` tells it.

    With start slots it is judged as if it started in its first one: a later one leaves it less time.
    """
    job = job_of(request)
    first = min((limits.slots[at] for at in request.slots), key=lambda slot: slot.start_s, default=limits.slots[0])
    counted_from = ""
    if job.deadline_at is not None and first.start_s > 0.0:
        in_time_s = (job.deadline_at - now).total_seconds()
        if first.start_s >= in_time_s:
            sentence = (
                f"Its first start, slot {first.name}, is {span(first.start_s)} from now, and its deadline "
                f"{span(in_time_s)} from now: give it an earlier slot or a later deadline."
            )
            return Told(reason=Reason.LIMITS, limit=DEADLINE, sentence=sentence)
        job = starting(job, first.start_s)
        counted_from = f"Times counted from its first start, slot {first.name}, {span(first.start_s)} from now: "
    misses = near_misses(job, request.content.snapshot, request.content.tables, now=now)
    for miss in misses:
        limit = " and ".join(miss.broken) or miss.limit
        return Told(reason=Reason.LIMITS, limit=limit, sentence=counted_from + miss.sentence)
    sentence = "No machine keeps the job's own limits, and relaxing one of them would not do."
    return Told(reason=Reason.LIMITS, limit="", sentence=sentence)


class Explainer:
    """Says why jobs of an instance are left out by a plan."""

    def __init__(self, instance: Instance, plan: Placement, limits: Limits) -> None:
        self._instance, self._limits = instance, limits
        self._usable = usable(instance)
        self._load = Load(instance)
        owner = np.searchsorted(instance.start, plan.columns, side="right") - 1
        for job, column, count in zip(owner, plan.columns, plan.counts, strict=True):
            self._load.put(int(job), int(column), int(count))

    def why(self, job: int) -> Told:
        """Return why a job of the instance, which has columns, is left out."""
        one = self._instance
        columns = np.arange(one.start[job], one.start[job + 1])
        alone = columns[self._usable[columns]]
        if alone.size == 0:
            return self._too_small(job, columns)
        if one.lump[job] > 1 and not self._fits_alone(job):
            return self._sweep_too_large(job)
        return self._crowded_out(job, alone)

    def _too_small(self, job: int, columns: Ints) -> Told:
        """Return the quota, or the budget, that no column keeps even were it all for this job."""
        one = self._instance
        room = least_room(one.patterns, one.capacity)[one.pattern[columns]]
        within = columns[one.gpus[columns] <= room]
        if within.size:
            money, name = self._tightest_budget(job, one.budgets)
            least = float(one.high_micro[within].min())
            sentence = (
                f"It may cost at least {dollars_of(least)} (high end), and {name} is {format_usd(int(money))}: "
                "raise it, or give the job more time."
            )
            return Told(reason=Reason.BUDGET, limit=name, sentence=sentence)
        at = int(columns[np.lexsort((columns, one.gpus[columns] - room))[0]])
        row = self._blocking_quota(at, one.capacity)
        needs = int(one.gpus[at])
        has = int(one.capacity[row])
        sentence = (
            f"It needs {counted(needs, 'GPU', 'GPUs')} at once under {self._quota(row)}, which has {has}: "
            f"{needs - has} more would do."
        )
        return Told(reason=Reason.QUOTA, limit=self._quota(row), sentence=sentence)

    def _fits_alone(self, job: int) -> bool:
        alone = self._instance.of_jobs(np.array([job]))
        return not solve_portfolio(alone).plan.left_out[0]

    def _sweep_too_large(self, job: int) -> Told:
        """Return what keeps all runs of a sweep from being placed at once, were everything for this job."""
        alone = self._instance.of_jobs(np.array([job]))
        runs = int(alone.lump[0])
        roomy = replace(alone, capacity=np.full(alone.capacity.shape, np.iinfo(np.int64).max // 2))
        rich = replace(alone, budgets=np.full(alone.budgets.shape, NO_LIMIT))
        for changed, reason, what in ((roomy, Reason.QUOTA, "the quotas"), (rich, Reason.BUDGET, "the shared budgets")):
            if not solve_portfolio(_without_endless(changed)).plan.left_out[0]:
                sentence = f"Its {runs} runs do not fit into {what} at once, were they all for this job: ask for fewer."
                return Told(reason=reason, limit=what.removeprefix("the "), sentence=sentence)
        sentence = (
            f"Its {runs} runs at once do not keep the job's own most GPUs and budget together with quotas and budgets."
        )
        return Told(reason=Reason.LIMITS, limit="runs", sentence=sentence)

    def _crowded_out(self, job: int, columns: Ints) -> Told:
        """Return what the other jobs leave too little of: of the cheapest way of the job that keeps budgets, if any."""
        one, load = self._instance, self._load
        money, name = self._tightest_budget(job, load.money)
        affordable = columns[one.high_micro[columns] <= money]
        if affordable.size == 0:
            least = float(one.high_micro[columns].min())
            sentence = (
                f"It would fit alone; the others leave {format_usd(max(0, int(money)))} of {name}, "
                f"and it may cost at least {dollars_of(least)} (high end)."
            )
            return Told(reason=Reason.CROWDED_OUT, limit=name, sentence=sentence)
        room = least_room(one.patterns, load.room)[one.pattern[affordable]]
        short = one.gpus[affordable] - room
        at = int(affordable[np.lexsort((affordable, short))[0]])
        if short.max() <= 0:  # a sweep: one run more would fit, all of them do not
            sentence = f"It would fit alone; the others leave no room for all of its {int(one.lump[job])} runs."
            return Told(reason=Reason.CROWDED_OUT, limit="runs", sentence=sentence)
        row = self._blocking_quota(at, load.room)
        left = max(0, int(load.room[row]))
        sentence = (
            f"It would fit alone; the others leave {left} of the {int(one.capacity[row])} GPUs of "
            f"{self._quota(row)}, and it needs {int(one.gpus[at])}: {int(one.gpus[at]) - left} more would place it."
        )
        return Told(reason=Reason.CROWDED_OUT, limit=self._quota(row), sentence=sentence)

    def _blocking_quota(self, column: int, room: Ints) -> int:
        """Return the quota row of a column that has the least room."""
        rows = np.flatnonzero(self._instance.patterns[self._instance.pattern[column]])
        return int(rows[np.argmin(room[rows])])

    def _quota(self, row: int) -> str:
        quota = self._limits.quotas[row]
        slot = self._limits.slots[quota.slot].name
        return f"quota {quota_name(quota.quota)}" + (f" in slot {slot}" if slot else "")

    def _tightest_budget(self, job: int, money: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float, str]:
        """Return what the tightest shared budget of a job holds, and its name."""
        one = self._instance
        if not one.charged[:, job].any():
            return NO_LIMIT, "no budget"
        least = float(budget_of(one, money)[job])
        row = int(np.flatnonzero(one.charged[:, job] & (money == least))[0])
        team, _ = self._limits.budgets()[row]
        return least, "the total budget" if team is None else f"the budget of team {team}"


def _without_endless(instance: Instance) -> Instance:
    """Return the instance without budgets that are infinite: the solver takes finite rows only."""
    kept = np.isfinite(instance.budgets)
    return replace(instance, budgets=instance.budgets[kept], charged=instance.charged[kept])
