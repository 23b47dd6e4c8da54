"""What `simulate` is asked: flags read, and put over what the plan holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from optimizer.search.spot.availability import HOUR_S, count_stretches, model_of, pooled
from optimizer.search.spot.problem import POLL_S, SpotProblem
from optimizer.search.spot.trace import stitched
from optimizer.search.spot.zone_counts import load_zone_models
from providers.basis import Basis
from providers.errors import JobError, one_line
from providers.money import MICRO

from .plan_reading import PlannedPolicy, read_planned_policy
from .spans import COMMAND_LINE, span_s
from .trace_file import read_trace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from optimizer.search.spot.availability import AvailabilityModel

DEAREST_USD = Decimal(1_000_000)
"""Dollars per instance-hour that a flag may name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationInput:
    """The flags as typed; None is not given. Spans are texts ("48h", "0s"), prices dollars per instance-hour."""

    plan: Path | str | None = None
    traces: tuple[Path | str, ...] = ()
    ones: str | None = None
    work: str | None = None
    deadline: str | None = None
    restart: str | None = None
    loss: str | None = None
    on_demand_usd: str | None = None
    spot_usd: str | None = None
    every: str | None = None
    windows: bool = False
    hazards_from: tuple[Path | str, ...] = ()
    draw: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The run that policies are compared for, before a trace says how it is sampled and priced."""

    problem: SpotProblem
    """Its spot price is the one given, or the plan's; 0 where only a trace can say (`spot_known`)."""
    planned: PlannedPolicy | None
    nodes: int
    spot_known: bool
    constant_spot: bool
    """The spot price was given: the traces' own are left aside."""
    own_prices: bool
    """Whether a trace's prices stand beside the on-demand price as they are; otherwise only how they move counts."""
    altered: bool
    """Whether anything differs from the plan, so that its table does not fit."""


def read_question(given: SimulationInput) -> Question:
    """Return the run to compare policies for. Raises JobError for flags that are wrong or missing."""
    planned = None if given.plan is None else read_planned_policy(given.plan)
    on_demand, spot = _price("on_demand_usd", given.on_demand_usd), _price("spot_usd", given.spot_usd)
    spans = {
        "work_s": _span("work", given.work),
        "deadline_s": _span("deadline", given.deadline),
        "restart_s": _span("restart", given.restart, zero=True),
        "loss_s": _span("loss", given.loss, zero=True),
    }
    said = {key: value for key, value in spans.items() if value is not None}
    model = _hazards(given)
    if planned is None:
        _refuse_missing(given)
        problem = SpotProblem(
            work_s=said["work_s"],
            deadline_s=said["deadline_s"],
            restart_s=said["restart_s"],
            loss_s=said.get("loss_s", 0.0),
            spot_micro_per_s=0.0 if spot is None else spot,
            on_demand_micro_per_s=on_demand or 0.0,
            availability=load_zone_models().pooled if model is None else model,
        )
        return Question(
            problem=problem,
            planned=None,
            nodes=1,
            spot_known=spot is not None,
            constant_spot=spot is not None,
            own_prices=True,
            altered=True,
        )
    problem = _with_spans(planned.problem, said)
    if model is not None:
        problem = replace(problem, availability=model)
    if on_demand is not None:
        ratio = problem.spot_micro_per_s / problem.on_demand_micro_per_s
        dearer = on_demand * planned.nodes
        problem = replace(problem, on_demand_micro_per_s=dearer, spot_micro_per_s=ratio * dearer)
    if spot is not None:
        problem = replace(problem, spot_micro_per_s=spot * planned.nodes)
    return Question(
        problem=problem,
        planned=planned,
        nodes=planned.nodes,
        spot_known=True,
        constant_spot=spot is not None,
        own_prices=on_demand is not None,
        altered=problem is not planned.problem,
    )


def poll_of(question: Question, step_s: float | None) -> float:
    """Return how often the market is looked at: the trace's step; the plan's own where that is longer and all else is
    the plan's, because its table and net fit it."""
    if step_s is None:
        return question.problem.poll_s if question.planned is not None else POLL_S
    if question.altered:
        return step_s
    return max(question.problem.poll_s, step_s)


def _hazards(given: SimulationInput) -> AvailabilityModel | None:
    """Return the hazards counted in the traces of --hazards-from, None without any."""
    if not given.hazards_from:
        return None
    traces = [read_trace(path, ones=given.ones).trace for path in given.hazards_from]
    up, down = pooled([count_stretches(stitched(trace.windows)) for trace in traces])
    names = ", ".join(dict.fromkeys(trace.zone for trace in traces))
    try:
        return model_of(up, down, name=one_line(f"hazards counted in {names}")[:200], basis=Basis.PUBLISHED)
    except ValueError as err:
        raise JobError(
            where=COMMAND_LINE,
            key="hazards_from",
            value=[str(path) for path in given.hazards_from],
            allowed="traces in which spot comes and goes: one state was never seen from its beginning",
        ) from err


def _with_spans(problem: SpotProblem, said: Mapping[str, float]) -> SpotProblem:
    if not said:
        return problem
    return replace(
        problem,
        work_s=said.get("work_s", problem.work_s),
        deadline_s=said.get("deadline_s", problem.deadline_s),
        restart_s=said.get("restart_s", problem.restart_s),
        loss_s=said.get("loss_s", problem.loss_s),
    )


def _refuse_missing(given: SimulationInput) -> None:
    needed = ("work", "deadline", "restart", "on_demand_usd")
    missing = [key for key in needed if getattr(given, key) is None]
    if missing:
        flags = ", ".join("--" + key.replace("_", "-") for key in missing)
        allowed = f"a plan file, or all of --work, --deadline, --restart, --on-demand-usd (missing: {flags})"
        raise JobError(where="plan", key="path", value=None, allowed=allowed)


def _span(key: str, text: str | None, *, zero: bool = False) -> float | None:
    if text is None:
        return None
    seconds = span_s(text, key=key)
    if seconds == 0.0 and not zero:
        raise JobError(where=COMMAND_LINE, key=key, value=text, allowed="a span above zero, such as 48h")
    return seconds


def _price(key: str, text: str | None) -> float | None:
    """Return dollars per instance-hour as micro-dollars per second."""
    if text is None:
        return None
    try:
        usd = Decimal(text)
    except InvalidOperation:
        usd = Decimal("NaN")
    if not (usd.is_finite() and 0 < usd <= DEAREST_USD):
        allowed = f"dollars per instance-hour, above 0 and at most {DEAREST_USD:,f}"
        raise JobError(where=COMMAND_LINE, key=key, value=text, allowed=allowed)
    return float(usd * MICRO) / HOUR_S


def labelled(names: Sequence[str]) -> tuple[str, ...]:
    """Return names that differ: a name that stands there twice is numbered."""
    return tuple(
        name if names.count(name) == 1 else f"{name} ({names[: at + 1].count(name)})" for at, name in enumerate(names)
    )
