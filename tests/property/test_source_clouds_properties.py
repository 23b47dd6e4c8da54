"""Whatever RunPod, Vast.ai, Lambda and Vultr say: offers, dropped rows or one named error, and no price of our own."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from providers.errors import CredentialsRefused, ResponseChanged
from providers.gpus import load_gpus
from providers.offer import EXCLUDING_FLAGS, NANO, NOTICE_FLAGS
from providers.scope import OfferKey
from providers.sources.lambda_cloud import parse_types
from providers.sources.runpod import COUNTS, parse_gpu_types
from providers.sources.vast_hosts import CHEAPEST, parse_hosts
from providers.sources.vultr_plans import parse_plans
from tests.fixtures.provider_fake import NOW

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy

    from providers.sources.cloud_parts import Parsed

FEW = settings(max_examples=70)
GPUS = load_gpus()

numbers = st.one_of(st.integers(), st.decimals(allow_nan=True, allow_infinity=True), st.integers(0, 200))
scalars = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=20))
anything: SearchStrategy[Any] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)


def likely(*values: object) -> SearchStrategy[Any]:
    """Return values that the source has, and now and then any other."""
    return st.one_of(*[st.sampled_from(values)] * 4, anything)


def rows(required: dict[str, SearchStrategy[Any]]) -> SearchStrategy[Any]:
    """Return rows of which any field may be missing; now and then something else."""
    whole = st.fixed_dictionaries(required)
    return st.one_of(whole, whole, whole, st.fixed_dictionaries({}, optional=required), anything)


money = st.one_of(likely(1, 10, Decimal("0.5"), "2.95", 0, -1), numbers)
lowest = rows(
    {"stockStatus": likely("High", "Low"), "minimumBidPrice": money, "minVcpu": likely(8), "minMemory": likely(60)}
)
runpod_rows = rows({
    "id": likely("NVIDIA L4", "NVIDIA GeForce RTX 4090", "unknown", "NVIDIA B200 MIG 1g.24gb"),
    "displayName": likely("L4", "RTX 4090", "---"),
    "memoryInGb": likely(0, 24, 48),
    "secureCloud": likely(True, False),
    "communityCloud": likely(True, False),
    "securePrice": money,
    "communityPrice": money,
    "secureSpotPrice": money,
    "communitySpotPrice": money,
    "maxGpuCount": likely(1, 8, None),
    "secure1": lowest,
    "secure8": lowest,
    "community2": lowest,
})  # fmt: skip
vast_rows = rows({
    "id": likely(7, 8),
    "machine_id": likely(1, 2, 3),
    "gpu_name": likely("RTX 4090", "A100 SXM4", "R100", "\n--"),
    "num_gpus": likely(1, 8, 0),
    "gpu_ram": likely(24564, 40536, 81251, None, 0),
    "cpu_cores": likely(64, 0),
    "cpu_cores_effective": likely(Decimal("10.5"), 64),
    "cpu_ram": likely(257655),
    "dph_base": money,
    "min_bid": money,
    "geolocation": likely("Sweden, SE", "US", "Mars", None),
    "rentable": likely(True),
})  # fmt: skip
lambda_rows = rows({
    "instance_type": rows({
        "name": likely("gpu_1x_a10", "gpu_8x_h100_sxm5"),
        "description": likely("1x A10 (24 GB PCIe)"),
        "gpu_description": likely("A10 (24 GB PCIe)", "H100 (80 GB SXM5)", "N/A", None),
        "price_cents_per_hour": money,
        "specs": rows({"vcpus": likely(30), "memory_gib": likely(200), "storage_gib": likely(9), "gpus": likely(1, 8)}),
    }),
    "regions_with_capacity_available": likely([], [{"name": "us-east-1"}], [{"name": "us-east-1"}, {"name": ""}]),
})  # fmt: skip
vultr_rows = rows({
    "id": likely("vcg-l40s-16c-180g-48vram", "vbm-64c-2048gb-8-l40-gpu", "vc2-1c-1gb"),
    "type": likely("vcg", "vdm", "vc2"),
    "gpu_type": likely("NVIDIA_L40S", "NVIDIA_A100", "NVIDIA_A16", "AMD_X1", None),
    "gpu_count": likely("1", 8, "1/8", "0", "8/1", None),
    "gpu_vram_gb": likely(2, 16, 48, 80, 640, None),
    "hourly_cost": money,
    "hourly_cost_preemptible": money,
    "deploy_ondemand": likely(True, False),
    "deploy_preemptible": likely(True, False),
    "locations": likely(["ewr", "ams"], ["", "ewr"], []),
    "location_cost": likely([], {"ewr": {"hourly_cost": 3}}, {"ewr": 3}),
})  # fmt: skip


def stated_nano(value: Any) -> set[int]:
    """Return every number that stands anywhere in an answer, in billionths."""
    if isinstance(value, dict):
        return set().union(*map(stated_nano, value.values()))
    if isinstance(value, list):
        return set().union(*map(stated_nano, value))
    try:
        number = None if isinstance(value, bool | None) else Decimal(value)
    except ArithmeticError:
        return set()
    if number is None or not number.is_finite() or abs(number) > 10**7:
        return set()
    return {int((number * NANO).to_integral_value(rounding=ROUND_HALF_EVEN))}


def parsed_or_refused(parse: Callable[[], Parsed]) -> Parsed | None:
    """Return what is parsed, None where the answer is refused by a named error."""
    try:
        return parse()
    except (ResponseChanged, CredentialsRefused):
        return None


def check(parse: Callable[[], Parsed], answer: Any, found: Any, *factors: int, divisor: int = 1) -> None:
    """Hold what is parsed to the laws of all parsers.

    `found` are the rows of the answer; a stated price may be multiplied with one of `factors` and cut by `divisor`.
    """
    parsed = parsed_or_refused(parse)
    if parsed is None:
        return
    allowed = {price * factor // divisor for price in stated_nano(answer) for factor in factors}
    for offer in parsed.offers:
        assert offer.unit_price_nano > 0
        assert offer.unit_price_nano in allowed
        assert (offer.gpu is None) == ("gpu_unknown" in offer.flags)
        assert set(offer.flags) <= {*EXCLUDING_FLAGS, *NOTICE_FLAGS}
        assert offer.gpu_count >= 1
        for text in (offer.region, offer.instance_type, offer.variant or "-", offer.gpu_name):
            assert text.isprintable()
            assert text == text.strip()
            assert text
        assert parsed.find(OfferKey(*offer.key)) is not None
    assert len(parsed.offers) + len(parsed.dropped) >= len(found)


@FEW
@given(st.one_of(st.lists(runpod_rows, max_size=3).map(lambda found: {"data": {"gpuTypes": found}}), anything))
def test_runpod_states_every_price(answer: Any) -> None:
    found = answer["data"]["gpuTypes"] if isinstance(answer, dict) and "data" in answer else ()
    check(lambda: parse_gpu_types(answer, GPUS, NOW), answer, found, *COUNTS)


@FEW
@given(likely([{"message": "no such field"}], [{"message": "Unauthorized"}], "broken", [[]]))
def test_runpod_errors_are_errors(errors: Any) -> None:
    answer = {"errors": errors, "data": {"gpuTypes": []}}
    assert parsed_or_refused(lambda: parse_gpu_types(answer, GPUS, NOW)) is None or not errors


@FEW
@given(st.lists(vast_rows, max_size=4))
def test_vast_states_every_price(found: list[Any]) -> None:
    check(lambda: parse_hosts(found, GPUS, NOW), found, found, 1)


@FEW
@given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 50)), max_size=60))
def test_vast_keeps_the_cheapest_and_counts_the_rest(hosts: list[tuple[int, int]]) -> None:
    found = [{"machine_id": machine, "gpu_name": "L4", "num_gpus": 1, "dph_base": price} for machine, price in hosts]
    parsed = parse_hosts(found, GPUS, NOW)
    cheapest: dict[int, int] = {}
    for machine, price in hosts:
        cheapest[machine] = min(price, cheapest.get(machine, price))
    assert sorted(offer.unit_price_nano for offer in parsed.offers) == [
        price * NANO for price in sorted(cheapest.values())[:CHEAPEST]
    ]
    beyond = [row for row in parsed.dropped if row.reason == "beyond_cheapest"]
    assert len(beyond) + len(parsed.offers) == len(hosts)


@FEW
@given(
    st.one_of(
        st.dictionaries(st.text(max_size=8), lambda_rows, max_size=3).map(lambda found: {"data": found}), anything
    )
)
def test_lambda_states_every_price(answer: Any) -> None:
    found = answer["data"] if isinstance(answer, dict) and "data" in answer else ()
    check(lambda: parse_types(answer, GPUS, NOW), answer, found, 1, divisor=100)


@FEW
@given(st.lists(vultr_rows, max_size=3), st.booleans())
def test_vultr_states_every_price(found: list[Any], metal: bool) -> None:
    check(lambda: parse_plans(found, GPUS, NOW, metal=metal), found, found, 1)
