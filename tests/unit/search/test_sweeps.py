"""The runs of a sweep are placed all at once: together they keep the most GPUs that the job may use."""

from __future__ import annotations

from decimal import Decimal

from optimizer.search.explain import why_not
from optimizer.search.market import survey
from optimizer.search.near_misses import all_runs_alike
from optimizer.search.planner import plan
from optimizer.search.results import PlanStatus
from tests.fixtures.search_world import NOW, USD, make_job, make_offer, make_snapshot, tables


def planned(job, *offers):
    return plan(job, make_snapshot(offers), tables(), now=NOW)


ONE = make_offer(unit_price_nano=3 * USD)
FOUR = make_offer(gpu_count=4, instance_type="toy.four", unit_price_nano=USD)


def test_the_sum_of_all_runs_is_what_counts():
    assert planned(make_job(runs=4, max_gpus=4), ONE).choices[0].runs == 4
    short = planned(make_job(runs=5, max_gpus=4), ONE)
    assert short.status is PlanStatus.INFEASIBLE
    (miss,) = short.near_misses
    assert (miss.limit, miss.required, miss.allowed) == ("max_gpus", 5.0, 4.0)
    assert "uses 5 GPUs (5 runs at once), and the limit is 4" in miss.sentence
    assert miss.flags == (("--max-gpus", ("5",)),)


def test_cheap_large_machines_are_taken_as_far_as_the_limit_goes():
    found = planned(make_job(runs=3, max_gpus=6), ONE, FOUR)
    assert sorted((c.offer.gpu_count, c.runs) for c in found.choices) == [(1, 2), (4, 1)]
    assert sorted((c.offer.gpu_count, c.runs) for c in planned(make_job(runs=3, max_gpus=5), ONE, FOUR).choices) == [
        (1, 3)
    ]
    assert [(c.offer.gpu_count, c.runs) for c in planned(make_job(runs=3, max_gpus=12), ONE, FOUR).choices] == [(4, 3)]


def test_notes_say_how_many_gpus_run_at_once():
    notes = planned(make_job(runs=3, max_gpus=6), ONE, FOUR).notes
    assert "All 3 runs at once, 6 GPUs; at most 6 may be used." in notes
    assert not any("at once" in note for note in planned(make_job(), ONE).notes)


def test_near_misses_put_all_runs_on_one_candidate():
    # 8 GPUs hold one run on four GPUs and four on one each, but not five on four.
    job = make_job(runs=5, max_gpus=8)
    market = survey(job, make_snapshot([ONE, FOUR]), tables(), now=NOW)
    alike = all_runs_alike(market)
    per_run = market.hardware.slacks["max_gpus"].needed - 4.0
    assert set(per_run.tolist()) == {1.0, 4.0}
    assert (alike.hardware.slacks["max_gpus"].needed == 5.0 * per_run).all()
    assert not market.hardware.slacks["max_gpus"].broken.any()
    assert (alike.hardware.slacks["max_gpus"].broken == (per_run == 4.0)).all()


def test_a_sweep_that_breaks_gpus_and_budget_names_both():
    (miss,) = planned(make_job(runs=5, max_gpus=4, budget_usd=Decimal("0.10")), ONE).near_misses
    assert set(miss.broken) == {"max_gpus", "budget"}
    assert miss.broken["budget"] == 5 * miss.candidate.quote.high_usd_micro


def test_explain_names_the_offer_that_a_mixed_sweep_takes():
    job = make_job(runs=3, max_gpus=6)
    found = why_not(job, make_snapshot([ONE, FOUR]), tables(), now=NOW, spec="1x")
    assert found.choice.offer.gpu_count == 4
