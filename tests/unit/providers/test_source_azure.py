"""Azure: what a row of the price list means, how the list is walked, and a quote."""

from __future__ import annotations

import csv
import json
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from providers.base import Wanted
from providers.bundled import load_bundled_offers
from providers.errors import Interrupted, JobError, ProviderUnavailable, ResponseChanged
from providers.gpus import load_gpus, make_table
from providers.offer import EXCLUDING_FLAGS, NOTICE_FLAGS, PricingModel
from providers.payload import decode_json
from providers.scope import OfferKey
from providers.sources import azure_skus
from providers.sources.azure import API_VERSION, ENDPOINT_VARIABLE, REGIONS, Azure, _written
from providers.sources.azure_skus import RESTRICTED_REGIONS, Parsed, load_sizes, parse_items
from providers.units import GIB
from tests.fixtures.fakes.azure import REGIONS as FAKE_REGIONS
from tests.fixtures.fakes.azure import PriceList, make_row, make_rows, make_variants, matches, serve
from tests.fixtures.provider_fake import FAST, NOW, Failure, fetch_all, make_context, offers_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from werkzeug.wrappers import Request, Response

    from providers.base import FetchContext
    from providers.offer import Offer

ON_DEMAND, SPOT = PricingModel.ON_DEMAND, PricingModel.SPOT
T4 = "Standard_NC4as_T4_v3"


def decoded(*rows: Any) -> list[object]:
    """Return the rows as the client hands them on: numbers as int and Decimal."""
    found = decode_json(json.dumps(rows))
    assert isinstance(found, list)
    return found


def parse(*rows: Any, region: str = "eastus") -> Parsed:
    return parse_items(decoded(*rows), region=region, observed_at=NOW, gpus=load_gpus())


def reasons(parsed: Parsed) -> list[tuple[str, str]]:
    return [(row.reason, row.detail) for rows in parsed.dropped.values() for row in rows]


def one(*rows: Any, model: PricingModel = ON_DEMAND, region: str = "eastus") -> Offer:
    (offer,) = parse(*rows, region=region).offers[model]
    return offer


