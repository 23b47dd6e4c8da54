"""Loading the bundled list."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from providers import bundled
from providers.bundled import OFFER_COLUMNS, load_billing, load_bundled_offers, load_bundled_snapshot
from providers.gpus import load_gpus
from providers.offer import PriceClass, PricingModel
from providers.snapshot import snapshot_digest

HEADER = ",".join(OFFER_COLUMNS)
SOURCES = "key,source,licence,url\nbook,an invented book,MIT,https://example.invalid\n"
ROW = (
    "tinycloud,moon-1,b,secure,crater.large,H100-SXM-80GB,H100,8,96,1024.5,"
    "spot,12.5,USD,2026-05-24,book,marketplace;own"
)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The texts that stand in for the files of the package."""
    texts = {"offers.csv": f"{HEADER}\n{ROW}\n", "sources.csv": SOURCES}
    monkeypatch.setattr(bundled, "_read", texts.__getitem__)
    return texts


@pytest.mark.usefixtures("table")
def test_a_row_becomes_an_offer() -> None:
    (offer,) = load_bundled_offers(load_gpus())
    assert offer.key == ("tinycloud", "moon-1", "b", "crater.large", "secure", "spot")
    assert (offer.gpu, offer.gpu_name, offer.gpu_count, offer.vcpus) == ("H100-SXM-80GB", "H100", 8, 96)
    assert offer.host_ram_bytes == int(1024.5 * 2**30)
    assert offer.pricing_model is PricingModel.SPOT
    assert offer.price_class is PriceClass.LIST
    assert offer.unit_price_nano == 12_500_000_000
    assert offer.currency == "USD"
    assert offer.observed_at == datetime(2026, 5, 24, tzinfo=UTC)
    assert offer.source == "an invented book (MIT)"
    assert offer.flags == ("marketplace", "own")


def test_empty_cells_are_unknown(table: dict[str, str]) -> None:
    table["offers.csv"] = f"{HEADER}\ntinycloud,unknown,,,x,,X9,1,,,on_demand,1,USD,2026-05-24,book,\n"
    (offer,) = load_bundled_offers(load_gpus())
    assert offer.zone is offer.variant is offer.gpu is offer.vcpus is offer.host_ram_bytes is None
    assert offer.flags == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("12.5", "-1", "line 2: a number of at least 0"),
        ("2026-05-24", "24.5.2026", "line 2: time data"),
        ("spot", "auction", "line 2: 'auction'"),
        ("book", "hearsay", "line 2: 'hearsay'"),
        ("H100-SXM-80GB", "H100", "line 2: the GPU table has no H100"),
        (",8,", ",0,", "line 2: offer tinycloud"),
        (",book,", ",", "line 2: not enough values"),
    ],
)
def test_a_bad_row_names_its_line(table: dict[str, str], old: str, new: str, message: str) -> None:
    table["offers.csv"] = f"{HEADER}\n{ROW.replace(old, new, 1)}\n"
    with pytest.raises(ValueError, match=message):
        load_bundled_offers(load_gpus())


def test_other_columns_are_refused(table: dict[str, str]) -> None:
    table["offers.csv"] = table["offers.csv"].replace("currency", "money")
    with pytest.raises(ValueError, match=r"columns .*money.* are not provider"):
        load_bundled_offers(load_gpus())


def test_the_snapshot_is_the_same_every_time_and_named_by_its_content() -> None:
    first, second = load_bundled_snapshot(load_gpus()), load_bundled_snapshot(load_gpus())
    assert first == second
    assert first.sha256 == snapshot_digest(reversed(first.offers), first.token_prices, first.billing)
    assert len(first.token_prices) == 18


def test_billing_terms() -> None:
    billing = load_billing()
    assert (billing["aws"].increment_s, billing["aws"].minimum_s) == (1, 60)
    assert (billing["gcp"].increment_s, billing["gcp"].minimum_s) == (1, 60)
    assert billing["azure"].charged_when_stopped
    assert not billing["aws"].charged_when_stopped
    assert all(terms.source for terms in billing.values())
