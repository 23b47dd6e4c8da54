from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from optimizer.report import figures

GIB = 2**30


@pytest.mark.parametrize(
    ("usd_micro", "expected"),
    [
        (None, "unknown"),
        (0, "$0"),
        (1, "<$0.01"),
        (4_999, "<$0.01"),
        (5_000, "$0.01"),
        (14_660_000, "$14.66"),
        (-2_500_000, "-$2.50"),
        (999_994_999, "$999.99"),
        (999_995_000, "$1,000"),
        (1_234_567_890, "$1,235"),
        (2_700_000_000_000, "$2.70M"),
    ],
)
def test_dollars_never_round_something_to_nothing(usd_micro: int | None, expected: str) -> None:
    assert figures.format_dollars(usd_micro) == expected


def test_cents_keep_both_decimals_so_that_a_bill_adds_up() -> None:
    assert figures.format_cents(1_234_560_000) == "$1,234.56"
    assert figures.format_cents(-10_000) == "-$0.01"


@pytest.mark.parametrize(
    ("usd", "expected"), [(0.0, "$0"), (0.0045, "$0.0045"), (0.0999, "$0.0999"), (0.1, "$0.10"), (98.324, "$98.32")]
)
def test_hourly_prices_keep_small_ones_readable(usd: float, expected: str) -> None:
    assert figures.format_hourly(usd) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (89.4, "89 s"),
        (90, "1.5 min"),
        (5399, "90.0 min"),
        (5400, "1.5 h"),
        (14.9 * 3600, "14.9 h"),
        (71.9 * 3600, "71.9 h"),
        (72 * 3600, "3.0 days"),
        (365 * 86400, "365 days"),
        (-7200, "-2.0 h"),
        (math.nan, "unknown"),
        (math.inf, "unknown"),
    ],
)
def test_spans_take_the_unit_that_people_use(seconds: float, expected: str) -> None:
    assert figures.format_span(seconds) == expected


def test_a_range_of_spans_shares_the_unit_of_its_upper_end() -> None:
    assert figures.format_span_range(3600, 18 * 3600) == "1.0 – 18.0 h"
    assert figures.format_span_range(7200, 7200) == "2.0 h"
    assert figures.format_span_range(0, math.inf) == "unknown"


def test_a_span_takes_the_unit_of_the_one_beside_it() -> None:
    assert figures.format_span(66.5 * 60, like=1.7 * 3600) == "1.1 h"
    assert figures.format_span(66.5 * 60) == "66.5 min"


def test_spans_in_tables_drop_decimals_of_minutes_only() -> None:
    assert figures.format_span_briefly(66.68 * 60) == "67 min"
    assert figures.format_span_briefly(95) == "1.6 min"
    assert figures.format_span_briefly(5.34 * 3600) == "5.3 h"


def test_small_spans_keep_three_digits() -> None:
    assert figures.format_small_span(0.03456) == "34.6 ms"
    assert figures.format_small_span(0.0002) == "0.20 ms"
    assert figures.format_small_span(1.2345) == "1.23 s"
    assert figures.format_small_span(200) == "3.3 min"


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "0"),
        (512, "0 KiB"),
        (300 * 2**10, "300 KiB"),
        (50 * 2**20, "50 MiB"),
        (0.1 * GIB, "0.1 GiB"),
        (17.23 * GIB, "17.2 GiB"),
        (99.95 * GIB, "100 GiB"),
        (1536 * GIB, "1,536 GiB"),
        (math.nan, "unknown"),
    ],
)
def test_sizes_are_gib_and_not_gb(size: float, expected: str) -> None:
    assert figures.format_gib(size) == expected


