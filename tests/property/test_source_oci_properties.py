"""Whatever Oracle's list holds, its parser brings offers, dropped rows or one named error, and invents no price."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from providers.errors import ResponseChanged
from providers.gpus import load_gpus
from providers.offer import NANO, PricingModel
from providers.scope import Scope, ScopeBatch
from providers.sources.oci_products import PARTS, PROVIDER, parse_products
from tests.fixtures.fakes.oci import make_product
from tests.fixtures.provider_fake import NOW

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

FEW = settings(max_examples=100)
GPUS = load_gpus()
LABELS = {"B98415": "OCI - Compute - GPU - H100", "B95909": "Compute  - GPU - A10", "B89734": "GPU Standard - V2"}
COUNTS = {shape.name: shape.gpu_count for part in PARTS.values() for shape in part.shapes}

numbers = st.one_of(st.integers(), st.decimals(allow_nan=True, allow_infinity=True), st.integers(0, 200))
scalars = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=20))
anything: SearchStrategy[Any] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)


money = st.one_of(st.sampled_from([1, 10, Decimal("0.5"), "2.95"]), numbers)
price = st.fixed_dictionaries({"model": st.sampled_from(["PAY_AS_YOU_GO"] * 4 + ["MONTHLY_COMMIT"]), "value": money})
local = st.fixed_dictionaries(
    {"currencyCode": st.sampled_from(["USD", "USD", "EUR"]), "prices": st.lists(price, min_size=1, max_size=2)}
)
FIELDS: dict[str, SearchStrategy[Any]] = {
    "currencyCodeLocalizations": st.lists(local, min_size=1, max_size=2),
    "metricName": st.sampled_from(["GPU Per Hour"] * 7 + ["OCPU Per Hour"]),
    "serviceCategory": st.sampled_from(["Compute - GPU"] * 7 + ["Compute Cloud@Customer"]),
}
"""What the list may hold; a product takes some of it, and now and then has a field with anything in it."""
broken = st.one_of(*[st.just({})] * 4, st.dictionaries(st.sampled_from([*FIELDS, "displayName"]), anything, max_size=2))


@st.composite
def products(draw: st.DrawFn) -> dict[str, Any]:
    number = draw(st.sampled_from(["B98415", "B95909", "B89734", "B109480", "B1"]))
    changes = draw(st.fixed_dictionaries({}, optional=FIELDS))
    return make_product(number, LABELS.get(number, "OCI - Compute - GPU - X"), 1) | changes | draw(broken)


def stated_prices(value: Any) -> set[Decimal]:
    """Return every number that stands anywhere in an answer."""
    if isinstance(value, dict):
        return set().union(*map(stated_prices, value.values()))
    if isinstance(value, list):
        return set().union(*map(stated_prices, value))
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return set()
    try:
        number = Decimal(value)
    except ArithmeticError:
        return set()
    return {number} if number.is_finite() and 0 < number < 10**7 else set()


@FEW
@given(st.one_of(anything, st.fixed_dictionaries({"items": st.one_of(anything, st.lists(products(), max_size=5))})))
def test_any_answer_becomes_offers_or_says_why_not(answer: Any) -> None:
    try:
        parsed = parse_products(answer, observed_at=NOW, gpus=GPUS)
    except ResponseChanged:
        return
    stated = stated_prices(answer)
    for model, offers, share in (
        (PricingModel.ON_DEMAND, parsed.on_demand, Decimal(1)),
        (PricingModel.SPOT, parsed.spot, Decimal("0.5")),
    ):
        ScopeBatch(
            scope=Scope(provider=PROVIDER, region="global", pricing_model=model), observed_at=NOW, offers=tuple(offers)
        )
        assert len({offer.key for offer in offers}) == len(offers)
        for offer in offers:
            count = COUNTS.get(offer.instance_type, 1)
            assert offer.gpu_count == count
            assert offer.unit_price_nano in {round(number * count * share * NANO) for number in stated}
    assert parsed.on_demand or parsed.dropped or not answer["items"]


@FEW
@given(st.lists(products(), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(items: list[Any], random: Any) -> None:
    first = parse_products({"items": items}, observed_at=NOW, gpus=GPUS)
    shuffled = [*items, *items]
    random.shuffle(shuffled)
    second = parse_products({"items": shuffled}, observed_at=NOW, gpus=GPUS)
    assert (first.on_demand, first.spot) == (second.on_demand, second.spot)
