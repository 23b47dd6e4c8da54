"""Rows that the gate held back: remembered with their reason, shown, released or rejected by a person."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from providers.errors import JobError
from providers.offer import BillingTerms, Offer, PriceClass, PricingModel
from providers.scope import OfferKey, Scope

from .gate import Decision, family_of
from .publishing import next_id, put_price, scope_row
from .quorum import PendingMove
from .rows import moment, seconds

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from .database import Row, Session
    from .gate import HeldRow

STATES = ("pending", "released", "rejected", "resolved")
"""`resolved`: the source came back to a price that passes, or the offer is gone."""

_COLUMNS = (
    "q.id, q.scope_id, s.provider, s.region, s.pricing_model, q.zone, q.instance_type, q.variant, q.reason, q.detail, "
    "q.family, q.price_nano, q.previous_nano, q.offer, q.first_seen_at, q.last_seen_at, q.times, q.state, q.note"
)
_FROM = "FROM price_quarantine q JOIN price_scopes s ON s.id = q.scope_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantinedRow:
    """One row in quarantine; `number` is what a person names it by. Prices in billionths of the offer's currency."""

    number: int
    key: OfferKey
    reason: str
    detail: str
    family: str
    previous_nano: int | None
    offer: Offer
    first_seen_at: datetime
    last_seen_at: datetime
    times: int
    state: str
    note: str


def remember(session: Session, scope: Scope, rows: Iterable[HeldRow], *, at: datetime) -> int:
    """Put the rows of one batch into quarantine, and settle what is no longer held there. Return how many are new."""
    scope_id = scope_row(session, scope)
    held = {(row.key, row.reason): row for row in rows}
    waiting = {
        (_key(row), row[8], row[11]): int(row[0])
        for row in session.rows(
            f"SELECT {_COLUMNS} {_FROM} WHERE q.scope_id = ? AND q.state IN ('pending', 'rejected')", (scope_id,)
        )
    }
    new = 0
    number = next_id(session, "price_quarantine")
    for (key, reason), row in sorted(held.items()):
        known = waiting.pop((key, reason, row.offer.unit_price_nano), None)
        if known is not None:
            session.run(
                "UPDATE price_quarantine SET last_seen_at = ?, times = times + 1, detail = ? WHERE id = ?",
                (seconds(at), row.detail, known),
            )
            continue
        session.run(
            "INSERT INTO price_quarantine (id, scope_id, zone, instance_type, variant, reason, detail, family, "
            "price_nano, previous_nano, offer, first_seen_at, last_seen_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                number, scope_id, key.zone, key.instance_type, key.variant, reason, row.detail, row.family,
                row.offer.unit_price_nano, row.previous_nano, offer_text(row.offer), seconds(at), seconds(at),
            ),
        )  # fmt: skip
        number += 1
        new += 1
    # A rejected price stays on record: it may come back.
    session.run_many(
        "UPDATE price_quarantine SET state = 'resolved', decided_at = ? WHERE id = ? AND state = 'pending'",
        [(seconds(at), gone) for gone in waiting.values()],
    )
    return new


def list_rows(
    session: Session, *, states: Iterable[str] = ("pending",), provider: str | None = None
) -> list[QuarantinedRow]:
    """Return the rows in those states, the newest first."""
    wanted = tuple(states)
    sql = f"SELECT {_COLUMNS} {_FROM} WHERE q.state IN ({', '.join('?' for _ in wanted)})"
    values: tuple[str, ...] = wanted
    if provider is not None:
        sql += " AND s.provider = ?"
        values = (*wanted, provider)
    return [_row(row) for row in session.rows(f"{sql} ORDER BY q.last_seen_at DESC, q.id DESC", values)]


