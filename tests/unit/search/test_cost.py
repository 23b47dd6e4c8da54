from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import exp, log, sqrt

import numpy as np
import pytest

from optimizer.search.cost import (
    Bill,
    Rates,
    billed_seconds,
    exact_billed_s,
    expected_micro,
    high_micro,
    low_micro,
    quote,
)
from optimizer.search.tables import StorageRates
from optimizer.workload.job import Overheads
from providers.errors import SolverFailed
from providers.offer import BillingTerms

HOUR_1_USD = 1_000_000_000
NO_STORAGE = StorageRates(disk_micro_per_gb_month=0, egress_micro_per_gb=0)


def bill(**changes):
    fields = {
        "unit_price_nano": HOUR_1_USD,
        "terms": BillingTerms(),
        "nodes": 1,
        "low_s": 3000.0,
        "expected_s": 3600.0,
        "high_s": 4800.0,
        "parts_s": {"setup": 600.0, "train": 3000.0},
        "price_sigma": 0.0,
        "disk_bytes": 0.0,
        "pays_egress": False,
    }
    return Bill(**(fields | changes))


def quoted(storage=NO_STORAGE, overheads=None, runs=1, **changes):
    return quote(bill(**changes), overheads=overheads or Overheads(), runs=runs, storage=storage)


@pytest.mark.parametrize(
    ("seconds", "increment", "minimum", "billed"),
    [
        (3600.0, 1, 0, 3600),
        (3600.2, 1, 0, 3601),
        (3601.0, 3600, 0, 7200),
        (3600.0, 3600, 0, 3600),
        (10.0, 60, 0, 60),
        (10.0, 1, 60, 60),
        (61.0, 1, 60, 61),
        (61.0, 60, 60, 120),
        (10.0, 3600, 60, 3600),
        (0.0, 1, 0, 0),
    ],
)
def test_billed_seconds_exactly(seconds, increment, minimum, billed):
    columns = billed_seconds(np.array([seconds]), np.array([float(increment)]), np.array([float(minimum)]))
    assert columns[0] == billed
    assert exact_billed_s(seconds, BillingTerms(increment_s=increment, minimum_s=minimum)) == billed


def test_an_hour_at_a_dollar_is_a_dollar():
    cost = quoted()
    assert (cost.low_usd_micro, cost.expected_usd_micro, cost.high_usd_micro) == (833_333, 1_000_000, 1_333_333)
    assert cost.billed_s == 3600


def test_nodes_multiply():
    assert quoted(nodes=3).expected_usd_micro == 3_000_000


def test_items_sum_to_the_expected_cost_and_name_their_causes():
    parts = {"setup": 600.0, "download": 1.0 / 3.0, "load": 0.0, "train": 3000.0 - 1.0 / 3.0}
    cost = quoted(parts_s=parts, terms=BillingTerms(increment_s=7000))
    assert [item.name for item in cost.items] == ["setup", "download", "compute", "billing_rounding"]
    assert [item.usd_micro for item in cost.items] == [166_667, 92, 833_241, 944_444]
    assert sum(item.usd_micro for item in cost.items) == cost.expected_usd_micro == 1_944_444
    assert cost.items[-1].quantity == pytest.approx(3400.0)


def test_a_minimum_makes_the_low_end_equal_to_the_bill():
    cost = quoted(terms=BillingTerms(minimum_s=4800))
    assert cost.low_usd_micro == cost.expected_usd_micro == 1_333_333
    assert cost.high_usd_micro == 1_333_333


def test_price_and_duration_spread_add_in_quadrature():
    cost = quoted(price_sigma=0.1)
    z = 1.2815515655446004
    assert cost.high_usd_micro == pytest.approx(1e6 * exp(sqrt(log(4800 / 3600) ** 2 + (z * 0.1) ** 2)), abs=2)
    assert cost.low_usd_micro == pytest.approx(1e6 * exp(-sqrt(log(3000 / 3600) ** 2 + (z * 0.1) ** 2)), abs=2)


