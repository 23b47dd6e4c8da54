"""The use case `plan`: from a job and a price snapshot to the cheapest way, or to what stands in the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from providers.errors import SolverFailed

from .candidates import rejected_by_budget
from .choice import Settlement, settle
from .confidence_price import confidence_prices
from .constraints import BUDGET, LIMITS
from .deadline_price import deadline_price
from .market import survey
from .narration import lost_sentences, plan_notes
from .near_misses import near_misses
from .policy_deadline import policy_deadline_price
from .quota_places import within_quotas
from .results import Plan, RobustReport, SnapshotReport, SolverReport
from .rivals import rivals_of
from .robust import at_worst
from .runners_up import runners_up
from .showing import candidate_at
from .spot_vetted import vetted
from .wording import cost_of, name_of

if TYPE_CHECKING:
    from datetime import datetime

    from optimizer.workload.job import Job
    from providers.offer import PriceSnapshot

    from .deadline_price import DeadlinePrice
    from .market import Market
    from .results import Candidate
    from .solve import Quota
    from .spot_simulated import Draws
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
    robust: bool = False,
    draws: Draws | None = None,
    clock: Clock | None = None,
) -> Plan:
    """Return the cheapest plan for a job, or an infeasible one with near misses. Same inputs, same plan.

    `top` is the most runners-up to give. `robust` chooses what holds and costs least at the unfavourable end of all
    that is uncertain; `draws` says how many runs on spot to draw, and the seed. `clock` (seconds, monotonic) times the
    phases for --verbose; search itself reads no clock. Raises JobError when no recipe makes sense,
    PricesUnavailable when no offer can be used, SolverFailed when the choice does not survive the re-check.
    """
    stopwatch = _Stopwatch(clock)
    market = replace(within_quotas(survey(job, snapshot, tables, now=now), quotas), draws=draws)
    stopwatch.lap("physics")
    settled = settle(market, quotas, robust=robust)
    stopwatch.lap("solver")
    market, bills, solution = settled.market, settled.bills, settled.solution
    choices = _choices(settled)
    # What is told as the next best must be as sure of the deadline as the choice.
    sure = bills if market.has_net else vetted(market, bills)
    others = runners_up(market, sure, choices, top=top) if choices else ()
    lost = lost_sentences(market, bills, choices, others) if choices else ()
    # What is not robust may be feasible all the same: then no limit is in the way, and a note says what is.
    plain = settle(market, quotas) if robust else settled
    missed = () if choices or plain.solution.chosen else near_misses(job, snapshot, tables, now=now, quotas=quotas)
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
        notes=(*_robust_notes(plain, choices, robust=robust), *plan_notes(settled, choices, missed)),
        robust=_robust_report(settled, plain) if robust and choices else None,
        deadline_price=_deadline_price(market, choices),
        # Under a policy the net keeps the deadline: the confidence hardly moves its cost.
        confidence_prices=confidence_prices(market) if choices and choices[0].spot is None else (),
    )


def _robust_report(settled: Settlement, plain: Settlement) -> RobustReport:
    """Return the robust choice against the one of least expected cost; of a sweep the first of each."""
    chosen, least = _first(settled), _first(plain)
    expected, worst = _ends(settled, chosen)
    if least is None:
        return RobustReport(
            expected_usd_micro=expected, worst_usd_micro=worst, least_expected_usd_micro=None,
            worst_of_least_usd_micro=None, same=False,
        )  # fmt: skip
    least_expected, worst_of_least = _ends(plain, least)
    return RobustReport(
        expected_usd_micro=expected,
        worst_usd_micro=worst,
        least_expected_usd_micro=least_expected,
        worst_of_least_usd_micro=worst_of_least,
        same=_identity(settled, chosen) == _identity(plain, least),
    )


def _first(settled: Settlement) -> int | None:
    return settled.solution.chosen[0][0] if settled.solution.chosen else None


def _identity(settled: Settlement, at: int | None) -> tuple[int, int] | None:
    return None if at is None else (int(settled.bills.place[at]), int(settled.bills.hardware[at]))


def _ends(settled: Settlement, at: int | None) -> tuple[int, int]:
    """Return expected cost and cost in the unfavourable corner of a bill (position), micro-dollars."""
    rows = np.array([at or 0], dtype=np.int64)
    bill = settled.bills.take(rows)
    return round(float(bill.expected_micro[0])), round(float(at_worst(settled.market, bill).expected_micro[0]))


def _robust_notes(plain: Settlement, choices: tuple[Candidate, ...], *, robust: bool) -> tuple[str, ...]:
    at = _first(plain)
    if robust and choices:
        told = (
            "The choice is the cheapest at the unfavourable end of all that is uncertain (--robust); the others are "
            "compared by expected cost, and some may cost less."
        )
        return (told,)
    if not robust or at is None:
        return ()
    best = candidate_at(plain.market, int(plain.bills.place[at]), int(plain.bills.hardware[at]))
    said = (
        f"Nothing keeps every limit at the unfavourable end of all that is uncertain (--robust). Without it "
        f"{name_of(best)} does at the confidence asked for, for {cost_of(best)}."
    )
    return (said,)


def _deadline_price(market: Market, choices: tuple[Candidate, ...]) -> DeadlinePrice | None:
    """Return the price of the deadline: of the policy where the choice follows one, else among all candidates."""
    if not choices:
        return None
    return policy_deadline_price(choices[0]) or deadline_price(market)


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


def _choices(settled: Settlement) -> tuple[Candidate, ...]:
    market, bills, solution = settled.market, settled.bills, settled.solution
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
