"""Token prices of managed services."""

from __future__ import annotations

import pytest

from providers import managed
from providers.managed import load_token_prices, token_cost_micro
from providers.offer import TokenPrice

PRICES = {(price.vendor, price.model): price for price in load_token_prices()}


@pytest.mark.parametrize(
    ("vendor", "model", "low", "high"),
    [
        ("openai", "gpt-4o-mini-2024-07-18", 3000, 3000),
        ("openai", "gpt-4.1", 25_000, 25_000),
        ("openai", "babbage-002", 400, 400),
        ("together", "17B to 69B", 1500, 4120),
        ("tinker", "all", 30, 12_810),
    ],
)
def test_prices_in_billionths_per_token(vendor: str, model: str, low: int, high: int) -> None:
    price = PRICES[vendor, model]
    assert (price.low_nano_per_token, price.high_nano_per_token, price.currency) == (low, high, "USD")
    assert price.source_date


@pytest.mark.parametrize("vendor", ["bedrock", "vertex", "azure-openai"])
def test_unknown_stays_unknown(vendor: str) -> None:
    price = next(price for price in PRICES.values() if price.vendor == vendor)
    assert price.low_nano_per_token is None
    assert price.high_nano_per_token is None
    assert "unknown" in price.notes
    assert token_cost_micro(price, 1_000_000) is None


def test_prices_per_hour_are_not_here() -> None:
    assert {price.method for price in PRICES.values()} == {"sft", "lora", "lora to full and dpo"}


def test_cost_is_tokens_times_price_rounded_up() -> None:
    assert token_cost_micro(PRICES["openai", "gpt-4o-mini-2024-07-18"], 104_000_000) == (312_000_000, 312_000_000)
    assert token_cost_micro(PRICES["together", "17B to 69B"], 1) == (2, 5)


def test_ranges_are_in_order_and_every_row_has_a_source() -> None:
    for price in PRICES.values():
        assert price.source
        if price.low_nano_per_token is not None:
            assert price.high_nano_per_token is not None
            assert 0 < price.low_nano_per_token <= price.high_nano_per_token


@pytest.mark.parametrize("text", ["-1", "0.0001"])
def test_a_bad_price_names_its_row(text: str) -> None:
    with pytest.raises(ValueError, match=r"token_prices.csv: v m: low_usd_per_million .* is out of range"):
        managed._nano_per_token({"vendor": "v", "model": "m", "low_usd_per_million": text}, "low_usd_per_million")


def test_one_dollar_per_million() -> None:
    price = TokenPrice(
        vendor="v",
        model="m",
        method="sft",
        low_nano_per_token=1000,
        high_nano_per_token=1000,
        source="s",
        source_date="d",
    )
    assert token_cost_micro(price, 1_000_000) == (1_000_000, 1_000_000)
