"""The price list on narrow terminals and with hard names, and the keys alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from optimizer.report.answers import PricedOffer, PriceListAnswer
from optimizer.report.style import Style
from optimizer.report.table import text_width
from optimizer.report.text_prices import BUNDLED, NO_CANDIDATE, STALE, format_keys, format_prices
from providers.offer import NANO, Offer, PriceClass, PricingModel

NOW = datetime(2031, 5, 6, tzinfo=UTC)
PLAIN = Offer(
    provider="nimbus", region="mars-1", instance_type="zeta.8x", gpu="H100-SXM-80GB", gpu_name="H100", gpu_count=8,
    pricing_model=PricingModel.ON_DEMAND, unit_price_nano=20 * NANO, observed_at=NOW, source="invented",
    price_class=PriceClass.LIVE,
)  # fmt: skip
WIDE = replace(
    PLAIN, provider="a-provider-of-a-long-name", region="far-away-region-17", variant="community-host-12345",
    instance_type="Standard_ND96isr_MI300X_v5_with_everything", gpu="RTX-PRO-6000-BLACKWELL-96GB", gpu_count=16,
    currency="EUR", unit_price_nano=1_234_560_000_000, pricing_model=PricingModel.SPOT,
    flags=("marketplace", "price_held", "bid_floor"),
)  # fmt: skip


def listing(*offers: Offer, more: int = 0) -> PriceListAnswer:
    rows = tuple(PricedOffer(offer=offer, age_s=186 * 86_400, freshness="stale") for offer in offers)
    return PriceListAnswer(made_at=NOW, offers=rows, total=99, sha256=None, more=more)


@pytest.mark.parametrize("width", [80, 100, 132])
@pytest.mark.parametrize("unicode", [True, False])
def test_the_table_fits(width: int, unicode: bool) -> None:
    style = Style(width=width, unicode=unicode)
    for offers in ((PLAIN, replace(WIDE, currency="USD")), (PLAIN, WIDE)):
        text = format_prices(listing(*offers, more=5), style)
        assert max(text_width(line) for line in text.splitlines()) <= width
        assert unicode or text.isascii()
    assert style.plain("8×H100-SXM-80GB") in format_prices(listing(PLAIN, replace(WIDE, currency="USD")), style)


def test_both_prices_stand_in_a_row() -> None:
    row = format_prices(listing(PLAIN), Style()).splitlines()[2].split()
    assert row[:5] == ["$2.50", "$20.00", "8×H100-SXM-80GB", "nimbus", "mars-1"]


def test_another_currency_is_never_a_dollar() -> None:
    row = format_prices(listing(replace(PLAIN, currency="EUR")), Style()).splitlines()[2]
    assert row.split()[:4] == ["2.50", "EUR", "20.00", "EUR"]
    assert "$" not in row


def test_marks_tell_and_are_explained() -> None:
    bundled = replace(PLAIN, price_class=PriceClass.LIST)
    text = format_prices(listing(WIDE, bundled), Style(width=132))
    marks = [line.split()[-1] for line in text.splitlines()[2:4]]
    assert marks == [f"{STALE}{NO_CANDIDATE}mh", f"{STALE}{BUNDLED}"]
    words = " ".join(text.split())
    assert "list and live prices, 186 days old" in words
    assert "b: from the bundled list" in words
    assert "h: held: a newer price is in quarantine" in words
    assert BUNDLED not in format_prices(listing(bundled), Style()).splitlines()[2].split()[-1]


def test_what_is_left_out_is_counted() -> None:
    text = format_prices(listing(PLAIN, more=1_234), Style())
    assert text.startswith("Prices  1,235 of 99 offers")
    assert "\n  … 1,234 more: --limit 0\n" in text


def test_keys_are_alone_on_their_lines() -> None:
    keys = format_keys(listing(PLAIN, WIDE, replace(PLAIN, zone="mars-1b")))
    assert keys.splitlines() == [
        "nimbus/mars-1/zeta.8x/on_demand",
        f"a-provider-of-a-long-name/far-away-region-17/{WIDE.instance_type}/spot/-/community-host-12345",
        "nimbus/mars-1/zeta.8x/on_demand/mars-1b",
    ]
