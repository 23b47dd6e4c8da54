"""Sizes, durations and moments: what is read, what is refused, what is printed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from providers.units import (
    format_bytes,
    format_duration,
    format_moment,
    format_size,
    parse_deadline,
    parse_duration,
    parse_moment,
    parse_size,
)

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("40GB", 40_000_000_000),
        ("40GiB", 42_949_672_960),
        ("40 gib", 42_949_672_960),
        ("1.5 TB", 1_500_000_000_000),
        ("512MiB", 536_870_912),
        ("0B", 0),
        (".5kb", 500),
    ],
)
def test_parse_size(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "40", "-1GB", "nanGB", "infGB", "1e3GB", "40 G", "GB", "40GB40", "2000000TB", "٤GB", "1,000GB"]
)
def test_parse_size_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="GiB"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("36h", 129_600),
        ("1d12h", 129_600),
        ("90m", 5_400),
        ("1.5h", 5_400),
        ("45s", 45),
        ("1d 2h 3m 4s", 93_784),
        ("2H", 7200),
    ],
)
def test_parse_duration(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "36", "0h", "-1h", "nan", "nanh", "infd", "1e3h", "12h1d", "1h1h", "h", "8000d", "1w"]
)
def test_parse_duration_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="36h"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (45, "45s"), (7500, "2h05m"), (129_600, "1d12h"), (86_401, "1d00h00m01s"), (59.6, "1m"), (3600, "1h")],
)
def test_format_duration(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_format_duration_refuses(seconds: float) -> None:
    with pytest.raises(ValueError, match="not a finite number"):
        format_duration(seconds)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-12-01T08:00Z", datetime(2026, 12, 1, 8, 0, tzinfo=UTC)),
        ("2026-12-01T08:00+01:00", datetime(2026, 12, 1, 7, 0, tzinfo=UTC)),
        ("2026-12-01 08:00:30.5z", datetime(2026, 12, 1, 8, 0, 30, 500_000, tzinfo=UTC)),
        ("2026-12-01T08:00-0530", datetime(2026, 12, 1, 13, 30, tzinfo=UTC)),
    ],
)
def test_parse_moment(text: str, moment: datetime) -> None:
    parsed = parse_moment(text)
    assert parsed == moment
    assert parsed.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    ["2026-12-01T08:00", "2026-12-01", "2026-02-30T08:00Z", "0001-01-01T00:00+10:00", "tomorrow", "2026-12-01T25:00Z"],
)
def test_parse_moment_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="with its zone"):
        parse_moment(text)


def test_format_moment_shows_what_there_is() -> None:
    west = timezone(timedelta(hours=-5))
    assert format_moment(datetime(2026, 12, 1, 3, 0, tzinfo=west)) == "2026-12-01T08:00Z"
    assert format_moment(datetime(2026, 12, 1, 8, 0, 7, tzinfo=UTC)) == "2026-12-01T08:00:07Z"
    assert format_moment(datetime(2026, 12, 1, 8, 0, 7, 5, tzinfo=UTC)) == "2026-12-01T08:00:07.000005Z"
    with pytest.raises(ValueError, match="no time zone"):
        format_moment(datetime(2026, 12, 1, 8, 0))  # noqa: DTZ001 - the naive moment is the point


def test_parse_deadline_takes_a_span_or_a_moment() -> None:
    assert parse_deadline("36h", now=NOW) == datetime(2026, 11, 23, 21, 0, tzinfo=UTC)
    assert parse_deadline("2026-12-01T08:00Z", now=NOW) == datetime(2026, 12, 1, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("2026-11-22T09:00Z", "after now"),
        ("2020-01-01T00:00Z", "after now"),
        ("2099-01-01T00:00Z", "20 years"),
        ("2026-12-01", "with its zone"),
        ("soon", "36h"),
    ],
)
def test_parse_deadline_refuses(text: str, allowed: str) -> None:
    with pytest.raises(ValueError, match=allowed):
        parse_deadline(text, now=NOW)


def test_format_bytes_names_the_unit_it_divides_by() -> None:
    assert format_bytes(79.25 * 2**30) == "79.2 GiB"
    assert format_bytes(80e9, unit="GB", digits=0) == "80 GB"
    assert format_bytes(1536 * 2**30) == "1,536.0 GiB"
    assert format_bytes(50 * 2**20) == "50.0 MiB"
    assert format_bytes(5e7, unit="GB") == "50.0 MB"
    assert format_bytes(300) == "300 B"
    assert format_bytes(0) == "0.0 GiB"
    with pytest.raises(ValueError, match="none of"):
        format_bytes(1, unit="G")


def test_format_size_is_exact() -> None:
    assert format_size(40_000_000_000) == "40GB"
    assert format_size(42_949_672_960) == "40GiB"
    assert format_size(1001) == "1001B"
    assert format_size(0) == "0B"
    with pytest.raises(ValueError, match="negative"):
        format_size(-1)
