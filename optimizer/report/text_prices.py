"""A price list as a person reads it, cheapest per GPU-hour first, each price with its age."""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.offer import PriceClass

from .describe import PAID, explain_marks, mark_offer
from .figures import format_age, format_age_range, format_price, plural
from .record_answers import key_text
from .table import Column, format_heading, format_paragraph, format_table

if TYPE_CHECKING:
    from .answers import PricedOffer, PriceListAnswer
    from .style import Style

STALE = "!"
"""The mark of a price that is no longer fresh."""
NO_CANDIDATE = "-"
"""The mark of an offer that no plan chooses; its flags, in JSON, say why."""
BUNDLED = "b"
"""The mark of a price from the bundled list, where others stand beside it."""


def format_prices(answer: PriceListAnswer, style: Style) -> str:
    """Return the list as text. An empty list says so, and how many offers the filters left out."""
    matching = len(answer.offers) + answer.more
    title = format_heading("Prices", f"{matching:,} of {plural(answer.total, 'offer')}, per hour", style)
    if not answer.offers:
        return f"{title}\n  No offer passes the filters.\n"
    mixed = len(_classes(answer)) > 1
    lines = [title, *format_table(_columns(answer), [_row(row, mixed=mixed) for row in answer.offers], style)]
    if answer.more:
        lines += format_paragraph(f"… {answer.more:,} more: --limit 0", style)
    return "\n".join([*lines, "", *format_paragraph(_footer(answer), style)]) + "\n"


def format_keys(answer: PriceListAnswer) -> str:
    """Return the key of each offer on a line of its own, as `prices history` takes it."""
    return "".join(f"{key_text(row.offer.key)}\n" for row in answer.offers)


def _columns(answer: PriceListAnswer) -> tuple[Column, ...]:
    """Return the columns: they fit into 80, whatever the names; a GPU keeps its name where all prices are dollars."""
    foreign = any(row.offer.currency != "USD" for row in answer.offers)
    return (
        Column(title="$/GPU", right=True),
        Column(title="$/h", right=True),
        Column(title="machine", shrinks=True, smallest=11 if foreign else 15),
        Column(title="provider", shrinks=True, smallest=5),
        Column(title="place", shrinks=True, smallest=6),
        Column(title="type", shrinks=True, smallest=6),
        Column(title="paid"),
        Column(title="age", right=True),
        Column(title=""),
    )


def _row(row: PricedOffer, *, mixed: bool) -> list[str]:
    offer = row.offer
    return [
        format_price(row.unit_price_per_gpu_nano, offer.currency),
        format_price(offer.unit_price_nano, offer.currency),
        f"{offer.gpu_count}×{offer.gpu or offer.gpu_name}",
        offer.provider,
        offer.zone or offer.region,
        offer.instance_type if offer.variant is None else f"{offer.instance_type} {offer.variant}",
        PAID[offer.pricing_model.value],
        _short_age(row.age_s),
        _marks(row, mixed=mixed),
    ]


def _marks(row: PricedOffer, *, mixed: bool) -> str:
    offer = row.offer
    return (
        (STALE if row.freshness != "fresh" else "")
        + (NO_CANDIDATE if offer.excluded_because else "")
        + (BUNDLED if mixed and offer.price_class is PriceClass.LIST else "")
        + mark_offer(offer)
    )


def _short_age(seconds: int) -> str:
    """Return the age in a few characters: 12 min, 7 h, 186 d."""
    return format_age(seconds).replace(" days", " d")


def _classes(answer: PriceListAnswer) -> list[str]:
    return sorted({row.offer.price_class.value for row in answer.offers})


def _footer(answer: PriceListAnswer) -> str:
    """Return what the abbreviations of this list mean, and how old its prices are."""
    ages = [row.age_s for row in answer.offers]
    classes = _classes(answer)
    models = sorted({row.offer.pricing_model.value for row in answer.offers} - {"spot"})
    words = [
        f"{_joined(classes)} prices, {format_age_range(min(ages), max(ages))} old",
        *(f"{PAID[name]}: {name.replace('_', ' ')}" for name in models),
    ]
    if any(row.freshness != "fresh" for row in answer.offers):
        words.append(f"{STALE}: no longer fresh")
    if any(row.offer.excluded_because for row in answer.offers):
        words.append(f"{NO_CANDIDATE}: never chosen, --json says why")
    if len(classes) > 1 and PriceClass.LIST.value in classes:
        words.append(f"{BUNDLED}: from the bundled list")
    if marks := explain_marks(row.offer for row in answer.offers):
        words.append(marks)
    return " · ".join(words)


def _joined(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
