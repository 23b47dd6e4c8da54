"""The policies that a plan's own is compared with: greedy, Uniform Progress, on-demand; n runs in one look-up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from .problem import Mode, SpotProblem

if TYPE_CHECKING:
    from optimizer.physics.runs import Bools, Floats, Ints


class Policy(Protocol):
    """What decides what runs until the next look at the market. Arrays of shape (n,), seconds."""

    def act(self, *, left_s: Floats | float, need_s: Floats, mode: Ints, up: Bools, age_s: Floats) -> Ints:
        """Return what should run now, as codes of `Mode`."""


@dataclass(frozen=True, slots=True)
class OnDemand:
    """On-demand from the start to the end."""

    problem: SpotProblem

    def act(self, *, left_s: Floats | float, need_s: Floats, mode: Ints, up: Bools, age_s: Floats) -> Ints:  # noqa: ARG002
        """Return on-demand until the work is done."""
        return np.where(need_s > 0.0, int(Mode.ON_DEMAND), int(Mode.IDLE))


@dataclass(frozen=True, slots=True)
class Greedy:
    """Spot when it can be had, otherwise wait, until the safety net; then on-demand to the end."""

    problem: SpotProblem

    def act(self, *, left_s: Floats | float, need_s: Floats, mode: Ints, up: Bools, age_s: Floats) -> Ints:  # noqa: ARG002
        """Return spot where it is up, on-demand where the net has caught the run, else nothing."""
        wished = np.where(up, int(Mode.SPOT), int(Mode.IDLE))
        wished = np.where(mode == Mode.ON_DEMAND, int(Mode.ON_DEMAND), wished)
        return with_net(self.problem, wished, left_s=left_s, need_s=need_s, mode=mode, up=up)


@dataclass(frozen=True, slots=True)
class UniformProgress:
    """Spot when it can be had, on-demand when behind the even pace t x C / D, back to spot when ahead of it by 2d.

    Wu et al., "Can't Be Late" (NSDI 2024): no parameters, no history.
    """

    problem: SpotProblem

    def act(self, *, left_s: Floats | float, need_s: Floats, mode: Ints, up: Bools, age_s: Floats) -> Ints:  # noqa: ARG002
        """Return spot where it is up, on-demand where progress lags, else nothing; the net overrules."""
        problem = self.problem
        pace_s = (problem.deadline_s - left_s) * problem.work_s / problem.deadline_s
        ahead_s = problem.work_s - need_s - pace_s
        spot_or_wait = np.where(up, int(Mode.SPOT), int(Mode.IDLE))
        wished = np.where(~up & (ahead_s < 0.0), int(Mode.ON_DEMAND), spot_or_wait)
        stay = (mode == Mode.ON_DEMAND) & (ahead_s < 2.0 * problem.restart_s)
        wished = np.where(stay, int(Mode.ON_DEMAND), wished)
        return with_net(problem, wished, left_s=left_s, need_s=need_s, mode=mode, up=up)


def with_net(
    problem: SpotProblem, wished: Ints, *, left_s: Floats | float, need_s: Floats, mode: Ints, up: Bools
) -> Ints:
    """Return what is wished for, overruled by the safety net: on-demand for good once the slack is used up."""
    slack_s = left_s - need_s
    net_s = np.where((mode == Mode.SPOT) & up, problem.net_spot_s, problem.net_idle_s)
    action = np.where(slack_s <= net_s, int(Mode.ON_DEMAND), wished)
    done: Ints = np.where(need_s <= 0.0, int(Mode.IDLE), action)
    return done
