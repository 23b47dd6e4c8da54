"""What every price source must do, whoever wrote it. Runs over the entry points, against the fake of each."""

from __future__ import annotations

import re
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from providers.base import Account, Wanted
from providers.bundled import load_billing
from providers.errors import CredentialsMissing, CredentialsRefused, ProviderUnavailable, ResponseChanged, TunefareError
from providers.gpus import load_gpus
from providers.machines import load_machines
from providers.offer import EXCLUDING_FLAGS, NOTICE_FLAGS, PriceClass
from providers.registry import load_provider, provider_names
from providers.scope import OfferKey
from tests.fixtures.provider_fake import CANARY, NOW, Failure, Fake, fetch_all, make_context, offers_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from providers.base import FetchContext, FetchResult

ROOT = Path(__file__).parents[2]
NAMES = provider_names()

pytestmark = [pytest.mark.loopback, pytest.mark.usefixtures("quick_retries")]


@pytest.fixture(params=NAMES)
def fake(request: pytest.FixtureRequest) -> Iterator[Fake]:
    with ExitStack() as stack:
        yield import_module(f"tests.fixtures.fakes.{request.param}").start(stack)


@pytest.fixture
def context(fake: Fake) -> FetchContext:
    return make_context(fake.provider, fake.environment)


@pytest.fixture
def results(fake: Fake, context: FetchContext) -> list[FetchResult]:
    return fetch_all(fake.provider, context)


def test_the_sources_that_the_readme_promises() -> None:
    assert {"aws", "azure", "gcp", "lambda", "oci", "runpod", "vast", "vultr"} <= set(NAMES)


def test_info_says_what_a_user_must_know(fake: Fake) -> None:
    info = fake.provider.info
    assert re.fullmatch(r"[a-z][a-z0-9-]*", info.name)
    assert info.title
    assert info.live
    assert info.unverified
    assert info.homepage.startswith("https://")
    assert info.pricing_models
    assert info.pool >= 1
    assert info.requests_per_s > 0
    assert (info.account is Account.NONE) == (not any(item.required or item.secret for item in info.variables))
    for variable in info.variables:
        assert re.fullmatch(r"[A-Z][A-Z0-9_]*", variable.name)
        assert variable.help
        assert "\n" not in variable.help
    if info.account is Account.NEEDED:
        assert info.permissions != "none"


