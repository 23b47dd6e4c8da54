"""A price list as a person reads it, cheapest per GPU-hour first, each price with its age."""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.offer import NANO, PriceClass

from .describe import PAID, explain_marks, mark_offer
from .figures import format_age, format_age_range, format_hourly, plural
from .table import Column, format_heading, format_paragraph, format_table

if TYPE_CHECKING:
    from .answers import PricedOffer, PriceListAnswer
    from .style import Style


def format_prices(answer: PriceListAnswer, style: Style) -> str:
    """Return the list as text. An empty list says so, and how many offers the filters left out."""
    title = format_heading("Prices", f"{len(answer.offers):,} of {plural(answer.total, 'offer')}, per hour", style)
    if not answer.offers:
        return f"{title}\n  No offer passes the filters.\n"
    columns = [
        Column(title="$/GPU", right=True),
        Column(title="machine", shrinks=True, smallest=16),
        Column(title="provider", shrinks=True, smallest=6),
        Column(title="place", shrinks=True, smallest=8),
        Column(title="type", shrinks=True, smallest=8),
        Column(title="paid"),
        Column(title="age", right=True),
        Column(title=""),
    ]
    lines = [title, *format_table(columns, [_row(row) for row in answer.offers], style)]
    return "\n".join([*lines, "", *format_paragraph(_footer(answer), style)]) + "\n"


def _row(row: PricedOffer) -> list[str]:
    offer = row.offer
    money = "" if offer.currency == "USD" else f" {offer.currency}"
    own = "" if offer.price_class is PriceClass.LIST else f" {offer.price_class.value}"
    return [
        format_hourly(row.unit_price_per_gpu_nano / NANO) + money,
        f"{offer.gpu_count}×{offer.gpu or offer.gpu_name}",
        offer.provider,
        offer.zone or offer.region,
        offer.instance_type if offer.variant is None else f"{offer.instance_type} {offer.variant}",
        PAID[offer.pricing_model.value] + own,
        _short_age(row.age_s) + ("" if row.freshness == "fresh" else " !"),
        (NO_CANDIDATE if offer.excluded_because else "") + mark_offer(offer),
    ]


NO_CANDIDATE = "-"
"""The mark of an offer that no plan chooses; its flags, in JSON, say why."""


def _short_age(seconds: int) -> str:
    """Return the age in a few characters: 12 min, 7 h, 186 d."""
    return format_age(seconds).replace(" days", " d")


def _footer(answer: PriceListAnswer) -> str:
    """Return what the abbreviations of this list mean, how old its prices are, and the snapshot that holds them."""
    ages = [row.age_s for row in answer.offers]
    classes = sorted({row.offer.price_class.value for row in answer.offers})
    models = sorted({row.offer.pricing_model.value for row in answer.offers} - {"spot"})
    words = [
        f"{' and '.join(classes)} prices, {format_age_range(min(ages), max(ages))} old",
        *(f"{PAID[name]}: {name.replace('_', ' ')}" for name in models),
    ]
    if any(row.freshness != "fresh" for row in answer.offers):
        words.append("!: no longer fresh")
    if any(row.offer.excluded_because for row in answer.offers):
        words.append(f"{NO_CANDIDATE}: never chosen, --json says why")
    if marks := explain_marks(row.offer for row in answer.offers):
        words.append(marks)
    return " · ".join([*words, f"snapshot {answer.sha256[:12]}"])
