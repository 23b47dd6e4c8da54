"""Holds all batches of one source against what is stored: the judgement that a refresh and an import share."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from providers.offer import PricingModel
from providers.scope import OfferKey

from .gate import GatePolicy, Judged, Known, Previous, class_medians, judge, on_demand_key
from .quarantine import decisions_of, pending_moves
from .quorum import PendingMove, QuorumPolicy, release_by_quorum
from .rows import seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from providers.gpus import GpuTable
    from providers.offer import Offer
    from providers.scope import Scope, ScopeBatch

    from .database import Row, Session
    from .sql_store import ScopeState

CLOCKS_DIFFER = timedelta(minutes=5)
"""Between two machines that share a store: a batch dated further ahead has a wrong date."""

GONE_REMEMBERED = timedelta(days=30)
"""How long an offer that is gone keeps a last price, against which it is held when it comes back."""
CROWD_REMEMBERED = timedelta(days=7)
"""How long a jump that waits in quarantine counts towards a quorum of its family."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Whose batches are judged, and by which limits. `volatile` as in `ProviderInfo`."""

    name: str
    volatile: bool
    gpus: GpuTable
    now: datetime
    gate: GatePolicy = field(default_factory=GatePolicy)
    quorum: QuorumPolicy = field(default_factory=QuorumPolicy)


def judge_source(
    session: Session,
    source: Source,
    batches: Sequence[ScopeBatch],
    *,
    states: Mapping[Scope, ScopeState],
    listed: tuple[Offer, ...],
) -> list[Judged]:
    """Return the judgement on each batch of one source, in order, jumps released that a family makes together.

    `listed` is the bundled list: the first live on-demand price of an offer is held against it. Raises ValueError for
    two batches of one scope.
    """
    twice = [scope for scope, times in Counter(batch.scope for batch in batches).items() if times > 1]
    if twice:  # the second would replace the first
        raise ValueError(f"two batches of {min(twice)}")
    known = _known(session, source, batches, states, listed)
    judged = [judge(batch, one, source.gate) for batch, one in zip(batches, known, strict=True)]
    if not any(row.reason == "price_jump" for one in judged for row in one.quarantined):
        return judged
    since, tonight = source.now - CROWD_REMEMBERED, {batch.scope for batch in batches}
    pending = pending_moves(session, source.name, beside=tonight, since=since)
    moved, elsewhere = _elsewhere(session, source, tonight, since)
    return release_by_quorum(
        judged, dict(enumerate(known)), pending=[*moved, *pending], elsewhere=elsewhere, policy=source.quorum
    )


def _elsewhere(
    session: Session, source: Source, tonight: set[Scope], since: datetime
) -> tuple[list[PendingMove], Counter[str]]:
    """Return the jumps that were published after `since` in other scopes, and how many series have a price there."""
    rows = session.rows(
        "SELECT s.provider, s.region, o.zone, o.instance_type, o.variant, s.pricing_model, o.gpu, o.gpu_name, "
        "h.price_nano, (SELECT p.price_nano FROM price_history p WHERE p.offer_id = o.id AND p.at < h.at "
        "ORDER BY p.at DESC LIMIT 1) FROM price_offers o JOIN price_scopes s ON s.id = o.scope_id "
        "LEFT JOIN price_history h ON h.offer_id = o.id AND h.at >= ? "
        "AND h.at = (SELECT MAX(at) FROM price_history WHERE offer_id = o.id) "
        "WHERE s.provider = ? AND o.price_nano IS NOT NULL",
        (seconds(since), source.name),
    )
    moved: list[PendingMove] = []
    series: Counter[str] = Counter()
    for *key, gpu, gpu_name, price, before in rows:
        place = OfferKey(*key)
        if place.scope in tonight:
            continue
        family = f"{place.provider} {gpu or gpu_name} {place.pricing_model}"
        series[family] += 1
        move = price / before if price and before else 1.0
        if max(move, 1 / move) > source.gate.largest_move:
            moved.append(PendingMove(key=place, family=family, move=move))
    return moved, series