class TestSizes:
    def test_every_bundled_type_is_described_alike(self) -> None:
        bundled = [offer for offer in load_bundled_offers(load_gpus()) if offer.provider == "azure"]
        assert bundled
        for offer in bundled:
            size = load_sizes()[offer.instance_type.casefold()]
            assert (size.name, size.gpu, size.gpu_name, size.gpu_count, size.vcpus, size.host_ram_bytes) == (
                offer.instance_type, offer.gpu, offer.gpu_name, offer.gpu_count, offer.vcpus, offer.host_ram_bytes,
            )  # fmt: skip

    def test_a_live_row_has_the_flags_of_the_bundled_one(self) -> None:
        for offer in load_bundled_offers(load_gpus()):
            if offer.provider != "azure":
                continue
            live = one(make_row(offer.instance_type, 1.0, armRegionName=offer.region), region=offer.region)
            assert set(live.flags) - {"gpu_unknown"} == set(offer.flags)

    def test_chips_and_flags_are_those_of_the_tables(self) -> None:
        for size in load_sizes().values():
            assert size.gpu is None or size.gpu in load_gpus().by_id
            assert set(size.flags) <= {*EXCLUDING_FLAGS, *NOTICE_FLAGS}
            assert ("(" in size.gpu_name) == ("fractional" in size.flags)

    def test_the_regions_asked_for_hold_those_of_the_bundled_list(self) -> None:
        bundled = {offer.region for offer in load_bundled_offers(load_gpus()) if offer.provider == "azure"}
        assert bundled <= set(REGIONS)
        # Regions that are opened on request have prices too; other clouds than the public one have another list.
        assert {name for name in RESTRICTED_REGIONS if not name.startswith(("china", "usdod", "usgov"))} <= set(REGIONS)
        assert list(REGIONS) == sorted(set(REGIONS))

    @pytest.mark.parametrize(
        ("lines", "message"),
        [
            (["nothing"], "columns nothing"),
            (["A,,K80,one,,,,memory"], "line 2: invalid literal"),
            (["A,,K80,1,,,,"], "line 2: instance_type, gpu_name and source"),
            (["A,,K80,1,,,,memory", "a,,K80,1,,,,memory"], "line 3: a stands here twice"),
        ],
    )
    def test_a_bad_table_is_named(
        self, lines: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        header = [] if lines == ["nothing"] else [",".join(azure_skus._COLUMNS)]
        (tmp_path / "sizes.csv").write_text("\n".join([*header, *lines]))
        monkeypatch.setattr(azure_skus, "_TABLE", tmp_path / "sizes.csv")
        load_sizes.cache_clear()
        try:
            with pytest.raises(ValueError, match=message):
                load_sizes()
        finally:
            load_sizes.cache_clear()

    def test_sources_are_said(self) -> None:
        table = Path(azure_skus.__file__).parents[1] / "data"
        sources, machines = (table / name for name in ("sources.csv", "azure_machines.csv"))
        known = {row["key"] for row in csv.DictReader(sources.read_text().splitlines())}
        used = {row["source"] for row in csv.DictReader(machines.read_text().splitlines())}
        assert used - known == {"calculator", "sibling"}


class TestRowsOfOneSize:
    def test_linux_on_demand_and_spot_become_offers_and_nothing_else(self) -> None:
        parsed = parse(*make_variants("Standard_NC24ads_A100_v4", 3.673, 0.67877, "NCads A100 v4 Series Linux"))
        (on_demand,), (spot,) = parsed.offers[ON_DEMAND], parsed.offers[SPOT]
        assert (on_demand.unit_price_nano, spot.unit_price_nano) == (3_673_000_000, 678_770_000)
        assert on_demand.key == ("azure", "eastus", "", "Standard_NC24ads_A100_v4", "", "on_demand")
        assert (on_demand.gpu, on_demand.gpu_count, on_demand.vcpus) == ("A100-PCIE-80GB", 1, 24)
        assert on_demand.host_ram_bytes == 220 * GIB
        assert on_demand.observed_at == NOW
        assert on_demand.flags == ()
        assert Counter(reasons(parsed)) == {
            ("other_product", "Low Priority"): 1,
            ("other_product", "NCads A100 v4 Series Windows"): 2,
            ("other_product", "NCads A100 v4 Series CloudServices"): 1,
            ("other_product", "Reservation"): 1,
            ("other_product", "DevTestConsumption"): 1,
        }
        assert len(parsed.dropped[None]) == 6

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"productName": "Virtual Machines NCasT4 v3 Series Windows"}, "other_product"),
            ({"productName": "NCasT4 v3 Series Cloud Services"}, "other_product"),
            ({"productName": "NCasT4 v3 Series Dedicated Host"}, "other_product"),
            ({"productName": "NCasT4 v3 Series DedicatedHost"}, "other_product"),
            ({"skuName": "NC4as T4 v3 Low Priority"}, "other_product"),
            ({"meterName": "NC4as_T4_v3_LowPriority"}, "other_product"),
            ({"serviceName": "Virtual Machines Licenses"}, "other_product"),
            ({"type": "Reservation", "retailPrice": 551221.0}, "other_product"),
            ({"tierMinimumUnits": 100.0}, "other_product"),
            ({"unitOfMeasure": "1/Month"}, "unknown_unit"),
            ({"armSkuName": "Standard_D4s_v5"}, "not_a_gpu"),
            ({"armSkuName": "Standard_NP10s"}, "not_a_gpu"),
            ({"armSkuName": "Standard_NM16ads_MA35D  "}, "not_a_gpu"),
            ({"retailPrice": 0.0}, "zero_price"),
            ({"retailPrice": -1}, "negative_price"),
            ({"retailPrice": None}, "no_price"),
            ({"retailPrice": "cheap"}, "bad_price"),
            ({"retailPrice": 5_000_000}, "bad_price"),
            ({"currencyCode": "dollars"}, "bad_row"),
            ({"armSkuName": ""}, "bad_row"),
            ({"armRegionName": "westus"}, "bad_row"),
            ({"effectiveStartDate": "soon"}, "bad_row"),
            ({"effectiveStartDate": "0001-01-01T00:00:00+14:00"}, "bad_row"),
            ({"effectiveStartDate": "2027-01-01T00:00:00Z"}, "not_in_force"),
            ({"effectiveEndDate": "2026-11-23T23:59:59Z"}, "not_in_force"),
            ({"effectiveEndDate": "2023-01-01T00:00:00Z"}, "not_in_force"),
        ],
    )
    def test_a_row_that_is_no_offer_says_why(self, changes: dict[str, Any], reason: str) -> None:
        parsed = parse(make_row("Standard_NC8as_T4_v3", 0.752), make_row(T4, 0.526, **changes))
        assert [offer.instance_type for offer in parsed.offers[ON_DEMAND]] == ["Standard_NC8as_T4_v3"]
        assert not parsed.offers[SPOT]
        ((found, _detail),) = reasons(parsed)
        assert found == reason

    def test_a_dropped_row_is_named_so_that_it_is_found_again(self) -> None:
        (row,) = parse(make_row("Standard_NP10s  ", 1.65)).dropped[None]
        assert row.item == "Standard_NP10s / NP10s / Virtual Machines NP10s Series"
        assert row.detail == "Alveo U250"

    @pytest.mark.parametrize("name", ["meterName", "skuName", "productName"])
    def test_spot_in_any_name_is_spot(self, name: str) -> None:
        assert one(make_row(T4, 0.15, **{name: "NC4as T4 v3 Spot"}), model=SPOT).unit_price_nano == 150_000_000

    def test_a_word_with_spot_in_it_is_not_spot(self) -> None:
        assert one(make_row(T4, 0.5, productName="Hotspot Series")).pricing_model is ON_DEMAND

    def test_rows_of_meters_that_live_elsewhere_count(self) -> None:
        assert one(make_row(T4, 0.526, isPrimaryMeterRegion=False)).unit_price_nano == 526_000_000

    def test_missing_tier_is_no_tier(self) -> None:
        assert one(make_row(T4, 0.526, tierMinimumUnits=None)).unit_price_nano == 526_000_000

    def test_blanks_around_a_size_and_its_case_do_not_matter(self) -> None:
        assert one(make_row(" standard_nc4as_t4_v3  ", 0.526)).instance_type == T4

    def test_prices_are_exact(self) -> None:
        assert one(make_row(T4, "0.1491740005")).unit_price_nano == 149_174_000
        assert one(make_row(T4, 27)).unit_price_nano == 27_000_000_000


