"""What the bundled price list must keep: coverage, sources, sense, and the traps that its sources hold."""

from __future__ import annotations

import csv
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from importlib import resources

import pytest

from optimizer.search.offers_columns import lay_out_offers
from providers.bundled import load_billing, load_bundled_offers
from providers.gpus import load_gpus
from providers.machines import load_machines
from providers.offer import EXCLUDING_FLAGS, NANO, NOTICE_FLAGS, Offer, PriceClass, PricingModel
from providers.registry import provider_names
from providers.snapshot import make_snapshot

GPUS = load_gpus()
OFFERS = load_bundled_offers(GPUS)
CANDIDATES = [offer for offer in OFFERS if offer.excluded_because is None]
BIG_CLOUDS = {"aws", "azure", "gcp"}
MACHINES = load_machines()
DATA = resources.files("providers").joinpath("data")
BY_TYPE = {(offer.provider, offer.instance_type): offer for offer in OFFERS}


def offer_of(provider: str, instance_type: str, **place: object) -> Offer:
    (found,) = (
        offer
        for offer in OFFERS
        if (offer.provider, offer.instance_type) == (provider, instance_type)
        and all(getattr(offer, name) == value for name, value in place.items())
    )
    return found


def test_coverage() -> None:
    candidates = {offer.provider for offer in CANDIDATES}
    assert candidates >= BIG_CLOUDS
    assert len(candidates - BIG_CLOUDS) >= 10
    counts = Counter((offer.provider, offer.pricing_model) for offer in OFFERS)
    assert counts["aws", PricingModel.ON_DEMAND] == 67
    assert counts["azure", PricingModel.ON_DEMAND] == 774
    assert counts["gcp", PricingModel.ON_DEMAND] == counts["gcp", PricingModel.SPOT] == 384
    assert len(OFFERS) == 1919
    assert len({offer.region for offer in OFFERS if offer.provider == "azure"}) == 50
    assert len({offer.gpu for offer in CANDIDATES}) >= 40


def test_keys_are_unique_and_rows_sorted() -> None:
    keys = [offer.key for offer in OFFERS]
    assert len(set(keys)) == len(keys)
    order = [(key[0], key[1], key[3], key[4], key[5]) for key in keys]
    assert order == sorted(order)


def test_every_row_is_sourced_dated_and_listed() -> None:
    first, last = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 8, 31, tzinfo=UTC)
    for offer in OFFERS:
        assert first <= offer.observed_at <= last, offer.key
        assert offer.source.endswith(("(Apache-2.0)", "(MIT)")), offer.key
        assert offer.price_class is PriceClass.LIST
        assert offer.currency == "USD"
        assert offer.unit_price_nano > 0
        assert set(offer.flags) <= EXCLUDING_FLAGS.keys() | NOTICE_FLAGS.keys(), offer.key
        assert offer.gpu is not None or set(offer.flags) & EXCLUDING_FLAGS.keys(), offer.key


def test_candidates_cost_what_a_gpu_can_cost() -> None:
    for offer in CANDIDATES:
        per_gpu = offer.unit_price_nano / NANO / offer.gpu_count
        assert 0.02 <= per_gpu <= 25, offer.key
        assert offer.gpu is not None
        if GPUS.by_id[offer.gpu].chip in {"H100", "H200", "B200", "B300"}:
            assert per_gpu >= 0.75, offer.key


def test_spot_candidates_cost_less_than_on_demand() -> None:
    on_demand = {offer.key[:5]: offer for offer in OFFERS if offer.pricing_model is PricingModel.ON_DEMAND}
    spot = [offer for offer in CANDIDATES if offer.pricing_model is PricingModel.SPOT]
    pairs = [(offer, on_demand[offer.key[:5]]) for offer in spot if offer.key[:5] in on_demand]
    assert len(pairs) > 350
    for cheap, full in pairs:
        assert cheap.unit_price_nano < full.unit_price_nano, cheap.key
        assert cheap.unit_price_nano > 0.1 * full.unit_price_nano, cheap.key


