"""The Cloud Billing Catalog over REST and gRPC: account, pages, retries, errors."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.wrappers import Response

from providers.base import FetchPart, Wanted
from providers.errors import (
    CredentialsMissing,
    CredentialsRefused,
    Interrupted,
    JobError,
    ProviderUnavailable,
    ResponseChanged,
    TunefareError,
)
from providers.offer import PricingModel
from providers.scope import OfferKey
from providers.sources import gcp_client
from providers.sources.gcp import Gcp
from providers.sources.gcp_client import API_KEY, ENDPOINT, KEY_FILE
from tests.fixtures.fakes.gcp import QUICK, SkuList, open_grpc, serve, serve_grpc
from tests.fixtures.fakes.gcp_catalogue import make_sku
from tests.fixtures.provider_fake import CANARY, NOW, Failure, fetch_all, make_context, offers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from providers.base import FetchContext

pytestmark = pytest.mark.loopback

US = Wanted(regions=frozenset({"us-central1"}))
KEY = OfferKey("gcp", "us-central1", "", "a2-highgpu-1g", "", "on_demand")
BAD_KEY = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    "reason": "API_KEY_INVALID",
    "domain": "googleapis.com",
}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.fixture
def skus() -> SkuList:
    return SkuList()


@pytest.fixture
def rest(stack: ExitStack, skus: SkuList) -> FetchContext:
    return make_context(Gcp(), {API_KEY: CANARY, ENDPOINT: serve(stack, skus)})


def raised_by(context: FetchContext) -> TunefareError:
    with pytest.raises(TunefareError) as caught:
        fetch_all(Gcp(patience=QUICK), context)
    assert str(caught.value).startswith("gcp: ")
    assert CANARY not in f"{caught.value!r} {caught.value.__cause__!r}"
    return caught.value


def answering(stack: ExitStack, skus: SkuList, answer: Callable[[], Response]) -> FetchContext:
    skus.answer = lambda _request: answer()  # type: ignore[method-assign]
    return make_context(Gcp(), {API_KEY: CANARY, ENDPOINT: serve(stack, skus)})


def failing(stack: ExitStack, skus: SkuList, status: int, error: dict[str, Any] | str) -> FetchContext:
    body = error if isinstance(error, str) else json.dumps({"error": {"code": status, **error}})
    return answering(stack, skus, lambda: Response(body, status, content_type="application/json"))


def test_pages_are_asked_for_in_order_with_key_and_currency(skus: SkuList, rest: FetchContext) -> None:
    seen: list[str] = []
    fetch_all(Gcp(patience=QUICK), replace(rest, progress=seen.append))
    pages = -(-len(skus.skus) // skus.most)
    assert pages >= 3
    assert seen == [f"page {number}" for number in range(1, pages + 1)]
    assert len(skus.asked) == pages
    assert all(asked["pageSize"] == "5000" and asked["currencyCode"] == "USD" for asked in skus.asked)
    assert all(asked["headers"]["X-Goog-Api-Key"] == CANARY for asked in skus.asked)
    assert CANARY not in str([{**asked, "headers": None} for asked in skus.asked])
    tokens = [asked.get("pageToken", "") for asked in skus.asked]
    assert tokens[0] == ""
    assert len(set(tokens)) == pages


def test_one_part_holds_everything_and_one_moment(rest: FetchContext) -> None:
    provider = Gcp(patience=QUICK)
    (part,) = provider.parts(Wanted(), rest)
    result = provider.fetch(part, rest)
    assert part.name == "catalogue"
    assert {batch.observed_at for batch in result.batches} == {NOW}
    assert {batch.scope.pricing_model for batch in result.batches} == {PricingModel.ON_DEMAND, PricingModel.SPOT}
    assert {row.reason for row in result.dropped} == {"not_a_gpu", "other_product", "unknown_shape"}


def test_parts_are_named_for_what_they_cover(rest: FetchContext) -> None:
    provider = Gcp()
    spot = frozenset({PricingModel.SPOT})
    regions = frozenset({"us-central1", "asia-east1"})
    wishes = [Wanted(regions=regions), Wanted(regions=regions, pricing_models=spot), Wanted(pricing_models=spot)]
    names = [part.name for wanted in wishes for part in provider.parts(wanted, rest)]
    assert names == ["catalogue asia-east1 us-central1", "catalogue asia-east1 us-central1 spot", "catalogue spot"]
    assert not provider.parts(Wanted(pricing_models=frozenset({PricingModel.RESERVED})), rest)


def test_a_region_that_cannot_be_googles_costs_no_walk(skus: SkuList, rest: FetchContext) -> None:
    wanted = Wanted(regions=frozenset({"eastus", "global", "us-central1", "us-east-1"}))
    with pytest.raises(JobError) as caught:
        Gcp().parts(wanted, rest)
    assert (caught.value.key, caught.value.value) == ("region", "eastus, global, us-east-1")
    names = ["us-central1", "northamerica-northeast1", "me-west1", "africa-south1"]
    assert Gcp().parts(Wanted(regions=frozenset(names)), rest)
    assert not skus.asked


def test_several_regions_come_out_of_one_walk(skus: SkuList, rest: FetchContext) -> None:
    wanted = Wanted(regions=frozenset({"us-central1", "europe-west4", "mars-north1"}))
    (result,) = fetch_all(Gcp(patience=QUICK), rest, wanted)
    assert {batch.scope.region for batch in result.batches} == wanted.regions
    assert len(skus.asked) == -(-len(skus.skus) // skus.most)


def test_a_plain_part_is_understood_too(rest: FetchContext) -> None:
    part = FetchPart(name="us-central1", region="us-central1", pricing_models=(PricingModel.SPOT,))
    (batch,) = Gcp(patience=QUICK).fetch(part, rest).batches
    assert (batch.scope.region, batch.scope.pricing_model) == ("us-central1", PricingModel.SPOT)


def test_a_quote_is_asked_for_anew(skus: SkuList, rest: FetchContext) -> None:
    provider = Gcp(patience=QUICK)
    first = provider.quote(KEY, rest)
    assert first is not None
    assert first in offers_of(fetch_all(provider, rest, US))
    for sku in skus.skus:
        if sku["description"] == "Nvidia Tesla A100 GPU running in Iowa":
            sku["pricingInfo"][0]["pricingExpression"]["tieredRates"][0]["unitPrice"]["units"] = "3"
    second = provider.quote(KEY, rest)
    assert second is not None
    assert second.unit_price_nano == first.unit_price_nano + 10**9


def test_tiers_and_timelines_keep_their_last_entry_on_the_way(skus: SkuList, rest: FetchContext) -> None:
    first = Gcp(patience=QUICK).quote(KEY, rest)
    for sku in skus.skus:
        (info,) = sku["pricingInfo"]
        (rate,) = info["pricingExpression"]["tieredRates"]
        free = {"startUsageAmount": 0, "unitPrice": {"currencyCode": "USD", "units": "0", "nanos": 0}}
        tiers = {**info["pricingExpression"], "tieredRates": [free, {**rate, "startUsageAmount": 1}]}
        old = {**info, "pricingExpression": {**tiers, "tieredRates": [free]}}
        sku["pricingInfo"] = [old, {**info, "pricingExpression": tiers}]
    assert first is not None
    assert Gcp(patience=QUICK).quote(KEY, rest) == first


def test_a_quote_of_a_machine_that_lost_a_part_is_none(skus: SkuList, rest: FetchContext) -> None:
    skus.skus = [sku for sku in skus.skus if not sku["description"].startswith("A2 Instance Ram")]
    assert Gcp(patience=QUICK).quote(KEY, rest) is None


@pytest.mark.parametrize(
    "key",
    [
        KEY._replace(instance_type="a2-highgpu-3g"),
        KEY._replace(zone="us-central1-a"),
        KEY._replace(variant="secure"),
        KEY._replace(pricing_model="reserved"),
        KEY._replace(region="global"),
        KEY._replace(provider="aws"),
    ],
)
def test_a_quote_of_what_the_catalogue_cannot_hold_asks_nobody(
    skus: SkuList, rest: FetchContext, key: OfferKey
) -> None:
    assert Gcp(patience=QUICK).quote(key, rest) is None
    assert not skus.asked


def test_a_page_that_leads_back_is_noticed(skus: SkuList, rest: FetchContext, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {"": ("one", "next"), "next": ("two", "next")}

    def page(_self: SkuList, _size: int, token: str) -> dict[str, Any]:
        assert len(skus.asked) < 5
        name, following = pages[token]
        return {"skus": [make_sku("Nvidia L4 GPU running in Iowa", "1", sku_id=name)], "nextPageToken": following}

    monkeypatch.setattr(SkuList, "page", page)
    assert "page 2" in str(raised_by(rest))


@pytest.mark.parametrize("repeated", [True, False])
def test_pages_that_bring_nothing_new_are_noticed(
    skus: SkuList, rest: FetchContext, monkeypatch: pytest.MonkeyPatch, repeated: bool
) -> None:
    def page(_self: SkuList, _size: int, _token: str) -> dict[str, Any]:
        assert len(skus.asked) < 5
        again = [make_sku("Nvidia L4 GPU running in Iowa", "1", sku_id="same")] if repeated else []
        return {"skus": again, "nextPageToken": f"page {len(skus.asked)}"}

    monkeypatch.setattr(SkuList, "page", page)
    error = raised_by(rest)
    assert isinstance(error, ResponseChanged)
    assert "nothing new" in str(error)


def test_whoever_stops_is_heard_between_pages(rest: FetchContext, skus: SkuList) -> None:
    def stop() -> None:
        if skus.asked:
            raise Interrupted("interrupted")

    with pytest.raises(Interrupted):
        fetch_all(Gcp(patience=QUICK), replace(rest, checkpoint=stop))
    assert len(skus.asked) == 1


def test_whoever_stops_is_heard_between_two_tries(rest: FetchContext, skus: SkuList) -> None:
    skus.failure = Failure.DOWN

    def stop() -> None:
        if skus.asked:
            raise Interrupted("interrupted")

    with pytest.raises(Interrupted):
        fetch_all(Gcp(patience=QUICK), replace(rest, checkpoint=stop))
    assert len(skus.asked) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_service_that_is_down_is_asked_several_times(stack: ExitStack, skus: SkuList, status: int) -> None:
    tries: list[int] = []

    def answer() -> Response:
        tries.append(1)
        return Response("{}", status, content_type="application/json")

    assert isinstance(raised_by(answering(stack, skus, answer)), ProviderUnavailable)
    assert len(tries) >= 3


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, {"status": "UNAUTHENTICATED"}),
        (403, {"status": "PERMISSION_DENIED"}),
        (400, {"status": "INVALID_ARGUMENT", "message": "API key not valid. Please pass a valid API key."}),
        (400, {"status": "INVALID_ARGUMENT", "details": [BAD_KEY]}),
    ],
)
def test_a_key_that_is_refused(stack: ExitStack, skus: SkuList, status: int, error: dict[str, Any]) -> None:
    refused = raised_by(failing(stack, skus, status, error))
    assert isinstance(refused, CredentialsRefused)
    assert ("API_KEY_INVALID" in str(refused)) == ("details" in error)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"status": "INVALID_ARGUMENT", "message": "Invalid page size"}),
        (404, {"status": "NOT_FOUND"}),
        (404, "<p>"),
    ],
)
def test_another_refusal_means_that_the_service_changed(
    stack: ExitStack, skus: SkuList, status: int, error: dict[str, Any] | str
) -> None:
    assert isinstance(raised_by(failing(stack, skus, status, error)), ResponseChanged)


@pytest.mark.parametrize("body", ["{}", "[]", "null", '"skus"', "<html>", '{"skus": {}}', '{"skus": [{"skuId": []}]}'])
def test_what_is_no_list_of_skus(stack: ExitStack, skus: SkuList, body: str) -> None:
    context = answering(stack, skus, lambda: Response(body, 200, content_type="application/json"))
    assert isinstance(raised_by(context), ResponseChanged)


def test_skus_of_which_none_prices_a_gpu(skus: SkuList, rest: FetchContext) -> None:
    skus.skus = [sku for sku in skus.skus if sku["category"]["resourceGroup"] != "GPU"]
    error = raised_by(rest)
    assert isinstance(error, ResponseChanged)
    assert f"none of the {len(skus.skus)} SKUs" in str(error)


def test_nobody_listens(stack: ExitStack, skus: SkuList) -> None:
    with ExitStack() as closed:
        address = serve(closed, skus)
    assert isinstance(raised_by(make_context(Gcp(), {API_KEY: CANARY, ENDPOINT: address})), ProviderUnavailable)


def test_the_address_may_not_be_in_the_clear() -> None:
    with pytest.raises(JobError):
        fetch_all(Gcp(), make_context(Gcp(), {API_KEY: CANARY, ENDPOINT: "http://mirror.example"}))


def test_grpc_brings_the_same(stack: ExitStack, skus: SkuList, rest: FetchContext) -> None:
    address = serve_grpc(stack, skus)
    over_grpc = Gcp(open_client=lambda _context: open_grpc(address), patience=QUICK)
    assert fetch_all(over_grpc, make_context(Gcp())) == fetch_all(Gcp(patience=QUICK), rest)
    assert skus.asked[0] == {"parent": "services/6F81-5844-456A", "pageSize": 5000}


@pytest.mark.parametrize(
    ("failure", "raised"), [(Failure.REFUSED, CredentialsRefused), (Failure.DOWN, ProviderUnavailable)]
)
def test_grpc_fails_by_the_same_names(
    stack: ExitStack, skus: SkuList, failure: Failure, raised: type[TunefareError]
) -> None:
    address = serve_grpc(stack, skus)
    skus.failure = failure
    with pytest.raises(raised, match=r"^gcp: "):
        fetch_all(Gcp(open_client=lambda _context: open_grpc(address), patience=QUICK), make_context(Gcp()))
    assert (len(skus.asked) > 1) == (failure is Failure.DOWN)


def test_with_a_key_the_client_speaks_grpc_to_google(rest: FetchContext) -> None:
    client = gcp_client.connect(make_context(Gcp(), {API_KEY: CANARY}))
    try:
        assert client.transport.kind == "grpc"
        assert client.api_endpoint == "cloudbilling.googleapis.com"
    finally:
        client.transport.close()


@pytest.fixture
def no_google_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gcp_client, "_is_google_machine", lambda: False)


def test_without_an_account_nothing_is_asked(no_google_machine: None) -> None:
    provider, context = Gcp(), make_context(Gcp())
    for attempt in (lambda: provider.parts(Wanted(), context), lambda: provider.quote(KEY, context)):
        with pytest.raises(CredentialsMissing, match=f"{API_KEY}.*{KEY_FILE}.*gcloud auth"):
            attempt()


def user_file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}),
        encoding="utf-8",
    )
    return path


@pytest.mark.parametrize("by_gcloud", [True, False])
def test_without_a_key_a_credentials_file_does(
    tmp_path: Path, stack: ExitStack, skus: SkuList, no_google_machine: None, by_gcloud: bool
) -> None:
    environment = {ENDPOINT: serve(stack, skus)}
    if by_gcloud:
        user_file(Path.home() / ".config" / "gcloud" / "application_default_credentials.json")
    else:
        environment[KEY_FILE] = str(user_file(tmp_path / "account.json"))
    client = gcp_client.connect(make_context(Gcp(), environment))
    try:
        credentials = client.transport._credentials  # type: ignore[attr-defined]
        assert credentials.refresh_token == "r"  # noqa: S105
        # A scope that the login does not have would be refused: its token is asked for as it is.
        assert credentials.scopes is None
        assert credentials.default_scopes is None
        assert client.transport.kind == "rest"
    finally:
        client.transport.close()


def test_an_account_of_a_service_is_given_the_scope_of_the_catalogue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_google_machine: None
) -> None:
    import google.auth

    asked: list[dict[str, Any]] = []

    def load(_path: str, **options: Any) -> tuple[None, None]:
        asked.append(options)
        return None, None

    monkeypatch.setattr(google.auth, "load_credentials_from_file", load)
    monkeypatch.setattr(google.auth, "default", lambda **options: load("", **options))
    gcp_client._default_credentials({KEY_FILE: str(tmp_path / "account.json")})
    gcp_client._default_credentials({})
    assert asked == [{"default_scopes": [gcp_client.SCOPE]}] * 2


@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"type": "service_account"}', '{"type": "else"}'])
def test_a_credentials_file_that_is_none(tmp_path: Path, content: str | None, no_google_machine: None) -> None:
    path = tmp_path / "account.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(CredentialsMissing, match="holds no usable credentials"):
        gcp_client.connect(make_context(Gcp(), {KEY_FILE: str(path)}))


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.cloud.billing_v1", None)
    with pytest.raises(CredentialsMissing, match=r"pip install 'tunefare\[gcp\]'"):
        fetch_all(Gcp(), make_context(Gcp(), {API_KEY: CANARY}))


def test_the_adapter_alone_imports_nothing_of_google() -> None:
    import subprocess

    code = "import sys, providers.sources.gcp as a; a.Gcp().info; sys.exit(any(n in sys.modules for n in ('google.auth', 'grpc', 'requests')))"  # noqa: E501
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[3]).returncode == 0
