"""The choice: which bills carry the runs of a job, settled by the solver and checked against the cheapest candidate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from providers.errors import SolverFailed

from .candidates import affordable_bills, budget_micro, over_budget
from .constraints import SIMPLER
from .results import PlanStatus
from .robust import at_worst, held_at_worst
from .solve import Columns, Quota, Solution, solve
from .spot_shortlist import MOST_DRAWN, Shortlist, alike, not_confident

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.physics.runs import Floats, Ints

    from .candidates import Bills
    from .market import Market


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What was chosen from which bills. `lifted` says that recipes which are not needed had to be admitted."""

    market: Market
    bills: Bills
    solution: Solution
    lifted: bool = False


def settle(market: Market, quotas: Sequence[Quota] = (), *, robust: bool = False) -> Settlement:
    """Return the cheapest assignment of the job's runs among the recipes that are needed.

    `robust` looks at every candidate where all that is uncertain is at its unfavourable end (`robust`): limits are kept
    there, and what costs least there is chosen.

    Where those cannot keep every limit of the job, recipes that shard or offload although a simpler one fits the
    machine (`admission`) take part too: a preference never makes a job infeasible.
    """
    market = held_at_worst(market) if robust else market
    bills, solution = _settled(market, quotas, robust=robust)
    if solution.chosen or SIMPLER not in market.hardware.slacks:
        return Settlement(market=market, bills=bills, solution=solution)
    everything = market.without(SIMPLER)
    more, second = _settled(everything, quotas, robust=robust)
    if not second.chosen:
        return Settlement(market=market, bills=bills, solution=solution)
    return Settlement(market=everything, bills=more, solution=second, lifted=True)


def _settled(market: Market, quotas: Sequence[Quota], *, robust: bool) -> tuple[Bills, Solution]:
    """Return the bills that were chosen from, and the choice, whose spot bills are exact and as sure as asked for."""

    def seen(bills: Bills) -> Bills:
        return at_worst(market, bills) if robust else bills

    affordable, _ = affordable_bills(market)
    if robust:
        affordable = affordable.take(~over_budget(market.job, seen(affordable)))
    shortlist = Shortlist(market, affordable, seen=seen)
    shortlist.start()
    # A sweep under quotas may need more than the shortlist; one run does only where nothing of it will do.
    everything = market.job.runs > 1
    left = np.ones_like(shortlist.exact)
    misses = 0
    while True:
        rows = np.flatnonzero(left if everything else left & shortlist.exact)
        solution = choose(market, seen(shortlist.bills.take(rows)), quotas)
        if not solution.chosen and not everything:
            everything = True
            continue
        chosen = rows[np.array([at for at, _ in solution.chosen], dtype=np.int64)]
        ranked = chosen[~shortlist.exact[chosen]]
        failed = chosen[not_confident(market, shortlist.bills, chosen)]
        if ranked.size == 0 and failed.size == 0:
            return _exact(shortlist, rows, solution)
        misses += 1
        if ranked.size:
            shortlist.work_out(ranked)
            if misses >= MOST_DRAWN:
                left &= shortlist.exact
        if failed.size:
            left &= ~alike(market, shortlist.bills, failed)
            if misses >= MOST_DRAWN:
                left &= ~market.offers.spot[market.places.offer[shortlist.bills.place]]


def _exact(shortlist: Shortlist, rows: Ints, solution: Solution) -> tuple[Bills, Solution]:
    """Return of the bills `rows` those that are exact, and a choice among `rows` as one among these."""
    exact = shortlist.exact[rows]
    position = np.cumsum(exact) - 1
    chosen = tuple((int(position[at]), runs) for at, runs in solution.chosen)
    return shortlist.bills.take(rows[exact]), replace(solution, chosen=chosen)


def choose(market: Market, bills: Bills, quotas: Sequence[Quota] = ()) -> Solution:
    """Return the cheapest assignment of the job's runs to bills (positions), settled by the solver and re-checked.

    The runs of a sweep are placed all at once, so the most GPUs that the job may use bound their sum. Raises
    SolverFailed when the solver and the cheapest candidate disagree.
    """
    offers, places, job = market.offers.offers, market.places, market.job
    if job.runs > 1:
        quotas = (*quotas, Quota(gpus=job.max_gpus))
    gpu_counts = np.array([offer.gpu_count for offer in offers], dtype=np.int64)
    covered = np.array([[quota.covers(offer) for offer in offers] for quota in quotas], dtype=np.bool_)
    at = places.offer[bills.place]
    columns = Columns(
        cost_micro=bills.expected_micro,
        high_micro=bills.high_micro,
        gpus=gpu_counts[at] * places.nodes[bills.place],
        covered=covered.reshape(len(quotas), len(offers))[:, at],
    )
    solution = solve(columns, runs=job.runs, budget_micro=budget_micro(job), quotas=quotas)
    if quotas or not solution.chosen:
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
    """Return the position of the cheapest bill.

    Ties: cost, finish time, share of the memory that is filled, nodes, provider, region, type, recipe name. Bills stand
    in the order of nodes, offers (provider, region, instance type) and recipe names already.
    """
    tied = np.flatnonzero(bills.expected_micro == bills.expected_micro.min())
    finish = market.hardware.finish_s[bills.hardware[tied]]
    tied = tied[finish == finish.min()]
    return int(tied[np.argmin(filled(market, bills.hardware[tied]))])


def ranking(market: Market, bills: Bills) -> Ints:
    """Return the positions of the bills, best first, ties as in `best_of`."""
    rows = bills.hardware
    return np.lexsort((filled(market, rows), market.hardware.finish_s[rows], bills.expected_micro))


def filled(market: Market, rows: Ints) -> Floats:
    """Return the share of usable memory that hardware rows fill, high end; zeros where memory was not judged."""
    slack = market.hardware.slacks.get("memory")
    return np.zeros(rows.shape) if slack is None else slack.needed[rows] / slack.allowed[rows]
