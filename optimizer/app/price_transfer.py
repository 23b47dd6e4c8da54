"""The use cases `prices export` and `prices import`: prices as a file, and a file as prices."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cache.snapshot_file import LARGEST_BYTES, FiledScope, parse_snapshot, snapshot_text
from cache.sql_store import SqlStore
from cache.store import BundledStore
from cache.transfer import ImportOrder, import_snapshot
from optimizer.report.record_answers import ExportAnswer, ImportAnswer, ImportedScope
from optimizer.version import VERSION
from providers.errors import JobError, ProviderError
from providers.offer import PriceClass
from providers.own_offers import load_own_offers
from providers.scope import OfferKey
from providers.snapshot import make_snapshot

from .clock import moment_in_force
from .gpu_table import load_gpu_table
from .price_store import opened, publishing_store
from .pricing import OfferTest, PriceFilter, parse_filter
from .settings import load_settings
from .writing import write_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from cache.snapshot_file import SnapshotFile
    from cache.store import PriceStore
    from providers.gpus import GpuTable
    from providers.offer import Offer, PriceSnapshot
    from providers.scope import Scope

    from .settings import Settings

COMMAND_LINE = "command line"
FORMATS = ("json", "csv", "parquet", "focus")
STDOUT = "-"


def export_prices(
    file: str,
    wanted: PriceFilter | None = None,
    *,
    format: str | None = None,  # noqa: A002 - the name of the flag
    offers: Path | None = None,
    now: datetime | str | None = None,
    settings: Settings | None = None,
    store: PriceStore | None = None,
    gpus: GpuTable | None = None,
) -> ExportAnswer:
    """Write the prices that pass the filter to `file` ("-" for stdout), whole or not at all, without discounts.

    Own machines are added from `offers` alone: a file that others get holds no negotiated price by accident. Raises
    JobError for an unknown format or name, and where the file cannot be written.
    """
    stated = load_settings() if settings is None else settings
    table = load_gpu_table() if gpus is None else gpus
    moment = moment_in_force(now, stated.now)
    kind = _format(file, format)
    with opened(stated, table, store) as here:
        shelf = _shelf(here, moment)
    own = () if offers is None else load_own_offers(offers, table, now=moment)
    everything = _over(shelf.snapshot.offers, own)
    places = {(offer.provider, offer.region) for offer in everything}
    test = parse_filter(wanted or PriceFilter(), places, table)
    chosen = tuple(sorted((offer for offer in everything if test.takes(offer)), key=lambda offer: offer.key))
    scopes = _scopes(chosen, shelf, test)
    data, sha256 = _encoded(kind, chosen, scopes, shelf.snapshot, moment)
    if file == STDOUT:
        _to_stdout(data)
    else:
        write_bytes(file, data, key="export file")
    return ExportAnswer(
        file=file,
        format=kind,
        offers=len(chosen),
        scopes=len(scopes),
        partial_scopes=sum(not scope.whole for scope in scopes),
        sha256=sha256,
    )


def import_prices(
    file: str,
    *,
    sha256: str | None = None,
    dry_run: bool = False,
    now: datetime | str | None = None,
    settings: Settings | None = None,
    store: SqlStore | None = None,
    gpus: GpuTable | None = None,
) -> ImportAnswer:
    """Take the live prices of a snapshot file into the store, and return what became of each scope.

    Raises JobError (exit 2) for a file that is no snapshot, does not match its digest or `sha256`, or holds what cannot
    be; StoreBusy (exit 10) where a refresh runs. Then nothing is stored.
    """
    stated = load_settings() if settings is None else settings
    table = load_gpu_table() if gpus is None else gpus
    moment = moment_in_force(now, stated.now)
    snapshot = parse_snapshot(_read(file), where=file, now=moment)
    if sha256 is not None and sha256.strip().lower() != snapshot.sha256:
        raise JobError(where=COMMAND_LINE, key="sha256", value=sha256, allowed=f"{file} is {snapshot.sha256}")
    order = ImportOrder(
        gpus=table,
        listed=BundledStore(table).snapshot(now=moment).offers,
        now=moment,
        volatile=_volatile({scope.scope.provider for scope in snapshot.scopes}),
        dry_run=dry_run,
    )
    with _publishing(stated, table, store, dry_run=dry_run) as here:
        return _imported(file, snapshot, here, order)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shelf:
    """What the store holds: its snapshot, and of each live scope the moment of its batch and how many offers it has."""

    snapshot: PriceSnapshot
    batches: dict[Scope, datetime]
    counts: Counter[Scope]


def _shelf(store: PriceStore, now: datetime) -> _Shelf:
    batches: dict[Scope, datetime] = {}
    if isinstance(store, SqlStore):
        snapshot, batches = store.snapshot_and_batches(now=now)
    else:
        snapshot = store.snapshot(now=now)
    return _Shelf(snapshot=snapshot, batches=batches, counts=_live_counts(snapshot.offers))


def _live_counts(offers: tuple[Offer, ...]) -> Counter[Scope]:
    return Counter(OfferKey(*offer.key).scope for offer in offers if offer.price_class is PriceClass.LIVE)


def _over(listed: tuple[Offer, ...], own: tuple[Offer, ...]) -> tuple[Offer, ...]:
    """Return the offers, own ones in the place of those that they stand for."""
    replaced = {offer.key for offer in own}
    return (*(offer for offer in listed if offer.key not in replaced), *own)


def _scopes(chosen: tuple[Offer, ...], shelf: _Shelf, test: OfferTest) -> list[FiledScope]:
    """Return the live scopes that the file holds, whole or in part; those that are empty now among them."""
    counts = _live_counts(chosen)
    return [
        FiledScope(scope=scope, batch_at=at, whole=counts[scope] == shelf.counts[scope])
        for scope, at in sorted(shelf.batches.items())
        if counts[scope] or (not shelf.counts[scope] and test.takes_whole(scope))
    ]


def _encoded(
    kind: str, chosen: tuple[Offer, ...], scopes: list[FiledScope], snapshot: PriceSnapshot, now: datetime
) -> tuple[bytes, str | None]:
    """Return the content of the file, and its digest where it states one."""
    if kind == "parquet":
        from optimizer.report.parquet_prices import prices_parquet

        return prices_parquet(chosen), None
    if kind == "csv":
        from optimizer.report.csv_prices import prices_csv

        return prices_csv(chosen).encode("utf-8", "backslashreplace"), None
    if kind == "focus":
        from optimizer.report.focus import focus_csv

        return focus_csv(chosen).encode("utf-8", "backslashreplace"), None
    market = make_snapshot(chosen, snapshot.token_prices, snapshot.billing)
    text, sha256 = snapshot_text(
        chosen,
        scopes,
        billing=snapshot.billing,
        made_at=now,
        market_sha256=market.sha256,
        tool_version=VERSION,
    )
    return text.encode("utf-8"), sha256


def _format(file: str, stated: str | None) -> str:
    if stated is not None:
        if stated.lower() not in FORMATS:
            raise JobError(where=COMMAND_LINE, key="format", value=stated, allowed=f"one of {', '.join(FORMATS)}")
        if stated.lower() == "parquet" and file == STDOUT and sys.stdout.isatty():
            raise JobError(where=COMMAND_LINE, key="format", value=stated, allowed="no terminal: name a file")
        return stated.lower()
    if file == STDOUT:
        return "json"
    suffix = Path(file).suffix.removeprefix(".").lower()
    if suffix not in {"json", "csv", "parquet"}:
        allowed = "a name ending in .json, .csv or .parquet, or --format"
        raise JobError(where="prices export", key="FILE", value=file, allowed=allowed)
    return suffix


def _to_stdout(data: bytes) -> None:
    sys.stdout.flush()
    target = getattr(sys.stdout, "buffer", None)
    if target is None:  # a stand-in that takes text
        sys.stdout.write(data.decode("utf-8"))
    else:
        target.write(data)
    sys.stdout.flush()


def _read(file: str) -> bytes:
    try:
        with Path(file).open("rb") as source:
            data = source.read(LARGEST_BYTES + 1)
    except OSError as err:
        reason = err.strerror or type(err).__name__
        raise JobError(
            where="prices import", key="FILE", value=file, allowed=f"a file of prices export ({reason})"
        ) from err
    if len(data) > LARGEST_BYTES:
        allowed = f"at most {LARGEST_BYTES // 10**6} MB"
        raise JobError(where="prices import", key="FILE", value=file, allowed=allowed)
    return data


def _volatile(names: set[str]) -> frozenset[str]:
    """Return those of the providers whose adapters say that their lists come and go."""
    from providers import registry

    found = set()
    for name in names & set(registry.provider_names()):
        try:
            if registry.load_provider(name).info.volatile:
                found.add(name)
        except ProviderError:  # broken: a refresh says so
            continue
    return frozenset(found)


@contextmanager
def _publishing(stated: Settings, gpus: GpuTable, store: SqlStore | None, *, dry_run: bool) -> Iterator[SqlStore]:
    if store is not None:
        yield store
        return
    with publishing_store(stated, gpus, dry_run=dry_run) as here:
        yield here


def _imported(file: str, snapshot: SnapshotFile, store: SqlStore, order: ImportOrder) -> ImportAnswer:
    done = import_snapshot(store, snapshot, order)
    return ImportAnswer(
        made_at=order.now,
        file=file,
        sha256=snapshot.sha256,
        exported_at=snapshot.made_at,
        place=store.database.place,
        dry_run=order.dry_run,
        scopes=tuple(
            ImportedScope(
                provider=one.scope.provider,
                region=one.scope.region,
                pricing_model=one.scope.pricing_model.value,
                batch_at=one.batch_at,
                outcome=one.outcome,
                offers=one.offers,
                added=one.added,
                changed=one.changed,
                gone=one.gone,
                quarantined=one.quarantined,
                detail=one.detail,
            )
            for one in done.scopes
        ),
        skipped_list=done.listed,
        skipped_own=done.own,
        unknown_gpus=done.unknown_gpus,
    )
