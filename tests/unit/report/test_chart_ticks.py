"""Round figures and dates on the axes of a chart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from optimizer.report.chart_ticks import moment_label, price_ticks, tick_labels, time_ticks

NANO = 10**9
START = datetime(2031, 5, 6, 7, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (17 * NANO, 31 * NANO, ["$20.00", "$25.00", "$30.00"]),
        (0, 1, ["$0.000000000", "$0.000000001"]),
        (3_430_000_000, 3_570_000_000, ["$3.45", "$3.50", "$3.55"]),
        (45_000_000, 46_000_000, ["$0.0450", "$0.0455", "$0.0460"]),
        (900 * NANO, 2_100 * NANO, ["$1,000.00", "$1,500.00", "$2,000.00"]),
        (5, 5, ["$0.000000005"]),
    ],
)
def test_prices_are_round(low: int, high: int, labels: list[str]) -> None:
    ticks = price_ticks(low, high)
    assert tick_labels(ticks, "USD") == labels
    assert all(low <= tick <= high for tick in ticks)


def test_another_currency_stands_behind() -> None:
    assert tick_labels([NANO], "EUR") == ["1.00 EUR"]


@pytest.mark.parametrize(
    ("span", "step"),
    [
        (timedelta(hours=5), timedelta(hours=1)),
        (timedelta(days=2), timedelta(hours=12)),
        (timedelta(days=30), timedelta(days=7)),
        (timedelta(days=400), timedelta(days=91)),
        (timedelta(days=7_000), timedelta(days=1_820)),
    ],
)
def test_moments_are_round_and_few(span: timedelta, step: timedelta) -> None:
    ticks = time_ticks(START, START + span)
    assert {after - before for before, after in pairwise(ticks)} <= {step}
    assert 2 <= len(ticks) <= 7
    assert all(START <= tick <= START + span for tick in ticks)
    assert all(tick.timestamp() % step.total_seconds() == 0 for tick in ticks)


def test_a_moment_is_one_tick() -> None:
    assert time_ticks(START, START) == [START]
    assert moment_label(START, within=timedelta(days=1)) == "05-06 07:08"
    assert moment_label(START, within=timedelta(days=9)) == "2031-05-06"
