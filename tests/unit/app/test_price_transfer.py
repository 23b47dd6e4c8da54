"""Exports in every format, and imports of files that are not what they should be."""

from __future__ import annotations

import builtins
import csv
import io
import json
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from cache.sql_store import SqlStore, open_store
from optimizer.app import price_transfer
from optimizer.app.price_transfer import export_prices, import_prices
from optimizer.app.pricing import PriceFilter
from optimizer.app.settings import Settings
from providers.errors import JobError
from providers.offer import BillingTerms, PriceClass
from providers.snapshot import make_snapshot
from tests.fixtures.nights import put_night
from tests.fixtures.offers import DAY, NIGHT, SPOT, make_offer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

    from optimizer.report.record_answers import ExportAnswer, ImportAnswer
    from providers.gpus import GpuTable
    from providers.offer import PriceSnapshot

NOW = NIGHT + DAY
FULL = make_offer(
    "=full", zone="@north-1", variant="-host", vcpus=8, host_ram_bytes=32 * 2**30, disk_bytes=10**12, gpu_count=3,
    network_bytes_per_s=1.25e9, gpu_memory_bytes=24 * 2**30, flags=("marketplace", "arm_host"), currency="EUR",
    billing=BillingTerms(increment_s=60, minimum_s=600, charged_when_stopped=True, source="+the test"),
    unit_price_nano=1_234_567_891, pricing_model=SPOT,
)  # fmt: skip


class Listed:
    def snapshot(self, *, now: datetime) -> PriceSnapshot:
        return make_snapshot([make_offer("listed", provider="stratus", price_class=PriceClass.LIST)])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    here = open_store(str(tmp_path / "prices.sqlite3"), Listed(), create=True)
    put_night(here, FULL, make_offer("a"), make_offer("b", gpu="H100-SXM-80GB"), make_offer("c", region="south"))
    yield here
    here.close()


@pytest.fixture
def export(store: SqlStore, gpus: GpuTable, tmp_path: Path) -> Callable[..., ExportAnswer]:
    def run(name: str, wanted: PriceFilter | None = None, **more: Any) -> ExportAnswer:
        how = {"now": NOW, "settings": Settings(), "store": store, "gpus": gpus, **more}
        return export_prices(str(tmp_path / name) if name != "-" else name, wanted, **how)

    return run


@pytest.fixture
def take(gpus: GpuTable, tmp_path: Path) -> Iterator[Callable[..., ImportAnswer]]:
    here = open_store(str(tmp_path / "other.sqlite3"), Listed(), create=True)
    yield partial(import_prices, now=NOW, settings=Settings(), store=here, gpus=gpus)
    here.close()


def test_json_says_what_it_holds(export: Callable[..., ExportAnswer], tmp_path: Path, store: SqlStore) -> None:
    answer = export("prices.json")
    document = json.loads((tmp_path / "prices.json").read_text())
    assert document["schema"] == "tunefare.price-snapshot/v1"
    assert document["made_at"] == "2026-11-25T03:00:00Z"
    assert document["sha256"] == answer.sha256
    assert document["market_sha256"] == store.snapshot(now=NOW).sha256
    assert [scope["offers"] for scope in document["scopes"]] == [2, 1, 1]
    assert (answer.format, answer.offers, answer.scopes, answer.partial_scopes) == ("json", 5, 3, 0)
    (full,) = [row for row in document["offers"] if row["instance_type"] == "=full"]
    assert full["unit_price_nano"] == 1_234_567_891
    assert full["billing"] == {
        "increment_s": 60, "minimum_s": 600, "charged_when_stopped": True, "source": "+the test",
    }  # fmt: skip


