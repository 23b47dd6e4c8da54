"""The public price list of AWS: read as it comes, in pieces of any size, without an account."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from providers.base import FetchPart, Wanted
from providers.errors import CredentialsMissing, Interrupted, JobError, ProviderUnavailable, ResponseChanged
from providers.gpus import load_gpus
from providers.http import HttpClient
from providers.offer import PricingModel
from providers.scope import OfferKey
from providers.sources import aws_bulk
from providers.sources.aws import Aws
from providers.sources.aws_bulk import DEFAULT_REGIONS, bulk_url, parse_price_list
from providers.sources.aws_client import open_account
from tests.fixtures.fakes.aws_bulk import BulkFake, start
from tests.fixtures.fakes.aws_market import CSV_COLUMNS, csv_file, product, products
from tests.fixtures.provider_fake import FAST, NOW, Failure, fetch_all, make_context, offers_of, with_validators

if TYPE_CHECKING:
    from collections.abc import Iterator

    from providers.base import FetchContext
    from providers.sources.aws_prices import Parsed

KEYS = {"AWS_ACCESS_KEY_ID": "AKIAY", "AWS_SECRET_ACCESS_KEY": "secret"}
US = [item for item in products() if item["product"]["attributes"]["regionCode"] == "us-east-1"]


def read(content: bytes, *, size: int = 1 << 20, region: str = "us-east-1") -> Parsed:
    pieces = [content[start : start + size] for start in range(0, len(content), size)]
    return parse_price_list(pieces, region=region, gpus=load_gpus(), observed_at=datetime(2026, 11, 24, tzinfo=UTC))


@pytest.fixture
def fake() -> Iterator[BulkFake]:
    with ExitStack() as stack:
        yield start(stack)


@pytest.fixture
def context(fake: BulkFake) -> FetchContext:
    return make_context(fake.provider, fake.environment)


def part(region: str) -> FetchPart:
    return FetchPart(name=f"{region} on_demand", region=region, pricing_models=(PricingModel.ON_DEMAND,))


def test_the_list_holds_what_the_query_holds() -> None:
    parsed = read(csv_file(US))
    prices = {offer.instance_type: offer.unit_price_nano for offer in parsed.offers}
    assert prices["p5.48xlarge"] == 55_040_000_000
    assert prices["p4d.24xlarge"] == 21_957_642_000
    assert prices["g6f.2xlarge"] == 475_000_000
    assert "p5e.48xlarge" not in prices
    dropped = {row.item: row.reason for row in parsed.dropped}
    assert dropped["p5e.48xlarge"] == "zero_price"
    assert dropped["m5.large"] == "not_a_gpu"
    assert dropped["trn1.2xlarge"] == "not_a_gpu"
    # Reserved terms and other products are counted: in the real file they are hundreds of thousands.
    counted = [row for row in parsed.dropped if row.item == "us-east-1 price list"]
    assert [row.reason for row in counted] == ["other_product", "not_a_gpu"]
    others = len(US) + 5
    assert counted[0].detail.startswith(f"{others} rows of reserved terms")
    assert counted[1].detail.startswith("1 rows of storage")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000])
def test_pieces_may_end_anywhere(size: int) -> None:
    content = csv_file([product("g5.xlarge", "1.006"), product("p5.48xlarge", "55.04")])
    assert "Größe".encode() in content  # a piece of one byte ends within a letter, and within quotes
    assert read(content, size=size) == read(content)


def test_line_ends_of_windows_and_a_byte_order_mark_change_nothing() -> None:
    content = csv_file(US)
    assert read(b"\xef\xbb\xbf" + content) == read(content)
    lines = content.decode().replace("\n", "\r\n").encode()
    assert read(lines).offers == read(content).offers


def test_columns_in_another_order_and_new_ones_change_nothing() -> None:
    content = csv_file(US, columns=("SKU", "Something New", *sorted(set(CSV_COLUMNS) - {"SKU"})))
    assert read(content).offers == read(csv_file(US)).offers


@pytest.mark.parametrize(
    "column",
    ["TermType", "Unit", "PricePerUnit", "Currency", "Instance Type", "Memory", "GPU", "Tenancy", "Region Code", "SKU"],
)
def test_a_column_that_is_needed_is_missed(column: str) -> None:
    with pytest.raises(ResponseChanged, match=column):
        read(csv_file(US, columns=tuple(name for name in CSV_COLUMNS if name != column)))


def test_columns_that_may_be_missing() -> None:
    maybe = {"GPU Memory", "Instance Family", "Location Type", "MarketOption"}
    kept = [item for item in US if item["product"]["attributes"].get("marketoption") == "OnDemand"]
    offers = read(csv_file(kept, columns=tuple(name for name in CSV_COLUMNS if name not in maybe))).offers
    assert {offer.instance_type for offer in offers} == {offer.instance_type for offer in read(csv_file(US)).offers}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"weather": ["grey"]}',
        b"<Error><Code>AccessDenied</Code></Error>",
        b"a,b\n" * 30,
        b"\xff\xfe" + csv_file(US),
        csv_file(US).replace(b'"Linux"', b'"Li"nux"', 1),
        csv_file([product("g5.xlarge", "1.006", operatingSystem="Windows")]),
        csv_file(US, columns=("SKU",)),
        csv_file(US) + b"x" * 1_100_000,
        csv_file(US) + b'"' + b"x\n" * 100_000,
    ],
    ids=["empty", "json", "xml", "no header", "utf-16", "quotes", "no linux", "one column", "long line", "long field"],
)
def test_what_is_not_the_list_is_refused(content: bytes) -> None:
    with pytest.raises(ResponseChanged, match=r"^aws: "):
        read(content)


def test_half_a_file_is_refused_wherever_it_ends() -> None:
    content = csv_file(US)
    lines = content.count(b"\n")
    refused = 0
    for end in range(0, len(content) - 1, len(content) // 97):
        try:
            parsed = read(content[:end])
        except ResponseChanged:
            refused += 1
        else:  # the end of a line looks like the end of the file: the client sees that bytes are missing
            assert content[end - 1 : end] == b"\n" or content[end : end + 1] == b"\n", (end, parsed)
    assert refused > 90
    assert lines > 40


def test_a_row_of_the_wrong_width_is_refused() -> None:
    with pytest.raises(ResponseChanged, match=r"2 columns of"):
        read(csv_file(US) + b"a,b\n")


@pytest.mark.loopback
def test_without_an_account_a_few_regions_are_asked(fake: BulkFake, context: FetchContext) -> None:
    parts = fake.provider.parts(Wanted(), context)
    assert [item.name for item in parts] == [f"{region} on_demand" for region in DEFAULT_REGIONS]
    assert not fake.asked
    offers = offers_of(fetch_all(fake.provider, context))
    assert {offer.region for offer in offers} == set(DEFAULT_REGIONS)
    assert {offer.pricing_model for offer in offers} == {PricingModel.ON_DEMAND}
    assert all(offer.observed_at == NOW for offer in offers)
    assert len({offer.key for offer in offers}) == len(offers)
    assert all(path.endswith("/index.csv") for path in fake.asked)


@pytest.mark.loopback
def test_a_quote_is_the_offer(fake: BulkFake, context: FetchContext) -> None:
    [result] = [fake.provider.fetch(part("us-east-1"), context)]
    offer = next(offer for offer in offers_of([result]) if offer.instance_type == "p5.48xlarge")
    # Validators of the last night must not make of "unchanged" a price that is gone.
    tonight = with_validators(context, result)
    assert fake.provider.quote(OfferKey(*offer.key), tonight) == offer
    assert fake.provider.quote(OfferKey(*offer.key)._replace(instance_type="p5.2xlarge"), tonight) is None
    assert fake.provider.quote(OfferKey(*offer.key)._replace(zone="use1-az1"), tonight) is None


@pytest.mark.loopback
def test_an_unchanged_file_is_not_sent_again(fake: BulkFake, context: FetchContext) -> None:
    first = fake.provider.fetch(part("us-east-1"), context)
    assert list(first.validators) == [bulk_url(context, "us-east-1")]
    second = fake.provider.fetch(part("us-east-1"), with_validators(context, first))
    assert second.unchanged
    assert not second.batches
    assert second.observed_at == NOW
    assert second.validators == first.validators
    fake.files["us-east-1"] = csv_file([product("g5.xlarge", "1.106")])
    third = fake.provider.fetch(part("us-east-1"), with_validators(context, second))
    assert [offer.unit_price_nano for offer in offers_of([third])] == [1_106_000_000]


@pytest.mark.loopback
def test_a_zipped_file_is_read_alike(fake: BulkFake, context: FetchContext) -> None:
    plain = fake.provider.fetch(part("us-east-1"), context)
    fake.zipped = True
    assert fake.provider.fetch(part("us-east-1"), context).batches == plain.batches


@pytest.mark.loopback
def test_regions_asked_for_are_looked_up_in_both_indexes(fake: BulkFake, context: FetchContext) -> None:
    wanted = Wanted(regions=frozenset({"us-east-1", "cn-north-1"}))
    results = fetch_all(fake.provider, context, wanted)
    assert [batch.scope.region for result in results for batch in result.batches] == ["cn-north-1", "us-east-1"]
    [yuan] = [offer for offer in offers_of(results) if offer.region == "cn-north-1"]
    assert (yuan.currency, yuan.unit_price_nano) == ("CNY", 213_335_000_000)
    assert any("/v1.0/cn/" in path for path in fake.asked)


@pytest.mark.loopback
@pytest.mark.parametrize("region", ["us-east-9", "us-east-1-atl-2", "cn-south-1"])
def test_a_region_that_is_none_is_an_error(fake: BulkFake, context: FetchContext, region: str) -> None:
    with pytest.raises(JobError, match=region):
        fake.provider.parts(Wanted(regions=frozenset({"us-east-1", region})), context)


@pytest.mark.loopback
def test_an_index_of_another_shape_is_refused(fake: BulkFake, context: FetchContext) -> None:
    fake.fail(Failure.GARBAGE)
    with pytest.raises(ResponseChanged, match="index of regions"):
        fake.provider.parts(Wanted(regions=frozenset({"us-east-1"})), context)


@pytest.mark.loopback
@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        (Failure.DOWN, ProviderUnavailable),
        (Failure.GARBAGE, ResponseChanged),
        (Failure.CUT, (ProviderUnavailable, ResponseChanged)),
    ],
)
def test_failures_are_named(
    fake: BulkFake, context: FetchContext, failure: Failure, raised: type[Exception] | tuple[type[Exception], ...]
) -> None:
    fake.fail(failure)
    at_once = HttpClient(source="aws", requests_per_s=10_000.0, limits=FAST, wait=lambda _seconds: False)
    with pytest.raises(raised, match=r"^aws"):
        fake.provider.fetch(part("us-east-1"), replace(context, http=at_once))


@pytest.mark.loopback
def test_a_busy_server_is_asked_again(fake: BulkFake, context: FetchContext) -> None:
    fake.fail(Failure.BUSY_ONCE)
    assert offers_of([fake.provider.fetch(part("us-east-1"), context)])


@pytest.mark.loopback
def test_a_file_without_end_is_left(fake: BulkFake, context: FetchContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws_bulk, "LARGEST_BYTES", 5_000)
    with pytest.raises(ResponseChanged, match="more than 5,000 bytes"):
        fake.provider.fetch(part("us-east-1"), context)


@pytest.mark.loopback
def test_it_says_how_far_it_is_and_stops_when_told(
    fake: BulkFake, context: FetchContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(aws_bulk, "PROGRESS_BYTES", 1)
    fake.provider.fetch(part("us-east-1"), replace(context, progress=said.append))
    assert said
    assert all(line.startswith("us-east-1 ") and line.endswith(" MB") for line in said)

    def stop() -> None:
        raise Interrupted("interrupted")

    with pytest.raises(Interrupted):
        fake.provider.fetch(part("us-east-1"), replace(context, checkpoint=stop))


def bare(**environment: str) -> FetchContext:
    return make_context(Aws(), environment)


@pytest.mark.parametrize("model", [PricingModel.SPOT, PricingModel.RESERVED])
def test_spot_and_blocks_need_an_account(model: PricingModel) -> None:
    context = bare(TUNEFARE_AWS_ACCOUNT="no")
    with pytest.raises(CredentialsMissing, match="AWS_ACCESS_KEY_ID"):
        Aws().parts(Wanted(pricing_models=frozenset({model})), context)
    with pytest.raises(CredentialsMissing, match="AWS_ACCESS_KEY_ID"):
        Aws().fetch(FetchPart(name="part", region="us-east-1", pricing_models=(model,)), context)
    with pytest.raises(CredentialsMissing, match="AWS_ACCESS_KEY_ID"):
        Aws().quote(OfferKey("aws", "us-east-1", "use1-az1", "p5.48xlarge", "", model.value), context)
    everything = Aws().parts(Wanted(), context)
    assert {item.pricing_models for item in everything} == {(PricingModel.ON_DEMAND,)}


def test_where_the_lists_are() -> None:
    start = "/offers/v1.0"
    assert bulk_url(bare(), "eu-west-1") == (
        f"https://pricing.us-east-1.amazonaws.com{start}/aws/AmazonEC2/current/eu-west-1/index.csv"
    )
    assert bulk_url(bare(), "cn-north-1") == (
        f"https://pricing.cn-north-1.amazonaws.com.cn{start}/cn/AmazonEC2/current/cn-north-1/index.csv"
    )
    with pytest.raises(JobError, match="TUNEFARE_AWS_ENDPOINT"):
        bulk_url(bare(TUNEFARE_AWS_ENDPOINT="http://prices.example"), "eu-west-1")


def test_no_boto3_means_no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    assert open_account(bare(**KEYS)) is None


def test_nothing_in_the_usual_places_means_no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert open_account(bare()) is None


def test_the_usual_places_are_searched(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    file = tmp_path / "credentials"
    file.write_text("[prices]\naws_access_key_id = AKIAX\naws_secret_access_key = secret\nregion = eu-north-1\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    account = open_account(bare(AWS_PROFILE="prices"))
    assert account is not None
    assert account.home == "eu-north-1"
    # As with boto3, a key in the environment comes first.
    account = open_account(bare(**KEYS, AWS_PROFILE="prices", AWS_DEFAULT_REGION="us-west-2"))
    assert account is not None
    assert account.home == "us-west-2"
    credentials = account._session.get_credentials()
    assert credentials is not None
    assert credentials.access_key == "AKIAY"
    account = open_account(bare(**KEYS, AWS_PROFILE="nobody"))
    assert account is not None
    assert account.home == "us-east-1"


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"AWS_ACCESS_KEY_ID": "AKIA"}, "AWS_SECRET_ACCESS_KEY is not set"),
        ({"AWS_SECRET_ACCESS_KEY": "secret"}, "AWS_ACCESS_KEY_ID is not set"),
        ({"AWS_PROFILE": "nobody"}, "nobody"),
    ],
)
def test_half_an_account_is_said_to_be_one(environment: dict[str, str], message: str) -> None:
    with pytest.raises(CredentialsMissing, match=message):
        open_account(bare(**environment))


def test_a_switch_has_two_positions() -> None:
    with pytest.raises(JobError, match="yes or no"):
        open_account(bare(TUNEFARE_AWS_ACCOUNT="maybe"))
