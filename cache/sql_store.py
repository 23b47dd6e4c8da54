"""The store of live prices, in SQLite or PostgreSQL: what a plan reads, and what a refresh needs to know."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from providers.errors import PricesUnavailable
from providers.http import Validator
from providers.offer import PricingModel
from providers.scope import GLOBAL_REGION, UNSTATED_REGION, OfferKey, Scope
from providers.snapshot import with_offers

from .database import load_migrations, migrate, open_database
from .rows import READ_COLUMNS, moment, offers_from, seconds

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from providers.offer import Offer, PriceSnapshot

    from .database import Database, Session, Value
    from .store import PriceStore

ROOM = "prices"

_LATEST = (
    f"SELECT {READ_COLUMNS} FROM price_offers o JOIN price_scopes s ON s.id = o.scope_id WHERE o.price_nano IS NOT NULL"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeState:
    """What is stored of one scope. `refused` says why its last batch was refused, "" when it was not."""

    scope: Scope
    number: int
    batch_at: datetime | None
    offers: int
    quarantined: int
    refused: str = ""
    refused_offers: int = 0
    refused_times: int = 0
    refused_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRecord:
    """How the last attempt to ask a source went, and when the last one succeeded."""

    provider: str
    attempt_at: datetime
    success_at: datetime | None
    duration_ms: int
    outcome: str
    error: str
    sample: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRecord:
    """What is known of one part of a source since its last success."""

    at: datetime
    scopes: tuple[Scope, ...]
    validators: dict[str, Validator]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One point of an offer's history: the price in billionths from that moment on; None: gone."""

    at: datetime
    price_nano: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LatestColumns:
    """The newest prices as columns of equal length. Prices in billionths per hour, moments in seconds since 1970."""

    number: tuple[int, ...]
    price_nano: tuple[int, ...]
    observed_at_s: tuple[int, ...]
    gpu: tuple[str | None, ...]
    gpu_count: tuple[int, ...]


