"""The use cases `prices quarantine list`, `release` and `reject`: what the gate held back, and what becomes of it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from cache.gate import REASONS
from cache.quarantine import STATES, QuarantinedRow, decide, list_rows
from optimizer.report.record_answers import HeldPrice, QuarantineAnswer
from providers.errors import JobError
from providers.payload import LONGEST_NAME, clean_name

from .clock import moment_in_force
from .gpu_table import load_gpu_table
from .market import known_names
from .price_store import database_store
from .settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from cache.sql_store import SqlStore

    from .settings import Settings

COMMAND_LINE = "command line"
SHOWN = 20
"""Rows listed where nobody says how many."""


def list_quarantine(
    *,
    provider: str | None = None,
    everything: bool = False,
    now: datetime | str | None = None,
    settings: Settings | None = None,
    store: SqlStore | None = None,
) -> QuarantineAnswer:
    """Return the rows that wait for a decision, the newest first; with `everything` those that are settled too.

    Raises JobError for a provider that no price was ever stored of, PricesUnavailable (exit 9) where nothing was ever
    refreshed.
    """
    stated = load_settings() if settings is None else settings
    moment = moment_in_force(now, stated.now)
    states = STATES if everything else ("pending",)
    with _database(stated, store) as here:
        names: tuple[str | None, ...] = (None,)
        if provider is not None:
            known = {state.scope.provider for state in here.scope_states()}
            names = known_names([provider], known, key="provider", where=COMMAND_LINE)
        with here.reading() as session:
            rows = [row for name in names for row in list_rows(session, states=states, provider=name)]
    return QuarantineAnswer(made_at=moment, rows=tuple(_held(row) for row in rows))


def decide_quarantined(
    numbers: Iterable[int],
    *,
    release: bool,
    note: str = "",
    now: datetime | str | None = None,
    settings: Settings | None = None,
    store: SqlStore | None = None,
) -> QuarantineAnswer:
    """Release or reject the rows of these numbers, all or none, and return them as they were.

    Raises JobError for a number that is not there or decided already, and for a note that is too long.
    """
    stated = load_settings() if settings is None else settings
    moment = moment_in_force(now, stated.now)
    if len(note) > LONGEST_NAME:
        raise JobError(where=COMMAND_LINE, key="note", value=note, allowed=f"at most {LONGEST_NAME} characters")
    with _database(stated, store) as here, here.writing() as session:
        rows = [
            decide(session, number, release=release, at=moment, note=clean_name(note))
            for number in dict.fromkeys(numbers)
        ]
    done = "released" if release else "rejected"
    return QuarantineAnswer(made_at=moment, rows=tuple(_held(row) for row in rows), done=done)


@contextmanager
def _database(stated: Settings, store: SqlStore | None) -> Iterator[SqlStore]:
    if store is not None:
        yield store
        return
    here = database_store(stated, load_gpu_table())
    try:
        yield here
    finally:
        here.close()


def _held(row: QuarantinedRow) -> HeldPrice:
    offer = row.offer
    return HeldPrice(
        number=row.number,
        provider=offer.provider,
        region=offer.region,
        zone=offer.zone,
        instance_type=offer.instance_type,
        variant=offer.variant,
        pricing_model=offer.pricing_model.value,
        gpu=offer.gpu,
        gpu_count=offer.gpu_count,
        price_nano=offer.unit_price_nano,
        previous_nano=row.previous_nano,
        currency=offer.currency,
        reason=row.reason,
        words=REASONS.get(row.reason, row.reason),
        detail=row.detail,
        first_seen_at=row.first_seen_at,
        last_seen_at=row.last_seen_at,
        times=row.times,
        state=row.state,
        note=row.note,
    )
