"""The use case `prices status`: what is known of prices, how old it is, what failed, and what is not configured."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cache.freshness import age_of, freshness, in_force
from cache.outcome import Outcome
from cache.sql_store import SqlStore, live_or_listed
from cache.store import BundledStore
from optimizer.report.refresh_answers import ListedStatus, MissingVariable, ScopeStatus, SourceStatus, StatusAnswer
from providers import registry
from providers.errors import JobError
from providers.offer import PriceClass

from .gpu_table import load_gpu_table
from .price_store import reading_store
from .refreshing import COMMAND_LINE, Unloadable, load_or_stand_in, reading_clock
from .settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from cache.freshness import FreshnessTable
    from cache.sql_store import ScopeState, SourceRecord
    from providers.gpus import GpuTable
    from providers.offer import Offer

    from .settings import Settings

ASKED = frozenset({Outcome.REFRESHED.value, Outcome.FRESH.value, Outcome.PARTIAL.value})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What the store holds beside offers; nothing where nothing was ever refreshed."""

    place: str = ""
    states: tuple[ScopeState, ...] = ()
    records: Mapping[str, SourceRecord]


def price_status(
    providers: Iterable[str] = (),
    *,
    now: datetime | str | None = None,
    settings: Settings | None = None,
    environment: Mapping[str, str] | None = None,
    gpus: GpuTable | None = None,
) -> StatusAnswer:
    """Return what is known of prices, of all providers or of those named, in alphabetical order.

    Raises JobError (exit 2) for a provider that no price is known of and no source asks, StoreBusy (exit 10) where a
    shared database is out of reach, StoreDamaged (exit 9).
    """
    configured = load_settings() if settings is None else settings
    table = load_gpu_table() if gpus is None else gpus
    moment = reading_clock(now, configured)()
    limits = in_force(configured.freshness)
    known = _read(configured, table)
    bundled = BundledStore(table).snapshot(now=moment).offers
    installed = registry.provider_names()
    wanted = _wanted(providers, {*installed, *(offer.provider for offer in bundled), *known.records})
    live = [state.scope for state in known.states if state.batch_at is not None]
    listed = [offer for offer in live_or_listed(bundled, live) if offer.provider in wanted]
    variables = os.environ if environment is None else environment
    return StatusAnswer(
        made_at=moment,
        place=known.place,
        sources=tuple(
            _source(name, known.records.get(name), variables, installed=name in installed)
            for name in sorted({*installed, *known.records} & wanted)
        ),
        scopes=tuple(
            _scope(state, known.records.get(state.scope.provider), moment, limits)
            for state in known.states
            if state.scope.provider in wanted
        ),
        listed=tuple(_listed(listed, moment, limits)),
    )


def _read(settings: Settings, gpus: GpuTable) -> _Known:
    store = reading_store(settings, gpus)
    if not isinstance(store, SqlStore):
        return _Known(records={})
    try:
        return _Known(place=store.database.place, states=tuple(store.scope_states()), records=store.sources())
    finally:
        store.close()


def _wanted(names: Iterable[str], known: set[str]) -> set[str]:
    wanted = {name.strip().lower() for name in names}
    for name in sorted(wanted - known):
        raise JobError(
            where=COMMAND_LINE, key="provider", value=name, allowed=f"a provider: {', '.join(sorted(known))}"
        )
    return wanted or known


def _source(name: str, record: SourceRecord | None, environment: Mapping[str, str], *, installed: bool) -> SourceStatus:
    gone = Unloadable(name, f"{name}: no such source is installed any more")
    provider = load_or_stand_in(name) if installed else gone
    # What was asked with success has found an account, if not in the variable (a login of the cloud's own tools).
    asked = record is not None and record.outcome in ASKED
    missing = [
        MissingVariable(name=item.name, help=item.help)
        for item in provider.info.variables
        if item.required and not environment.get(item.name, "").strip()
    ]
    return SourceStatus(
        provider=name,
        title=provider.info.title,
        missing=() if asked else tuple(missing),
        broken=provider.reason if isinstance(provider, Unloadable) else "",
        last_attempt_at=record.attempt_at if record else None,
        last_success_at=record.success_at if record else None,
        outcome=record.outcome if record else "",
        error=record.error if record else "",
        duration_ms=record.duration_ms if record else None,
    )


def _scope(state: ScopeState, record: SourceRecord | None, now: datetime, limits: FreshnessTable) -> ScopeStatus:
    age = None if state.batch_at is None else age_of(state.batch_at, now=now)
    model = state.scope.pricing_model
    # An attempt is as old as its beginning: what it brought is not older.
    left_behind = record is not None and (state.batch_at is None or state.batch_at < record.attempt_at)
    return ScopeStatus(
        provider=state.scope.provider,
        region=state.scope.region,
        pricing_model=model.value,
        last_attempt_at=record.attempt_at if record else state.batch_at,
        last_success_at=state.batch_at,
        age_s=None if age is None else int(age.total_seconds()),
        freshness=None if age is None else freshness(PriceClass.LIVE, model, age, limits).value,
        offers=state.offers,
        quarantined=state.quarantined,
        refused=state.refused,
        error=state.refused or (record.error if record and left_behind else ""),
    )


def _listed(offers: Iterable[Offer], now: datetime, limits: FreshnessTable) -> Iterable[ListedStatus]:
    """Yield one row for each provider and pricing model of the bundled list."""
    rows: dict[tuple[str, str], list[Offer]] = {}
    for offer in offers:
        rows.setdefault((offer.provider, offer.pricing_model.value), []).append(offer)
    for (provider, model), found in sorted(rows.items()):
        oldest = min(offer.observed_at for offer in found)
        age = age_of(oldest, now=now)
        yield ListedStatus(
            provider=provider,
            pricing_model=model,
            offers=len(found),
            regions=len({offer.region for offer in found}),
            oldest_observed_at=oldest,
            newest_observed_at=max(offer.observed_at for offer in found),
            age_s=int(age.total_seconds()),
            freshness=freshness(found[0].price_class, found[0].pricing_model, age, limits).value,
        )
