"""The price of the deadline as a person reads it: one hour more, one hour less, and what an hour is worth elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.search.wording import span

from .figures import HOUR, format_dollars, format_moment, format_span
from .table import Column, format_heading, format_paragraph, format_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.search.deadline_price import DeadlinePrice, DeadlineStretch
    from optimizer.search.results import Plan

    from .style import Style


CENT_MICRO = 10_000


def deadline_lines(price: DeadlinePrice | None, stretches: Sequence[DeadlineStretch], style: Style) -> list[str]:
    """Return the section on the price of the deadline; nothing where time buys nothing and no deadline is set."""
    if price is None and not stretches:
        return []
    lines = [format_heading("Price of the deadline", "the cheapest run in time, for each deadline", style)]
    if price is not None:
        lines += format_paragraph(describe_deadline_price(price), style)
    columns = [
        Column(title="deadline in"),
        Column(title="cheapest run"),
        Column(title="more time saves", right=True),
    ]
    rows = [
        [
            f"{span(one.from_s)} – {span(one.to_s)}",
            f"{format_dollars(one.from_usd_micro)} – {format_dollars(one.to_usd_micro)}",
            _saving(one),
        ]
        for one in stretches
    ]
    return [*lines, *(format_table(columns, rows, style) if rows else [])]


def _saving(stretch: DeadlineStretch) -> str:
    """Return "$0.35 an hour"; of a stretch that is over within the hour what all of it saves, "$0.24 in 41m12s"."""
    length_s = stretch.to_s - stretch.from_s
    if length_s >= HOUR:
        return f"{format_dollars(stretch.usd_micro_per_hour)} an hour"
    return f"{format_dollars(stretch.from_usd_micro - stretch.to_usd_micro)} in {span(max(1.0, length_s))}"


def describe_deadline_price(price: DeadlinePrice) -> str:
    """Return "One hour more saves $1.05; one hour less costs $3.10 more." with what comes next, in sentences."""
    if price.cost_usd_micro is None:
        if price.next_saving_at is None:
            return "No deadline, however late, makes it possible: other limits are in the way."
        return (
            f"Nothing is in time. A deadline {format_span(price.next_saving_after_s or 0.0)} later "
            f"({format_moment(price.next_saving_at)}) makes it possible, "
            f"for {format_dollars(price.next_cost_usd_micro)}."
        )
    return f"{_more(price)}; {_less(price)}."


def describe_confidence_prices(plan: Plan) -> str:
    """Return what other confidences than the one asked for cost: "95 % costs $0.12 more, 50 % saves nothing"."""
    prices = {one.confidence_ppm: one.cost_usd_micro for one in plan.confidence_prices}
    asked = prices.get(plan.job.confidence_ppm)
    if asked is None:
        return ""
    if all(cost is not None and abs(cost - asked) < CENT_MICRO for cost in prices.values()):
        return f"any confidence from {min(prices) / 1e4:g} to {max(prices) / 1e4:g} % costs the same"
    return ", ".join(
        f"{ppm / 1e4:g} % {_against(cost, asked)}" for ppm, cost in prices.items() if ppm != plan.job.confidence_ppm
    )


def _against(cost: int | None, asked: int) -> str:
    if cost is None:
        return "is out of reach"
    if abs(cost - asked) < CENT_MICRO:
        return "costs the same"
    return f"costs {format_dollars(cost - asked)} more" if cost > asked else f"saves {format_dollars(asked - cost)}"


def _more(price: DeadlinePrice) -> str:
    saved = price.saved_by_one_hour_more_usd_micro
    if saved:
        return f"One hour more saves {format_dollars(saved)}{_first(price)}"
    if price.next_saving_after_s is None:
        return "More time saves nothing: the cheapest of all is in time"
    when = "" if price.next_saving_at is None else f" ({format_moment(price.next_saving_at)})"
    return (
        f"One hour more saves nothing; {format_span(price.next_saving_after_s)} more{when} "
        f"saves {format_dollars(price.next_saving_usd_micro)}"
    )


def _first(price: DeadlinePrice) -> str:
    """Return what a part of that hour saves already, where it is only a part."""
    after_s = price.next_saving_after_s
    if (
        after_s is None
        or after_s > 0.98 * HOUR
        or price.next_saving_usd_micro == price.saved_by_one_hour_more_usd_micro
    ):
        return "" if after_s is None or after_s > 0.98 * HOUR else f", as {format_span(after_s)} do"
    return f", {format_span(after_s)} already {format_dollars(price.next_saving_usd_micro)}"


def _less(price: DeadlinePrice) -> str:
    cost = price.cost_of_one_hour_less_usd_micro
    if cost is None:
        return "with one hour less nothing is in time"
    return "one hour less costs nothing" if cost == 0 else f"one hour less costs {format_dollars(cost)} more"