class SqlStore:
    """Live prices over the bundled list: where a scope has live prices, the list's rows of that scope do not count."""

    def __init__(self, database: Database, bundled: PriceStore) -> None:
        """`database` must be migrated (see `open_store`)."""
        self.database = database
        self._bundled = bundled

    def close(self) -> None:
        """Give the connection back."""
        self.database.close()

    def reading(self) -> AbstractContextManager[Session]:
        """Return a session that sees one consistent state."""
        return self.database.reading()

    def writing(self, *, keep: bool = True) -> AbstractContextManager[Session]:
        """Return the only writing session; without `keep` everything that it did is undone at its end."""
        return self.database.writing(keep=keep)

    def lock(self) -> AbstractContextManager[None]:
        """Hold the lock that one refresh at a time holds. Raises StoreBusy."""
        return self.database.lock("refresh")

    def snapshot(self, *, now: datetime) -> PriceSnapshot:
        """Return the prices known at `now`; see `PriceStore.snapshot`."""
        return self.snapshot_and_batches(now=now)[0]

    def snapshot_and_batches(self, *, now: datetime) -> tuple[PriceSnapshot, dict[Scope, datetime]]:
        """Return `snapshot`, and the moment of the batch that each live scope of it is from."""
        bundled = self._bundled.snapshot(now=now)
        with self.reading() as session:
            offers = _over(session, bundled.offers, now)
            batches = _batches(session, seconds(now))
        return bundled if offers is bundled.offers else with_offers(bundled, offers), batches

    def offers(self, *, now: datetime, providers: Collection[str] = ()) -> tuple[Offer, ...]:
        """Return the offers of `snapshot` (of `providers`, where some are named) without the digest of them all."""
        listed = self._bundled.snapshot(now=now).offers
        if providers:
            listed = tuple(offer for offer in listed if offer.provider in providers)
        with self.reading() as session:
            return _over(session, listed, now, providers)

    def places(self, *, now: datetime) -> Counter[tuple[str, str]]:
        """Return how many offers are known by provider and region, without reading them."""
        with self.reading() as session:
            newer = session.rows("SELECT 1 FROM price_scopes WHERE batch_at > ?", (seconds(now),))
            scopes = _scopes(session, "batch_at IS NOT NULL", ())
            live = session.rows(
                "SELECT s.provider, s.region, COUNT(*) FROM price_offers o JOIN price_scopes s ON s.id = o.scope_id "
                "WHERE o.price_nano IS NOT NULL GROUP BY s.provider, s.region"
            )
        if newer:  # what was known then takes reading
            return Counter((offer.provider, offer.region) for offer in self.offers(now=now))
        listed = live_or_listed(self._bundled.snapshot(now=now).offers, scopes)
        counts = Counter((offer.provider, offer.region) for offer in listed)
        counts.update({(provider, region): count for provider, region, count in live})
        return counts

    def live_offers(self) -> list[Offer]:
        """Return the newest live price of every offer."""
        with self.reading() as session:
            return latest_offers(session)

    def latest_columns(self) -> LatestColumns:
        """Return the newest price of every offer as columns: what a scan over the whole market needs."""
        with self.reading() as session:
            rows = session.rows(
                "SELECT o.id, o.price_nano, COALESCE(o.seen_at, s.batch_at), o.gpu, o.gpu_count FROM price_offers o "
                "JOIN price_scopes s ON s.id = o.scope_id WHERE o.price_nano IS NOT NULL"
            )
        columns = tuple(zip(*rows, strict=True)) if rows else ((), (), (), (), ())
        return LatestColumns(
            number=columns[0], price_nano=columns[1], observed_at_s=columns[2], gpu=columns[3], gpu_count=columns[4]
        )

    def find(
        self, *, gpu: str | None = None, providers: Sequence[str] = (), regions: Sequence[str] = (),
        pricing_model: PricingModel | None = None, min_gpus: int = 1,
    ) -> list[Offer]:  # fmt: skip
        """Return the live offers that pass the filter, cheapest per GPU first."""
        sql = _LATEST
        values: list[Value] = []
        if gpu is not None:
            sql, values = f"{sql} AND o.gpu = ?", [*values, gpu]
        if providers:
            sql, values = f"{sql} AND s.provider IN ({', '.join('?' for _ in providers)})", [*values, *providers]
        if regions:
            sql, values = f"{sql} AND s.region IN ({', '.join('?' for _ in regions)})", [*values, *regions]
        if pricing_model is not None:
            sql, values = f"{sql} AND s.pricing_model = ?", [*values, pricing_model.value]
        with self.reading() as session:
            rows = session.rows(f"{sql} AND o.gpu_count >= ?", [*values, min_gpus])
        return sorted(offers_from(rows), key=lambda offer: (offer.unit_price_nano / offer.gpu_count, offer.key))

    def offer(self, key: OfferKey) -> Offer | None:
        """Return the newest live price of one offer, None where there is none."""
        with self.reading() as session:
            rows = session.rows(
                f"{_LATEST} AND s.provider = ? AND s.region = ? AND s.pricing_model = ? AND o.instance_type = ? "
                "AND o.zone = ? AND o.variant = ?",
                (key.provider, key.region, key.pricing_model, key.instance_type, key.zone, key.variant),
            )
        return next(iter(offers_from(rows)), None)

    def scope_states(self) -> list[ScopeState]:
        """Return every scope that was ever asked for, in order."""
        with self.reading() as session:
            return scope_states(session)

    def sources(self) -> dict[str, SourceRecord]:
        """Return the last attempt by provider."""
        with self.reading() as session:
            rows = session.rows(
                "SELECT provider, attempt_at, success_at, duration_ms, outcome, error, sample FROM price_sources"
            )
        return {
            row[0]: SourceRecord(
                provider=row[0],
                attempt_at=moment(row[1]),
                success_at=None if row[2] is None else moment(row[2]),
                duration_ms=row[3],
                outcome=row[4],
                error=row[5],
                sample=row[6],
            )
            for row in rows
        }

    def parts(self, provider: str) -> dict[str, PartRecord]:
        """Return what is known of the parts of a provider, by name."""
        with self.reading() as session:
            return part_records(session, provider)

    def history(self, key: OfferKey) -> list[Change]:
        """Return the change points of one offer, oldest first; empty for one that was never seen."""
        with self.reading() as session:
            rows = session.rows(
                "SELECT h.at, h.price_nano FROM price_history h JOIN price_offers o ON o.id = h.offer_id "
                "JOIN price_scopes s ON s.id = o.scope_id WHERE s.provider = ? AND s.region = ? "
                "AND s.pricing_model = ? AND o.instance_type = ? AND o.zone = ? AND o.variant = ? ORDER BY h.at",
                (key.provider, key.region, key.pricing_model, key.instance_type, key.zone, key.variant),
            )
        return [Change(at=moment(at), price_nano=price) for at, price in rows]


