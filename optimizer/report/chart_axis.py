"""One axis of a chart: where a value lies, and the round figures that are written on it. Logarithmic where useful."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .figures import DAY, HOUR, MICRO, MINUTE

LOG_FROM = 6.0
"""An axis whose ends are further apart than this factor is logarithmic."""
MOST_TICKS = 8
SPANS_S = (
    *(float(seconds) for seconds in (1, 2, 5, 10, 30)),
    *(minutes * MINUTE for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * HOUR for hours in (1, 2, 3, 6, 12)),
    *(days * DAY for days in (1, 2, 4, 7, 14, 30, 60, 180, 365, 730, 1825, 3650)),
)
"""Round durations, for ticks of a time axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """Values from `low` to `high` along pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    log: bool

    def place(self, value: float) -> float:
        """Return the pixel of a value; the ends hold what lies beyond."""
        if self.log:
            value = max(value, self.low)
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)


def axis_around(values: list[float], *, start: float, end: float, room: float = 0.06) -> Axis:
    """Return an axis that holds positive values and a little room on both sides. Zero (a price may be) is its end;
    where there is nothing else it reaches to a dollar."""
    low, high = min(values), max(values)
    if low > 0.0 and high / low >= LOG_FROM:
        wider = (high / low) ** room
        return Axis(low=low / wider, high=high * wider, start=start, end=end, log=True)
    spread = (high - low) * 2 * room or high * room or MICRO
    return Axis(low=max(0.0, low - spread), high=high + spread, start=start, end=end, log=False)


def span_ticks(axis: Axis) -> list[float]:
    """Return round durations in seconds on the axis, at most `MOST_TICKS`."""
    if not axis.log:
        steps = [one for one in SPANS_S if (axis.high - axis.low) / one < MOST_TICKS]
        return _multiples(axis, steps[0] if steps else (axis.high - axis.low) / 4)
    return _thinned([one for one in SPANS_S if axis.low <= one <= axis.high])


def money_ticks(axis: Axis) -> list[float]:
    """Return round amounts in micro-dollars on the axis (1, 2 or 5 times a power of ten), at most `MOST_TICKS`."""
    if not axis.log:
        return _multiples(axis, _round_step(axis.high - axis.low))
    first, last = math.floor(math.log10(axis.low)), math.ceil(math.log10(axis.high))
    for factors in ((1, 2, 5), (1, 3), (1,)):
        found = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
        found = [one for one in found if axis.low <= one <= axis.high]
        if len(found) <= MOST_TICKS:
            return found
    return _thinned(found)


def money_label(micro: float) -> str:
    """Return a round amount as "$20", "$0.50", "$1,500", "$2M"."""
    usd = micro / MICRO
    if usd >= 1e6:
        return f"${usd / 1e6:g}M"
    if usd >= 1.0 or usd == 0.0:
        return f"${usd:,.0f}" if float(usd).is_integer() else f"${usd:,.2f}"
    return f"${usd:.2f}" if usd >= 0.01 else f"${usd:.2g}"


def _round_step(width: float) -> float:
    power = 10.0 ** math.floor(math.log10(width / (MOST_TICKS - 1)))
    return next(power * factor for factor in (1, 2, 5, 10, 20) if width / (power * factor) < MOST_TICKS)


def _multiples(axis: Axis, step: float) -> list[float]:
    first = math.ceil(axis.low / step - 1e-9)
    return [at * step for at in range(first, math.floor(axis.high / step + 1e-9) + 1)]


def _thinned(ticks: list[float]) -> list[float]:
    """Return ticks of a logarithmic axis that stand apart: each at least a share of the axis beyond the one before."""
    if len(ticks) <= 2:
        return ticks
    apart = (ticks[-1] / ticks[0]) ** (1.0 / MOST_TICKS) * 1.0001
    kept = [ticks[0]]
    for one in ticks[1:]:
        if one / kept[-1] >= apart:
            kept.append(one)
    return kept