def test_variables_stand_in_the_example_file(fake: Fake) -> None:
    written = set(re.findall(r"^#?\s*([A-Z][A-Z0-9_]*)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert {item.name for item in fake.provider.info.variables} <= written


def test_there_is_a_row_in_the_documentation(fake: Fake) -> None:
    assert f"| {fake.provider.info.name} |" in (ROOT / "docs" / "providers.md").read_text()


def test_parts_have_unique_stable_names(fake: Fake, context: FetchContext) -> None:
    names = [part.name for part in fake.provider.parts(Wanted(), context)]
    assert names
    assert len(names) == len(set(names))
    assert names == [part.name for part in fake.provider.parts(Wanted(), context)]


def test_offers_are_complete_and_plausible(fake: Fake, results: list[FetchResult]) -> None:
    info, gpus, billing = fake.provider.info, load_gpus(), load_billing()
    offers = offers_of(results)
    assert offers
    assert any(offer.gpu for offer in offers)
    for offer in offers:
        assert offer.provider == info.name
        assert offer.pricing_model in info.pricing_models
        assert offer.price_class is PriceClass.LIVE
        assert offer.observed_at == NOW
        assert offer.unit_price_nano > 0
        assert re.fullmatch(r"[A-Z]{3}", offer.currency)
        assert offer.currency == "USD" or "foreign_currency" in offer.flags
        assert offer.source
        assert offer.gpu_name
        assert offer.gpu is None or offer.gpu in gpus.by_id
        assert (offer.gpu is None) == ("gpu_unknown" in offer.flags)
        assert set(offer.flags) <= {*EXCLUDING_FLAGS, *NOTICE_FLAGS}
        assert len(offer.flags) == len(set(offer.flags))
        assert offer.billing or offer.provider in billing
        for text in (offer.region, offer.zone or "-", offer.instance_type, offer.variant or "-", offer.gpu_name):
            assert text == text.strip()
            assert text.isprintable()
            assert text


def test_a_key_stands_once(results: list[FetchResult]) -> None:
    keys = [offer.key for offer in offers_of(results)]
    assert len(keys) == len(set(keys))


def test_a_scope_stands_once(results: list[FetchResult]) -> None:
    scopes = [batch.scope for result in results for batch in result.batches]
    assert len(scopes) == len(set(scopes))


def test_two_nights_of_the_same_prices_are_the_same(
    fake: Fake, context: FetchContext, results: list[FetchResult]
) -> None:
    again = fetch_all(fake.provider, context)
    assert sorted(map(repr, offers_of(again))) == sorted(map(repr, offers_of(results)))


def test_a_region_and_a_model_are_what_comes_back(fake: Fake, context: FetchContext) -> None:
    everything = offers_of(fetch_all(fake.provider, context))
    one = next(offer for offer in everything if offer.region == fake.region)
    wanted = Wanted(regions=frozenset({one.region}), pricing_models=frozenset({one.pricing_model}))
    found = offers_of(fetch_all(fake.provider, context, wanted))
    assert {(offer.region, offer.pricing_model) for offer in found} == {(one.region, one.pricing_model)}
    expected = {
        offer.key for offer in everything if (offer.region, offer.pricing_model) == (one.region, one.pricing_model)
    }
    assert {offer.key for offer in found} == expected


def test_a_quote_is_the_offer(fake: Fake, context: FetchContext, results: list[FetchResult]) -> None:
    offers = offers_of(results)
    for offer in offers[:: max(1, len(offers) // 5)]:
        assert fake.provider.quote(OfferKey(*offer.key), context) == offer


def test_a_quote_of_what_is_gone_is_none(fake: Fake, context: FetchContext, results: list[FetchResult]) -> None:
    key = OfferKey(*offers_of(results)[0].key)
    assert fake.provider.quote(key._replace(instance_type="no-such-type"), context) is None


@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        (Failure.REFUSED, (CredentialsRefused, CredentialsMissing)),
        (Failure.DOWN, (ProviderUnavailable,)),
        (Failure.GARBAGE, (ResponseChanged,)),
        (Failure.CUT, (ProviderUnavailable, ResponseChanged)),
    ],
)
def test_failures_are_named(
    fake: Fake, context: FetchContext, failure: Failure, raised: tuple[type[TunefareError], ...]
) -> None:
    if failure in fake.unsupported:
        pytest.skip(f"{fake.provider.info.name} has no way to fail like this")
    fake.fail(failure)
    with pytest.raises(raised) as caught:
        fetch_all(fake.provider, context)
    assert str(caught.value).startswith(fake.provider.info.name)
    assert "\n" not in str(caught.value)


def test_a_busy_source_is_asked_again(fake: Fake, context: FetchContext, results: list[FetchResult]) -> None:
    if Failure.BUSY_ONCE in fake.unsupported:
        pytest.skip(f"{fake.provider.info.name} has no way to fail like this")
    fake.fail(Failure.BUSY_ONCE)
    assert len(offers_of(fetch_all(fake.provider, context))) == len(offers_of(results))


def test_secrets_stay_inside(fake: Fake, context: FetchContext, results: list[FetchResult]) -> None:
    assert CANARY not in repr(results)
    for failure in (Failure.REFUSED, Failure.DOWN, Failure.GARBAGE):
        if failure in fake.unsupported:
            continue
        fake.fail(failure)
        with pytest.raises(TunefareError) as caught:
            fetch_all(fake.provider, context)
        assert CANARY not in repr(caught.value)
        assert CANARY not in str(caught.value.__cause__ or "")
        assert CANARY not in getattr(caught.value, "sample", "")


def test_without_the_account_it_says_what_is_missing(fake: Fake) -> None:
    info = fake.provider.info
    if info.account is not Account.NEEDED:
        pytest.skip(f"{info.name} answers strangers")
    endpoints = {name: value for name, value in fake.environment.items() if value != CANARY}
    context = make_context(fake.provider, endpoints)
    with pytest.raises(CredentialsMissing) as caught:
        fetch_all(fake.provider, context)
    required = [item.name for item in info.variables if item.required]
    assert required
    assert all(name in str(caught.value) for name in required)


def test_the_registry_returns_it(fake: Fake) -> None:
    assert type(load_provider(fake.provider.info.name)) is type(fake.provider)


def test_machines_are_named_as_in_the_table_of_machines(fake: Fake, results: list[FetchResult]) -> None:
    known = {name for provider, name in load_machines() if provider == fake.provider.info.name}
    if known:
        assert known & {offer.instance_type for offer in offers_of(results)}
