"""Policies side by side over the same episodes: what each saves, what it misses, and how far it is from knowing all."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from .omniscient import omniscient_micro
from .policies import Greedy, OnDemand, UniformProgress
from .replay import replay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .policies import Policy
    from .policy_table import PolicyTable
    from .problem import SpotProblem
    from .replay import Market


class PolicyName(StrEnum):
    """The policies that are compared, in the order of a report."""

    DYNAMIC_PROGRAM = "dynamic_program"
    UNIFORM_PROGRESS = "uniform_progress"
    GREEDY = "greedy"
    ON_DEMAND = "on_demand"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFigures:
    """What one policy came to over some episodes. Money in micro-dollars of one run, machines only."""

    policy: PolicyName
    mean_micro: float
    highest_micro: float
    saving_fraction: float
    """Against the work at the on-demand price, without a start: on-demand itself, which starts once, is below 0."""
    worst_ratio: float
    """Highest cost as a multiple of the same."""
    missed: int
    """Runs that ended after the deadline."""
    interruptions: float
    """Machines lost in a run, on average."""
    starts: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All policies over the episodes of one trace, or over several traces together."""

    label: str
    episodes: int
    available_fraction: float
    """Share of the samples at which spot could be had."""
    work_micro: float
    """The work at the on-demand price."""
    spot_micro_per_s: float
    """Mean price of spot over the episodes."""
    policies: tuple[PolicyFigures, ...]
    bound_micro: float | None
    """Mean cost of runs that know the whole episode beforehand; None where the deadline leaves no room for one."""

    def of(self, policy: PolicyName) -> PolicyFigures:
        """Return the figures of a policy."""
        return next(one for one in self.policies if one.policy is policy)

    @property
    def bound_saving_fraction(self) -> float | None:
        """What nobody can save more than."""
        return None if self.bound_micro is None else 1.0 - self.bound_micro / self.work_micro

    @property
    def gap_closed_fraction(self) -> float | None:
        """How much of the way from greedy to the bound the dynamic program goes; None where there is no way to go."""
        bound = self.bound_saving_fraction
        greedy = self.of(PolicyName.GREEDY).saving_fraction
        if bound is None or bound - greedy < 1e-9:
            return None
        return (self.of(PolicyName.DYNAMIC_PROGRAM).saving_fraction - greedy) / (bound - greedy)


def compare_policies(table: PolicyTable, problem: SpotProblem, market: Market, *, label: str) -> Comparison:
    """Return what each policy makes of the episodes of a market that reaches to the deadline."""
    policies: dict[PolicyName, Policy] = {
        PolicyName.DYNAMIC_PROGRAM: table,
        PolicyName.UNIFORM_PROGRESS: UniformProgress(problem),
        PolicyName.GREEDY: Greedy(problem),
        PolicyName.ON_DEMAND: OnDemand(problem),
    }
    bound = float(omniscient_micro(problem, market).mean())
    return Comparison(
        label=label,
        episodes=market.up.shape[0],
        available_fraction=float(market.up.mean()),
        work_micro=problem.work_s * problem.on_demand_micro_per_s,
        spot_micro_per_s=float(market.spot_micro_per_s.mean()),
        policies=tuple(_figures(name, policy, problem, market) for name, policy in policies.items()),
        bound_micro=None if np.isnan(bound) else bound,
    )


def together(parts: Sequence[Comparison], *, label: str) -> Comparison:
    """Return several comparisons as one: every trace weighs the same, misses add up, the worst is the worst of all."""
    bounds = [part.bound_micro for part in parts if part.bound_micro is not None]
    return Comparison(
        label=label,
        episodes=sum(part.episodes for part in parts),
        available_fraction=_mean([part.available_fraction for part in parts]),
        work_micro=_mean([part.work_micro for part in parts]),
        spot_micro_per_s=_mean([part.spot_micro_per_s for part in parts]),
        policies=tuple(_together([part.of(name) for part in parts]) for name in PolicyName),
        bound_micro=_mean(bounds) if len(bounds) == len(parts) else None,
    )


def _figures(name: PolicyName, policy: Policy, problem: SpotProblem, market: Market) -> PolicyFigures:
    outcome = replay(policy, problem, market)
    work_micro = problem.work_s * problem.on_demand_micro_per_s
    mean, highest = float(outcome.cost_micro.mean()), float(outcome.cost_micro.max())
    return PolicyFigures(
        policy=name,
        mean_micro=mean,
        highest_micro=highest,
        saving_fraction=1.0 - mean / work_micro,
        worst_ratio=highest / work_micro,
        missed=outcome.missed(problem.deadline_s),
        interruptions=float(outcome.interruptions.mean()),
        starts=float(outcome.starts.mean()),
    )


def _together(figures: Sequence[PolicyFigures]) -> PolicyFigures:
    return PolicyFigures(
        policy=figures[0].policy,
        mean_micro=_mean([one.mean_micro for one in figures]),
        highest_micro=max(one.highest_micro for one in figures),
        saving_fraction=_mean([one.saving_fraction for one in figures]),
        worst_ratio=max(one.worst_ratio for one in figures),
        missed=sum(one.missed for one in figures),
        interruptions=_mean([one.interruptions for one in figures]),
        starts=_mean([one.starts for one in figures]),
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
