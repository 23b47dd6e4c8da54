from __future__ import annotations

from contextlib import ExitStack
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from providers.base import Wanted
from providers.errors import CredentialsRefused, JobError, ResponseChanged
from providers.gpus import load_gpus
from providers.offer import PricingModel
from providers.scope import GLOBAL_REGION, OfferKey
from providers.sources.runpod import CHIPS, KEY, QUERY, RunPod, parse_gpu_types
from providers.units import GB, GIB
from tests.fixtures.fakes import runpod as fakes
from tests.fixtures.provider_fake import NOW, fetch_all, make_context, offers_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from providers.offer import Offer
    from providers.sources.cloud_parts import Parsed
    from tests.fixtures.provider_fake import Fake

ON_DEMAND, SPOT = PricingModel.ON_DEMAND, PricingModel.SPOT
STOCK = {"secure": {1: "High", 8: "High"}, "community": {2: "High"}}


@pytest.fixture
def fake() -> Iterator[Fake]:
    with ExitStack() as stack:
        yield fakes.start(stack)


def exact(value: Any) -> Any:
    """Return an answer as the client decodes it: numbers exact."""
    if isinstance(value, dict):
        return {key: exact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [exact(item) for item in value]
    return Decimal(str(value)) if isinstance(value, float) else value


def parse(name: str = "NVIDIA L4", shown: str = "L4", memory: int = 24, **changes: Any) -> Parsed:
    kind = fakes.make_type(name, shown, memory, **{"securePrice": 0.39, "stock": STOCK, **changes})
    answer = {"data": {"gpuTypes": fakes.resolve([kind], QUERY)}}
    return parse_gpu_types(exact(answer), load_gpus(), NOW)


def prices(parsed: Parsed, model: PricingModel = ON_DEMAND) -> dict[tuple[str, str | None], int]:
    return {
        (offer.instance_type, offer.variant): offer.unit_price_nano
        for offer in parsed.offers
        if offer.pricing_model is model
    }


def only(parsed: Parsed, model: PricingModel, name: str = "l4", variant: str = "secure") -> Offer:
    (found,) = (
        offer
        for offer in parsed.offers
        if (offer.pricing_model, offer.instance_type, offer.variant) == (model, name, variant)
    )
    return found


def test_a_machine_costs_its_gpus_and_the_clouds_differ() -> None:
    parsed = parse(communityPrice=0.31)
    assert prices(parsed) == {
        ("l4", "secure"): 390_000_000,
        ("8x-l4", "secure"): 3_120_000_000,
        ("2x-l4", "community"): 620_000_000,
    }
    assert {offer.region for offer in parsed.offers} == {GLOBAL_REGION}
    assert {offer.variant: "marketplace" in offer.flags for offer in parsed.offers} == {
        "secure": False,
        "community": True,
    }


def test_what_is_out_of_stock_is_dropped_by_name() -> None:
    out = {row.item for row in parse(communityPrice=0.31).dropped if row.reason == "no_capacity"}
    assert out == {"2x-l4 secure", "4x-l4 secure", "l4 community", "4x-l4 community", "8x-l4 community"}


def test_counts_above_the_most_are_no_rows() -> None:
    parsed = parse(maxGpuCount=1)
    assert prices(parsed) == {("l4", "secure"): 390_000_000}
    assert {row.item for row in parsed.dropped} == {"l4 secure spot", "l4 community"}


def test_the_shape_is_that_of_the_machine() -> None:
    offer = only(parse(vcpus=6, ram=50), ON_DEMAND, "8x-l4")
    assert (offer.gpu, offer.gpu_count, offer.gpu_memory_bytes) == ("L4-24GB", 8, 24 * GIB)
    assert (offer.vcpus, offer.host_ram_bytes) == (48, 400 * GB)


def test_a_stated_spot_price_is_one() -> None:
    offer = only(parse(secureSpotPrice=0.2, minimumBidPrice=0.1), SPOT)
    assert (offer.unit_price_nano, offer.flags) == (200_000_000, ())


def test_a_minimum_bid_is_seen_and_never_chosen() -> None:
    offer = only(parse(minimumBidPrice=0.1), SPOT, "8x-l4")
    assert offer.unit_price_nano == 800_000_000
    assert offer.flags == ("bid_floor",)
    assert offer.excluded_because


def test_without_spot_and_bid_there_is_no_spot() -> None:
    parsed = parse()
    assert prices(parsed, SPOT) == {}
    assert ("no_price", "l4 secure spot") in {(row.reason, row.item) for row in parsed.dropped}


@pytest.mark.parametrize(("spot", "flags"), [(0.05, ("placeholder",)), (0.08, ()), (0.39, ()), (0.44, ())])
def test_a_spot_price_far_below_all_others_is_not_believed(spot: float, flags: tuple[str, ...]) -> None:
    # Spot at or above on-demand is for the gate, which sees both and flags it.
    assert only(parse(secureSpotPrice=spot), SPOT).flags == flags


@pytest.mark.parametrize(("price", "reason"), [(None, "no_price"), (0, "zero_price"), ("x", "bad_price")])
def test_spot_survives_a_missing_on_demand_price(price: object, reason: str) -> None:
    parsed = parse(securePrice=price, secureSpotPrice=0.05, communityCloud=False, maxGpuCount=1)
    assert prices(parsed) == {}
    assert prices(parsed, SPOT) == {("l4", "secure"): 50_000_000}
    assert [row.reason for row in parsed.dropped] == [reason]


def test_little_stock_is_said() -> None:
    assert only(parse(stock={"secure": {1: "Low"}}), ON_DEMAND).flags == ("limited_capacity",)


@pytest.mark.parametrize(
    ("name", "gpu"),
    [
        ("NVIDIA H100 80GB HBM3", "H100-SXM-80GB"), ("NVIDIA H100 PCIe", "H100-PCIE-80GB"),
        ("NVIDIA H100 NVL", "H100-NVL-94GB"), ("NVIDIA H200", "H200-SXM-141GB"),
        ("NVIDIA A100 80GB PCIe", "A100-PCIE-80GB"), ("NVIDIA A100-SXM4-80GB", "A100-SXM-80GB"),
        ("NVIDIA RTX A6000", "RTX-A6000-48GB"), ("NVIDIA RTX 6000 Ada Generation", "RTX-6000-ADA-48GB"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX-PRO-6000-96GB"),
        ("NVIDIA GeForce RTX 5090", "RTX-5090-32GB"),
        ("Tesla V100-SXM2-32GB", "V100-SXM2-32GB"), ("AMD Instinct MI300X OAM", "MI300X-OAM-192GB"),
        ("NVIDIA B300 SXM6 AC", "B300-SXM-288GB"), ("NVIDIA RTX A4500", None), ("Tesla V100-FHHL-16GB", None),
    ],
)  # fmt: skip
def test_ids_are_chips(name: str, gpu: str | None) -> None:
    memory = int(load_gpus().by_id[gpu].memory_nameplate_gb) if gpu else 20
    offer = only(parse(name, "x", memory), ON_DEMAND, "x")
    assert offer.gpu == gpu
    assert ("gpu_unknown" in offer.flags) == (gpu is None)


def test_the_table_names_known_gpus() -> None:
    assert set(CHIPS.values()) <= load_gpus().by_id.keys()


@pytest.mark.parametrize(
    ("shown", "machine"), [("H200 SXM", "h200"), ("A100 PCIe", "a100-pcie"), ("RTX 6000 Ada", "rtx-6000-ada")]
)
def test_machines_are_named_as_in_the_bundled_list(shown: str, machine: str) -> None:
    assert (machine, "secure") in prices(parse(shown=shown))


def test_a_slice_of_a_card_is_no_card() -> None:
    parsed = parse("NVIDIA RTX PRO 6000 Blackwell Server Edition MIG 1g.24gb", "PRO 6000 MIG 24GB", 24)
    offer = only(parsed, ON_DEMAND, "pro-6000-mig-24gb")
    assert (offer.gpu, offer.flags) == ("RTX-PRO-6000-96GB", ("fractional",))


def test_memory_of_another_card_makes_it_another_card() -> None:
    offer = only(parse(memory=80), ON_DEMAND)
    assert (offer.gpu, offer.flags) == (None, ("gpu_unknown", "memory_mismatch"))
    assert only(parse(memory=0), ON_DEMAND).gpu_memory_bytes is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "unknown", "memory": 0}, "unknown_shape"),
        ({"secureCloud": False, "communityCloud": False}, "no_capacity"),
        ({"memory": "much"}, "bad_row"),
        ({"maxGpuCount": 0}, "bad_row"),
        ({"shown": "--"}, "bad_row"),
    ],
)
def test_rows_that_name_no_machine_are_dropped(changes: dict[str, Any], reason: str) -> None:
    parsed = parse(**changes)
    assert [row.reason for row in parsed.dropped] == [reason]
    assert not parsed.offers


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        ({"message": "Unauthorized"}, CredentialsRefused),
        ({"message": "no", "extensions": {"code": "FORBIDDEN"}}, CredentialsRefused),
        ({"message": 'Cannot query field "securePrice" on type "GpuType".'}, ResponseChanged),
        ({"message": "Something went wrong.", "extensions": {"code": ["INTERNAL"]}}, ResponseChanged),
        ("broken", ResponseChanged),
    ],
)
def test_errors_in_a_good_answer_are_errors(error: object, raised: type[Exception]) -> None:
    # Half of the data may come beside them: half a list is none.
    answer = {"errors": [error], "data": {"gpuTypes": []}}
    with pytest.raises(raised, match="runpod"):
        parse_gpu_types(answer, load_gpus(), NOW)


