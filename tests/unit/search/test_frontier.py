"""The frontier where it is not plain: a budget that the cheapest may exceed, sweeps, spot, nothing that fits."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from optimizer.search.choice import settle
from optimizer.search.frontier import frontier_of
from optimizer.search.market import survey
from providers.offer import BillingTerms, PriceClass, PricingModel
from tests.fixtures.search_world import NOW, USD, make_job, make_offer, make_snapshot, tables


def market_of(job, offers):
    return survey(job, make_snapshot(offers, billing={o.provider: BillingTerms() for o in offers}), tables(), now=NOW)


def test_a_choice_that_is_dearer_but_surer_is_a_point_beside_what_beats_it():
    # The same machine: one price is three years old and a little lower, its high end far higher.
    old = make_offer(provider="old", observed_at=NOW - timedelta(days=1000), price_class=PriceClass.LIST)
    fresh = make_offer(provider="fresh", unit_price_nano=USD * 101 // 100, price_class=PriceClass.OWN)
    free = frontier_of(market_of(make_job(), [old, fresh]))
    assert {point.candidate.offer.provider for point in free.points} == {"old"}
    high = free.points[0].candidate.quote.high_usd_micro
    budget = Decimal(high - 1) / 1_000_000
    found = frontier_of(market_of(make_job(budget_usd=budget), [old, fresh]))
    assert found.chosen is not None
    assert found.chosen.candidate.offer.provider == "fresh"
    assert {(p.candidate.offer.provider, p.keeps_budget) for p in found.points} == {("old", False), ("fresh", True)}


def test_where_nothing_fits_there_is_no_point():
    found = frontier_of(market_of(make_job(methods=("full",), max_gpus=1), [make_offer("T4-16GB", host_ram_bytes=1)]))
    assert (found.points, found.feasible, found.chosen) == ((), False, None)


def test_limits_on_time_money_and_quality_mark_points_and_others_remove_them():
    offers = [
        make_offer("L4-24GB", provider="slow"),
        make_offer("H100-SXM-80GB", provider="fast", unit_price_nano=9 * USD),
    ]
    job = make_job(methods=(), quantization_bits=(), deadline_at=NOW + timedelta(hours=2), quality_floor="med-high")
    found = frontier_of(market_of(job, offers))
    assert {point.keeps_deadline for point in found.points} == {True, False}
    assert {point.keeps_quality_floor for point in found.points} == {True, False}
    assert all(point.keeps_budget is None for point in found.points)
    assert {point.allowed for point in found.points} == {True, False}
    only = frontier_of(market_of(replace(job, providers=("slow",)), offers))
    assert {point.candidate.offer.provider for point in only.points} == {"slow"}


def test_the_runs_of_a_sweep_share_a_machine_and_its_gpus():
    small = make_offer("L4-24GB", provider="small", unit_price_nano=USD // 2)
    large = make_offer("A100-SXM-80GB", provider="large", gpu_count=8, unit_price_nano=USD)
    one = frontier_of(market_of(make_job(max_gpus=8), [small, large]))
    many = frontier_of(market_of(make_job(max_gpus=8, runs=2), [small, large]))
    assert {point.candidate.offer.provider for point in one.points} >= {"large"}
    assert {point.candidate.offer.provider for point in many.points} == {"small"}
    assert all(point.candidate.runs == 2 for point in many.points)


@pytest.mark.parametrize("executor", ["none", "policy"])
def test_with_spot_the_choice_is_on_it_and_no_shown_point_beats_another(executor):
    spot = make_offer("A100-SXM-80GB", provider="p", pricing_model=PricingModel.SPOT, unit_price_nano=USD // 3)
    calm = make_offer("A100-SXM-80GB", provider="p")
    job = make_job(executor=executor, pricing_models=("spot", "on_demand"), deadline_at=NOW + timedelta(hours=12))
    market = market_of(job, [spot, calm])
    settled = settle(market)
    found = frontier_of(market, settled)
    ((at, _),) = settled.solution.chosen
    offer = market.offers.offers[int(market.places.offer[settled.bills.place[at]])]
    assert found.chosen is not None
    assert found.chosen.candidate.offer.key == offer.key
    assert sum(point.chosen for point in found.points) == 1
    costs = [point.candidate.quote.expected_usd_micro for point in found.points]
    times = [point.candidate.finish_s_at_confidence for point in found.points]
    assert costs == sorted(costs)
    assert times == sorted(times, reverse=True)
