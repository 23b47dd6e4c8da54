"""Ways past the gate that are closed, and good rows that it must not hold back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations
from typing import TYPE_CHECKING

import pytest

from cache.fetching import Asking
from cache.gate import Decision, Judged, Known, Previous, class_medians, judge
from cache.histories import recorded_offers
from cache.quarantine import decide, list_rows
from cache.refresh import RefreshOrder, refresh
from cache.requote import QuoteStatus, requote
from cache.sql_store import SqlStore, open_store
from providers.base import FetchContext, FetchPart, Wanted
from providers.errors import JobError
from providers.gpus import load_gpus
from providers.offer import NANO, Offer
from providers.scope import OfferKey, ScopeBatch
from tests.fixtures.offers import DAY, NIGHT, SPOT, Nimbus, NoList, make_batch, make_offer, scope_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from cache.outcome import SourceReport

GPUS = load_gpus()
MEDIANS = {"L4-24GB": 0.7 * NANO, "RTX-3070-8GB": 0.06 * NANO, "H200-SXM-141GB": 4.0 * NANO, "": 3.8 * NANO}


def known(*before: Offer, decisions: dict[tuple[OfferKey, str], Decision] | None = None) -> Known:
    return Known(
        previous={
            OfferKey(*one.key): Previous(price_nano=one.unit_price_nano, currency=one.currency, gpu_count=one.gpu_count)
            for one in before
        },
        on_demand={},
        class_median=MEDIANS,
        decisions=decisions or {},
        gpus=GPUS,
    )


def reasons(judged: Judged) -> list[str]:
    return [row.reason for row in judged.quarantined]


def released(offer: Offer, *names: str) -> dict[tuple[OfferKey, str], Decision]:
    key = OfferKey(*offer.key)
    return {(key, name): Decision(state="released", price_nano=offer.unit_price_nano) for name in names}


@pytest.mark.parametrize(("step", "reason"), [(2.9, "placeholder"), (1 / 2.9, "far_below_class")])
def test_small_steps_do_not_lead_out_of_the_class(step: float, reason: str) -> None:
    offer = make_offer(price=0.7)
    for _ in range(12):
        after = replace(offer, unit_price_nano=round(offer.unit_price_nano * step))
        judged = judge(make_batch(after), known(offer))
        if judged.quarantined:
            assert reasons(judged) == [reason]
            return
        offer = after
    raise AssertionError(f"it drifted to {offer.unit_price_nano / NANO} USD")


def test_of_two_prices_the_dearer_is_shown_and_released_in_any_order() -> None:
    rows = [make_offer(price=price, vcpus=cpus) for price, cpus in ((2.0, 8), (2.5, 8), (2.5, 4))]
    for order in permutations(rows):
        (row,) = judge(make_batch(*order), known()).quarantined
        assert (row.offer.unit_price_nano, row.offer.vcpus) == (round(2.5 * NANO), 4)
        judged = judge(make_batch(*order), known(decisions=released(row.offer, "duplicate_key")))
        assert [(one.unit_price_nano, one.vcpus) for one in judged.published] == [(round(2.5 * NANO), 4)]


def test_a_release_for_one_reason_lets_no_other_pass() -> None:
    wrong = make_offer(price=2.0, gpu_memory_bytes=2**30)
    decisions = released(wrong, "memory_mismatch")
    assert len(judge(make_batch(wrong), known(make_offer(price=2.0), decisions=decisions)).published) == 1
    flipped = judge(make_batch(wrong), known(make_offer(price=2.0, currency="EUR"), decisions=decisions))
    assert reasons(flipped) == ["currency_changed"]


def test_the_detail_names_every_reason() -> None:
    wrong = make_offer(price=9.0, gpu_memory_bytes=2**30)
    (row,) = judge(make_batch(wrong), known(make_offer(price=2.0))).quarantined
    assert row.reason == "memory_mismatch"
    assert row.detail.endswith("; also price_jump: 2 USD to 9 USD")


def test_another_number_of_gpus_at_the_same_price_is_held() -> None:
    before, after = make_offer(gpu_count=1), make_offer(gpu_count=8)
    (row,) = judge(make_batch(after), known(before)).quarantined
    assert (row.reason, row.detail) == ("machine_changed", "8 GPUs, before 1")


@pytest.mark.parametrize(
    ("gpu", "price", "expected"),
    [
        ("GTX-1080-8GB", 0.03, []),  # cents, and no median of its own
        ("GTX-1080-8GB", 5.0, ["placeholder"]),
        ("MI300X-OAM-192GB", 0.004, ["far_below_class"]),
        (None, 0.01, []),
        ("NO-SUCH-CHIP-1GB", 2.0, []),  # an adapter of somebody else, or a table that grew
        ("NO-SUCH-CHIP-1GB", 400.0, ["placeholder"]),
    ],
)
def test_a_chip_without_a_listed_price_is_held_against_those_of_its_size(
    gpu: str | None, price: float, expected: list[str]
) -> None:
    assert reasons(judge(make_batch(make_offer(gpu=gpu, price=price, pricing_model=SPOT)), known())) == expected


def test_the_first_live_night_of_the_bundled_list_is_not_held_against_itself() -> None:
    from cache.store import BundledStore

    listed = [
        one for one in BundledStore(GPUS).snapshot(now=NIGHT).offers
        if one.unit_price_nano and one.gpu_memory_bytes is None
    ]  # fmt: skip
    against = replace(known(), class_median=class_medians(listed))
    held = []
    for scope in sorted({scope_of(one) for one in listed}):
        batch = ScopeBatch(scope=scope, observed_at=NIGHT, offers=tuple(o for o in listed if scope_of(o) == scope))
        held += judge(batch, against).quarantined
    assert [(row.reason, row.key) for row in held] == []


@dataclass
class Market:
    """A source whose rows a test sets from night to night, and the store that they go into."""

    store: SqlStore
    now: datetime = NIGHT
    rows: tuple[Offer, ...] = ()

    def night(self, *rows: Offer, wanted: Wanted | None = None) -> SourceReport:
        self.rows = rows

        def answer(context: FetchContext, part: FetchPart) -> list[ScopeBatch]:
            here = [one for one in self.rows if one.region == part.region]
            scopes = sorted({scope_of(one) for one in here})
            return [make_batch(*(one for one in here if scope_of(one) == it), at=context.now()) for it in scopes]

        regions = tuple(sorted({one.region for one in rows}))
        asking = Asking(gpus=GPUS, environment={}, now=lambda: self.now, wanted=wanted or Wanted(), provider_s=60.0)
        report = refresh(self.store, [Nimbus(answer, regions=regions)], RefreshOrder(asking=asking), listed=())
        self.now += DAY
        return report.sources[0]

    def prices(self) -> dict[tuple[str, str], float]:
        return {(one.region, one.instance_type): one.unit_price_nano / NANO for one in self.store.live_offers()}


@pytest.fixture
def market(tmp_path: Path) -> Iterator[Market]:
    store = open_store(str(tmp_path / "prices.sqlite3"), NoList(), create=True)
    yield Market(store)
    store.close()


def test_a_night_of_absence_is_no_way_past_the_gate(market: Market) -> None:
    other = make_offer("other")
    market.night(make_offer(price=2.0), other)
    market.night(other)
    assert market.night(make_offer(price=0.2), other).quarantined == 1
    assert market.prices() == {("north", "other"): 2.0}
    market.now += 40 * DAY
    assert market.night(make_offer(price=0.2), other).quarantined == 0


def test_one_region_is_no_majority_of_its_family(market: Market) -> None:
    """A slip in one region is held back whether that region is asked alone or with the others."""
    regions = ("east", "north", "south", "west")
    rows = {place: [make_offer(f"n{n}", region=place, price=2.0) for n in range(6)] for place in regions}
    market.night(*(one for place in regions for one in rows[place]))
    slip = [replace(one, unit_price_nano=10 * NANO) for one in rows["north"]]
    report = market.night(*slip, wanted=Wanted(regions=frozenset({"north"})))
    assert (report.quarantined, report.released) == (6, 0)


def test_a_new_price_list_taken_in_region_by_region_ends_as_one_taken_whole(market: Market) -> None:
    regions = ("east", "north", "south", "west")
    rows = {place: [make_offer(f"n{n}", region=place, price=2.0) for n in range(6)] for place in regions}
    market.night(*(one for place in regions for one in rows[place]))
    for _round in range(2):
        for place in regions:
            dearer = [replace(one, unit_price_nano=10 * NANO) for one in rows[place]]
            market.night(*dearer, wanted=Wanted(regions=frozenset({place})))
            market.now -= DAY * 0.9
    assert set(market.prices().values()) == {10.0}


def test_a_price_of_zero_is_never_released(market: Market) -> None:
    market.night(make_offer(price=0.0), make_offer("other"))
    with market.store.writing() as session:
        (row,) = list_rows(session)
    with pytest.raises(JobError, match="price of zero"), market.store.writing() as session:
        decide(session, row.number, release=True, at=market.now)
    assert market.prices() == {("north", "other"): 2.0}


@pytest.mark.parametrize("other", [{"gpu": "T4-16GB"}, {"gpu_count": 2}])
def test_a_launch_is_not_checked_with_another_machine_of_that_name(market: Market, other: dict[str, object]) -> None:
    market.night(make_offer())
    asking = Asking(gpus=GPUS, environment={}, now=lambda: market.now, wanted=Wanted())
    changed = make_offer(**other)  # type: ignore[arg-type]
    source = Nimbus(lambda context, _part: [make_batch(changed, at=context.now())])
    answer = requote(OfferKey(*changed.key), store=market.store, asking=asking, provider=source)
    assert (answer.status, answer.reason) == (QuoteStatus.HELD, "machine_changed")


def test_two_batches_of_one_scope_harm_nothing_that_is_stored(market: Market) -> None:
    """The second would replace the first: half of the prices would be gone, without a word."""
    market.night(make_offer("a"), make_offer("b"))
    asking = Asking(gpus=GPUS, environment={}, now=lambda: market.now, wanted=Wanted())
    source = Nimbus(lambda context, part: [make_batch(make_offer(part.name), at=context.now())], regions=("a", "b"))
    (report,) = refresh(market.store, [source], RefreshOrder(asking=asking), listed=()).sources
    assert report.outcome.value == "failed"
    assert "two batches of nimbus north on_demand" in report.errors[0]
    assert sorted(market.prices()) == [("north", "a"), ("north", "b")]


def test_a_clock_that_was_wrong_is_named_and_counts_for_nothing(market: Market) -> None:
    rows = [make_offer(f"n{number}") for number in range(20)]
    market.now = NIGHT + DAY / 480
    market.night(*rows)
    market.now = NIGHT
    report = market.night(*rows[:5])
    assert [one.detail for one in report.refused] == ["older than what is stored, which is of 2026-11-24 03:03 UTC"]
    (state,) = market.store.scope_states()
    assert (state.refused_offers, state.refused_times, state.offers) == (0, 0, 20)


def test_a_release_renews_no_age_in_the_history(market: Market) -> None:
    other = make_offer("other")
    market.night(make_offer(price=2.0), other)
    market.night(make_offer(price=9.0), other)
    stated = NIGHT + DAY
    market.now = stated + DAY / 2
    with market.store.writing() as session:
        decide(session, list_rows(session)[0].number, release=True, at=market.now)
    for held in (False, True):
        with market.store.reading() as session:
            (row,) = (one for one in recorded_offers(session, until=market.now) if one.key.instance_type != "other")
        assert (row.seen_at, row.held, row.changed_at) == (stated, held, stated + DAY / 2)
        market.night(make_offer(price=90.0), other)
