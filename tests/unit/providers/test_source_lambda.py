from __future__ import annotations

from contextlib import ExitStack
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from providers.base import Wanted
from providers.errors import CredentialsMissing, CredentialsRefused, ResponseChanged
from providers.gpus import load_gpus
from providers.offer import PricingModel
from providers.scope import OfferKey
from providers.sources.lambda_cloud import CHIPS, FORM_FACTOR_ASSUMED, INFO, KEY, LambdaCloud, parse_types
from providers.units import GIB
from tests.fixtures.provider_fake import NOW, fetch_all, make_context, offers_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from providers.sources.cloud_parts import Parsed
    from tests.fixtures.provider_fake import Fake

# `lambda` is a word of the language: the module cannot be named in an import.
fakes = import_module("tests.fixtures.fakes.lambda")


@pytest.fixture
def fake() -> Iterator[Fake]:
    with ExitStack() as stack:
        yield fakes.start(stack)


def parse(*types: dict[str, Any]) -> Parsed:
    listed = {item["instance_type"]["name"]: item for item in types}
    return parse_types({"data": listed}, load_gpus(), NOW)


def parse_one(words: str = "A10 (24 GB PCIe)", cents: object = 75, gpus: int = 1, **changes: Any) -> Parsed:
    return parse(fakes.make_type("gpu_9x_test", words, cents, gpus, "us-west-3", **changes))


def test_a_type_is_offered_where_it_is_free() -> None:
    parsed = parse(fakes.make_type("gpu_8x_h100_sxm5", "H100 (80 GB SXM5)", 2392, 8, "us-south-2", "us-east-1"))
    assert [offer.region for offer in parsed.offers] == ["us-south-2", "us-east-1"]
    offer = parsed.offers[0]
    assert offer.unit_price_nano == 23_920_000_000
    assert (offer.instance_type, offer.gpu, offer.gpu_count) == ("gpu_8x_h100_sxm5", "H100-SXM-80GB", 8)
    assert (offer.vcpus, offer.host_ram_bytes, offer.disk_bytes) == (208, 225 * GIB, 2816 * GIB)
    assert offer.gpu_memory_bytes == 80 * GIB
    assert offer.pricing_model is PricingModel.ON_DEMAND


def test_a_type_that_nobody_can_start_is_no_offer() -> None:
    parsed = parse(fakes.make_type("gpu_8x_b200_sxm6", "B200 (180 GB SXM6)", 3992, 8))
    assert not parsed.offers
    assert [(row.reason, row.item) for row in parsed.dropped] == [("no_capacity", "gpu_8x_b200_sxm6")]


def test_a_region_named_twice_is_one_offer() -> None:
    parsed = parse(fakes.make_type("gpu_1x_a10", "A10 (24 GB PCIe)", 75, 1, "us-east-1", "us-east-1"))
    assert len(parsed.offers) == 1


@pytest.mark.parametrize("words", CHIPS)
def test_every_chip_of_the_table_is_known_and_as_large_as_it_says(words: str) -> None:
    gpu = load_gpus().by_id[CHIPS[words]]
    (offer,) = parse_one(words).offers
    assert offer.gpu == gpu.id
    assert offer.gpu_memory_bytes is not None
    assert 0.8 <= offer.gpu_memory_bytes / (gpu.memory_nameplate_gb * GIB) <= 1.1
    named = any(form in words for form in ("SXM", "PCIe"))
    assert ("form_factor_assumed" in offer.flags) == (words in FORM_FACTOR_ASSUMED)
    assert not (named and words in FORM_FACTOR_ASSUMED)


def test_the_maker_in_front_makes_no_difference() -> None:
    assert parse_one("NVIDIA A100 (40 GB SXM4)").offers[0].gpu == "A100-SXM-40GB"


def test_a_new_chip_is_kept_without_an_id() -> None:
    (offer,) = parse_one("R100 (288 GB SXM7)").offers
    assert (offer.gpu, offer.gpu_name, offer.flags) == (None, "R100 (288 GB SXM7)", ("gpu_unknown",))