def test_disk_and_egress_are_lines_with_an_interval_from_nothing_to_twice():
    storage = StorageRates(disk_micro_per_gb_month=100_000, egress_micro_per_gb=90_000, high_factor=2)
    cost = quoted(
        storage, Overheads(egress_bytes=10e9), disk_bytes=73e9, pays_egress=True, low_s=3600.0, high_s=3600.0, nodes=2
    )
    lines = {item.name: item for item in cost.items}
    assert lines["disk"].usd_micro == 20_000  # 2 x 73 GB for 1/730 of a month at $0.10
    assert lines["egress"].usd_micro == 900_000
    assert cost.expected_usd_micro == 2_000_000 + 20_000 + 900_000
    assert cost.low_usd_micro == 2_000_000
    assert cost.high_usd_micro == 2_000_000 + 2 * 920_000


def test_an_owned_machine_pays_no_egress():
    storage = StorageRates()
    cost = quoted(storage, Overheads(egress_bytes=10e9), unit_price_nano=0)
    assert (cost.low_usd_micro, cost.expected_usd_micro, cost.high_usd_micro) == (0, 0, 0)


def test_hidden_costs_are_lines_and_shared_by_the_runs():
    overheads = Overheads(
        labelling_usd=Decimal(100), preference_usd=Decimal("7.5"), evaluation_usd=Decimal(3), oncall_usd=Decimal(1)
    )
    cost = quoted(overheads=overheads, runs=3)
    hidden = {item.name: item.usd_micro for item in cost.items if item.unit != "s"}
    assert hidden == {
        "labelling": 33_333_333, "preference_collection": 2_500_000, "evaluation_upkeep": 1_000_000, "oncall": 333_333,
    }  # fmt: skip
    assert cost.expected_usd_micro == 1_000_000 + sum(hidden.values())
    assert cost.low_usd_micro == 833_333 + sum(hidden.values())


@pytest.mark.parametrize("seed", range(30))
def test_exact_recomputation_and_columns_agree(seed):
    rng = np.random.default_rng(seed)
    price, nodes = int(rng.integers(1, 100_000_000_000)), int(rng.integers(1, 9))
    increment, minimum = int(rng.choice([1, 60, 3600])), int(rng.choice([0, 60, 7200]))
    seconds = float(rng.uniform(1.0, 1e6))
    cost = quoted(
        unit_price_nano=price,
        nodes=nodes,
        terms=BillingTerms(increment_s=increment, minimum_s=minimum),
        low_s=seconds,
        expected_s=seconds,
        high_s=seconds,
        parts_s={"train": seconds},
    )
    billed = exact_billed_s(seconds, BillingTerms(increment_s=increment, minimum_s=minimum))
    exact = Fraction(price * nodes * billed, 3_600_000)
    assert cost.expected_usd_micro == round(exact)
    assert cost.low_usd_micro <= cost.expected_usd_micro <= cost.high_usd_micro <= cost.expected_usd_micro + 1


def test_disagreement_is_an_error(monkeypatch):
    monkeypatch.setattr("optimizer.search.cost.exact_billed_s", lambda *_: 9999)
    with pytest.raises(SolverFailed, match="disagree"):
        quoted()


def test_columns_are_monotone_in_time():
    rates = Rates(
        price_micro_per_s=np.ones(50),
        nodes=np.ones(50),
        increment_s=np.full(50, 60.0),
        minimum_s=np.full(50, 300.0),
        price_sigma=np.full(50, 0.05),
        disk_micro_per_s=np.full(50, 0.1),
        egress_micro=np.zeros(50),
        hidden_micro=5,
        high_factor=2.0,
    )
    seconds = np.linspace(1.0, 2000.0, 50)
    assert (np.diff(expected_micro(rates, seconds)) >= 0).all()
    fixed = np.full(50, 100.0)
    assert (np.diff(high_micro(rates, fixed, seconds + 100.0)) >= 0).all()
    assert (low_micro(rates, seconds, seconds * 0.5) <= expected_micro(rates, seconds)).all()