class TestSeveralPrices:
    def test_the_same_price_twice_is_one(self) -> None:
        parsed = parse(make_row(T4, 0.526), make_row(T4, 0.526, meterId="another"))
        assert len(parsed.offers[ON_DEMAND]) == 1
        assert not reasons(parsed)

    def test_two_spellings_of_a_size_are_one(self) -> None:
        parsed = parse(make_row(T4, 0.526), make_row(T4.lower(), 0.526), make_row(f"{T4} ", 0.526))
        assert [offer.instance_type for offer in parsed.offers[ON_DEMAND]] == [T4]

    def test_the_one_that_came_into_force_last_stands(self) -> None:
        older = make_row(T4, 0.9, effectiveStartDate="2023-01-01T00:00:00Z")
        newer = make_row(T4, 0.5, effectiveStartDate="2026-11-01T00:00:00Z")
        for rows in ((older, newer), (newer, older)):
            parsed = parse(*rows)
            assert [offer.unit_price_nano for offer in parsed.offers[ON_DEMAND]] == [500_000_000]
            assert reasons(parsed) == [("not_in_force", "superseded by the price in force from 2026-11-01 on")]

    def test_two_from_the_same_moment_on_leave_none(self) -> None:
        parsed = parse(make_row(T4, 0.526), make_row(T4, 0.6), make_row("Standard_NC8as_T4_v3", 0.752))
        assert [offer.instance_type for offer in parsed.offers[ON_DEMAND]] == ["Standard_NC8as_T4_v3"]
        assert [reason for reason, _ in reasons(parsed)] == ["ambiguous_parts", "ambiguous_parts"]
        assert parsed.dropped[ON_DEMAND]

    def test_without_a_date_nothing_decides(self) -> None:
        parsed = parse(make_row(T4, 0.526), make_row(T4, 0.6, effectiveStartDate=None))
        assert not parsed.offers[ON_DEMAND]

    def test_two_currencies_leave_none(self) -> None:
        parsed = parse(make_row(T4, 0.526), make_row(T4, 0.526, currencyCode="EUR"))
        assert not parsed.offers[ON_DEMAND]

    def test_the_last_day_of_a_price_counts_whole(self) -> None:
        ends = f"{NOW:%Y-%m-%d}T00:00:00Z"
        assert NOW.hour > 0
        assert one(make_row(T4, 0.5, effectiveEndDate=ends)).unit_price_nano == 500_000_000

    def test_windows_of_one_meter(self) -> None:
        rows = [row for row in make_rows() if row["armSkuName"] == "Standard_NV36ads_A10_v5"]
        parsed = parse(*rows)
        assert [offer.unit_price_nano for offer in parsed.offers[ON_DEMAND]] == [3_200_000_000]
        assert [offer.unit_price_nano for offer in parsed.offers[SPOT]] == [640_000_000]
        assert sorted(detail for _, detail in reasons(parsed)) == [
            "a window that ends (2026-07-31) before it begins (2026-08-01)",
            "in force only from 2027-01-01 on",
            "in force only until 2026-07-31",
            "superseded by the price in force from 2026-11-01 on",
        ]


