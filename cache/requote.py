"""One offer, asked for now: what a launch is checked with. Read-only: the store stays as the last refresh left it.

The answer has passed the same gate as a night's batch, held against what the store knows of the offer. So a source that
states a thousandth of the price an hour before the launch does not slip past an approval.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from providers.errors import ProviderError
from providers.machines import complete_facts
from providers.offer import PricingModel
from providers.registry import load_provider, provider_names
from providers.scope import OfferKey, ScopeBatch

from .fetching import make_context
from .gate import Known, Previous, class_medians, judge, on_demand_key
from .quarantine import decisions_of
from .sql_store import SqlStore, scope_states

if TYPE_CHECKING:
    from collections.abc import Iterable

    from providers.base import Provider
    from providers.offer import Offer

    from .database import Session
    from .fetching import Asking
    from .store import PriceStore


class QuoteStatus(StrEnum):
    """What asking for one offer brought."""

    QUOTED = "quoted"
    """`offer` is the price now."""
    GONE = "gone"
    """The source has no such offer any more."""
    HELD = "held"
    """The source states a price (`offer`) that the gate would hold back; `detail` says why."""
    NO_SOURCE = "no_source"
    """No adapter asks this provider: its prices are listed ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requote:
    """The answer for one offer. `before` is what the store (or the list) knew of it, None for nothing."""

    key: OfferKey
    status: QuoteStatus
    offer: Offer | None = None
    before: Offer | None = None
    reason: str = ""
    detail: str = ""


def requote(
    key: OfferKey,
    *,
    store: PriceStore,
    asking: Asking,
    provider: Provider | None = None,
    stop: threading.Event | None = None,
) -> Requote:
    """Return what the offer of `key` costs now; `provider` defaults to the source of that name.

    Raises a ProviderError (exit 9) where the source cannot be asked or is not understood; a provider without an adapter
    is an answer.
    """
    snapshot = store.snapshot(now=asking.now())
    before = next((offer for offer in snapshot.offers if offer.key == tuple(key)), None)
    if provider is None:
        if key.provider not in provider_names():
            return Requote(
                key=key, status=QuoteStatus.NO_SOURCE, before=before, detail=f"no adapter asks {key.provider}"
            )
        provider = load_provider(key.provider)
    context = make_context(provider, asking, stop or threading.Event())
    offer = provider.quote(key, context)
    if offer is None:
        return Requote(key=key, status=QuoteStatus.GONE, before=before, detail="the source no longer has it")
    if offer.key != tuple(key):
        raise ProviderError(f"{key.provider}: asked for {key}, and was told of {OfferKey(*offer.key)}")
    offer = complete_facts(offer)
    known = _known(key, offer, snapshot.offers, store, asking)
    # The size of the batch says nothing here, and its age is that of now.
    batch = ScopeBatch(scope=key.scope, observed_at=offer.observed_at, offers=(offer,))
    judged = judge(batch, known)
    if before and before.gpu and offer.gpu != before.gpu:
        detail = f"{offer.gpu or offer.gpu_name}, before {before.gpu}"
        return Requote(
            key=key, status=QuoteStatus.HELD, offer=offer, before=before, reason="machine_changed", detail=detail
        )
    if judged.quarantined:
        row = judged.quarantined[0]
        return Requote(
            key=key, status=QuoteStatus.HELD, offer=offer, before=before, reason=row.reason, detail=row.detail
        )
    return Requote(key=key, status=QuoteStatus.QUOTED, offer=judged.published[0], before=before)


def _known(key: OfferKey, offer: Offer, offers: Iterable[Offer], store: PriceStore, asking: Asking) -> Known:
    offers = tuple(offers)
    previous = {
        OfferKey(*one.key): Previous(price_nano=one.unit_price_nano, currency=one.currency, gpu_count=one.gpu_count)
        for one in offers
        if one.key == offer.key
    }
    twins = {
        on_demand_key(one): one.unit_price_nano
        for one in offers
        if one.pricing_model is PricingModel.ON_DEMAND and one.provider == key.provider
    }
    known = Known(
        previous=previous, on_demand=twins, class_median=class_medians(offers), decisions={}, gpus=asking.gpus
    )
    if not isinstance(store, SqlStore):
        return known
    with store.reading() as session:
        return _with_decisions(known, key, session)


def _with_decisions(known: Known, key: OfferKey, session: Session) -> Known:
    for state in scope_states(session):
        if state.scope == key.scope:
            return replace(known, decisions=decisions_of(session, state.number))
    return known
