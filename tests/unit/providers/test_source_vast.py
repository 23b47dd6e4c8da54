from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from providers.base import Wanted
from providers.errors import CredentialsMissing, CredentialsRefused, Interrupted, JobError, ResponseChanged
from providers.gpus import load_gpus
from providers.offer import PricingModel
from providers.payload import decode_json
from providers.scope import GLOBAL_REGION, OfferKey
from providers.sources.vast import ENDPOINT, KEY, MOST_ROWS, Vast
from providers.sources.vast_hosts import CARDS, CHEAPEST, parse_hosts
from providers.units import MB, MIB
from tests.fixtures.fakes import vast as fakes
from tests.fixtures.fakes.small_clouds import Cloud, reply, serve
from tests.fixtures.provider_fake import CANARY, NOW, fetch_all, make_context, offers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from werkzeug.wrappers import Request, Response

    from providers.base import FetchResult
    from providers.offer import Offer
    from providers.sources.cloud_parts import Parsed
    from tests.fixtures.provider_fake import Fake

ON_DEMAND, SPOT = PricingModel.ON_DEMAND, PricingModel.SPOT


@pytest.fixture
def started() -> Iterator[tuple[Fake, Cloud]]:
    with ExitStack() as stack:
        yield fakes.start_with_cloud(stack)


def parse(*hosts: Any) -> Parsed:
    return parse_hosts(decode_json(json.dumps(hosts)), load_gpus(), NOW)  # type: ignore[arg-type]


def one(gpu: str = "RTX 4090", price: float = 0.3, **changes: Any) -> Offer:
    parsed = parse(fakes.make_host(1, gpu, price, **changes))
    (found,) = (offer for offer in parsed.offers if offer.pricing_model is ON_DEMAND)
    return found


def test_a_host_is_an_offer_without_its_disk() -> None:
    offer = one(dph_base=0.3071, dph_total=0.3085)
    assert offer.unit_price_nano == 307_100_000
    assert (offer.instance_type, offer.variant, offer.region) == ("rtx-4090", "machine-10001", "us")
    assert (offer.gpu, offer.gpu_count, offer.gpu_memory_bytes) == ("RTX-4090-24GB", 1, 24564 * MIB)
    assert (offer.network_bytes_per_s, offer.disk_bytes) == (None, None)
    assert offer.flags == ("marketplace",)


def test_prices_are_exact() -> None:
    assert one(price=0.12138888888888889).unit_price_nano == 121_388_889


