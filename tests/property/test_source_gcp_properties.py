"""Whatever Google's catalogue holds: offers, dropped rows, and prices that are sums of what it states."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from providers.gpus import load_gpus
from providers.offer import NANO
from providers.scope import DROP_REASONS
from providers.sources.gcp_assemble import make_batches
from providers.sources.gcp_machines import load_gcp_machines
from providers.sources.gcp_skus import Catalogue
from tests.fixtures.fakes.gcp_catalogue import make_catalogue, make_sku
from tests.fixtures.provider_fake import NOW

MACHINES, GPUS = load_gcp_machines(), load_gpus()

LEAVES = (
    st.none() | st.booleans() | st.integers() | st.decimals() | st.floats() | st.text(max_size=12)
    | st.sampled_from(["h", "GiBy.h", "OnDemand", "Preemptible", "GPU", "USD", "-1", "1E+50", "Nvidia L4 GPU"])
)  # fmt: skip
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner))

SENTENCES = st.sampled_from([
    "A2 Instance Core running in Iowa", "A2 Instance Ram running in Iowa", "Nvidia Tesla A100 GPU running in Iowa",
    "G2 Instance Core running in Iowa", "G2 Instance Ram running in Iowa", "Nvidia L4 GPU running in Iowa",
    "Spot Preemptible A4 Nvidia B200 (1 gpu slice) running in Iowa", "SSD backed Local Storage",
])  # fmt: skip
PRICES = st.decimals(min_value=Decimal("0.000000001"), max_value=40, places=9)


@st.composite
def skus(draw: st.DrawFn) -> dict[str, Any]:
    sentence, price = draw(SENTENCES), draw(PRICES)
    unit = "GiBy.h" if "Ram" in sentence else "GiBy.mo" if "Storage" in sentence else "h"
    regions = draw(st.sampled_from([("us-central1",), ("us-east1",), ("us-central1", "us-east1")]))
    return make_sku(sentence, str(price), regions, unit=unit, sku_id=f"{sentence} {price}")


def read(rows: list[Any]) -> tuple[Catalogue, dict[tuple[str, ...], int], int]:
    """Return what was understood, offers by key, and the number of machines dropped."""
    catalogue = Catalogue()
    catalogue.read(rows)
    batches = make_batches(catalogue.parts, MACHINES, gpus=GPUS, observed_at=NOW)
    offers = {offer.key: offer.unit_price_nano for batch in batches for offer in batch.offers}
    assert all(row.reason in DROP_REASONS for batch in batches for row in batch.dropped)
    return catalogue, offers, sum(len(batch.dropped) for batch in batches)


@settings(max_examples=60)
@given(rows=st.lists(JSON, max_size=4))
def test_any_json_is_dropped_rows(rows: list[Any]) -> None:
    catalogue, offers, _ = read(rows)
    assert not offers
    assert sum(catalogue.kinds.values()) + len(catalogue.problems) == len(rows)


@settings(max_examples=60)
@given(data=st.data())
def test_a_sku_with_anything_in_one_place_is_a_part_or_a_dropped_row(data: st.DataObject) -> None:
    sku: Any = data.draw(skus())
    at, path = sku, data.draw(st.integers(1, 6))
    for _ in range(path):
        key = data.draw(st.sampled_from(list(at) if isinstance(at, dict) else list(range(len(at)))))
        if not isinstance(at[key], dict | list) or not at[key]:
            break
        at, key = at[key], data.draw(st.sampled_from(list(at[key]) if isinstance(at[key], dict) else [0]))
    at[key] = data.draw(JSON)
    catalogue, _, _ = read([sku])
    assert len(catalogue.parts) + len(catalogue.problems) + sum(catalogue.kinds.values()) == 1


@settings(max_examples=60)
@given(rows=st.lists(skus(), max_size=12))
def test_prices_are_sums_of_what_is_stated(rows: list[dict[str, Any]]) -> None:
    _, offers, _ = read(rows)
    stated: dict[tuple[str, str], set[Fraction]] = {}
    for sku in rows:
        expression = sku["pricingInfo"][0]["pricingExpression"]
        money = expression["tieredRates"][0]["unitPrice"]
        price = Fraction(int(money["units"])) + Fraction(money["nanos"], NANO)
        for region in sku["serviceRegions"]:
            stated.setdefault((sku["description"], region), set()).add(price)
    for (_, region, _, name, _, _), nano in offers.items():
        machine = MACHINES[name]
        if machine.family == "A4":
            (share,) = stated["Spot Preemptible A4 Nvidia B200 (1 gpu slice) running in Iowa", region]
            expected = 8 * share
        else:
            gpu_name = {"A2": "Nvidia Tesla A100 GPU", "G2": "Nvidia L4 GPU"}[machine.family]
            (core,) = stated[f"{machine.family} Instance Core running in Iowa", region]
            (ram,) = stated[f"{machine.family} Instance Ram running in Iowa", region]
            (gpu,) = stated[f"{gpu_name} running in Iowa", region]
            expected = machine.vcpus * core + machine.ram_gib * ram + machine.gpu_count * gpu
        assert abs(expected - Fraction(nano, NANO)) <= Fraction(1, 2 * NANO)


@settings(max_examples=40)
@given(rows=st.lists(skus(), max_size=12), data=st.data())
def test_order_and_repetition_change_nothing(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    repeated = data.draw(st.lists(st.sampled_from(rows), max_size=5)) if rows else []
    again = data.draw(st.permutations([*rows, *repeated]))
    assert read(rows)[1:] == read(again)[1:]


@settings(max_examples=20)
@given(data=st.data())
def test_a_sku_less_never_makes_an_offer_cheaper(data: st.DataObject) -> None:
    """A machine loses its price with a part of it: a sum without the part would be a bargain that nobody offers."""
    rows = make_catalogue()
    whole = read(rows)[1]
    rows.pop(data.draw(st.integers(0, len(rows) - 1)))
    for key, nano in read(rows)[1].items():
        # Where two prices contradicted each other, one remains.
        assert whole.get(key, nano) == nano
