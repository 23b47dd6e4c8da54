"""The document `tunefare.portfolio/v1`: what `portfolio --json` prints and `--output` writes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from optimizer.version import VERSION

from .json_job import job_object
from .json_plan import NOTHING_CHOSEN, calibration_report_object, chosen_objects, snapshot_object
from .json_text import Json, JsonObject, moment, to_text, whole, whole_or_null

if TYPE_CHECKING:
    from datetime import datetime

    from optimizer.search.portfolio.results import Money, PlacedJob, Portfolio, QuotaUse, TeamTotal, UnplacedJob

SCHEMA = "tunefare.portfolio/v1"


def portfolio_text(answer: Portfolio) -> str:
    """Return the portfolio as JSON text: equal bytes for an equal portfolio, no timings in it."""
    return to_text(portfolio_document(answer))


def portfolio_document(answer: Portfolio) -> JsonObject:
    """Return the portfolio as a document of integers, texts, lists and objects; unknown is null.

    `jobs` stand in the order of the file, each with the objects of a plan; `quota_prices` are estimates.
    """
    jobs: dict[str, JsonObject] = {one.job.name: _placed(one, answer.made_at) for one in answer.placed}
    jobs |= {one.job.name: _unplaced(one) for one in answer.unplaced}
    solver = answer.solver
    return {
        "schema": SCHEMA,
        "status": answer.status.value,
        "made_at": moment(answer.made_at),
        "tool_version": VERSION,
        "jobs": [jobs[name] for name in answer.order],
        "unplaced": [
            {"name": one.job.name, "reason": one.reason.value, "limit": one.limit, "sentence": one.sentence}
            for one in answer.unplaced
        ],
        "total_cost_usd_micro": money_object(answer.total),
        "teams": [_team(one) for one in answer.teams],
        "quota_use": [_use(one) for one in answer.quotas],
        "quota_prices": [_price(one) for one in answer.quotas if one.saves_usd_micro or one.places_ppm],
        "solver": {
            "status": solver.status.value,
            "gap_ppm": solver.gap_ppm,
            "bound_usd_micro": solver.bound_usd_micro,
            "fewest_unplaced_proven": solver.fewest_unplaced_proven,
            "columns": solver.columns,
            "iterations": solver.iterations,
            "held": solver.held,
        },
        "snapshot": snapshot_object(answer.snapshot, answer.made_at),
        "calibration": calibration_report_object(answer.calibration),
        "notes": list(answer.notes),
    }


def money_object(money: Money) -> JsonObject:
    """Return micro-dollars with both ends."""
    return {"low": money.low_usd_micro, "expected": money.expected_usd_micro, "high": money.high_usd_micro}


def _placed(one: PlacedJob, now: datetime) -> JsonObject:
    start_s = min(one.starts_s)
    return {
        **_head(one),
        "status": "placed",
        "slots": [slot for slot in dict.fromkeys(one.slots) if slot],
        "start_at": moment(now + timedelta(seconds=start_s)),
        "start_s": whole(start_s),
        "finish_s": whole(one.finish_s),
        "slack_s": whole_or_null(one.slack_s),
        **chosen_objects(one.choices, now),
        # One run's cost is that of its only candidate; a sweep's is the sum.
        "cost_usd_micro": money_object(one.cost),
    }


def _unplaced(one: UnplacedJob) -> JsonObject:
    return {
        **_head(one),
        "status": "unplaced",
        "slots": [],
        "start_at": None,
        "start_s": None,
        "finish_s": None,
        "slack_s": None,
        **NOTHING_CHOSEN,
    }


def _head(one: PlacedJob | UnplacedJob) -> JsonObject:
    return {"name": one.job.name, "priority": one.priority, "team": one.team, "job": job_object(one.job)}


def _team(one: TeamTotal) -> JsonObject:
    budget: Json = one.budget_usd_micro
    return {
        "team": one.team or None,
        "all": one.team is None,
        "jobs": one.jobs,
        "placed": one.placed,
        "cost_usd_micro": money_object(one.cost),
        "charged_usd_micro": one.charged_usd_micro,
        "budget_usd_micro": budget,
    }


def _use(one: QuotaUse) -> JsonObject:
    return {**_quota(one), "gpus": one.quota.gpus, "used": one.used, "offers": one.offers}


def _price(one: QuotaUse) -> JsonObject:
    return {
        **_quota(one),
        "saves_usd_micro_per_gpu": one.saves_usd_micro,
        "places_jobs_ppm_per_gpu": one.places_ppm,
        "basis": "linear relaxation",
    }


def _quota(one: QuotaUse) -> JsonObject:
    quota = one.quota
    return {
        "provider": quota.provider,
        "region": quota.region,
        "gpu": quota.gpu,
        "pricing_model": quota.pricing_model,
        "slot": one.slot or None,
    }
