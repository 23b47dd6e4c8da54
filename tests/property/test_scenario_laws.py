"""Scenarios against the plain way: every recipe with every offer, no pruning; and what a study may not depend on."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimizer.report.json_study import study_text
from optimizer.search.candidates import rates_at
from optimizer.search.choice import filled, settle
from optimizer.search.constraints import bit
from optimizer.search.cost import expected_micro
from optimizer.search.market import survey
from optimizer.search.scenario_market import lay_out_scenarios, price_group, rows_of
from optimizer.search.scenario_study import study
from optimizer.search.scenarios import NOBODY, Block, durations_s, find_winners, steps_of
from providers.offer import BillingTerms, PricingModel
from tests.fixtures.search_world import GIB, NOW, USD, make_job, make_offer, make_snapshot, tables

GPUS = ("T4-16GB", "L4-24GB", "RTX-A5000-24GB", "A100-SXM-40GB", "A100-SXM-80GB", "H100-SXM-80GB")
BILLING = {"hourly": BillingTerms(increment_s=3600), "minutes": BillingTerms(increment_s=60, minimum_s=600)}

offers = st.builds(
    make_offer,
    gpu=st.sampled_from(GPUS),
    provider=st.sampled_from(("hourly", "minutes", "seconds")),
    region=st.sampled_from(("r1", "r2", "r3")),
    instance_type=st.sampled_from(("toy.a", "toy.b")),
    gpu_count=st.sampled_from((1, 2, 8)),
    pricing_model=st.sampled_from((PricingModel.ON_DEMAND, PricingModel.ON_DEMAND, PricingModel.SPOT)),
    unit_price_nano=st.integers(1, 40).map(lambda tenths: tenths * USD // 10),
    host_ram_bytes=st.sampled_from((None, 2048 * GIB)),
    observed_at=st.integers(0, 400).map(lambda days: NOW - timedelta(days=days)),
)
markets = st.lists(offers, min_size=1, max_size=7).map(
    lambda some: [make_offer(provider="last", unit_price_nano=9 * USD), *some]
)
jobs = st.builds(
    make_job,
    methods=st.sampled_from((("lora",), ("lora", "qlora", "full"))),
    quantization_bits=st.just(()),
    deadline_at=st.sampled_from((None, *(NOW + timedelta(hours=hours) for hours in (1, 4, 12)))),
    budget_usd=st.sampled_from((None, Decimal(2), Decimal(10))),
    pricing_models=st.sampled_from(((), ("on_demand", "spot"))),
    executor=st.sampled_from(("none", "skypilot", "policy")),
    max_nodes=st.sampled_from((1, 2)),
)
# The dynamic program of a policy takes a tenth of a second for each candidate that is shown: not in every example.
by_hand = jobs.map(lambda job: replace(job, executor="none"))
law = settings(max_examples=15, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
few = settings(parent=law, max_examples=5)


def everything(market):
    """Every hardware row with every place of its class that keeps the limits that no scenario moves."""
    rows = np.flatnonzero((market.hardware.broken & ~bit("deadline")) == 0)
    places = np.flatnonzero(market.places.broken == 0)
    pairs = [
        (place, row) for place in places for row in rows if market.hardware.klass[row] == market.places.klass[place]
    ]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2).T


def brute_force(market, field, pairs, steps):
    """Return cost, time and names of the best of all pairs in a scenario; None where nothing keeps the limits."""
    place, row = pairs
    seconds = durations_s(field, rows_of(market, row), steps)
    groups = sorted({price_group(offer) for offer in market.offers.offers})
    u = {group: steps[1 + len(field.gpus) + at] for at, group in enumerate(groups)}
    moved = np.array([u[price_group(offer)] for offer in market.offers.offers])[market.places.offer[place]]
    rates = rates_at(market, place, row)
    dearer = replace(rates, price_micro_per_s=rates.price_micro_per_s * np.exp(rates.price_sigma * moved))
    cost = expected_micro(dearer, seconds)
    in_time = seconds <= field.left_s
    if not in_time.any() or cost[in_time].min() > field.budget_micro:
        return None
    kept = np.flatnonzero(in_time)
    order = kept[np.lexsort((kept, filled(market, row[kept]), seconds[kept], cost[kept]))]
    return int(cost[order[0]]), float(seconds[order[0]]), int(place[order[0]]), int(row[order[0]])


@law
@given(job=jobs, market=markets, seed=st.integers(0, 2**53 - 1))
def test_the_best_of_each_scenario_is_that_of_brute_force(job, market, seed):
    settled = settle(survey(job, make_snapshot(market, billing=BILLING), tables(), now=NOW))
    world = settled.market
    field = lay_out_scenarios(world)
    pairs = everything(world)
    winners = find_winners(field, Block(seed=seed, start=0, stop=8))
    for scenario in range(8):
        steps = steps_of(field, seed=seed, scenario=scenario)
        best = brute_force(world, field, pairs, steps) if pairs.size else None
        bill, row = int(winners.bill[scenario]), int(winners.row[scenario])
        if best is None:
            assert bill == NOBODY
            continue
        cost, seconds, place, hardware = best
        assert int(winners.cost_micro[scenario]) == cost
        taken = rows_of(world, field.rows.hardware[row : row + 1])
        assert durations_s(field, taken, steps)[0] == seconds
        assert (int(field.bills.place[bill]), int(field.rows.hardware[row])) == (place, hardware)


@few
@given(job=by_hand, market=markets, data=st.data())
def test_a_study_does_not_depend_on_the_order_of_offers_nor_on_how_it_is_cut(job, market, data):
    def in_parts(function, shared, blocks):
        # Each scenario by itself, the last block first: put together again in the order of the blocks.
        return [function(shared, block) for block in reversed(blocks)][::-1]

    shuffled = data.draw(st.permutations(market))
    one = study(job, make_snapshot(market, billing=BILLING), tables(), now=NOW, scenarios=260, seed=5)
    other = study(
        job, make_snapshot(shuffled, billing=BILLING), tables(), now=NOW, scenarios=260, seed=5, map_blocks=in_parts
    )
    assert study_text(one) == study_text(other)


@few
@given(job=by_hand, market=markets)
def test_what_a_study_counts_adds_up(job, market):
    found = study(job, make_snapshot(market, billing=BILLING), tables(), now=NOW, scenarios=200, seed=1)
    outcomes = [*([found.base] if found.base else []), *found.alternatives]
    won = found.scenarios - found.nothing_fits
    assert sum(found.best_by_gpu.values()) == sum(found.best_by_method.values()) == won
    assert sum(one.best for one in outcomes) == won  # so few that all are listed
    for one in outcomes:
        assert one.best <= one.kept <= min(one.in_time, one.in_budget) <= found.scenarios
        spread = one.cost_usd_micro
        assert 0 <= spread.p10 <= spread.p50 <= spread.p90
        if one.regret_usd_micro is not None:
            assert 0 <= one.regret_usd_micro.p10 <= one.regret_usd_micro.p90
    if found.steadiest is not None:
        admitted = [one for one in outcomes if one.admitted]
        assert found.steadiest.cost_usd_micro.p90 == min(one.cost_usd_micro.p90 for one in admitted)
        assert found.cheapest_on_average.cost_usd_micro.mean == min(one.cost_usd_micro.mean for one in admitted)
