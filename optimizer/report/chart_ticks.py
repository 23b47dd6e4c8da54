"""Where the ticks of an axis stand: round figures for prices, round dates for moments."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

NANO_DIGITS = 9
HOUR_S, DAY_S = 3600, 86_400
TIME_STEPS_S = (
    *(hours * HOUR_S for hours in (1, 3, 6, 12)),
    *(days * DAY_S for days in (1, 2, 7, 14, 28, 91, 182, 364, 728, 1820)),
)
"""Spans between two ticks on a time axis; weeks rather than months, which are not alike."""


def price_ticks(low: int, high: int, *, most: int = 5) -> list[int]:
    """Return round prices (1, 2 or 5 times a power of ten) within low and high, in the unit of both."""
    if high <= low:
        return [low]
    step = 1
    while True:
        for factor in (1, 2, 5):
            if (high - low) // (step * factor) < most:
                first = -(-low // (step * factor))
                return [at * step * factor for at in range(first, high // (step * factor) + 1)]
        step *= 10


def tick_labels(ticks: list[int], currency: str) -> list[str]:
    """Return billionths as "$2.50" (or "2.50 EUR"), all with the decimals that the finest of them needs."""
    exact = [Decimal(tick).scaleb(-NANO_DIGITS).normalize() for tick in ticks]
    decimals = max([2, *(-int(value.as_tuple().exponent) for value in exact)])
    texts = [f"{value:,.{decimals}f}" for value in exact]
    return [f"${text}" if currency == "USD" else f"{text} {currency}" for text in texts]


def time_ticks(start: datetime, end: datetime, *, most: int = 7) -> list[datetime]:
    """Return round moments (UTC) within the window; at least its beginning."""
    span = (end - start).total_seconds()
    step = next((step for step in TIME_STEPS_S if span / step < most), TIME_STEPS_S[-1])
    first = -(-int(start.timestamp()) // step) * step
    moments = [datetime.fromtimestamp(at, UTC) for at in range(first, int(end.timestamp()) + 1, step)]
    return moments or [start]


def moment_label(moment: datetime, *, within: timedelta) -> str:
    """Return the day, with the time of day where the whole axis is short."""
    return f"{moment:%m-%d %H:%M}" if within < timedelta(days=3) else f"{moment:%Y-%m-%d}"
