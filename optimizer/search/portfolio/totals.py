"""What placed jobs cost together: intervals joined, teams added up."""

from __future__ import annotations

from collections import defaultdict
from math import hypot
from typing import TYPE_CHECKING

from .results import Money, TeamTotal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .request import Limits, Request
    from .results import PlacedJob


def total_of(placed: Iterable[PlacedJob]) -> Money:
    """Return the cost of jobs together in micro-dollars.

    What is not known of a GPU model's speed is wrong for all jobs on it alike, so there the distances of low and high
    from the expected cost add up; across models they are independent and add in quadrature.
    """
    expected = 0
    below: defaultdict[str, int] = defaultdict(int)
    above: defaultdict[str, int] = defaultdict(int)
    for job in placed:
        for one in job.choices:
            quote = one.quote
            expected += quote.expected_usd_micro * one.runs
            below[one.gpu.id] += (quote.expected_usd_micro - quote.low_usd_micro) * one.runs
            above[one.gpu.id] += (quote.high_usd_micro - quote.expected_usd_micro) * one.runs
    return Money(
        low_usd_micro=max(0, expected - round(hypot(*below.values()))),
        expected_usd_micro=expected,
        high_usd_micro=expected + round(hypot(*above.values())),
    )


def team_totals(requests: Sequence[Request], placed: Sequence[PlacedJob], limits: Limits) -> tuple[TeamTotal, ...]:
    """Return all jobs together, then every team that has jobs or a budget, by name."""
    budgets = dict(limits.budgets())
    named = {request.team or "" for request in requests} | {team for team in budgets if team is not None}
    teams: list[str | None] = [None]
    if named != {""}:
        teams += sorted(named)
    found = []
    for team in teams:
        mine = [one for one in placed if team is None or (one.team or "") == team]
        found.append(
            TeamTotal(
                team=team,
                jobs=sum(1 for request in requests if team is None or (request.team or "") == team),
                placed=len(mine),
                cost=total_of(mine),
                budget_usd_micro=budgets.get(team),
                charged_usd_micro=sum(one.cost.high_usd_micro for one in mine),
            )
        )
    return tuple(found)