def test_a_host_shares_its_memory_like_its_cores() -> None:
    assert (one().vcpus, one().host_ram_bytes) == (16, 257_655 * MB // 4)
    whole = one(cpu_cores_effective=64.0)
    assert (whole.vcpus, whole.host_ram_bytes) == (64, 257_655 * MB)
    # More cores than there are is a slip: there is no more memory than there is.
    assert one(cpu_cores_effective=128).host_ram_bytes == 257_655 * MB
    assert (one(cpu_cores=None).vcpus, one(cpu_cores=None).host_ram_bytes) == (16, None)
    assert (one(cpu_cores_effective=0.4).vcpus, one(cpu_ram="much").host_ram_bytes) == (None, None)


def test_several_gpus_are_another_machine() -> None:
    offer = one(num_gpus=8, price=2.4)
    assert (offer.instance_type, offer.gpu_count, offer.unit_price_nano) == ("8x-rtx-4090", 8, 2_400_000_000)
    assert offer.gpu_memory_bytes == 24564 * MIB


def test_a_minimum_bid_is_seen_and_never_chosen() -> None:
    (offer,) = (item for item in parse(fakes.make_host(1, min_bid=0.11)).offers if item.pricing_model is SPOT)
    assert (offer.unit_price_nano, offer.flags) == (110_000_000, ("marketplace", "bid_floor"))
    assert offer.excluded_because


@pytest.mark.parametrize(("bid", "reason"), [(0, "zero_price"), (0.0, "zero_price"), (None, "no_price")])
def test_a_bid_of_nothing_is_unknown(bid: float | None, reason: str) -> None:
    parsed = parse(fakes.make_host(1, min_bid=bid))
    assert [offer.pricing_model for offer in parsed.offers] == [ON_DEMAND]
    assert [(row.reason, row.item) for row in parsed.dropped] == [(reason, "machine-10001 rtx-4090 spot")]


@pytest.mark.parametrize(
    ("name", "memory", "gpu", "machine", "flags"),
    [
        ("A100 SXM4", 40536, "A100-SXM-40GB", "a100-sxm-40gb", ()),
        ("A100 SXM4", 81251, "A100-SXM-80GB", "a100-sxm-80gb", ()),
        ("A100 PCIE", 40536, "A100-PCIE-40GB", "a100-pcie-40gb", ()),
        ("H100 SXM", 81559, "H100-SXM-80GB", "h100-sxm", ()),
        ("H100 NVL", 95830, "H100-NVL-94GB", "h100-nvl", ()),
        ("H200", 143771, "H200-SXM-141GB", "h200", ()),
        ("H200 NVL", 143771, "H200-NVL-141GB", "h200-nvl", ()),
        ("B200", 183359, "B200-SXM-180GB", "b200", ()),
        ("L40S", 46068, "L40S-48GB", "l40s", ()),
        ("RTX A6000", 49140, "RTX-A6000-48GB", "rtx-a6000", ()),
        ("RTX 6000Ada", 49140, "RTX-6000-ADA-48GB", "rtx-6000-ada", ()),
        ("RTX PRO 6000 WS", 97887, "RTX-PRO-6000-96GB", "rtx-pro-6000-ws", ()),
        ("Q RTX 6000", 24576, "QUADRO-RTX-6000-24GB", "quadro-rtx-6000", ()),
        ("RTX 3060", 12288, "RTX-3060-12GB", "rtx-3060", ()),
        ("RTX 3060", 8192, "RTX-3060-8GB", "rtx-3060-8gb", ()),
        ("Tesla V100", 16384, "V100-PCIE-16GB", "v100", ("form_factor_assumed",)),
        ("Tesla V100", 32768, "V100-PCIE-32GB", "v100-32gb", ("form_factor_assumed",)),
    ],
)
def test_a_name_and_a_memory_are_a_chip(name: str, memory: int, gpu: str, machine: str, flags: tuple[str, ...]) -> None:
    offer = one(name, gpu_ram=memory)
    assert (offer.gpu, offer.instance_type) == (gpu, machine)
    assert offer.flags == ("marketplace", *flags)


@pytest.mark.parametrize(
    ("name", "memory", "machine", "flags"),
    [
        ("RTX 4080S", 16376, "rtx-4080s", ("gpu_unknown",)),
        ("RTX 4090D", 24564, "rtx-4090d", ("gpu_unknown",)),
        ("RTX PRO 6000 Max-Q", 97887, "rtx-pro-6000-max-q", ("gpu_unknown",)),
        ("A100 SXM4", None, "a100-sxm4", ("gpu_unknown",)),
        # A card that its maker never sold, and the memory of all GPUs as that of one.
        ("RTX 4090", 49140, "rtx-4090-48gb", ("gpu_unknown", "memory_mismatch")),
        ("A100 SXM4", 8 * 81251, "a100-sxm4-635gb", ("gpu_unknown", "memory_mismatch")),
        ("RTX 4060 Ti", 8188, "rtx-4060-ti-8gb", ("gpu_unknown", "memory_mismatch")),
    ],
)
def test_what_is_no_known_chip_is_kept_and_never_chosen(
    name: str, memory: int | None, machine: str, flags: tuple[str, ...]
) -> None:
    offer = one(name, gpu_ram=memory, gpu_total_ram=0) if memory else one_without_memory(name)
    assert (offer.gpu, offer.gpu_name, offer.instance_type) == (None, name, machine)
    assert offer.flags == (*flags, "marketplace")
    assert offer.excluded_because


def one_without_memory(name: str) -> Offer:
    host = fakes.make_host(1, name)
    del host["gpu_ram"]
    return parse(host).offers[0]


def test_the_table_names_known_gpus() -> None:
    assert {card.gpu for cards in CARDS.values() for card in cards} <= load_gpus().by_id.keys()


@pytest.mark.parametrize(
    ("stated", "region"),
    [
        ("Sweden, SE", "se"), ("Quebec, Montreal, CA", "ca"), ("US", "us"), (" , DE ", "de"), ("Europe", GLOBAL_REGION),
        ("", GLOBAL_REGION), (None, GLOBAL_REGION), (7, GLOBAL_REGION), ("Moon, 99", GLOBAL_REGION),
    ],
)  # fmt: skip
def test_the_region_is_the_country(stated: object, region: str) -> None:
    assert one(geolocation=stated).region == region


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"num_gpus": 0, "gpu_total_ram": 0}, "bad_count"),
        ({"rentable": False}, "no_capacity"),
        ({"rented": True}, "no_capacity"),
        ({"machine_id": None}, "bad_row"),
        ({"gpu_name": ""}, "bad_row"),
        ({"gpu_name": "--"}, "bad_row"),
    ],
)
def test_rows_that_are_no_machine_are_dropped(changes: dict[str, Any], reason: str) -> None:
    parsed = parse({**fakes.make_host(1), **changes})
    assert [(row.reason, row.item) for row in parsed.dropped] == [(reason, "offer 7000001")]
    assert not parsed.offers


