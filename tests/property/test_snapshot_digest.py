"""A snapshot's name depends on what it says and on nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from providers.offer import Offer, PriceClass, PricingModel
from providers.snapshot import snapshot_digest

BASE = Offer(
    provider="tinycloud",
    region="moon-1",
    instance_type="crater",
    gpu="H100-SXM-80GB",
    gpu_name="H100",
    gpu_count=1,
    pricing_model=PricingModel.ON_DEMAND,
    unit_price_nano=1,
    observed_at=datetime(2026, 11, 1, tzinfo=UTC),
    source="invented",
    price_class=PriceClass.LIST,
)
OFFERS = st.lists(
    st.builds(
        lambda region, price, count: replace(BASE, region=region, unit_price_nano=price, gpu_count=count),
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 3),
        st.integers(1, 2),
    ),
    max_size=8,
)


@given(OFFERS, st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter(offers: list[Offer], random: st.DataObject) -> None:
    shuffled = offers + offers[:3]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert snapshot_digest(shuffled, (), {}) == snapshot_digest(offers, (), {})


@given(OFFERS, OFFERS)
def test_equal_digests_mean_equal_content(one: list[Offer], other: list[Offer]) -> None:
    same_digest = snapshot_digest(one, (), {}) == snapshot_digest(other, (), {})
    assert same_digest == ({repr(offer) for offer in one} == {repr(offer) for offer in other})
