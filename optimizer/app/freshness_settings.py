"""The table `[freshness]` of a configuration file: up to which age a price is fresh, and up to which it is stale."""

from __future__ import annotations

from datetime import timedelta

from cache.freshness import LIMITS, NEVER_FRESH, FreshnessTable, Limits
from providers.errors import JobError
from providers.offer import PriceClass, PricingModel
from providers.units import DURATION_ALLOWED, format_duration, parse_duration

KINDS: dict[str, tuple[PriceClass, PricingModel]] = {
    f"{price_class.value}_{model.value}": (price_class, model)
    for price_class in (PriceClass.LIVE, PriceClass.LIST, PriceClass.OWN)
    for model in (PricingModel.ON_DEMAND, PricingModel.SPOT, PricingModel.RESERVED)
}
"""The keys of the table: where a price comes from, and how it is paid for."""
SPANS = ("fresh", "stale")
EXAMPLE = '{ fresh = "6h", stale = "3d" }'


def read_freshness(value: object, *, where: str) -> FreshnessTable:
    """Return the limits that the table states; what an entry leaves out is the default's. Nothing for no table.

    Raises JobError, naming the file `where`, for an unknown kind, for what is no span, and for limits out of order.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise JobError(where=where, key="freshness", value=value, allowed=f"a table of kinds, live_spot = {EXAMPLE}")
    return {_kind(name, where): _limits(name, entry, where) for name, entry in value.items()}


def spot_fresh_s(table: FreshnessTable) -> dict[PriceClass, float]:
    """Return up to which age the search may use a spot price unasked, s, by where it comes from (`search.Tables`)."""
    return {
        price_class: limits.fresh.total_seconds()
        for (price_class, model), limits in table.items()
        if model is PricingModel.SPOT and (price_class, model) not in NEVER_FRESH
    }


def _kind(name: str, where: str) -> tuple[PriceClass, PricingModel]:
    if name not in KINDS:
        raise JobError(where=where, key="freshness", value=name, allowed=f"one of {', '.join(KINDS)}")
    return KINDS[name]


def _limits(name: str, entry: object, where: str) -> Limits:
    key, kind = f"freshness.{name}", KINDS[name]
    if not isinstance(entry, dict):
        raise JobError(where=where, key=key, value=entry, allowed=f"a table like {EXAMPLE}")
    spans = {span: _span(f"{key}.{span}", entry[span], where) for span in SPANS if span in entry}
    if unknown := [span for span in entry if span not in SPANS]:
        raise JobError(where=where, key=f"{key}.{unknown[0]}", value=entry[unknown[0]], allowed="fresh or stale")
    if kind in NEVER_FRESH and "fresh" in spans:
        allowed = "stale alone: a listed spot price is history, and never fresh"
        raise JobError(where=where, key=f"{key}.fresh", value=entry["fresh"], allowed=allowed)
    default = LIMITS[kind]
    fresh, stale = spans.get("fresh", default.fresh), spans.get("stale", default.stale)
    if fresh > stale:
        if "fresh" in spans:
            said, allowed = "fresh", f"at most {format_duration(stale.total_seconds())}, the limit of stale"
        else:
            said, allowed = "stale", f"at least {format_duration(fresh.total_seconds())}, the limit of fresh"
        raise JobError(where=where, key=f"{key}.{said}", value=entry[said], allowed=allowed)
    return Limits(fresh=fresh, stale=stale, reason=f"set in {where}")


def _span(key: str, value: object, where: str) -> timedelta:
    if not isinstance(value, str):
        raise JobError(where=where, key=key, value=value, allowed=DURATION_ALLOWED)
    try:
        return timedelta(seconds=parse_duration(value))
    except ValueError as err:
        raise JobError(where=where, key=key, value=value, allowed=str(err)) from err
