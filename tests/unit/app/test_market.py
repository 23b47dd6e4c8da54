from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from optimizer.app.market import MarketChoice, known_names, read_market
from providers.errors import JobError, PricesUnavailable
from providers.offer import PriceClass

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from providers.gpus import GpuTable
    from providers.offer import Offer, PriceSnapshot


def choice(**changes: object) -> MarketChoice:
    values: dict[str, object] = {"offers": None, "only_offers": False, "discounts": {}}
    return MarketChoice(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture
def read(store_of: Callable[..., object], gpus: GpuTable, now: datetime) -> Callable[..., PriceSnapshot]:
    def build(chosen: MarketChoice, *offers: Offer) -> PriceSnapshot:
        return read_market(chosen, store=store_of(*offers), gpus=gpus, now=now)  # type: ignore[arg-type]

    return build


def test_the_store_alone_is_handed_on_untouched(
    read: Callable[..., PriceSnapshot], offer_of: Callable[..., Offer]
) -> None:
    offer = offer_of()
    assert read(choice(), offer).offers == (offer,)


def test_own_offers_stand_beside_the_store_and_change_the_digest(
    read: Callable[..., PriceSnapshot], offer_of: Callable[..., Offer], market_csv: Path
) -> None:
    offer = offer_of()
    alone, both = read(choice(), offer), read(choice(offers=market_csv), offer)
    assert both.offers[0] == offer
    assert len(both.offers) == 11
    assert {one.price_class for one in both.offers[1:]} == {PriceClass.OWN}
    assert both.sha256 != alone.sha256


def test_an_own_offer_replaces_the_store_s_of_the_same_key(
    read: Callable[..., PriceSnapshot], offer_of: Callable[..., Offer], market_csv: Path
) -> None:
    listed = offer_of(instance_type="invented.t4", gpu="T4-16GB", unit_price_nano=1)
    snapshot = read(choice(offers=market_csv), listed)
    assert [one.unit_price_nano for one in snapshot.offers if one.key == listed.key] == [500_000_000]


def test_only_offers_leaves_the_store_out_and_needs_a_file(
    read: Callable[..., PriceSnapshot], offer_of: Callable[..., Offer], market_csv: Path
) -> None:
    snapshot = read(choice(offers=market_csv, only_offers=True), offer_of())
    assert len(snapshot.offers) == 10
    assert {one.price_class for one in snapshot.offers} == {PriceClass.OWN}
    with pytest.raises(JobError, match="only_offers = true: needs --offers"):
        read(choice(only_offers=True), offer_of())


def test_discounts_come_off_the_store_s_prices_and_not_off_own_ones(
    read: Callable[..., PriceSnapshot], offer_of: Callable[..., Offer], market_csv: Path
) -> None:
    snapshot = read(choice(offers=market_csv, discounts={"nimbus": Decimal("0.25")}), offer_of())
    prices = {one.instance_type: one.unit_price_nano for one in snapshot.offers}
    assert prices["invented.h100"] == 1_500_000_000
    assert prices["invented.t4"] == 500_000_000
    assert snapshot.sha256 != read(choice(offers=market_csv), offer_of()).sha256


def test_a_discount_on_an_unknown_provider_is_refused(
    read: Callable[..., PriceSnapshot], offer_of: Callable[..., Offer]
) -> None:
    with pytest.raises(JobError, match=r"tunefare.toml: discounts = 'nimbsu'"):
        read(choice(discounts={"nimbsu": Decimal("0.1")}, where="tunefare.toml"), offer_of())


def test_an_empty_price_list_ends_with_exit_9(read: Callable[..., PriceSnapshot]) -> None:
    with pytest.raises(PricesUnavailable, match="no price is known: the price list is empty") as caught:
        read(choice())
    assert caught.value.exit_code == 9


def test_own_offers_answer_when_the_store_is_empty(read: Callable[..., PriceSnapshot], market_csv: Path) -> None:
    assert len(read(choice(offers=market_csv)).offers) == 10


def test_the_bundled_list_is_the_default(gpus: GpuTable, now: datetime) -> None:
    snapshot = read_market(choice(), store=None, gpus=gpus, now=now)
    assert len(snapshot.offers) > 1_000


def test_an_unknown_name_is_answered_with_what_comes_close() -> None:
    with pytest.raises(JobError, match=r"here: provider = 'awz': no prices are known for it; did you mean aws\?"):
        known_names(["awz"], ["aws", "gcp"], key="provider", where="here")
    with pytest.raises(JobError, match=r"there are aws, gcp$"):
        known_names(["zzz"], ["gcp", "aws"], key="provider", where="here")
    many = [f"region-{letter}" for letter in "abcdefghijklmno"]
    with pytest.raises(JobError, match=r"region-l and 3 more \(tunefare prices list\)"):
        known_names(["?"], many, key="region", where="here")


def test_names_of_places_are_found_in_any_case() -> None:
    known = ["aws", "US-TX-3", "Oslo", "oslo"]
    assert known_names(["AWS", "us-tx-3"], known, key="region", where="here") == ("aws", "US-TX-3")
    # Said as the list writes it, it is that one; otherwise every one that it could be.
    assert known_names(["oslo"], known, key="region", where="here") == ("oslo",)
    assert known_names(["OSLO"], known, key="region", where="here") == ("Oslo", "oslo")
    assert known_names(["aws", "Aws"], known, key="region", where="here") == ("aws",)
