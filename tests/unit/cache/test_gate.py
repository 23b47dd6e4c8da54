"""What the gate lets pass, what it holds back, and what it refuses as a whole."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cache.gate import REASONS, REFUSALS, Decision, GatePolicy, Judged, Known, Previous, class_medians, judge
from providers.gpus import load_gpus
from providers.offer import NANO, Offer
from providers.scope import OfferKey, ScopeBatch
from tests.fixtures.offers import DAY, NIGHT, ON_DEMAND, SPOT, make_batch, make_offer, scope_of

GPUS = load_gpus()
MEDIANS = {"L4-24GB": 0.7 * NANO, "H100-SXM-80GB": 3.0 * NANO, "": 2.0 * NANO}


def known(*before: Offer, **fields: Any) -> Known:
    previous = {
        OfferKey(*offer.key): Previous(price_nano=offer.unit_price_nano, currency=offer.currency) for offer in before
    }
    on_demand = {
        (offer.provider, offer.region, offer.instance_type, offer.variant or "", offer.currency): offer.unit_price_nano
        for offer in before
        if offer.pricing_model is ON_DEMAND
    }
    return Known(**{
        "previous": previous, "on_demand": on_demand, "class_median": MEDIANS, "decisions": {}, "gpus": GPUS,
        "last_rows": len(before) or None, **fields,
    })  # fmt: skip


def reasons(judged: Judged) -> list[str]:
    return [row.reason for row in judged.quarantined]


def test_a_plain_batch_passes_whole() -> None:
    offers = [make_offer(f"n{number}") for number in range(5)]
    judged = judge(make_batch(*offers), known(*offers))
    assert len(judged.published) == 5
    assert (judged.quarantined, judged.refused) == ((), None)


def test_order_and_exact_repetition_do_not_matter() -> None:
    offers = [make_offer(f"n{number}", price=1 + number) for number in range(4)]
    there = judge(make_batch(*offers), known())
    back = judge(make_batch(*reversed(offers), offers[2]), known())
    assert there.published == back.published
    assert back.quarantined == ()


@pytest.mark.parametrize(("price", "held"), [(6.0, False), (6.01, True), (0.67, False), (0.66, True)])
def test_a_move_beyond_threefold_is_held(price: float, held: bool) -> None:
    judged = judge(make_batch(make_offer(price=price)), known(make_offer(price=2.0)))
    assert reasons(judged) == (["price_jump"] if held else [])
    assert len(judged.published) == (not held)


@pytest.mark.parametrize("factor", [8, 60, 100, 730, 1000, 3600])
@pytest.mark.parametrize("up", [True, False])
def test_a_move_by_a_unit_is_named(factor: int, up: bool) -> None:
    before = make_offer(price=8.0, gpu_count=8)
    after = make_offer(price=8.0 * factor if up else 8.0 / factor, gpu_count=8)
    judged = judge(make_batch(after), known(before))
    assert reasons(judged) == ["unit_changed"]
    assert f"factor of {factor}" in judged.quarantined[0].detail


def test_two_prices_for_one_offer_are_both_held() -> None:
    judged = judge(make_batch(make_offer(price=2.0), make_offer(price=2.5), make_offer("other")), known())
    assert reasons(judged) == ["duplicate_key"]
    assert "2 USD and 2.5 USD" in judged.quarantined[0].detail
    assert [offer.instance_type for offer in judged.published] == ["other"]


def test_zero_is_held() -> None:
    assert reasons(judge(make_batch(make_offer(price=0.0)), known())) == ["not_positive"]


def test_another_currency_is_held() -> None:
    judged = judge(make_batch(make_offer(currency="CNY")), known(make_offer()))
    assert reasons(judged) == ["currency_changed"]


@pytest.mark.parametrize(
    ("price", "expected"),
    [(0.7 * 49, []), (0.7 * 51, ["placeholder"]), (0.7 / 49, []), (0.7 / 51, ["far_below_class"])],
)
def test_a_new_offer_is_held_against_its_class(price: float, expected: list[str]) -> None:
    assert reasons(judge(make_batch(make_offer(price=price)), known())) == expected


def test_an_unknown_chip_is_held_against_all_classes() -> None:
    odd = make_offer(gpu=None, gpu_name="TPU v6e", price=700.0, flags=("gpu_unknown",))
    assert reasons(judge(make_batch(odd), known())) == ["placeholder"]


def test_the_class_is_per_gpu() -> None:
    assert reasons(judge(make_batch(make_offer(price=0.7 * 60, gpu_count=8)), known())) == []


def test_a_price_that_passed_before_passes_again_whatever_its_class() -> None:
    dear = make_offer(price=700.0)
    assert reasons(judge(make_batch(dear), known(dear))) == []


def test_slices_and_foreign_money_have_no_class() -> None:
    assert reasons(judge(make_batch(make_offer(price=0.01, flags=("fractional",))), known())) == []
    yuan = make_offer(price=90.0, currency="CNY", flags=("foreign_currency",))
    assert reasons(judge(make_batch(yuan), known())) == []


@pytest.mark.parametrize(
    ("gib", "count", "words"),
    [
        (80, 1, None), (79.6, 1, None), (74.5, 1, None), (40, 1, "40 GiB stated"), (0, 1, "zero stands for unknown"),
        (640, 8, "the total of 8 GPUs"), (80 / 1024, 1, "has 80"),
    ],
)  # fmt: skip
def test_memory_is_held_against_the_gpu_table(gib: float, count: int, words: str | None) -> None:
    offer = make_offer(gpu="H100-SXM-80GB", price=3.0 * count, gpu_count=count, gpu_memory_bytes=int(gib * 2**30))
    judged = judge(make_batch(offer), known())
    assert reasons(judged) == ([] if words is None else ["memory_mismatch"])
    if words:
        assert words in judged.quarantined[0].detail


@pytest.mark.parametrize(
    ("price", "flags"),
    [
        (2.1, ("spot_not_below_on_demand",)),
        (2.0, ("spot_not_below_on_demand",)),
        (1.99, ()),
        (0.2, ("clamp_suspected",)),
        (0.21, ()),
    ],
)
def test_spot_is_kept_and_marked(price: float, flags: tuple[str, ...]) -> None:
    spot = make_offer(price=price, pricing_model=SPOT, zone="north-1")
    judged = judge(make_batch(spot), known(make_offer(price=2.0)))
    assert [offer.flags for offer in judged.published] == [flags]


def test_spot_in_another_currency_is_not_compared() -> None:
    spot = make_offer(price=90.0, pricing_model=SPOT, currency="CNY")
    assert judge(make_batch(spot), known(make_offer(price=2.0))).published[0].flags == ()


def test_an_empty_batch_is_refused_where_there_was_something() -> None:
    empty = make_batch(scope=scope_of(make_offer()))
    assert judge(empty, known()).refused is None
    refused = judge(empty, known(last_rows=3)).refused
    assert refused is not None
    assert refused.reason == "empty"


@pytest.mark.parametrize(("rows", "refused"), [(70, False), (69, True)])
def test_a_batch_below_seventy_percent_is_refused(rows: int, refused: bool) -> None:
    batch = make_batch(*(make_offer(f"n{number}") for number in range(rows)))
    judged = judge(batch, known(last_rows=100))
    assert (judged.refused is not None) == refused
    assert judged.published == (() if refused else judged.published)


def test_a_small_batch_is_not_judged_by_its_size() -> None:
    assert judge(make_batch(make_offer()), known(last_rows=9)).refused is None


def refused_nights(rows: int, *, apart: timedelta) -> int:
    """Return how many nights a batch of `rows` instead of 100 is refused, in the thirty times that it comes."""
    offers = [make_offer(f"n{number}") for number in range(rows)]
    times, counted_at, refused = 0, None, 0
    for night in range(30):
        at = NIGHT + night * apart
        batch = make_batch(*offers, at=at, scope=scope_of(make_offer()))
        facts = known(last_rows=100, refused_rows=rows if times else 0, refused_times=times, refused_at=counted_at)
        refusal = judge(batch, facts).refused
        if refusal is None:
            return refused
        counted_at = int(at.timestamp()) if refusal.times != times else counted_at
        times, refused = refusal.times, refused + 1
    return refused


def test_a_shorter_list_that_stays_for_nights_is_believed() -> None:
    assert refused_nights(50, apart=DAY) == GatePolicy().repeats
    assert refused_nights(0, apart=DAY) == GatePolicy().empty_repeats


def test_trying_again_in_one_night_proves_nothing() -> None:
    assert refused_nights(50, apart=timedelta(minutes=5)) == 30
    assert refused_nights(0, apart=timedelta(minutes=5)) == 30


def test_another_short_list_is_counted_anew() -> None:
    batch = make_batch(*(make_offer(f"n{number}") for number in range(50)))
    other = judge(batch, known(last_rows=100, refused_rows=30, refused_times=3)).refused
    assert other is not None
    assert other.times == 1


def test_a_market_of_what_is_there_may_shrink() -> None:
    empty = make_batch(scope=scope_of(make_offer()))
    assert judge(empty, known(last_rows=300, volatile=True)).refused is None


def test_what_is_older_than_what_is_stored_is_refused() -> None:
    batch = make_batch(make_offer(), at=NIGHT - timedelta(seconds=1))
    refused = judge(batch, known(make_offer(), last_at=int(NIGHT.timestamp()))).refused
    assert refused is not None
    assert refused.reason == "older"


def decided(state: str, price: float) -> dict[tuple[OfferKey, str], Decision]:
    key = OfferKey(*make_offer().key)
    return {(key, "price_jump"): Decision(state=state, price_nano=round(price * NANO))}


def test_what_was_released_passes_again() -> None:
    batch = make_batch(make_offer(price=20.0))
    assert len(judge(batch, known(make_offer(price=2.0), decisions=decided("released", 20.0))).published) == 1
    far = judge(batch, known(make_offer(price=2.0), decisions=decided("released", 6.5)))
    assert reasons(far) == ["price_jump"]


def test_what_was_rejected_stays_out_until_it_changes() -> None:
    (row,) = judge(
        make_batch(make_offer(price=20.0)), known(make_offer(price=2.0), decisions=decided("rejected", 20.0))
    ).quarantined
    assert row.rejected
    (row,) = judge(
        make_batch(make_offer(price=21.0)), known(make_offer(price=2.0), decisions=decided("rejected", 20.0))
    ).quarantined
    assert not row.rejected


def test_a_decision_is_for_one_reason() -> None:
    wrong = make_offer(price=20.0, gpu="H100-SXM-80GB", gpu_memory_bytes=0)
    judged = judge(make_batch(wrong), known(make_offer(price=2.0), decisions=decided("released", 20.0)))
    assert reasons(judged) == ["memory_mismatch"]


def test_medians_leave_out_what_is_no_candidate() -> None:
    offers = [
        make_offer("a", price=1.0), make_offer("b", price=3.0), make_offer("c", price=8.0, gpu_count=8),
        make_offer("d", price=90.0, currency="CNY"), make_offer("e", price=0.1, flags=("fractional",)),
        make_offer("f", price=0.2, pricing_model=SPOT), make_offer("g", price=0.0),
    ]  # fmt: skip
    assert class_medians(offers)["L4-24GB"] == NANO
    assert class_medians([]) == {}


def test_reasons_have_words() -> None:
    assert all(REASONS.values())
    assert all(REFUSALS.values())


def test_a_batch_must_know_when() -> None:
    with pytest.raises(ValueError, match="time zone"):
        ScopeBatch(scope=scope_of(make_offer()), observed_at=NIGHT.replace(tzinfo=None), offers=())


def test_a_held_row_knows_the_price_before() -> None:
    (row,) = judge(make_batch(make_offer(price=20.0), at=NIGHT + DAY), known(make_offer(price=2.0))).quarantined
    assert row.previous_nano == 2 * NANO
    assert row.detail == "2 USD to 20 USD"
    assert replace(row, rejected=True).family == "nimbus L4-24GB on_demand"
