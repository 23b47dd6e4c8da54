"""AWS as an account sees it: what is asked, in which pages, and what its refusals mean."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from botocore import exceptions

from providers.base import FetchPart, FetchResult, Wanted
from providers.bundled import load_bundled_offers
from providers.errors import CredentialsRefused, Interrupted, JobError, ProviderUnavailable, ResponseChanged
from providers.gpus import load_gpus
from providers.offer import PricingModel
from providers.quota import Quota, QuotaReading, ReadsQuotas
from providers.scope import OfferKey
from providers.sources import aws
from providers.sources.aws import Aws
from providers.sources.aws_client import MOST_EMPTY_PAGES, TRIES, AwsAccount, open_account
from tests.fixtures.fakes import aws_ec2
from tests.fixtures.fakes.aws import AwsFake, start
from tests.fixtures.fakes.aws_market import CLOSED_REGION, REGIONS, block, spot
from tests.fixtures.fakes.aws_pricing_backend import PricingBackend
from tests.fixtures.provider_fake import NOW, Failure, make_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from providers.base import FetchContext
    from providers.offer import Offer
    from providers.scope import ScopeBatch

ON_DEMAND, SPOT, RESERVED = PricingModel.ON_DEMAND, PricingModel.SPOT, PricingModel.RESERVED


@pytest.fixture
def fake() -> Iterator[AwsFake]:
    with ExitStack() as stack:
        yield start(stack)


@pytest.fixture
def context(fake: AwsFake) -> FetchContext:
    return make_context(fake.provider, fake.environment)


def fetch(context: FetchContext, model: PricingModel, region: str = "us-east-1") -> ScopeBatch:
    result: FetchResult = Aws().fetch(
        FetchPart(name=f"{region} {model.value}", region=region, pricing_models=(model,)), context
    )
    [batch] = result.batches
    assert (batch.scope.region, batch.scope.pricing_model) == (region, model)
    assert batch.observed_at == result.observed_at == NOW
    return batch


def prices(batch: ScopeBatch) -> dict[tuple[str, str | None], int]:
    return {(offer.instance_type, offer.zone): offer.unit_price_nano for offer in batch.offers}


def reasons(batch: ScopeBatch) -> dict[str, str]:
    return {row.item: row.reason for row in batch.dropped}


def account_of(context: FetchContext) -> AwsAccount:
    account = open_account(context)
    assert account is not None
    return account


def test_on_demand_of_a_region_in_pages(fake: AwsFake, context: FetchContext) -> None:
    batch = fetch(context, ON_DEMAND)
    found = prices(batch)
    assert len(found) == 12
    assert found["p5.48xlarge", None] == 55_040_000_000
    assert found["p4d.24xlarge", None] == 21_957_642_000
    # 66.048 is the local zone's, 60.544 dedicated, 61.5 Windows: none of them is asked for.
    assert reasons(batch) == {
        "m5.large": "not_a_gpu",
        "trn1.2xlarge": "not_a_gpu",
        "p5e.48xlarge": "zero_price",
        "p3dn.24xlarge": "no_capacity",
    }
    assert fake.faults.asked.count("api.pricing.us-east-1.amazonaws.com") == 4
    assert prices(fetch(context, ON_DEMAND, "eu-north-1")) == {
        ("g5.xlarge", None): 1_068_000_000,
        ("p5.48xlarge", None): 57_086_000_000,
    }


def test_offers_are_named_as_in_the_bundled_list(fake: AwsFake, context: FetchContext) -> None:
    listed = {offer.key: offer for offer in load_bundled_offers(load_gpus()) if offer.provider == "aws"}
    found = {offer.key: offer for offer in fetch(context, ON_DEMAND).offers}
    both = found.keys() & listed.keys()
    assert len(both) == 11
    for key in both:
        ours, theirs = found[key], listed[key]
        assert (ours.gpu, ours.gpu_count, ours.vcpus) == (theirs.gpu, theirs.gpu_count, theirs.vcpus)
        assert ours.host_ram_bytes == theirs.host_ram_bytes
        assert set(ours.flags) - {"gpu_unknown"} == set(theirs.flags)
    assert "g4ad.xlarge" in {offer.instance_type for offer in fetch(context, ON_DEMAND).offers if not offer.gpu}


def test_spot_of_every_zone_by_its_id(fake: AwsFake, context: FetchContext) -> None:
    batch = fetch(context, SPOT)
    assert prices(batch) == {
        ("g5.xlarge", "use1-az1"): 431_000_000,
        ("g6.4xlarge", "use1-az1"): 132_300_000,
        ("g6.4xlarge", "use1-az2"): 512_300_000,
        ("p5.48xlarge", "use1-atl2-az1"): 58_000_000_000,
        ("p5.48xlarge", "use1-az1"): 55_040_000_000,
        ("p5.48xlarge", "use1-az2"): 31_414_700_000,
        ("p5e.48xlarge", "use1-az2"): 40_250_000_000,
    }
    assert batch.dropped == ()
    # Where the answer has letters only, this account's zones are looked up.
    letters = fetch(context, SPOT, "eu-north-1")
    assert prices(letters) == {("g5.xlarge", "eun1-az1"): 398_700_000, ("g5.xlarge", "eun1-az2"): 401_200_000}


def test_a_type_with_spot_and_no_on_demand_price(fake: AwsFake, context: FetchContext) -> None:
    [offer] = [offer for offer in fetch(context, SPOT).offers if offer.instance_type == "p5e.48xlarge"]
    assert offer.gpu == "H200-SXM-141GB"
    assert offer.excluded_because is None
    assert "p5e.48xlarge" not in {offer.instance_type for offer in fetch(context, ON_DEMAND).offers}


def test_spot_needs_no_price_list(fake: AwsFake, context: FetchContext) -> None:
    fake.faults.failure, fake.faults.host = Failure.REFUSED, "pricing"
    assert fetch(context, SPOT).offers


def test_no_type_is_not_every_type(fake: AwsFake, context: FetchContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(aws_ec2.OFFERED, "us-east-1", frozenset({"m5.large"}))
    # An empty list of types would ask EC2 for the spot prices of all of its machines.
    batch = fetch(context, SPOT)
    assert (batch.offers, batch.dropped) == ((), ())
    assert fetch(context, RESERVED).offers == ()


def test_what_is_described_and_not_offered_cannot_be_had(fake: AwsFake, context: FetchContext) -> None:
    fake.market.withdrawn = frozenset({"g5.xlarge"})
    assert reasons(fetch(context, ON_DEMAND))["g5.xlarge"] == "no_capacity"
    assert "g5.xlarge" not in {offer.instance_type for offer in fetch(context, SPOT).offers}


def test_slices_are_kept_and_excluded(fake: AwsFake, context: FetchContext) -> None:
    [offer] = [offer for offer in fetch(context, ON_DEMAND).offers if offer.instance_type == "g6f.2xlarge"]
    assert (offer.gpu, offer.gpu_name, offer.gpu_count) == (None, "L4 (1/4)", 1)
    assert offer.gpu_memory_bytes is None
    assert (offer.excluded_because or "").startswith("a slice of a GPU")


def test_capacity_blocks(fake: AwsFake, context: FetchContext) -> None:
    batch = fetch(context, RESERVED)
    assert prices(batch) == {
        ("p5.48xlarge", "use1-az1"): 32_340_425_532,
        ("p5.48xlarge", "use1-az6"): 31_464_000_000,
        ("p5e.48xlarge", "use1-az6"): 39_800_000_000,
    }
    assert all("commitment" in offer.flags for offer in batch.offers)
    # A type without blocks, and one that EC2 does not want to be asked about, are no failures.
    assert {row.item: row.detail for row in batch.dropped} == {
        "p4d.24xlarge": "UnsupportedOperation",
        "p4de.24xlarge": "no block of 24 h",
        "p6-b200.48xlarge": "no block of 24 h",
    }
    empty = fetch(context, RESERVED, "eu-north-1")
    assert (empty.offers, reasons(empty)) == ((), {"p5.48xlarge": "no_capacity"})


def test_another_rejection_is_a_failure(fake: AwsFake, context: FetchContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws_ec2, "NO_BLOCKS", "MalformedQueryString")
    with pytest.raises(ResponseChanged, match=r"ec2:DescribeCapacityBlockOfferings.*MalformedQueryString"):
        fetch(context, RESERVED)


def test_one_part_for_each_region_and_model(fake: AwsFake, context: FetchContext) -> None:
    names = [part.name for part in Aws().parts(Wanted(), context)]
    assert names == [f"{region} {model}" for region in REGIONS for model in ("on_demand", "spot", "reserved")]
    wanted = Wanted(regions=frozenset({"us-east-1"}), pricing_models=frozenset({SPOT}))
    assert [part.name for part in Aws().parts(wanted, context)] == ["us-east-1 spot"]


@pytest.mark.parametrize(
    ("region", "message"), [(CLOSED_REGION, "not enabled in this account"), ("us-east-9", "not a region")]
)
def test_a_region_that_the_account_cannot_use(fake: AwsFake, context: FetchContext, region: str, message: str) -> None:
    with pytest.raises(
        JobError, match=f"{region}.*a region that this account may use: .*us-east-1.*that one is {message}"
    ) as caught:
        Aws().parts(Wanted(regions=frozenset({region, "us-east-1"})), context)
    assert caught.value.key == "region"


def test_a_quote_asks_for_one_type(fake: AwsFake, context: FetchContext) -> None:
    offers: list[Offer] = [fetch(context, model).offers[-1] for model in (ON_DEMAND, SPOT, RESERVED)]
    for offer in offers:
        key = OfferKey(*offer.key)
        fake.faults.asked.clear()
        assert Aws().quote(key, context) == offer
        assert len(fake.faults.asked) <= 4
        assert Aws().quote(key._replace(zone="use1-az9"), context) is None
        assert Aws().quote(key._replace(instance_type="p99.large"), context) is None
    fake.market.spot["us-east-1"] = []
    assert Aws().quote(OfferKey(*offers[1].key), context) is None


def tokens_of(monkeypatch: pytest.MonkeyPatch, rows: Callable[[int], list[Any]], token: Callable[[int], str]) -> None:
    """Make `rows(n)` and `token(n)` the n-th page of the price list."""
    count = iter(range(10_000))

    def page(_self: Any, _filters: Any, _limit: int, _token: str) -> tuple[list[Any], str]:
        number = next(count)
        return rows(number), token(number)

    monkeypatch.setattr(PricingBackend, "get_products", page)


def test_pages_that_go_in_a_circle_are_left(
    fake: AwsFake, context: FetchContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    circles: list[tuple[Callable[[int], list[Any]], Callable[[int], str]]] = [
        (lambda number: [str(number)], lambda number: f"token {number % 3}"),
        (lambda _number: ["the same row"], lambda number: f"token {number}"),
        (lambda _number: [], lambda number: f"token {number}"),
    ]
    for rows, token in circles:
        tokens_of(monkeypatch, rows, token)
        fake.faults.asked.clear()
        with pytest.raises(ResponseChanged, match="in a circle"):
            fetch(context, ON_DEMAND)
        assert len(fake.faults.asked) <= MOST_EMPTY_PAGES + 5


def test_a_page_without_rows_may_go_on(fake: AwsFake, context: FetchContext, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens_of(monkeypatch, lambda _number: [], lambda number: f"token {number}" if number < 3 else "")
    assert fetch(context, ON_DEMAND).offers == ()


def test_between_pages_it_says_where_it_is_and_stops_when_told(fake: AwsFake, context: FetchContext) -> None:
    said: list[str] = []
    fetch(replace(context, progress=said.append), ON_DEMAND)
    assert "get_products us-east-1 page 2" in said
    asked = iter(range(3))

    def stop() -> None:
        if next(asked, None) is None:
            raise Interrupted("interrupted")

    fake.faults.asked.clear()
    with pytest.raises(Interrupted):
        fetch(replace(context, checkpoint=stop), ON_DEMAND)
    assert len(fake.faults.asked) == 3


@pytest.mark.parametrize(
    ("model", "host", "failure", "raised", "message"),
    [
        (ON_DEMAND, "pricing", Failure.REFUSED, CredentialsRefused, "does not permit pricing:GetProducts"),
        (SPOT, "ec2.us-east-1", Failure.REFUSED, CredentialsRefused, "does not permit ec2:DescribeInstanceTypes"),
        (ON_DEMAND, "pricing", Failure.DOWN, ProviderUnavailable, "pricing:GetProducts.*InternalErrorException"),
        (SPOT, "ec2.us-east-1", Failure.DOWN, ProviderUnavailable, "ec2:DescribeInstanceTypes.*InternalError"),
        (ON_DEMAND, "pricing", Failure.GARBAGE, ResponseChanged, "no PriceList"),
        (SPOT, "ec2.us-east-1", Failure.GARBAGE, ResponseChanged, "no InstanceTypes"),
        (ON_DEMAND, "pricing", Failure.CUT, ResponseChanged, "get_products in us-east-1: the answer has no PriceList"),
        (SPOT, "ec2.us-east-1", Failure.CUT, ResponseChanged, "describe_instance_types .* is not understood"),
    ],
)
def test_each_interface_may_fail_alone(
    fake: AwsFake, model: PricingModel, host: str, failure: Failure, raised: type[Exception], message: str
) -> None:
    fake.faults.failure, fake.faults.host = failure, host
    with pytest.raises(raised, match=rf"^aws: .*{message}"):
        fetch(make_context(fake.provider, fake.environment), model)


def test_tries_are_bounded(fake: AwsFake, context: FetchContext) -> None:
    fake.faults.failure, fake.faults.host = Failure.DOWN, "pricing"
    with pytest.raises(ProviderUnavailable):
        fetch(context, ON_DEMAND)
    assert len([host for host in fake.faults.asked if "pricing" in host]) == TRIES


@pytest.mark.parametrize(
    ("code", "raised"),
    [
        ("ExpiredToken", CredentialsRefused),
        ("AuthFailure", CredentialsRefused),
        ("InvalidClientTokenId", CredentialsRefused),
        ("NeverHeardOf", CredentialsRefused),  # by its status, 403
    ],
)
def test_refusals_by_code(fake: AwsFake, context: FetchContext, code: str, raised: type[Exception]) -> None:
    fake.faults.failure, fake.faults.code = Failure.REFUSED, code
    with pytest.raises(raised, match=rf"credentials are refused by ec2:DescribeRegions .*{code}"):
        Aws().parts(Wanted(), context)


def test_throttled_for_good_is_unavailable(fake: AwsFake, context: FetchContext) -> None:
    fake.faults.failure, fake.faults.code = Failure.DOWN, "RequestLimitExceeded"
    with pytest.raises(ProviderUnavailable, match="RequestLimitExceeded"):
        Aws().parts(Wanted(), context)


@pytest.mark.parametrize(
    ("name", "raised"),
    [
        ("EndpointConnectionError", ProviderUnavailable),
        ("ReadTimeoutError", ProviderUnavailable),
        ("ConnectTimeoutError", ProviderUnavailable),
        ("ConnectionClosedError", ProviderUnavailable),
        ("ProxyConnectionError", ProviderUnavailable),
        ("UnauthorizedSSOTokenError", CredentialsRefused),
        ("UnknownEndpointError", ResponseChanged),
    ],
)
def test_boto3s_own_errors(
    fake: AwsFake, context: FetchContext, monkeypatch: pytest.MonkeyPatch, name: str, raised: type[Exception]
) -> None:
    known = {"endpoint_url": "https://x", "error": "e", "proxy_url": "p", "service_name": "s", "region_name": "r"}

    def fail(_url: str, _real: Any) -> Any:
        raise getattr(exceptions, name)(**known)

    monkeypatch.setattr(fake.faults, "answer", fail)
    with pytest.raises(raised, match=rf"^aws: describe_regions in us-east-1 .*{name}|^aws: .*{name}"):
        Aws().parts(Wanted(), context)


def test_requests_are_bounded_and_signed_with_a_name(fake: AwsFake, context: FetchContext) -> None:
    config = account_of(context)._client("ec2", "us-east-1").meta.config
    assert config.connect_timeout <= 10
    assert config.read_timeout <= 30
    assert config.retries == {"mode": "standard", "total_max_attempts": TRIES}
    assert config.user_agent.endswith("tunefare")


def test_quotas_of_machines_with_gpus(fake: AwsFake, context: FetchContext) -> None:
    assert isinstance(Aws(), ReadsQuotas)
    reading = Aws().quotas("us-east-1", context)
    assert not reading.reason
    assert {(quota.code, int(quota.value)) for quota in reading.quotas} == {
        ("L-DB2E81BA", 64), ("L-417A185B", 192), ("L-3819A6DF", 0), ("L-7212CCBC", 96), ("L-C4BD4855", 192),
    }  # fmt: skip
    assert {quota.unit for quota in reading.quotas} == {"vCPU"}
    assert [quota.code for quota in reading.quotas] == sorted(quota.code for quota in reading.quotas)


def test_quotas_that_may_not_be_read_are_a_reason(fake: AwsFake, context: FetchContext) -> None:
    fake.faults.failure, fake.faults.host = Failure.REFUSED, "servicequotas"
    reading = Aws().quotas("us-east-1", context)
    assert reading.quotas == ()
    assert "servicequotas:ListServiceQuotas" in reading.reason
    nobody = Aws().quotas("us-east-1", make_context(Aws(), {"TUNEFARE_AWS_ACCOUNT": "no"}))
    assert nobody == QuotaReading(reason="aws: quotas need an account, and no credentials were found")


def test_quotas_that_are_none(fake: AwsFake, context: FetchContext) -> None:
    broken = [{"QuotaName": 7}, {"QuotaCode": "L-1", "QuotaName": "Running On-Demand P instances"}]
    fake.market.quotas = [row for row in fake.market.quotas if "Standard" in row["QuotaName"]] + broken
    assert "no quota of machines with GPUs" in Aws().quotas("us-east-1", context).reason
    fake.faults.failure, fake.faults.host = Failure.DOWN, "servicequotas"
    with pytest.raises(ProviderUnavailable):
        Aws().quotas("us-east-1", context)


def test_a_quota_is_no_debt() -> None:
    good = Quota(provider="aws", region="r", name="n", code="c", value=Decimal(4), unit="vCPU")
    for value in ("-1", "NaN", "Infinity"):
        with pytest.raises(ValueError, match="aws/r/c"):
            replace(good, value=Decimal(value))


def test_govcloud_has_no_query_and_reads_the_public_list(
    fake: AwsFake, context: FetchContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = FetchResult(unchanged=True, observed_at=NOW)
    monkeypatch.setattr(aws, "read_price_list", lambda _scope, _context, anew: listed)
    part = FetchPart(name="us-gov-west-1 on_demand", region="us-gov-west-1", pricing_models=(ON_DEMAND,))
    assert Aws().fetch(part, context) is listed
    assert not fake.faults.asked


def test_new_rows_come_with_the_next_fetch(fake: AwsFake, context: FetchContext) -> None:
    fake.market.spot["eu-north-1"] = [spot("p5.48xlarge", "eu-north-1c", "24.5")]
    fake.market.blocks["eu-north-1"] = [block("p5.48xlarge", "eu-north-1a", "720")]
    assert prices(fetch(context, SPOT, "eu-north-1")) == {("p5.48xlarge", "eun1-az3"): 24_500_000_000}
    assert prices(fetch(context, RESERVED, "eu-north-1")) == {("p5.48xlarge", "eun1-az1"): 30_000_000_000}