def _known(
    session: Session,
    source: Source,
    batches: Sequence[ScopeBatch],
    states: Mapping[Scope, ScopeState],
    listed: tuple[Offer, ...],
) -> list[Known]:
    """Return what each batch is held against."""
    before = _stored_prices(session, source.name)
    gone = _gone_prices(session, source.name, since=source.now - GONE_REMEMBERED)
    previous = {**_listed_prices(listed, source.name), **gone, **before}
    on_demand = {
        **_stored_on_demand(before, source.name),
        **{
            on_demand_key(offer): offer.unit_price_nano
            for batch in batches
            for offer in batch.offers
            if offer.pricing_model is PricingModel.ON_DEMAND
        },
    }
    medians = class_medians(listed)
    return [
        Known(
            previous=previous,
            on_demand=on_demand,
            class_median=medians,
            decisions=decisions_of(session, state.number) if state else {},
            gpus=source.gpus,
            last_rows=state.offers if state and state.batch_at else None,
            last_at=_last_at(state, source.now),
            refused_rows=state.refused_offers if state else 0,
            refused_times=state.refused_times if state else 0,
            refused_at=state.refused_at if state else None,
            volatile=source.volatile,
        )
        for state in (states.get(batch.scope) for batch in batches)
    ]


def _last_at(state: ScopeState | None, now: datetime) -> int | None:
    """Return the moment of the scope's last batch; None where a clock that ran ahead has dated it after `now`.

    Otherwise such a batch would refuse every later one as older, until its date has come.
    """
    if state is None or state.batch_at is None or state.batch_at > now + CLOCKS_DIFFER:
        return None
    return seconds(state.batch_at)


def _listed_prices(listed: tuple[Offer, ...], provider: str) -> dict[OfferKey, Previous]:
    return {
        OfferKey(*offer.key): Previous(price_nano=offer.unit_price_nano, currency=offer.currency)
        for offer in listed
        if offer.provider == provider and offer.pricing_model is PricingModel.ON_DEMAND and offer.unit_price_nano
    }


def _stored_prices(session: Session, provider: str) -> dict[OfferKey, Previous]:
    rows = session.rows(
        "SELECT s.provider, s.region, o.zone, o.instance_type, o.variant, s.pricing_model, o.price_nano, o.currency, "
        "o.gpu_count FROM price_offers o JOIN price_scopes s ON s.id = o.scope_id "
        "WHERE s.provider = ? AND o.price_nano IS NOT NULL",
        (provider,),
    )
    return _previous(rows)


def _gone_prices(session: Session, provider: str, *, since: datetime) -> dict[OfferKey, Previous]:
    """Return the last price of each offer that went after `since`: a night's absence is no way past the gate."""
    rows = session.rows(
        "SELECT s.provider, s.region, o.zone, o.instance_type, o.variant, s.pricing_model, h.price_nano, o.currency, "
        "o.gpu_count FROM price_offers o JOIN price_scopes s ON s.id = o.scope_id "
        "JOIN price_history h ON h.offer_id = o.id AND h.at = (SELECT MAX(at) FROM price_history "
        "WHERE offer_id = o.id AND price_nano IS NOT NULL) "
        "WHERE s.provider = ? AND o.price_nano IS NULL "
        "AND (SELECT MAX(at) FROM price_history WHERE offer_id = o.id) >= ?",
        (provider, seconds(since)),
    )
    return _previous(rows)


def _previous(rows: Iterable[Row]) -> dict[OfferKey, Previous]:
    return {OfferKey(*row[:6]): Previous(price_nano=row[6], currency=row[7], gpu_count=row[8]) for row in rows}


def _stored_on_demand(before: Mapping[OfferKey, Previous], provider: str) -> dict[tuple[str, str, str, str, str], int]:
    return {
        (provider, key.region, key.instance_type, key.variant, item.currency): item.price_nano
        for key, item in before.items()
        if key.pricing_model == PricingModel.ON_DEMAND.value
    }
