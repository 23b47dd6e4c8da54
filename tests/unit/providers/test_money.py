"""Exact dollars."""

from __future__ import annotations

from decimal import Decimal

import pytest

from providers.money import Usd, UsdPerHour, format_unit_price, format_usd, parse_nano, parse_usd


def test_sums_and_products_are_exact() -> None:
    assert Usd(Decimal("0.1")) + Usd(Decimal("0.2")) == Usd(Decimal("0.3"))
    assert Usd(Decimal(1)) - Usd(Decimal("1.26")) == Usd(Decimal("-0.26"))
    assert 3 * Usd(Decimal("0.1")) == Usd(Decimal("0.3"))
    assert Usd(Decimal("1e-12")) + Usd(Decimal("1e12")) > Usd(Decimal("1e12"))


def test_micro_rounds_half_to_even_and_up_where_asked() -> None:
    assert Usd(Decimal("0.0000005")).micro == 0
    assert Usd(Decimal("0.0000015")).micro == 2
    assert Usd(Decimal("0.0000001")).micro_up == 1
    assert Usd.from_micro(15_496_000) == Usd(Decimal("15.496"))


def test_cost_of_the_seed() -> None:
    """14.9 hours on four cards at $0.26 each."""
    price = UsdPerHour(Decimal("1.04"))
    assert str(price.cost(Decimal("14.9") * 3600)) == "$15.50"
    assert price.cost(3600, instances=3) == Usd(Decimal("3.12"))


def test_nano_round_trip() -> None:
    assert UsdPerHour.from_nano(3_673_385_000).amount == Decimal("3.673385")
    assert UsdPerHour(Decimal("3.673385")).nano == 3_673_385_000


@pytest.mark.parametrize("amount", [Decimal("NaN"), Decimal("Infinity")])
def test_money_is_finite(amount: Decimal) -> None:
    with pytest.raises(ValueError, match="not a finite number"):
        Usd(amount)


def test_money_is_decimal_and_prices_are_not_negative() -> None:
    with pytest.raises(TypeError, match="Decimal"):
        Usd(1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="negative"):
        UsdPerHour(Decimal("-0.01"))


@pytest.mark.parametrize(
    ("micro", "digits", "text"),
    [
        (1_234_500_000, 2, "$1,234.50"),
        (-260_000, 2, "-$0.26"),
        (-1, 2, "$0.00"),
        (5_000, 2, "$0.00"),
        (15_000, 2, "$0.02"),
        (1_234_567, 4, "$1.2346"),
    ],
)
def test_format_usd(micro: int, digits: int, text: str) -> None:
    assert format_usd(micro, digits=digits) == text


def test_format_unit_price_keeps_what_matters() -> None:
    assert format_unit_price(3_673_385_000) == "$3.673385/h"
    assert format_unit_price(500_000_000) == "$0.50/h"
    assert format_unit_price(98_320_000_000) == "$98.32/h"
    assert format_unit_price(500_000_000, currency="EUR") == "0.50 EUR/h"
    assert str(UsdPerHour(Decimal("1234.5"))) == "$1,234.50/h"


@pytest.mark.parametrize(
    ("text", "amount"), [("500", "500"), ("1234.50", "1234.50"), ("$1,234.50", "1234.50"), (" $ 7 ", "7"), ("0", "0")]
)
def test_parse_usd(text: str, amount: str) -> None:
    assert parse_usd(text) == Usd(Decimal(amount))


@pytest.mark.parametrize("text", ["", "-1", "nan", "inf", "1e3", "12,34", "1,2345", "€5", "5 USD", "9999999999999"])
def test_parse_usd_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r"\$1,234\.50"):
        parse_usd(text)


@pytest.mark.parametrize(
    ("text", "nano"),
    [
        ("3.06", 3_060_000_000),
        ("0", 0),
        ("0.000000001", 1),
        ("12.", 12_000_000_000),
        ("1.5000000000000", 1_500_000_000),
    ],
)
def test_parse_nano(text: str, nano: int) -> None:
    assert parse_nano(text) == nano


@pytest.mark.parametrize("text", ["", "-1", "nan", "inf", "1e3", "0.0000000001", "1000000000", "1,5", "$3"])
def test_parse_nano_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="nine decimals"):
        parse_nano(text)