def test_csv_is_exact_and_runs_nothing(export: Callable[..., ExportAnswer], tmp_path: Path) -> None:
    answer = export("prices.csv")
    text = (tmp_path / "prices.csv").read_text()
    rows = {row["instance_type"]: row for row in csv.DictReader(io.StringIO(text))}
    assert (answer.format, answer.sha256, len(rows)) == ("csv", None, 5)
    full = rows["'=full"]
    assert (full["zone"], full["variant"], full["billing_source"]) == ("'@north-1", "'-host", "'+the test")
    assert Decimal(full["price_per_hour"]) == Decimal("1.234567891")
    assert (full["network_bytes_per_s"], full["flags"], full["currency"]) == (
        "1250000000",
        "marketplace;arm_host",
        "EUR",
    )
    assert (rows["a"]["price_per_hour"], rows["a"]["vcpus"], rows["a"]["zone"]) == ("2", "", "")
    assert "\r" not in text


def test_focus_has_the_names_of_the_specification(export: Callable[..., ExportAnswer], tmp_path: Path) -> None:
    export("prices.csv", format="focus")
    rows = {row["SkuId"]: row for row in csv.DictReader(io.StringIO((tmp_path / "prices.csv").read_text()))}
    full = rows["'=full"]
    assert full["SkuPriceId"] == "nimbus/north/=full/spot/@north-1/-host"
    assert (full["PricingCategory"], full["PricingUnit"], full["ServiceCategory"]) == ("Dynamic", "Hours", "Compute")
    assert (full["ListUnitPrice"], full["BillingCurrency"], full["PricingCurrency"]) == ("1.234567891", "EUR", "EUR")
    assert (full["x_GpuCount"], full["x_ListUnitPricePerGpu"]) == ("3", "0.41152263")
    assert rows["a"]["PricingCategory"] == "Standard"
    assert rows["a"]["x_ObservedAt"] == "2026-11-24T03:00:00Z"
    assert all(name[0].isupper() or name.startswith("x_") for name in full)


