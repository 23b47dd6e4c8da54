"""Availability traces: whether spot machines could be had in a zone, sampled at equal steps, with prices if known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from optimizer.physics.runs import Bools, Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One stretch of time without a gap, n samples `step_s` seconds apart."""

    start: datetime | None
    step_s: float
    available: Bools
    """Shape (n,)."""
    spot_micro_per_h: Floats | None
    """Micro-dollars per instance-hour, shape (n,); None where the trace has no prices."""

    @property
    def span_s(self) -> float:
        """How long the window is, in seconds."""
        return float(self.step_s * self.available.shape[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What was observed in one zone, with the source of the observations."""

    zone: str
    instance: str
    source: str
    windows: tuple[Window, ...]


def stitched(windows: Sequence[Window]) -> tuple[Window, ...]:
    """Return windows of one zone joined where they overlap or touch, in the order of time.

    Published windows are cut from one record: joined again they hold longer runs. A sample that two windows have is
    taken from the later one. Windows without a moment, or with another step, stay as they are, after the joined ones.
    """
    dated = sorted((one for one in windows if one.start is not None), key=_start)
    loose = [one for one in windows if one.start is None]
    groups: list[list[Window]] = []
    # Samples from the start of the last group to its end: a window that begins no later goes on with it.
    length = 0
    for window in dated:
        if groups and _alike(groups[-1][0], window) and _position(groups[-1][0], window) <= length:
            groups[-1].append(window)
        else:
            groups.append([window])
            length = 0
        length = max(length, _position(groups[-1][0], window) + window.available.shape[0])
    return (*(_joined(group) for group in groups), *loose)


def _start(window: Window) -> float:
    return 0.0 if window.start is None else window.start.timestamp()


def _alike(first: Window, window: Window) -> bool:
    return window.step_s == first.step_s and (window.spot_micro_per_h is None) == (first.spot_micro_per_h is None)


def _position(first: Window, window: Window) -> int:
    """Return the sample of a group at which a window begins: the nearest, because starts are rounded to seconds."""
    return round((_start(window) - _start(first)) / first.step_s)


def _joined(group: Sequence[Window]) -> Window:
    if len(group) == 1:
        return group[0]
    first = group[0]
    at = [_position(first, one) for one in group]
    length = max(position + one.available.shape[0] for position, one in zip(at, group, strict=True))
    available = np.zeros(length, dtype=np.bool_)
    prices = np.full(length, np.nan)
    for position, one in zip(at, group, strict=True):
        part = slice(position, position + one.available.shape[0])
        available[part] = one.available
        if one.spot_micro_per_h is not None:
            prices[part] = one.spot_micro_per_h
    priced = first.spot_micro_per_h is not None
    return Window(
        start=first.start, step_s=first.step_s, available=available, spot_micro_per_h=prices if priced else None
    )


def episodes_of(windows: Sequence[Window], *, span_s: float, every_s: float) -> list[Window]:
    """Return the parts of windows that are `span_s` long, one at each multiple of `every_s` from a window's start."""
    found = []
    for window in windows:
        steps = int(np.ceil(span_s / window.step_s - 1e-9))
        stride = max(round(every_s / window.step_s), 1)
        for at in range(0, window.available.shape[0] - steps + 1, stride):
            part = slice(at, at + steps)
            prices = window.spot_micro_per_h
            found.append(
                Window(
                    start=window.start,
                    step_s=window.step_s,
                    available=window.available[part],
                    spot_micro_per_h=None if prices is None else prices[part],
                )
            )
    return found