def test_an_arm_host_is_flagged() -> None:
    assert one(cpu_arch="arm64").flags == ("marketplace", "arm_host")


def test_the_cheapest_of_each_kind_are_kept() -> None:
    hosts = [fakes.make_host(number, price=0.5 - number / 100) for number in range(15)]
    hosts += [fakes.make_host(20, price=9.0, geolocation="Japan, JP"), fakes.make_host(21, price=9.0, num_gpus=2)]
    parsed = parse(*hosts)
    kept = [offer for offer in parsed.offers if offer.pricing_model is ON_DEMAND and offer.gpu_count == 1]
    assert sorted(offer.unit_price_nano for offer in kept if offer.region == "us") == [
        (36 + step) * 10_000_000 for step in range(CHEAPEST)
    ]
    assert {offer.region for offer in kept} == {"us", "jp"}
    beyond = [row.item for row in parsed.dropped if row.reason == "beyond_cheapest"]
    assert len(beyond) == 10
    assert "machine-10000 rtx-4090 us on_demand" in beyond


def test_of_two_offers_of_a_machine_the_cheaper_is_kept() -> None:
    dear, cheap = fakes.make_host(1, price=0.4), {**fakes.make_host(1, price=0.3), "id": 9}
    parsed = parse(dear, cheap)
    assert [offer.unit_price_nano for offer in parsed.offers] == [300_000_000, 150_000_000]
    assert [row.reason for row in parsed.dropped] == ["beyond_cheapest", "beyond_cheapest"]


def test_parts_are_countries() -> None:
    provider = Vast()
    context = make_context(provider, {KEY: CANARY})
    wanted = Wanted(regions=frozenset({"us", GLOBAL_REGION}), pricing_models=frozenset({ON_DEMAND}))
    assert [part.name for part in provider.parts(wanted, context)] == ["hosts global on_demand", "hosts us on_demand"]
    # All of them at once, and whether there is a key or not: regions of other clouds are none of its.
    with pytest.raises(JobError, match="a country in two small letters") as caught:
        provider.parts(Wanted(regions=frozenset({"us-east-1", "eastus", "us"})), make_context(provider))
    assert caught.value.value == "eastus, us-east-1"
    with pytest.raises(CredentialsMissing, match=KEY):
        provider.quote(OfferKey("vast", "us", "", "l4", "machine-1", "on_demand"), make_context(provider))


