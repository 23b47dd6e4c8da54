"""The nightly refresh: asks the sources, judges what they say, publishes what passes.

Fetching comes first and stores nothing; then each source is judged and published in one transaction of its own. So an
interruption leaves the store as it was, a source that fails changes nothing but the note of its failure, and no age is
renewed by an attempt.
"""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from providers.errors import TunefareError
from providers.machines import complete_facts
from providers.scope import Scope, ScopeBatch

from .fetching import Asking, Fetched, Split, bug_in_words, fetch_everything
from .gate import GatePolicy, Judged
from .judging import Source, judge_source
from .outcome import Outcome, RefreshReport, RefusedScope, SourceReport
from .publishing import SourceState, confirm, note_part, note_source, publish
from .quarantine import remember
from .quorum import QuorumPolicy
from .rows import moment
from .sql_store import part_records, scope_states

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime, timedelta

    from providers.base import FetchPart, Provider
    from providers.http import Validator
    from providers.offer import Offer

    from .database import Session
    from .publishing import Published
    from .sql_store import PartRecord, ScopeState, SqlStore


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshOrder:
    """What a refresh is to do. `max_age` leaves alone what is younger; `dry_run` stores nothing."""

    asking: Asking
    max_age: timedelta | None = None
    dry_run: bool = False
    named: frozenset[str] = frozenset()
    gate: GatePolicy = field(default_factory=GatePolicy)
    quorum: QuorumPolicy = field(default_factory=QuorumPolicy)


