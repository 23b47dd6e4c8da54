from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from optimizer.search import spot_shortlist
from optimizer.search.candidates import affordable_bills
from optimizer.search.results import PlanStatus
from optimizer.search.solve import Quota
from optimizer.search.spot_candidates import spot_run
from optimizer.search.spot_policies import exact_micro
from optimizer.search.spot_shortlist import Shortlist, refined
from tests.fixtures.search_world import NOW
from tests.fixtures.spot_market import coarse_grid, cost, market_of, on_demand, planned, spot_job, spot_offer

GPUS = ("T4-16GB", "L4-24GB", "RTX-A5000-24GB", "A100-SXM-40GB", "A100-SXM-80GB", "H100-SXM-80GB")


def wide_market(count=12):
    """Spot at many prices, each with an on-demand machine at three times as much."""
    offers = []
    for k in range(count):
        where = {"gpu": GPUS[k % len(GPUS)], "instance_type": f"toy.{k}", "region": f"region-{k % 5}"}
        usd = 0.5 + 0.13 * ((7 * k) % 11)
        offers += [spot_offer(usd, **where), on_demand(3.0 * usd, **where)]
    return offers


def test_the_shortlist_holds_the_best_of_all(monkeypatch):
    monkeypatch.setattr(spot_shortlist, "SHORTLIST", 4)
    market = market_of(spot_job(hours=12.0), wide_market())
    bills, _ = affordable_bills(market)
    with coarse_grid():
        some = refined(market, bills)
        everything = Shortlist(market, bills)
        everything.work_out(np.arange(bills.count))
    assert everything.exact.all()
    assert some.expected_micro.min() == everything.bills.expected_micro.min()
    assert some.count < bills.count


def test_equal_policies_are_worked_out_once():
    same = [spot_offer(zone=zone) for zone in ("a", "b", "c")]
    market = market_of(spot_job(), [*same, on_demand()])
    bills, _ = affordable_bills(market)
    found = refined(market, bills)
    assert np.count_nonzero(market.offers.spot[market.places.offer[found.place]]) == 3 * len(market.answers)


def test_what_is_exact_is_the_dynamic_programs():
    market = market_of(spot_job(), [spot_offer(), on_demand()])
    bills, _ = affordable_bills(market)
    found = refined(market, bills)
    for at in range(found.count):
        if market.offers.spot[market.places.offer[found.place[at]]]:
            run = spot_run(market, int(found.place[at]), int(found.hardware[at]))
            assert found.expected_micro[at] == exact_micro(run)
            assert found.high_micro[at] >= found.expected_micro[at]


def test_bills_without_a_policy_stay_as_they_are():
    market = market_of(spot_job(executor="none", hours=96.0), [spot_offer(), on_demand()])
    bills, _ = affordable_bills(market)
    assert refined(market, bills).count == bills.count


def test_a_sweep_under_quotas_reaches_beyond_the_shortlist(monkeypatch):
    monkeypatch.setattr(spot_shortlist, "SHORTLIST", 1)
    monkeypatch.setattr(spot_shortlist, "MOST_ROUNDS", 1)
    offers, quotas = [], []
    for k in range(5):
        offers += [spot_offer(1.0 + 0.1 * k, provider=f"cloud-{k}"), on_demand(9.0, provider=f"cloud-{k}")]
        quotas.append(Quota(gpus=1, provider=f"cloud-{k}"))
    found = planned(spot_job(runs=5, pricing_models=("spot",)), offers, quotas=quotas)
    assert sorted(one.offer.provider for one in found.choices) == [f"cloud-{k}" for k in range(5)]
    assert sum(one.runs for one in found.choices) == 5
    assert planned(spot_job(runs=6, pricing_models=("spot",)), offers, quotas=quotas).status is PlanStatus.INFEASIBLE


@pytest.mark.parametrize("executor", ["none", "skypilot", "policy"])
@pytest.mark.parametrize("confidence_ppm", [500_000, 950_000])
@pytest.mark.parametrize("hours", [2.6, 12.0])
def test_the_choice_is_as_sure_as_asked_for(executor, confidence_ppm, hours):
    job = spot_job(executor=executor, confidence_ppm=confidence_ppm, hours=hours)
    for choice in planned(job, [spot_offer(0.5), on_demand(6.0)]).choices:
        assert choice.finish_probability_ppm >= confidence_ppm
        assert choice.slacks["deadline"] >= 0.0


def test_spot_that_is_not_sure_enough_is_left_for_what_is():
    offers = [spot_offer(0.5), on_demand(6.0)]
    risky = planned(spot_job(executor="none", hours=4.0), offers)
    assert risky.choices[0].offer.pricing_model.value == "on_demand"
    careless = planned(spot_job(executor="none", hours=4.0, confidence_ppm=400_000), offers)
    assert careless.choices[0].offer.pricing_model.value == "spot"


def test_spot_is_left_aside_after_so_many_that_failed(monkeypatch):
    monkeypatch.setattr("optimizer.search.choice.MOST_DRAWN", 2)
    monkeypatch.setattr("optimizer.search.spot_shortlist.finish_probability_ppm", lambda run: 0)
    offers = [spot_offer(0.5, gpu=gpu) for gpu in GPUS]
    found = planned(spot_job(executor="none", hours=96.0), [*offers, on_demand(9.0)])
    assert found.choices[0].offer.pricing_model.value == "on_demand"


def test_spot_that_only_the_ranking_puts_in_time_is_a_near_miss_of_the_deadline(monkeypatch):
    job = spot_job(executor="none", hours=500.0, pricing_models=("spot",))
    (easy,) = planned(job, [spot_offer()]).choices
    (row,) = {float(easy.finish_s_at_confidence)}
    from optimizer.search import spot_rows

    # A ranking that is too hopeful by far: every spot machine looks in time.
    known = spot_rows.finish_quantile
    monkeypatch.setattr(spot_rows, "finish_quantile", lambda *of: known(*of) * 0.3)
    tight = replace(job, deadline_at=NOW + timedelta(seconds=row / 2.0))
    found = planned(tight, [spot_offer()])
    assert found.status is PlanStatus.INFEASIBLE
    miss = found.near_misses[0]
    assert (miss.limit, miss.also) == ("deadline", ())
    assert miss.required >= miss.candidate.finish_s_at_confidence > row / 2.0
    later = replace(job, deadline_at=NOW + timedelta(seconds=miss.required + 1.0))
    assert cost(planned(later, [spot_offer()])) <= miss.candidate.quote.expected_usd_micro