@pytest.mark.loopback
def test_more_hosts_than_an_answer_holds_are_all_read(started: tuple[Fake, Cloud]) -> None:
    fake, cloud = started
    results = fetch_all(fake.provider, make_context(fake.provider, fake.environment))
    hosts = [host for host in fakes.make_hosts() if host["verified"] and host["rentable"]]
    on_demand = [offer for offer in offers_of(results) if offer.pricing_model is ON_DEMAND]
    dropped = [row for result in results for row in result.dropped]
    beyond = [row for row in dropped if row.reason == "beyond_cheapest" and row.item.endswith("on_demand")]
    # All but the one without a price and the one without GPUs.
    assert len(on_demand) + len(beyond) == len(hosts) - 2
    asked = [body for method, _, body in cloud.asked if method == "POST" and body["gpu_name"] == {"eq": "RTX 4090"}]
    assert [body.get("dph_total") for body in asked] == [None, {"gte": 0.3044}, {"gte": 0.4064}]
    assert all(body["limit"] == MOST_ROWS for body in asked)


@pytest.mark.loopback
def test_a_country_is_asked_for_by_its_code(started: tuple[Fake, Cloud]) -> None:
    fake, cloud = started
    results = fetch_all(
        fake.provider, make_context(fake.provider, fake.environment), Wanted(regions=frozenset({"jp", "aq"}))
    )
    assert [str(batch.scope) for result in results for batch in result.batches] == [
        "vast aq on_demand", "vast aq spot", "vast jp on_demand", "vast jp spot",
    ]  # fmt: skip
    assert {offer.gpu for offer in offers_of(results)} == {"A100-SXM-40GB", "A100-SXM-80GB"}
    # At once, not GPU by GPU: some 130 names at three seconds each would be the better part of an hour for a few
    # countries.
    assert [(path, body["geolocation"]) for _, path, body in cloud.asked] == [
        ("/api/v0/bundles/", {"eq": "AQ"}),
        ("/api/v0/bundles/", {"eq": "JP"}),
    ]
    assert fake.provider.info.requests_per_s <= 1 / 3


def test_a_host_that_is_not_verified_is_none_of_those_searched_for() -> None:
    parsed = parse(fakes.make_host(1, verification="deverified"), fakes.make_host(2, verification=None))
    assert {offer.variant for offer in parsed.offers} == {"machine-10002"}
    assert [(row.reason, row.detail) for row in parsed.dropped] == [("other_product", "a host that is deverified")]


@pytest.mark.loopback
def test_a_country_of_many_pages_is_read_whole(started: tuple[Fake, Cloud]) -> None:
    fake, _ = started
    context = make_context(fake.provider, fake.environment)
    whole = {offer for offer in offers_of(fetch_all(fake.provider, context)) if offer.region == "se"}
    assert set(offers_of(fetch_all(fake.provider, context, Wanted(regions=frozenset({"se"}))))) == whole


@pytest.mark.loopback
def test_a_market_without_hosts_and_hosts_without_prices_are_refused() -> None:
    with pytest.raises(ResponseChanged, match="no host of any GPU"):
        ask(lambda _: {"offers": []})
    with pytest.raises(ResponseChanged, match="none of 2 rows is an offer"):
        ask(lambda _: {"offers": [{**fakes.make_host(1, "L4"), "dph_base": None, "min_bid": None}]})
    # In a country it may be so, with as many hosts as make a market it may not.
    (result,) = ask(lambda _: {"offers": [fakes.make_host(1, "L4", 0.0)]}, country="us")
    assert [batch.offers for batch in result.batches] == [(), ()]
    with pytest.raises(ResponseChanged, match="none of 20 rows is an offer"):
        ask(lambda _: {"offers": [fakes.make_host(n, "L4", 0.0) for n in range(10)]}, country="us")


@pytest.mark.loopback
def test_hosts_of_no_country_are_global(started: tuple[Fake, Cloud]) -> None:
    fake, _ = started
    wanted = Wanted(regions=frozenset({GLOBAL_REGION}))
    results = fetch_all(fake.provider, make_context(fake.provider, fake.environment), wanted)
    assert {(offer.region, offer.variant) for offer in offers_of(results)} == {(GLOBAL_REGION, "machine-10201")}


