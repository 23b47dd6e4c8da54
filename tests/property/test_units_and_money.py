"""What is printed is read back; sums are exact; nothing strange is accepted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from providers.money import MAX_USD, NANO, Usd, UsdPerHour, format_unit_price, format_usd, parse_nano, parse_usd
from providers.units import (
    MAX_BYTES,
    MAX_SECONDS,
    format_duration,
    format_moment,
    format_size,
    parse_duration,
    parse_moment,
    parse_size,
)

if TYPE_CHECKING:
    from decimal import Decimal

AMOUNTS = st.decimals(min_value=0, max_value=10**9, places=6)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.integers(0, MAX_BYTES))
def test_size(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.integers(1, MAX_SECONDS))
def test_duration(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=ZONES))  # noqa: DTZ001 - bounds are naive by contract
def test_moment(moment: datetime) -> None:
    parsed = parse_moment(format_moment(moment))
    assert parsed == moment
    assert parsed.tzinfo is UTC


@given(st.integers(0, int(MAX_USD) * 10**6))
def test_usd(micro: int) -> None:
    assert parse_usd(format_usd(micro, digits=6)).micro == micro
    assert Usd.from_micro(micro).micro == micro


@given(st.integers(0, 10**9 * NANO - 1))
def test_unit_price(nano: int) -> None:
    text = format_unit_price(nano).removeprefix("$").removesuffix("/h").replace(",", "")
    assert parse_nano(text) == nano
    assert UsdPerHour.from_nano(nano).nano == nano


@given(AMOUNTS, AMOUNTS, AMOUNTS)
def test_sums_are_exact(a: Decimal, b: Decimal, c: Decimal) -> None:
    assert (Usd(a) + Usd(b)) + Usd(c) == Usd(c) + (Usd(b) + Usd(a))
    assert (Usd(a) + Usd(b)) - Usd(b) == Usd(a)
    assert (Usd(a) + Usd(b)).micro == Usd(a).micro + Usd(b).micro


@given(st.text(max_size=12))
def test_parsers_answer_or_raise_value_error(text: str) -> None:
    for parse in (parse_size, parse_duration, parse_moment, parse_usd, parse_nano):
        try:
            parse(text)
        except ValueError as err:
            assert str(err)  # noqa: PT017 - either outcome is right; a silent error is not
