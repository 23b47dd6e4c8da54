"""How often a source may be asked, and how long to wait before asking again."""

from __future__ import annotations

import random
import re
import threading
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

BACKOFF_FIRST_S = 0.5
BACKOFF_MOST_S = 30.0
DOUBLINGS = 16

_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)


class RateLimit:
    """At most `per_s` requests a second, over all threads: each waits for its turn."""

    def __init__(self, per_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises ValueError for a rate that is not above 0."""
        if not per_s > 0:  # not a number is no rate either
            raise ValueError(f"rate limit {per_s} is not above 0 requests a second")
        self._gap_s = 1.0 / per_s
        self._clock = clock
        self._lock = threading.Lock()
        self._next = -float("inf")

    def wait_s(self) -> float:
        """Take the next turn and return how long to sleep until it, s."""
        with self._lock:
            now = self._clock()
            turn = max(self._next, now)
            self._next = turn + self._gap_s
            return turn - now


def backoff_s(attempt: int, *, jitter: Callable[[], float] = random.random) -> float:
    """Return how long to wait after the `attempt`-th failure (from 0), s: doubling, between half of that and all of it.

    `jitter` draws from 0 to 1: clients that failed together do not come back together.
    """
    ceiling = min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2.0 ** min(attempt, DOUBLINGS))
    return ceiling * (0.5 + 0.5 * jitter())


def parse_retry_after(value: str | None, *, now: datetime | None = None) -> float | None:
    """Return the seconds that a Retry-After header asks for (a number, or a date); None when it says nothing usable."""
    text = (value or "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max((moment - (now or datetime.now(UTC))).total_seconds(), 0.0)
    except (TypeError, ValueError, OverflowError, IndexError):  # whatever the header holds
        return None
