"""Parse and format what people write: memory sizes, durations, moments.

Inside the program sizes are bytes, spans are seconds and moments are aware UTC datetimes; these functions stand at
the edges. Parsers raise ValueError with a message that says what is allowed; the caller adds file and key.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

KB, MB, GB, TB = 10**3, 10**6, 10**9, 10**12
KIB, MIB, GIB, TIB = 2**10, 2**20, 2**30, 2**40

SIZE_UNITS: dict[str, int] = {
    "b": 1, "kb": KB, "mb": MB, "gb": GB, "tb": TB, "kib": KIB, "mib": MIB, "gib": GIB, "tib": TIB,
}  # fmt: skip
"""Decimal units (GB) and binary units (GiB) are different sizes, never synonyms."""

DURATION_UNITS: dict[str, int] = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}

MAX_BYTES = 10**18
"""An exabyte: nothing that is rented by the hour holds more, so more is a typing error."""
MAX_SECONDS = 20 * 366 * 86_400
"""Twenty years: a longer run or deadline is a typing error."""

SIZE_ALLOWED = "a number and a unit, B KB MB GB TB (powers of 1000) or KiB MiB GiB TiB (powers of 1024), such as 40GB"
DURATION_ALLOWED = "days, hours, minutes and seconds, such as 36h, 1d12h or 90m, at most 20 years"
MOMENT_ALLOWED = "a date and time with its zone, such as 2026-12-01T08:00Z or 2026-12-01T08:00+01:00"

_NUMBER = r"(?:\d{1,18}(?:\.\d{1,18})?|\.\d{1,18})"
_SIZE = re.compile(rf"\s*({_NUMBER})\s*([a-z]+)\s*", re.IGNORECASE | re.ASCII)
_DURATION = re.compile(
    rf"\s*(?:({_NUMBER})d)?\s*(?:({_NUMBER})h)?\s*(?:({_NUMBER})m)?\s*(?:({_NUMBER})s)?\s*", re.IGNORECASE | re.ASCII
)
_MOMENT = re.compile(
    r"\s*(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?)\s*(Z|[+-]\d{2}:?\d{2})\s*",
    re.IGNORECASE | re.ASCII,
)


def parse_size(text: str) -> int:
    """Return the size in bytes, rounded to a whole byte: `40GB` is 40 * 10**9, `40GiB` 40 * 2**30.

    A unit is required, because a bare number hides which of the two is meant. Raises ValueError.
    """
    match = _SIZE.fullmatch(text)
    unit = SIZE_UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise ValueError(SIZE_ALLOWED)
    size = round(Decimal(match[1]) * unit)
    if size > MAX_BYTES:
        raise ValueError(f"{SIZE_ALLOWED}, at most 1000000TB")
    return size


def format_bytes(size: float, *, unit: str = "GiB", digits: int = 1) -> str:
    """Return `size` bytes for a reader, "79.3 GiB"; smaller than a tenth of the unit falls back to MiB or B.

    Rounded: `format_size` is the exact form that `parse_size` reads back.
    """
    if unit.lower() not in SIZE_UNITS:
        raise ValueError(f"unit {unit!r} is none of {', '.join(SIZE_UNITS)}")
    scale = SIZE_UNITS[unit.lower()]
    if size and abs(size) < 0.1 * scale and scale > MIB:
        smaller = "MiB" if "i" in unit.lower() else "MB"
        return format_bytes(size, unit=smaller, digits=digits)
    if size and abs(size) < 0.1 * scale and scale > 1:
        return f"{size:.0f} B"
    return f"{size / scale:,.{digits}f} {unit}"


def format_size(size: int) -> str:
    """Return the shortest exact form that `parse_size` reads back to the same number of bytes."""
    if size < 0:
        raise ValueError(f"size {size} is negative")
    for unit in ("TiB", "TB", "GiB", "GB", "MiB", "MB", "KiB", "kB"):
        scale = SIZE_UNITS[unit.lower()]
        if size and size % scale == 0:
            return f"{size // scale}{unit}"
    return f"{size}B"


def parse_duration(text: str) -> float:
    """Return the span in seconds: `36h`, `1d12h`, `90m`, `1.5h`, `45s`, units in falling order.

    A unit is required. Raises ValueError for anything else, for zero, and for more than 20 years.
    """
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        raise ValueError(DURATION_ALLOWED)
    parts = zip(match.groups(), DURATION_UNITS.values(), strict=True)
    seconds = sum((Decimal(number) * scale for number, scale in parts if number), Decimal(0))
    if not 0 < seconds <= MAX_SECONDS:
        raise ValueError(f"{DURATION_ALLOWED}, more than zero")
    return float(seconds)


def format_duration(seconds: float) -> str:
    """Return a span for a reader and for `parse_duration`, rounded to whole seconds: "1d12h", "2h05m", "45s".

    Zero parts at the end are left out, so whole seconds survive a round trip unchanged.
    """
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"duration {seconds} s is not a finite number of at least 0")
    rest = round(seconds)
    if rest == 0:
        return "0s"
    numbers: list[tuple[int, str]] = []
    for unit, scale in DURATION_UNITS.items():
        number, rest = divmod(rest, scale)
        numbers.append((number, unit))
    while numbers[0][0] == 0:
        numbers.pop(0)
    while numbers[-1][0] == 0:
        numbers.pop()
    first, *others = numbers
    return f"{first[0]}{first[1]}" + "".join(f"{number:02d}{unit}" for number, unit in others)


def parse_moment(text: str) -> datetime:
    """Return the moment as an aware datetime in UTC. A time without a zone is refused: it names no moment.

    Raises ValueError for a missing zone, an impossible date, or a shape other than MOMENT_ALLOWED.
    """
    match = _MOMENT.fullmatch(text)
    if match is None:
        raise ValueError(MOMENT_ALLOWED)
    zone = "+00:00" if match[3].upper() == "Z" else match[3]
    try:
        return datetime.fromisoformat(f"{match[1]}T{match[2]}{zone}").astimezone(UTC)
    except (ValueError, OverflowError) as err:
        raise ValueError(f"{MOMENT_ALLOWED} ({err})") from err


def format_moment(moment: datetime) -> str:
    """Return the moment in UTC, "2026-12-01T08:00Z", with seconds only where there are any. Naive is refused."""
    if moment.tzinfo is None:
        raise ValueError(f"moment {moment} has no time zone")
    utc = moment.astimezone(UTC)
    precision = "microseconds" if utc.microsecond else "seconds" if utc.second else "minutes"
    return utc.replace(tzinfo=None).isoformat(timespec=precision) + "Z"


def parse_deadline(text: str, *, now: datetime) -> datetime:
    """Return the aware UTC moment that a deadline names: a moment, or a span counted from `now`.

    Raises ValueError for a deadline that is not after `now`, or that is neither a moment nor a span.
    """
    if re.match(r"\s*\d{4}-", text):
        moment = parse_moment(text)
        if moment <= now:
            raise ValueError(f"a moment after now ({format_moment(now)})")
        if moment - now > timedelta(seconds=MAX_SECONDS):
            raise ValueError("a moment within the next 20 years")
        return moment
    try:
        return now.astimezone(UTC) + timedelta(seconds=parse_duration(text))
    except ValueError as err:
        raise ValueError(f"{DURATION_ALLOWED}; or {MOMENT_ALLOWED}") from err
