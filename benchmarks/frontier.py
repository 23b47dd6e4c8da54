"""Times frontier, price of the deadline and sensitivity: on the bundled prices, and on more than a million tuples.

    python benchmarks/frontier.py

The bundled prices are those that the job of the README sees; everything is worked out, survey included. The invented
market is that of `search_kernel.py`: there the frontier is compared with brute force, which bills every tuple and takes
the points that nothing beats, also vectorised. Both must name the same points. Exit code 1 when a goal is missed.
"""

from __future__ import annotations

import platform
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.search_kernel import NOW, invented_market
from optimizer.app.preparing import prepare
from optimizer.search.candidates import allowed_places, allowed_rows, budget_micro, factorise, join
from optimizer.search.deadline_price import cost_steps, deadline_price
from optimizer.search.frontier import LIFTED, frontier_of, frontier_positions, qualities
from optimizer.search.market import survey
from optimizer.search.sensitivity import sensitivity_of
from optimizer.search.sensitivity_drivers import DataCount
from optimizer.workload.job_input import JobInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from optimizer.search.market import Market

Answer = TypeVar("Answer")
GOAL_MS = 200.0
PRICE_GOAL_MS = 10.0
JOB = {
    "model": "llama-3.1-8b", "samples": 13_300, "tokens_per_sample": 400, "epochs": 4, "deadline": "24h",
}  # fmt: skip
Points = set[tuple[float, float, float, bool]]


def main() -> int:
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, {platform.machine()}")
    return max(bundled(), a_million())


def bundled() -> int:
    """Time what the commands do, on the bundled prices."""
    ready = prepare(JobInput.from_mapping(JOB, where="benchmark"), now=NOW)
    job, snapshot, tables = ready.job, ready.snapshot, ready.tables.search
    market = survey(job, snapshot, tables, now=NOW)
    survey_ms, _ = timed(lambda: survey(job, snapshot, tables, now=NOW))
    frontier_ms, frontier = timed(lambda: frontier_of(survey(job, snapshot, tables, now=NOW)))
    price_ms, _ = timed(lambda: deadline_price(market))
    data = DataCount(items=13_300, epochs=4)
    sensitivity_ms, found = timed(lambda: sensitivity_of(job, snapshot, tables, now=NOW, data=data))
    assert found is not None, "the job of the README is feasible"
    print(f"bundled prices: {market.candidates():,} tuples, a survey of them takes {survey_ms:.1f} ms")
    print(f"  frontier, {len(frontier.points):>3} points   {frontier_ms:>8.1f} ms (goal {GOAL_MS:.0f} ms)")
    print(f"  price of the deadline  {price_ms:>8.1f} ms (goal {PRICE_GOAL_MS:.0f} ms, survey not counted)")
    print(f"  sensitivity, {len(found.drivers)} drivers {sensitivity_ms:>8.1f} ms (goal {GOAL_MS:.0f} ms)")
    return 0 if max(frontier_ms, sensitivity_ms) < GOAL_MS and price_ms < PRICE_GOAL_MS else 1


def a_million() -> int:
    """Time the frontier alone against brute force, on the invented market with its memory and places judged."""
    market = invented_market(np.random.default_rng(7))
    for limit in LIFTED:
        market = market.without(limit)
    tuples = market.candidates()
    ours_ms, ours = timed(lambda: points(market, factorised=True))
    brute_ms, all_of_them = timed(lambda: points(market, factorised=False), repeats=3)
    steps_ms, _ = timed(lambda: cost_steps(replace(market)))
    print(f"invented market: {tuples:,} tuples")
    print(f"  frontier, {len(ours):>3} points   {ours_ms:>8.1f} ms (goal {GOAL_MS:.0f} ms)")
    print(f"  brute force, vectorised {brute_ms:>7.1f} ms, {brute_ms / ours_ms:.1f} times the frontier")
    print(f"  price of the deadline  {steps_ms:>8.1f} ms")
    print(f"  same points            {ours == all_of_them!s:>8}")
    return 0 if ours == all_of_them and ours_ms < GOAL_MS and tuples >= 1_000_000 else 1


def points(market: Market, *, factorised: bool) -> Points:
    """Return the points that nothing beats: cost, time, quality, within the budget.

    Not factorised, all that fits is billed and sorted: no band of time is left out before.
    """
    rows = allowed_rows(market)
    bills = join(market, factorise(market, rows) if factorised else rows, allowed_places(market))
    within = bills.high_micro <= float(budget_micro(market.job) or np.inf)
    quality, finish = qualities(market)[bills.hardware], market.hardware.finish_s[bills.hardware]
    if factorised:
        at = frontier_positions(market, bills, within)
    else:
        at = by_brute_force(bills.expected_micro, finish, 2.0 * quality + within)
    return {
        (float(bills.expected_micro[one]), float(finish[one]), float(quality[one]), bool(within[one])) for one in at
    }


def by_brute_force(
    cost: np.ndarray[tuple[int], np.dtype[np.float64]],
    finish: np.ndarray[tuple[int], np.dtype[np.float64]],
    level: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> list[int]:
    """Return the positions of what nothing beats, written apart from the code under test.

    `level` is twice the quality, plus one within the budget. Level by level: of all that is at least as good in both,
    sorted by cost and then time, what ends earlier than everything before it.
    """
    kept: list[int] = []
    for one in np.unique(level):
        good = (level // 2 >= one // 2) & (level % 2 >= one % 2)
        at = np.flatnonzero(good)
        at = at[np.lexsort((-level[at], finish[at], cost[at]))]
        before = np.concatenate([[np.inf], np.minimum.accumulate(finish[at])[:-1]])
        kept += [int(position) for position in at[finish[at] < before] if level[position] == one]
    return kept


def timed(run: Callable[[], Answer], *, repeats: int = 9) -> tuple[float, Answer]:
    """Return the median of `repeats` warm runs in milliseconds, and the answer."""
    answer = run()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken) * 1e3, answer


if __name__ == "__main__":
    raise SystemExit(main())
