"""Google's machine prices out of the prices of their parts, to the digit."""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import providers
from providers.gpus import load_gpus
from providers.offer import EXCLUDING_FLAGS, NANO, NOTICE_FLAGS, PricingModel
from providers.scope import DROP_REASONS, Scope
from providers.sources import gcp_machines
from providers.sources.gcp_assemble import make_batches
from providers.sources.gcp_machines import load_gcp_machines
from providers.sources.gcp_skus import Catalogue
from providers.units import GIB
from tests.fixtures.fakes.gcp_catalogue import IOWA, make_catalogue, make_sku
from tests.fixtures.provider_fake import NOW

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from providers.offer import Offer
    from providers.scope import ScopeBatch

LIST = Path(providers.__file__).parent / "data" / "offers.csv"


def listed() -> Iterator[dict[str, str]]:
    with LIST.open(encoding="utf-8") as file:
        yield from (row for row in csv.DictReader(file) if row["provider"] == "gcp")


def batches_of(skus: Iterable[object], **wanted: Any) -> dict[tuple[str, str], ScopeBatch]:
    catalogue = Catalogue()
    catalogue.read(skus)
    made = make_batches(catalogue.parts, load_gcp_machines(), gpus=load_gpus(), observed_at=NOW, **wanted)
    return {(batch.scope.region, batch.scope.pricing_model.value): batch for batch in made}


def offers_by_type(batch: ScopeBatch) -> dict[str, Offer]:
    return {offer.instance_type: offer for offer in batch.offers}


def reasons(batch: ScopeBatch) -> dict[str, tuple[str, str]]:
    return {row.item: (row.reason, row.detail) for row in batch.dropped}


def a2(core: str = "0.031611", ram: str = "0.004237", gpu: str = "2.933908") -> list[dict[str, Any]]:
    return [
        make_sku("A2 Instance Core running in Iowa", core, group="CPU", sku_id="CORE"),
        make_sku("A2 Instance Ram running in Iowa", ram, group="RAM", unit="GiBy.h", sku_id="RAM"),
        make_sku("Nvidia Tesla A100 GPU running in Iowa", gpu, sku_id="GPU"),
    ]


def test_the_published_example() -> None:
    offer = offers_by_type(batches_of(a2())["us-central1", "on_demand"])["a2-highgpu-1g"]
    assert offer.unit_price_nano == 3_673_385_000
    assert 12 * Fraction("0.031611") + 85 * Fraction("0.004237") + Fraction("2.933908") == Fraction("3.673385")
    assert (offer.gpu, offer.gpu_name, offer.gpu_count) == ("A100-SXM-40GB", "A100", 1)
    assert (offer.vcpus, offer.host_ram_bytes, offer.zone) == (12, 85 * GIB, None)
    assert (offer.network_bytes_per_s, offer.disk_bytes) == (None, None)


def test_the_catalogue_of_us_central1_comes_out_at_the_bundled_prices() -> None:
    made = batches_of(make_catalogue())
    rows = [row for row in listed() if row["region"] == "us-central1"]
    assert len({row["instance_type"] for row in rows}) == 28
    for row in rows:
        offer = offers_by_type(made["us-central1", row["pricing_model"]])[row["instance_type"]]
        assert offer.unit_price_nano == Fraction(row["price_per_hour"]) * NANO, row["instance_type"]


def test_published_prices_of_what_the_list_does_not_hold() -> None:
    made = batches_of(make_catalogue())
    on_demand = offers_by_type(made["us-central1", "on_demand"])
    # 224 cores, 2952 GiB, 8 GPUs and 12000 GiB of disk for 730 hours a month: the price that Google publishes.
    assert on_demand["a3-ultragpu-8g"].unit_price_nano == 84_806_908_493
    # A slice of a GPU carries its share of the machine: nothing comes on top.
    assert on_demand["a4-highgpu-8g"].unit_price_nano == 8 * 16_110_000_000
    spot = offers_by_type(made["us-central1", "spot"])
    assert spot["a4-highgpu-8g"].unit_price_nano == 8 * 4_954_200_000


def test_one_rounding_at_the_end() -> None:
    # 375 GiB at 0.08 a month are 0.04109589041... an hour: eight of the rounded figure would end in 88.
    made = batches_of(make_catalogue())
    prices = {name: offer.unit_price_nano for name, offer in offers_by_type(made["us-central1", "on_demand"]).items()}
    assert prices["a2-ultragpu-1g"] == 5_068_797_890
    assert prices["a2-ultragpu-8g"] == 40_550_383_123 == 8 * prices["a2-ultragpu-1g"] + 3