def test_a_worked_price() -> None:
    """12 cores at 0.031611, 85 GB at 0.004237 and one A100 at 2.933908: the published sum of its parts."""
    offer = offer_of("gcp", "a2-highgpu-1g", region="us-central1", pricing_model=PricingModel.ON_DEMAND)
    assert offer.unit_price_nano == 3_673_385_000
    assert offer.gpu == "A100-SXM-40GB"


@pytest.mark.parametrize(
    ("provider", "instance_type", "gpu", "count"),
    [
        ("aws", "p4d.24xlarge", "A100-SXM-40GB", 8),
        ("aws", "p4de.24xlarge", "A100-SXM-80GB", 8),
        ("aws", "p3.16xlarge", "V100-SXM2-16GB", 8),
        ("aws", "p3dn.24xlarge", "V100-SXM2-32GB", 8),
        ("aws", "p5.48xlarge", "H100-SXM-80GB", 8),
        ("aws", "p5en.48xlarge", "H200-SXM-141GB", 8),
        ("aws", "g5.12xlarge", "A10G-24GB", 4),
        ("aws", "g5.16xlarge", "A10G-24GB", 1),
        ("azure", "Standard_NC24ads_A100_v4", "A100-PCIE-80GB", 1),
        ("azure", "Standard_ND96amsr_A100_v4", "A100-SXM-80GB", 8),
        ("azure", "Standard_ND96asr_v4", "A100-SXM-40GB", 8),
        ("azure", "Standard_NC40ads_H100_v5", "H100-NVL-94GB", 1),
        ("azure", "Standard_ND96isr_H100_v5", "H100-SXM-80GB", 8),
        ("azure", "Standard_ND40rs_v2", "V100-SXM2-32GB", 8),
        ("azure", "Standard_NV72ads_A10_v5", "A10-24GB", 2),
        ("gcp", "a2-ultragpu-8g", "A100-SXM-80GB", 8),
        ("gcp", "a2-megagpu-16g", "A100-SXM-40GB", 16),
        ("gcp", "a3-megagpu-8g", "H100-SXM-80GB", 8),
        ("gcp", "g2-standard-32", "L4-24GB", 1),
        ("gcp", "g4-standard-384", "RTX-PRO-6000-96GB", 8),
        ("verda", "gb300-sxm", "GB300-288GB", 1),
        ("coreweave", "quadro-rtx-4000", "QUADRO-RTX-4000-8GB", 1),
        ("akash", "rtx-4000-ada", "RTX-4000-ADA-20GB", 1),
        ("packet-ai", "rtx-pro-6000-pcie", "RTX-PRO-6000-96GB", 1),
        ("dataoorts", "x-series-rtx-pro-a6000-se", "RTX-PRO-6000-96GB", 1),
        ("lambda", "quadro-rtx-6000", "QUADRO-RTX-6000-24GB", 1),
        ("hyperstack", "h100-nvlink", "H100-PCIE-80GB", 1),
        ("salad", "rtx-4070-ti-super", "RTX-4070-TI-SUPER-16GB", 1),
    ],
)
def test_the_chip_of_the_machine(provider: str, instance_type: str, gpu: str, count: int) -> None:
    """Marketing names hide memory, form factor and generation: these were read from the type, not from the name."""
    offer = BY_TYPE[provider, instance_type]
    assert (offer.gpu, offer.gpu_count) == (gpu, count)


