"""Publishes a judged batch: the newest prices of its scope, what changed, what is gone, what is held back.

Everything of one source is published in one transaction. A reader sees the scope before or after, never in between.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from .rows import FACT_COLUMNS, HELD, facts_of, seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from providers.http import Validator
    from providers.offer import Offer
    from providers.scope import OfferKey, Scope

    from .database import Row, Session, Value
    from .gate import Judged

_FACTS = ", ".join(FACT_COLUMNS)
_MARKS = ", ".join("?" for _ in FACT_COLUMNS)
_SET_FACTS = ", ".join(f"{name} = ?" for name in FACT_COLUMNS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What publishing one batch did, in offers."""

    scope: Scope
    offers: int
    added: int = 0
    changed: int = 0
    gone: int = 0
    held: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceState:
    """How the last attempt to ask a source went; `outcome` is a word of `cache.outcome`."""

    provider: str
    attempt_at: datetime
    succeeded: bool
    duration_ms: int
    outcome: str
    error: str = ""
    sample: str = ""


def publish(session: Session, judged: Judged, *, origin: str, stored_at: datetime) -> Published:
    """Publish what the gate let pass of one batch and return what that changed.

    An offer whose row is in quarantine keeps its last good price with that price's age; so does one that comes marked
    as such from another store (`price_held`). A refused batch changes nothing but the note of its refusal.
    """
    scope_id = scope_row(session, judged.batch.scope)
    if judged.refused:
        _note_refusal(session, scope_id, judged)
        return Published(scope=judged.batch.scope, offers=0)
    at = seconds(judged.batch.observed_at)
    known = _known_rows(session, scope_id)
    before = session.rows("SELECT batch_at FROM price_scopes WHERE id = ?", (scope_id,))[0][0]
    from_the_future = before is not None and before > at
    if from_the_future:
        _forget_after(session, scope_id, at)
        before = at
    kept = {_place(offer) for offer in judged.published}
    held = {place for row in judged.quarantined if (place := _place(row.offer)) not in kept}
    held &= {place for place, row in known.items() if row[1] is not None}
    added, changed = _write_offers(session, scope_id, at, judged.published, known)
    _hold(session, before, [known[place] for place in sorted(held)])
    gone = [row for place, row in known.items() if place not in kept and place not in held and row[1] is not None]
    session.run_many(
        "UPDATE price_offers SET price_nano = NULL, seen_at = NULL WHERE id = ?", [(row[0],) for row in gone]
    )
    _write_history(session, [(row[0], at, None) for row in gone])
    if from_the_future:
        numbers = {place: row[0] for place, row in _known_rows(session, scope_id).items()}
        _write_history(session, [(numbers[_place(offer)], at, offer.unit_price_nano) for offer in judged.published])
    offers = len(judged.published) + len(held)
    session.run(
        "UPDATE price_scopes SET batch_at = ?, offers = ?, refused = '', refused_offers = 0, refused_times = 0, "
        "refused_at = NULL "
        "WHERE id = ?",
        (at, offers, scope_id),
    )
    session.run(
        "INSERT INTO price_batches (scope_id, at, stored_at, offers, changed, gone, held, origin) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (scope_id, at) DO UPDATE SET stored_at = excluded.stored_at, "
        "offers = excluded.offers, changed = excluded.changed, gone = excluded.gone, held = excluded.held, "
        "origin = excluded.origin",
        (scope_id, at, seconds(stored_at), offers, added + changed, len(gone), len(held), origin),
    )
    return Published(
        scope=judged.batch.scope, offers=offers, added=added, changed=changed, gone=len(gone), held=len(held)
    )


def confirm(session: Session, scopes: Iterable[Scope], *, at: datetime, stored_at: datetime) -> list[Published]:
    """Note that the source called its last batches unchanged: they are as of `at` now. Return what was confirmed."""
    confirmed = []
    for scope in scopes:
        scope_id = scope_row(session, scope)
        moment = seconds(at)
        touched = session.run(
            "UPDATE price_scopes SET batch_at = ? WHERE id = ? AND batch_at IS NOT NULL AND batch_at <= ?",
            (moment, scope_id, moment),
        )
        if not touched:
            continue
        offers = int(session.rows("SELECT offers FROM price_scopes WHERE id = ?", (scope_id,))[0][0])
        session.run(
            "INSERT INTO price_batches (scope_id, at, stored_at, offers, changed, gone, held, origin) "
            "VALUES (?, ?, ?, ?, 0, 0, 0, 'unchanged') ON CONFLICT (scope_id, at) DO NOTHING",
            (scope_id, moment, seconds(stored_at), offers),
        )
        confirmed.append(Published(scope=scope, offers=offers))
    return confirmed


