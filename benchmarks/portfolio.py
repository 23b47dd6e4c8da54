"""Times portfolios: column generation against `scipy.optimize.milp` on the whole model, on invented instances.

    python benchmarks/portfolio.py [--whole-model] [--date 2026-11-24] [--write]

Without `--whole-model` the whole model is solved at 100 jobs only (seconds); with it at 1,000 jobs too, for a minute
and in several gigabytes. Every measurement runs in a process of its own, so that its peak memory is its own. Exit code
1 when a goal is missed. `--write` keeps the figures in benchmarks/results/portfolio.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[1]))
sys.path.insert(0, str(HERE.parent))

RESULTS = HERE.parent / "results" / "portfolio.json"
SEEDS = {100: (1, 2, 3), 1_000: (1, 2, 3)}
GOALS = {100: (2.0, 1_000, 500.0), 1_000: (8.0, 100, 500.0)}
"""Seconds, gap in millionths, peak memory in megabytes (10^6 bytes)."""
TIMES_FASTER = 8.0
WHOLE_LIMIT_S = 60.0
SCIPY_GAP = 1e-4
"""The default of `milp`: the whole model is not asked for more than what is asked of us."""


def main() -> int:
    parser = argparse.ArgumentParser(description="portfolios of 100 and 1,000 jobs")
    parser.add_argument("--whole-model", action="store_true", help="milp at 1,000 jobs too: over a minute, 4 GB")
    parser.add_argument("--date", default=f"{datetime.now(UTC):%Y-%m-%d}", help="the day that is written down")
    parser.add_argument("--write", action="store_true", help="keep the figures in benchmarks/results")
    parser.add_argument("--measure", nargs=3, metavar=("WHAT", "JOBS", "SEED"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        what, jobs, seed = asked.measure
        print(json.dumps((ours if what == "ours" else whole)(int(jobs), int(seed))))
        return 0
    machine = describe_machine()
    print(", ".join(f"{name} {value}" for name, value in machine.items()))
    rows, missed = [], []
    for jobs, seeds in SEEDS.items():
        for seed in seeds:
            row = measured("ours", jobs, seed)
            show(row)
            missed += missed_goals(row)
            rows.append(row)
            if jobs == 100 or (asked.whole_model and seed == seeds[0]):
                other = measured("whole", jobs, seed)
                show(other)
                missed += compared(row, other)
                rows.append(other)
    if asked.write:
        RESULTS.parent.mkdir(exist_ok=True)
        document = {"date": asked.date, "machine": machine, "runs": rows, "missed": missed}
        RESULTS.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        print(f"wrote {RESULTS}")
    for line in missed:
        print(f"missed: {line}")
    return 1 if missed else 0


def measured(what: str, jobs: int, seed: int) -> dict[str, float | str | None]:
    """Return what one measurement in a process of its own printed."""
    words = [sys.executable, str(HERE), "--measure", what, str(jobs), str(seed)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
    found: dict[str, float | str | None] = json.loads(done.stdout.splitlines()[-1])
    return found


def ours(jobs: int, seed: int) -> dict[str, float | str | None]:
    import numpy as np
    import scipy.optimize  # imported before the clock runs
    import scipy.sparse  # noqa: F401
    from portfolio_world import invented

    from optimizer.search.portfolio.solving import gap_ppm, solve_portfolio

    instance = invented(jobs, seed)
    start = time.perf_counter()
    found = solve_portfolio(instance)
    seconds = time.perf_counter() - start
    used = np.zeros(instance.capacity.size, dtype=np.int64)
    for column, count in zip(found.plan.columns, found.plan.counts, strict=True):
        used += np.where(instance.patterns[instance.pattern[column]], instance.gpus[column] * count, 0)
    cost = found.plan.cost_micro(instance)
    return {
        "what": "column generation",
        "jobs": jobs,
        "seed": seed,
        "columns": instance.count,
        "quota_rows": instance.capacity.size,
        "quota_rows_used_up": int(np.count_nonzero(instance.capacity - used < 1)),
        "budgets": instance.budgets.size,
        "seconds": round(seconds, 3),
        "peak_mb": peak_mb(),
        "usd": cost / 1e6,
        "bound_usd": found.bound_micro / 1e6,
        "gap_ppm": gap_ppm(cost, found.bound_micro),
        "left_out": int(found.plan.left_out.sum()),
        "iterations": found.iterations,
    }


def whole(jobs: int, seed: int) -> dict[str, float | str | None]:
    """The whole model to `scipy.optimize.milp` at once, jobs that cannot be placed at a penalty."""
    import numpy as np
    from portfolio_world import invented

    from optimizer.search.portfolio.goal import Goal
    from optimizer.search.portfolio.master import solve_whole

    instance = invented(jobs, seed)
    goal = Goal(
        cost=instance.cost_micro / 1e3,
        left_out=np.full(instance.jobs, 10.0 * float(instance.cost_micro.max()) / 1e3),
        most_out=np.full(1, np.inf),
    )
    start = time.perf_counter()
    found = solve_whole(
        instance,
        goal,
        np.arange(instance.count),
        relative_gap=SCIPY_GAP,
        time_limit_s=600.0 if jobs == 100 else WHOLE_LIMIT_S,
    )
    seconds = time.perf_counter() - start
    plan = found.plan
    return {
        "what": "milp, whole model",
        "jobs": jobs,
        "seed": seed,
        "columns": instance.count,
        "seconds": round(seconds, 3),
        "peak_mb": peak_mb(),
        "usd": None if plan is None else plan.cost_micro(instance) / 1e6,
        "left_out": jobs if plan is None else int(plan.left_out.sum()),
    }


def missed_goals(row: dict[str, float | str | None]) -> list[str]:
    seconds, gap, memory = GOALS[int(row["jobs"])]
    figures = (("seconds", seconds), ("gap_ppm", gap), ("peak_mb", memory))
    name = f"{row['jobs']} jobs, seed {row['seed']}"
    return [f"{name}: {key} {row[key]} instead of below {goal}" for key, goal in figures if float(row[key]) >= goal]


def compared(row: dict[str, float | str | None], other: dict[str, float | str | None]) -> list[str]:
    """Return what is missed against the whole model: speed at 100 jobs, the better plan at 1,000."""
    ratio = float(other["seconds"]) / float(row["seconds"])
    print(f"    {ratio:.1f} times the time of column generation")
    if row["jobs"] == 100:
        return [f"{row['jobs']} jobs: only {ratio:.1f} times faster"] if ratio < TIMES_FASTER else []
    theirs = (other["left_out"], other["usd"] or 0.0)
    better = (row["left_out"], row["usd"]) < theirs
    return [] if better else [f"{row['jobs']} jobs: not better than milp after {WHOLE_LIMIT_S:.0f} s"]


def show(row: dict[str, float | str | None]) -> None:
    usd = "no plan" if row["usd"] is None else f"${row['usd']:,.2f}"
    proof = ""
    if "gap_ppm" in row:
        proof = f", gap {row['gap_ppm']} ppm, {row['quota_rows_used_up']} of {row['quota_rows']} quotas used up"
    print(
        f"{row['jobs']:>5} jobs x {row['columns']:>9,} columns, seed {row['seed']}: {row['what']:<18}"
        f"{row['seconds']:>8.2f} s {row['peak_mb']:>7.0f} MB  {usd}, {row['left_out']} left out{proof}"
    )


def peak_mb() -> float:
    """Return the peak memory of this process in megabytes; Linux counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6, 1)


def describe_machine() -> dict[str, str | int]:
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "cores": os.cpu_count() or 0,
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "scipy": version("scipy"),
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return platform.processor() or "unknown"
    lines = info.read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


if __name__ == "__main__":
    raise SystemExit(main())
