"""Spot policies over availability traces: 48 h of work, four deadlines, two restarts, hazards from the other zones.

    python benchmarks/spot_policies.py [FOLDER]

FOLDER holds traces with prices (`*.json`; docs/spot.md). Without it four zones are drawn from the shipped hazards: the
table then says how the code does, not how the policies do in the world, and the goals for saving are left aside. Saving
and worst cost are against the work at the on-demand price. What given traces come to is kept as
benchmarks/results/spot_policies.json.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from optimizer.app.trace_file import read_trace
from optimizer.search.spot.availability import HOUR_S, count_stretches, model_of, pooled
from optimizer.search.spot.drawing import draw_market
from optimizer.search.spot.dynamic_program import SpotSolution, solve_policy
from optimizer.search.spot.problem import SpotProblem
from optimizer.search.spot.replay import Market
from optimizer.search.spot.simulation import Comparison, PolicyName, compare_policies, together
from optimizer.search.spot.trace import Window, episodes_of, stitched
from optimizer.search.spot.zone_counts import load_zone_models
from optimizer.version import VERSION
from providers.basis import Basis

WORK_H, DEADLINES_H, RESTARTS_MIN = 48, (52, 60, 72, 96), (3, 12)
ON_DEMAND_USD, EVERY_H = 3.06, 2.0
SAVING_GOALS = {(52, 3): 0.40, (52, 12): 0.32}
WORST_GOAL, CLOSED_GOAL, SOLVE_GOAL_S, SHORTLIST_GOAL_S = 1.10, 0.70, 0.1, 1.0
RESULTS = Path(__file__).parent / "results" / "spot_policies.json"
Zones = dict[str, tuple[Window, ...]]


@dataclass(frozen=True)
class Setting:
    """One deadline and one restart over all zones."""

    deadline_h: int
    restart_min: int
    found: Comparison
    solve_s: float


def main(arguments: list[str]) -> int:
    published = bool(arguments)
    zones = zones_of(Path(arguments[0])) if published else drawn_zones()
    print(f"{'traces of ' + arguments[0] if published else 'four zones drawn from the shipped hazards'}:", end=" ")
    print(", ".join(f"{zone} {spanned(windows):.0f} h" for zone, windows in zones.items()))
    print("deadline restart  runs  greedy uniform dynamic  bound  closed missed worst  solve")
    settings = [measured(zones, deadline, restart) for deadline in DEADLINES_H for restart in RESTARTS_MIN]
    for one in settings:
        print(line(one))
    greedy, ours, bound = (mean_saving(settings, name) for name in ("greedy", "dynamic_program", "bound"))
    closed = (ours - greedy) / (bound - greedy)
    print(f"mean of {len(settings)} settings: greedy {greedy:.1%}, Uniform Progress", end=" ")
    print(f"{mean_saving(settings, 'uniform_progress'):.1%}, dynamic program {ours:.1%}, bound {bound:.1%}")
    solve_s = max(one.solve_s for one in settings)
    shortlist_s = shortlist(zones)
    goals = {
        "no deadline missed": sum(one.found.of(PolicyName.DYNAMIC_PROGRAM).missed for one in settings) == 0,
        f"worst cost at most {WORST_GOAL:.2f} x on-demand": max(worst(one) for one in settings) <= WORST_GOAL,
        f"closes {closed:.1%} of the gap (goal {CLOSED_GOAL:.0%})": closed >= CLOSED_GOAL,
        f"solve with every shorter deadline {solve_s * 1e3:.0f} ms (goal {SOLVE_GOAL_S * 1e3:.0f})": solve_s
        < SOLVE_GOAL_S,
        f"shortlist of ten {shortlist_s:.2f} s (goal {SHORTLIST_GOAL_S:.0f})": shortlist_s < SHORTLIST_GOAL_S,
    }
    for one in settings if published else ():
        goal = SAVING_GOALS.get((one.deadline_h, one.restart_min))
        if goal is not None:
            saved = one.found.of(PolicyName.DYNAMIC_PROGRAM).saving_fraction
            goals[f"{one.deadline_h} h, {one.restart_min} min: saves {saved:.1%} (goal {goal:.0%})"] = saved >= goal
    for goal_text, reached in goals.items():
        print(f"{'reached' if reached else 'MISSED '}  {goal_text}")
    if published:
        record(settings, zones, closed=closed, solve_s=solve_s, shortlist_s=shortlist_s, goals=goals)
    return 0 if all(goals.values()) else 1


def zones_of(folder: Path) -> Zones:
    """Return the joined windows of every trace in a folder, by zone."""
    files = sorted(one for one in folder.iterdir() if one.suffix == ".json")
    found = {}
    for file in files:
        trace = read_trace(file).trace
        found[trace.zone] = stitched(trace.windows)
    if len(found) < 2:
        sys.exit(f"{folder}: at least two zones are needed, each is judged with the hazards of the others")
    return found


def drawn_zones() -> Zones:
    """Return 830 hours drawn from the hazards of each shipped zone, at a constant price."""
    zones = {}
    for seed, model in enumerate(load_zone_models().zones):
        market = draw_market(
            model, episodes=1, span_s=830 * HOUR_S, step_s=195.0, spot_micro_per_s=0.95e6 / HOUR_S, seed=seed
        )
        price = np.full(market.up.shape[1], 0.95e6)
        zones[model.name] = (Window(start=None, step_s=195.0, available=market.up[0], spot_micro_per_h=price),)
    return zones


def spanned(windows: tuple[Window, ...]) -> float:
    return sum(one.span_s for one in windows) / HOUR_S


def measured(zones: Zones, deadline_h: int, restart_min: int) -> Setting:
    """Return all zones under one setting, each with the hazards of the others."""
    parts, taken = [], []
    for zone in zones:
        problem, market = asked(zones, zone, deadline_h, restart_min)
        began = time.perf_counter()
        solution = solve_policy(problem)
        solution.cost_by_deadline()
        taken.append(time.perf_counter() - began)
        parts.append(compare_policies(solution.table, problem, market, label=zone))
    return Setting(deadline_h, restart_min, together(parts, label="all"), float(np.median(taken)))


def asked(zones: Zones, zone: str, deadline_h: int, restart_min: int) -> tuple[SpotProblem, Market]:
    """Return the run in one zone with the hazards of the others, and the zone's episodes."""
    episodes = episodes_of(zones[zone], span_s=deadline_h * HOUR_S, every_s=EVERY_H * HOUR_S)
    up = np.stack([one.available for one in episodes])
    price = np.stack([one.spot_micro_per_h for one in episodes]) / HOUR_S  # type: ignore[misc]  # all have prices
    model = model_of(
        *pooled([count_stretches(windows) for other, windows in zones.items() if other != zone]),
        name="the other zones",
        basis=Basis.PUBLISHED,
    )
    step_s = episodes[0].step_s
    problem = SpotProblem(
        work_s=WORK_H * HOUR_S,
        deadline_s=deadline_h * HOUR_S,
        restart_s=restart_min * 60.0,
        loss_s=0.0,
        spot_micro_per_s=float(price[:, 0].mean()),
        on_demand_micro_per_s=ON_DEMAND_USD * 1e6 / HOUR_S,
        availability=model,
        poll_s=step_s,
    )
    return problem, Market(up=up, spot_micro_per_s=price, step_s=step_s, age_s=np.zeros(up.shape[0]))


