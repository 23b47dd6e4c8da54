"""A price list as a person reads it, cheapest per GPU-hour first, each price with its age."""

from __future__ import annotations

from providers.offer import NANO

from .answers import PricedOffer, PriceListAnswer
from .figures import format_age, format_age_range, format_hourly, plural
from .style import Style
from .table import Column, format_heading, format_table


def format_prices(answer: PriceListAnswer, style: Style) -> str:
    """Return the list as text. An empty list says so, and how many offers the filters left out."""
    title = format_heading("Prices", f"{len(answer.offers):,} of {plural(answer.total, 'offer')}, per hour", style)
    if not answer.offers:
        return f"{title}\n  No offer passes the filters.\n"
    columns = [
        Column(title="$/GPU", right=True),
        Column(title="$ total", right=True),
        Column(title="machine", shrinks=True, smallest=16),
        Column(title="provider", shrinks=True, smallest=6),
        Column(title="place", shrinks=True, smallest=8),
        Column(title="type", shrinks=True, smallest=8),
        Column(title="paid"),
        Column(title="age", right=True),
        Column(title=""),
    ]
    lines = [title, *format_table(columns, [_row(row) for row in answer.offers], style), "", _footer(answer)]
    return "\n".join([*lines[:-1], style.plain(lines[-1])]) + "\n"


def _row(row: PricedOffer) -> list[str]:
    offer = row.offer
    money = "" if offer.currency == "USD" else f" {offer.currency}"
    return [
        format_hourly(row.unit_price_per_gpu_nano / NANO) + money,
        format_hourly(offer.unit_price_nano / NANO) if offer.gpu_count > 1 else "",
        f"{offer.gpu_count} × {offer.gpu or offer.gpu_name}",
        offer.provider,
        offer.zone or offer.region,
        offer.instance_type if offer.variant is None else f"{offer.instance_type} {offer.variant}",
        PAID[offer.pricing_model.value],
        _short_age(row.age_s),
        "" if offer.price_class.value == "list" and row.freshness == "fresh" else _mark(row),
    ]


PAID = {"on_demand": "od", "spot": "spot", "reserved": "res"}
"""Pricing models as the table abbreviates them; the footer says what they mean."""


def _mark(row: PricedOffer) -> str:
    price_class = "" if row.offer.price_class.value == "list" else row.offer.price_class.value
    freshness = "" if row.freshness == "fresh" else row.freshness
    return " ".join(word for word in (price_class, freshness) if word)


def _short_age(seconds: int) -> str:
    """Return the age in a few characters: 12 min, 7 h, 186 d."""
    return format_age(seconds).replace(" days", " d")


def _footer(answer: PriceListAnswer) -> str:
    ages = [row.age_s for row in answer.offers]
    classes = sorted({row.offer.price_class.value for row in answer.offers})
    models = sorted({row.offer.pricing_model.value for row in answer.offers})
    meaning = ", ".join(f"{PAID[name]} {name.replace('_', ' ')}" for name in models)
    return (
        f"{'/'.join(classes)} prices, {format_age_range(min(ages), max(ages))} old; {meaning}; "
        f"snapshot {answer.sha256[:12]}"
    )
