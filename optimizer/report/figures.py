"""Figures as people read them: dollars, hours, GiB, rounded so that no digit claims more than is known."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

MICRO = 1_000_000
NANO = 1_000_000_000
CENT = 10_000
"""Micro-dollars."""
KIB, MIB, GIB = 2.0**10, 2.0**20, 2.0**30
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
UNKNOWN = "unknown"


def format_dollars(usd_micro: int | None) -> str:
    """Return micro-dollars as "$14.66", from $1,000 on without cents, from a million on as "$2.70M".

    An amount that is not zero never reads as zero: below half a cent it is "<$0.01". None is "unknown".
    """
    if usd_micro is None:
        return UNKNOWN
    sign = "-" if usd_micro < 0 else ""
    usd = abs(usd_micro) / MICRO
    if usd == 0:
        return "$0"
    if usd < 0.005:
        return f"{sign}<$0.01"
    if usd < 999.995:
        return f"{sign}${usd:.2f}"
    if usd < 999_999.5:
        return f"{sign}${usd:,.0f}"
    return f"{sign}${usd / 1e6:,.2f}M"


def format_cents(usd_micro: int) -> str:
    """Return micro-dollars to the cent, "$1,234.56"."""
    sign = "-" if usd_micro < 0 else ""
    return f"{sign}${abs(usd_micro) / MICRO:,.2f}"


def round_to_cents(parts_usd_micro: Sequence[int]) -> list[int]:
    """Return the parts of a sum in micro-dollars, each a whole number of cents, adding up to their rounded sum.

    Each is rounded down, and the cents that are missing go to the largest remainders.
    """
    cents = [part // CENT for part in parts_usd_micro]
    missing = round(sum(parts_usd_micro) / CENT) - sum(cents)
    order = sorted(range(len(cents)), key=lambda at: (-(parts_usd_micro[at] % CENT), at))
    for at in order[:missing]:
        cents[at] += 1
    return [cent * CENT for cent in cents]


def format_hourly(usd_per_hour: float) -> str:
    """Return a price per hour: two decimals, more below ten cents ("$0.0045")."""
    if usd_per_hour == 0:
        return "$0"
    return f"${usd_per_hour:,.2f}" if abs(usd_per_hour) >= 0.1 else f"${usd_per_hour:.3g}"


def format_price(nano: int, currency: str) -> str:
    """Return billionths an hour as `format_hourly` does; a currency other than the dollar stands behind it."""
    text = format_hourly(nano / NANO)
    return text if currency == "USD" else f"{text.removeprefix('$')} {currency}"


def format_range(low: str, high: str) -> str:
    """Return "low – high", or the one value when both read the same."""
    return low if low == high else f"{low} – {high}"


def format_span(seconds: float, *, like: float | None = None) -> str:
    """Return a duration in the unit a person would use: 45 s, 12.5 min, 14.1 h, 6.2 days.

    `like` is another duration, whose unit is taken: for figures that stand side by side.
    """
    if not math.isfinite(seconds):
        return UNKNOWN
    if seconds < 0:
        return "-" + format_span(-seconds)
    value, unit = _span(seconds, seconds if like is None else like)
    return f"{value} {unit}"


def format_span_range(low_s: float, high_s: float) -> str:
    """Return "11.2 – 18.0 h": both ends in the unit of the upper one."""
    if not (math.isfinite(low_s) and math.isfinite(high_s)):
        return UNKNOWN
    low, unit = _span(low_s, high_s)
    high, _ = _span(high_s, high_s)
    return f"{low} {unit}" if low == high else f"{low} – {high} {unit}"


def _span(seconds: float, scale: float) -> tuple[str, str]:
    """Return the number and the unit of `seconds`, the unit taken from `scale`."""
    if scale < 90:
        return f"{seconds:.0f}", "s"
    if scale < 90 * MINUTE:
        return _short(seconds / MINUTE), "min"
    if scale < 72 * HOUR:
        return _short(seconds / HOUR), "h"
    return _short(seconds / DAY), "days"


def _short(value: float) -> str:
    """Return `value` with one decimal below 100, none above, thousands separated."""
    return f"{value:.1f}" if abs(value) < 99.95 else f"{value:,.0f}"


def format_gib(size_bytes: float) -> str:
    """Return bytes as "17.2 GiB" (2^30); below 0.1 GiB in MiB, so that small is not zero. NaN is "unknown"."""
    if not math.isfinite(size_bytes):
        return UNKNOWN
    if size_bytes == 0:
        return "0"
    if abs(size_bytes) < 0.1 * GIB:
        mib = size_bytes / MIB
        return f"{mib:.0f} MiB" if abs(mib) >= 1 else f"{size_bytes / KIB:.0f} KiB"
    return f"{_short(size_bytes / GIB)} GiB"


def format_gib_range(low_bytes: float, high_bytes: float) -> str:
    """Return "15.9 – 17.2 GiB"."""
    if min(low_bytes, high_bytes) < 0.1 * GIB:
        return format_range(format_gib(low_bytes), format_gib(high_bytes))
    low, high = _short(low_bytes / GIB), _short(high_bytes / GIB)
    return f"{low} GiB" if low == high else f"{low} – {high} GiB"


def format_count(count: float) -> str:
    """Return a count with three digits: 13,300 stays, 53_200_000 becomes "53.2M", 8.03e9 "8.03B"."""
    if not math.isfinite(count):
        return UNKNOWN
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if abs(count) >= size * 0.9995:
            return f"{_three_digits(count / size)}{letter}"
    return f"{count:,.0f}"


def format_rate(per_second: float) -> str:
    """Return a rate with three significant digits and thousands separated: 1,010 or 84.2."""
    if not math.isfinite(per_second):
        return UNKNOWN
    if per_second >= 1000:
        step = 10 ** (math.floor(math.log10(per_second)) - 2)
        return f"{round(per_second / step) * step:,.0f}"
    return _three_digits(per_second)


def _three_digits(value: float) -> str:
    size = abs(value)
    if size >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 9.995 else f"{value:.2f}"


def format_ppm(ppm: int) -> str:
    """Return a probability in parts per million as per cent. A forecast is never certain: 100 % reads ">99.9 %"."""
    percent = ppm / 10_000
    if percent > 99.9:
        return ">99.9 %"
    if percent < 0.1:
        return "<0.1 %"
    return f"{percent:.1f} %" if (percent < 10 or percent > 90) and percent != round(percent) else f"{percent:.0f} %"


def format_ppm_briefly(ppm: int) -> str:
    """Return a probability as whole per cent for tables, rounded down; never 0 % nor 100 %."""
    if ppm >= 990_000:
        return ">99 %"
    return "<1 %" if ppm < 10_000 else f"{ppm // 10_000} %"


def format_span_briefly(seconds: float) -> str:
    """Return a duration for tables: "67 min", "5.3 h"; one decimal only where it says something."""
    text = format_span(seconds)
    number, _, unit = text.partition(" ")
    return f"{float(number):.0f} {unit}" if unit == "min" and float(number) >= 10 else text


def format_percent(fraction: float) -> str:
    """Return a fraction (0 to 1) as whole per cent; what is not nothing does not read 0 %."""
    if not math.isfinite(fraction):
        return UNKNOWN
    return "<1 %" if 0 < fraction < 0.005 else f"{100 * fraction:.0f} %"


def format_moment(moment: datetime) -> str:
    """Return an aware UTC time as "Mon 23 Nov 2026 09:00 UTC"."""
    return f"{WEEKDAYS[moment.weekday()]} {moment.day} {MONTHS[moment.month - 1]} {moment:%Y %H:%M} UTC"


def format_day(moment: datetime) -> str:
    """Return the day as "2026-05-20"."""
    return f"{moment:%Y-%m-%d}"


WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# Names of days and months are written here because strftime's depend on the locale of the machine.


def format_age(seconds: float) -> str:
    """Return how old something is: "35 min", "7 h", "186 days"."""
    if seconds < 2 * HOUR:
        return f"{max(0.0, seconds) / MINUTE:.0f} min"
    if seconds < 2 * DAY:
        return f"{seconds / HOUR:.0f} h"
    return f"{seconds / DAY:.0f} days"


def format_age_range(youngest_s: float, oldest_s: float) -> str:
    """Return "95 – 182 days": the unit of the older one, once where both share it."""
    youngest, oldest = format_age(youngest_s), format_age(oldest_s)
    if youngest == oldest:
        return oldest
    number, _, unit = youngest.partition(" ")
    return f"{number} – {oldest}" if oldest.endswith(" " + unit) else f"{youngest} – {oldest}"


def plural(count: int, noun: str) -> str:
    """Return "1 offer", "1,234 offers"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def format_small_span(seconds: float) -> str:
    """Return a duration that may be short, in three digits: "34.6 ms", "1.23 s", then as `format_span`."""
    if not math.isfinite(seconds):
        return UNKNOWN
    if seconds < 0.9995:
        return f"{_three_digits(1000 * seconds)} ms"
    return f"{_three_digits(seconds)} s" if seconds < 90 else format_span(seconds)


def format_in_unit(value: float, unit: str) -> str:
    """Return a figure of a limit in people's units; `unit` is one of the constraints': s, bytes, usd_micro, GPUs."""
    if not math.isfinite(value):
        return "no limit" if value > 0 else UNKNOWN
    if unit == "s":
        return format_span(value)
    if unit == "bytes":
        return format_gib(value)
    if unit == "usd_micro":
        return format_dollars(round(value))
    return f"{value:,.4g} {unit}".rstrip()
