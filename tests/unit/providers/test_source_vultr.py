from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from providers.base import Wanted
from providers.errors import Interrupted, ResponseChanged
from providers.gpus import load_gpus
from providers.offer import PricingModel
from providers.payload import decode_json
from providers.scope import OfferKey
from providers.sources.vultr import ENDPOINT, Vultr
from providers.sources.vultr_plans import BILLING, CHIPS, METAL, UNNAMED, parse_plans
from providers.units import GB, GIB
from tests.fixtures.fakes import vultr as fakes
from tests.fixtures.fakes.small_clouds import Cloud, reply, serve
from tests.fixtures.provider_fake import NOW, fetch_all, make_context, offers_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from werkzeug.wrappers import Request, Response

    from providers.sources.cloud_parts import Parsed
    from tests.fixtures.provider_fake import Fake

ON_DEMAND, SPOT = PricingModel.ON_DEMAND, PricingModel.SPOT
L40S = "vcg-l40s-16c-180g-48vram"


@pytest.fixture
def fake() -> Iterator[Fake]:
    with ExitStack() as stack:
        yield fakes.start(stack)


def parse_row(row: Any, *, metal: bool = False) -> Parsed:
    import json

    return parse_plans([decode_json(json.dumps(row))], load_gpus(), NOW, metal=metal)


def parse(
    name: str = L40S, gpu: str | None = "NVIDIA_L40S", count: object = "1", vram: int | None = 48, **changes: Any
) -> Parsed:
    return parse_row(fakes.make_plan(name, gpu, count, vram, 1.671, **changes))


def test_a_plan_is_an_offer_a_region() -> None:
    first, second = parse(locations=["ewr", "ams"]).offers
    assert (first.region, second.region) == ("ewr", "ams")
    assert (first.instance_type, first.gpu, first.gpu_count) == (L40S, "L40S-48GB", 1)
    assert (first.unit_price_nano, first.pricing_model, first.variant) == (1_671_000_000, ON_DEMAND, None)
    assert (first.vcpus, first.host_ram_bytes, first.disk_bytes) == (16, 180 * GIB, 1400 * GB)
    assert first.gpu_memory_bytes == 48 * GIB
    assert first.flags == ()
    assert first.billing == BILLING


def test_a_region_may_have_a_price_of_its_own() -> None:
    own = {"sao": {"hourly_cost": 2.09, "monthly_cost": 1525.7}, "tlv": {"monthly_cost": 1600}}
    parsed = parse(locations=["ewr", "sao", "tlv"], location_cost=own)
    assert {offer.region: offer.unit_price_nano for offer in parsed.offers} == {
        "ewr": 1_671_000_000,
        "sao": 2_090_000_000,
    }
    assert [(row.reason, row.item) for row in parsed.dropped] == [("no_price", f"{L40S} tlv on_demand")]


@pytest.mark.parametrize(("price", "reason"), [(None, "no_price"), (0, "zero_price"), (-1, "negative_price")])
def test_a_month_is_no_hour(price: object, reason: str) -> None:
    # 672 hours or 730, whatever the product: the price of a month is a cap, and no price of an hour.
    parsed = parse(hourly_cost=price)
    assert not parsed.offers
    assert [row.reason for row in parsed.dropped] == [reason]


@pytest.mark.parametrize(
    ("count", "vram", "expected"),
    [
        ("1", 16, (1, 16, False)), ("2", 32, (2, 16, False)), (8, 128, (8, 16, False)), (None, 64, (4, 16, False)),
        ("1/8", 2, (1, 2, True)), ("1", 4, (1, 4, True)), (None, 8, (1, 8, True)),
    ],
)  # fmt: skip
def test_memory_is_that_of_all_gpus_and_slices_are_flagged(
    count: object, vram: int, expected: tuple[int, int, bool]
) -> None:
    (offer,) = parse("vcg-a16-test", "NVIDIA_A16", count, vram).offers
    gpus, memory, fractional = expected
    assert (offer.gpu, offer.gpu_count, offer.gpu_memory_bytes) == ("A16-16GB", gpus, memory * GIB)
    assert ("fractional" in offer.flags) == fractional


@pytest.mark.parametrize("count", ["0", "8/1", "1/0", "1.5", True, [1], "many"])
def test_a_count_that_is_none_is_dropped(count: object) -> None:
    assert [row.reason for row in parse(count=count).dropped] == ["bad_count"]


