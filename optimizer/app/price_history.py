"""The use case `prices history`: how the prices of offers changed, as far as the store has seen them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, TypedDict

from cache.histories import Recorded, read_changes, recorded_offers
from optimizer.report.record_answers import PPM, PriceHistoryAnswer, PricePoint, PriceSeries, key_text
from providers.errors import JobError, PricesUnavailable
from providers.units import DURATION_ALLOWED, MOMENT_ALLOWED, parse_duration, parse_moment

from .clock import moment_in_force
from .gpu_table import load_gpu_table
from .market import known_names
from .price_store import database_store
from .pricing import parse_gpu, parse_pricing_model
from .settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from cache.sql_store import Change, SqlStore
    from providers.gpus import GpuTable

    from .settings import Settings

COMMAND_LINE = "command line"
SHOWN = 20
"""Offers shown where nobody says how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryFilter:
    """Which offers; an empty tuple is no restriction. Values of one field are alternatives.

    `key` is the key of an offer as `prices list --keys` prints it, or the beginning of one up to a "/".
    """

    key: str | None = None
    providers: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    instance_types: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    pricing_models: tuple[str, ...] = ()
    gpus: tuple[str, ...] = ()


class HistoryFilters(TypedDict, total=False):
    """The filters of the Python function: one name, or several that are alternatives."""

    provider: str | Sequence[str]
    region: str | Sequence[str]
    zone: str | Sequence[str]
    instance_type: str | Sequence[str]
    variant: str | Sequence[str]
    pricing_model: str | Sequence[str]
    gpu: str | Sequence[str]


def read_price_history(
    wanted: HistoryFilter | None = None,
    *,
    since: str | None = None,
    limit: int = SHOWN,
    now: datetime | str | None = None,
    settings: Settings | None = None,
    store: SqlStore | None = None,
    gpus: GpuTable | None = None,
) -> PriceHistoryAnswer:
    """Return every change of price of the offers that pass the filter, those that changed last first.

    `since` is a span back from now ("90d") or a moment; offers that were gone all that time are left out. `limit` is
    how many offers to return, 0 for all. Raises JobError for a name that the store does not know, PricesUnavailable
    (exit 9) where nothing was ever refreshed.
    """
    in_force = load_settings() if settings is None else settings
    table = load_gpu_table() if gpus is None else gpus
    moment = moment_in_force(now, in_force.now)
    start = _parse_since(since, moment)
    if limit < 0:
        raise JobError(where=COMMAND_LINE, key="limit", value=limit, allowed="a whole number, 0 for all")
    here = database_store(in_force, table) if store is None else store
    try:
        with here.reading() as session:
            known = recorded_offers(session, until=moment)
            if not known:
                place = here.database.place
                raise PricesUnavailable(f"no live price was stored in {place} yet: run tunefare prices refresh")
            chosen = sorted(_passing(known, wanted or HistoryFilter(), table), key=_changed_last)
            # A window can only leave out what it has looked at.
            read = chosen if start is not None or not limit else chosen[:limit]
            changes = read_changes(session, [one.number for one in read], until=moment)
    finally:
        if store is None:
            here.close()
    series = [one for one in (_series(item, changes[item.number], start) for item in read) if one.points]
    matching = len(series) if len(read) == len(chosen) else len(chosen)
    shown = series[:limit] if limit else series
    return PriceHistoryAnswer(made_at=moment, since=start, series=tuple(shown), matching=matching)


def _parse_since(text: str | None, now: datetime) -> datetime | None:
    if text is None:
        return None
    try:
        return now - timedelta(seconds=parse_duration(text))
    except (ValueError, OverflowError):
        pass
    try:
        start = parse_moment(text)
    except ValueError as err:
        allowed = f"{DURATION_ALLOWED}; or {MOMENT_ALLOWED}"
        raise JobError(where=COMMAND_LINE, key="since", value=text, allowed=allowed) from err
    if start > now:
        raise JobError(where=COMMAND_LINE, key="since", value=text, allowed="a moment in the past")
    return start


def _passing(known: Sequence[Recorded], wanted: HistoryFilter, gpus: GpuTable) -> list[Recorded]:
    """Return the offers that pass. Raises JobError for a name that none of them has."""
    tests: dict[str, set[str]] = {
        "gpu": {parse_gpu(name, gpus) for name in wanted.gpus},
        "key.pricing_model": {parse_pricing_model(name).value for name in wanted.pricing_models},
    }
    for flag, names in (
        ("provider", wanted.providers),
        ("region", wanted.regions),
        ("zone", wanted.zones),
        ("instance_type", wanted.instance_types),
        ("variant", wanted.variants),
    ):
        values = {getattr(one.key, flag) for one in known} - {""}
        tests[f"key.{flag}"] = set(known_names(names, values, key=flag, where=COMMAND_LINE))
    asked = [(attrgetter(path), values) for path, values in tests.items() if values]
    passing = [one for one in known if all(value(one) in values for value, values in asked)]
    return passing if wanted.key is None else _of_key(passing, wanted.key)


def _of_key(known: Iterable[Recorded], key: str) -> list[Recorded]:
    """Return the offer of that key, or those whose key begins with it."""
    texts = {key_text(one.key): one for one in known}
    asked = key.strip().rstrip("/").casefold()
    exact = [one for text, one in texts.items() if text.casefold() == asked]
    found = exact or [one for text, one in texts.items() if text.casefold().startswith(f"{asked}/")]
    if not found:
        # Raises: the key is none of these.
        known_names([key], texts, key="KEY", where="prices history")
    return found


def _changed_last(one: Recorded) -> tuple[bool, float, tuple[str, ...]]:
    """Sort what changed since it was first seen before what never did, the newest change first."""
    return (one.changes < 2, -one.changed_at.timestamp() if one.changes > 1 else 0.0, tuple(one.key))


def _series(one: Recorded, changes: Sequence[Change], start: datetime | None) -> PriceSeries:
    points = _points(changes)
    if start is not None:
        before = [point for point in points if point.at <= start]
        # What was in force when the window began belongs to it, unless that is nothing.
        first = [replace(before[-1], change_ppm=None)] if before and before[-1].price_nano is not None else []
        points = [*first, *(point for point in points if point.at > start)]
    if all(point.price_nano is None for point in points):
        points = []
    key = one.key
    return PriceSeries(
        provider=key.provider,
        region=key.region,
        zone=key.zone or None,
        instance_type=key.instance_type,
        variant=key.variant or None,
        pricing_model=key.pricing_model,
        gpu=one.gpu,
        gpu_name=one.gpu_name,
        gpu_count=one.gpu_count,
        currency=one.currency,
        points=tuple(points),
        last_seen_at=one.seen_at,
        held=one.held,
    )


def _points(changes: Sequence[Change]) -> list[PricePoint]:
    points: list[PricePoint] = []
    before: int | None = None
    for change in changes:
        price = change.price_nano
        if points and points[-1].price_nano == price:
            continue
        moved = None if price is None or not before else _ppm(price - before, before)
        points.append(PricePoint(at=change.at, price_nano=price, change_ppm=moved))
        before = before if price is None else price
    return points


def _ppm(part: int, whole: int) -> int:
    """Return part / whole in parts per million, half away from zero, without a float."""
    size = (2 * abs(part) * PPM + whole) // (2 * whole)
    return size if part >= 0 else -size
