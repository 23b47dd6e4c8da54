"""Reads availability traces: JSON of windows, JSON of one series, or CSV. Every defect is one line that names it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from optimizer.search.spot.trace import Trace, Window
from providers.errors import JobError, one_line

from .opening import read_at_most
from .trace_csv import windows_of_csv
from .trace_values import MOST_WINDOWS, Place, flags_of, prices_of, step_of

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGEST_BYTES = 64 * 2**20
ONES = ("available", "lost")
"""What a 1 may mean in a file of one series: published files of that shape disagree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceFile:
    """A trace, and what a reader should know of how it was read."""

    path: str
    trace: Trace
    notes: tuple[str, ...]


def read_trace(path: Path | str, *, ones: str | None = None) -> TraceFile:
    """Return the trace of a file. `ones` says what 1 means in a file of one series ("available" or "lost").

    Raises JobError naming file, window, key, value and what is allowed.
    """
    shown = str(path)
    if ones is not None and ones not in ONES:
        raise JobError(where="command line", key="ones", value=ones, allowed=f"one of {', '.join(ONES)}")
    text = _text(Path(path), shown)
    if text.lstrip()[:1] not in {"{", "["}:
        windows, notes = windows_of_csv(text, where=shown)
        trace = Trace(zone=Path(path).stem, instance="", source="", windows=windows)
        return TraceFile(path=shown, trace=trace, notes=notes)
    document = _document(text, shown)
    if "windows" in document:
        return _windowed(document, shown)
    if "data" in document and "metadata" in document:
        return _series(document, shown, ones)
    raise JobError(
        where=shown,
        key="document",
        value=", ".join(sorted(document)[:5]) or "an empty object",
        allowed='an object with "windows", or with "metadata" and "data"',
    )


def _text(path: Path, shown: str) -> str:
    try:
        data = read_at_most(path, LARGEST_BYTES + 1)
        if len(data) > LARGEST_BYTES:
            raise JobError(
                where=shown, key="file", value=shown, allowed=f"a file of at most {LARGEST_BYTES // 2**20} MiB"
            )
        text = data.decode("utf-8-sig")
    except OSError as err:
        reason = err.strerror or type(err).__name__
        raise JobError(where="trace", key="path", value=shown, allowed=f"a readable file ({reason})") from err
    except UnicodeDecodeError as err:
        raise JobError(where=shown, key="file", value=shown, allowed="UTF-8 text, JSON or CSV") from err
    if not text.strip():
        raise JobError(where=shown, key="file", value="", allowed="a trace: the file is empty")
    return text


def _document(text: str, shown: str) -> dict[str, object]:
    try:
        value: object = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except RecursionError as err:
        raise JobError(where=shown, key="file", value=shown, allowed="JSON that is not nested without end") from err
    except ValueError as err:
        raise JobError(where=shown, key="file", value=shown, allowed=f"readable JSON ({one_line(str(err))})") from err
    if not isinstance(value, dict):
        raise JobError(where=shown, key="document", value="a list", allowed="an object")
    return value


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {one_line(twice)!r} stands twice in one object")
    return found


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _windowed(document: dict[str, object], shown: str) -> TraceFile:
    windows = document["windows"]
    top = Place(where=shown, at="")
    if not isinstance(windows, list) or not 0 < len(windows) <= MOST_WINDOWS:
        top.refuse("windows", windows, f"a list of 1 to {MOST_WINDOWS} windows")
    read = [_window(one, Place(where=shown, at=f"windows[{at}]")) for at, one in enumerate(windows)]
    kept = _once(read)
    again = len(read) - len(kept)
    verbs = "repeats another and is" if again == 1 else "repeat others and are"
    note = f"{shown}: {again} of {len(read)} windows {verbs} left out."
    trace = Trace(
        zone=_name(document, "zone", top) or Path(shown).stem,
        instance=_name(document, "instance", top),
        source=_name(document, "source", top),
        windows=kept,
    )
    return TraceFile(path=shown, trace=trace, notes=(note,) if again else ())


def _window(value: object, place: Place) -> Window:
    if not isinstance(value, dict):
        place.refuse("", value, "an object")
    available = flags_of(value.get("available"), place.inner("available"))
    prices = value.get("spot_usd_per_hour")
    return Window(
        start=_start(value.get("start_time"), place),
        step_s=step_of(value.get("gap_seconds"), place.inner("gap_seconds")),
        available=available,
        spot_micro_per_h=None
        if prices is None
        else prices_of(prices, place.inner("spot_usd_per_hour"), count=available.shape[0]),
    )


def _start(value: object, place: Place) -> datetime | None:
    """Return a window's moment; one without a zone is UTC."""
    if value is None:
        return None
    allowed = "a moment such as 2026-11-24T03:00:00Z, or null"
    if not isinstance(value, str):
        place.refuse("start_time", value, allowed)
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        place.refuse("start_time", value, allowed)


def _once(windows: Sequence[Window]) -> tuple[Window, ...]:
    """Return the windows without those that repeat another: published files hold some, and they would count twice."""
    found: dict[tuple[object, ...], Window] = {}
    for at, window in enumerate(windows):
        prices = b"" if window.spot_micro_per_h is None else window.spot_micro_per_h.tobytes()
        key = (at,) if window.start is None else (window.start, window.step_s, window.available.tobytes(), prices)
        found.setdefault(key, window)
    return tuple(found.values())


def _series(document: dict[str, object], shown: str, ones: str | None) -> TraceFile:
    place = Place(where=shown, at="")
    if ones is None:
        place.refuse(
            "data", document["data"], "with --ones available or --ones lost: files of this shape use 1 for either"
        )
    metadata = document["metadata"]
    if not isinstance(metadata, dict):
        place.refuse("metadata", metadata, "an object with gap_seconds")
    flags = flags_of(document["data"], place.inner("data"))
    window = Window(
        start=None,
        step_s=step_of(metadata.get("gap_seconds"), place.inner("metadata.gap_seconds")),
        available=flags if ones == "available" else np.logical_not(flags),
        spot_micro_per_h=None,
    )
    trace = Trace(zone=Path(shown).stem, instance="", source="", windows=(window,))
    word = "available" if ones == "available" else "not available"
    return TraceFile(path=shown, trace=trace, notes=(f"{shown}: 1 is read as {word}, as --ones says.",))


def _name(document: dict[str, object], key: str, place: Place) -> str:
    value = document.get(key)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > 500 or one_line(value) != value:
        place.refuse(key, value, "a text of one line, at most 500 characters")
    return value