class TestMachines:
    def test_an_unknown_size_is_kept_and_never_a_candidate(self) -> None:
        offer = one(make_row("Standard_NC16ads_A10_v4 ", 1.51))
        assert (offer.instance_type, offer.gpu, offer.gpu_name) == (
            "Standard_NC16ads_A10_v4", None, "Standard_NC16ads_A10_v4",
        )  # fmt: skip
        assert (offer.gpu_count, offer.vcpus, offer.host_ram_bytes) == (1, None, None)
        assert offer.flags == ("gpu_unknown",)
        assert offer.excluded_because is not None

    def test_slices_are_named_and_flagged(self) -> None:
        offer = one(make_row("Standard_NV6ads_A10_v5", 0.454))
        assert (offer.gpu, offer.gpu_name, offer.flags) == (None, "A10 (1/6)", ("fractional", "gpu_unknown"))

    def test_a_chip_that_the_table_lacks_is_unknown(self) -> None:
        few = make_table([(load_gpus().by_id["T4-16GB"], ())])
        rows = decoded(make_row("Standard_ND96isr_H100_v5", 98.32))
        (offer,) = parse_items(rows, region="eastus", observed_at=NOW, gpus=few).offers[ON_DEMAND]
        assert (offer.gpu, offer.flags) == (None, ("gpu_unknown",))

    @pytest.mark.parametrize("region", sorted(RESTRICTED_REGIONS))
    def test_regions_on_request_only_are_flagged(self, region: str) -> None:
        assert one(make_row(T4, 1, armRegionName=region), region=region).flags == ("restricted_region",)

    def test_yuan_stay_yuan(self) -> None:
        offer = one(make_row(T4, 4.1, armRegionName="chinaeast2", currencyCode="CNY"), region="chinaeast2")
        assert (offer.currency, offer.flags) == ("CNY", ("foreign_currency", "restricted_region"))

    def test_rows_without_the_fields_of_a_row_are_another_list(self) -> None:
        with pytest.raises(ResponseChanged, match="no row of the price list is understood") as caught:
            parse({"sku": T4, "price": 1}, "text")
        assert T4 in caught.value.sample

    def test_one_row_that_is_understood_is_enough(self) -> None:
        assert reasons(parse({"sku": T4}, make_row("Standard_NP10s", 1)))[0][0] == "bad_row"
        assert not parse().offers


@pytest.fixture(scope="module")
def stand() -> Iterator[dict[str, Any]]:
    """One server for all tests of the module: each puts its own list on it."""
    held: dict[str, Any] = {"list": PriceList()}

    def answer(request: Request) -> Response:
        found: Response = held["list"].answer(request)
        return found

    with ExitStack() as stack:
        held["address"] = serve(stack, answer)
        yield held


@pytest.fixture
def prices(stand: dict[str, Any]) -> PriceList:
    stand["list"] = PriceList()
    found: PriceList = stand["list"]
    return found


@pytest.fixture
def context(stand: dict[str, Any]) -> FetchContext:
    return make_context(Azure(), {ENDPOINT_VARIABLE: stand["address"]})


