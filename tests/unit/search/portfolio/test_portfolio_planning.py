"""Portfolios of complete jobs on invented offers: one job is a plan, alike jobs share work, reasons have numbers."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest

from optimizer.search.candidates import affordable_bills
from optimizer.search.market import survey
from optimizer.search.planner import plan
from optimizer.search.portfolio import job_columns
from optimizer.search.portfolio.job_columns import Markets
from optimizer.search.portfolio.planning import plan_portfolio
from optimizer.search.portfolio.request import Content, Limits, QuotaRow, Request, Slot
from optimizer.search.portfolio.results import PortfolioStatus, Reason, SolverStatus
from optimizer.search.solve import Quota
from providers.offer import BillingTerms
from tests.fixtures.search_world import NOW, USD, make_job, make_offer, make_snapshot, tables

MARKET = [
    make_offer("A100-SXM-80GB", provider="nimbus", region="r1", instance_type="a.1", unit_price_nano=2 * USD),
    make_offer("A100-SXM-80GB", provider="nimbus", region="r2", instance_type="a.8", gpu_count=8,
               unit_price_nano=15 * USD),
    make_offer("L4-24GB", provider="cirrus", region="r1", instance_type="l.1", unit_price_nano=USD // 2),
    make_offer("H100-SXM-80GB", provider="stratus", region="r9", instance_type="h.1", unit_price_nano=7 * USD),
]  # fmt: skip
BILLING = {"nimbus": BillingTerms(increment_s=3600), "cirrus": BillingTerms(increment_s=60, minimum_s=600)}


def content(market=MARKET, **changes):
    job = make_job(
        name="", deadline_at=None, budget_usd=None, methods=("lora", "qlora"), quantization_bits=(), **changes
    )
    return Content(job=job, snapshot=make_snapshot(market, billing=BILLING), tables=tables())


SHARED = content()


def request(name="a", *, of=SHARED, hours=24, budget=None, **values):
    return Request(
        name=name,
        content=of,
        deadline_at=None if hours is None else NOW + timedelta(hours=hours),
        budget_usd=None if budget is None else Decimal(budget),
        **values,
    )


def quota(gpus, slot=0, **names):
    return QuotaRow(quota=Quota(gpus=gpus, **names), slot=slot)


def solve(*requests, quotas=(), **limits):
    return plan_portfolio(requests, Limits(quotas=tuple(quotas), **limits), now=NOW)


def chosen(answer):
    return {job.job.name: [(one.offer.key, one.nodes, one.recipe, one.runs, one.quote) for one in job.choices]
            for job in answer.placed}  # fmt: skip


@pytest.mark.parametrize("hours", [None, 3, 9, 24])
@pytest.mark.parametrize("budget", [None, 3, 40])
@pytest.mark.parametrize("runs", [1, 3])
def test_a_portfolio_of_one_is_the_plan(hours, budget, runs):
    one = request(of=content(runs=runs), hours=hours, budget=budget)
    answer = solve(one)
    job = replace(
        one.content.job, name="a", deadline_at=one.deadline_at, budget_usd=None if budget is None else Decimal(budget)
    )
    found = plan(job, one.content.snapshot, tables(), now=NOW, top=0)
    assert chosen(answer).get("a", []) == [(c.offer.key, c.nodes, c.recipe, c.runs, c.quote) for c in found.choices]
    if found.choices:
        assert answer.solver.status is SolverStatus.OPTIMAL
        assert answer.placed[0].slack_s == min((c.slacks["deadline"] for c in found.choices if hours), default=None)
    else:
        assert answer.status is PortfolioStatus.INFEASIBLE
        assert answer.unplaced[0].sentence == found.near_misses[0].sentence


def test_a_portfolio_of_one_under_quotas_is_the_plan_under_them():
    limits = [quota(0, provider="cirrus"), quota(2, provider="nimbus", gpu="A100-SXM-80GB"), quota(1, region="r1")]
    one = request(of=content(runs=2), hours=5)
    job = replace(one.content.job, name="a", deadline_at=one.deadline_at)
    found = plan(job, one.content.snapshot, tables(), now=NOW, top=0, quotas=[row.quota for row in limits])
    answer = solve(one, quotas=limits)
    assert answer.total.expected_usd_micro == sum(c.quote.expected_usd_micro * c.runs for c in found.choices)


def test_jobs_that_share_nothing_cost_what_they_cost_alone():
    jobs = [request("a", hours=4), request("b", hours=24), request("c", hours=24, of=content(tokens=40_000_000))]
    alone = [solve(job).total.expected_usd_micro for job in jobs]
    assert solve(*jobs).total.expected_usd_micro == sum(alone)


def test_a_thousand_alike_jobs_are_surveyed_once_and_answered(monkeypatch):
    surveys = []
    honest = job_columns.survey
    monkeypatch.setattr(job_columns, "survey", lambda *args, **values: surveys.append(1) or honest(*args, **values))
    jobs = [request(f"j{at}") for at in range(1000)]
    answer = solve(*jobs, quotas=[quota(300, provider="cirrus"), quota(200, provider="nimbus")])
    assert len(surveys) == 1
    assert answer.status is PortfolioStatus.COMPLETE
    assert [use.used for use in answer.quotas] == [300, 200]
    assert [job.job.name for job in answer.placed] == [f"j{at}" for at in range(1000)]


def test_jobs_that_differ_in_deadline_share_a_survey_that_judges_them_as_their_own_would(monkeypatch):
    shared = Markets(NOW)
    for hours in (None, 1, 3, 6, 24):
        deadline = None if hours is None else NOW + timedelta(hours=hours)
        job = replace(SHARED.job, name="x", deadline_at=deadline, budget_usd=Decimal(30))
        ours, _ = affordable_bills(shared.of(SHARED, job))
        theirs, _ = affordable_bills(survey(job, SHARED.snapshot, SHARED.tables, now=NOW))
        for column in ("place", "hardware", "expected_micro", "high_micro"):
            assert np.array_equal(getattr(ours, column), getattr(theirs, column))


def test_with_spot_machines_every_deadline_has_its_own_survey(monkeypatch):
    surveys = []
    honest = job_columns.survey
    monkeypatch.setattr(job_columns, "survey", lambda job, *args, **values: surveys.append(job.deadline_at)
                        or honest(job, *args, **values))  # fmt: skip
    spot = [replace(offer, pricing_model="spot", instance_type=f"{offer.instance_type}s") for offer in MARKET]
    from providers.offer import PricingModel

    spot = [replace(offer, pricing_model=PricingModel.SPOT) for offer in spot]
    of = content([*MARKET, *spot], pricing_models=("spot", "on_demand"))
    solve(request("a", of=of, hours=20), request("b", of=of, hours=30))
    assert {NOW + timedelta(hours=20), NOW + timedelta(hours=30)} <= set(surveys)


def test_priority_one_goes_first_and_who_is_left_out_is_told_what_is_missing():
    one_gpu = [quota(1, provider="cirrus"), quota(0, provider="nimbus"), quota(0, provider="stratus")]
    answer = solve(request("low", priority=2), request("high", priority=1), quotas=one_gpu)
    assert [job.job.name for job in answer.placed] == ["high"]
    (left,) = answer.unplaced
    assert (left.job.name, left.reason, left.limit) == ("low", Reason.CROWDED_OUT, "quota cirrus")
    assert "0 of the 1 GPUs of quota cirrus, and it needs 1: 1 more would place it" in left.sentence
    assert answer.status is PortfolioStatus.PARTIAL
    assert answer.solver.fewest_unplaced_proven
    more = solve(
        request("low", priority=2), request("high", priority=1), quotas=[quota(2, provider="cirrus"), *one_gpu[1:]]
    )
    assert more.status is PortfolioStatus.COMPLETE
    assert answer.quotas[0].places_ppm == pytest.approx(1_000_000, rel=0.02)


def test_quotas_of_zero_and_too_small_ones_are_the_reason():
    none = solve(request(), quotas=[quota(0, provider=name) for name in ("cirrus", "nimbus", "stratus")])
    assert none.status is PortfolioStatus.INFEASIBLE
    assert none.unplaced[0].reason is Reason.QUOTA
    assert "which has 0" in none.unplaced[0].sentence
    assert none.solver.gap_ppm == 0


def test_a_budget_too_small_for_one_and_one_used_up_are_told_apart():
    of = content(MARKET[3:])
    alone = solve(request(of=of))
    needed = Decimal(alone.placed[0].cost.high_usd_micro) / 1_000_000
    small = solve(request(of=of, team="x"), team_usd=(("x", needed / 2),))
    assert (small.unplaced[0].reason, small.unplaced[0].limit) == (Reason.BUDGET, "the budget of team x")
    shared = solve(
        request("a", of=of, team="x"), request("b", of=of, team="x"), team_usd=(("x", needed * Decimal("1.5")),)
    )
    assert [job.job.name for job in shared.placed] == ["a"]
    assert shared.unplaced[0].reason is Reason.CROWDED_OUT
    assert "of the budget of team x, and it may cost at least" in shared.unplaced[0].sentence
    total = next(team for team in shared.teams if team.team == "x")
    assert total.budget_usd_micro == int(needed * Decimal("1.5") * 1_000_000)
    assert total.charged_usd_micro <= total.budget_usd_micro


def test_budgets_are_checked_against_the_high_end_and_zero_pays_for_nothing():
    assert solve(request(), total_usd=Decimal(0)).unplaced[0].reason is Reason.BUDGET
    free = content([make_offer("L4-24GB", provider="own", unit_price_nano=0)])
    free = replace(free, snapshot=make_snapshot([owned() for _ in range(1)]))
    assert solve(request(of=free), total_usd=Decimal(0)).status is PortfolioStatus.COMPLETE


def owned():
    from providers.offer import PriceClass

    return make_offer("L4-24GB", provider="own", unit_price_nano=0, price_class=PriceClass.OWN)


def test_the_total_adds_errors_up_on_one_gpu_model_and_in_quadrature_across():
    same = solve(request("a"), request("b"))
    parts = [job.cost for job in same.placed]
    assert same.total.high_usd_micro == sum(part.high_usd_micro for part in parts)
    assert same.total.low_usd_micro == sum(part.low_usd_micro for part in parts)
    mixed = solve(request("a"), request("b"), quotas=[quota(1, provider="cirrus"), quota(0, provider="stratus")])
    above = [job.cost.high_usd_micro - job.cost.expected_usd_micro for job in mixed.placed]
    assert len({job.choices[0].gpu.id for job in mixed.placed}) == 2
    assert mixed.total.high_usd_micro - mixed.total.expected_usd_micro == round(float(np.hypot(*above)))


def test_slots_share_a_quota_one_after_the_other():
    slots = (Slot(name="now", start_s=0.0), Slot(name="later", start_s=12 * 3600.0))
    rows = [quota(1, slot=at, provider="cirrus") for at in (0, 1)]
    rows += [quota(0, slot=at, provider=name) for at in (0, 1) for name in ("nimbus", "stratus")]
    answer = solve(request("a"), request("b"), quotas=rows, slots=slots)
    assert answer.status is PortfolioStatus.COMPLETE
    assert sorted(job.slots[0] for job in answer.placed) == ["later", "now"]
    late = next(job for job in answer.placed if job.slots[0] == "later")
    first = next(job for job in answer.placed if job.slots[0] == "now")
    assert late.slack_s == pytest.approx(first.slack_s - 12 * 3600.0)
    assert late.finish_s == pytest.approx(first.finish_s + 12 * 3600.0)
    # A run that lasts into the next slot takes a machine there too.
    close = (slots[0], Slot(name="later", start_s=3600.0))
    crowded = solve(request("a"), request("b"), quotas=rows, slots=close)
    assert crowded.status is PortfolioStatus.PARTIAL
    assert [(use.slot, use.used) for use in crowded.quotas[:2]] in (
        [("now", 1), ("later", 1)],
        [("now", 0), ("later", 1)],
    )


def test_a_start_too_late_for_the_deadline_is_no_choice():
    slots = (Slot(name="now", start_s=0.0), Slot(name="later", start_s=23 * 3600.0), Slot(name="never", start_s=9e5))
    rows = [quota(0, slot=0, provider=name) for name in ("cirrus", "nimbus", "stratus")]
    answer = solve(request("a", slots=(1, 2)), request("b"), quotas=rows, slots=slots)
    for job in answer.placed:
        assert job.slack_s >= 0
        assert job.slots == ("later",)


def test_a_job_whose_slots_leave_too_little_time_is_told_so_and_not_that_no_machine_fits():
    late = (Slot(name="late", start_s=30 * 3600.0),)
    (told,) = solve(request("a", hours=24), slots=late).unplaced
    assert (told.reason, told.limit) == (Reason.LIMITS, "deadline")
    assert told.sentence == (
        "Its first start, slot late, is 1d06h from now, and its deadline 1d from now: "
        "give it an earlier slot or a later deadline."
    )
    close = (Slot(name="x", start_s=0.0), Slot(name="close", start_s=23.9 * 3600.0))
    (told,) = solve(request("a", hours=24, slots=(1,)), slots=close).unplaced
    assert told.limit == "deadline"
    assert told.sentence.startswith("Times counted from its first start, slot close, 23h54m from now: ")
    assert "the deadline leaves 6m" in told.sentence


def test_no_limits_at_all_is_every_plan_for_itself_and_twice_the_same_is_the_same():
    jobs = [request(f"j{at}", hours=hours, team="t" if at % 2 else None) for at, hours in enumerate((None, 2, 5, 30))]
    limits = [quota(2, region="r1"), quota(8, gpu="A100-SXM-80GB")]
    assert solve(*jobs, quotas=limits) == solve(*jobs, quotas=limits)


def test_a_sweep_too_large_for_its_quotas_alone_says_so():
    rows = [quota(2, provider="cirrus"), quota(0, provider="nimbus"), quota(0, provider="stratus")]
    answer = solve(request(of=content(runs=3)), quotas=rows)
    assert answer.unplaced[0].reason is Reason.QUOTA
    assert "Its 3 runs do not fit into the quotas at once" in answer.unplaced[0].sentence
