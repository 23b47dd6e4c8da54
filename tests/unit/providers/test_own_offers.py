"""The user's own machines and discounts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from providers.errors import JobError
from providers.gpus import load_gpus
from providers.offer import Offer, PriceClass, PricingModel
from providers.own_offers import OPTIONAL_COLUMNS, REQUIRED_COLUMNS, apply_discounts, load_own_offers

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
HEADER = ",".join(REQUIRED_COLUMNS)
FULL_HEADER = ",".join((*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS))
FULL_ROW = "own,cellar,H100-SXM-80GB,8,0,office,rack-1,quiet,reserved,128,1024,7680,400,2026-11-01T12:00Z,USD,60,3600"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "machines.csv"
    path.write_text(text, encoding="utf-8")
    return path


def load(tmp_path: Path, text: str) -> tuple[Offer, ...]:
    return load_own_offers(write(tmp_path, text), load_gpus(), now=NOW)


def test_the_shortest_row(tmp_path: Path) -> None:
    (offer,) = load(tmp_path, f"{HEADER}\nown,cellar,A5000,4,1.04\n")
    assert offer.key == ("own", "own", "", "cellar", "", "on_demand")
    assert (offer.gpu, offer.gpu_name, offer.gpu_count) == ("RTX-A5000-24GB", "A5000", 4)
    assert offer.unit_price_nano == 1_040_000_000
    assert offer.price_class is PriceClass.OWN
    assert offer.observed_at == NOW
    assert offer.source == f"{tmp_path / 'machines.csv'}:2"
    assert offer.flags == ("own",)
    assert offer.excluded_because is None
    assert offer.vcpus is offer.host_ram_bytes is offer.disk_bytes is offer.network_bytes_per_s is None
    assert offer.billing is not None
    assert (offer.billing.increment_s, offer.billing.minimum_s) == (1, 0)


def test_every_column(tmp_path: Path) -> None:
    (offer,) = load(tmp_path, f"{FULL_HEADER}\n{FULL_ROW}\n")
    assert offer.key == ("own", "office", "rack-1", "cellar", "quiet", "reserved")
    assert offer.pricing_model is PricingModel.RESERVED
    assert offer.unit_price_nano == 0
    assert offer.vcpus == 128
    assert offer.host_ram_bytes == 1024 * 2**30
    assert offer.disk_bytes == 7680 * 10**9
    assert offer.network_bytes_per_s == 50e9
    assert offer.observed_at == datetime(2026, 11, 1, 12, tzinfo=UTC)
    assert offer.billing is not None
    assert (offer.billing.increment_s, offer.billing.minimum_s) == (60, 3600)


def test_a_spreadsheet_file_is_read(tmp_path: Path) -> None:
    """Byte order mark, CRLF, blank lines, spaces, columns in another order."""
    columns = "gpu,  gpu_count,provider,instance_type,price_usd_per_hour,observed_at"
    (offer,) = load(tmp_path, f"\ufeff{columns}\r\n\r\nH100, 2 ,own, box ,3.5,2026-11-20\r\n")
    assert (offer.instance_type, offer.gpu_count) == ("box", 2)
    assert offer.observed_at == datetime(2026, 11, 20, tzinfo=UTC)


def test_another_currency_is_kept_flagged_and_never_compared(tmp_path: Path) -> None:
    (offer,) = load(tmp_path, f"{HEADER},currency\nown,x,H100,1,2,EUR\n")
    assert offer.currency == "EUR"
    assert "foreign_currency" in offer.flags
    assert offer.excluded_because is not None


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("provider", "", "a name"),
        ("provider", "x" * 101, "a name"),
        ("instance_type", "", "a name"),
        ("gpu", "H100-SMX-80GB", "such as H100-SXM-80GB"),
        ("gpu", "", "a GPU of the table"),
        ("gpu_count", "0", "from 1 to 1024"),
        ("gpu_count", "1.5", "from 1 to 1024"),
        ("gpu_count", "2000", "from 1 to 1024"),
        ("gpu_count", "9" * 5000, "from 1 to 1024"),
        ("price_usd_per_hour", "-1", "a number of at least 0"),
        ("price_usd_per_hour", "nan", "a number of at least 0"),
        ("price_usd_per_hour", "", "a number of at least 0"),
        ("pricing_model", "auction", "one of on_demand, spot, reserved"),
        ("vcpus", "-4", "a whole number"),
        ("host_ram_gib", "0", "above 0"),
        ("host_ram_gib", "lots", "above 0"),
        ("disk_gb", "inf", "above 0"),
        ("network_gbit_s", "1e9", "above 0"),
        ("observed_at", "2026-11-23", "not in the future"),
        ("observed_at", "yesterday", "a date such as"),
        ("observed_at", "2026-13-01", "a date such as"),
        ("currency", "dollars", "three capital letters"),
        ("billing_increment_s", "0", "from 1 to"),
        ("billing_minimum_s", "-1", "from 0 to"),
    ],
)
def test_a_bad_cell_names_file_line_key_value_and_what_is_allowed(
    tmp_path: Path, key: str, value: str, allowed: str
) -> None:
    cells = dict(zip(FULL_HEADER.split(","), FULL_ROW.split(","), strict=True)) | {key: value}
    path = write(tmp_path, f"{FULL_HEADER}\n{FULL_ROW}\n{','.join(cells.values())}\n")
    with pytest.raises(JobError) as caught:
        load_own_offers(path, load_gpus(), now=NOW)
    assert caught.value.exit_code == 2
    assert caught.value.where == f"{path}:3"
    assert caught.value.key == key
    assert caught.value.value == value
    assert allowed in caught.value.allowed
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "key", "allowed"),
    [
        ("", "columns", "needs provider"),
        ("provider,instance_type,gpu,gpu_count\n", "columns", "needs price_usd_per_hour"),
        (f"{HEADER},colour\n", "column", "each column once, of provider"),
        (f"{HEADER},gpu\n", "column", "each column once"),
        (f"{HEADER}\nown,x,H100,1\n", "cells", "5, as in the header"),
        (f"{HEADER}\nown,x,H100,1,2,3\n", "cells", "5, as in the header"),
        (f'{HEADER}\nown,"x"y,H100,1,2\n', "file", "a CSV file in UTF-8"),
        (f"{HEADER}\nown,x,H100,1,2\nown,x,H100,1,3\n", "instance_type", "than in line 2"),
    ],
)
def test_a_bad_file(tmp_path: Path, text: str, key: str, allowed: str) -> None:
    with pytest.raises(JobError) as caught:
        load(tmp_path, text)
    assert caught.value.key == key
    assert allowed in caught.value.allowed


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="No such file"):
        load_own_offers(tmp_path / "missing.csv", load_gpus(), now=NOW)
    with pytest.raises(JobError, match="directory"):
        load_own_offers(tmp_path, load_gpus(), now=NOW)
    (tmp_path / "latin.csv").write_bytes(HEADER.encode() + b"\nown,\xe9,H100,1,2\n")
    with pytest.raises(JobError, match="UTF-8"):
        load_own_offers(tmp_path / "latin.csv", load_gpus(), now=NOW)


def offers() -> tuple[Offer, ...]:
    aws = Offer(
        provider="aws",
        region="moon-1",
        instance_type="p9.large",
        gpu="H100-SXM-80GB",
        gpu_name="H100",
        gpu_count=1,
        pricing_model=PricingModel.ON_DEMAND,
        unit_price_nano=10_000_000_000,
        observed_at=NOW,
        source="invented",
        price_class=PriceClass.LIST,
        flags=("marketplace",),
    )
    return (
        aws,
        replace(aws, provider="gcp", region="us-central1"),
        replace(aws, provider="gcp", region="mars-1"),
        replace(aws, price_class=PriceClass.OWN, instance_type="mine"),
    )


def test_discounts_by_provider_and_region() -> None:
    before = offers()
    after = apply_discounts(before, {"AWS": "0.15", "gcp/us-central1": "0.20", "gcp": "0.1"})
    assert [offer.unit_price_nano for offer in after] == [8_500_000_000, 8_000_000_000, 9_000_000_000, 10_000_000_000]
    assert after[0].flags == ("marketplace", "discounted")
    assert after[3] == before[3]


def test_a_region_may_be_exempt_and_nothing_changes_nothing() -> None:
    after = apply_discounts(offers(), {"gcp": "0.5", "gcp/us-central1": "0"})
    assert [offer.unit_price_nano for offer in after[1:3]] == [10_000_000_000, 5_000_000_000]
    assert after[1].flags == ("marketplace",)
    assert apply_discounts(offers(), {}) == offers()


def test_a_discount_is_exact_and_rounds_half_to_even() -> None:
    (offer, *_) = apply_discounts([replace(offers()[0], unit_price_nano=5)], {"aws": "0.1"})
    assert offer.unit_price_nano == 4
    (offer, *_) = apply_discounts([replace(offers()[0], unit_price_nano=3)], {"aws": Decimal("0.5")})
    assert offer.unit_price_nano == 2
    (offer, *_) = apply_discounts([replace(offers()[0], unit_price_nano=10**9)], {"aws": 0.1})
    assert offer.unit_price_nano == 900_000_000


@pytest.mark.parametrize("value", ["1", "-0.1", "15%", "nan", "", 1, 15, True, float("inf")])
def test_a_bad_fraction(value: str | float) -> None:
    with pytest.raises(JobError) as caught:
        apply_discounts(offers(), {"aws": value}, where="job.toml")
    assert (caught.value.where, caught.value.key, caught.value.value) == ("job.toml", "discounts.aws", value)


@pytest.mark.parametrize("key", ["awz", "gcp/us-east1", "aws/", ""])
def test_a_discount_for_nobody_is_an_error(key: str) -> None:
    with pytest.raises(JobError, match="a provider or provider/region"):
        apply_discounts(offers(), {key: "0.1"})