def test_only_its_own_region_is_known() -> None:
    provider = RunPod()
    with pytest.raises(JobError, match="one price in all its regions"):
        provider.parts(Wanted(regions=frozenset({"us"})), make_context(provider))
    (part,) = provider.parts(Wanted(regions=frozenset({"us", GLOBAL_REGION})), make_context(provider))
    assert part.region == GLOBAL_REGION
    (part,) = provider.parts(Wanted(pricing_models=frozenset({SPOT})), make_context(provider))
    assert (part.name, part.pricing_models) == ("gpu types global spot", (SPOT,))


@pytest.mark.loopback
def test_strangers_are_answered_and_wrong_keys_are_not(fake: Fake) -> None:
    address = {name: value for name, value in fake.environment.items() if name != KEY}
    strangers = fetch_all(fake.provider, make_context(fake.provider, address))
    assert len(offers_of(strangers)) == 37
    with pytest.raises(CredentialsRefused):
        fetch_all(fake.provider, make_context(fake.provider, {**address, KEY: "some-other-key"}))


@pytest.mark.loopback
def test_both_models_are_always_answered() -> None:
    with ExitStack() as stack:
        fake = fakes.start(stack, [])
        (result,) = fetch_all(fake.provider, make_context(fake.provider, fake.environment))
    assert [(batch.scope.pricing_model, batch.offers) for batch in result.batches] == [(ON_DEMAND, ()), (SPOT, ())]


@pytest.mark.loopback
def test_stock_that_nobody_is_told_of_is_no_empty_market() -> None:
    with ExitStack() as stack:
        fake = fakes.start(stack, [fakes.make_type("NVIDIA L4", "L4", 24, securePrice=0.39)])
        with pytest.raises(ResponseChanged, match="runpod: none of 8 rows is an offer"):
            fetch_all(fake.provider, make_context(fake.provider, fake.environment))


@pytest.mark.loopback
def test_a_quote_of_what_ran_out_is_none() -> None:
    with ExitStack() as stack:
        kind = fakes.make_type("NVIDIA L4", "L4", 24, securePrice=0.39, stock={"secure": {1: "High"}})
        fake = fakes.start(stack, [kind])
        context = make_context(fake.provider, fake.environment)
        key = OfferKey("runpod", "global", "", "l4", "secure", "on_demand")
        found = fake.provider.quote(key, context)
        assert found is not None
        assert found.unit_price_nano == 390_000_000
        kind["stock"] = {}
        assert fake.provider.quote(key, context) is None
