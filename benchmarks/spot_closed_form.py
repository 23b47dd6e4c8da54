"""Holds the closed form of runs under interruptions against simulated ones, and times both.

    python benchmarks/spot_closed_form.py [RUNS]

A grid of rates, intervals, checkpoints, restarts and lengths with 1 to 200 interruptions a run: mean, deviation and
95 % quantile of the finish time. Exit code 1 when one is further off than its goal allows.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from optimizer.search.spot.closed_form import (
    RunShape,
    finish_probability,
    finish_quantile,
    mean_times_s,
    one_run,
    spot_moments,
)
from optimizer.search.spot.monte_carlo import simulate_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOUR_S = 3600.0
RATES_PER_HOUR = (0.005, 0.02, 0.1, 0.3, 1.0)
INTERVALS_S = (300.0, 1800.0, 14_400.0)
CHECKPOINTS_S = (5.0, 60.0, 600.0)
RESTARTS_S = (60.0, 600.0, 1800.0)
WORK_H = (2.0, 20.0, 200.0)
WAIT_S = 900.0
GOALS = {"mean": 0.01, "deviation": 0.01, "p95": 0.02}
SIGMAS = (0.1, 0.2, 0.35)
ROWS = 100_000


def main() -> int:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    measured, few = [], []
    closed_s = simulated_s = 0.0
    for case in grid():
        shape, rate = one(case)
        expected = float(spot_moments(shape, rate).interruptions[0])
        # Where the probability of no interruption is 95 % itself, the quantile jumps from one part to the other.
        if 0.02 <= expected <= 200.0 and abs(np.exp(-float(rate[0]) * float(shape.undisturbed_s()[0])) - 0.95) > 0.005:
            began = time.perf_counter()
            moments, late = spot_moments(shape, rate), finish_quantile(shape, rate, np.zeros(1), np.array([0.95]))
            middle = time.perf_counter()
            errors = deviations(shape, rate, moments.elapsed_mean_s[0], moments.elapsed_sd_s[0], late[0], runs)
            closed_s, simulated_s = closed_s + middle - began, simulated_s + time.perf_counter() - middle
            (measured if expected >= 1.0 else few).append((errors, expected, case))
    missed = report(f"{len(measured)} cases with 1 to 200 interruptions", measured)
    report(f"{len(few)} cases with 0.02 to 1 interruptions (no goal)", few)
    print(
        f"closed form {closed_s:.2f} s, simulation of {runs:,} runs {simulated_s:.1f} s: {simulated_s / closed_s:.0f}x"
    )
    uncertain_throughput(runs)
    columns()
    return 1 if missed else 0


def grid() -> Iterator[tuple[float, ...]]:
    return itertools.product(RATES_PER_HOUR, INTERVALS_S, CHECKPOINTS_S, RESTARTS_S, WORK_H)


def one(case: tuple[float, ...]) -> tuple[RunShape, np.ndarray]:
    rate, interval, checkpoint, restart, work = case
    shape = one_run(
        work_s=work * HOUR_S,
        segment_s=interval,
        checkpoint_s=checkpoint,
        restart_s=restart,
        startup_s=600.0,
        wait_mean_s=WAIT_S,
    )
    return shape, np.array([rate / HOUR_S])


def deviations(
    shape: RunShape, rate: np.ndarray, mean: float, deviation: float, late: float, runs: int
) -> dict[str, float]:
    """Errors relative to the simulation; of the deviation, three standard errors of sampling are taken off."""
    simulated = simulate_runs(shape, float(rate[0]), runs=runs, seed=5).elapsed_s
    spread = simulated.std()
    # The standard error of a sample deviation, by the fourth moment: what a perfect formula would show too.
    noise = np.sqrt((((simulated - simulated.mean()) ** 4).mean() / spread**4 - 1.0) / 4.0 / runs)
    return {
        "mean": mean / simulated.mean() - 1.0,
        "deviation": float(np.sign(deviation - spread) * max(abs(deviation / spread - 1.0) - 3.0 * noise, 0.0)),
        "p95": late / np.quantile(simulated, 0.95) - 1.0,
    }


def report(title: str, cases: list[tuple[dict[str, float], float, tuple[float, ...]]]) -> bool:
    print(title)
    missed = False
    for name, goal in GOALS.items():
        errors = [abs(errors[name]) for errors, _, _ in cases]
        worst, expected, case = max(cases, key=lambda one: abs(one[0][name]))
        missed |= abs(worst[name]) > goal
        print(
            f"  {name:<10} median {statistics.median(errors):8.3%}  worst {worst[name]:+8.3%} (goal {goal:.0%}) at "
            f"{expected:.2f} interruptions, rate {case[0]}/h, interval {case[1]:.0f} s, checkpoint {case[2]:.0f} s, "
            f"restart {case[3]:.0f} s, work {case[4]:.0f} h"
        )
    return missed


def uncertain_throughput(runs: int) -> None:
    print("with an uncertain throughput, error of p50 / p90 / p95 (0.1/h, every 1800 s, 60 s, 600 s, 20 h)")
    shape, rate = one((0.1, 1800.0, 60.0, 600.0, 20.0))
    wanted = np.array([0.5, 0.9, 0.95])
    for sigma in SIGMAS:
        simulated = np.quantile(
            simulate_runs(shape, float(rate[0]), runs=runs, seed=5, sigma_log=sigma).elapsed_s, wanted
        )
        for parts in (1, 9):
            errors = finish_quantile(shape, rate, np.array([sigma]), wanted, parts=parts) / simulated - 1.0
            print(f"  sigma {sigma:.2f}, {parts} parts: " + " / ".join(f"{error:+.2%}" for error in errors))


def columns() -> None:
    rng = np.random.default_rng(11)
    shape = RunShape(
        work_s=rng.uniform(2.0, 200.0, ROWS) * HOUR_S,
        segment_s=rng.uniform(300.0, 7200.0, ROWS),
        checkpoint_s=rng.uniform(5.0, 60.0, ROWS),
        restart_s=rng.uniform(60.0, 1800.0, ROWS),
        startup_s=np.full(ROWS, 600.0),
        wait_mean_s=np.full(ROWS, WAIT_S),
        wait_second_moment_s2=np.full(ROWS, 2.0 * WAIT_S**2),
    )
    rate, within = rng.uniform(0.005, 0.5, ROWS) / HOUR_S, np.full(ROWS, 60.0 * HOUR_S)
    no, some = np.zeros(1), np.array([0.2])
    print(f"{ROWS:,} rows")
    timed("mean times", lambda: mean_times_s(shape, rate))
    timed("all moments", lambda: spot_moments(shape, rate))
    timed("probability, certain throughput", lambda: finish_probability(shape, rate, no, within))
    timed("probability, sigma 0.2, 1 part", lambda: finish_probability(shape, rate, some, within, parts=1))
    timed("probability, sigma 0.2, 9 parts", lambda: finish_probability(shape, rate, some, within))


def timed(name: str, work: Callable[[], object]) -> None:
    taken = []
    for _ in range(5):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    print(f"  {name:<34}{statistics.median(taken) * 1e3:8.1f} ms")


if __name__ == "__main__":
    raise SystemExit(main())