def put_price(session: Session, scope_id: int, offer: Offer, *, since: datetime) -> None:
    """Publish one offer outside a batch: a row released from quarantine, with the moment at which it was observed.

    Its history says that the price counts from `since` on: a plan made before saw the one before.
    """
    at = seconds(offer.observed_at)
    known = _known_rows(session, scope_id)
    _write_offers(session, scope_id, max(at, seconds(since)), [offer], known)
    session.run(
        "UPDATE price_offers SET seen_at = ? WHERE scope_id = ? AND instance_type = ? AND zone = ? AND variant = ?",
        (at, scope_id, *_place(offer)),
    )
    session.run(
        "UPDATE price_offers SET seen_at = NULL WHERE scope_id = ? AND instance_type = ? AND zone = ? AND variant = ? "
        "AND seen_at = (SELECT batch_at FROM price_scopes WHERE id = ?)",
        (scope_id, *_place(offer), scope_id),
    )
    session.run(
        "UPDATE price_scopes SET batch_at = COALESCE(batch_at, ?), offers = "
        "(SELECT COUNT(*) FROM price_offers WHERE scope_id = ? AND price_nano IS NOT NULL) WHERE id = ?",
        (at, scope_id, scope_id),
    )


def scope_row(session: Session, scope: Scope) -> int:
    """Return the number of a scope's row, made if missing."""
    place = (scope.provider, scope.region, scope.pricing_model.value)
    where = "provider = ? AND region = ? AND pricing_model = ?"
    found = session.rows(f"SELECT id FROM price_scopes WHERE {where}", place)
    if not found:
        number = next_id(session, "price_scopes")
        session.run(
            "INSERT INTO price_scopes (id, provider, region, pricing_model) VALUES (?, ?, ?, ?)", (number, *place)
        )
        return number
    return int(found[0][0])


def next_id(session: Session, table: str) -> int:
    """Return the next number of a table: there is one writer at a time."""
    return int(session.rows(f"SELECT COALESCE(MAX(id), 0) + 1 FROM {table}")[0][0])


def note_source(session: Session, state: SourceState) -> None:
    """Remember how the last attempt to ask a source went; the moment of the last success outlives failures."""
    at = seconds(state.attempt_at)
    session.run(
        "INSERT INTO price_sources (provider, attempt_at, success_at, duration_ms, outcome, error, sample) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (provider) DO UPDATE SET attempt_at = excluded.attempt_at, "
        "success_at = COALESCE(excluded.success_at, price_sources.success_at), duration_ms = excluded.duration_ms, "
        "outcome = excluded.outcome, error = excluded.error, sample = excluded.sample",
        (
            state.provider,
            at,
            at if state.succeeded else None,
            state.duration_ms,
            state.outcome,
            _storable(state.error),
            _storable(state.sample),
        ),
    )


def note_part(
    session: Session,
    provider: str,
    part: str,
    *,
    at: datetime,
    validators: Mapping[str, Validator],
    scopes: Iterable[Scope],
) -> None:
    """Remember what a part covers, and what its source handed out for asking again."""
    handed = json.dumps({url: asdict(item) for url, item in validators.items()}, sort_keys=True)
    covered = json.dumps(sorted([scope.region, scope.pricing_model.value] for scope in scopes))
    session.run(
        "INSERT INTO price_parts (provider, part, at, validators, scopes) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (provider, part) DO UPDATE SET at = excluded.at, validators = excluded.validators, "
        "scopes = excluded.scopes",
        (provider, part, seconds(at), handed, covered),
    )


def _forget_after(session: Session, scope_id: int, at: int) -> None:
    """Forget what a clock that ran ahead has dated later than `at`: the batch of `at` begins anew."""
    session.run("DELETE FROM price_batches WHERE scope_id = ? AND at > ?", (scope_id, at))
    session.run(
        "DELETE FROM price_history WHERE at > ? AND offer_id IN (SELECT id FROM price_offers WHERE scope_id = ?)",
        (at, scope_id),
    )
    session.run("UPDATE price_offers SET seen_at = ? WHERE scope_id = ? AND seen_at > ?", (at, scope_id, at))