EAST = Wanted(regions=frozenset({"eastus"}))


@pytest.mark.loopback
class TestWalk:
    def test_every_page_is_read_at_the_endpoint_and_asks_the_same(
        self, prices: PriceList, context: FetchContext
    ) -> None:
        (result,) = fetch_all(Azure(), context, EAST)
        pages = len(prices.asked)
        assert pages > 2
        assert [asked.get("$skip") for asked in prices.asked] == [None, *(str(7 * page) for page in range(1, pages))]
        assert {asked["api-version"] for asked in prices.asked} == {API_VERSION}
        (condition,) = {asked["$filter"] for asked in prices.asked}
        assert "armRegionName eq 'eastus'" in condition
        assert "priceType eq 'Consumption'" in condition
        assert {str(batch.scope) for batch in result.batches} == {"azure eastus on_demand", "azure eastus spot"}
        assert len(offers_of([result])) == 10

    def test_progress_names_region_and_page(self, prices: PriceList, context: FetchContext) -> None:
        lines: list[str] = []
        fetch_all(Azure(), replace(context, progress=lines.append), EAST)
        assert lines == [f"eastus page {page}" for page in range(2, len(prices.asked) + 1)]

    def test_the_age_is_that_of_the_first_page(self, prices: PriceList, context: FetchContext) -> None:
        clock = iter(NOW + timedelta(minutes=minute) for minute in range(100))
        (result,) = fetch_all(Azure(), replace(context, now=lambda: next(clock)), EAST)
        assert {offer.observed_at for offer in offers_of([result])} == {NOW}
        assert result.observed_at == NOW

    def test_a_row_that_moves_to_the_next_page_counts_once(self, prices: PriceList, context: FetchContext) -> None:
        """A row that shifts the others by one; itself it is missed, on a page that was read already."""
        expected = offers_of(fetch_all(Azure(), context, EAST))

        def insert(skip: int) -> None:
            if skip == 7:
                prices.rows.insert(0, make_row("Standard_NP20s", 3.3))

        prices.before_page = insert
        prices.asked.clear()
        assert offers_of(fetch_all(Azure(), context, EAST)) == expected

    def test_a_price_that_changes_while_it_is_read(self, prices: PriceList, context: FetchContext) -> None:
        """The row comes again at the new price: the newer date decides."""
        prices.rows = [make_row(T4, 0.526), *(make_row(f"Standard_NX{i}", 1) for i in range(7))]

        def change(skip: int) -> None:
            if skip == 7:
                prices.rows.append(make_row(T4, 0.6, effectiveStartDate="2026-11-24T00:00:00Z"))

        prices.before_page = change
        (t4,) = (offer for offer in offers_of(fetch_all(Azure(), context, EAST)) if offer.instance_type == T4)
        assert t4.unit_price_nano == 600_000_000

    @pytest.mark.parametrize(
        "link",
        [
            "https://prices.azure.com:443/api/retail/prices?$skip=7",
            "https://prices.azure.com/api/retail/prices",
            "https://prices.azure.com/api/retail/prices?$filter=serviceName eq 'Storage'",
        ],
    )
    def test_a_link_that_leads_in_a_circle_ends_the_walk(
        self, prices: PriceList, context: FetchContext, link: str
    ) -> None:
        prices.link = lambda _skip: link
        with pytest.raises(ResponseChanged, match="leads in a circle"):
            fetch_all(Azure(), context, EAST)
        assert len(prices.asked) <= 2

    def test_pages_that_bring_nothing_new_end_the_walk(self, prices: PriceList, context: FetchContext) -> None:
        prices.link = lambda skip: f"https://prices.azure.com/api/retail/prices?$skip={skip}"
        with pytest.raises(ResponseChanged, match="leads in a circle after"):
            fetch_all(Azure(), context, EAST)

    def test_a_list_that_repeats_its_first_page_ends_the_walk(self, prices: PriceList, context: FetchContext) -> None:
        prices.deaf = True
        prices.link = lambda skip: f"https://prices.azure.com/api/retail/prices?$skip={skip}"

        def stop() -> None:
            if len(prices.asked) > 5:
                raise Interrupted("an endless walk")

        with pytest.raises(ResponseChanged, match="leads in a circle after 2 pages"):
            fetch_all(Azure(), replace(context, checkpoint=stop), EAST)

    def test_a_link_cannot_change_the_question(self, prices: PriceList, context: FetchContext) -> None:
        def link(skip: int) -> str | None:
            query = f"api-version=2015-01-01&$filter=serviceName eq 'Storage'&$skip={skip}"
            return f"https://prices.azure.com/api/retail/prices?{query}" if skip < 14 else None

        prices.link = link
        fetch_all(Azure(), context, EAST)
        assert len(prices.asked) == 2
        assert len({(asked["api-version"], asked["$filter"]) for asked in prices.asked}) == 1

    @pytest.mark.parametrize(
        "link",
        [
            "https://prices.example.com/api/retail/prices?$skip=7",
            "https://prices.azure.com.example.com/api/retail/prices?$skip=7",
            "https://prices.azure.com/another/list?$skip=7",
            "https://[prices.azure.com/api/retail/prices",
            "not a link",
            7,
            ["https://prices.azure.com/api/retail/prices"],
        ],
    )
    def test_a_link_to_another_place_is_not_followed(
        self, prices: PriceList, context: FetchContext, link: object
    ) -> None:
        prices.link = lambda _skip: link
        with pytest.raises(ResponseChanged, match="elsewhere"):
            fetch_all(Azure(), context, EAST)
        assert len(prices.asked) == 1

    @pytest.mark.parametrize("link", [None, ""])
    def test_no_link_is_the_end(self, prices: PriceList, context: FetchContext, link: object) -> None:
        prices.link = lambda _skip: link
        prices.page_size = 1000
        assert offers_of(fetch_all(Azure(), context, EAST))

    def test_it_stops_between_two_pages(self, prices: PriceList, context: FetchContext) -> None:
        def stop() -> None:
            if prices.asked:
                raise Interrupted("interrupted")

        with pytest.raises(Interrupted):
            fetch_all(Azure(), replace(context, checkpoint=stop), EAST)
        assert len(prices.asked) == 1

    def test_a_walk_that_fails_on_the_way_brings_nothing(self, prices: PriceList, context: FetchContext) -> None:
        def fail(skip: int) -> None:
            if skip:
                prices.failure = Failure.GARBAGE

        prices.before_page = fail
        with pytest.raises(ResponseChanged):
            [fetch_all(Azure(), context, EAST) for _ in range(2)]

    def test_an_answer_above_the_limit_is_refused(self, prices: PriceList, stand: dict[str, Any]) -> None:
        prices.page_size = 1000
        small = make_context(Azure(), {ENDPOINT_VARIABLE: stand["address"]}, limits=replace(FAST, largest_bytes=5000))
        with pytest.raises(ResponseChanged, match="5,000 bytes"):
            fetch_all(Azure(), small, EAST)

    def test_a_page_that_breaks_off_is_no_page(self, prices: PriceList, stand: dict[str, Any]) -> None:
        once = make_context(Azure(), {ENDPOINT_VARIABLE: stand["address"]}, limits=replace(FAST, tries=1))
        prices.failure = Failure.CUT
        with pytest.raises(ProviderUnavailable):
            fetch_all(Azure(), once, EAST)


