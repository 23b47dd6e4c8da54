"""The document `tunefare.study/v1`: how a plan fares over many scenarios of prices and speeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.version import VERSION

from .json_candidate import candidate_object
from .json_job import job_object
from .json_plan import calibration_report_object, snapshot_object
from .json_text import Json, JsonObject, moment, to_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optimizer.search.scenario_results import Outcome, Spread, Study

SCHEMA = "tunefare.study/v1"
PPM = 1_000_000


def study_text(study: Study) -> str:
    """Return the study as JSON text: equal bytes for equal input and seed, whatever worked on it."""
    return to_text(study_document(study))


def study_document(study: Study) -> JsonObject:
    """Return the study as a document; `base` is null for a job without a plan. Counts are scenarios."""

    def outcome(one: Outcome | None) -> JsonObject | None:
        return None if one is None else _outcome(one, study)

    return {
        "schema": SCHEMA,
        "status": "optimal" if study.feasible else "infeasible",
        "made_at": moment(study.made_at),
        "tool_version": VERSION,
        "job": job_object(study.job),
        "seed": study.seed,
        "scenarios": study.scenarios,
        "base": outcome(study.base),
        "alternatives": [_outcome(one, study) for one in study.alternatives],
        "further_alternatives": study.further_alternatives,
        "robust": {
            "least_cost_p90": outcome(study.steadiest),
            "least_cost_mean": outcome(study.cheapest_on_average),
        },
        "nothing_fits": study.nothing_fits,
        "best_by": {
            "gpu": _counts(study.best_by_gpu),
            "provider": _counts(study.best_by_provider),
            "method": _counts(study.best_by_method),
        },
        "drawn": {"gpu_models": study.gpu_models, "price_groups": study.price_groups},
        "candidates": study.candidates,
        "snapshot": snapshot_object(study.snapshot, study.made_at),
        "calibration": calibration_report_object(study.calibration),
        "notes": list(study.notes),
    }


def share_ppm(count: int, whole: int) -> int:
    """Return a count of scenarios as parts per million of all, half rounded up."""
    return (2 * count * PPM + whole) // (2 * whole)


def _outcome(outcome: Outcome, study: Study) -> JsonObject:
    job, regret = study.job, outcome.regret_usd_micro
    return {
        "candidate": candidate_object(outcome.candidate, study.made_at),
        "admitted": outcome.admitted,
        "best": outcome.best,
        "best_ppm": share_ppm(outcome.best, study.scenarios),
        "in_time_ppm": None if job.deadline_at is None else share_ppm(outcome.in_time, study.scenarios),
        "in_budget_ppm": None if job.budget_usd is None else share_ppm(outcome.in_budget, study.scenarios),
        "kept": outcome.kept,
        "kept_ppm": share_ppm(outcome.kept, study.scenarios),
        "cost_usd_micro": _spread(outcome.cost_usd_micro),
        "duration_s": _spread(outcome.duration_s),
        "regret_usd_micro": None if regret is None else _spread(regret),
    }


def _spread(spread: Spread) -> JsonObject:
    return {"p10": spread.p10, "p50": spread.p50, "p90": spread.p90, "mean": spread.mean}


def _counts(counts: Mapping[str, int]) -> list[Json]:
    """Return names with the scenarios in which they were the best, most first: objects lose their order when sorted."""
    return [{"name": name, "scenarios": count} for name, count in counts.items()]