def refresh(
    store: SqlStore,
    providers: Sequence[Provider],
    order: RefreshOrder,
    *,
    listed: Iterable[Offer],
    stop: threading.Event | None = None,
    undisturbed: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> RefreshReport:
    """Ask the sources and publish what passes the gate; return what happened to each.

    `listed` is the bundled list: the first live on-demand price of an offer is held against it. `undisturbed` surrounds
    the publishing: what it is given to hold off (a signal) finds all sources published, or none. Raises StoreBusy where
    another refresh runs, KeyboardInterrupt where the user stops it before anything is published.
    """
    started_at = order.asking.now()
    with store.lock():
        records = {one.info.name: store.parts(one.info.name) for one in providers}
        states = store.scope_states()
        asking = replace(
            order.asking, skips=_skips(records, states, order, started_at), validators=_validators(records, states)
        )
        fetched = fetch_everything(providers, asking, stop or threading.Event())
        night = _Night(order=order, started_at=started_at, listed=tuple(listed))
        with undisturbed():
            reports = [_settle(store, one, night) for one in fetched]
    return RefreshReport(
        started_at=started_at,
        finished_at=order.asking.now(),
        dry_run=order.dry_run,
        sources=tuple(reports),
        named=order.named,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Night:
    """What all sources of one refresh have in common."""

    order: RefreshOrder
    started_at: datetime
    listed: tuple[Offer, ...]


def _skips(
    records: Mapping[str, Mapping[str, PartRecord]], states: Iterable[ScopeState], order: RefreshOrder, now: datetime
) -> Callable[[str, FetchPart], bool]:
    """Return whether a part is left alone: everything that it covered the last time is younger than `max_age`."""
    if order.max_age is None:
        return lambda _provider, _part: False
    oldest = now - order.max_age
    known = {state.scope: state for state in states}

    def age(scope: Scope, record: PartRecord) -> datetime | None:
        state = known.get(scope)
        if state is None or not (state.offers or state.refused):
            return record.at  # it had nothing there
        return state.batch_at

    def skips(provider: str, part: FetchPart) -> bool:
        record = records[provider].get(part.name)
        if record is None or record.at < oldest:
            return False
        covered = [scope for scope in record.scopes if order.asking.wanted.takes(scope)]
        if record.scopes and not covered:
            return False
        return all((at := age(scope, record)) is not None and at >= oldest for scope in covered)

    return skips


def _validators(
    records: Mapping[str, Mapping[str, PartRecord]], states: Iterable[ScopeState]
) -> Callable[[str, FetchPart], Mapping[str, Validator]]:
    """Return what the source handed out for a part, unless a scope of it has no good batch to be confirmed."""
    good = {state.scope for state in states if state.batch_at is not None and not state.refused}

    def validators(provider: str, part: FetchPart) -> Mapping[str, Validator]:
        record = records[provider].get(part.name)
        return record.validators if record and all(scope in good for scope in record.scopes) else {}

    return validators


def _settle(store: SqlStore, fetched: Fetched, night: _Night) -> SourceReport:
    """Judge and publish what one source brought, in one transaction; what the store cannot take is that source's."""
    keep = not night.order.dry_run
    try:
        with store.writing(keep=keep) as session:
            return _publish_source(session, fetched, night)
    except TunefareError:
        raise  # the store itself
    except Exception as err:  # noqa: BLE001 - a bug in one adapter, ours or not, harms no other source
        error = bug_in_words(fetched.provider.info, err, night.order.asking.environment)
        nothing = replace(fetched, split=Split(error=error), parts=())
        with store.writing(keep=keep) as session:
            return _publish_source(session, nothing, night)


def _publish_source(session: Session, fetched: Fetched, night: _Night) -> SourceReport:
    order = night.order
    name, now = fetched.provider.info.name, order.asking.now()
    states = {state.scope: state for state in scope_states(session) if state.scope.provider == name}
    batches = _batches(fetched, states, order)
    judged = judge_source(session, _source(fetched, order), batches, states=states, listed=night.listed)
    done = [publish(session, one, origin="refresh", stored_at=now) for one in judged]
    for one in judged:
        if not one.refused:
            remember(session, one.batch.scope, one.quarantined, at=one.batch.observed_at)
    done += _confirm_unchanged(session, fetched, order, now)
    _note_parts(session, fetched, order, now)
    report = _report(fetched, judged, done, order)
    if not order.dry_run and report.outcome not in {Outcome.FRESH, Outcome.NOT_OFFERED}:
        _note_attempt(session, fetched, report, night.started_at)
    since = session.rows("SELECT success_at FROM price_sources WHERE provider = ?", (name,))
    return replace(report, last_success_at=moment(since[0][0]) if since and since[0][0] is not None else None)


def _note_parts(session: Session, fetched: Fetched, order: RefreshOrder, now: datetime) -> None:
    """Remember what each part covers. Of one that holds more than was asked for, nothing is: the rest is not published.

    Otherwise it would pass for young, and "unchanged" would confirm prices that were never stored.
    """
    name = fetched.provider.info.name
    records = part_records(session, name)
    for part in fetched.parts:
        before, result = records.get(part.part.name), part.result
        if result is None or (result.unchanged and before is None):
            continue
        scopes = [batch.scope for batch in result.batches]
        validators = result.validators
        if result.unchanged and before is not None:
            scopes, validators = list(before.scopes), {**before.validators, **validators}
        if all(order.asking.wanted.takes(scope) for scope in scopes):
            note_part(session, name, part.part.name, at=now, validators=validators, scopes=scopes)
        elif before is not None:
            note_part(session, name, part.part.name, at=before.at, validators={}, scopes=before.scopes)


def _note_attempt(session: Session, fetched: Fetched, report: SourceReport, started_at: datetime) -> None:
    """Remember how it went. An attempt is as old as its beginning: what it published is not older."""
    words = [*report.errors, *(f"{one.scope}: {one.detail}" for one in report.refused)]
    note_source(
        session,
        SourceState(
            provider=report.provider,
            attempt_at=started_at,
            succeeded=report.outcome is Outcome.REFRESHED,
            duration_ms=fetched.duration_ms,
            outcome=report.outcome.value,
            error=words[0] if words else "",
            sample=next((part.sample for part in fetched.parts if part.sample), fetched.split.sample),
        ),
    )


def _batches(fetched: Fetched, states: Mapping[Scope, ScopeState], order: RefreshOrder) -> list[ScopeBatch]:
    """Return the batches to judge: those that came, and empty ones for scopes that a whole answer no longer names."""
    wanted = order.asking.wanted
    found = [
        batch
        for part in fetched.parts
        if part.result
        for batch in part.result.batches
        # A scope without offers, now and before, is no scope.
        if wanted.takes(batch.scope) and (batch.offers or (batch.scope in states and states[batch.scope].offers))
    ]
    whole = bool(fetched.parts) and all(
        part.result is not None and not part.result.unchanged and not part.error for part in fetched.parts
    )
    if whole and found:
        named = {batch.scope for part in fetched.parts if part.result for batch in part.result.batches}
        at = max(batch.observed_at for batch in found)
        found += [
            ScopeBatch(scope=scope, observed_at=at, offers=())
            for scope, state in states.items()
            if scope not in named and wanted.takes(scope) and state.offers and _could_price(fetched, scope)
        ]
    return sorted(
        (replace(batch, offers=tuple(complete_facts(offer) for offer in batch.offers)) for batch in found),
        key=lambda batch: batch.scope,
    )


def _could_price(fetched: Fetched, scope: Scope) -> bool:
    """Return whether tonight's parts cover scopes of that kind: without an account a source may price less."""
    models = {model for part in fetched.parts for model in part.part.pricing_models}
    regions = {part.part.region for part in fetched.parts}
    return (not models or scope.pricing_model in models) and (None in regions or scope.region in regions)


def _source(fetched: Fetched, order: RefreshOrder) -> Source:
    """Return the source as the gate sees it."""
    info, asking = fetched.provider.info, order.asking
    return Source(
        name=info.name,
        volatile=info.volatile,
        gpus=asking.gpus,
        now=asking.now(),
        gate=order.gate,
        quorum=order.quorum,
    )


def _confirm_unchanged(session: Session, fetched: Fetched, order: RefreshOrder, now: datetime) -> list[Published]:
    """Confirm the last batches of parts of which the source said that nothing changed."""
    wanted = order.asking.wanted
    unchanged = [part for part in fetched.parts if part.result and part.result.unchanged]
    records = part_records(session, fetched.provider.info.name) if unchanged else {}
    done: list[Published] = []
    for part in unchanged:
        record = records.get(part.part.name)
        if record and part.result:
            scopes = [scope for scope in record.scopes if wanted.takes(scope)]
            done += confirm(session, scopes, at=part.result.observed_at or now, stored_at=now)
    return done


def _report(fetched: Fetched, judged: Sequence[Judged], done: Sequence[Published], order: RefreshOrder) -> SourceReport:
    refused = tuple(
        RefusedScope(scope=one.batch.scope, reason=one.refused.reason, detail=one.refused.detail)
        for one in judged
        if one.refused
    )
    turned_away = {one.scope for one in refused}
    published = [one for one in done if one.scope not in turned_away]
    errors = [error for error in (fetched.split.error, *(part.error for part in fetched.parts)) if error]
    outcome = _outcome(fetched, errors, refused, published, order)
    if outcome is Outcome.NOT_OFFERED and fetched.split.elsewhere:
        errors.append(fetched.split.elsewhere)
    if outcome is Outcome.FAILED and not errors and not refused:
        errors.append(f"{fetched.provider.info.name}: it names no offers at all")
    unknown = Counter(
        offer.gpu_name
        for one in judged
        for offer in one.published
        # A slice of a known chip has no row of its own in the GPU table either.
        if "gpu_unknown" in offer.flags and "fractional" not in offer.flags
    )
    return SourceReport(
        provider=fetched.provider.info.name,
        outcome=outcome,
        duration_ms=fetched.duration_ms,
        scopes=len(published),
        offers=sum(one.offers for one in done),
        added=sum(one.added for one in done),
        changed=sum(one.changed for one in done),
        gone=sum(one.gone for one in done),
        # What a person rejected stays out without another word.
        quarantined=sum(not row.rejected for one in judged for row in one.quarantined),
        released=sum(len(one.released) for one in judged),
        dropped=_dropped(fetched),
        unknown_gpus=dict(sorted(unknown.items())),
        refused=refused,
        errors=tuple(errors),
        regions=frozenset(one.scope.region for one in published),
    )


def _dropped(fetched: Fetched) -> dict[str, int]:
    """Return how many rows became no offer, by reason."""
    results = [part.result for part in fetched.parts if part.result]
    rows = [row for result in results for row in result.dropped]
    rows += [row for result in results for batch in result.batches for row in batch.dropped]
    return dict(sorted(Counter(row.reason for row in rows).items()))


def _outcome(
    fetched: Fetched,
    errors: Sequence[str],
    refused: Sequence[RefusedScope],
    published: Sequence[Published],
    order: RefreshOrder,
) -> Outcome:
    """Return how a source fared. One that says nothing, to a question that was not narrowed, has failed."""
    if fetched.no_credentials:
        return Outcome.NO_CREDENTIALS
    if fetched.parts and all(part.skipped for part in fetched.parts):
        return Outcome.FRESH
    if errors or refused:
        return Outcome.PARTIAL if published else Outcome.FAILED
    if published or any(part.skipped for part in fetched.parts):
        return Outcome.REFRESHED
    narrowed = order.asking.wanted.regions or order.asking.wanted.pricing_models
    return Outcome.NOT_OFFERED if narrowed else Outcome.FAILED
