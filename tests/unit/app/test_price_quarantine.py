"""Deciding on held back prices, and what the next nights make of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from cache.fetching import Asking
from cache.publishing import confirm
from cache.refresh import RefreshOrder, refresh
from cache.sql_store import SqlStore, open_store
from optimizer.app.price_quarantine import decide_quarantined, list_quarantine
from optimizer.app.settings import Settings
from providers.base import Wanted
from providers.errors import JobError, PricesUnavailable
from providers.gpus import load_gpus
from providers.offer import NANO
from tests.fixtures.nights import held_row, put_night
from tests.fixtures.offers import DAY, NIGHT, Nimbus, NoList, make_batch, make_offer, scope_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from cache.outcome import SourceReport
    from optimizer.report.record_answers import HeldPrice, QuarantineAnswer
    from providers.offer import Offer

GPUS = load_gpus()
LIMIT_OF_MEMORY = 12 * 2**30


@dataclass
class Nights:
    """A store whose nights are refreshes of an invented source, a day apart."""

    store: SqlStore
    now: datetime = NIGHT
    offers: list[Offer] = field(default_factory=list)

    def run(self, *offers: Offer) -> SourceReport:
        source = Nimbus(lambda context, part: [make_batch(*offers, at=self.now)])
        asking = Asking(gpus=GPUS, environment={}, now=lambda: self.now, wanted=Wanted())
        report = refresh(self.store, [source], RefreshOrder(asking=asking), listed=())
        self.now += DAY
        return report.sources[0]

    def rows(self, **how: object) -> tuple[HeldPrice, ...]:
        return list_quarantine(now=self.now, settings=Settings(), store=self.store, **how).rows  # type: ignore[arg-type]

    def decide(self, *numbers: int, release: bool, note: str = "") -> QuarantineAnswer:
        return decide_quarantined(
            numbers, release=release, note=note, now=self.now, settings=Settings(), store=self.store
        )

    def prices(self) -> dict[str, float]:
        return {offer.instance_type: offer.unit_price_nano / NANO for offer in self.store.live_offers()}

    def ages(self) -> dict[str, datetime]:
        return {offer.instance_type: offer.observed_at for offer in self.store.live_offers()}


@pytest.fixture
def nights(tmp_path: Path) -> Iterator[Nights]:
    store = open_store(str(tmp_path / "prices.sqlite3"), NoList(), create=True)
    yield Nights(store)
    store.close()


A, B = make_offer("a"), make_offer("b")
JUMPED = make_offer("a", price=20.0)


def test_a_held_price_is_listed_with_all_that_a_person_needs(nights: Nights) -> None:
    nights.run(A, B)
    nights.run(JUMPED, B)
    nights.run(JUMPED, B)
    (row,) = nights.rows()
    assert (row.key, row.price_nano, row.previous_nano, row.factor_ppm) == (
        "nimbus/north/a/on_demand",
        20 * NANO,
        2 * NANO,
        10_000_000,
    )
    assert (row.reason, row.words) == ("price_jump", "the price moved by more than the limit since the last batch")
    assert (row.first_seen_at, row.last_seen_at, row.times) == (NIGHT + DAY, NIGHT + 2 * DAY, 2)
    assert row.state == "pending"


def test_what_is_released_counts_at_once_and_passes_the_next_night(nights: Nights) -> None:
    nights.run(A, B)
    nights.run(JUMPED, B)
    assert nights.prices() == {"a": 2.0, "b": 2.0}
    (row,) = nights.rows()
    answer = nights.decide(row.number, release=True, note="a new list")
    assert (answer.done, [one.number for one in answer.rows]) == ("released", [row.number])
    assert nights.prices() == {"a": 20.0, "b": 2.0}
    assert nights.ages() == {"a": NIGHT + DAY, "b": NIGHT + DAY}
    assert nights.run(make_offer("a", price=21.0), B).quarantined == 0
    assert nights.prices() == {"a": 21.0, "b": 2.0}
    assert nights.rows() == ()
    assert [(one.state, one.note) for one in nights.rows(everything=True)] == [("released", "a new list")]


def test_a_mark_that_stays_wrong_is_released_for_good(nights: Nights) -> None:
    odd = make_offer("a", gpu_memory_bytes=LIMIT_OF_MEMORY)
    nights.run(odd, B)
    (row,) = nights.rows()
    assert row.reason == "memory_mismatch"
    nights.decide(row.number, release=True)
    assert nights.prices() == {"a": 2.0, "b": 2.0}
    assert nights.run(odd, B).quarantined == 0
    assert nights.prices() == {"a": 2.0, "b": 2.0}


def test_what_is_rejected_stays_out_in_silence_until_its_price_changes(nights: Nights) -> None:
    nights.run(A, B)
    nights.run(JUMPED, B)
    (row,) = nights.rows()
    nights.decide(row.number, release=False, note="a typing error of theirs")
    assert nights.prices() == {"a": 2.0, "b": 2.0}
    nights.run(JUMPED, B)
    assert nights.rows() == ()
    assert nights.prices() == {"a": 2.0, "b": 2.0}
    assert nights.ages()["a"] == NIGHT
    nights.run(make_offer("a", price=30.0), B)
    (again,) = nights.rows()
    assert again.price_nano == 30 * NANO
    assert again.number != row.number
    nights.run(make_offer("a", price=2.2), B)
    assert nights.prices() == {"a": 2.2, "b": 2.0}
    assert nights.rows() == ()


def test_a_released_price_of_long_ago_does_not_stand_for_a_newer_one(nights: Nights) -> None:
    nights.run(A, B)
    nights.run(JUMPED, B)
    (row,) = nights.rows()
    nights.decide(row.number, release=False)
    nights.run(make_offer("a", price=2.2), B)
    nights.decide(row.number, release=True)
    assert nights.prices() == {"a": 2.2, "b": 2.0}
    nights.run(B, make_offer("c"))
    assert set(nights.prices()) == {"b", "c"}


def test_a_release_does_not_bring_back_what_is_gone(nights: Nights) -> None:
    nights.run(A, B)
    nights.run(JUMPED, B)
    (row,) = nights.rows()
    nights.decide(row.number, release=False)
    nights.run(B, make_offer("c"))
    nights.decide(row.number, release=True)
    assert set(nights.prices()) == {"b", "c"}


def test_a_batch_that_was_called_unchanged_still_states_its_rows(nights: Nights) -> None:
    nights.run(A, B)
    nights.run(JUMPED, B)
    with nights.store.writing() as session:
        confirm(session, [scope_of(A)], at=nights.now, stored_at=nights.now)
    (row,) = nights.rows()
    nights.decide(row.number, release=True)
    assert nights.prices()["a"] == 20.0
    assert nights.ages()["a"] == nights.now


def test_several_at_once_are_all_or_none(nights: Nights) -> None:
    nights.run(A, B)
    nights.run(JUMPED, make_offer("b", price=30.0))
    one, two = sorted(row.number for row in nights.rows())
    with pytest.raises(JobError, match="quarantine: number = 99: there is none of that number"):
        nights.decide(one, 99, release=True)
    assert {row.state for row in nights.rows()} == {"pending"}
    assert nights.prices() == {"a": 2.0, "b": 2.0}
    answer = nights.decide(two, one, two, release=True)
    assert [row.number for row in answer.rows] == [two, one]
    assert nights.prices() == {"a": 20.0, "b": 30.0}
    with pytest.raises(JobError, match="it is released already"):
        nights.decide(one, release=False)


def test_no_price_of_zero_is_released(nights: Nights) -> None:
    put_night(nights.store, B, held=(held_row(make_offer("a", price=0.0), "not_positive"),))
    (row,) = nights.rows()
    with pytest.raises(JobError, match="no price of zero"):
        nights.decide(row.number, release=True)
    nights.decide(row.number, release=False)
    assert nights.rows() == ()


def test_the_list_is_of_one_provider_when_asked(nights: Nights) -> None:
    put_night(nights.store, B, held=(held_row(A),))
    put_night(nights.store, replace(B, provider="cirrus"), held=(held_row(replace(A, provider="cirrus")),))
    assert {row.provider for row in nights.rows()} == {"nimbus", "cirrus"}
    assert {row.provider for row in nights.rows(provider="Cirrus")} == {"cirrus"}
    with pytest.raises(JobError, match=r"provider = 'cirus'.*did you mean cirrus\?"):
        nights.rows(provider="cirus")


def test_a_note_is_one_short_line(nights: Nights) -> None:
    put_night(nights.store, B, held=(held_row(A),))
    (row,) = nights.rows()
    with pytest.raises(JobError, match="at most 200 characters"):
        nights.decide(row.number, release=True, note="x" * 201)
    nights.decide(row.number, release=False, note="a\n\x1b[31mb")
    assert [one.note for one in nights.rows(everything=True)] == ["a [31mb"]


def test_without_a_refresh_there_is_nothing_to_decide(tmp_path: Path) -> None:
    with pytest.raises(PricesUnavailable, match="no live prices yet"):
        list_quarantine(settings=Settings(cache_url=str(tmp_path / "none.sqlite3")))