def shortlist(zones: Zones) -> float:
    """Return the seconds that ten offers take, each with its own price and hazards, and the cost of every deadline."""
    zone = next(iter(zones))
    problem, _ = asked(zones, zone, 72, 3)
    began = time.perf_counter()
    for at in range(10):
        offer = SpotProblem(
            work_s=problem.work_s,
            deadline_s=problem.deadline_s,
            restart_s=problem.restart_s,
            loss_s=problem.loss_s,
            spot_micro_per_s=problem.spot_micro_per_s * (1.0 + 0.05 * at),
            on_demand_micro_per_s=problem.on_demand_micro_per_s,
            availability=problem.availability.scaled(loss=1.0 + 0.1 * at),
            poll_s=problem.poll_s,
        )
        solution: SpotSolution = solve_policy(offer)
        solution.cost_by_deadline()
    return time.perf_counter() - began


def worst(one: Setting) -> float:
    return one.found.of(PolicyName.DYNAMIC_PROGRAM).worst_ratio


def saving(one: Setting, name: str) -> float:
    if name == "bound":
        return one.found.bound_saving_fraction or 0.0
    return one.found.of(PolicyName(name)).saving_fraction


def mean_saving(settings: list[Setting], name: str) -> float:
    return float(np.mean([saving(one, name) for one in settings]))


def line(one: Setting) -> str:
    found = one.found
    ours = found.of(PolicyName.DYNAMIC_PROGRAM)
    savings = "  ".join(
        f"{saving(one, name):6.1%}" for name in ("greedy", "uniform_progress", "dynamic_program", "bound")
    )
    closed = found.gap_closed_fraction or 0.0
    return (
        f"{one.deadline_h:5d} h {one.restart_min:4d} min {found.episodes:6,d}  {savings}  {closed:5.1%} "
        f"{ours.missed:5d} {ours.worst_ratio:6.3f} {one.solve_s * 1e3:4.0f} ms"
    )


def record(
    settings: list[Setting],
    zones: Zones,
    *,
    closed: float,
    solve_s: float,
    shortlist_s: float,
    goals: dict[str, bool],
) -> None:
    """Write what was measured, with machine and versions."""
    document = {
        "benchmark": "spot_policies",
        "zones": {zone: round(spanned(windows), 1) for zone, windows in zones.items()},
        "work_h": WORK_H,
        "settings": [
            {
                "deadline_h": one.deadline_h,
                "restart_min": one.restart_min,
                "runs": one.found.episodes,
                **{f"{name}_saving": round(saving(one, name), 4) for name in (*map(str, PolicyName), "bound")},
                "missed": {str(name): one.found.of(name).missed for name in PolicyName},
                "worst_ratio": {str(name): round(one.found.of(name).worst_ratio, 4) for name in PolicyName},
                "gap_closed": round(one.found.gap_closed_fraction or 0.0, 4),
                "solve_s": round(one.solve_s, 4),
            }
            for one in settings
        ],
        "gap_closed": round(closed, 4),
        "solve_s": round(solve_s, 4),
        "shortlist_of_ten_s": round(shortlist_s, 4),
        "goals": goals,
        "machine": {"processor": platform.machine(), "system": platform.system(), "python": platform.python_version()},
        "versions": {"tunefare": VERSION, "numpy": np.__version__},
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(f"wrote {RESULTS.relative_to(Path.cwd()) if RESULTS.is_relative_to(Path.cwd()) else RESULTS}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
