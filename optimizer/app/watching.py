"""Whoever watches a refresh: several at once, none of which can harm it, or is told anything once it is over."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from cache.fetching import Watcher


class Watchers:
    """Tells all of them, one at a time, from whatever thread; threads that are left behind tell nobody any more."""

    def __init__(self, *watchers: Watcher) -> None:
        """An error of one of them (a closed stderr, a full disk) is that one's affair."""
        self._watchers = watchers
        self._guard = threading.Lock()
        self._over = False

    def started(self, provider: str, parts: int) -> None:
        """Pass it on."""
        self._each(lambda one: one.started(provider, parts))

    def progress(self, provider: str, line: str) -> None:
        """Pass it on."""
        self._each(lambda one: one.progress(provider, line))

    def part_done(self, provider: str, part: str, error: str) -> None:
        """Pass it on."""
        self._each(lambda one: one.part_done(provider, part, error))

    def finished(self, provider: str, error: str) -> None:
        """Pass it on."""
        self._each(lambda one: one.finished(provider, error))

    def close(self) -> None:
        """Tell nobody any more."""
        with self._guard:
            self._over = True

    def _each(self, tell: Callable[[Watcher], None]) -> None:
        with self._guard:
            for one in () if self._over else self._watchers:
                try:
                    tell(one)
                except (OSError, ValueError):  # ValueError: it was closed
                    continue
