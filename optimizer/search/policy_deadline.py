"""The price of the deadline where a policy keeps it: differences of the dynamic program's cost on the same machine."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .deadline_price import HOUR_S, DeadlinePrice
from .spot.dynamic_program import solve_policy
from .spot_policies import machines_micro

if TYPE_CHECKING:
    from .results import Candidate


def policy_deadline_price(choice: Candidate) -> DeadlinePrice | None:
    """Return what one more hour saves and one less costs under the policy of a choice; None where it has none.

    The cost falls smoothly with the deadline, so there is no next step to name.
    """
    answer = choice.spot
    if answer is None or answer.problem is None:
        return None
    problem = answer.problem
    # All three from one grid: differences of a few cents would drown in the error of two.
    longer = solve_policy(replace(problem, deadline_s=problem.deadline_s + HOUR_S))
    now = longer.expected_micro(deadline_s=problem.deadline_s)
    sooner = longer.expected_micro(deadline_s=problem.deadline_s - HOUR_S)
    # As sure as asked for: a deadline that only the median makes is none.
    possible = problem.deadline_s - HOUR_S >= (answer.needed_s or choice.finish_s_at_confidence)
    return DeadlinePrice(
        cost_usd_micro=choice.quote.expected_usd_micro,
        saved_by_one_hour_more_usd_micro=max(round(now - machines_micro(longer)), 0),
        cost_of_one_hour_less_usd_micro=max(round(sooner - now), 0) if possible else None,
        next_saving_at=None,
        next_saving_after_s=None,
        next_saving_usd_micro=None,
        next_cost_usd_micro=None,
    )