@pytest.mark.loopback
class TestParts:
    def test_one_part_a_region(self, context: FetchContext) -> None:
        assert [part.name for part in Azure().parts(Wanted(), context)] == list(REGIONS)
        (part,) = Azure().parts(EAST, context)
        assert (part.name, part.region, part.pricing_models) == ("eastus", "eastus", (ON_DEMAND, SPOT))

    def test_one_pricing_model_has_parts_of_its_own(self, context: FetchContext) -> None:
        wanted = Wanted(regions=frozenset({"westus", "eastus"}), pricing_models=frozenset({SPOT}))
        parts = Azure().parts(wanted, context)
        assert [(part.name, part.pricing_models) for part in parts] == [
            ("eastus spot", (SPOT,)),
            ("westus spot", (SPOT,)),
        ]
        assert not Azure().parts(Wanted(pricing_models=frozenset({PricingModel.RESERVED})), context)

    def test_a_region_outside_the_list_is_asked_for(self, prices: PriceList, context: FetchContext) -> None:
        prices.rows = [make_row(T4, 0.7, armRegionName="newregion9")]
        wanted = Wanted(regions=frozenset({"newregion9", "us-east-1"}))
        (result,) = fetch_all(Azure(), context, wanted)
        assert [offer.region for offer in offers_of([result])] == ["newregion9"]

    def test_a_region_without_gpus_is_an_empty_batch(self, prices: PriceList, context: FetchContext) -> None:
        (result,) = fetch_all(Azure(), context, Wanted(regions=frozenset({"nowhere"})))
        assert [len(batch.offers) for batch in result.batches] == [0, 0]

    def test_names_that_no_region_of_azure_has_are_refused(self, context: FetchContext) -> None:
        with pytest.raises(JobError, match="an Azure region") as caught:
            Azure().parts(Wanted(regions=frozenset({"us-east-1", "x' or 1 eq 1"})), context)
        assert caught.value.key == "region"

    def test_dropped_rows_stand_with_their_scope(self, prices: PriceList, context: FetchContext) -> None:
        (result,) = fetch_all(Azure(), context, EAST)
        on_demand, spot = result.batches
        assert {row.reason for row in on_demand.dropped} == {"zero_price", "not_in_force"}
        assert {row.reason for row in spot.dropped} == {"not_in_force"}
        assert {row.reason for row in result.dropped} == {"other_product", "not_a_gpu"}
        total = len(offers_of([result])) + sum(len(batch.dropped) for batch in result.batches) + len(result.dropped)
        asked = [row for row in prices.rows if matches(row, prices.asked[0]["$filter"])]
        assert total == len(asked)


