"""Taking a file into a store: through the gate, all or nothing, and no age renewed or turned back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from cache.errors import StoreBusy
from cache.quarantine import decide, list_rows
from cache.snapshot_file import FiledScope, SnapshotFile
from cache.sql_store import SqlStore, open_store
from cache.transfer import Import, ImportOrder, import_snapshot
from providers.gpus import load_gpus
from providers.offer import NANO, PriceClass
from tests.fixtures.nights import held_row, put_night
from tests.fixtures.offers import DAY, NIGHT, SPOT, NoList, make_offer, scope_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from providers.offer import Offer

GPUS = load_gpus()
NOON = NIGHT + timedelta(hours=9)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    here = open_store(str(tmp_path / "prices.sqlite3"), NoList(), create=True)
    yield here
    here.close()


def file_of(*offers: Offer, at: datetime = NIGHT, whole: bool = True) -> SnapshotFile:
    live = [offer for offer in offers if offer.price_class is PriceClass.LIVE]
    rows = [offer if "price_held" in offer.flags else replace(offer, observed_at=at) for offer in live]
    return SnapshotFile(
        made_at=at,
        sha256="cd" * 32,
        market_sha256="ab" * 32,
        scopes=tuple(
            FiledScope(scope=scope, batch_at=at, whole=whole) for scope in {scope_of(offer) for offer in live}
        ),
        offers=(*rows, *(offer for offer in offers if offer not in live)),
    )


def take(store: SqlStore, *offers: Offer, at: datetime = NIGHT, whole: bool = True, **order: Any) -> Import:
    how = ImportOrder(**{"gpus": GPUS, "listed": (), "now": NOON, **order})
    return import_snapshot(store, file_of(*offers, at=at, whole=whole), how)


def prices(store: SqlStore) -> dict[str, tuple[float, datetime]]:
    return {one.instance_type: (one.unit_price_nano / NANO, one.observed_at) for one in store.live_offers()}


def test_a_scope_keeps_the_moment_of_its_batch(store: SqlStore) -> None:
    done = take(store, make_offer("a"), make_offer("b", price=3.0, region="south"))
    assert [(one.outcome, one.offers, one.added) for one in done.scopes] == [("imported", 1, 1), ("imported", 1, 1)]
    assert prices(store) == {"a": (2.0, NIGHT), "b": (3.0, NIGHT)}
    assert store.sources() == {}


def test_the_same_file_again_changes_nothing(store: SqlStore) -> None:
    take(store, make_offer("a"))
    done = take(store, make_offer("a", price=2.5))
    assert [one.outcome for one in done.scopes] == ["same"]
    assert prices(store) == {"a": (2.0, NIGHT)}


def test_an_age_is_never_turned_back(store: SqlStore) -> None:
    put_night(store, make_offer("a", price=2.5), at=NIGHT)
    done = take(store, make_offer("a"), make_offer("s", pricing_model=SPOT), at=NIGHT - DAY)
    assert {one.scope.pricing_model.value: one.outcome for one in done.scopes} == {
        "on_demand": "older",
        "spot": "imported",
    }
    assert prices(store) == {"a": (2.5, NIGHT), "s": (2.0, NIGHT - DAY)}


def test_a_newer_file_replaces_a_scope_whole(store: SqlStore) -> None:
    put_night(store, make_offer("a"), make_offer("b"), at=NIGHT - DAY)
    (done,) = take(store, make_offer("a", price=2.5), make_offer("c")).scopes
    assert (done.added, done.changed, done.gone) == (1, 1, 1)
    assert prices(store) == {"a": (2.5, NIGHT), "c": (2.0, NIGHT)}


def test_a_scope_in_part_is_left_alone(store: SqlStore) -> None:
    put_night(store, make_offer("a"), make_offer("b"), at=NIGHT - DAY)
    (done,) = take(store, make_offer("a", price=2.5), whole=False).scopes
    assert done.outcome == "partial"
    assert prices(store) == {"a": (2.0, NIGHT - DAY), "b": (2.0, NIGHT - DAY)}


def test_list_and_own_rows_are_counted_and_passed_over(store: SqlStore) -> None:
    listed = make_offer("l", price_class=PriceClass.LIST)
    own = make_offer("o", price_class=PriceClass.OWN)
    done = take(store, make_offer("a"), listed, own, own)
    assert (done.listed, done.own) == (1, 2)
    assert set(prices(store)) == {"a"}


def test_a_jump_is_held_back_and_the_price_before_stays(store: SqlStore) -> None:
    put_night(store, make_offer("a"), make_offer("b"), at=NIGHT - DAY)
    (done,) = take(store, make_offer("a", price=20.0), make_offer("b", price=2.1)).scopes
    assert (done.outcome, done.quarantined) == ("imported", 1)
    assert prices(store) == {"a": (2.0, NIGHT - DAY), "b": (2.1, NIGHT)}
    with store.reading() as session:
        (row,) = list_rows(session)
    assert (row.reason, row.first_seen_at) == ("price_jump", NIGHT)


def test_the_bundled_list_is_what_a_first_price_is_held_against(store: SqlStore) -> None:
    listed = (make_offer("a", price_class=PriceClass.LIST),)
    (done,) = take(store, make_offer("a", price=20.0), listed=listed).scopes
    assert (done.offers, done.quarantined) == (0, 1)


def test_a_family_that_moves_together_is_let_through(store: SqlStore) -> None:
    fleet = [make_offer(f"n{at}", region=f"r{at}") for at in range(8)]
    put_night(store, *fleet, at=NIGHT - DAY)
    done = take(store, *(replace(offer, unit_price_nano=4 * offer.unit_price_nano) for offer in fleet))
    assert sum(one.quarantined for one in done.scopes) == 0
    assert {price for price, _ in prices(store).values()} == {8.0}


def test_far_fewer_offers_are_refused_however_often(store: SqlStore) -> None:
    put_night(store, *(make_offer(f"n{at}") for at in range(20)), at=NIGHT - DAY)
    for _ in range(5):
        (done,) = take(store, make_offer("n1")).scopes
        assert (done.outcome, done.detail) == ("refused", "far fewer offers than in the batch before (1 of 20)")
    assert len(prices(store)) == 20
    assert all(state.refused == "" for state in store.scope_states())
    (done,) = take(store, make_offer("n1"), volatile=frozenset({"nimbus"})).scopes
    assert (done.outcome, done.gone) == ("imported", 19)


def test_what_a_person_rejected_stays_out(store: SqlStore) -> None:
    put_night(store, make_offer("a"), held=(held_row(make_offer("b", price=50.0), previous=2 * NANO),), at=NIGHT - DAY)
    with store.writing() as session:
        (row,) = list_rows(session)
        decide(session, row.number, release=False, at=NIGHT)
    take(store, make_offer("a"), make_offer("b", price=50.0), listed=(make_offer("b", price_class=PriceClass.LIST),))
    assert set(prices(store)) == {"a"}
    with store.reading() as session:
        assert list_rows(session) == []


def test_a_price_that_the_other_machine_holds_keeps_its_age(store: SqlStore) -> None:
    old = make_offer("a", observed_at=NIGHT - 3 * DAY, flags=("price_held",))
    take(store, old, make_offer("b"))
    assert prices(store) == {"a": (2.0, NIGHT - 3 * DAY), "b": (2.0, NIGHT)}
    (found,) = [offer for offer in store.live_offers() if offer.instance_type == "a"]
    assert found.flags == ("price_held",)


def test_a_held_price_does_not_stand_for_a_newer_one(store: SqlStore) -> None:
    put_night(store, make_offer("a", price=2.4), at=NIGHT - DAY)
    take(store, make_offer("a", observed_at=NIGHT - 3 * DAY, flags=("price_held",)), make_offer("b"))
    assert prices(store) == {"a": (2.4, NIGHT - DAY), "b": (2.0, NIGHT)}


def test_a_chip_that_only_the_other_table_knows_is_unknown_here(store: SqlStore) -> None:
    done = take(store, make_offer("a", gpu="ZETA-9-64GB", gpu_name="Zeta 9"))
    assert done.unknown_gpus == 1
    (offer,) = store.live_offers()
    assert (offer.gpu, offer.gpu_name, offer.flags) == (None, "Zeta 9", ("gpu_unknown",))


def test_a_dry_run_stores_nothing(store: SqlStore) -> None:
    (done,) = take(store, make_offer("a"), dry_run=True).scopes
    assert (done.outcome, done.added) == ("imported", 1)
    assert store.live_offers() == []
    assert store.scope_states() == []


def test_a_refresh_is_not_disturbed(store: SqlStore) -> None:
    with store.lock(), pytest.raises(StoreBusy):
        take(store, make_offer("a"))


def test_all_of_a_file_or_nothing(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    from cache import transfer

    def fails(*args: Any, **kwargs: Any) -> None:
        if args[1].provider == "stratus":
            raise RuntimeError("half way")

    monkeypatch.setattr(transfer, "remember", fails)
    with pytest.raises(RuntimeError, match="half way"):
        take(store, make_offer("a"), make_offer("b", provider="stratus"))
    assert store.live_offers() == []