@pytest.mark.parametrize(
    ("kind", "count", "vram", "gpu", "flags"),
    [
        ("NVIDIA_A100", "1", 80, "A100-PCIE-80GB", ("form_factor_assumed",)),
        ("NVIDIA_A100_PCIE", "1", 40, "A100-PCIE-40GB", ()),
        ("NVIDIA_A100_PCIE", "1/2", 40, "A100-PCIE-80GB", ("fractional",)),
        ("NVIDIA_A100_SXM", "8", 640, "A100-SXM-80GB", ()),
        ("NVIDIA_H100", "8", 640, "H100-SXM-80GB", ()),
        ("NVIDIA_B200", "8", 1536, "B200-SXM-180GB", ()),
        ("NVIDIA_GH200", "1", 96, "GH200-96GB", ("arm_host",)),
        ("AMD_MI355X", "8", 2304, "MI355X-OAM-288GB", ()),
        ("NVIDIA_R100", "1", 288, None, ("gpu_unknown",)),
    ],
)
def test_names_are_chips(kind: str, count: str, vram: int, gpu: str | None, flags: tuple[str, ...]) -> None:
    (offer,) = parse("vcg-test", kind, count, vram).offers
    assert (offer.gpu, offer.gpu_name, offer.flags) == (gpu, kind, flags)


def test_the_tables_name_known_gpus() -> None:
    gpus = load_gpus()
    assert {name for names in CHIPS.values() for name in names} <= gpus.by_id.keys()
    for kind, count in UNNAMED.values():
        assert kind in CHIPS or gpus.resolve(kind)
        assert 1 <= count <= 16


def test_memory_in_the_name_of_an_unnamed_plan_is_that_of_its_gpus() -> None:
    gpus = load_gpus()
    for name, (kind, count) in UNNAMED.items():
        if not name.endswith("vram"):
            continue
        total = int(name.rsplit("-", 1)[1].removesuffix("vram"))
        (offer,) = parse(name, None, None, total, type="vdm").offers
        assert offer.gpu is not None
        assert (offer.gpu_name, offer.gpu_count) == (kind, count)
        assert 0.8 <= total / count / gpus.by_id[offer.gpu].memory_nameplate_gb <= 1.1


def test_plans_that_hide_their_gpus_are_dropped() -> None:
    hidden = {"gpu": None, "count": None, "vram": None}
    assert parse("vcg-mi325x-252c-2872g-1536vram", **hidden, type="vdm").dropped[0].reason == "unknown_shape"
    assert parse("vbm-9c-test-gpu", **hidden, type=["NVMe"]).dropped[0].reason == "unknown_shape"
    assert parse("vcg-x", "NVIDIA_X9", None, 96).dropped[0].reason == "unknown_shape"
    assert parse("vc2-1c-1gb", **hidden, type="vc2").dropped[0].reason == "not_a_gpu"


@pytest.mark.parametrize(
    ("locations", "reason"), [([], "no_capacity"), ([""], "no_capacity"), ("ewr", "bad_row"), ([7], "bad_row")]
)
def test_a_plan_of_no_region_is_dropped(locations: object, reason: str) -> None:
    assert [row.reason for row in parse(locations=locations).dropped] == [reason]
    assert {offer.region for offer in parse(locations=["ewr", "", "ewr"]).offers} == {"ewr"}


def test_preemptible_is_spot_and_metal_is_a_variant() -> None:
    row = fakes.make_metal(
        "vbm-256c-2048gb-8-mi300x-gpu", "AMD_MI300X", "8", 1536, 31.92, deploy_ondemand=False,
        deploy_preemptible=True, hourly_cost_preemptible=14.8,
    )  # fmt: skip
    listed, spot = parse_row(row, metal=True).offers
    assert (listed.pricing_model, listed.unit_price_nano, listed.flags) == (
        ON_DEMAND,
        31_920_000_000,
        ("not_sold_on_demand",),
    )
    assert listed.excluded_because
    assert (spot.pricing_model, spot.unit_price_nano, spot.flags) == (SPOT, 14_800_000_000, ())
    assert {listed.variant, spot.variant} == {METAL}
    # Threads, as a program sees them; what the disks are is not said.
    assert (spot.vcpus, spot.disk_bytes) == (32, None)


def test_a_price_for_what_is_not_preemptible_is_none() -> None:
    assert [offer.pricing_model for offer in parse(hourly_cost_preemptible=0.9).offers] == [ON_DEMAND]