@pytest.mark.loopback
class TestQuote:
    def test_only_the_size_is_asked_for(self, prices: PriceList, context: FetchContext) -> None:
        for offer in offers_of(fetch_all(Azure(FAKE_REGIONS), context)):
            prices.asked.clear()
            assert Azure().quote(OfferKey(*offer.key), context) == offer
            assert all(f"contains(armSkuName, '{offer.instance_type}')" in asked["$filter"] for asked in prices.asked)

    def test_a_size_with_blanks_is_found(self, prices: PriceList, context: FetchContext) -> None:
        prices.rows = [make_row(f"{T4}  ", 0.526)]
        found = Azure().quote(OfferKey("azure", "eastus", "", T4, "", "on_demand"), context)
        assert found is not None
        assert found.unit_price_nano == 526_000_000

    @pytest.mark.parametrize(
        "changes",
        [
            {"provider": "aws"},
            {"instance_type": "p5.48xlarge"},
            {"instance_type": "Standard_NC4as"},
            {"region": "eastus2"},
            {"region": "east' or 'a' eq 'a"},
            {"zone": "1"},
            {"variant": "windows"},
            {"pricing_model": "reserved"},
        ],
    )
    def test_another_key_has_no_offer(self, prices: PriceList, context: FetchContext, changes: dict[str, str]) -> None:
        key = OfferKey("azure", "eastus", "", T4, "", "on_demand")._replace(**changes)
        assert Azure().quote(key, context) is None

    def test_a_failure_is_no_answer(self, prices: PriceList, context: FetchContext) -> None:
        prices.failure = Failure.GARBAGE
        with pytest.raises(ResponseChanged):
            Azure().quote(OfferKey("azure", "eastus", "", T4, "", "on_demand"), context)


def test_the_fake_filters_as_the_real_list_does() -> None:
    row = make_row(T4, 1, armRegionName="it's")
    assert matches(
        row, "armRegionName eq 'it''s' and contains(armSkuName, 'Standard_N') and priceType eq 'Consumption'"
    )
    assert not matches(row, "serviceName eq 'virtual machines'")
    with pytest.raises(ValueError, match="not understood"):
        matches(row, "armRegionName ne 'eastus'")


def test_a_row_nested_without_end_is_another_list() -> None:
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(ResponseChanged, match="nested too deeply"):
        _written({"savingsPlan": nested})


def test_dates_are_moments_in_utc() -> None:
    newer = make_row(T4, 0.5, effectiveStartDate="2026-11-01T00:00:00+02:00")
    older = make_row(T4, 0.9, effectiveStartDate="2026-10-31T21:00:00")
    assert one(newer, older).unit_price_nano == 500_000_000
