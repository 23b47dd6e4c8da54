from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest

from optimizer.report.json_plan import plan_text
from optimizer.report.style import Style
from optimizer.report.text_plan import format_plan
from optimizer.search.candidates import allowed_places, allowed_rows, join
from optimizer.search.results import PlanStatus
from optimizer.search.robust import at_worst, corner_of, held_at_worst
from providers.offer import PriceClass
from tests.fixtures.search_world import NOW
from tests.fixtures.spot_market import market_of, on_demand, planned, spot_job, spot_offer

OFFERS = [
    spot_offer(0.4, gpu="L4-24GB"), on_demand(1.1, gpu="L4-24GB"), spot_offer(1.0), on_demand(3.0),
    on_demand(3.4, gpu="H100-SXM-80GB", provider="nimbus"), on_demand(1.3, gpu="RTX-A5000-24GB", provider="nimbus"),
]  # fmt: skip


@pytest.mark.parametrize("executor", ["none", "skypilot", "policy"])
@pytest.mark.parametrize("hours", [4.0, 24.0])
@pytest.mark.parametrize("budget", [None, Decimal(14)])
def test_the_robust_choice_is_that_of_brute_force_over_all_bills(executor, hours, budget):
    job = spot_job(executor=executor, hours=hours, budget_usd=budget)
    found = planned(job, OFFERS, robust=True)
    market = held_at_worst(market_of(job, OFFERS))
    bills = join(market, allowed_rows(market), allowed_places(market))
    worst = at_worst(market, bills).expected_micro
    if executor != "policy":  # spot that is not sure enough has to be drawn: leave it to the plan
        stays = ~market.offers.spot[market.places.offer[bills.place]]
        spot_chosen = bool(found.choices) and found.choices[0].spot is not None
        bills, worst = (bills, worst) if spot_chosen else (bills.take(stays), worst[stays])
    kept = worst[worst <= float(budget or 1e9) * 1e6]
    if kept.size == 0:
        assert found.status is PlanStatus.INFEASIBLE
        return
    assert found.robust.worst_usd_micro == pytest.approx(kept.min(), abs=1.0)


@pytest.mark.parametrize("executor", ["none", "policy"])
def test_the_robust_choice_is_never_worse_at_worst_and_never_better_expected(executor):
    for hours in (12.0, 24.0):
        found = planned(spot_job(executor=executor, hours=hours), OFFERS, robust=True)
        report = found.robust
        assert report.worst_usd_micro <= report.worst_of_least_usd_micro
        assert report.expected_usd_micro >= report.least_expected_usd_micro
        assert report.same == (report.expected_usd_micro == report.least_expected_usd_micro)


def test_the_corner_is_beyond_the_high_end():
    market = market_of(spot_job(executor="none"), OFFERS)
    bills = join(market, allowed_rows(market), allowed_places(market))
    worst = at_worst(market, bills)
    assert (worst.expected_micro >= bills.high_micro).all()
    assert corner_of(market, int(bills.place[0]), int(bills.hardware[0])) == round(float(worst.expected_micro[0]))


def test_held_at_worst_every_duration_keeps_the_deadline_at_its_slow_end():
    for executor in ("none", "policy"):
        job = spot_job(executor=executor, hours=6.0, confidence_ppm=500_000)
        held = held_at_worst(market_of(job, OFFERS))
        rows = allowed_rows(held)
        assert rows.size
        assert (held.hardware.high_s[rows] <= 6.0 * 3600.0).all()
    free = market_of(spot_job(hours=None), OFFERS)
    assert held_at_worst(free) is free


def test_old_prices_make_the_corner_dearer_than_the_high_end():
    long = {"executor": "none", "hours": 200.0, "tokens": 280_000_000, "sequences": 1_064_000}
    old = on_demand(3.0, price_class=PriceClass.LIST, observed_at=NOW - timedelta(days=300))
    (choice,) = planned(spot_job(**long), [old]).choices
    report = planned(spot_job(**long), [old], robust=True).robust
    assert report.worst_usd_micro > choice.quote.high_usd_micro
    between = Decimal((report.worst_usd_micro + choice.quote.high_usd_micro) // 2) / 1_000_000
    tight = spot_job(**long, budget_usd=between)
    assert planned(tight, [old]).choices
    found = planned(tight, [old], robust=True)
    assert (found.status, found.near_misses) == (PlanStatus.INFEASIBLE, ())
    assert "Without it" in found.notes[0]
    text = " ".join(format_plan(found, Style(width=80)).split())
    assert "Nothing keeps every limit at the unfavourable end" in text
    assert '"infeasible"' in plan_text(found)


def test_a_dearer_expected_cost_than_a_runner_ups_reads_as_less():
    found = planned(spot_job(executor="none", hours=96.0), OFFERS, robust=True, top=4)
    text = format_plan(found, Style(width=100))
    assert "+-" not in text
    assert any("--robust" in note for note in found.notes)
    assert np.isfinite(found.robust.worst_usd_micro)
