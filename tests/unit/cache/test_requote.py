"""One offer, asked for now: quoted, gone, held back, or of a provider that nobody asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cache.fetching import Asking
from cache.gate import Judged
from cache.publishing import publish
from cache.quarantine import decide, list_rows, remember
from cache.requote import QuoteStatus, requote
from cache.sql_store import SqlStore, open_store
from providers.base import Wanted
from providers.errors import ProviderError, ProviderUnavailable
from providers.gpus import load_gpus
from providers.offer import NANO, Offer
from providers.scope import OfferKey, Scope
from tests.fixtures.offers import DAY, NIGHT, SPOT, Nimbus, NoList, make_batch, make_offer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from providers.base import FetchContext, FetchPart
    from providers.scope import ScopeBatch

KEY = OfferKey(*make_offer().key)
ASKING = Asking(gpus=load_gpus(), environment={}, now=lambda: NIGHT + DAY, wanted=Wanted())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    store = open_store(str(tmp_path / "prices.sqlite3"), NoList(), create=True)
    with store.writing() as session:
        for offer in (make_offer(), make_offer(pricing_model=SPOT, price=0.5)):
            publish(session, Judged(batch=make_batch(offer), published=(offer,)), origin="refresh", stored_at=NIGHT)
    yield store
    store.close()


def source(*offers: Offer) -> Nimbus:
    def rows(context: FetchContext, part: FetchPart) -> list[ScopeBatch]:
        return [make_batch(offer, at=context.now()) for offer in offers]

    return Nimbus(rows)


def test_the_price_of_now(store: SqlStore) -> None:
    answer = requote(KEY, store=store, asking=ASKING, provider=source(make_offer(price=2.2)))
    assert answer.status is QuoteStatus.QUOTED
    assert answer.offer is not None
    assert answer.before is not None
    assert (answer.offer.unit_price_nano, answer.offer.observed_at) == (round(2.2 * NANO), NIGHT + DAY)
    assert answer.before.unit_price_nano == 2 * NANO
    assert store.offer(KEY) == answer.before


def test_gone(store: SqlStore) -> None:
    assert requote(KEY, store=store, asking=ASKING, provider=source()).status is QuoteStatus.GONE


@pytest.mark.parametrize("price", [0.002, 20.0])
def test_a_price_that_the_gate_would_hold_is_told_apart(store: SqlStore, price: float) -> None:
    answer = requote(KEY, store=store, asking=ASKING, provider=source(make_offer(price=price)))
    assert answer.status is QuoteStatus.HELD
    assert answer.reason in {"price_jump", "unit_changed"}


def test_what_a_person_released_is_quoted(store: SqlStore) -> None:
    batch = make_batch(make_offer(price=20.0), at=NIGHT + DAY)
    provider = source(make_offer(price=20.0))
    held = requote(KEY, store=store, asking=ASKING, provider=provider)
    assert held.offer is not None
    from cache.gate import HeldRow

    with store.writing() as session:
        row = HeldRow(offer=held.offer, reason=held.reason, detail=held.detail)
        remember(session, batch.scope, [row], at=NIGHT + DAY)
        decide(session, list_rows(session)[0].number, release=True, at=NIGHT + DAY)
    assert requote(KEY, store=store, asking=ASKING, provider=provider).status is QuoteStatus.QUOTED


def test_spot_is_marked_as_in_a_refresh(store: SqlStore) -> None:
    key = KEY._replace(pricing_model="spot")
    answer = requote(key, store=store, asking=ASKING, provider=source(make_offer(price=1.5, pricing_model=SPOT)))
    assert answer.offer is not None
    assert answer.offer.flags == ()
    answer = requote(key, store=store, asking=ASKING, provider=source(make_offer(price=0.2, pricing_model=SPOT)))
    assert answer.offer is not None
    assert answer.offer.flags == ("clamp_suspected",)


def test_nobody_asks_that_provider(store: SqlStore) -> None:
    assert requote(KEY, store=store, asking=ASKING).status is QuoteStatus.NO_SOURCE


def test_over_the_list_alone() -> None:
    answer = requote(KEY, store=NoList(), asking=ASKING, provider=source(make_offer()))
    assert (answer.status, answer.before) == (QuoteStatus.QUOTED, None)


def test_a_source_that_does_not_answer_is_an_error(store: SqlStore) -> None:
    def rows(context: FetchContext, part: FetchPart) -> list[ScopeBatch]:
        raise ProviderUnavailable("nimbus: HTTP 500")

    with pytest.raises(ProviderUnavailable):
        requote(KEY, store=store, asking=ASKING, provider=Nimbus(rows))


def test_an_answer_about_something_else_is_an_error(store: SqlStore) -> None:
    class Wrong(Nimbus):
        def quote(self, key: OfferKey, context: FetchContext) -> Offer | None:
            return make_offer("another")

    with pytest.raises(ProviderError, match="was told of"):
        requote(KEY, store=store, asking=ASKING, provider=Wrong(lambda _context, _part: []))


def test_the_scope_of_a_key() -> None:
    assert KEY.scope == Scope(provider="nimbus", region="north", pricing_model=make_offer().pricing_model)
