"""The price store against a model of it in plain Python: hundreds of random nights, partial ones, releases, clocks."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

import pytest

from cache.gate import HeldRow, Judged, Refusal
from cache.publishing import confirm, publish
from cache.quarantine import decide, list_rows, remember
from cache.sql_store import SqlStore, open_store
from providers.errors import PricesUnavailable
from providers.offer import NANO, Offer
from providers.scope import Scope
from tests.fixtures.offers import NIGHT, ON_DEMAND, SPOT, NoList, make_batch, make_offer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Prices: TypeAlias = "dict[tuple[str, ...], int]"
SCOPES = tuple(Scope(provider="nimbus", region=region, pricing_model=model)
               for region in ("north", "south") for model in (ON_DEMAND, SPOT))  # fmt: skip
TYPES = ("a", "b", "c", "d")
STEPS = 250


@dataclass
class Standing:
    """One price of the model: when it was last stated, and whether a newer one is held back."""

    nano: int
    seen_at: datetime
    held: bool = False


@dataclass
class Model:
    """What the store must say, and what it said at every moment."""

    prices: dict[Scope, dict[str, Standing]] = field(default_factory=dict)
    last: dict[Scope, datetime] = field(default_factory=dict)
    whole: dict[Scope, datetime] = field(default_factory=dict)
    pending: dict[tuple[Scope, str], tuple[int, datetime]] = field(default_factory=dict)
    said: dict[datetime, Prices] = field(default_factory=dict)

    def publish(self, scope: Scope, at: datetime, kept: dict[str, int], held: dict[str, int]) -> None:
        before = self.prices.get(scope, {})
        now = {name: Standing(nano, at) for name, nano in kept.items()}
        for name in held:
            if name in before:
                now[name] = Standing(before[name].nano, before[name].seen_at, held=True)
        self.prices[scope] = now
        self.last[scope] = self.whole[scope] = at
        self.pending = {place: one for place, one in self.pending.items() if place[0] != scope}
        self.pending |= {(scope, name): (nano, at) for name, nano in held.items()}

    def confirm(self, scope: Scope, at: datetime) -> None:
        if scope in self.last and self.last[scope] <= at:
            self.last[scope] = at
            for one in self.prices[scope].values():
                if not one.held:
                    one.seen_at = at

    def release(self, scope: Scope, name: str) -> None:
        nano, _ = self.pending.pop((scope, name))
        self.prices[scope][name] = Standing(nano, self.last[scope])

    def offers(self) -> dict[tuple[str, ...], tuple[int, datetime, bool]]:
        return {
            (scope.region, scope.pricing_model.value, name): (one.nano, one.seen_at, one.held)
            for scope, offers in self.prices.items()
            for name, one in offers.items()
        }


def offer_of(scope: Scope, name: str, nano: int) -> Offer:
    return make_offer(name, region=scope.region, pricing_model=scope.pricing_model, unit_price_nano=nano)


def key_of(offer: Offer) -> tuple[str, ...]:
    return (offer.region, offer.pricing_model.value, offer.instance_type)


def prices_at(store: SqlStore, now: datetime) -> Prices:
    try:
        return {key_of(offer): offer.unit_price_nano for offer in store.snapshot(now=now).offers}
    except PricesUnavailable:
        return {}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    opened = open_store(str(tmp_path / "prices.sqlite3"), NoList(), create=True)
    yield opened
    opened.close()


def a_batch(rng: random.Random, store: SqlStore, model: Model, at: datetime) -> None:
    scope = rng.choice(SCOPES)
    names = rng.sample(TYPES, rng.randint(0, len(TYPES)))
    price = {name: rng.choice((2, 2, 2, 3, 5)) * NANO for name in names}
    held = {name: nano * 7 for name, nano in price.items() if rng.random() < 0.3}
    kept = {name: nano for name, nano in price.items() if name not in held}
    batch = make_batch(*(offer_of(scope, name, held.get(name, price[name])) for name in names), at=at, scope=scope)
    rows = tuple(
        HeldRow(offer=one, reason="price_jump", detail="") for one in batch.offers if one.instance_type in held
    )
    passed = tuple(one for one in batch.offers if one.instance_type in kept)
    refused = Refusal(reason="row_count", detail="few") if rng.random() < 0.1 else None
    with store.writing() as session:
        publish(session, Judged(batch=batch, published=() if refused else passed, quarantined=() if refused else rows,
                                refused=refused), origin="refresh", stored_at=at)  # fmt: skip
        if refused is None:
            remember(session, scope, rows, at=at)
            model.publish(scope, at, kept, held)


def an_unchanged(rng: random.Random, store: SqlStore, model: Model, at: datetime) -> None:
    scope = rng.choice(SCOPES)
    with store.writing() as session:
        confirm(session, [scope], at=at, stored_at=at)
    model.confirm(scope, at)


def a_release(rng: random.Random, store: SqlStore, model: Model, at: datetime) -> None:
    with store.writing() as session:
        rows = list_rows(session)
        assert {(row.key.scope, row.key.instance_type): row.offer.unit_price_nano for row in rows} == {
            place: nano for place, (nano, _) in model.pending.items()
        }
        if rows:
            row = rng.choice(rows)
            decide(session, row.number, release=True, at=at)
            model.release(row.key.scope, row.key.instance_type)


@pytest.mark.parametrize("seed", range(4))
def test_the_store_says_what_the_model_says_now_and_later(store: SqlStore, seed: int) -> None:
    rng, model, at = random.Random(seed), Model(), NIGHT
    for _ in range(STEPS):
        at += timedelta(seconds=rng.choice((0, 1, 60, 3600, 86400)))
        rng.choice((a_batch, a_batch, a_batch, an_unchanged, a_release))(rng, store, model, at)
        found = {
            key_of(offer): (offer.unit_price_nano, offer.observed_at, "price_held" in offer.flags)
            for offer in store.live_offers()
        }
        assert found == model.offers()
        assert {state.scope: state.offers for state in store.scope_states() if state.batch_at} == {
            scope: len(offers) for scope, offers in model.prices.items()
        }
        model.said[at] = prices_at(store, at)
    for moment, said in model.said.items():
        assert prices_at(store, moment) == said
