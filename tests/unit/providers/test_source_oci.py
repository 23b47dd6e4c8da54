"""Oracle: what a part number prices, how the list is asked for, and a quote."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.wrappers import Response

from providers.base import Wanted
from providers.errors import Interrupted, JobError, ProviderUnavailable, ResponseChanged
from providers.gpus import load_gpus, make_table
from providers.http import Validator
from providers.offer import EXCLUDING_FLAGS, NOTICE_FLAGS, PricingModel
from providers.payload import decode_json
from providers.scope import OfferKey
from providers.sources.oci import ENDPOINT_VARIABLE, PATH, Oci
from providers.sources.oci_products import PARTS, Parsed, parse_products, part_of
from providers.units import GIB
from tests.fixtures.fakes.oci import ProductList, make_product, make_products, serve
from tests.fixtures.provider_fake import FAST, NOW, Failure, fetch_all, make_context, offers_of, with_validators

if TYPE_CHECKING:
    from collections.abc import Iterator

    from werkzeug.wrappers import Request

    from providers.base import FetchContext
    from providers.offer import Offer

ON_DEMAND, SPOT = PricingModel.ON_DEMAND, PricingModel.SPOT
H100 = "Oracle Cloud Infrastructure - Compute - GPU - H100"


def parse(*products: Any) -> Parsed:
    answer = decode_json(json.dumps({"items": products}))
    return parse_products(answer, observed_at=NOW, gpus=load_gpus())


def prices(offers: list[Offer]) -> dict[str, int]:
    return {offer.instance_type: offer.unit_price_nano for offer in offers}


def localized(*entries: tuple[str, object]) -> list[dict[str, object]]:
    return [{"currencyCode": code, "prices": [{"model": "PAY_AS_YOU_GO", "value": value}]} for code, value in entries]


def test_a_machine_costs_its_gpus() -> None:
    assert prices(parse(*make_products()).on_demand) == {
        "BM.GPU2.2": 2_550_000_000,
        "VM.GPU2.1": 1_275_000_000,
        "VM.GPU3.1": 2_950_000_000,
        "VM.GPU3.2": 5_900_000_000,
        "VM.GPU3.4": 11_800_000_000,
        "BM.GPU3.8": 23_600_000_000,
        "BM.GPU4.8": 24_400_000_000,
        "BM.GPU.A100-v2.8": 32_000_000_000,
        "VM.GPU.A10.1": 2_000_000_000,
        "VM.GPU.A10.2": 4_000_000_000,
        "BM.GPU.A10.4": 8_000_000_000,
        "BM.GPU.H100.8": 80_000_000_000,
        "BM.GPU.L40S.4": 14_000_000_000,
        "BM.GPU.MI300X.8": 48_000_000_000,
        "BM.GPU.H200.8": 80_000_000_000,
        "BM.GPU.B200.8": 112_000_000_000,
        "BM.GPU.GB200.4": 64_000_000_000,
        "BM.GPU.MI355X.8": 68_800_000_000,
        "BM.GPU.GB300.4": 72_000_000_000,
        "BM.GPU.B300.8": 120_000_000_000,
        "BM.GPU.RTXPRO.8": 36_000_000_000,
        "B93544": 4_000_000_000,
        "B109480": 10_750_000_000,
    }


def test_only_virtual_machines_are_preemptible_and_at_half() -> None:
    parsed = parse(*make_products())
    on_demand = prices(parsed.on_demand)
    assert set(prices(parsed.spot)) == {name for name in on_demand if name.startswith("VM.")}
    assert all(2 * nano == on_demand[name] for name, nano in prices(parsed.spot).items())
    assert all("50 %" in offer.source for offer in parsed.spot)


def test_an_offer_says_what_is_in_the_machine() -> None:
    (offer,) = parse(make_product("B98415", H100, 10)).on_demand
    assert offer.key == ("oci", "global", "", "BM.GPU.H100.8", "", "on_demand")
    assert (offer.gpu, offer.gpu_count, offer.vcpus) == ("H100-SXM-80GB", 8, 224)
    assert offer.host_ram_bytes == 2048 * GIB
    assert offer.flags == ()
    assert offer.observed_at == NOW


def test_two_part_numbers_under_one_label_stay_two() -> None:
    parsed = parse(make_product("B98415", H100, 10), make_product("B109480", H100, 10.75))
    assert prices(parsed.on_demand) == {"BM.GPU.H100.8": 80_000_000_000, "B109480": 10_750_000_000}
    unknown = next(offer for offer in parsed.on_demand if offer.instance_type == "B109480")
    assert unknown.flags == ("gpu_unknown", "per_gpu_of_node")
    assert (unknown.gpu, unknown.gpu_name, unknown.gpu_count) == (None, H100, 1)
    assert unknown.excluded_because is not None
    assert not parsed.spot


@pytest.mark.parametrize("number", sorted(PARTS))
def test_parts_name_chips_and_flags_of_the_tables(number: str) -> None:
    part = PARTS[number]
    assert part.gpu in load_gpus().by_id
    assert set(part.flags) <= {*EXCLUDING_FLAGS, *NOTICE_FLAGS}
    assert all(int(shape.name.rpartition(".")[2]) == shape.gpu_count for shape in part.shapes)
    assert all(part_of(shape.name) == number for shape in part.shapes)


def test_no_machine_is_priced_by_two_parts() -> None:
    names = Counter(shape.name for part in PARTS.values() for shape in part.shapes)
    assert set(names.values()) == {1}
    assert part_of("B109480") == "B109480"


def test_terms_are_those_of_the_kind_of_machine() -> None:
    terms = {
        offer.instance_type: (offer.billing.minimum_s, offer.billing.charged_when_stopped)
        for offer in parse(*make_products()).on_demand
        if offer.billing
    }
    assert terms["VM.GPU.A10.1"] == (60, False)
    assert terms["VM.GPU3.4"] == (60, True)
    assert terms["BM.GPU.A10.4"] == (3600, True)
    assert terms["BM.GPU.H100.8"] == (3600, True)
    assert all(offer.billing and offer.billing.increment_s == 1 for offer in parse(*make_products()).spot)


def test_what_is_no_gpu_in_oracles_cloud_says_what_it_is() -> None:
    reasons = {row.item.split()[0]: row.reason for row in parse(*make_products()).dropped}
    assert reasons == {
        "B111824": "other_product",
        "B110965": "other_product",
        "B111454": "other_product",
        "B108806": "other_product",
        "B93113": "not_a_gpu",
        "B91961": "not_a_gpu",
    }


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"displayName": "OCI - Compute - GPU - H100T"}, "unknown_shape"),
        ({"displayName": "OCI - Compute - GPU - H200"}, "unknown_shape"),
        ({"displayName": "OCI - NVIDIA AI Enterprise - GPU H100"}, "other_product"),
        ({"metricName": "OCPU Per Hour"}, "unknown_unit"),
        ({"metricName": "GPU Per Month"}, "unknown_unit"),
        ({"metricName": None}, "bad_row"),
        ({"serviceCategory": "Compute Cloud@Customer"}, "other_product"),
        ({"serviceCategory": None}, "other_product"),
        ({"partNumber": None}, "bad_row"),
        ({"partNumber": "BM.GPU.H100.8"}, "bad_row"),
        ({"displayName": ""}, "bad_row"),
        ({"currencyCodeLocalizations": None}, "bad_row"),
        ({"currencyCodeLocalizations": []}, "no_price"),
        ({"currencyCodeLocalizations": ["USD"]}, "bad_row"),
        ({"currencyCodeLocalizations": localized(("dollar", 10))}, "bad_row"),
        ({"currencyCodeLocalizations": localized(("USD", None))}, "no_price"),
        ({"currencyCodeLocalizations": localized(("USD", 0))}, "zero_price"),
        ({"currencyCodeLocalizations": localized(("USD", -10))}, "negative_price"),
        ({"currencyCodeLocalizations": localized(("USD", "ten"))}, "bad_price"),
        ({"currencyCodeLocalizations": localized(("USD", True))}, "bad_price"),
        ({"currencyCodeLocalizations": localized(("USD", 500_000))}, "bad_price"),
        ({"currencyCodeLocalizations": localized(("USD", 10), ("USD", 8))}, "ambiguous_parts"),
        ({"currencyCodeLocalizations": [{"currencyCode": "USD", "prices": [{"model": "M", "value": 1}]}]}, "no_price"),
        ({"currencyCodeLocalizations": [{"currencyCode": "USD", "prices": "10"}]}, "bad_row"),
    ],
)  # fmt: skip
def test_a_product_that_is_no_offer_says_why(changes: dict[str, Any], reason: str) -> None:
    parsed = parse(make_product("B98415", H100, 10) | changes)
    assert not parsed.on_demand
    assert not parsed.spot
    assert [row.reason for row in parsed.dropped] == [reason]


def test_a_price_too_small_to_halve_leaves_neither_half() -> None:
    parsed = parse(make_product("B89734", "Compute - GPU Standard - V2", "0.000000001"))
    assert not parsed.on_demand
    assert not parsed.spot
    assert [row.reason for row in parsed.dropped] == ["zero_price"]


def test_a_product_that_stands_twice() -> None:
    product = make_product("B98415", H100, 10)
    assert prices(parse(product, product).on_demand) == {"BM.GPU.H100.8": 80_000_000_000}
    parsed = parse(product, make_product("B98415", H100, 11))
    assert not parsed.on_demand
    assert [row.reason for row in parsed.dropped] == ["ambiguous_parts", "ambiguous_parts"]


def test_dollars_are_taken_where_there_are_any() -> None:
    entries = localized(("EUR", 9), ("USD", 10), ("USD", 10))
    (offer,) = parse(make_product("B98415", H100, 0, currencyCodeLocalizations=entries)).on_demand
    assert (offer.currency, offer.unit_price_nano) == ("USD", 80_000_000_000)


def test_another_currency_is_kept_and_flagged() -> None:
    entries = localized(("JPY", 1550), ("EUR", "9.3"))
    (offer,) = parse(make_product("B98415", H100, 0, currencyCodeLocalizations=entries)).on_demand
    assert (offer.currency, offer.unit_price_nano, offer.flags) == ("EUR", 74_400_000_000, ("foreign_currency",))


def test_a_chip_that_the_table_lacks_is_unknown() -> None:
    few = make_table([(load_gpus().by_id["T4-16GB"], ())])
    answer = {"items": [make_product("B98415", H100, 10)]}
    (offer,) = parse_products(answer, observed_at=NOW, gpus=few).on_demand
    assert (offer.gpu, offer.gpu_name, offer.flags) == (None, "H100", ("gpu_unknown",))


@pytest.mark.parametrize("answer", [None, [], {}, {"items": {}}, {"items": None}, "items"])
def test_what_is_no_list_is_another_answer(answer: object) -> None:
    with pytest.raises(ResponseChanged):
        parse_products(answer, observed_at=NOW, gpus=load_gpus())


@pytest.fixture(scope="module")
def stand() -> Iterator[dict[str, Any]]:
    """One server for all tests of the module: each puts its own list on it."""
    held: dict[str, Any] = {"list": ProductList()}

    def answer(request: Request) -> Response:
        found: Response = held["list"].answer(request)
        return found

    with ExitStack() as stack:
        held["address"] = serve(stack, answer)
        yield held


@pytest.fixture
def products(stand: dict[str, Any]) -> ProductList:
    stand["list"] = ProductList()
    found: ProductList = stand["list"]
    return found


@pytest.fixture
def context(stand: dict[str, Any]) -> FetchContext:
    return make_context(Oci(), {ENDPOINT_VARIABLE: stand["address"]})


@pytest.mark.loopback
class TestFetch:
    def test_one_request_brings_both_scopes(self, products: ProductList, context: FetchContext) -> None:
        (result,) = fetch_all(Oci(), context)
        assert products.asked == [{"currencyCode": "USD"}]
        assert [str(batch.scope) for batch in result.batches] == ["oci global on_demand", "oci global spot"]
        assert [len(batch.offers) for batch in result.batches] == [23, 6]
        assert len(result.dropped) == 6

    def test_a_list_that_did_not_change_is_confirmed(
        self, products: ProductList, context: FetchContext, stand: dict[str, Any]
    ) -> None:
        (first,) = fetch_all(Oci(), context)
        assert set(first.validators) == {stand["address"] + PATH}
        later = NOW + timedelta(days=1)
        tomorrow = replace(with_validators(context, first), now=lambda: later)
        (second,) = fetch_all(Oci(), tomorrow)
        assert (second.unchanged, second.batches, second.observed_at) == (True, (), later)
        assert second.validators == first.validators

    def test_a_list_that_changed_is_read(self, products: ProductList, context: FetchContext) -> None:
        (first,) = fetch_all(Oci(), context)
        products.products[7] = make_product("B98415", H100, 9)
        (second,) = fetch_all(Oci(), with_validators(context, first))
        assert not second.unchanged
        assert prices(offers_of([second]))["BM.GPU.H100.8"] == 72_000_000_000
        assert second.validators != first.validators

    def test_without_validators_it_is_read_anew(self, products: ProductList, context: FetchContext) -> None:
        products.etags = False
        (result,) = fetch_all(Oci(), context)
        assert result.validators == {}
        assert offers_of(fetch_all(Oci(), with_validators(context, result))) == offers_of([result])

    def test_validators_of_another_address_are_not_sent(self, products: ProductList, context: FetchContext) -> None:
        (first,) = fetch_all(Oci(), context)
        (validator,) = first.validators.values()
        elsewhere = replace(context, validators={"https://mirror.example.com" + PATH: validator})
        assert not fetch_all(Oci(), elsewhere)[0].unchanged

    def test_a_confirmation_without_validator_keeps_the_old_one(
        self, products: ProductList, context: FetchContext, stand: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        known = {stand["address"] + PATH: Validator(etag='"old"')}
        monkeypatch.setattr(products, "_failed", lambda: Response("", 304))
        (result,) = fetch_all(Oci(), replace(context, validators=known))
        assert result.unchanged
        assert result.validators == known

    def test_a_list_without_gpus_is_not_believed(self, products: ProductList, context: FetchContext) -> None:
        products.products = [product for product in products.products if product["metricName"] != "GPU Per Hour"]
        with pytest.raises(ResponseChanged, match="no GPU that is understood"):
            fetch_all(Oci(), context)

    def test_a_list_in_pages_is_another_list(self, products: ProductList, context: FetchContext) -> None:
        products.more = {"hasMore": True}
        with pytest.raises(ResponseChanged, match="in pages"):
            fetch_all(Oci(), context)
        with pytest.raises(ResponseChanged, match="in pages"):
            Oci().quote(OfferKey("oci", "global", "", "BM.GPU.H100.8", "", "on_demand"), context)

    def test_an_answer_above_the_limit_is_refused(self, products: ProductList, stand: dict[str, Any]) -> None:
        small = make_context(Oci(), {ENDPOINT_VARIABLE: stand["address"]}, limits=replace(FAST, largest_bytes=1000))
        with pytest.raises(ResponseChanged, match="1,000 bytes"):
            fetch_all(Oci(), small)

    def test_a_list_that_breaks_off_is_no_list(self, products: ProductList, stand: dict[str, Any]) -> None:
        products.failure = Failure.CUT
        once = make_context(Oci(), {ENDPOINT_VARIABLE: stand["address"]}, limits=replace(FAST, tries=1))
        with pytest.raises(ProviderUnavailable):
            fetch_all(Oci(), once)

    def test_it_stops_before_it_asks(self, products: ProductList, context: FetchContext) -> None:
        def stop() -> None:
            raise Interrupted("interrupted")

        with pytest.raises(Interrupted):
            fetch_all(Oci(), replace(context, checkpoint=stop))
        assert not products.asked


@pytest.mark.loopback
class TestParts:
    def test_one_part_for_all(self, context: FetchContext) -> None:
        for wanted in (Wanted(), Wanted(regions=frozenset({"global", "eastus"}))):
            (part,) = Oci().parts(wanted, context)
            assert (part.name, part.region, part.pricing_models) == ("products", "global", (ON_DEMAND, SPOT))

    def test_one_pricing_model_has_a_part_of_its_own(self, context: FetchContext) -> None:
        (part,) = Oci().parts(Wanted(pricing_models=frozenset({SPOT})), context)
        assert (part.name, part.pricing_models) == ("products spot", (SPOT,))
        assert not Oci().parts(Wanted(pricing_models=frozenset({PricingModel.RESERVED})), context)

    def test_a_region_is_refused(self, context: FetchContext) -> None:
        with pytest.raises(JobError, match="one price in all its regions"):
            Oci().parts(Wanted(regions=frozenset({"us-ashburn-1"})), context)


@pytest.mark.loopback
class TestQuote:
    def test_only_its_part_is_asked_for(self, products: ProductList, context: FetchContext) -> None:
        for offer in offers_of(fetch_all(Oci(), context)):
            products.asked.clear()
            assert Oci().quote(OfferKey(*offer.key), context) == offer
            assert products.asked == [{"partNumber": part_of(offer.instance_type), "currencyCode": "USD"}]

    @pytest.mark.parametrize(
        "changes",
        [
            {"provider": "azure"},
            {"region": "us-ashburn-1"},
            {"instance_type": "BM.GPU.H900.8"},
            {"instance_type": "B91961"},
            {"pricing_model": "spot"},
            {"zone": "AD-1"},
            {"variant": "reserved"},
        ],
    )
    def test_another_key_has_no_offer(
        self, products: ProductList, context: FetchContext, changes: dict[str, str]
    ) -> None:
        key = OfferKey("oci", "global", "", "BM.GPU.H100.8", "", "on_demand")._replace(**changes)
        assert Oci().quote(key, context) is None

    def test_a_part_that_is_gone_has_no_offer(self, products: ProductList, context: FetchContext) -> None:
        products.products = []
        assert Oci().quote(OfferKey("oci", "global", "", "BM.GPU.H100.8", "", "on_demand"), context) is None

    def test_a_failure_is_no_answer(self, products: ProductList, context: FetchContext) -> None:
        products.failure = Failure.GARBAGE
        with pytest.raises(ResponseChanged):
            Oci().quote(OfferKey("oci", "global", "", "BM.GPU.H100.8", "", "on_demand"), context)