def test_a_grace_host_is_arm() -> None:
    assert parse_one("GH200 (96 GB)").offers[0].flags == ("arm_host",)
    assert parse_one(architecture="arm64").offers[0].flags == ("arm_host",)


def test_words_are_taken_from_the_description_where_there_are_no_others() -> None:
    assert parse_one(gpu_description=None).offers[0].gpu == "A10-24GB"


@pytest.mark.parametrize(
    ("cents", "reason"), [(0, "zero_price"), (None, "no_price"), ("soon", "bad_price"), (-5, "negative_price")]
)
def test_a_price_that_is_none_is_dropped(cents: object, reason: str) -> None:
    parsed = parse_one(cents=cents)
    assert [row.reason for row in parsed.dropped] == [reason]
    assert not parsed.offers


def test_machines_without_a_gpu_are_dropped() -> None:
    assert parse_one("N/A", gpus=0).dropped[0].reason == "not_a_gpu"
    assert parse_one("N/A", gpus=1).dropped[0].reason == "not_a_gpu"
    assert parse_one(specs={"vcpus": 4}).dropped[0].reason == "bad_count"


@pytest.mark.parametrize("answer", [{}, [], None, {"data": []}, {"error": {"code": "global/unknown"}}])
def test_another_answer_is_refused(answer: object) -> None:
    with pytest.raises(ResponseChanged, match="lambda"):
        parse_types(answer, load_gpus(), NOW)


@pytest.mark.loopback
def test_a_region_without_anything_free_is_an_empty_batch(fake: Fake) -> None:
    context = make_context(fake.provider, fake.environment)
    (result,) = fetch_all(fake.provider, context, Wanted(regions=frozenset({"me-west-1"})))
    assert [(batch.scope.region, batch.offers) for batch in result.batches] == [("me-west-1", ())]


@pytest.mark.loopback
def test_sold_out_is_believed_and_an_unknown_shape_is_not() -> None:
    with ExitStack() as stack:
        types = {"gpu_1x_a10": fakes.make_type("gpu_1x_a10", "A10 (24 GB PCIe)", 75, 1)}
        fake = fakes.start(stack, types)
        context = make_context(fake.provider, fake.environment)
        wanted = Wanted(regions=frozenset({"us-west-3"}))
        (result,) = fetch_all(fake.provider, context, wanted)
        assert [batch.offers for batch in result.batches] == [()]
        for kind in types.values():
            kind["regions_with_capacity"] = kind.pop("regions_with_capacity_available")
        with pytest.raises(ResponseChanged, match=r"lambda: none of 1 rows is an offer \(bad_row: 1\)"):
            fetch_all(fake.provider, context, wanted)


@pytest.mark.loopback
def test_spot_is_not_asked_for(fake: Fake) -> None:
    context = make_context(fake.provider, fake.environment)
    assert fetch_all(fake.provider, context, Wanted(pricing_models=frozenset({PricingModel.SPOT}))) == []


@pytest.mark.loopback
def test_a_quote_of_what_was_rented_meanwhile_is_none() -> None:
    with ExitStack() as stack:
        types = fakes.make_types()
        fake = fakes.start(stack, types)
        context = make_context(fake.provider, fake.environment)
        offer = next(item for item in offers_of(fetch_all(fake.provider, context)) if item.region == "us-west-3")
        assert fake.provider.quote(OfferKey(*offer.key), context) == offer
        types[offer.instance_type]["regions_with_capacity_available"] = []
        assert fake.provider.quote(OfferKey(*offer.key), context) is None


@pytest.mark.loopback
def test_another_key_is_refused_and_none_is_missed(fake: Fake) -> None:
    other = make_context(fake.provider, {**fake.environment, KEY: "some-other-key"})
    with pytest.raises(CredentialsRefused):
        fetch_all(fake.provider, other)
    with pytest.raises(CredentialsMissing, match=KEY):
        LambdaCloud().quote(
            OfferKey("lambda", "us-east-1", "", "gpu_1x_a10", "", "on_demand"), make_context(LambdaCloud())
        )
    assert INFO.requests_per_s == 1.0
