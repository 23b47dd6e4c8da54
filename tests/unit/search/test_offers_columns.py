from __future__ import annotations

from datetime import timedelta

import numpy as np

from optimizer.search.offers_columns import lay_out_offers, machine_of
from providers.offer import UNKNOWN_BILLING, BillingTerms, PriceClass
from tests.fixtures.search_world import NOW, USD, make_offer, make_snapshot, tables


def laid_out(*offers, billing=None):
    return lay_out_offers(make_snapshot(offers, billing=billing), tables().gpus, now=NOW)


def test_prices_terms_and_ages():
    columns = laid_out(
        make_offer(unit_price_nano=36 * USD, observed_at=NOW - timedelta(hours=2)),
        billing={"examplecloud": BillingTerms(increment_s=60, minimum_s=600)},
    )
    assert columns.price_micro_per_s.tolist() == [10_000.0]
    assert (columns.increment_s[0], columns.minimum_s[0], columns.age_s[0]) == (60.0, 600.0, 7200.0)
    assert not columns.spot[0]
    assert np.isnan(columns.local_disk_bytes[0])


def test_a_provider_without_terms_is_taken_to_bill_whole_hours():
    columns = laid_out(make_offer())
    assert (columns.increment_s[0], columns.minimum_s[0]) == (UNKNOWN_BILLING.increment_s, UNKNOWN_BILLING.minimum_s)
    assert UNKNOWN_BILLING.increment_s == 3600


def test_an_excluded_offer_is_left_out_with_its_reason():
    columns = laid_out(make_offer(flags=("fractional",)), make_offer(region="whole"))
    assert [offer.region for offer in columns.offers] == ["whole"]
    assert list(columns.unusable.values()) == [1]


def test_unusable_offers_are_counted_by_reason():
    columns = laid_out(
        make_offer(gpu="NO-SUCH-GPU", region="a"),
        make_offer(gpu=None, region="b"),
        make_offer(currency="EUR", region="c"),
        make_offer(unit_price_nano=0, region="d"),
        make_offer(unit_price_nano=0, region="e", price_class=PriceClass.OWN),
        make_offer(gpu="TRAINIUM1-OAM-32GB", region="f")
        if "TRAINIUM1-OAM-32GB" in tables().gpus.by_id
        else make_offer(gpu=next(g.id for g in tables().gpus.by_id.values() if not g.trainable), region="f"),
    )
    assert [offer.region for offer in columns.offers] == ["e"]
    assert columns.unusable == {
        "GPU not modelled for training": 1,
        "GPU unknown to the table": 2,
        "price not in USD": 1,
        "price of zero": 1,
    }


def test_one_offer_a_key_the_newest_then_the_cheapest():
    old = make_offer(unit_price_nano=1 * USD, observed_at=NOW - timedelta(days=2))
    new = make_offer(unit_price_nano=3 * USD)
    cheap = make_offer(unit_price_nano=2 * USD)
    for order in ((old, new, cheap), (cheap, old, new), (new, cheap, old)):
        columns = laid_out(*order)
        assert [offer.unit_price_nano for offer in columns.offers] == [2 * USD]
        assert columns.unusable == {"older or dearer duplicate of another offer": 2}


def test_offers_stand_in_tie_order():
    columns = laid_out(
        make_offer(provider="b"),
        make_offer(provider="a", region="r2", instance_type="x"),
        make_offer(provider="a", region="r1", instance_type="y", zone="r1-a"),
        make_offer(provider="a", region="r1", instance_type="x", zone="r1-b"),
    )
    assert [(o.provider, o.region, o.instance_type) for o in columns.offers] == [
        ("a", "r1", "x"), ("a", "r1", "y"), ("a", "r2", "x"), ("b", "region-1", "toy.large"),
    ]  # fmt: skip


def test_machines_are_distinct_kinds_of_node():
    columns = laid_out(make_offer(region="a"), make_offer(region="b"), make_offer(region="c", host_ram_bytes=None))
    assert len(columns.machines) == 2
    assert columns.machine.tolist() == [0, 0, 1]
    assert machine_of(columns.offers[2], tables().gpus, nodes=3).nodes == 3