def open_store(url: str, bundled: PriceStore, *, create: bool) -> SqlStore:
    """Return the store at `url` with its schema up to date. Raises StoreBusy (exit 10), StoreDamaged (exit 9)."""
    database = open_database(url, create=create)
    try:
        migrate(database, load_migrations("cache", dialect=database.dialect), room=ROOM)
    except BaseException:
        database.close()
        raise
    return SqlStore(database, bundled)


def live_or_listed(listed: Iterable[Offer], live: Iterable[Scope]) -> list[Offer]:
    """Return the listed offers for which no live scope stands.

    A row whose source states no region stands for all regions: any live scope of its provider and pricing model
    replaces it. Where a source has one price for all regions (`global`), likewise the other way round.
    """
    scopes = {(scope.provider, scope.region, scope.pricing_model) for scope in live}
    anywhere = {(scope.provider, scope.pricing_model) for scope in live}
    everywhere = {(provider, model) for provider, region, model in scopes if region == GLOBAL_REGION}
    return [
        offer
        for offer in listed
        if (offer.provider, offer.region, offer.pricing_model) not in scopes
        and (offer.provider, offer.pricing_model) not in everywhere
        and not (offer.region == UNSTATED_REGION and (offer.provider, offer.pricing_model) in anywhere)
    ]


def latest_offers(session: Session) -> list[Offer]:
    """Return the newest live price of every offer."""
    return list(offers_from(session.rows(_LATEST)))


def scope_states(session: Session) -> list[ScopeState]:
    """Return every scope that was ever asked for, in order."""
    rows = session.rows(
        "SELECT s.provider, s.region, s.pricing_model, s.id, s.batch_at, s.offers, "
        "(SELECT COUNT(*) FROM price_quarantine q WHERE q.scope_id = s.id AND q.state = 'pending'), "
        "s.refused, s.refused_offers, s.refused_times, s.refused_at FROM price_scopes s "
        "ORDER BY s.provider, s.region, s.pricing_model"
    )
    return [
        ScopeState(
            scope=Scope(provider=row[0], region=row[1], pricing_model=PricingModel(row[2])),
            number=row[3],
            batch_at=None if row[4] is None else moment(row[4]),
            offers=row[5],
            quarantined=row[6],
            refused=row[7],
            refused_offers=row[8],
            refused_times=row[9],
            refused_at=row[10],
        )
        for row in rows
    ]


def part_records(session: Session, provider: str) -> dict[str, PartRecord]:
    """Return what is known of the parts of a provider, by name."""
    rows = session.rows("SELECT part, at, validators, scopes FROM price_parts WHERE provider = ?", (provider,))
    return {
        part: PartRecord(
            at=moment(at),
            validators={url: Validator(**item) for url, item in json.loads(validators).items()},
            scopes=tuple(
                Scope(provider=provider, region=region, pricing_model=PricingModel(model))
                for region, model in json.loads(scopes)
            ),
        )
        for part, at, validators, scopes in rows
    }