@pytest.mark.loopback
def test_all_pages_of_both_lists_are_read(fake: Fake) -> None:
    offers = offers_of(fetch_all(fake.provider, make_context(fake.provider, fake.environment)))
    assert {"vcg-b200-248c-2826g-1536vram", "vbm-64c-2048gb-8-l40-gpu"} <= {offer.instance_type for offer in offers}


@pytest.mark.loopback
def test_a_region_without_plans_is_an_empty_batch(fake: Fake) -> None:
    wanted = Wanted(regions=frozenset({"xyz"}), pricing_models=frozenset({ON_DEMAND}))
    (result,) = fetch_all(fake.provider, make_context(fake.provider, fake.environment), wanted)
    assert [(str(batch.scope), batch.offers) for batch in result.batches] == [("vultr xyz on_demand", ())]


@pytest.mark.loopback
@pytest.mark.parametrize(
    "plan",
    [
        fakes.make_plan("vcg-l40s-16c-180g-48vram", "NVIDIA_L40S", 1, 48, 1.671, hourly_cost=None),
        # All plans, and none with a GPU.
        fakes.make_plan("vc2-1c-1gb", None, None, None, 0.007, type="vc2"),
    ],
)
def test_lists_without_one_gpu_plan_that_is_understood_are_refused(plan: dict[str, Any]) -> None:
    with ExitStack() as stack:
        fake = fakes.start(stack, [plan], [])
        context = make_context(fake.provider, fake.environment)
        with pytest.raises(ResponseChanged, match="vultr: none of 1 rows is an offer"):
            fetch_all(fake.provider, context, Wanted(regions=frozenset({"ewr"})))


@pytest.mark.loopback
def test_a_plan_that_is_sold_out_is_believed() -> None:
    plan = fakes.make_plan("vcg-l40s-16c-180g-48vram", "NVIDIA_L40S", 1, 48, 1.671, locations=[])
    with ExitStack() as stack:
        fake = fakes.start(stack, [plan], [])
        assert offers_of(fetch_all(fake.provider, make_context(fake.provider, fake.environment))) == []


@pytest.mark.loopback
def test_a_quote_asks_the_right_list(fake: Fake) -> None:
    context = make_context(fake.provider, fake.environment)
    key = OfferKey("vultr", "atl", "", "vbm-72c-480gb-gh200-gpu", METAL, "on_demand")
    found = fake.provider.quote(key, context)
    assert found is not None
    assert found.unit_price_nano == 1_990_000_000
    assert fake.provider.quote(key._replace(variant=""), context) is None


def ask(answers: list[Any]) -> list[Any]:
    """Return what a fetch brings from a source that gives these answers in turn, the last one for ever."""

    def answer(_request: Request) -> Response:
        return reply(answers.pop(0) if len(answers) > 1 else answers[0])

    with ExitStack() as stack:
        address = serve(stack, Cloud(answer=answer))
        provider = Vultr()
        return offers_of(fetch_all(provider, make_context(provider, {ENDPOINT: address})))


def page(*names: str, following: object = "", total: int | None = None) -> dict[str, Any]:
    rows = [fakes.make_plan(name, "NVIDIA_L40S", "1", 48, 1.671) for name in names]
    meta = {"links": {"next": following, "prev": ""}, **({} if total is None else {"total": total})}
    return {"plans": rows, "plans_metal": [], "meta": meta}


@pytest.mark.loopback
@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([page("a", following="x"), page("b", following="x")], "circle"),
        ([page("a", following="x"), page("a", following="y")], "circle"),
        ([page("a", following=7)], "no text"),
        ([page("a", total=3)], "names 3 plans and sends 1"),
    ],
)
def test_pages_that_lead_nowhere_are_refused(answers: list[Any], words: str) -> None:
    with pytest.raises(ResponseChanged, match=words):
        ask(answers)


@pytest.mark.loopback
def test_pages_may_overlap_and_may_have_no_frame() -> None:
    assert len(ask([page("a", "b", following="x"), page("b", "c", total=3), {"plans_metal": []}])) == 3


@pytest.mark.loopback
def test_the_user_stops_it_between_pages(fake: Fake) -> None:
    from dataclasses import replace

    left = [2]

    def checkpoint() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Interrupted("interrupted")

    context = replace(make_context(fake.provider, fake.environment), checkpoint=checkpoint)
    with pytest.raises(Interrupted):
        fetch_all(fake.provider, context)
