"""Quotas hold wherever a job file with [[quota]] is asked about: plan, runners-up, frontier, sensitivity, why not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from optimizer.search.choice import settle
from optimizer.search.explain import why_not
from optimizer.search.frontier import frontier_of
from optimizer.search.market import survey
from optimizer.search.planner import plan
from optimizer.search.quota_places import within_quotas
from optimizer.search.results import PlanStatus
from optimizer.search.sensitivity import sensitivity_of
from optimizer.search.solve import Quota
from tests.fixtures.search_world import NOW, USD, make_job, make_offer, make_snapshot, tables

SNAPSHOT = make_snapshot(
    [
        make_offer("A100-SXM-80GB", provider="nimbus", region="r1", instance_type="a.1", unit_price_nano=2 * USD),
        make_offer("L40S-48GB", provider="cirrus", region="r1", instance_type="s.1", unit_price_nano=USD),
        make_offer("H100-SXM-80GB", provider="stratus", region="r9", instance_type="h.2", gpu_count=2,
                   unit_price_nano=9 * USD),
    ]
)  # fmt: skip
NO_NIMBUS = Quota(gpus=0, provider="nimbus")
JOB = make_job(methods=("lora", "qlora"), quantization_bits=(), deadline_at=NOW + timedelta(hours=30), budget_usd=None)


def market(job, quotas):
    return within_quotas(survey(job, SNAPSHOT, tables(), now=NOW), quotas)


def providers(candidates):
    return {one.offer.provider for one in candidates}


def test_no_quotas_leave_the_market_as_it_is():
    found = survey(JOB, SNAPSHOT, tables(), now=NOW)
    assert within_quotas(found, ()) is found


def test_what_a_quota_leaves_out_is_neither_chosen_nor_shown_beside_the_choice():
    free = plan(JOB, SNAPSHOT, tables(), now=NOW)
    assert "nimbus" in providers([*free.choices, *free.runners_up])
    bound = plan(JOB, SNAPSHOT, tables(), now=NOW, quotas=[NO_NIMBUS])
    assert "nimbus" not in providers([*bound.choices, *bound.runners_up])
    assert bound.rejected["quota"] > 0
    assert "quota" not in free.rejected


def test_a_frontier_keeps_quotas_with_all_runs_of_a_sweep_alike():
    quotas = [NO_NIMBUS, Quota(gpus=3, provider="cirrus")]
    for runs, expected in ((3, {"cirrus", "stratus"}), (4, {"stratus"})):
        job = replace(JOB, runs=runs)
        seen = market(job, quotas)
        found = frontier_of(seen, settle(seen, quotas))
        assert providers(point.candidate for point in found.points) <= expected
        assert found.points


def test_sensitivity_keeps_quotas_at_every_end():
    found = sensitivity_of(JOB, SNAPSHOT, tables(), now=NOW, quotas=[NO_NIMBUS])
    best = [point.best.candidate for driver in found.drivers for point in driver.points if point.best]
    assert best
    assert "nimbus" not in providers([found.choice, *best])


def test_why_not_names_the_quota():
    found = why_not(JOB, SNAPSHOT, tables(), now=NOW, spec="nimbus", quotas=[NO_NIMBUS])
    assert found.verdict == "infeasible"
    assert found.broken == {"quota": (1.0, 0.0)}
    assert "needs 1 GPU at once, and a quota allows 0" in found.sentence


@pytest.mark.parametrize(("runs", "needed"), [(1, 1), (4, 4)])
def test_a_job_that_quotas_leave_without_a_plan_is_told_which_quota_would_do(runs, needed):
    quotas = [Quota(gpus=min(runs - 1, 1), pricing_model="on_demand")]
    found = plan(replace(JOB, runs=runs), SNAPSHOT, tables(), now=NOW, quotas=quotas)
    assert found.status is PlanStatus.INFEASIBLE
    misses = {miss.limit: miss for miss in found.near_misses}
    assert (misses["quota"].required, misses["quota"].unit) == (needed, "GPUs")
    assert misses["quota"].flags == ()
    assert "have every quota on it raised to" in misses["quota"].sentence
    raised = [Quota(gpus=needed, pricing_model="on_demand")]
    assert plan(replace(JOB, runs=runs), SNAPSHOT, tables(), now=NOW, quotas=raised).choices
