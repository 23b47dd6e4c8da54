from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest

from optimizer.physics.results import Interval
from optimizer.search.candidates import affordable_bills, factorise, join
from optimizer.search.choice import best_of, choose
from optimizer.search.market import survey
from optimizer.search.planner import plan
from optimizer.workload.job import Overheads
from providers.offer import BillingTerms, PriceClass, PricingModel
from tests.fixtures.search_world import NOW, USD, make_job, make_offer, make_snapshot, model, tables

BILLING = {"examplecloud": BillingTerms(increment_s=3600), "other": BillingTerms(increment_s=60)}
OFFERS = [
    make_offer(region=f"r{k}", provider=provider, gpu_count=gpus, unit_price_nano=USD + k)
    for k, (provider, gpus) in enumerate([("examplecloud", 1), ("other", 2)] * 2)
]


def with_random_times(seed, job):
    """A market whose times have nothing to do with physics, so that medians and tails disagree."""
    market = survey(job, make_snapshot(OFFERS, billing=BILLING), tables(), now=NOW)
    rng = np.random.default_rng(seed)
    count = market.hardware.count
    expected = rng.uniform(3000.0, 20_000.0, count)
    finish, high = expected * rng.uniform(1.0, 3.0, count), expected * rng.uniform(1.0, 3.0, count)
    broken = np.where(rng.random(count) < 0.3, 1, 0)
    hardware = replace(market.hardware, expected_s=expected, finish_s=finish, high_s=high, broken=broken)
    return replace(market, hardware=hardware)


def everything(market):
    bills = join(market, np.arange(market.hardware.count), np.arange(market.places.count))
    bills = bills.take(market.hardware.broken[bills.hardware] == 0)
    budget = market.job.budget_usd
    return bills if budget is None else bills.take(bills.high_micro <= float(budget * 1_000_000))


@pytest.mark.parametrize("seed", range(40))
def test_factorisation_loses_nothing_that_could_win(seed):
    budget = (None, Decimal(2), Decimal(3))[seed % 3]
    market = with_random_times(seed, make_job(methods=("lora", "dora"), deadline_at=None, budget_usd=budget))
    bills, _ = affordable_bills(market)
    every = everything(market)
    assert bills.count <= every.count
    if every.count == 0:
        assert bills.count == 0
        return
    one, other = bills.take(np.array([best_of(market, bills)])), every.take(np.array([best_of(market, every)]))
    assert (one.place[0], one.hardware[0]) == (other.place[0], other.hardware[0])
    assert one.expected_micro[0] == other.expected_micro[0]
    ((chosen, _),) = choose(market, bills).chosen
    assert (bills.place[chosen], bills.hardware[chosen]) == (one.place[0], one.hardware[0])


def test_factorisation_keeps_each_end_of_the_trade():
    market = with_random_times(0, make_job(deadline_at=None))
    rows = np.flatnonzero(market.hardware.broken == 0)
    kept = factorise(market, rows)
    for klass in range(market.hardware.start.shape[0] - 1):
        group = rows[market.hardware.klass[rows] == klass]
        for column in (market.hardware.expected_s, market.hardware.finish_s, market.hardware.high_s):
            assert group[np.argmin(column[group])] in kept


def test_equal_bills_are_decided_by_the_finish_and_not_by_the_name():
    # Both are charged for forty hours whatever they take; the faster one has the later name.
    terms = {"examplecloud": BillingTerms(minimum_s=40 * 3600)}
    slow, fast = make_offer(region="a"), make_offer(gpu="H100-SXM-80GB", region="b")
    (choice,) = plan(make_job(), make_snapshot([slow, fast], billing=terms), tables(), now=NOW).choices
    assert choice.offer.region == "b"


def test_local_disk_that_is_large_enough_is_free_and_the_rest_is_rented():
    job = make_job(overheads=Overheads(disk_bytes=100e9))

    def disk(**changes):
        (choice,) = plan(job, make_snapshot([make_offer(**changes)]), tables(), now=NOW).choices
        return {item.name: item.usd_micro for item in choice.quote.items}.get("disk", 0)

    hours = plan(job, make_snapshot([make_offer()]), tables(), now=NOW).choices[0].duration_s.expected / 3600.0
    assert disk() == pytest.approx(100 * 100_000 * hours / 730, abs=1)
    assert disk(disk_bytes=99_000_000_000) == disk()
    assert disk(disk_bytes=100_000_000_000) == 0
    assert disk(price_class=PriceClass.OWN) == 0


def test_disk_holds_system_weights_data_and_two_checkpoints():
    job = make_job(overheads=Overheads(data_bytes=5e9))
    market = survey(job, make_snapshot([make_offer()]), tables(), now=NOW)
    trained = model().adapter(16, ("all-linear",)).params
    state = tables().speed.duration.checkpoint_state_bytes
    expected = 30e9 + 2.0 * model().total_params + 5e9 + 2.0 * (2.0 + state) * trained
    assert market.physics.disk_bytes == pytest.approx(np.full(market.physics.count, expected))


def test_the_larger_of_loading_and_training_must_fit(monkeypatch):
    from optimizer.physics.memory import estimate_memory

    def heavy_loading(runs, constants):
        memory = estimate_memory(runs, constants)
        huge = np.full(runs.count, 500e9)
        return replace(memory, load_required=Interval(low=huge, expected=huge, high=huge))

    monkeypatch.setattr("optimizer.search.physics_rows.estimate_memory", heavy_loading)
    found = plan(make_job(), make_snapshot([make_offer()]), tables(), now=NOW)
    assert found.rejected["memory"] == found.solver.candidates
    assert found.near_misses[0].required == 500e9


def test_the_probability_of_a_spot_run_is_that_of_its_own_finish_time():
    spot = make_offer(pricing_model=PricingModel.SPOT)
    job = make_job(pricing_models=("spot",))
    (choice,) = plan(job, make_snapshot([spot]), tables(), now=NOW).choices
    tight = replace(job, deadline_at=NOW + timedelta(seconds=choice.finish_s_at_confidence * 1.00001))
    (same,) = plan(tight, make_snapshot([spot]), tables(), now=NOW).choices
    assert same.finish_probability_ppm == pytest.approx(900_000, abs=300)