@pytest.mark.parametrize(
    ("flag", "provider", "instance_type"),
    [
        ("fractional", "aws", "g6f.2xlarge"),
        ("fractional", "aws", "gr6f.4xlarge"),
        ("fractional", "azure", "Standard_NV18ads_A10_v5"),
        ("fractional", "gcp", "g4-standard-24"),
        ("gpu_price_only", "coreweave", "h100-sxm"),
        ("gpu_price_only", "modal", "h100"),
        ("gpu_price_only", "tensordock", "h100-sxm5"),
        ("gpu_price_only", "salad", "rtx-4090"),
        ("memory_mismatch", "akash", "b300"),
        ("memory_mismatch", "vast", "l40"),
        ("modified_card", "gpuhub", "rtx-4090-48gb"),
        ("per_gpu_of_node", "hyperstack", "h100-sxm"),
        ("retired", "azure", "Standard_NC6s_v3"),
        ("retired", "azure", "Standard_NC24rs_v3"),
        ("confidential", "azure", "Standard_NCC40ads_H100_v5"),
        ("confidential", "dataoorts", "nova-rtx-pro-6000-cc"),
    ],
)
def test_traps_are_no_candidates(flag: str, provider: str, instance_type: str) -> None:
    rows = [offer for offer in OFFERS if (offer.provider, offer.instance_type) == (provider, instance_type)]
    assert rows
    assert all(flag in offer.flags for offer in rows)
    assert not any(offer in CANDIDATES for offer in rows)


def test_one_gpu_slices_of_a3_are_spot_only() -> None:
    slices = [offer for offer in OFFERS if offer.instance_type in {f"a3-highgpu-{n}g" for n in (1, 2, 4)}]
    assert {offer.pricing_model for offer in slices if offer.excluded_because is None} == {PricingModel.SPOT}


def test_a_spot_price_above_on_demand_is_no_candidate() -> None:
    offer = offer_of("runpod", "h100-sxm", pricing_model=PricingModel.SPOT)
    assert offer.unit_price_nano == 4_760_000_000
    assert "spot_not_below_on_demand" in offer.flags
    assert offer.excluded_because is not None


def test_secure_and_community_are_different_offers() -> None:
    community = offer_of("runpod", "rtx-4090", variant="community")
    secure = offer_of("runpod", "rtx-4090", variant="secure")
    assert (community.unit_price_nano, secure.unit_price_nano) == (340_000_000, 690_000_000)
    assert (community.flags, secure.flags) == (("marketplace",), ())


def test_hosts_of_private_persons_are_a_marketplace() -> None:
    hosts = [offer for offer in OFFERS if offer.variant in {"community", "marketplace"}]
    assert {offer.provider for offer in hosts} == {"akash", "runpod", "spheron"}
    assert all("marketplace" in offer.flags for offer in hosts)


def test_an_assumed_form_factor_is_the_slower_one_and_says_so() -> None:
    for offer in OFFERS:
        if "form_factor_assumed" in offer.flags:
            assert offer.gpu is not None
            assert GPUS.by_id[offer.gpu].form_factor in {"PCIE", "NVL"}


def test_the_known_price_drop_of_one_azure_region_is_not_in_the_list() -> None:
    """Two snapshots of 2025 had this type at $7.69 between $46.86 and $46.89."""
    offer = offer_of("azure", "Standard_ND96amsr_A100_v4", region="polandcentral")
    assert offer.unit_price_nano > 40 * NANO


def test_every_billing_row_is_a_provider_of_the_list() -> None:
    assert set(load_billing()) <= {*provider_names(), *(offer.provider for offer in OFFERS)}
    snapshot = make_snapshot(OFFERS, billing=load_billing())
    assert snapshot.billing_of(offer_of("lambda", "gh200")).increment_s == 60
    assert snapshot.billing_of(
        offer_of("jarvis-labs", "a100-40gb", pricing_model=PricingModel.ON_DEMAND)
    ).source.startswith("assumed")


def test_the_search_never_sees_an_excluded_offer() -> None:
    now = max(offer.observed_at for offer in OFFERS) + timedelta(days=1)
    columns = lay_out_offers(make_snapshot(OFFERS), GPUS, now=now)
    assert [offer.key for offer in columns.offers if offer.excluded_because is not None] == []


