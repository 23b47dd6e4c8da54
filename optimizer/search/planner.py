"""The use case `plan`: from a job and a price snapshot to the cheapest way, or to what stands in the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from providers.errors import SolverFailed

from .candidates import affordable_bills, budget_micro, rejected_by_budget
from .constraints import BUDGET, LIMITS
from .market import survey
from .narration import lost_sentences, plan_notes
from .near_misses import near_misses
from .results import Plan, PlanStatus, Rival, SnapshotReport, SolverReport
from .runners_up import runners_up
from .showing import candidate_at
from .solve import Columns, Quota, Solution, solve

if TYPE_CHECKING:
    from datetime import datetime

    from optimizer.workload.job import Job
    from providers.offer import PriceSnapshot

    from .candidates import Bills
    from .market import Market
    from .results import Candidate
    from .tables import Tables

Clock = Callable[[], float]


def plan(
    job: Job,
    snapshot: PriceSnapshot,
    tables: Tables,
    *,
    now: datetime,
    top: int = 5,
    quotas: Sequence[Quota] = (),
    clock: Clock | None = None,
) -> Plan:
    """Return the cheapest plan for a job, or an infeasible one with near misses. Same inputs, same plan.

    `top` is the most runners-up to give. `clock` (seconds, monotonic) times the phases for --verbose; search itself
    reads no clock. Raises JobError when no recipe makes sense, PricesUnavailable when no offer can be used,
    SolverFailed when the choice does not survive the re-check.
    """
    stopwatch = _Stopwatch(clock)
    market = survey(job, snapshot, tables, now=now)
    stopwatch.lap("physics")
    bills, _ = affordable_bills(market)
    stopwatch.lap("prices")
    solution = choose(market, bills, quotas)
    stopwatch.lap("solver")
    choices = _choices(market, bills, solution)
    others = runners_up(market, bills, choices, top=top) if choices else ()
    lost = lost_sentences(market, bills, choices, others) if choices else ()
    missed = () if choices else near_misses(survey(job, snapshot, tables, now=now, wide=True))
    rejected = _rejected(market)
    stopwatch.lap("explanation")
    return Plan(
        status=solution.status,
        made_at=now,
        job=job,
        choices=choices,
        runners_up=others,
        rejected=rejected,
        near_misses=missed,
        rivals=rivals_of(job, snapshot),
        lost=lost,
        solver=SolverReport(
            status=solution.status.value,
            gap_ppm=solution.gap_ppm,
            candidates=market.candidates(),
            hardware_classes=market.hardware_classes,
            physics_rows=market.physics.count,
            kept=bills.count,
            timings_s=stopwatch.laps,
        ),
        snapshot=snapshot_report(market, snapshot),
        notes=plan_notes(market, choices),
    )


def rivals_of(job: Job, snapshot: PriceSnapshot) -> tuple[Rival, ...]:
    """Return what managed services ask for the job's tokens, cheapest first, unknown prices last and never zero.

    Services quote per training token, every epoch counted. Those in dollars, except that of services named for another
    objective ("dpo" for a job that is not) nothing can be concluded.
    """
    found = [
        Rival(
            vendor=price.vendor,
            model=price.model,
            method=price.method,
            low_usd_micro=_token_cost_micro(price.low_nano_per_token, job),
            high_usd_micro=_token_cost_micro(price.high_nano_per_token, job),
            tokens=job.tokens * job.runs,
            source=price.source,
            source_date=price.source_date,
            notes=price.notes,
        )
        for price in snapshot.token_prices
        if price.currency == "USD" and not _is_for_another_objective(price.method, job)
    ]
    return tuple(sorted(found, key=_rival_order))


def _is_for_another_objective(method: str, job: Job) -> bool:
    """Return whether the name of a service's method is that of an objective other than the job's."""
    return method in {"sft", "dpo", "ppo"} and method != job.objective


def _rival_order(rival: Rival) -> tuple[bool, int, str, str, str]:
    return (rival.low_usd_micro is None, rival.low_usd_micro or 0, rival.vendor, rival.model, rival.method)


def snapshot_report(market: Market, snapshot: PriceSnapshot) -> SnapshotReport:
    """Return which prices the plan saw, and which of them could not be candidates."""
    observed = [offer.observed_at for offer in market.offers.offers]
    unusable = dict(market.offers.unusable)
    sizes = np.diff(market.hardware.start)[market.places.klass]
    idle = int(np.count_nonzero((sizes == 0) & (market.places.nodes == 1)))
    if idle:
        unusable[f"no recipe: the GPUs do not divide the global batch of {market.job.global_batch}"] = idle
    return SnapshotReport(
        sha256=snapshot.sha256,
        oldest_observed_at=min(observed, default=None),
        newest_observed_at=max(observed, default=None),
        offers=len(snapshot.offers),
        unusable=unusable,
    )


def choose(market: Market, bills: Bills, quotas: Sequence[Quota] = ()) -> Solution:
    """Return the cheapest assignment of the job's runs to bills (positions), settled by the solver and re-checked.

    Raises SolverFailed when the solver and the cheapest candidate disagree.
    """
    offers, places = market.offers.offers, market.places
    gpu_counts = np.array([offer.gpu_count for offer in offers], dtype=np.int64)
    covered = np.array([[quota.covers(offer) for offer in offers] for quota in quotas], dtype=np.bool_)
    at = places.offer[bills.place]
    columns = Columns(
        cost_micro=bills.expected_micro,
        high_micro=bills.high_micro,
        gpus=gpu_counts[at] * places.nodes[bills.place],
        covered=covered.reshape(len(quotas), len(offers))[:, at],
    )
    solution = solve(columns, runs=market.job.runs, budget_micro=budget_micro(market.job), quotas=quotas)
    if market.job.runs > 1 or quotas or not solution.chosen:
        return solution
    # One run: the answer is the smallest cost, and the written ties decide among equals.
    best = best_of(market, bills)
    ((solved, _),) = solution.chosen
    excess = bills.expected_micro[solved] - bills.expected_micro[best]
    if excess > 1.0 + 2e-9 * bills.expected_micro[best] and solution.status is PlanStatus.OPTIMAL:
        raise SolverFailed(
            f"the solver's plan costs {bills.expected_micro[solved]:.0f} micro-dollars, "
            f"the cheapest candidate {bills.expected_micro[best]:.0f}"
        )
    return replace(solution, chosen=((best, 1),))


def best_of(market: Market, bills: Bills) -> int:
    """Return the position of the cheapest bill. Ties: cost, finish time, nodes, provider, region, type, recipe name.

    Bills stand in the order of nodes, offers (provider, region, instance type) and recipe names already.
    """
    tied = np.flatnonzero(bills.expected_micro == bills.expected_micro.min())
    return int(tied[np.argmin(market.hardware.finish_s[bills.hardware[tied]])])


def _choices(market: Market, bills: Bills, solution: Solution) -> tuple[Candidate, ...]:
    chosen = [
        candidate_at(market, int(bills.place[at]), int(bills.hardware[at]), runs=runs) for at, runs in solution.chosen
    ]
    for (at, _), candidate in zip(solution.chosen, chosen, strict=True):
        exact = candidate.quote.expected_usd_micro
        if abs(exact - bills.expected_micro[at]) > 3.0 + 1e-9 * exact:
            raise SolverFailed(
                f"the choice costs {exact} micro-dollars in Decimal, {bills.expected_micro[at]:.0f} in columns"
            )
    return tuple(sorted(chosen, key=lambda candidate: candidate.quote.expected_usd_micro))


def _rejected(market: Market) -> dict[str, int]:
    counts = {limit: market.rejected(limit) for limit in LIMITS if limit != BUDGET}
    counts[BUDGET] = rejected_by_budget(market)
    return {limit: count for limit, count in counts.items() if count}


def _token_cost_micro(nano_per_token: int | None, job: Job) -> int | None:
    return None if nano_per_token is None else -(-nano_per_token * job.tokens * job.runs // 1000)


class _Stopwatch:
    """Seconds of each phase by a clock that the caller gives; without one nothing is measured."""

    def __init__(self, clock: Clock | None) -> None:
        self._clock = clock
        self._last = clock() if clock else 0.0
        self.laps: dict[str, float] = {}

    def lap(self, phase: str) -> None:
        """Book the time since the last lap on a phase."""
        if self._clock:
            now = self._clock()
            self.laps[phase] = now - self._last
            self._last = now
