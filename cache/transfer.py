"""Takes the live prices of a snapshot file into a store, through the gate that a refresh passes, whole or not at all.

Each scope keeps the moment of its batch: an import renews no age. A scope of which the store holds a newer batch stays
as it is, so no age is turned back either.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from providers.offer import PriceClass
from providers.scope import OfferKey, Scope, ScopeBatch

from .judging import Source, judge_source
from .publishing import publish
from .quarantine import remember
from .rows import HELD
from .sql_store import latest_offers, scope_states

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from providers.gpus import GpuTable
    from providers.offer import Offer

    from .database import Session
    from .gate import Judged
    from .snapshot_file import FiledScope, SnapshotFile
    from .sql_store import ScopeState, SqlStore

ORIGIN = "import"


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of one scope of a file.

    `outcome` is imported, same (a batch of that moment is stored already), older, partial (the file does not hold the
    scope whole) or refused (by the gate; `detail` says why). Counts are offers.
    """

    scope: Scope
    batch_at: datetime
    outcome: str
    offers: int = 0
    added: int = 0
    changed: int = 0
    gone: int = 0
    quarantined: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """What an import did: its scopes in order, and the rows that are never imported."""

    scopes: tuple[Taken, ...]
    listed: int
    own: int
    unknown_gpus: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOrder:
    """How a file is taken in. `volatile` names providers whose lists may halve overnight (`ProviderInfo.volatile`)."""

    gpus: GpuTable
    listed: tuple[Offer, ...]
    now: datetime
    volatile: frozenset[str] = frozenset()
    dry_run: bool = False


def import_snapshot(store: SqlStore, file: SnapshotFile, order: ImportOrder) -> Import:
    """Publish what passes of a file and return what became of each scope. Raises StoreBusy where a refresh runs."""
    filed = [offer for offer in file.offers if offer.price_class is PriceClass.LIVE]
    live = [_known_gpu(offer, order.gpus) for offer in filed]
    by_scope: dict[Scope, list[Offer]] = defaultdict(list)
    for offer in live:
        by_scope[OfferKey(*offer.key).scope].append(offer)
    with store.lock(), store.writing(keep=not order.dry_run) as session:
        states = {state.scope: state for state in scope_states(session)}
        taken = [done for item in file.scopes if (done := _left_alone(item, states.get(item.scope)))]
        stays = {done.scope for done in taken}
        stored = {OfferKey(*offer.key): offer for offer in latest_offers(session)}
        batches: dict[str, list[ScopeBatch]] = defaultdict(list)
        for item in sorted(file.scopes, key=lambda item: item.scope):
            if item.scope not in stays:
                offers = tuple(_with_own_age(offer, stored) for offer in by_scope[item.scope])
                batch = ScopeBatch(scope=item.scope, observed_at=item.batch_at, offers=offers)
                batches[item.scope.provider].append(batch)
        for provider, found in batches.items():
            taken += _take(session, provider, found, states, order)
    return Import(
        scopes=tuple(sorted(taken, key=lambda done: done.scope)),
        listed=sum(offer.price_class is PriceClass.LIST for offer in file.offers),
        own=sum(offer.price_class is PriceClass.OWN for offer in file.offers),
        unknown_gpus=sum(here.gpu != there.gpu for here, there in zip(live, filed, strict=True)),
    )


def _known_gpu(offer: Offer, gpus: GpuTable) -> Offer:
    """Return the offer; a chip that only the other machine's table knows is unknown here, and marked so."""
    if offer.gpu is None or offer.gpu in gpus.by_id:
        return offer
    return replace(offer, gpu=None, flags=tuple(dict.fromkeys((*offer.flags, "gpu_unknown"))))


def _left_alone(item: FiledScope, state: ScopeState | None) -> Taken | None:
    """Return why a scope stays as it is, None where it is to be imported."""
    if not item.whole:
        outcome = "partial"
    elif state is None or state.batch_at is None or state.batch_at < item.batch_at:
        return None
    else:
        outcome = "same" if state.batch_at == item.batch_at else "older"
    return Taken(scope=item.scope, batch_at=item.batch_at, outcome=outcome)


def _with_own_age(offer: Offer, stored: Mapping[OfferKey, Offer]) -> Offer:
    """Return the offer; one that the other machine holds back, and whose last good price is older than the one stored
    here, keeps the one stored here with its age."""
    here = stored.get(OfferKey(*offer.key))
    if HELD not in offer.flags or here is None or here.observed_at <= offer.observed_at:
        return offer
    return replace(here, flags=tuple(dict.fromkeys((*here.flags, HELD))))


def _take(
    session: Session,
    provider: str,
    batches: Sequence[ScopeBatch],
    states: Mapping[Scope, ScopeState],
    order: ImportOrder,
) -> list[Taken]:
    source = Source(name=provider, volatile=provider in order.volatile, gpus=order.gpus, now=order.now)
    judged = judge_source(session, source, batches, states=states, listed=order.listed)
    return [_settle(session, one, order.now) for one in judged]


def _settle(session: Session, judged: Judged, now: datetime) -> Taken:
    scope, at = judged.batch.scope, judged.batch.observed_at
    if judged.refused:
        # Not noted: the same file again is no new evidence that the shorter list is right.
        return Taken(scope=scope, batch_at=at, outcome="refused", detail=judged.refused.detail)
    done = publish(session, judged, origin=ORIGIN, stored_at=now)
    remember(session, scope, judged.quarantined, at=at)
    return Taken(
        scope=scope,
        batch_at=at,
        outcome="imported",
        offers=done.offers,
        added=done.added,
        changed=done.changed,
        gone=done.gone,
        quarantined=len(judged.quarantined),
    )
