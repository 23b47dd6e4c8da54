from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

from providers.pace import BACKOFF_MOST_S, RateLimit, backoff_s, parse_retry_after

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_first_request_goes_at_once_and_the_next_wait_their_turn() -> None:
    clock = Clock()
    limit = RateLimit(2.0, clock=clock)
    assert [limit.wait_s() for _ in range(3)] == [0.0, 0.5, 1.0]
    clock.now += 1.25
    assert limit.wait_s() == 0.25
    clock.now += 60.0
    # An idle minute is not saved up for a burst.
    assert [limit.wait_s() for _ in range(2)] == [0.0, 0.5]


def test_threads_take_distinct_turns() -> None:
    limit = RateLimit(8.0, clock=lambda: 5.0)
    turns: list[float] = []

    def take() -> None:
        turns.extend(limit.wait_s() for _ in range(50))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(turns) == [number / 8.0 for number in range(400)]


def test_a_turn_is_taken_by_one_thread_at_a_time() -> None:
    held: list[bool] = []

    def clock() -> float:
        held.append(limit._lock.locked())
        return 5.0

    limit = RateLimit(8.0, clock=clock)
    limit.wait_s()
    assert held == [True]


def test_no_limit_at_all() -> None:
    limit = RateLimit(float("inf"), clock=lambda: 5.0)
    assert [limit.wait_s() for _ in range(3)] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_a_rate_is_above_zero(rate: float) -> None:
    with pytest.raises(ValueError, match="not above 0"):
        RateLimit(rate)


def test_waiting_doubles_up_to_a_limit() -> None:
    longest = [backoff_s(attempt, jitter=lambda: 1.0) for attempt in range(8)]
    shortest = [backoff_s(attempt, jitter=lambda: 0.0) for attempt in range(8)]
    assert longest == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert shortest == [one / 2 for one in longest]
    assert backoff_s(10**9, jitter=lambda: 1.0) == BACKOFF_MOST_S


def test_waits_differ_from_one_to_the_next() -> None:
    waits = {backoff_s(3) for _ in range(20)}
    assert len(waits) > 1
    assert all(2.0 <= wait <= 4.0 for wait in waits)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("1.5", 1.5),
        ("999999999", 999_999_999.0),
        ("Sun, 22 Nov 2026 09:00:30 GMT", 30.0),
        ("Sun, 22 Nov 2026 10:00:30 +0100", 30.0),
        ("Sun, 22 Nov 2026 09:00:30 -0000", 30.0),
        ("Sun, 22 Nov 2026 08:00:00 GMT", 0.0),
        (None, None),
        ("", None),
        ("-5", None),
        ("soon", None),
        ("1e9", None),
        ("٣", None),
        ("9" * 5000, None),
        ("nan", None),
        ("Sun, 99 Nov 2026 09:00:30 GMT", None),
        ("Mon, 99999999999 Jan 9999999999 00:00:00 GMT", None),
        ("Wed, 21 Oct 2026 07:28:00 +9999999999999", None),
    ],
)
def test_retry_after(text: str | None, expected: float | None) -> None:
    assert parse_retry_after(text, now=NOW) == expected
