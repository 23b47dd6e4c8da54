from __future__ import annotations

import pytest

from optimizer.search.policy_deadline import policy_deadline_price
from tests.fixtures.spot_market import coarse_grid, on_demand, planned, spot_job, spot_offer

OFFERS = [spot_offer(1.0), on_demand(3.0)]


def price(hours, **job):
    found = planned(spot_job(hours=hours, pricing_models=("spot",), **job), OFFERS)
    with coarse_grid():
        return found, policy_deadline_price(found.choices[0])


def test_an_hour_more_saves_and_an_hour_less_costs_more_while_both_are_possible():
    found, told = price(8.0)
    assert found.deadline_price == told
    assert told.cost_usd_micro == found.choices[0].quote.expected_usd_micro
    assert 0 < told.saved_by_one_hour_more_usd_micro <= told.cost_of_one_hour_less_usd_micro
    assert told.next_saving_at is None


@pytest.mark.parametrize("hours", [6.0, 12.0])
def test_it_is_near_the_difference_of_two_plans(hours):
    # Two grids differ by a few per mille of the cost, coarse ones by a few per cent.
    here, told = price(hours)
    later, _ = price(hours + 1.0)
    saved = here.choices[0].quote.expected_usd_micro - later.choices[0].quote.expected_usd_micro
    assert told.saved_by_one_hour_more_usd_micro == pytest.approx(saved, abs=0.03 * told.cost_usd_micro)


def test_with_an_hour_less_than_the_least_nothing_is_in_time():
    found, told = price(3.0)
    sure_h = found.choices[0].spot.needed_s / 3600.0
    assert (told.cost_of_one_hour_less_usd_micro is None) == (sure_h > 2.0)
    _, told = price(sure_h + 0.9)
    assert told.cost_of_one_hour_less_usd_micro is None


@pytest.mark.parametrize("executor", ["none", "skypilot"])
def test_only_policies_have_one(executor):
    found = planned(spot_job(hours=96.0, executor=executor), OFFERS)
    assert policy_deadline_price(found.choices[0]) is None
    assert policy_deadline_price(planned(spot_job(hours=None), OFFERS).choices[0]) is None