@pytest.mark.parametrize("model", ["on_demand", "spot"])
def test_the_counts_of_the_table_fit_the_bundled_prices_of_all_regions(model: str) -> None:
    """Prices of machines that share their parts are sums of the same few unknowns: solve them, and predict the rest."""
    machines = load_gcp_machines()
    prices: dict[str, dict[str, Fraction]] = {}
    for row in listed():
        if row["pricing_model"] == model:
            prices.setdefault(row["region"], {})[row["instance_type"]] = Fraction(row["price_per_hour"])
    checked = 0
    for by_type in prices.values():
        for name, price in by_type.items():
            family, _, size = name.rpartition("-")
            if family == "g2-standard":
                per_vcpu = (by_type["g2-standard-8"] - by_type["g2-standard-4"]) / 4
                gpu = by_type["g2-standard-4"] - 4 * per_vcpu
                expected = machines[name].vcpus * per_vcpu + machines[name].gpu_billed * gpu
            elif size in {"2g", "4g", "8g"} and f"{family}-1g" in by_type:
                expected = by_type[f"{family}-1g"] * machines[name].gpu_billed
            elif family == "g4-standard" and name != "g4-standard-6":
                expected = by_type["g4-standard-48"] * machines[name].gpu_billed
            else:
                continue
            checked += 1
            assert abs(price - expected) < Fraction(16, NANO), name
    assert checked > 250


def test_the_table_of_machines_agrees_with_the_bundled_list() -> None:
    machines, gpus = load_gcp_machines(), load_gpus()
    seen = set()
    for row in listed():
        name = row["instance_type"]
        machine = machines[name]
        gpu = gpus.resolve(machine.gpu) if machine.gpu else None
        assert (gpu.id if gpu else "", machine.gpu_name) == (row["gpu"], row["gpu_name"])
        assert (str(machine.gpu_count), str(machine.vcpus)) == (row["gpu_count"], row["vcpus"])
        assert machine.ram_gib == Fraction(row["host_ram_gib"])
        assert not machine.regions or row["region"] in machine.regions
        flags = {*machine.flags, *(machine.on_demand_flags if row["pricing_model"] == "on_demand" else ())}
        # A suspected floor is for the gate to see, from the prices.
        assert flags == set(row["flags"].split(";")) - {"", "clamp_suspected"}
        seen.add(name)
    assert set(machines) - seen == {name for name in machines if name.startswith(("n1-", "a4-", "a3-ultra"))}


def test_the_memory_of_the_smallest_fraction_is_what_its_price_was_made_of() -> None:
    by_type = {
        row["instance_type"]: Fraction(row["price_per_hour"])
        for row in listed()
        if (row["region"], row["pricing_model"]) == ("us-central1", "on_demand")
    }
    per_gib = Fraction("0.00587")
    assert by_type["g4-standard-48"] / 8 - by_type["g4-standard-6"] == (Fraction("22.5") - 22) * per_gib


def test_flags_of_offers() -> None:
    made = batches_of(make_catalogue())
    on_demand = offers_by_type(made["us-central1", "on_demand"])
    spot = offers_by_type(made["us-central1", "spot"])
    assert on_demand["a3-highgpu-4g"].flags == ("not_sold_on_demand",)
    assert spot["a3-highgpu-4g"].flags == on_demand["a3-highgpu-8g"].flags == ()
    assert on_demand["a4-highgpu-8g"].flags == ("not_sold_on_demand",)
    assert spot["g4-standard-12"].flags == ("fractional", "gpu_unknown")
    assert spot["g4-standard-12"].gpu is None
    assert spot["n1-standard-8+1xP4"].flags == ("gpu_unknown",)


def test_types_are_offered_where_they_are_known_to_be() -> None:
    everywhere = [{**sku, "serviceRegions": ["europe-north1", "us-central1"]} for sku in a2()]
    made = batches_of(everywhere)
    assert "a2-megagpu-16g" in offers_by_type(made["us-central1", "on_demand"])
    found = made["europe-north1", "on_demand"]
    assert set(offers_by_type(found)) == {f"a2-highgpu-{count}g" for count in (1, 2, 4, 8)}
    assert not found.dropped


def test_a_missing_part_is_named() -> None:
    found = batches_of(a2()[1:])["us-central1", "on_demand"]
    assert not found.offers
    assert reasons(found)["a2-highgpu-8g"] == ("incomplete_parts", "no price of core A2")


def test_a_family_without_its_gpu_is_incomplete_and_a_shared_one_is_just_not_there() -> None:
    skus = [
        make_sku("A3Plus Instance Core running in Iowa", "0.03", group="CPU"),
        make_sku("N1 Predefined Instance Core running in Iowa", "0.03", group="N1Standard"),
        make_sku("Nvidia L4 GPU running in Iowa", "0.5"),
    ]
    found = batches_of(skus)["us-central1", "on_demand"]
    detail = "no price of RAM A3Plus, GPU H100 Mega, local SSD"
    assert reasons(found)["a3-megagpu-8g"] == ("incomplete_parts", detail)
    assert not any(row.item.startswith("n1-") for row in found.dropped)


