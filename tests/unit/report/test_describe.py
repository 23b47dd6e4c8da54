"""Words for flags, places and reasons that several reports share."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from optimizer.report.describe import (
    FLAG_WORDS,
    describe_defaults,
    describe_flags,
    describe_left_out,
    describe_place_briefly,
    explain_marks,
    mark_offer,
)
from providers.offer import EXCLUDING_FLAGS, NOTICE_FLAGS, Offer, PriceClass, PricingModel


def offer(*flags: str, variant: str | None = None, region: str = "mars-1") -> Offer:
    return Offer(
        provider="nimbus", region=region, instance_type="zeta.2x", gpu="ZETA-9-64GB", gpu_name="Zeta 9", gpu_count=2,
        pricing_model=PricingModel.ON_DEMAND, unit_price_nano=1, observed_at=datetime(2031, 5, 6, tzinfo=UTC),
        source="invented", price_class=PriceClass.LIST, variant=variant, flags=flags,
    )  # fmt: skip


def test_every_notice_has_words_and_a_mark_of_its_own() -> None:
    assert FLAG_WORDS.keys() == NOTICE_FLAGS.keys()
    marks = [mark for mark, _ in FLAG_WORDS.values()]
    assert len(set(marks)) == len(marks)
    assert all(len(mark) == 1 and mark.isalpha() for mark in marks)


def test_flags_in_words_and_in_marks_stand_in_one_order() -> None:
    both = offer("arm_host", "marketplace")
    assert describe_flags(both) == "marketplace host · ARM host: needs aarch64 builds"
    assert mark_offer(both) == "ma"
    assert describe_flags(offer()) == mark_offer(offer()) == ""


@pytest.mark.parametrize("flag", sorted(EXCLUDING_FLAGS))
def test_what_keeps_an_offer_out_is_no_notice(flag: str) -> None:
    assert describe_flags(offer(flag)) == mark_offer(offer(flag)) == ""


def test_a_community_host_is_named_as_one() -> None:
    community, market = offer("marketplace", variant="community"), offer("marketplace", variant="marketplace")
    assert describe_flags(community) == "community host, not the provider's own machine"
    assert describe_flags(market) == "marketplace host"
    assert explain_marks([community, offer()]) == "m: marketplace or community host"
    assert explain_marks([market]) == "m: marketplace host"


def test_marks_are_explained_once_each() -> None:
    offers = [offer("own"), offer("own", "restricted_region"), offer()]
    assert explain_marks(offers) == "r: restricted region, opened on request · o: from your own file"
    assert explain_marks([offer()]) == explain_marks([]) == ""


@pytest.mark.parametrize(
    ("region", "variant", "text"),
    [
        ("mars-1", None, "mars-1"),
        ("mars-1", "secure", "mars-1 secure"),
        ("unknown", "secure", "secure"),
        ("unknown", "marketplace", "unknown"),
        ("unknown", None, "unknown"),
    ],
)
def test_a_place_in_a_table(region: str, variant: str | None, text: str) -> None:
    assert describe_place_briefly(offer(region=region, variant=variant)) == text


def test_left_out_names_the_three_largest_reasons_and_counts_the_rest() -> None:
    counts = {"dust": 1, "GPU alone: the rest is billed on top": 1_200, "gone": 40, "slice": 300, "odd": 2, "none": 0}
    assert describe_left_out(counts, verbose=False) == (
        "1,543 offers: GPU alone 1,200 · slice 300 · gone 40 · other reasons 3"
    )
    assert describe_left_out(counts, verbose=True) == (
        "1,543 offers: GPU alone: the rest is billed on top 1,200 · slice 300 · gone 40 · odd 2 · dust 1"
    )
    assert describe_left_out({"gone": 1}, verbose=False) == "1 offer: gone 1"
    assert describe_left_out({}, verbose=False) == describe_left_out({"gone": 0}, verbose=True) == ""


def test_defaults_do_not_say_default_again() -> None:
    defaults = ("packing = no (default)", "GPUs = 64 (default, at most)", "set-up = 10 min (assumed)")
    assert describe_defaults(defaults) == "packing = no; GPUs = 64 (at most); set-up = 10 min (assumed)"