def decide(session: Session, number: int, *, release: bool, at: datetime, note: str = "") -> QuarantinedRow:
    """Release a pending (or rejected) row, or reject a pending one, and return it as it was.

    A released row is published at once where the newest batch of its scope held it; one that was rejected long ago, and
    that the source no longer states, only passes when it comes back. Raises JobError for a number that is not there or
    already decided, and for the release of a price of zero.
    """
    found = session.rows(f"SELECT {_COLUMNS} {_FROM} WHERE q.id = ?", (number,))
    open_states = {"pending", "rejected"} if release else {"pending"}
    if not found or found[0][17] not in open_states:
        state = f"it is {found[0][17]} already" if found else "there is none of that number"
        raise JobError(
            where="quarantine", key="number", value=number, allowed=f"{state}: see tunefare prices quarantine list",
        )  # fmt: skip
    row = _row(found[0])
    if release and row.offer.unit_price_nano <= 0:
        raise JobError(
            where="quarantine", key="number", value=number, allowed="no price of zero: it stands for an unknown one",
        )  # fmt: skip
    session.run(
        "UPDATE price_quarantine SET state = ?, decided_at = ?, note = ? WHERE id = ?",
        ("released" if release else "rejected", seconds(at), note, number),
    )
    scope_id = int(found[0][1])
    if release and (confirmed_at := _stands_until(session, scope_id, row)):
        put_price(session, scope_id, replace(row.offer, observed_at=confirmed_at), since=at)
    return row


def _stands_until(session: Session, scope_id: int, row: QuarantinedRow) -> datetime | None:
    """Return the moment up to which the source states the row; None where a newer batch no longer held it.

    A batch that the source calls unchanged states it again.
    """
    last = session.rows(
        "SELECT MAX(CASE WHEN origin <> 'unchanged' THEN at END), MAX(at) FROM price_batches WHERE scope_id = ?",
        (scope_id,),
    )[0]
    if last[0] is None:
        return row.last_seen_at
    return moment(last[1]) if seconds(row.last_seen_at) >= last[0] else None


def decisions_of(session: Session, scope_id: int) -> dict[tuple[OfferKey, str], Decision]:
    """Return the newest decision on each (offer, reason) of a scope."""
    rows = session.rows(
        f"SELECT {_COLUMNS} {_FROM} WHERE q.scope_id = ? AND q.state IN ('released', 'rejected') "
        "ORDER BY q.decided_at, q.id",
        (scope_id,),
    )
    return {(_key(row), str(row[8])): Decision(state=str(row[17]), price_nano=int(row[11])) for row in rows}


def pending_moves(session: Session, provider: str, *, beside: Iterable[Scope], since: datetime) -> list[PendingMove]:
    """Return the price jumps that wait in scopes of a provider other than `beside`, seen after `since`."""
    tonight = {(scope.region, scope.pricing_model.value) for scope in beside}
    rows = session.rows(
        f"SELECT {_COLUMNS} {_FROM} WHERE s.provider = ? AND q.state = 'pending' AND q.reason = 'price_jump' "
        "AND q.last_seen_at >= ? AND q.previous_nano IS NOT NULL",
        (provider, seconds(since)),
    )
    return [
        PendingMove(key=_key(row), family=str(row[10]), move=row[11] / row[12])
        for row in rows
        if (row[3], row[4]) not in tonight
    ]


def offer_text(offer: Offer) -> str:
    """Return an offer as JSON text; `parse_offer_text` reads it back."""
    return json.dumps(asdict(offer), default=lambda value: value.isoformat(), sort_keys=True)


def parse_offer_text(text: str) -> Offer:
    """Return the offer that `offer_text` wrote."""
    from datetime import datetime

    raw = json.loads(text)
    terms = raw["billing"]
    raw |= {
        "pricing_model": PricingModel(raw["pricing_model"]),
        "price_class": PriceClass(raw["price_class"]),
        "observed_at": datetime.fromisoformat(raw["observed_at"]),
        "flags": tuple(raw["flags"]),
        "billing": None if terms is None else BillingTerms(**terms),
    }
    return Offer(**raw)


def _row(row: Row) -> QuarantinedRow:
    offer = parse_offer_text(row[13])
    return QuarantinedRow(
        number=int(row[0]),
        key=_key(row),
        reason=row[8],
        detail=row[9],
        family=family_of(offer),
        previous_nano=row[12],
        offer=offer,
        first_seen_at=moment(row[14]),
        last_seen_at=moment(row[15]),
        times=row[16],
        state=row[17],
        note=row[18],
    )


def _key(row: Row) -> OfferKey:
    return OfferKey(row[2], row[3], row[5], row[6], row[7], row[4])