def test_spot_needs_spot_prices_of_every_part() -> None:
    spot_gpu = make_sku("Nvidia Tesla A100 GPU attached to Spot Preemptible VMs running in Iowa", "1.5")
    found = batches_of([*a2(), spot_gpu])["us-central1", "spot"]
    assert reasons(found)["a2-highgpu-1g"] == ("incomplete_parts", "no price of core A2, RAM A2")


@pytest.mark.parametrize("turned", [False, True])
def test_two_prices_of_one_part_are_none(turned: bool) -> None:
    other = make_sku("Nvidia Tesla A100 GPU running in Americas", "2.9", IOWA, sku_id="WIDE")
    skus = [*a2(), other]
    found = batches_of(reversed(skus) if turned else skus)["us-central1", "on_demand"]
    assert not found.offers
    detail = "GPU A100-40GB: $2.90/h (SKU WIDE) or $2.933908/h (SKU GPU)"
    assert reasons(found)["a2-highgpu-2g"] == ("ambiguous_parts", detail)


def test_one_price_from_two_skus_is_one_price() -> None:
    same = [
        make_sku("Nvidia Tesla A100 GPU running in Americas", "2.933908", IOWA),
        make_sku("A2 Instance Ram running in Americas", "4.338688", group="RAM", unit="TiBy.h"),
    ]
    found = batches_of([*a2(), *a2(), *same])["us-central1", "on_demand"]
    assert offers_by_type(found)["a2-highgpu-1g"].unit_price_nano == 3_673_385_000


def test_an_ambiguous_part_harms_no_machine_without_it() -> None:
    disk = {"group": "LocalSSD", "unit": "GiBy.mo", "family": "Storage"}
    made = batches_of([*make_catalogue(), make_sku("SSD backed Local Storage in Iowa", "0.09", **disk)])
    found = made["us-central1", "on_demand"]
    assert {name for name, (reason, _) in reasons(found).items() if reason == "ambiguous_parts"} == {
        name for name, machine in load_gcp_machines().items() if machine.ssd_gib and machine.family != "A4"
    }
    assert "a2-highgpu-1g" in offers_by_type(found)


def test_a_slice_beside_cores_of_its_family_says_which_is_billed_no_more() -> None:
    skus = [
        make_sku("A4 Nvidia B200 (1 gpu slice) running in Iowa", "16.11"),
        make_sku("A4 Instance Core running in Iowa", "0.03", group="CPU"),
    ]
    found = batches_of(skus)["us-central1", "on_demand"]
    assert not found.offers
    assert reasons(found)["a4-highgpu-8g"][0] == "ambiguous_parts"


def test_a_sum_beyond_any_price_is_dropped() -> None:
    found = batches_of(a2(gpu="999999"))["us-central1", "on_demand"]
    assert set(offers_by_type(found)) == {"a2-highgpu-1g"}
    assert reasons(found)["a2-highgpu-8g"][0] == "bad_price"


def test_batches_are_those_asked_for_empty_ones_too() -> None:
    asked = frozenset({"us-central1", "mars-north1"})
    made = batches_of(make_catalogue(), regions=asked, models=frozenset({PricingModel.SPOT}))
    assert list(made) == [("mars-north1", "spot"), ("us-central1", "spot")]
    assert made["mars-north1", "spot"].scope == Scope(
        provider="gcp", region="mars-north1", pricing_model=PricingModel.SPOT
    )
    assert not made["mars-north1", "spot"].offers
    assert made["us-central1", "spot"].offers


def test_without_a_wish_every_region_with_a_gpu_price_has_both_models() -> None:
    made = batches_of(make_catalogue())
    regions = {region for region, _ in made}
    assert regions == {"europe-west1", "europe-west4", "us-central1", "us-east1", "us-west1"}
    assert set(made) == {(region, model) for region in regions for model in ("on_demand", "spot")}


def test_the_table_is_well_formed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machines, gpus = load_gcp_machines(), load_gpus()
    for machine in machines.values():
        assert not machine.gpu or gpus.resolve(machine.gpu) or machine.gpu == "P4"
        assert {*machine.flags, *machine.on_demand_flags} <= {*EXCLUDING_FLAGS, *NOTICE_FLAGS}
    assert {"incomplete_parts", "ambiguous_parts"} <= set(DROP_REASONS)
    lines = gcp_machines._TABLE.read_text(encoding="utf-8").splitlines()
    for bad, words in [
        ([lines[0] + ",more", *lines[1:]], "columns"),
        ([*lines, lines[1]], "line 46: a2-highgpu-1g stands here twice"),
        ([*lines, lines[1].replace("a2-highgpu-1g", "x").replace(",12,", ",0,")], "line 46: a count is not above 0"),
        ([*lines, lines[1] + ",more"], "line 46"),
    ]:
        table = tmp_path / "gcp_machines.csv"
        table.write_text("\n".join(bad), encoding="utf-8")
        monkeypatch.setattr(gcp_machines, "_TABLE", table)
        with pytest.raises(ValueError, match=words):
            load_gcp_machines.__wrapped__()
