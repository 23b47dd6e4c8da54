"""What becomes of AWS's rows: the price list, spot history, capacity blocks. Nothing here asks anybody."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from cache.gate import on_demand_key
from providers.errors import ResponseChanged
from providers.gpus import load_gpus
from providers.offer import NANO, PricingModel
from providers.sources.aws_machines import Machine
from providers.sources.aws_prices import OnDemandPrices, Parsed, add_products
from providers.sources.aws_spot import lacks_zone_ids, parse_blocks, parse_spot, parse_zones
from tests.fixtures.fakes.aws_market import block, product, spot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.scope import DroppedRow

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
P5 = Machine(instance_type="p5.48xlarge", gpu="H100-SXM-80GB", gpu_name="H100", gpu_count=8, vcpus=192)
G6 = Machine(instance_type="g6.4xlarge", gpu="L4-24GB", gpu_name="L4", gpu_count=1)
MACHINES = {machine.instance_type: machine for machine in (P5, G6)}
ZONES = {"us-east-1a": "use1-az6", "us-east-1b": "use1-az1"}


def read(*rows: Any, region: str = "us-east-1", offered: frozenset[str] | None = None) -> Parsed:
    """Return what becomes of products, each as the text that AWS sends; texts are taken as they are."""
    prices = OnDemandPrices(region=region, gpus=load_gpus(), machines={}, offered=offered)
    add_products(prices, [row if isinstance(row, str | int) else json.dumps(row) for row in rows])
    return prices.finish(observed_at=NOW, source="here")


def read_spot(*rows: Any, region: str = "us-east-1", machines: Mapping[str, Machine] = MACHINES) -> Parsed:
    return parse_spot(rows, region=region, machines=machines, zone_ids=ZONES, observed_at=NOW)


def read_blocks(*rows: Any) -> Parsed:
    return parse_blocks(rows, region="us-east-1", machines=MACHINES, zone_ids=ZONES, observed_at=NOW)


def reasons(dropped: tuple[DroppedRow, ...]) -> dict[str, str]:
    return {row.item: row.reason for row in dropped}


def test_a_price_is_exact_and_on_demand_terms_only() -> None:
    [offer] = read(product("p4d.24xlarge", "21.9576420000")).offers
    assert offer.unit_price_nano == 21_957_642_000
    assert (offer.pricing_model, offer.zone, offer.currency) == (PricingModel.ON_DEMAND, None, "USD")
    assert offer.observed_at == NOW
    assert offer.flags == ()


@pytest.mark.parametrize(
    ("changed", "detail"),
    [
        ({"operatingSystem": "Windows"}, "operatingSystem Windows"),
        ({"preInstalledSw": "SQL Web"}, "preInstalledSw SQL Web"),
        ({"tenancy": "Dedicated"}, "tenancy Dedicated"),
        ({"capacitystatus": "UnusedCapacityReservation"}, "capacitystatus UnusedCapacityReservation"),
        ({"marketoption": "CapacityBlock"}, "marketoption CapacityBlock"),
        ({"locationType": "AWS Local Zone"}, "locationType AWS Local Zone"),
        ({"regionCode": "us-east-1-atl-2"}, "regionCode us-east-1-atl-2"),
    ],
)
def test_other_products_have_no_say(changed: dict[str, str], detail: str) -> None:
    parsed = read(product("g5.xlarge", "1.0060000000"), product("p5.48xlarge", "66.0480000000", **changed))
    assert [offer.instance_type for offer in parsed.offers] == ["g5.xlarge"]
    [dropped] = parsed.dropped
    assert (dropped.item, dropped.reason, dropped.detail) == ("p5.48xlarge", "other_product", detail)


def test_an_older_list_without_market_options_is_read() -> None:
    assert len(read(product("g5.xlarge", "1.006", marketoption="", locationType="")).offers) == 1


def test_a_price_of_zero_is_a_capacity_block_and_no_price() -> None:
    parsed = read(product("p5e.48xlarge", "0.0000000000"), product("g5.xlarge", "1.0060000000"))
    assert [offer.instance_type for offer in parsed.offers] == ["g5.xlarge"]
    assert reasons(parsed.dropped) == {"p5e.48xlarge": "zero_price"}


def test_china_is_priced_in_yuan_and_kept_apart() -> None:
    [offer] = read(product("p4d.24xlarge", "213.3350000000", "cn-north-1", currency="CNY"), region="cn-north-1").offers
    assert (offer.currency, offer.unit_price_nano) == ("CNY", 213_335_000_000)
    assert "foreign_currency" in offer.flags
    assert offer.excluded_because


def test_dollars_win_where_both_are_stated() -> None:
    row = product("g5.xlarge", "1.0060000000")
    [term] = row["terms"]["OnDemand"].values()
    [dimension] = term["priceDimensions"].values()
    dimension["pricePerUnit"] = {"CNY": "7.1", "USD": "1.0060000000"}
    [offer] = read(row).offers
    assert (offer.currency, offer.unit_price_nano) == ("USD", 1_006_000_000)


def test_two_prices_of_one_type_are_none() -> None:
    parsed = read(product("g5.xlarge", "1.0060000000"), product("g5.xlarge", "1.1060000000"))
    assert parsed.offers == ()
    [dropped] = parsed.dropped
    assert (dropped.item, dropped.reason) == ("g5.xlarge", "ambiguous_parts")
    assert dropped.detail == "$1.006/h, $1.106/h"


def test_the_same_price_twice_is_one() -> None:
    assert len(read(product("g5.xlarge", "1.0060000000"), product("g5.xlarge", "1.006")).offers) == 1


def test_two_prices_within_one_product_are_none() -> None:
    row = product("g5.xlarge", "1.0060000000")
    [term] = row["terms"]["OnDemand"].values()
    [dimension] = term["priceDimensions"].values()
    term["priceDimensions"]["another"] = {**dimension, "beginRange": "100", "pricePerUnit": {"USD": "0.9"}}
    assert reasons(read(row, product("g6.4xlarge", "1.3232")).dropped) == {"g5.xlarge": "ambiguous_parts"}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (product("g5.xlarge", "1.006", unit="Quantity"), "unknown_unit"),
        (product("g5.xlarge", "1.006", currency="dollars"), "bad_row"),
        (product("g5.xlarge", "-1.006"), "negative_price"),
        (product("g5.xlarge", "one"), "bad_price"),
        (product("g5.xlarge", "1e9"), "bad_price"),
        (product("g5.xlarge", ""), "no_price"),
        ({**product("g5.xlarge", "1"), "terms": {}}, "no_price"),
        (product("m5.large", "0.0960000000"), "not_a_gpu"),
    ],
)
def test_rows_without_a_usable_price(row: dict[str, Any], reason: str) -> None:
    parsed = read(row, product("g6.4xlarge", "1.3232"))
    assert [offer.instance_type for offer in parsed.offers] == ["g6.4xlarge"]
    assert [dropped.reason for dropped in parsed.dropped] == [reason]


@pytest.mark.parametrize(
    "row", ["{", "[" * 100_000, '{"product": NaN}', "null", 7, {"product": {}}, {"terms": []}, {"product": []}]
)
def test_rows_that_are_no_products(row: Any) -> None:
    parsed = read(row, product("g5.xlarge", "1.0060000000"))
    assert len(parsed.offers) == 1
    assert [dropped.reason for dropped in parsed.dropped] == ["bad_row"]
    with pytest.raises(ResponseChanged):
        read(row)


def test_terms_of_another_kind_are_a_broken_row() -> None:
    whole = product("g5.xlarge", "1.0060000000")
    for broken in ([], {"term": []}, {"term": {"priceDimensions": 1}}, {"term": {"priceDimensions": {"rate": 1.5}}}):
        parsed = read({**whole, "terms": {"OnDemand": broken}}, product("g6.4xlarge", "1.3232"))
        assert len(parsed.offers) == 1
        assert [dropped.reason for dropped in parsed.dropped] == ["bad_row"]


def test_nothing_but_other_products_is_not_the_answer_to_the_question() -> None:
    with pytest.raises(ResponseChanged, match="no product"):
        read(product("g5.xlarge", "1.0060000000", operatingSystem="Windows"))
    assert read() == Parsed((), ())


def test_what_is_priced_and_not_offered_cannot_be_had() -> None:
    parsed = read(product("p3dn.24xlarge", "31.2120000000"), offered=frozenset({"g5.xlarge"}))
    assert parsed.offers == ()
    assert reasons(parsed.dropped) == {"p3dn.24xlarge": "no_capacity"}


def test_the_newest_spot_price_of_a_zone_counts_in_any_order() -> None:
    rows = [
        spot("p5.48xlarge", "us-east-1a", "29.5", age_h=30),
        spot("p5.48xlarge", "us-east-1a", "31.4147", age_h=1),
        spot("p5.48xlarge", "us-east-1a", "30.25", age_h=9),
    ]
    for order in (rows, rows[::-1], [rows[1], rows[0], rows[2]]):
        [offer] = read_spot(*order).offers
        assert offer.unit_price_nano == 31_414_700_000
        assert offer.zone == "use1-az6"
        assert offer.observed_at == NOW  # not the time at which the price came into force


def test_zones_are_ids_stated_or_looked_up() -> None:
    rows = [
        spot("p5.48xlarge", "us-east-1b", "31.0", zone_id="use1-az4"),
        spot("p5.48xlarge", "us-east-1b", "32.0"),
        spot("p5.48xlarge", "us-east-1z", "33.0"),
    ]
    parsed = read_spot(*rows)
    assert [(offer.zone, offer.unit_price_nano // NANO) for offer in parsed.offers] == [
        ("use1-az1", 32),
        ("use1-az4", 31),
    ]
    assert [row.reason for row in parsed.dropped] == ["bad_row"]
    assert lacks_zone_ids(rows)
    assert not lacks_zone_ids(rows[:1])


@pytest.mark.parametrize("zone_id", ["use1-az1", "usw2-az12", "apne1-az4"])
def test_spot_of_a_zone_is_held_against_on_demand_of_its_region(zone_id: str) -> None:
    # At the on-demand price (a cap), above it, and at exactly a tenth of it (a floor): the gate sees the pair.
    for price in ("55.040000", "60.000000", "5.504000"):
        [offer] = read_spot(spot("p5.48xlarge", "us-east-1a", price, zone_id=zone_id)).offers
        [twin] = read(product("p5.48xlarge", "55.0400000000")).offers
        assert on_demand_key(offer) == on_demand_key(twin)
        assert offer.unit_price_nano == Decimal(price) * NANO


@pytest.mark.parametrize("zone_id", ["use1-atl2-az1", "usw2-lax1-az2", "use1-wl1-bos-wlz1"])
def test_a_local_zone_is_not_held_against_the_price_of_its_region(zone_id: str) -> None:
    [offer] = read_spot(spot("p5.48xlarge", "us-east-1-atl-2a", "58.000000", zone_id=zone_id)).offers
    [twin] = read(product("p5.48xlarge", "55.0400000000")).offers
    assert (offer.zone, offer.variant) == (zone_id, "local-zone")
    assert on_demand_key(offer) != on_demand_key(twin)


def test_spot_without_an_on_demand_price_is_kept() -> None:
    p5e = replace(P5, instance_type="p5e.48xlarge", gpu="H200-SXM-141GB", gpu_name="H200")
    [offer] = read_spot(spot("p5e.48xlarge", "us-east-1a", "40.25"), machines={"p5e.48xlarge": p5e}).offers
    assert (offer.gpu, offer.flags) == ("H200-SXM-141GB", ())


def test_spot_in_china_is_in_yuan() -> None:
    [offer] = read_spot(spot("p5.48xlarge", "-", "200", zone_id="cnn1-az1"), region="cn-north-1").offers
    assert offer.currency == "CNY"
    assert "foreign_currency" in offer.flags


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"Timestamp": datetime(2026, 11, 24)}, "bad_row"),  # noqa: DTZ001 (a naive moment is the point)
        ({"Timestamp": "2026-11-24"}, "bad_row"),
        ({"ProductDescription": "Windows"}, "other_product"),
        ({"InstanceType": "m5.large"}, "not_a_gpu"),
        ({"SpotPrice": "0.000000"}, "zero_price"),
        ({"SpotPrice": "cheap"}, "bad_price"),
        ({"SpotPrice": None}, "no_price"),
        ({"InstanceType": ""}, "bad_row"),
    ],
)
def test_spot_rows_that_are_no_offer(changed: dict[str, Any], reason: str) -> None:
    good = spot("g6.4xlarge", "us-east-1a", "0.5")
    parsed = read_spot({**spot("p5.48xlarge", "us-east-1a", "31"), **changed}, good)
    assert [offer.instance_type for offer in parsed.offers] == ["g6.4xlarge"]
    assert [row.reason for row in parsed.dropped] == [reason]


def test_both_names_of_linux_are_linux() -> None:
    row = {**spot("p5.48xlarge", "us-east-1a", "31"), "ProductDescription": "Linux/UNIX (Amazon VPC)"}
    assert len(read_spot(row).offers) == 1


def test_spot_of_another_shape_is_refused_and_none_is_none() -> None:
    assert read_spot() == Parsed((), ())
    with pytest.raises(ResponseChanged, match="spot price history"):
        read_spot({"weather": "grey"}, "row")


def test_zones_of_another_shape_are_refused() -> None:
    assert parse_zones([{"ZoneName": "us-east-1a", "ZoneId": "use1-az6"}]) == {"us-east-1a": "use1-az6"}
    with pytest.raises(ResponseChanged, match="zone"):
        parse_zones([{"ZoneName": "us-east-1a"}])


def test_a_block_costs_its_fee_by_its_hours() -> None:
    [offer] = read_blocks(block("p5.48xlarge", "us-east-1b", "755.1360")).offers
    assert Decimal(offer.unit_price_nano) * 24 == Decimal("755.1360") * NANO
    assert (offer.pricing_model, offer.zone, offer.variant) == (PricingModel.RESERVED, "use1-az1", None)
    assert offer.flags == ("commitment",)
    assert offer.excluded_because
    assert offer.billing
    assert (offer.billing.minimum_s, offer.billing.charged_when_stopped) == (86_400, True)


def test_the_cheapest_block_of_a_zone_by_the_hour() -> None:
    rows = [
        block("p5.48xlarge", "us-east-1a", "760.00", hours=23, minutes=30),
        block("p5.48xlarge", "us-east-1a", "770.00"),
        block("p5.48xlarge", "us-east-1b", "800.00"),
    ]
    for order in (rows, rows[::-1]):
        assert [(offer.zone, offer.unit_price_nano) for offer in read_blocks(*order).offers] == [
            ("use1-az1", 33_333_333_333), ("use1-az6", 32_083_333_333),
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"UpfrontFee": "0.0000"}, "zero_price"),
        ({"UpfrontFee": None}, "no_price"),
        ({"UpfrontFee": "-1"}, "negative_price"),
        ({"UpfrontFee": "much"}, "bad_price"),
        ({"CapacityBlockDurationHours": 0}, "bad_row"),
        ({"CapacityBlockDurationHours": None}, "bad_row"),
        ({"InstanceCount": 2}, "other_product"),
        ({"Tenancy": "dedicated"}, "other_product"),
        ({"UltraserverType": "u-p6e-gb200x36"}, "other_product"),
        ({"CapacityBlockOfferingSegments": [{}, {}]}, "other_product"),
        ({"CurrencyCode": "dollars"}, "bad_row"),
        ({"AvailabilityZone": "us-east-1z"}, "bad_row"),
        ({"InstanceType": "trn1.32xlarge"}, "not_a_gpu"),
    ],
)
def test_blocks_that_are_no_offer(changed: dict[str, Any], reason: str) -> None:
    parsed = read_blocks(
        {**block("p5.48xlarge", "us-east-1a", "760"), **changed}, block("g6.4xlarge", "us-east-1a", "24")
    )
    assert [offer.instance_type for offer in parsed.offers] == ["g6.4xlarge"]
    assert [row.reason for row in parsed.dropped] == [reason]


def test_blocks_of_another_shape_are_refused() -> None:
    with pytest.raises(ResponseChanged, match="capacity block"):
        read_blocks({"weather": "grey"})
