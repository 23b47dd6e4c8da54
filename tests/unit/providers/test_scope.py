from __future__ import annotations

from datetime import UTC, datetime

import pytest

from providers.offer import Offer, PriceClass, PricingModel
from providers.scope import DROP_REASONS, DroppedRow, OfferKey, Scope, ScopeBatch

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
EAST = Scope(provider="nimbus", region="east", pricing_model=PricingModel.SPOT)


def offer(**changes: object) -> Offer:
    values: dict[str, object] = {
        "provider": "nimbus", "region": "east", "instance_type": "crater", "gpu": "H100-SXM-80GB", "gpu_name": "H100",
        "gpu_count": 1, "pricing_model": PricingModel.SPOT, "unit_price_nano": 1, "observed_at": NOW, "source": "x",
        "price_class": PriceClass.LIVE, "zone": "east-b",
    }  # fmt: skip
    return Offer(**{**values, **changes})  # type: ignore[arg-type]


def test_a_key_is_that_of_the_offer_and_names_its_scope() -> None:
    key = OfferKey(*offer().key)
    assert key == offer().key
    assert key == OfferKey("nimbus", "east", "east-b", "crater", "", "spot")
    assert key.scope == EAST
    assert str(key) == "nimbus/east/east-b/crater/-/spot"
    with pytest.raises(ValueError, match="barter"):
        _ = key._replace(pricing_model="barter").scope


def test_scopes_sort_and_name_themselves() -> None:
    on_demand = Scope(provider="nimbus", region="east", pricing_model=PricingModel.ON_DEMAND)
    west = Scope(provider="nimbus", region="west", pricing_model=PricingModel.ON_DEMAND)
    assert sorted([west, EAST, on_demand]) == [on_demand, EAST, west]
    assert str(EAST) == "nimbus east spot"
    assert len({EAST, Scope(provider="nimbus", region="east", pricing_model=PricingModel.SPOT)}) == 1


def test_a_dropped_row_has_a_known_reason() -> None:
    assert DroppedRow(reason="zero_price", item="x").detail == ""
    with pytest.raises(ValueError, match="dropped row 'x': reason 'boring' is none of not_a_gpu"):
        DroppedRow(reason="boring", item="x")
    assert all(words for words in DROP_REASONS.values())


def test_a_batch_holds_offers_of_its_scope_and_no_others() -> None:
    assert ScopeBatch(scope=EAST, observed_at=NOW, offers=(offer(), offer(zone="east-c"))).dropped == ()
    assert ScopeBatch(scope=EAST, observed_at=NOW, offers=()).offers == ()
    for changes in ({"region": "west"}, {"provider": "cirrus"}, {"pricing_model": PricingModel.ON_DEMAND}):
        with pytest.raises(ValueError, match="batch nimbus east spot: holds an offer of"):
            ScopeBatch(scope=EAST, observed_at=NOW, offers=(offer(), offer(**changes)))


def test_a_batch_has_a_moment() -> None:
    with pytest.raises(ValueError, match="observed_at has no time zone"):
        ScopeBatch(scope=EAST, observed_at=datetime(2026, 11, 22), offers=())  # noqa: DTZ001 - that is the point
