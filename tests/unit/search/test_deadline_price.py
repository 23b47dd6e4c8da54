"""The price of the deadline from steps that are written down, and from a small market."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest

from optimizer.search.deadline_price import CostSteps, cost_steps, deadline_price, deadline_stretches
from optimizer.search.market import survey
from providers.offer import BillingTerms
from tests.fixtures.search_world import NOW, USD, make_job, make_offer, make_snapshot, tables

HOUR = 3600.0
STEPS = CostSteps(
    time_s=np.array([1.0, 1.5, 4.0, 4.5, 30.0]) * HOUR, cost_micro=np.array([90.0, 50.0, 20.0, 19.0, 10.0]) * 1e6
)


def price(hours, steps=STEPS):
    job = make_job(deadline_at=NOW + timedelta(hours=hours))
    market = survey(job, make_snapshot([make_offer()]), tables(), now=NOW)
    return deadline_price(market, steps)


def test_an_hour_more_and_an_hour_less_are_differences_of_steps():
    at = price(3.5)
    assert at.cost_usd_micro == 50_000_000
    assert at.saved_by_one_hour_more_usd_micro == 31_000_000
    assert at.cost_of_one_hour_less_usd_micro == 0
    assert at.next_saving_at == NOW + timedelta(hours=4)
    assert (at.next_saving_after_s, at.next_saving_usd_micro, at.next_cost_usd_micro) == (
        1800.0, 30_000_000, 20_000_000,
    )  # fmt: skip


def test_the_ends_of_the_steps():
    assert price(1.5).cost_usd_micro == 50_000_000  # exactly in time
    assert price(1.5).cost_of_one_hour_less_usd_micro is None
    assert price(2.0).cost_of_one_hour_less_usd_micro == 40_000_000
    late = price(100)
    assert (late.saved_by_one_hour_more_usd_micro, late.next_saving_at, late.next_saving_usd_micro) == (0, None, None)
    early = price(0.5)
    assert (early.cost_usd_micro, early.saved_by_one_hour_more_usd_micro) == (None, None)
    assert (early.next_saving_at, early.next_cost_usd_micro) == (NOW + timedelta(hours=1), 90_000_000)
    assert early.next_saving_usd_micro is None
    nothing = price(5, CostSteps(time_s=np.zeros(0), cost_micro=np.zeros(0)))
    assert (nothing.cost_usd_micro, nothing.next_saving_at) == (None, None)


def test_without_a_deadline_there_is_no_price():
    market = survey(make_job(deadline_at=None), make_snapshot([make_offer()]), tables(), now=NOW)
    assert deadline_price(market) is None
    assert cost_steps(market).time_s.size == 1


def test_stretches_join_steps_and_keep_both_ends():
    every = deadline_stretches(STEPS, most=8)
    assert [(one.from_s / HOUR, one.to_s / HOUR) for one in every] == [(1, 1.5), (1.5, 4), (4, 4.5), (4.5, 30)]
    assert [one.usd_micro_per_hour for one in every] == [80_000_000, 12_000_000, 2_000_000, 352_941]
    few = deadline_stretches(STEPS, most=2)
    assert (few[0].from_s, few[-1].to_s, len(few)) == (HOUR, 30 * HOUR, 2)
    assert sum(one.from_usd_micro - one.to_usd_micro for one in few) == 80_000_000
    assert deadline_stretches(CostSteps(time_s=STEPS.time_s[:1], cost_micro=STEPS.cost_micro[:1])) == ()


def test_other_limits_are_kept():
    offers = [
        make_offer("L4-24GB", provider="slow"),
        make_offer("H100-SXM-80GB", provider="fast", unit_price_nano=9 * USD),
    ]
    snapshot = make_snapshot(offers, billing={"slow": BillingTerms(), "fast": BillingTerms()})
    free = cost_steps(survey(make_job(), snapshot, tables(), now=NOW))
    assert free.time_s.size > 1
    poor = make_job(budget_usd=Decimal("0.5"))
    assert cost_steps(survey(poor, snapshot, tables(), now=NOW)).time_s.size == 0
    only = make_job(providers=("slow",))
    assert cost_steps(survey(only, snapshot, tables(), now=NOW)).time_s[0] > free.time_s[0]


def test_a_sweep_counts_the_gpus_of_all_its_runs():
    offers = [
        make_offer("L4-24GB", gpu_count=1),
        make_offer("L4-24GB", gpu_count=8, provider="eight", unit_price_nano=USD),
    ]
    one = cost_steps(survey(make_job(max_gpus=8), make_snapshot(offers), tables(), now=NOW))
    many = cost_steps(survey(make_job(max_gpus=8, runs=8), make_snapshot(offers), tables(), now=NOW))
    assert many.time_s[0] > one.time_s[0]


@pytest.mark.parametrize("hours", [0.1, 1.2, 3.0, 40.0])
def test_nothing_is_below_zero(hours):
    at = price(hours)
    for amount in (at.saved_by_one_hour_more_usd_micro, at.cost_of_one_hour_less_usd_micro, at.next_saving_usd_micro):
        assert amount is None or amount >= 0
