"""From requests to an instance: alike jobs become one with several units, columns are laid flat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .instance import Instance
from .request import quota_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .job_columns import JobColumns, Patterns
    from .request import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Requests (positions, ascending) that are alike in everything but their names, and their columns."""

    members: tuple[int, ...]
    columns: JobColumns


def likeness(request: Request) -> tuple[object, ...]:
    """Return what decides the columns of a request."""
    return (id(request.content), request.deadline_at, request.budget_usd, request.slots)


def groups_of(requests: Sequence[Request], columns: Sequence[JobColumns]) -> tuple[Group, ...]:
    """Return the requests in groups, in the order of their first members; each sweep is a group of its own."""
    found: dict[tuple[object, ...], list[int]] = {}
    for at, request in enumerate(requests):
        alone = at if request.content.job.runs > 1 else None
        key = (*likeness(request), id(columns[at]), request.priority, request.team, alone)
        found.setdefault(key, []).append(at)
    return tuple(Group(members=tuple(members), columns=columns[members[0]]) for members in found.values())


def instance_of(requests: Sequence[Request], groups: Sequence[Group], patterns: Patterns) -> Instance:
    """Return the instance whose jobs are the groups."""
    limits = patterns.limits
    first = [requests[group.members[0]] for group in groups]
    runs = [request.content.job.runs for request in first]
    priorities = sorted({request.priority for request in requests})
    budgets = limits.budgets()
    sizes = [group.columns.count for group in groups]
    charged = [[team is None or request.team == team for request in first] for team, _ in budgets]
    return Instance(
        start=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        cost_micro=np.concatenate([group.columns.cost_micro for group in groups]),
        high_micro=np.concatenate([group.columns.high_micro for group in groups]),
        gpus=np.concatenate([group.columns.gpus for group in groups]),
        pattern=np.concatenate([group.columns.pattern for group in groups]),
        patterns=patterns.matrix(),
        capacity=np.array([row.quota.gpus for row in limits.quotas], dtype=np.int64),
        budgets=np.array([micro for _, micro in budgets], dtype=np.float64),
        charged=np.array(charged, dtype=np.bool_).reshape(len(budgets), len(groups)),
        units=np.array([len(group.members) * run for group, run in zip(groups, runs, strict=True)], dtype=np.int64),
        lump=np.array(runs, dtype=np.int64),
        most_gpus=np.array([float(one.content.job.max_gpus) if one.content.job.runs > 1 else np.inf for one in first]),
        own_budget=np.array(
            [
                float(int(one.budget_usd * 1_000_000)) if one.budget_usd is not None and run > 1 else np.inf
                for one, run in zip(first, runs, strict=True)
            ]
        ),
        rank=np.array([priorities.index(request.priority) for request in first], dtype=np.int64),
    )


def row_name(requests: Sequence[Request], groups: Sequence[Group], patterns: Patterns, kind: str, at: int) -> str:
    """Return a row of the instance in words, for an error."""
    if kind == "job":
        return f"job {requests[groups[at].members[0]].name!r}"
    if kind == "quota":
        row = patterns.limits.quotas[at]
        slot = patterns.limits.slots[row.slot].name
        return f"quota {quota_name(row.quota)}" + (f" in slot {slot}" if slot else "")
    team, _ = patterns.limits.budgets()[at]
    return "the total budget" if team is None else f"the budget of team {team}"
