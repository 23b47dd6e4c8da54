"""Traces as CSV: `time,available[,spot_usd_per_hour]`, one line a sample. Missing samples split a window: a note."""

from __future__ import annotations

import csv
import io
import math
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from optimizer.search.spot.trace import Window

from .trace_values import LONGEST_STEP_S, MOST_SAMPLES, MOST_WINDOWS, SHORTEST_STEP_S, Place, price_of

if TYPE_CHECKING:
    from collections.abc import Sequence

COLUMNS = ("time", "available", "spot_usd_per_hour")
LATEST_S = 4e9
"""Seconds since 1970 that a trace may reach to: the year 2096."""
TOLERANCE = 0.02
"""Share of a step by which a sample may be early or late: clocks are rounded to seconds."""


def windows_of_csv(text: str, *, where: str) -> tuple[tuple[Window, ...], tuple[str, ...]]:
    """Return the windows of a CSV trace, and notes on what was missing. Raises JobError naming line and column.

    The step is the most frequent distance of two lines. A gap of several steps splits the trace in two windows; a
    distance that is no whole number of steps is refused, as are times that do not rise.
    """
    times, flags, prices = _columns(text, where)
    if len(times) < 2:
        Place(where=where, at="").refuse("lines", len(times), "at least two samples")
    distances = np.diff(np.array(times))
    step_s = _step(distances, where)
    steps = distances / step_s
    whole = np.rint(steps)
    for at in np.flatnonzero((np.abs(steps - whole) > TOLERANCE) | (whole < 1.0)):
        Place(where=where, at=f"line {int(at) + 3}").refuse(
            "time", f"{distances[at]:g} s after the line before", f"a whole multiple of the step of {step_s:g} s"
        )
    ends = np.flatnonzero(whole > 1.0) + 1
    if ends.shape[0] >= MOST_WINDOWS:
        allowed = f"at most {MOST_WINDOWS} windows: the trace has a gap at nearly every line"
        Place(where=where, at="").refuse("windows", int(ends.shape[0]) + 1, allowed)
    edges = [0, *(int(end) for end in ends), len(times)]
    windows = tuple(
        Window(
            start=datetime.fromtimestamp(times[first], UTC),
            step_s=step_s,
            available=np.array(flags[first:last], dtype=np.bool_),
            spot_micro_per_h=None if prices is None else np.array(prices[first:last]),
        )
        for first, last in pairwise(edges)
    )
    missing = int((whole[whole > 1.0] - 1.0).sum())
    samples = "sample is" if missing == 1 else "samples are"
    note = f"{where}: {missing} {samples} missing; the trace is split there into {len(windows)} windows."
    return windows, (note,) if missing else ()


def _columns(text: str, where: str) -> tuple[list[float], list[bool], list[float] | None]:
    """Return times (seconds since 1970), samples, and prices in micro-dollars per hour where there are any."""
    rows = csv.reader(io.StringIO(text))
    top = Place(where=where, at="")
    try:
        header = [one.strip() for one in next(rows)]
        if header not in (list(COLUMNS), list(COLUMNS[:2])):
            top.refuse("header", ",".join(header), f"{','.join(COLUMNS[:2])} or {','.join(COLUMNS)}")
        times: list[float] = []
        flags: list[bool] = []
        prices: list[float] = []
        for line, row in enumerate(rows, start=2):
            if not row:
                continue
            place = Place(where=where, at=f"line {line}")
            if len(row) != len(header):
                place.refuse("columns", len(row), f"{len(header)}, as in the header")
            if len(times) >= MOST_SAMPLES:
                top.refuse("lines", line, f"at most {MOST_SAMPLES} samples")
            times.append(_time(row[0].strip(), place))
            flags.append(_flag(row[1].strip(), place))
            if len(header) == len(COLUMNS):
                prices.append(price_of(_number(row[2]), place.inner("spot_usd_per_hour")))
            if len(times) > 1 and times[-1] <= times[-2]:
                place.refuse("time", row[0], "later than the line before: every sample once, in order")
    except csv.Error as err:
        top.refuse("file", str(err), "CSV")
    return times, flags, prices if len(header) == len(COLUMNS) else None


def _time(text: str, place: Place) -> float:
    """Return seconds since 1970 from a moment (without a zone: UTC) or from seconds."""
    number = _number(text)
    try:
        if isinstance(number, float):
            seconds = number
        else:
            moment = datetime.fromisoformat(text)
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        seconds = math.nan
    if not abs(seconds) <= LATEST_S:
        place.refuse("time", text, "a moment such as 2026-11-24T03:00:00Z, or seconds")
    return seconds


def _flag(text: str, place: Place) -> bool:
    if text not in {"0", "1"}:
        place.refuse("available", text, "0 or 1")
    return text == "1"


def _number(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text.strip()


def _step(distances: Sequence[float] | np.ndarray[tuple[int], np.dtype[np.float64]], where: str) -> float:
    values, counts = np.unique(np.rint(distances), return_counts=True)
    step_s = float(values[int(counts.argmax())])
    if not SHORTEST_STEP_S <= step_s <= LONGEST_STEP_S:
        Place(where=where, at="").refuse(
            "time", f"{step_s:g} s between two lines", f"{SHORTEST_STEP_S} to {LONGEST_STEP_S} s"
        )
    return step_s
