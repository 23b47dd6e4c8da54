"""Reads the change points of many offers at once."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from providers.scope import OfferKey

from .rows import moment, seconds
from .sql_store import Change

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from .database import Row, Session

AT_ONCE = 500
"""Offers whose changes one statement reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """An offer that has a history. `changed_at` is its newest change, `seen_at` when its price was last stated.

    `held` says that a newer price is in quarantine.
    """

    number: int
    key: OfferKey
    gpu: str | None
    gpu_name: str
    gpu_count: int
    currency: str
    changed_at: datetime
    changes: int
    seen_at: datetime
    held: bool


def recorded_offers(session: Session, *, until: datetime) -> list[Recorded]:
    """Return every offer that was ever stored up to that moment, those that are gone too, by key."""
    batches: dict[int, int] = dict(
        session.rows("SELECT scope_id, MAX(at) FROM price_batches WHERE at <= ? GROUP BY scope_id", (seconds(until),))
    )
    rows = session.rows(
        "SELECT o.id, s.provider, s.region, o.zone, o.instance_type, o.variant, s.pricing_model, o.gpu, o.gpu_name, "
        "o.gpu_count, o.currency, o.scope_id, o.seen_at, h.at, h.times, p.price_nano "
        "FROM price_offers o JOIN price_scopes s ON s.id = o.scope_id "
        "JOIN (SELECT offer_id, MAX(at) AS at, COUNT(*) AS times FROM price_history WHERE at <= ? GROUP BY offer_id) h "
        "ON h.offer_id = o.id JOIN price_history p ON p.offer_id = o.id AND p.at = h.at",
        (seconds(until),),
    )
    found = [_recorded(row, batches) for row in rows]
    return sorted(found, key=lambda one: one.key)


def _recorded(row: Row, batches: Mapping[int, int]) -> Recorded:
    scope, own_age, changed, times, price = row[11:]
    # A price that was released from quarantine counts from then on: its batch is older than the change.
    batch = batches.get(scope, changed)
    held = price is not None and own_age is not None and own_age < batch
    return Recorded(
        number=row[0],
        key=OfferKey(*row[1:7]),
        gpu=row[7],
        gpu_name=row[8],
        gpu_count=row[9],
        currency=row[10],
        changed_at=moment(changed),
        changes=times,
        seen_at=moment(changed if price is None else own_age if held else batch),
        held=held,
    )


def read_changes(session: Session, numbers: Iterable[int], *, until: datetime) -> dict[int, list[Change]]:
    """Return the changes up to that moment by the number of the offer, oldest first."""
    wanted = list(numbers)
    found: dict[int, list[Change]] = defaultdict(list)
    for start in range(0, len(wanted), AT_ONCE):
        some = wanted[start : start + AT_ONCE]
        rows = session.rows(
            f"SELECT offer_id, at, price_nano FROM price_history WHERE offer_id IN ({', '.join('?' for _ in some)}) "
            "AND at <= ? ORDER BY offer_id, at",
            [*some, seconds(until)],
        )
        for number, at, price in rows:
            found[number].append(Change(at=moment(at), price_nano=price))
    return found