def test_a_range_of_sizes_names_the_unit_once() -> None:
    assert figures.format_gib_range(15.9 * GIB, 17.2 * GIB) == "15.9 – 17.2 GiB"
    assert figures.format_gib_range(10 * GIB, 10 * GIB) == "10.0 GiB"
    assert figures.format_gib_range(50 * 2**20, GIB) == "50 MiB – 1.0 GiB"


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (13_300, "13,300"),
        (999_400, "999,400"),
        (999_600, "1.00M"),
        (53_200_000, "53.2M"),
        (8.03e9, "8.03B"),
        (671e9, "671B"),
        (15e12, "15.0T"),
        (math.nan, "unknown"),
    ],
)
def test_counts_keep_three_digits(count: float, expected: str) -> None:
    assert figures.format_count(count) == expected


@pytest.mark.parametrize(
    ("rate", "expected"), [(6543.21, "6,540"), (123_456, "123,000"), (999.6, "1,000"), (84.2, "84.2"), (0.5, "0.50")]
)
def test_rates_keep_three_digits(rate: float, expected: str) -> None:
    assert figures.format_rate(rate) == expected


@pytest.mark.parametrize(
    ("ppm", "long", "brief"),
    [
        (1_000_000, ">99.9 %", ">99 %"),
        (999_999, ">99.9 %", ">99 %"),
        (999_000, "99.9 %", ">99 %"),
        (989_000, "98.9 %", "98 %"),
        (900_000, "90 %", "90 %"),
        (554_000, "55 %", "55 %"),
        (55_400, "5.5 %", "5 %"),
        (500, "<0.1 %", "<1 %"),
        (0, "<0.1 %", "<1 %"),
    ],
)
def test_only_certainty_reads_as_certain(ppm: int, long: str, brief: str) -> None:
    assert figures.format_ppm(ppm) == long
    assert figures.format_ppm_briefly(ppm) == brief


def test_a_share_that_is_something_is_not_nothing() -> None:
    assert figures.format_percent(0.004) == "<1 %"
    assert figures.format_percent(0.0051) == "1 %"
    assert figures.format_percent(0.0) == "0 %"
    assert figures.format_percent(math.nan) == "unknown"


def test_moments_are_utc_and_named_whatever_the_locale() -> None:
    assert figures.format_moment(datetime(2026, 11, 23, 9, 5, tzinfo=UTC)) == "Mon 23 Nov 2026 09:05 UTC"
    assert figures.format_day(datetime(2026, 5, 20, tzinfo=UTC)) == "2026-05-20"


def test_ages_and_their_ranges() -> None:
    assert figures.format_age(-5) == "0 min"
    assert figures.format_age(35 * 60) == "35 min"
    assert figures.format_age(7.4 * 3600) == "7 h"
    assert figures.format_age(186 * 86400) == "186 days"
    assert figures.format_age_range(95 * 86400, 182 * 86400) == "95 – 182 days"
    assert figures.format_age_range(7200, 30 * 86400) == "2 h – 30 days"
    assert figures.format_age_range(95 * 86400, 95 * 86400) == "95 days"


def test_figures_of_limits_follow_their_unit() -> None:
    assert figures.format_in_unit(7200, "s") == "2.0 h"
    assert figures.format_in_unit(2 * GIB, "bytes") == "2.0 GiB"
    assert figures.format_in_unit(2_500_000, "usd_micro") == "$2.50"
    assert figures.format_in_unit(8, "GPUs") == "8 GPUs"
    assert figures.format_in_unit(math.inf, "s") == "no limit"
    assert figures.format_in_unit(math.nan, "s") == "unknown"


def test_plurals() -> None:
    assert figures.plural(1, "offer") == "1 offer"
    assert figures.plural(1234, "offer") == "1,234 offers"


def test_cents_of_a_bill_add_up_to_its_total() -> None:
    thirds = [3_333_333, 3_333_333, 3_333_334]
    assert figures.round_to_cents(thirds) == [3_330_000, 3_330_000, 3_340_000]
    assert figures.round_to_cents([4_000] * 10) == [10_000] * 4 + [0] * 6
    assert sum(figures.round_to_cents([-2_004_000, 5_006_000])) == 3_000_000
    assert figures.round_to_cents([]) == []
