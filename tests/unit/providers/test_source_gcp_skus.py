"""Which part of a machine a SKU of Google's catalogue prices, and what it costs an hour."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from providers.payload import RowProblem
from providers.scope import DroppedRow
from providers.sources.gcp_machines import load_gcp_machines
from providers.sources.gcp_skus import Catalogue, Part, parse_sku
from tests.fixtures.fakes.gcp_catalogue import AMERICAS, make_decoys, make_sku


def dropped(sku: object) -> DroppedRow:
    with pytest.raises(RowProblem) as caught:
        parse_sku(sku)
    return caught.value.dropped("it")


def priced(unit: str, *, description: str = "A2 Instance Ram running in Iowa", price: str = "0.004237") -> Fraction:
    return parse_sku(make_sku(description, price, group="RAM", unit=unit)).usd_per_hour


def with_tiers(sku: dict[str, Any], *tiers: tuple[int, str, int]) -> dict[str, Any]:
    sku["pricingInfo"][0]["pricingExpression"]["tieredRates"] = [
        {"startUsageAmount": start, "unitPrice": {"currencyCode": "USD", "units": units, "nanos": nanos}}
        for start, units, nanos in tiers
    ]
    return sku


@pytest.mark.parametrize(
    ("description", "part", "spot"),
    [
        ("A2 Instance Core running in Americas", "core A2", False),
        ("A2 Instance Ram running in Iowa", "RAM A2", False),
        ("Spot Preemptible A2 Instance Core running in Iowa", "core A2", True),
        ("Preemptible N1 Predefined Instance Core running in Iowa", "core N1", True),
        ("N1 Predefined Instance Ram running in Iowa", "RAM N1", False),
        ("A3Plus Instance Core running in Iowa", "core A3Plus", False),
        ("A3Ultra Instance Ram running in Iowa", "RAM A3Ultra", False),
        ("A3 Ultra Instance Ram running in Iowa", "RAM A3Ultra", False),
        ("Spot Preemptible A3 Ultra Instance Core running in Iowa", "core A3Ultra", True),
        ("Nvidia Tesla A100 GPU running in Iowa", "GPU A100-40GB", False),
        ("Nvidia Tesla A100 80GB GPU running in Iowa", "GPU A100-80GB", False),
        ("Nvidia Tesla A100 80GB GPU attached to Spot Preemptible VMs running in Iowa", "GPU A100-80GB", True),
        ("Nvidia H100 80GB GPU running in Iowa", "GPU H100", False),
        ("Nvidia H100 80GB Plus GPU running in Iowa", "GPU H100 Mega", False),
        ("Nvidia H100 80GB Mega GPU running in Tokyo", "GPU H100 Mega", False),
        ("Nvidia H100 Mega 80GB GPU running in Tokyo", "GPU H100 Mega", False),
        ("H200 141GB GPU running in Netherlands", "GPU H200", False),
        ("A4 Nvidia B200 (1 gpu slice) running in Americas", "slice B200", False),
        ("Spot Preemptible A4 Nvidia B200 (1 gpu slice) running in Americas", "slice B200", True),
        ("Nvidia L4 GPU running in Sydney", "GPU L4", False),
        ("RTX 6000 96GB running in Belgium", "GPU RTX PRO 6000", False),
        ("RTX 6000 96GB attached to Spot Preemptible VMs running in Belgium", "GPU RTX PRO 6000", True),
        ("Nvidia Tesla P4 GPU running in Taiwan", "GPU P4", False),
    ],
)
def test_the_sentence_says_which_part(description: str, part: str, spot: bool) -> None:
    found = parse_sku(make_sku(description, "1.5", unit="GiBy.h" if part.startswith("RAM") else "h"))
    assert (found.name, found.spot) == (part, spot)


@pytest.mark.parametrize(
    ("description", "spot"),
    [
        ("SSD backed Local Storage", False),
        ("SSD backed Local Storage in Netherlands", False),
        ("SSD backed Local Storage running in Paris", False),
        ("SSD backed Local Storage attached to Spot Preemptible VMs", True),
        ("SSD backed Local Storage attached to Spot Preemptible VM in Paris", True),
    ],
)
def test_local_disks_with_and_without_a_place(description: str, spot: bool) -> None:
    found = parse_sku(make_sku(description, "0.08", unit="GiBy.mo", group="LocalSSD", family="Storage"))
    assert found == Part(
        name="local SSD", spot=spot, usd_per_hour=Fraction(8, 73_000), regions=("us-central1",), sku=found.sku
    )


def test_every_part_of_every_machine_has_a_name_in_the_catalogue() -> None:
    from providers.sources.gcp_skus import _PARTS

    billed = {part for machine in load_gcp_machines().values() for part in machine.billed}
    gpus = {machine.gpu_part for machine in load_gcp_machines().values()}
    assert billed <= set(_PARTS.values())
    assert gpus == {part for part in _PARTS.values() if part.startswith(("GPU ", "slice "))}


def test_what_the_category_calls_preemptible_is_spot() -> None:
    assert parse_sku(make_sku("Nvidia L4 GPU running in Iowa", "0.2", usage="Preemptible")).spot


@pytest.mark.parametrize("sku", make_decoys(), ids=lambda sku: sku["description"][:40])
def test_other_ways_of_buying_are_no_price_of_a_part(sku: dict[str, Any]) -> None:
    assert dropped(sku).reason in {"other_product", "not_a_gpu"}


@pytest.mark.parametrize("usage", ["Commit1Yr", "Commit3Yr", "CmtCudPremium"])
def test_another_usage_is_another_product(usage: str) -> None:
    assert dropped(make_sku("Nvidia L4 GPU running in Iowa", "0.2", usage=usage)).reason == "other_product"


def test_being_attached_to_something_unknown_is_another_product() -> None:
    found = dropped(make_sku("Nvidia L4 GPU attached to Lunar Cycle VMs running in Iowa", "0.2"))
    assert (found.reason, found.detail) == ("other_product", "Lunar Cycle")


def test_a_gpu_that_no_machine_has_is_named() -> None:
    found = dropped(make_sku("A4X Nvidia GB200 (1 gpu slice) running in Iowa", "20"))
    assert (found.reason, found.detail) == ("unknown_shape", "A4X Nvidia GB200 (1 gpu slice)")


def test_a_name_within_a_longer_name_is_not_that_product() -> None:
    found = dropped(make_sku("Nvidia L4 GPU Deluxe running in Iowa", "0.2"))
    assert (found.reason, found.detail) == ("unknown_shape", "Nvidia L4 GPU Deluxe")


def test_units_and_nanos_add_up() -> None:
    sku = make_sku("Nvidia H100 80GB GPU running in Iowa", "9.796551569")
    money = sku["pricingInfo"][0]["pricingExpression"]["tieredRates"][0]["unitPrice"]
    assert (money["units"], money["nanos"]) == ("9", 796_551_569)
    assert parse_sku(sku).usd_per_hour == Fraction(9_796_551_569, 10**9)


@pytest.mark.parametrize("money", [{"units": "3"}, {"units": 3}, {"units": Decimal(3), "nanos": 0}])
def test_a_zero_may_be_left_out(money: dict[str, Any]) -> None:
    sku = make_sku("Nvidia L4 GPU running in Iowa", "1")
    sku["pricingInfo"][0]["pricingExpression"]["tieredRates"][0]["unitPrice"] = money
    assert parse_sku(sku).usd_per_hour == 3


def test_the_last_tier_counts() -> None:
    sku = with_tiers(make_sku("Nvidia L4 GPU running in Iowa", "1"), (0, "0", 0), (744, "0", 560_040_239))
    assert parse_sku(sku).usd_per_hour == Fraction(560_040_239, 10**9)


def test_the_newest_of_a_timeline_counts() -> None:
    old, new = make_sku("Nvidia L4 GPU running in Iowa", "1"), make_sku("Nvidia L4 GPU running in Iowa", "0.9")
    old["pricingInfo"] += new["pricingInfo"]
    assert parse_sku(old).usd_per_hour == Fraction(9, 10)


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("GiBy.h", Fraction("0.004237")),
        ("GBy.h", Fraction("0.004237") * 2**30 / 10**9),
        ("MiBy.h", Fraction("0.004237") * 1024),
        ("GiBy.mo", Fraction("0.004237") / 730),
    ],
)
def test_units_of_memory_are_converted_exactly(unit: str, expected: Fraction) -> None:
    assert priced(unit) == expected


@pytest.mark.parametrize(
    ("description", "unit"),
    [
        ("A2 Instance Ram running in Iowa", "h"),
        ("A2 Instance Ram running in Iowa", "GiBy.d"),
        ("A2 Instance Ram running in Iowa", "By.s"),
        ("A2 Instance Core running in Iowa", "GiBy.h"),
        ("A2 Instance Core running in Iowa", "s"),
        ("Nvidia L4 GPU running in Iowa", "count"),
    ],
)
def test_a_unit_that_does_not_fit_is_said(description: str, unit: str) -> None:
    assert dropped(make_sku(description, "1", unit=unit)).reason == "unknown_unit"


def change(*path: str | int, value: object) -> dict[str, Any]:
    sku = make_sku("Nvidia L4 GPU running in Iowa", "0.56", AMERICAS)
    at: Any = sku
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return sku


MONEY = ("pricingInfo", 0, "pricingExpression", "tieredRates", 0, "unitPrice")


@pytest.mark.parametrize(
    ("sku", "reason"),
    [
        (None, "bad_row"),
        ([], "bad_row"),
        ({}, "bad_row"),
        (change("description", value=7), "bad_row"),
        (change("category", value=None), "bad_row"),
        (change("serviceRegions", value=[]), "bad_row"),
        (change("serviceRegions", value=["us-central1", 4]), "bad_row"),
        (change("serviceRegions", value="us-central1"), "bad_row"),
        (change("skuId", value=""), "bad_row"),
        (change("pricingInfo", value=[]), "no_price"),
        (change("pricingInfo", 0, "pricingExpression", "tieredRates", value=[]), "no_price"),
        (change(*MONEY, value=None), "bad_row"),
        (change(*MONEY, "units", value="a dollar"), "bad_price"),
        (change(*MONEY, "units", value="1.5"), "bad_price"),
        (change(*MONEY, "units", value=1.5), "bad_price"),
        (change(*MONEY, "units", value=True), "bad_price"),
        (change(*MONEY, "units", value="1E+40"), "bad_price"),
        (change(*MONEY, "nanos", value=10**9), "bad_price"),
        (change(*MONEY, "units", value="-1"), "negative_price"),
        (change(*MONEY, "nanos", value=0), "zero_price"),
        (change(*MONEY, "currencyCode", value="EUR"), "other_product"),
    ],
)
def test_what_is_no_sku_is_named(sku: object, reason: str) -> None:
    assert dropped(sku).reason == reason


def test_kinds_are_counted_and_problems_named() -> None:
    catalogue = Catalogue()
    catalogue.read([*make_decoys(), change("serviceRegions", value=[]), None])
    rows = catalogue.dropped
    assert not catalogue.parts
    assert DroppedRow(reason="other_product", item="dws", detail="SKUs: 2") in rows
    assert DroppedRow(reason="not_a_gpu", item="Network", detail="SKUs: 1") in rows
    bad = [row for row in rows if row.reason == "bad_row"]
    assert bad[0].item.endswith("Nvidia L4 GPU running in Iowa")
    assert bad[1].item == f"SKU {len(make_decoys()) + 2} of its page"
    assert sum(int(row.detail.removeprefix("SKUs: ")) for row in rows if row not in bad) == len(make_decoys())