def _note_refusal(session: Session, scope_id: int, judged: Judged) -> None:
    assert judged.refused is not None  # noqa: S101 - for the type checker: the caller asked
    # Only a list that is too short is counted: another clock says nothing of its length.
    rows, times = (0, 0) if judged.refused.reason == "older" else (len(judged.batch.offers), judged.refused.times)
    at = seconds(judged.batch.observed_at)
    session.run(
        "UPDATE price_scopes SET refused = ?, refused_offers = ?, "
        "refused_at = CASE WHEN refused_times = ? THEN refused_at ELSE ? END, refused_times = ? WHERE id = ?",
        (judged.refused.detail, rows, times, at, times, scope_id),
    )


def _known_rows(session: Session, scope_id: int) -> dict[tuple[str, str, str], Row]:
    """Return the scope's rows by place: id, price, seen_at, then FACT_COLUMNS."""
    rows = session.rows(
        f"SELECT instance_type, zone, variant, id, price_nano, seen_at, {_FACTS} FROM price_offers WHERE scope_id = ?",
        (scope_id,),
    )
    return {row[:3]: row[3:] for row in rows}


def _write_offers(
    session: Session, scope_id: int, at: int, offers: Iterable[Offer], known: dict[tuple[str, str, str], Row]
) -> tuple[int, int]:
    """Write the offers that are new or not as before; return how many were added, and how many changed their price."""
    new: list[tuple[Value, ...]] = []
    other: list[tuple[Value, ...]] = []
    history: list[tuple[int, int, int | None]] = []
    number = next_id(session, "price_offers")
    added = changed = 0
    for offer in offers:
        place, facts = _place(offer), facts_of(offer)
        seen = seconds(offer.observed_at) if HELD in offer.flags else None
        row = known.get(place)
        if row is None:
            new.append((number, scope_id, *place, offer.unit_price_nano, seen, *facts))
            history.append((number, at if seen is None else seen, offer.unit_price_nano))
            number += 1
            added += 1
            continue
        if row[1] != offer.unit_price_nano:
            history.append((row[0], at, offer.unit_price_nano))
            changed += 1
        if row[1:3] != (offer.unit_price_nano, seen) or row[3:] != facts:
            other.append((offer.unit_price_nano, seen, *facts, row[0]))
    session.run_many(
        f"INSERT INTO price_offers (id, scope_id, instance_type, zone, variant, price_nano, seen_at, {_FACTS}) "
        f"VALUES (?, ?, ?, ?, ?, ?, ?, {_MARKS})",
        new,
    )
    session.run_many(
        f"UPDATE price_offers SET price_nano = ?, seen_at = ?, {_SET_FACTS} WHERE id = ?",
        other,
    )
    _write_history(session, history)
    return added, changed


def _write_history(session: Session, changes: Iterable[tuple[int, int, int | None]]) -> None:
    """Write changes: the number of the offer, the moment, the price.

    What is dated later was released from quarantine while this batch was on its way: the batch is the last word.
    """
    changes = list(changes)
    session.run_many(
        "DELETE FROM price_history WHERE offer_id = ? AND at > ?", [(number, at) for number, at, _ in changes]
    )
    session.run_many(
        "INSERT INTO price_history (offer_id, at, price_nano) VALUES (?, ?, ?) "
        "ON CONFLICT (offer_id, at) DO UPDATE SET price_nano = excluded.price_nano",
        changes,
    )


def _hold(session: Session, before: int | None, rows: Iterable[Row]) -> None:
    """Keep the age of prices whose successors are held back: it is that of the batch before, or older."""
    session.run_many(
        "UPDATE price_offers SET seen_at = COALESCE(seen_at, ?) WHERE id = ?", [(before, row[0]) for row in rows]
    )


def _storable(text: str) -> str:
    """Return what a source sent as text that both engines take: PostgreSQL refuses NUL, and half of a surrogate pair
    is no text anywhere."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", errors="replace").decode("utf-8")


def _place(offer: Offer) -> tuple[str, str, str]:
    """Return what tells offers of one scope apart."""
    return (offer.instance_type, offer.zone or "", offer.variant or "")


def place_of(key: OfferKey) -> tuple[str, str, str]:
    """Return what tells offers of one scope apart, of a key."""
    return (key.instance_type, key.zone, key.variant)
