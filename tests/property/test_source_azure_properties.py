"""Whatever Azure's list holds, its parser brings offers, dropped rows or one named error, and invents no price."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.errors import ResponseChanged
from providers.gpus import load_gpus
from providers.offer import NANO
from providers.payload import LARGEST_PRICE
from providers.scope import Scope, ScopeBatch
from providers.sources.azure import _onward
from providers.sources.azure_skus import PROVIDER, Parsed, parse_items
from tests.fixtures.fakes.azure import make_row
from tests.fixtures.provider_fake import NOW

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

FEW = settings(max_examples=100)
GPUS = load_gpus()

numbers = st.one_of(st.integers(), st.decimals(allow_nan=True, allow_infinity=True), st.integers(0, 200))
scalars = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=20))
anything: SearchStrategy[Any] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)


dates = st.sampled_from(
    [None, "2020-01-01T00:00:00Z", "2026-11-24T00:00:00Z", "2026-11-24T02:59:59+05:00", "2027-01-01T00:00:00Z"]
)
FIELDS: dict[str, SearchStrategy[Any]] = {
    "armSkuName": st.sampled_from(
        ["Standard_NC4as_T4_v3", "standard_nc4as_T4_v3 ", "Standard_NV6ads_A10_v5", "Standard_NZ", "Standard_NP10s"]
    ),
    "armRegionName": st.sampled_from(["eastus"] * 7 + ["westus"]),
    "meterName": st.sampled_from(["NC4as T4 v3", "NC4as T4 v3", "NC4as T4 v3 Spot", "NC4as T4 v3 Low Priority"]),
    "skuName": st.sampled_from(["NC4as T4 v3", "NC4as T4 v3 Spot", None]),
    "productName": st.sampled_from(["NCasT4 v3 Series"] * 4 + ["NCasT4 v3 Series Windows"]),
    "retailPrice": st.one_of(st.sampled_from([1, Decimal("0.526"), "0.526", 0]), numbers),
    "currencyCode": st.sampled_from(["USD", "USD", "USD", "EUR"]),
    "tierMinimumUnits": st.sampled_from([0, Decimal("0.0"), 0, None, 100]),
    "type": st.sampled_from(["Consumption"] * 7 + ["Reservation"]),
    "effectiveStartDate": dates,
    "effectiveEndDate": st.sampled_from([None, None, None, "2026-11-24T00:00:00Z", "2020-01-01T00:00:00Z"]),
}
"""What the list may hold; a row takes some of it, and now and then has a field with anything in it."""
broken = st.one_of(
    *[st.just({})] * 4, st.dictionaries(st.sampled_from([*FIELDS, "unitOfMeasure"]), anything, max_size=2)
)
rows = st.builds(
    lambda changes, wrong: make_row("Standard_NC4as_T4_v3", 1) | changes | wrong,
    st.fixed_dictionaries({}, optional=FIELDS),
    broken,
)


def parsed_or_none(items: list[Any]) -> Parsed | None:
    try:
        return parse_items(items, region="eastus", observed_at=NOW, gpus=GPUS)
    except ResponseChanged:
        return None


def as_price(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return None
    try:
        number = Decimal(value)
    except ArithmeticError:
        return None
    return number if number.is_finite() and 0 < number <= LARGEST_PRICE else None


@FEW
@given(st.lists(st.one_of(anything, rows), max_size=5))
def test_any_rows_become_offers_or_say_why_not(items: list[Any]) -> None:
    parsed = parsed_or_none(items)
    if parsed is None:
        return
    stated = {as_price(item["retailPrice"]) for item in items if isinstance(item, dict) and "retailPrice" in item}
    written = {round(price * NANO) for price in stated if price is not None}
    offers = [offer for found in parsed.offers.values() for offer in found]
    assert {offer.unit_price_nano for offer in offers} <= written
    assert len({offer.key for offer in offers}) == len(offers)
    for model, found in parsed.offers.items():
        ScopeBatch(
            scope=Scope(provider=PROVIDER, region="eastus", pricing_model=model), observed_at=NOW, offers=tuple(found)
        )
    dropped = [row for found in parsed.dropped.values() for row in found]
    assert len(offers) + len(dropped) <= len(items)
    assert offers or dropped or not items


@FEW
@given(st.lists(rows, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing(items: list[Any], random: Any) -> None:
    first = parsed_or_none(items)
    shuffled = list(items)
    random.shuffle(shuffled)
    second = parsed_or_none(shuffled)
    assert (first is None) == (second is None)
    if first and second:
        assert {model: found for model, found in first.offers.items() if found} == {
            model: found for model, found in second.offers.items() if found
        }


@FEW
@given(st.lists(rows, min_size=1, max_size=4))
def test_rows_seen_twice_change_no_price(items: list[Any]) -> None:
    once, twice = parsed_or_none(items), parsed_or_none(items + items)
    assert (once is None) == (twice is None)
    if once and twice:
        assert {offer for found in once.offers.values() for offer in found} == {
            offer for found in twice.offers.values() for offer in found
        }


@FEW
@given(st.one_of(anything, st.fixed_dictionaries({"NextPageLink": st.one_of(anything, st.text())})))
def test_a_link_leads_nowhere_else(answer: Any) -> None:
    try:
        onward = _onward(answer, "https://prices.azure.com")
    except ResponseChanged:
        return
    assert onward is None


@pytest.mark.parametrize("query", ["$skip=1000", "%24skip=1000", "$skip=1000&$skip=1000"])
def test_a_link_is_read_whatever_its_writing(query: str) -> None:
    link = f"https://prices.azure.com:443/api/retail/prices?{query}"
    assert _onward({"NextPageLink": link}, "https://prices.azure.com") == {"$skip": "1000"}