@pytest.mark.parametrize(
    ("provider", "instance_type", "gbit_s", "disk_gb"),
    [
        ("aws", "p3dn.24xlarge", 100, 1_800),
        ("aws", "p4d.24xlarge", 400, 8_000),
        ("aws", "p5.48xlarge", 3_200, 30_720),
        ("aws", "p5.4xlarge", 100, 3_840),
        ("aws", "p6-b300.48xlarge", 6_400, 30_720),
        ("aws", "g5.12xlarge", 40, 3_800),
        ("aws", "g5.48xlarge", 100, 7_600),
        ("aws", "p3.16xlarge", 25, 0),
        ("gcp", "a2-highgpu-8g", 100, None),
        ("gcp", "a2-ultragpu-8g", 100, 3_000 * 1.073741824),
        ("gcp", "a3-highgpu-8g", 800, 6_000 * 1.073741824),
        ("gcp", "a3-megagpu-8g", 1_600, 6_000 * 1.073741824),
        ("gcp", "g2-standard-96", 100, None),
        ("azure", "Standard_ND96asr_v4", 1_600, 6_000 * 1.073741824),
        ("azure", "Standard_ND96amsr_A100_v4", 1_600, 6_400 * 1.073741824),
        ("azure", "Standard_ND96isr_H100_v5", 3_200, 28 * 1_024 * 1.073741824),
        ("azure", "Standard_ND96is_noIB_H100_v5", 80, 28 * 1_024 * 1.073741824),
        ("azure", "Standard_ND96isr_MI300X_v5", 3_200, 28 * 1_024 * 1.073741824),
        ("azure", "Standard_NC96ads_A100_v4", 80, 3_840),
        ("azure", "Standard_NV72ads_A10_v5", 80, None),
    ],
)
def test_network_and_disks_of_the_machine(
    provider: str, instance_type: str, gbit_s: float, disk_gb: float | None
) -> None:
    """3,200 Gbit/s is 400 GB/s; a single unknown network would make every multi-node plan assume Ethernet."""
    offer = BY_TYPE[provider, instance_type]
    assert offer.network_bytes_per_s == gbit_s * 1e9 / 8
    assert offer.disk_bytes == (None if disk_gb is None else pytest.approx(disk_gb * 1e9, rel=1e-12))


def test_every_big_cloud_machine_that_spans_nodes_has_a_network() -> None:
    several = [offer for offer in CANDIDATES if offer.provider in BIG_CLOUDS and offer.gpu_count > 1]
    unknown = {offer.instance_type for offer in several if offer.network_bytes_per_s is None}
    assert unknown == {f"Standard_ND96{kind}_H100_v5" for kind in ("is_flex", "isf", "isrf")}


def test_every_machine_row_is_sourced_and_dated() -> None:
    sources = {row["key"] for row in csv.DictReader(DATA.joinpath("sources.csv").read_text("utf-8").splitlines())}
    rows = list(csv.DictReader(DATA.joinpath("machines.csv").read_text("utf-8").splitlines()))
    keys = [(row["provider"], row["instance_type"]) for row in rows]
    assert keys == sorted(keys)
    assert len(keys) == len(MACHINES) >= 110
    for row in rows:
        assert {row["network_source"], row["disk_source"]} - {""} <= sources, row
        assert row["network_gbit_s"] or row["disk_bytes"], row
        assert date(2026, 1, 1) <= date.fromisoformat(row["checked_on"]) <= date(2026, 12, 31)


def test_a_larger_machine_of_a_family_has_no_slower_network() -> None:
    families: dict[tuple[str, str, str | None], list[Offer]] = {}
    for offer in CANDIDATES:
        if offer.provider in {"aws", "gcp"}:
            family = offer.instance_type.split(".")[0].rpartition("-")[0] or offer.instance_type.split(".")[0]
            families.setdefault((offer.provider, family, offer.gpu), []).append(offer)
    for family, offers in families.items():
        steps = sorted((offer.gpu_count, offer.vcpus or 0, offer.network_bytes_per_s or 0.0) for offer in offers)
        by_gpus = {count: max(net for gpus, _, net in steps if gpus == count) for count, _, _ in steps}
        assert list(by_gpus.values()) == sorted(by_gpus.values()), family
