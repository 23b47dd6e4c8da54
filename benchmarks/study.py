"""Times a study of the example job on one process and on the processors of this machine, and compares their bytes.

    python benchmarks/study.py

Processes pay for starting an interpreter each (a second), so they are worth it from some ten thousand scenarios on: the
large study shows what they bring, which is a goal only where the processors were idle at the start. Brute force bills
every recipe with every offer in each scenario, with the same vectorised formulas; the scenario market bills what can be
the cheapest.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from optimizer.app.preparing import prepare
from optimizer.app.study_engines import Engine, default_workers, opened_engine
from optimizer.report.json_study import study_text
from optimizer.search.candidates import rates_at
from optimizer.search.choice import settle
from optimizer.search.constraints import bit
from optimizer.search.cost import billed_seconds
from optimizer.search.market import survey
from optimizer.search.scenario_market import bills_of, lay_out_scenarios, rows_of
from optimizer.search.scenario_study import study
from optimizer.search.scenarios import Block, durations_s, find_winners, steps_of

if TYPE_CHECKING:
    from optimizer.app.preparing import Prepared
    from optimizer.search.market import Market

JOB = Path(__file__).resolve().parents[1] / "docs" / "examples" / "llama-ner.toml"
NOW = "2026-11-22T09:00Z"
SMALL, LARGE = 10_000, 100_000
LIMIT_SMALL_S, LEAST_GAIN, LIMIT_SCENARIO_MS = 5.0, 1.2, 1.0
BRUTE_SCENARIOS = 20


def main() -> int:
    ready = prepare(JOB, now=NOW)
    workers = default_workers()
    idle = workers > 1 and os.getloadavg()[0] < 0.25 * workers
    print(f"{platform.machine()}, {workers} processors, Python {platform.python_version()}, NumPy {np.__version__}")
    studied(ready, Engine.SERIAL, 1, 500)  # warm
    one_s, one = studied(ready, Engine.SERIAL, 1, SMALL)
    many_s, many = studied(ready, Engine.PROCESSES, workers, SMALL)
    long_s, long = studied(ready, Engine.SERIAL, 1, LARGE)
    wide_s, wide = studied(ready, Engine.PROCESSES, workers, LARGE)
    brute_ms, each_ms, agree, pairs = against_brute_force(ready)
    same = one == many and long == wide
    gain = long_s / wide_s
    goal = f"at least {LEAST_GAIN}" if idle else "no goal: other work on the processors"
    print(f"{SMALL:>9,} scenarios, serial        {one_s:>8.2f} s (limit {LIMIT_SMALL_S:.0f} s)")
    print(f"{SMALL:>9,} scenarios, processes     {many_s:>8.2f} s, {one_s / many_s:.2f} times as fast")
    print(f"{LARGE:>9,} scenarios, serial        {long_s:>8.2f} s")
    print(f"{LARGE:>9,} scenarios, processes     {wide_s:>8.2f} s, {gain:.2f} times as fast ({goal})")
    print(f"one scenario, factorised          {each_ms:>8.3f} ms (limit {LIMIT_SCENARIO_MS:.0f} ms)")
    print(
        f"one scenario, brute force         {brute_ms:>8.3f} ms for {pairs:,} bills, {brute_ms / each_ms:.0f} times it"
    )
    print(f"same bytes on both engines        {same!s:>8}")
    print(f"same best as brute force          {agree!s:>8}")
    quick = one_s < LIMIT_SMALL_S and each_ms < LIMIT_SCENARIO_MS and (gain >= LEAST_GAIN or not idle)
    return 0 if quick and same and agree else 1


def studied(ready: Prepared, engine: Engine, workers: int, scenarios: int) -> tuple[float, str]:
    """Return the seconds that a study takes, starting and ending its workers included, and its document."""
    start = time.perf_counter()
    with opened_engine(engine, workers=workers) as map_blocks:
        found = study(
            ready.job, ready.snapshot, ready.tables.search, now=ready.now, scenarios=scenarios, map_blocks=map_blocks
        )
    return time.perf_counter() - start, study_text(found)


def against_brute_force(ready: Prepared) -> tuple[float, float, bool, int]:
    """Return the milliseconds of a scenario by brute force and factorised, whether they agree, and the bills."""
    market = settle(survey(ready.job, ready.snapshot, ready.tables.search, now=ready.now)).market
    field = lay_out_scenarios(market)
    place, row = every_pair(market)
    rows, bills, rates = rows_of(market, row), bills_of(market, place, row, row), rates_at(market, place, row)
    taken, costs = 0.0, []
    for scenario in range(BRUTE_SCENARIOS):
        steps = steps_of(field, seed=0, scenario=scenario)
        start = time.perf_counter()
        seconds = durations_s(field, rows, steps)
        price = bills.price_micro_per_s * np.exp(bills.price_sigma * steps[1 + len(field.gpus) :][bills.group])
        cost = price * billed_seconds(seconds, rates.increment_s, rates.minimum_s)
        cost += rates.disk_micro_per_s * seconds + rates.egress_micro + rates.hidden_micro
        costs.append(int(np.rint(cost[seconds <= field.left_s].min())))
        taken += time.perf_counter() - start
    block = Block(seed=0, start=0, stop=1000)
    start = time.perf_counter()
    winners = find_winners(field, block)
    each = (time.perf_counter() - start) / block.count
    agree = costs == winners.cost_micro[:BRUTE_SCENARIOS].tolist()
    return taken / BRUTE_SCENARIOS * 1e3, each * 1e3, agree, int(place.shape[0])


def every_pair(market: Market) -> tuple[np.ndarray, np.ndarray]:
    """Return every place with every row of its class that keeps the limits that no scenario moves."""
    allowed = np.flatnonzero((market.hardware.broken & ~bit("deadline")) == 0)
    of_class = [allowed[market.hardware.klass[allowed] == one] for one in range(market.hardware.start.shape[0] - 1)]
    places = np.flatnonzero(market.places.broken == 0)
    sizes = [of_class[market.places.klass[one]].shape[0] for one in places]
    return np.repeat(places, sizes), np.concatenate([of_class[market.places.klass[one]] for one in places])


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    raise SystemExit(main())