def test_parquet_has_decimals_and_whole_numbers(export: Callable[..., ExportAnswer], tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    export("prices.parquet")
    table = pq.read_table(tmp_path / "prices.parquet")
    rows = {row["instance_type"]: row for row in table.to_pylist()}
    assert rows["=full"]["price_per_hour"] == Decimal("1.234567891")
    assert rows["=full"]["flags"] == ["marketplace", "arm_host"]
    assert rows["a"]["observed_at"] == NIGHT
    assert rows["a"]["vcpus"] is None
    assert str(table.schema.field("host_ram_bytes").type) == "int64"
    assert str(table.schema.field("price_per_hour").type) == "decimal128(20, 9)"


def test_without_pyarrow_the_extra_is_named(
    export: Callable[..., ExportAnswer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(JobError, match=r"pip install 'tunefare\[parquet\]'"):
        export("prices.parquet")
    assert not (tmp_path / "prices.parquet").exists()


def test_a_filter_within_a_scope_says_that_it_is_not_whole(
    export: Callable[..., ExportAnswer], take: Callable[..., ImportAnswer], tmp_path: Path
) -> None:
    answer = export("prices.json", PriceFilter(gpus=("h100-sxm-80gb",)))
    assert (answer.offers, answer.scopes, answer.partial_scopes) == (1, 1, 1)
    assert [scope.outcome for scope in take(str(tmp_path / "prices.json")).scopes] == ["partial"]
    whole = export("prices.json", PriceFilter(regions=("south",), providers=("NIMBUS",)))
    assert (whole.offers, whole.scopes, whole.partial_scopes) == (1, 1, 0)


def test_discounts_and_own_offers_stay_at_home(
    export: Callable[..., ExportAnswer], take: Callable[..., ImportAnswer], tmp_path: Path
) -> None:
    own = tmp_path / "own.csv"
    own.write_text(
        "provider,region,instance_type,gpu,gpu_count,price_usd_per_hour,pricing_model,observed_at\n"
        "nimbus,north,a,L4-24GB,1,0.5,on_demand,2026-11-20\n"
    )
    private = Settings(offers=own, discounts={"nimbus": Decimal("0.5")})
    assert export("prices.json", settings=private).sha256 == export("prices.json").sha256
    answer = export("prices.json", offers=own)
    assert (answer.offers, answer.partial_scopes) == (5, 1)
    taken = take(str(tmp_path / "prices.json"))
    assert (taken.skipped_own, taken.skipped_list) == (1, 1)
    assert {(scope.region, scope.pricing_model): scope.outcome for scope in taken.scopes} == {
        ("north", "on_demand"): "partial",
        ("north", "spot"): "imported",
        ("south", "on_demand"): "imported",
    }


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("prices.txt", {}, r"FILE = '.*prices.txt': a name ending in .json, .csv or .parquet, or --format"),
        ("prices", {}, "or --format"),
        ("prices.json", {"format": "xml"}, "format = 'xml': one of json, csv, parquet, focus"),
        ("none/prices.json", {}, "export file = .*the directory .* must exist"),
        ("prices.json", {"wanted": PriceFilter(providers=("nimbos",))}, "provider = 'nimbos'"),
        ("prices.json", {"wanted": PriceFilter(min_gpus=0)}, "min_gpus = 0"),
    ],
)
def test_an_export_that_cannot_be_is_refused(
    export: Callable[..., ExportAnswer], tmp_path: Path, name: str, more: dict[str, Any], message: str
) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(JobError, match=message):
        export(name, **more)
    assert sorted(tmp_path.iterdir()) == before


def test_a_format_wins_over_a_name(export: Callable[..., ExportAnswer], tmp_path: Path) -> None:
    assert export("prices.txt", format="JSON").format == "json"
    assert export("PRICES.JSON").format == "json"


def test_the_digest_that_came_another_way_decides(
    export: Callable[..., ExportAnswer], take: Callable[..., ImportAnswer], tmp_path: Path
) -> None:
    answer = export("prices.json")
    with pytest.raises(JobError, match=rf"sha256 = '{'0' * 64}': .*prices.json is {answer.sha256}"):
        take(str(tmp_path / "prices.json"), sha256="0" * 64)
    assert answer.sha256 is not None
    assert take(str(tmp_path / "prices.json"), sha256=answer.sha256.upper()).count("imported") == 3


def test_a_file_that_is_not_there_or_too_large_is_named(
    take: Callable[..., ImportAnswer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(JobError, match=r"prices import: FILE = .*No such file"):
        take(str(tmp_path / "none.json"))
    with pytest.raises(JobError, match="Is a directory"):
        take(str(tmp_path))
    monkeypatch.setattr(price_transfer, "LARGEST_BYTES", 1_000_000)
    (tmp_path / "large.json").write_bytes(b" " * 1_000_001)
    with pytest.raises(JobError, match="at most 1 MB"):
        take(str(tmp_path / "large.json"))


def test_a_dry_run_leaves_no_store_behind(export: Callable[..., ExportAnswer], gpus: GpuTable, tmp_path: Path) -> None:
    export("prices.json")
    target = tmp_path / "new" / "prices.sqlite3"
    target.parent.mkdir()
    how: dict[str, Any] = {"now": NOW, "gpus": gpus, "settings": Settings(cache_url=str(target))}
    answer = import_prices(str(tmp_path / "prices.json"), dry_run=True, **how)
    assert answer.count("imported") == 3
    assert list(target.parent.iterdir()) == []
    import_prices(str(tmp_path / "prices.json"), **how)
    assert target.is_file()


def test_volatile_sources_are_known_by_their_adapters(
    export: Callable[..., ExportAnswer], take: Callable[..., ImportAnswer], store: SqlStore, tmp_path: Path
) -> None:
    hosts = [make_offer(f"h{at}", provider="vast") for at in range(20)]
    for night, offers in ((NIGHT, hosts), (NIGHT + DAY / 2, hosts[:2])):
        put_night(store, *(replace(offer, observed_at=night) for offer in offers), at=night)
        export("prices.json", PriceFilter(providers=("vast",)))
        answer = take(str(tmp_path / "prices.json"))
    assert [(scope.outcome, scope.offers) for scope in answer.scopes] == [("imported", 2)]
