"""The use case `simulate`: a plan's spot policy and others, replayed over availability traces or drawn episodes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from optimizer.report.spot_answers import SimulatedPart, SimulationAnswer
from optimizer.search.spot.availability import HOUR_S
from optimizer.search.spot.drawing import draw_market
from optimizer.search.spot.dynamic_program import solve_policy
from optimizer.search.spot.replay import Market
from optimizer.search.spot.simulation import compare_policies, together
from optimizer.search.spot.trace import episodes_of, stitched
from optimizer.search.spot.zone_counts import load_zone_models
from providers.errors import JobError
from providers.units import format_duration

from .simulation_input import Question, SimulationInput, labelled, poll_of, read_question
from .spans import COMMAND_LINE, span_s
from .trace_file import TraceFile, read_trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.physics.runs import Floats
    from optimizer.search.spot.policy_table import PolicyTable
    from optimizer.search.spot.problem import SpotProblem
    from optimizer.search.spot.trace import Window


EVERY_S = 7200.0
"""Between the starts of two episodes in a trace, unless said otherwise."""
MOST_CELLS = 30_000_000
"""Episodes x samples that are replayed at once: some 500 MB."""
MOST_STEPS = 50_000
"""Looks at the market within a deadline."""
MOST_DRAWN = 100_000
DRAWN = "drawn from the hazards"


def simulate_policies(given: SimulationInput) -> SimulationAnswer:
    """Return what the policies make of the traces. Raises JobError for flags, files or traces that are wrong."""
    if not given.traces and given.draw is None:
        raise JobError(
            where=COMMAND_LINE, key="trace", value=None, allowed="at least one --trace FILE, or --simulate N"
        )
    question = read_question(given)
    every_s = _every_s(given)
    files = [read_trace(path, ones=given.ones) for path in given.traces]
    labels = labelled([file.trace.zone for file in files])
    notes: list[str] = [note for file in files for note in file.notes]
    parts = tuple(
        _over_trace(question, file, label=label, every_s=every_s, notes=notes)
        for file, label in zip(files, labels, strict=True)
    )
    _note_in_sample(question, files, notes)
    drawn = None if given.draw is None else _over_drawn(question, parts, given.draw, given.seed)
    return SimulationAnswer(
        plan=None if question.planned is None else question.planned.path,
        traces=parts,
        together=together([part.comparison for part in parts], label="all traces") if len(parts) > 1 else None,
        drawn=drawn,
        every_s=every_s if parts else None,
        seed=given.seed,
        notes=tuple(dict.fromkeys(notes)),
    )


def _note_in_sample(question: Question, files: Sequence[TraceFile], notes: list[str]) -> None:
    """Note traces of the zones that the shipped hazards were counted in: a policy looks better there than elsewhere."""
    if "AWS V100" not in question.problem.availability.name:
        return
    zones = [file.trace.zone for file in files if file.trace.zone in load_zone_models().names]
    if zones:
        notes.append(
            f"The policy's hazards were counted in {', '.join(dict.fromkeys(zones))} too. What it saves in a zone that "
            "was not watched before is told by --hazards-from with other traces."
        )


def _every_s(given: SimulationInput) -> float | None:
    """Return the distance of two episodes; None where every window is one."""
    if given.windows:
        if given.every is not None:
            raise JobError(where=COMMAND_LINE, key="every", value=given.every, allowed="not beside --windows")
        return None
    every_s = EVERY_S if given.every is None else span_s(given.every, key="every")
    if every_s <= 0.0:
        raise JobError(where=COMMAND_LINE, key="every", value=given.every, allowed="a span above zero, such as 2h")
    return every_s


def _over_trace(
    question: Question, file: TraceFile, *, label: str, every_s: float | None, notes: list[str]
) -> SimulatedPart:
    episodes, step_s = _episodes(question.problem.deadline_s, file, every_s=every_s, notes=notes)
    up = np.stack([one.available for one in episodes])
    price = _prices(question, file, episodes, notes)
    poll_s = poll_of(question, step_s)
    problem = question.problem
    solved = question.altered or poll_s != problem.poll_s
    if solved and not question.altered:
        notes.append(
            f"{file.path} is sampled every {format_duration(step_s)}, the plan looks every "
            f"{format_duration(question.problem.poll_s)}: its policy was worked out anew for the longer."
        )
    if solved:
        # Worked out for what a planner sees: the price on the day that a run begins.
        first = problem.spot_micro_per_s if price is None else float(price[:, 0].mean())
        problem = replace(problem, poll_s=poll_s, spot_micro_per_s=first)
    if price is None:
        price = np.full(up.shape, problem.spot_micro_per_s)
    market = Market(up=up, spot_micro_per_s=price, step_s=step_s, age_s=np.zeros(up.shape[0]))
    return SimulatedPart(
        comparison=compare_policies(_table(question, problem, solved=solved), problem, market, label=label),
        problem=problem,
        file=file.path,
        instance=file.trace.instance,
        source=file.trace.source,
        step_s=step_s,
        solved=solved,
    )


def _table(question: Question, problem: SpotProblem, *, solved: bool) -> PolicyTable:
    if question.planned is None or solved:
        return solve_policy(problem).table
    return question.planned.table


def _episodes(
    deadline_s: float, file: TraceFile, *, every_s: float | None, notes: list[str]
) -> tuple[list[Window], float]:
    """Return the episodes of a trace, each as long as the deadline, and its step. Raises JobError without any."""
    steps = sorted({window.step_s for window in file.trace.windows})
    if len(steps) > 1:
        shown = " and ".join(f"{step:g}" for step in steps[:2])
        raise JobError(where=file.path, key="gap_seconds", value=shown, allowed="one step for all windows")
    step_s = steps[0]
    windows = file.trace.windows if every_s is None else stitched(file.trace.windows)
    long_enough = [one for one in windows if one.span_s >= deadline_s - 1e-6]
    if not long_enough:
        longest = format_duration(max(one.span_s for one in windows))
        allowed = f"at least one as long as the deadline, {format_duration(deadline_s)}"
        raise JobError(where=file.path, key="longest window", value=longest, allowed=allowed)
    if len(long_enough) < len(windows):
        short = len(windows) - len(long_enough)
        verb = "is" if short == 1 else "are"
        notes.append(f"{file.path}: {short} of {len(windows)} windows {verb} shorter than the deadline and left out.")
    _refuse_size(deadline_s, step_s, sum(_count(one, deadline_s, every_s) for one in long_enough), where=file.path)
    longest_s = max(one.span_s for one in long_enough)
    return episodes_of(long_enough, span_s=deadline_s, every_s=every_s or longest_s), step_s


def _count(window: Window, deadline_s: float, every_s: float | None) -> int:
    return 1 if every_s is None else int((window.span_s - deadline_s) // max(every_s, window.step_s)) + 1


def _refuse_size(deadline_s: float, step_s: float, episodes: int, *, where: str) -> None:
    steps = int(np.ceil(deadline_s / step_s - 1e-9))
    if steps > MOST_STEPS:
        allowed = f"at most {MOST_STEPS:,} looks at the market within the deadline: a coarser trace, a nearer deadline"
        raise JobError(where=where, key="samples", value=steps, allowed=allowed)
    if steps * episodes > MOST_CELLS:
        allowed = (
            f"at most {MOST_CELLS // steps:,} episodes of {steps:,} samples: a larger --every, a smaller --simulate"
        )
        raise JobError(where=where, key="episodes", value=episodes, allowed=allowed)


def _prices(question: Question, file: TraceFile, episodes: Sequence[Window], notes: list[str]) -> Floats | None:
    """Return micro-dollars per second of the whole gang, shape (episodes, steps); None for one constant price."""
    found = [one.spot_micro_per_h for one in episodes if one.spot_micro_per_h is not None]
    if question.constant_spot or len(found) < len(episodes):
        if not question.spot_known:
            allowed = "--spot-usd X: the trace has no prices of its own" if not found else "prices in every window"
            raise JobError(where=file.path, key="spot_usd_per_hour", value=None, allowed=allowed)
        return None
    prices: Floats = np.stack(found) / HOUR_S
    if question.own_prices:
        return prices * question.nodes
    notes.append(
        "The plan is for another machine than the traces: their spot prices count by how they move about their mean, "
        "at the level of the plan's. --on-demand-usd takes them as they are."
    )
    level = question.problem.spot_micro_per_s / float(prices.mean())
    return prices * level


def _over_drawn(question: Question, parts: Sequence[SimulatedPart], count: int, seed: int) -> SimulatedPart:
    """Return the policies over episodes drawn from the hazards that the policy is worked out with."""
    if not 1 <= count <= MOST_DRAWN:
        raise JobError(where=COMMAND_LINE, key="simulate", value=count, allowed=f"1 to {MOST_DRAWN:,} episodes")
    if seed < 0:
        raise JobError(where=COMMAND_LINE, key="seed", value=seed, allowed="a whole number of at least 0")
    problem = question.problem
    if not question.spot_known:
        if not parts:
            raise JobError(
                where=COMMAND_LINE, key="spot_usd", value=None, allowed="--spot-usd X, or a trace with prices"
            )
        problem = replace(problem, spot_micro_per_s=float(np.mean([one.problem.spot_micro_per_s for one in parts])))
    poll_s = poll_of(question, parts[0].step_s if parts else None)
    solved = question.altered or poll_s != problem.poll_s
    problem = replace(problem, poll_s=poll_s)
    steps = int(np.ceil(problem.deadline_s / poll_s - 1e-9))
    _refuse_size(problem.deadline_s, poll_s, count, where=COMMAND_LINE)
    market = draw_market(
        problem.availability,
        episodes=count,
        span_s=steps * poll_s,
        step_s=poll_s,
        spot_micro_per_s=problem.spot_micro_per_s,
        seed=seed,
    )
    return SimulatedPart(
        comparison=compare_policies(_table(question, problem, solved=solved), problem, market, label=DRAWN),
        problem=problem,
        file=None,
        instance="",
        source=problem.availability.name,
        step_s=poll_s,
        solved=solved,
    )
