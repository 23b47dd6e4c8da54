from __future__ import annotations

from dataclasses import replace

import pytest

from optimizer.search.confidence_price import CONFIDENCES_PPM, confidence_prices
from tests.fixtures.spot_market import cost, market_of, on_demand, planned, spot_job

OFFERS = [
    on_demand(0.5, gpu="T4-16GB"), on_demand(0.7, gpu="L4-24GB"), on_demand(1.0, gpu="RTX-A5000-24GB"),
    on_demand(3.0, gpu="A100-SXM-80GB"), on_demand(9.0, gpu="H100-SXM-80GB"), on_demand(9.5, gpu_count=8),
]  # fmt: skip


@pytest.mark.parametrize("hours", [1.5, 8.0])
@pytest.mark.parametrize("confidence_ppm", [600_000, 900_000])
def test_they_are_what_planning_at_each_confidence_costs(hours, confidence_ppm):
    job = spot_job(executor="none", hours=hours, confidence_ppm=confidence_ppm)
    found = confidence_prices(market_of(job, OFFERS))
    assert [one.confidence_ppm for one in found] == sorted({*CONFIDENCES_PPM, confidence_ppm})
    for one in found:
        again = cost(planned(replace(job, confidence_ppm=one.confidence_ppm), OFFERS))
        assert (float("inf") if one.cost_usd_micro is None else one.cost_usd_micro) == again


def test_being_surer_never_costs_less():
    for hours in (1.2, 2.0, 5.0):
        found = confidence_prices(market_of(spot_job(executor="none", hours=hours), OFFERS))
        costs = [float("inf") if one.cost_usd_micro is None else one.cost_usd_micro for one in found]
        assert costs == sorted(costs)


def test_none_without_a_deadline():
    assert confidence_prices(market_of(spot_job(executor="none", hours=None), OFFERS)) == ()
