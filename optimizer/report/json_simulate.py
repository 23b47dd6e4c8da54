"""The document `tunefare.simulation/v1`: spot policies side by side over traces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.search.spot.availability import HOUR_S
from optimizer.version import VERSION

from .json_text import JsonObject, ppm, to_text, whole

if TYPE_CHECKING:
    from optimizer.search.spot.problem import SpotProblem
    from optimizer.search.spot.simulation import Comparison, PolicyFigures

    from .spot_answers import SimulatedPart, SimulationAnswer

SCHEMA = "tunefare.simulation/v1"
MILLI = 1000


def simulation_text(answer: SimulationAnswer) -> str:
    """Return the simulation as JSON text: equal bytes for equal input."""
    return to_text(simulation_document(answer))


def simulation_document(answer: SimulationAnswer) -> JsonObject:
    """Return the simulation as a document: savings and ratios in ppm, money in micro-dollars, counts per run in
    thousandths."""
    return {
        "schema": SCHEMA,
        "tool_version": VERSION,
        "plan": answer.plan,
        "every_s": None if answer.every_s is None else whole(answer.every_s),
        "seed": answer.seed,
        "traces": [_part(part) for part in answer.traces],
        "together": None if answer.together is None else _comparison(answer.together),
        "drawn": None if answer.drawn is None else _part(answer.drawn),
        "notes": list(answer.notes),
    }


def _part(part: SimulatedPart) -> JsonObject:
    return {
        **_comparison(part.comparison),
        "file": part.file,
        "instance": part.instance,
        "source": part.source,
        "step_s": whole(part.step_s),
        "policy_worked_out_here": part.solved,
        "problem": _problem(part.problem),
    }


def _problem(problem: SpotProblem) -> JsonObject:
    model = problem.availability
    return {
        "work_s": whole(problem.work_s),
        "deadline_s": whole(problem.deadline_s),
        "restart_s": whole(problem.restart_s),
        "loss_s": whole(problem.loss_s),
        "poll_s": whole(problem.poll_s),
        "net_idle_s": whole(problem.net_idle_s),
        "net_spot_s": whole(problem.net_spot_s),
        "spot_usd_micro_per_h": whole(problem.spot_micro_per_s * HOUR_S),
        "on_demand_usd_micro_per_h": whole(problem.on_demand_micro_per_s * HOUR_S),
        "hazards": {"name": model.name, "basis": model.basis.value},
    }


def _comparison(found: Comparison) -> JsonObject:
    bound, closed = found.bound_saving_fraction, found.gap_closed_fraction
    return {
        "label": found.label,
        "episodes": found.episodes,
        "available_ppm": ppm(found.available_fraction),
        "on_demand_work_usd_micro": whole(found.work_micro),
        "mean_spot_usd_micro_per_h": whole(found.spot_micro_per_s * HOUR_S),
        "policies": [_figures(one) for one in found.policies],
        "bound": None
        if found.bound_micro is None or bound is None
        else {"mean_cost_usd_micro": whole(found.bound_micro), "saving_ppm": ppm(bound)},
        "gap_closed_ppm": None if closed is None else ppm(closed),
    }


def _figures(one: PolicyFigures) -> JsonObject:
    return {
        "policy": one.policy.value,
        "saving_ppm": ppm(one.saving_fraction),
        "missed": one.missed,
        "worst_ratio_ppm": ppm(one.worst_ratio),
        "mean_cost_usd_micro": whole(one.mean_micro),
        "highest_cost_usd_micro": whole(one.highest_micro),
        "interruptions_milli": whole(one.interruptions * MILLI),
        "starts_milli": whole(one.starts * MILLI),
    }
