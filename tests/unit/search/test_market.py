"""Which node counts are looked at, and that no input makes the work grow without end."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from optimizer.search import market as market_module
from optimizer.search.grid import batch_shapes, rungs
from optimizer.search.market import survey
from optimizer.search.planner import plan
from providers.errors import PricesUnavailable
from providers.offer import PriceClass
from tests.fixtures.search_world import NOW, make_job, make_offer, make_snapshot, tables


def nodes_of(job, *offers, **options):
    places = survey(job, make_snapshot(offers), tables(), now=NOW, **options).places
    return [(int(offer), int(nodes)) for offer, nodes in zip(places.offer, places.nodes, strict=True)]


def test_only_node_counts_whose_gpus_divide_the_batch():
    two, eight = make_offer(gpu_count=2, region="a"), make_offer(gpu_count=8, region="b")
    assert nodes_of(make_job(max_nodes=10), two, eight) == [(0, 1), (1, 1), (0, 2), (1, 2), (0, 4), (0, 8)]
    assert nodes_of(make_job(max_nodes=10, global_batch=48), two) == [(0, 1), *((0, n) for n in (2, 3, 4, 6, 8))]
    assert nodes_of(make_job(max_nodes=8), make_offer(gpu_count=1), make_offer(gpu_count=3, region="r3")) == [
        (0, 1),
        (1, 1),
    ]


def test_near_misses_look_at_two_four_and_eight_nodes():
    assert nodes_of(make_job(), make_offer(gpu_count=2), wide=True) == [(0, 1), (0, 2), (0, 4), (0, 8)]
    assert nodes_of(make_job(global_batch=12), make_offer(gpu_count=2), wide=True) == [(0, 1), (0, 2)]


def test_above_sixteen_nodes_one_count_for_each_power_of_two():
    counts = [nodes for _, nodes in nodes_of(make_job(max_nodes=10_000, global_batch=2 * 240), make_offer(gpu_count=2))]
    assert counts == [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 16, 30, 60, 120, 240]
    # A larger limit only adds counts.
    fewer = [nodes for _, nodes in nodes_of(make_job(max_nodes=59, global_batch=2 * 240), make_offer(gpu_count=2))]
    assert fewer == [count for count in counts if count <= 59]


@pytest.mark.parametrize(
    ("rows", "counts"),
    [
        (10_000, [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 16, 30, 60, 120, 240]),
        (500, [1, 2, 4, 8, 16, 30, 60, 120, 240]),
        (300, [1, 4, 16, 60, 240]),
        (100, [1]),
    ],
)
def test_work_is_bounded_by_looking_at_fewer_node_counts(monkeypatch, rows, counts):
    monkeypatch.setattr(market_module, "MOST_ROWS", rows)
    job = make_job(max_nodes=10_000, global_batch=2 * 240)
    found = [nodes for _, nodes in nodes_of(job, make_offer(gpu_count=2))]
    assert found == counts


def test_rungs():
    assert rungs([1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60]) == [1, 2, 4, 6, 15, 30, 60]
    assert rungs([1, 2, 4, 8, 16, 64], ratio=4) == [1, 4, 16, 64]
    assert rungs([1, 3, 9]) == [1, 3, 9]
    assert rungs([]) == []


def test_micro_batches_of_a_batch_with_many_divisors():
    shapes = batch_shapes(720_720, 1)
    assert [size for size, _ in shapes] == [1, 2, 4, 8, 16, 30, 63]
    assert all(size * accum == 720_720 for size, accum in shapes)


def test_a_plan_of_the_largest_inputs_stays_small():
    offers = [make_offer(gpu_count=count, region=f"r{count}") for count in (1, 2, 4, 8)]
    job = make_job(methods=(), quantization_bits=(), global_batch=720_720, max_gpus=100_000, max_nodes=10_000)
    found = plan(job, make_snapshot(offers), tables(), now=NOW)
    assert found.choices
    assert found.solver.physics_rows <= market_module.MOST_ROWS
    assert found.solver.candidates <= market_module.MOST_TUPLES


def test_prices_that_nobody_had_seen_yet_are_not_used():
    ahead = make_offer(region="ahead", unit_price_nano=1, observed_at=NOW + timedelta(hours=1))
    found = plan(make_job(), make_snapshot([make_offer(), ahead]), tables(), now=NOW)
    assert found.choices[0].offer.region == "region-1"
    assert found.snapshot.unusable == {"observed after now": 1}
    with pytest.raises(PricesUnavailable, match="1 x observed after now"):
        plan(make_job(), make_snapshot([ahead]), tables(), now=NOW)
    # The price seen before stands, though a newer one of the same offer exists; clocks may differ by minutes.
    newer = make_offer(unit_price_nano=1, observed_at=NOW + timedelta(hours=1))
    assert plan(make_job(), make_snapshot([make_offer(), newer]), tables(), now=NOW).choices[0].offer == make_offer()
    soon = make_offer(observed_at=NOW + timedelta(minutes=5), price_class=PriceClass.LIVE)
    assert plan(make_job(), make_snapshot([soon]), tables(), now=NOW).choices


def test_lifting_a_limit_leaves_the_others():
    market = survey(make_job(max_gpus=1), make_snapshot([make_offer(gpu_count=2)]), tables(), now=NOW)
    lifted = market.without("max_gpus")
    assert market.rejected("max_gpus") == market.candidates()
    assert lifted.rejected("max_gpus") == 0
    assert np.array_equal(lifted.hardware.slacks["memory"].margin, market.hardware.slacks["memory"].margin)
    assert lifted.rejected("simpler") == market.rejected("simpler")