def _scopes(session: Session, where: str, values: Sequence[Value]) -> list[Scope]:
    rows = session.rows(f"SELECT provider, region, pricing_model FROM price_scopes WHERE {where}", values)
    return [Scope(provider=row[0], region=row[1], pricing_model=PricingModel(row[2])) for row in rows]


def _over(
    session: Session, listed: tuple[Offer, ...], now: datetime, providers: Collection[str] = ()
) -> tuple[Offer, ...]:
    """Return the live offers and the listed ones that they do not replace; `listed` itself where none is live.

    Raises PricesUnavailable where nothing is left.
    """
    newest = session.rows("SELECT MAX(batch_at) FROM price_scopes")[0][0]
    if newest is None:
        return listed
    released = session.rows("SELECT MAX(decided_at) FROM price_quarantine WHERE state = 'released'")[0][0]
    if max(newest, released or newest) <= seconds(now):
        scopes = _scopes(session, "batch_at IS NOT NULL", ())
        here = f" AND s.provider IN ({', '.join('?' for _ in providers)})" if providers else ""
        live = list(offers_from(session.rows(_LATEST + here, tuple(providers))))
    else:
        scopes, live = _as_of(session, seconds(now))
        live = [offer for offer in live if not providers or offer.provider in providers]
    if not scopes:
        return listed
    offers = (*live_or_listed(listed, scopes), *live)
    if not offers and not providers:
        raise PricesUnavailable("no price is known: the live prices are gone, and the bundled list holds none")
    return offers


def _batches(session: Session, now: int) -> dict[Scope, datetime]:
    """Return the moment of the newest batch of each scope up to `now`."""
    rows = session.rows("SELECT provider, region, pricing_model, batch_at FROM price_scopes WHERE batch_at IS NOT NULL")
    if any(row[3] > now for row in rows):
        rows = session.rows(
            "SELECT s.provider, s.region, s.pricing_model, MAX(b.at) FROM price_batches b "
            "JOIN price_scopes s ON s.id = b.scope_id WHERE b.at <= ? GROUP BY s.provider, s.region, s.pricing_model",
            (now,),
        )
    return {
        Scope(provider=provider, region=region, pricing_model=PricingModel(model)): moment(at)
        for provider, region, model, at in rows
    }


def _as_of(session: Session, now: int) -> tuple[list[Scope], list[Offer]]:
    """Return the scopes and offers as they were published at `now`: the last change up to then, in the last batch.

    What is known of an offer beside its price is as of today.
    """
    rows = session.rows(
        "SELECT b.scope_id, MAX(b.at), s.provider, s.region, s.pricing_model FROM price_batches b "
        "JOIN price_scopes s ON s.id = b.scope_id WHERE b.at <= ? "
        "GROUP BY b.scope_id, s.provider, s.region, s.pricing_model",
        (now,),
    )
    scopes = [Scope(provider=row[2], region=row[3], pricing_model=PricingModel(row[4])) for row in rows]
    columns = READ_COLUMNS.replace("o.price_nano", "h.price_nano").replace(
        "COALESCE(o.seen_at, s.batch_at), o.seen_at IS NOT NULL",
        "CASE WHEN o.seen_at IS NOT NULL AND o.seen_at < b.at THEN o.seen_at ELSE b.at END, "
        "o.seen_at IS NOT NULL AND o.seen_at < b.at",
    )
    found = session.rows(
        f"SELECT {columns} FROM price_offers o JOIN price_scopes s ON s.id = o.scope_id "
        "JOIN (SELECT scope_id, MAX(at) AS at FROM price_batches WHERE at <= ? GROUP BY scope_id) b "
        "ON b.scope_id = s.id "
        "JOIN price_history h ON h.offer_id = o.id AND h.at = "
        "(SELECT MAX(at) FROM price_history WHERE offer_id = o.id AND at <= ?) WHERE h.price_nano IS NOT NULL",
        (now, now),
    )
    return scopes, list(offers_from(found))