@pytest.mark.loopback
def test_a_quote_asks_for_that_machine_only(started: tuple[Fake, Cloud]) -> None:
    fake, cloud = started
    context = make_context(fake.provider, fake.environment)
    # Far from the cheapest of its kind: it is quoted all the same.
    key = OfferKey("vast", "se", "", "rtx-4090", "machine-10089", "on_demand")
    found = fake.provider.quote(key, context)
    assert found is not None
    assert found.unit_price_nano == 477_000_000
    assert [body["machine_id"] for _, _, body in cloud.asked] == [{"eq": 10089}]
    assert fake.provider.quote(key._replace(variant="machine-10232"), context) is None
    assert fake.provider.quote(key._replace(variant="secure"), context) is None


@pytest.mark.loopback
def test_another_key_is_refused(started: tuple[Fake, Cloud]) -> None:
    fake, _ = started
    with pytest.raises(CredentialsRefused):
        fetch_all(fake.provider, make_context(fake.provider, {**fake.environment, KEY: "some-other-key"}))


def ask(answer: Callable[[dict[str, Any]], Any], names: object = ("L4",), *, country: str = "") -> list[FetchResult]:
    """Return what a fetch brings from a marketplace that answers a search so."""

    def respond(request: Request) -> Response:
        if request.method == "GET":
            return reply({"success": True, "gpu_names": names})
        return reply(answer(json.loads(request.get_data())))

    with ExitStack() as stack:
        address = serve(stack, Cloud(answer=respond))
        provider = Vast()
        wanted = Wanted(regions=frozenset({country} if country else ()))
        return fetch_all(provider, make_context(provider, {ENDPOINT: address, KEY: CANARY}), wanted)


def full_page(first: int = 0, price: float = 0.3) -> list[dict[str, Any]]:
    return [fakes.make_host(first + number, "L4", price, gpu_ram=23034) for number in range(MOST_ROWS)]


@pytest.mark.loopback
def test_hosts_that_an_answer_cannot_reach_are_counted() -> None:
    market = full_page() + full_page(100) + [fakes.make_host(300, "L4", 0.4, gpu_ram=23034)]
    (result,) = ask(lambda asked: {"offers": fakes.search(market, asked)})
    assert "more hosts at one price" in {row.detail for row in result.dropped}
    reached = {row.item.split()[0] for row in result.dropped} | {offer.variant for offer in offers_of([result])}
    # What is dearer is still found.
    assert "machine-10300" in reached


@pytest.mark.loopback
def test_pages_that_lead_nowhere_are_refused() -> None:
    with pytest.raises(ResponseChanged, match="the same page again"):
        ask(lambda _: {"offers": full_page()})
    falling = iter([full_page(price=0.3), full_page(100, price=0.2)])
    with pytest.raises(ResponseChanged, match="order by price"):
        ask(lambda _: {"offers": next(falling)})
    with pytest.raises(ResponseChanged, match="dph_total"):
        ask(lambda _: {"offers": [{**host, "dph_total": None} for host in full_page()]})


@pytest.mark.loopback
@pytest.mark.parametrize("names", [[], ["L4", 7], ["L4", " "], None, {"L4": 1}])
def test_names_that_are_none_are_refused(names: object) -> None:
    with pytest.raises(ResponseChanged, match="vast"):
        ask(lambda _: {"offers": []}, names)


@pytest.mark.loopback
def test_the_user_stops_it_between_answers(started: tuple[Fake, Cloud]) -> None:
    fake, cloud = started
    left = [3]

    def checkpoint() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Interrupted("interrupted")

    context = replace(make_context(fake.provider, fake.environment), checkpoint=checkpoint)
    with pytest.raises(Interrupted):
        fetch_all(fake.provider, context)
    assert len(cloud.asked) == 3


def test_the_bound_of_a_search_comes_back_as_it_was_sent() -> None:
    for stated in ("0.1213888888888889", "0.3085", "2.4014"):
        assert json.dumps(float(Decimal(stated))) == stated
