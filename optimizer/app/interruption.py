"""Ctrl-C and SIGTERM during a refresh: at once while it fetches, after the commit while it publishes."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """What the user's wish to stop does. `stored`: prices are stored, so it comes too late to leave all as it was."""

    def __init__(self) -> None:
        """Nothing is watched yet."""
        self.stored = False
        self.late = False
        """A signal came while it was held off."""
        self._held = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Raise KeyboardInterrupt for SIGTERM as for SIGINT; outside the main thread signals are not ours to watch."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        # A signal that is ignored (nohup, a shell's background job) stays ignored.
        before = {number: signal.getsignal(number) for number in SIGNALS}
        watched = [number for number in SIGNALS if before[number] not in {signal.SIG_IGN, None}]
        try:
            for number in watched:
                signal.signal(number, self._handle)
            yield
        finally:
            for number in watched:
                signal.signal(number, before[number])

    @contextmanager
    def publishing(self, *, keep: bool) -> Iterator[None]:
        """Hold signals off until everything is committed; without `keep` nothing is stored (a dry run)."""
        self.stored = keep
        with self.holding():
            yield

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Hold signals off: what comes meanwhile is noted, and comes too late."""
        self._held = True
        try:
            yield
        finally:
            self._held = False

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self._held:
            self.late = True
            return
        raise KeyboardInterrupt
