"""Spot under a policy: the dynamic program of a candidate, its cost, and what its runs come to in the model.

The cost is the dynamic program's, at the median throughput; the interval is drawn: a fixed number of runs, seeded, each
with its own availability and throughput. What is drawn is scaled to the exact cost, so that both tell one story.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optimizer.physics.throughput import Z90

from .spot.drawing import draw_market
from .spot.dynamic_program import SpotSolution, solve_policy
from .spot.replay import replay
from .spot_candidates import beside_machines_micro, problem_of, rounding_of
from .spot_simulated import Draws

if TYPE_CHECKING:
    from optimizer.physics.runs import Floats

    from .spot.replay import Outcome
    from .spot_candidates import SpotRun

DRAWN = Draws(runs=400)
"""What the interval of a plan under a policy is drawn from unless more is asked for."""
STEPS = 300
"""Looks at the market in a drawn run: its interval is a matter of hours, not of minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRuns:
    """What the drawn runs come to; money in micro-dollars of machines alone."""

    expected_micro: float
    """The dynamic program's."""
    low_micro: float
    high_micro: float
    low_s: float
    expected_s: float
    high_s: float
    confident_s: float
    """Time by the clock within which runs end with the confidence asked for."""
    spot_s: float
    on_demand_s: float
    wasted_s: float
    waiting_s: float
    interruptions: float
    spot_micro: float
    """Of the expected cost, what goes to spot machines."""
    runs: int


def solution_of(run: SpotRun) -> SpotSolution:
    """Return the policy of a run; equal runs share one. Raises ValueError as `problem_of` does."""
    problem = problem_of(run)
    key = (
        problem.work_s, problem.deadline_s, problem.restart_s, problem.loss_s, problem.poll_s,
        problem.spot_micro_per_s, problem.on_demand_micro_per_s, int(run.market.offers.prior[run.offer_at]),
    )  # fmt: skip
    found = run.market.answers.get(key)
    if not isinstance(found, SpotSolution):
        found = run.market.answers[key] = solve_policy(problem)
    return found


def exact_micro(run: SpotRun) -> float:
    """Return the expected cost of a run under its policy in whole micro-dollars: billing by the increment, storage and
    hidden costs included."""
    storage, hidden = beside_machines_micro(run)
    _, rounding = rounding_of(run)
    return float(np.rint(machines_micro(solution_of(run)) + storage + rounding) + hidden)


def machines_micro(solution: SpotSolution) -> float:
    """Return the expected cost of the machines; work that the deadline leaves no room for is done on-demand, late."""
    expected = solution.expected_micro()
    if np.isfinite(expected):
        return expected
    problem = solution.problem
    return (problem.work_s + problem.restart_s) * problem.on_demand_micro_per_s


def drawn_runs(run: SpotRun) -> PolicyRuns:
    """Return what drawn runs under the policy come to: as many as are asked for, otherwise 400."""
    runs, seed = _draws(run)
    solution = solution_of(run)
    problem = solution.problem
    step_s = max(problem.deadline_s / STEPS, 1.0)
    drawn = draw_market(
        problem.availability,
        episodes=runs,
        span_s=problem.deadline_s,
        step_s=step_s,
        spot_micro_per_s=problem.spot_micro_per_s,
        seed=seed,
    )
    normal = np.random.default_rng([seed, 1]).standard_normal(runs)
    work_s = problem.work_s * np.exp(float(run.times.sigma[0]) * normal)
    outcome = replay(solution.table, problem, drawn, work_s=work_s)
    return _summed_up(run, solution, outcome)


def _draws(run: SpotRun) -> tuple[int, int]:
    asked = run.market.draws or DRAWN
    return asked.runs, asked.seed


def _summed_up(run: SpotRun, solution: SpotSolution, outcome: Outcome) -> PolicyRuns:
    problem = solution.problem
    expected = machines_micro(solution)
    drawn = float(outcome.cost_micro.mean())
    ratio = outcome.cost_micro / drawn if drawn > 0.0 else np.ones(outcome.cost_micro.shape)
    offers = run.market.offers
    price_sigma = max(float(offers.price_sigma[run.offer_at]), 0.0)
    low, high = (_joined(float(np.quantile(ratio, level)), price_sigma, level) for level in (0.1, 0.9))
    spot_s, on_demand_s = float(outcome.spot_s.mean()), float(outcome.on_demand_s.mean())
    on_spot = spot_s * problem.spot_micro_per_s
    share = on_spot / drawn if drawn > 0.0 else 0.0
    elapsed = outcome.finish_s
    return PolicyRuns(
        expected_micro=expected,
        low_micro=min(expected * low, expected),
        high_micro=max(expected * high, expected),
        low_s=_quantile(elapsed, 0.1),
        expected_s=float(elapsed.mean()),
        high_s=max(_quantile(elapsed, 0.9), float(elapsed.mean())),
        confident_s=_quantile(elapsed, run.job.confidence_ppm / 1e6),
        spot_s=spot_s,
        on_demand_s=on_demand_s,
        wasted_s=float(outcome.wasted_s.mean()),
        waiting_s=max(float((elapsed - outcome.spot_s - outcome.on_demand_s).mean()), 0.0),
        interruptions=float(outcome.interruptions.mean()),
        spot_micro=expected * share,
        runs=outcome.cost_micro.shape[0],
    )


def _joined(ratio: float, price_sigma: float, level: float) -> float:
    """Return a quantile of the cost over its mean, the spread of the price's age joined in quadrature."""
    away = np.log(max(ratio, 1e-9))
    sign = -1.0 if level < 0.5 else 1.0
    return float(np.exp(sign * np.hypot(away, Z90 * price_sigma))) if sign * away > 0.0 else ratio


def _quantile(values: Floats, level: float) -> float:
    return float(np.quantile(values, level))
