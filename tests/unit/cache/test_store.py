"""The bundled list behind the store interface."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from cache import store
from cache.store import BundledStore
from providers.errors import PricesUnavailable
from providers.gpus import load_gpus
from providers.offer import PriceClass
from providers.snapshot import make_snapshot

if TYPE_CHECKING:
    from cache.store import PriceStore

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def test_the_bundled_store_answers_with_the_list_and_keeps_its_dates() -> None:
    prices: PriceStore = BundledStore(load_gpus())
    snapshot = prices.snapshot(now=NOW)
    assert {offer.price_class for offer in snapshot.offers} == {PriceClass.LIST}
    assert max(offer.observed_at for offer in snapshot.offers) < NOW
    assert snapshot.billing
    assert snapshot.token_prices


def test_it_loads_once_and_does_not_depend_on_now() -> None:
    prices = BundledStore(load_gpus())
    assert prices.snapshot(now=NOW) is prices.snapshot(now=datetime(2030, 1, 1, tzinfo=UTC))


def test_an_empty_list_is_an_error_with_exit_code_9(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "load_bundled_snapshot", lambda gpus: make_snapshot(()))
    with pytest.raises(PricesUnavailable, match="empty") as caught:
        BundledStore(load_gpus()).snapshot(now=NOW)
    assert caught.value.exit_code == 9
