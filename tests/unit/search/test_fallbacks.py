from __future__ import annotations

import numpy as np
import pytest

from optimizer.search.constraints import PlaceView
from optimizer.search.fallbacks import (
    dearer_than_on_demand,
    failover_order,
    failover_regions,
    fallbacks,
    lacks_net,
)
from optimizer.search.offers_columns import lay_out_offers
from tests.fixtures.search_world import NOW, make_snapshot, tables
from tests.fixtures.spot_market import on_demand, planned, spot_job, spot_offer


def laid_out(*offers):
    return lay_out_offers(make_snapshot(offers), tables().gpus, now=NOW)


def at(columns, offer):
    return next(k for k, one in enumerate(columns.offers) if one.key == offer.key)


def net_of(job, spot, *others):
    columns = laid_out(spot, *others)
    found = int(fallbacks(job, columns)[at(columns, spot)])
    return None if found < 0 else columns.offers[found]


def test_the_net_is_the_same_place_then_the_same_provider_then_the_cheapest():
    spot = spot_offer()
    same = on_demand(9.0)
    sister = on_demand(5.0, region="region-2")
    dear_sister = on_demand(6.0, region="region-3")
    cheapest = on_demand(4.0, provider="othercloud")
    assert net_of(spot_job(), spot, same, sister, cheapest) == same
    assert net_of(spot_job(), spot, dear_sister, sister, cheapest) == sister
    assert net_of(spot_job(), spot, cheapest, on_demand(7.0, provider="thirdcloud")) == cheapest


def test_the_net_has_the_same_gpus_and_keeps_the_limits_on_places():
    spot = spot_offer()
    assert net_of(spot_job(), spot, on_demand(gpu_count=2), on_demand(gpu="H100-SXM-80GB")) is None
    elsewhere = on_demand(provider="othercloud")
    assert net_of(spot_job(providers=("examplecloud",)), spot, elsewhere) is None
    assert net_of(spot_job(regions=("REGION-1",)), spot, elsewhere) == elsewhere
    # Who asks for spot alone still needs a net to keep a deadline.
    assert net_of(spot_job(pricing_models=("spot",)), spot, elsewhere) == elsewhere


def test_nobody_goes_to_a_net_without_an_executor():
    assert net_of(spot_job(executor="none"), spot_offer(), on_demand()) is None


@pytest.mark.parametrize(
    ("executor", "hours", "lacks"),
    [("policy", 24.0, True), ("policy", None, False), ("skypilot", 24.0, False), ("none", 24.0, False)],
)
def test_only_a_policy_with_a_deadline_needs_a_net(executor, hours, lacks):
    columns = laid_out(spot_offer(), on_demand(gpu_count=2))
    job = spot_job(executor=executor, hours=hours)
    found = lacks_net(job, columns, fallbacks(job, columns))
    assert found.tolist() == [columns.offers[k].pricing_model.value == "spot" and lacks for k in range(2)]


def test_spot_as_dear_as_on_demand_in_its_place_is_dearer():
    cheap, equal, above, elsewhere = (
        spot_offer(usd, instance_type=f"toy.{name}")
        for name, usd in (("cheap", 2.99), ("equal", 3.0), ("above", 4.0), ("elsewhere", 9.0))
    )
    there = [on_demand(3.0, instance_type=f"toy.{name}") for name in ("cheap", "equal", "above")]
    columns = laid_out(cheap, equal, above, elsewhere, *there, on_demand(1.0, region="region-9"))
    found = dearer_than_on_demand(columns)
    named = {columns.offers[k].instance_type for k in np.flatnonzero(found)}
    assert named == {"toy.equal", "toy.above"}


def test_failover_takes_the_own_offer_first_and_one_a_region():
    own = spot_offer(1.0, region="region-2", zone="b")
    others = [
        spot_offer(0.9, region="region-2", zone="a"),  # its own region again
        spot_offer(1.4, region="region-3"),
        spot_offer(1.2, region="region-1"),
        spot_offer(1.3, region="region-1", zone="c"),
        spot_offer(3.5, region="region-4"),  # dearer than the net
        spot_offer(0.5, region="region-5", gpu_count=2),  # another machine
    ]
    columns = laid_out(own, *others, on_demand(3.0))
    everything = np.ones(columns.count, dtype=np.bool_)
    fallback = fallbacks(spot_job(), columns)
    order = failover_order(columns, at(columns, own), everything, fallback)
    assert [columns.offers[k].region for k in order] == ["region-2", "region-1", "region-3"]
    assert failover_regions(columns, everything, fallback)[at(columns, own)] == 3
    # What the job does not allow is no failover.
    forbidden = everything.copy()
    forbidden[at(columns, others[1])] = False
    assert failover_regions(columns, forbidden, fallback)[at(columns, own)] == 2


@pytest.mark.parametrize("count", [1, 3, 8])
def test_a_plan_names_its_failovers_each_with_a_ceiling(count):
    spots = [spot_offer(1.0 + k / 100, region=f"region-{k}") for k in range(count)]
    (choice,) = planned(spot_job(), [*spots, on_demand(3.0, region="region-0")]).choices
    answer = choice.spot
    assert [one.offer.region for one in answer.failover] == [f"region-{k}" for k in range(min(count, 5))]
    # Spot is worth having up to the price of what the run would fall back on.
    assert {one.ceiling_nano for one in answer.failover} == {3_000_000_000}
    assert answer.fallback.offer.pricing_model.value == "on_demand"
    assert answer.fallback.ceiling_nano >= answer.fallback.offer.unit_price_nano


def test_nothing_is_said_against_offers_that_were_not_judged():
    view = PlaceView.of(laid_out(spot_offer()))
    assert (view.spot_allowed.all(), view.dearer.any(), view.without_net.any()) == (True, False, False)
