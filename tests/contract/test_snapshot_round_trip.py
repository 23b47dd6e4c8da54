"""From one store to another by a file, on both engines: the same prices, named by the same digest."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from cache.sql_store import SqlStore, open_store
from cache.store import BundledStore
from optimizer.app.price_transfer import export_prices, import_prices
from optimizer.app.pricing import PriceFilter
from optimizer.app.settings import Settings
from providers.gpus import load_gpus
from providers.offer import NANO, BillingTerms
from tests.fixtures.nights import held_row, put_night
from tests.fixtures.offers import DAY, NIGHT, SPOT, make_offer, scope_of
from tests.fixtures.postgres_server import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from providers.offer import Offer

pytestmark = pytest.mark.loopback
GPUS = load_gpus()
NOW = NIGHT + DAY


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    yield from serve()


@pytest.fixture
def open_one(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[[str], SqlStore]]:
    opened: list[SqlStore] = []

    def opener(engine: str) -> SqlStore:
        url = str(tmp_path / f"prices-{len(opened)}.sqlite3")
        if engine == "postgresql":
            import psycopg

            server: str = request.getfixturevalue("server")
            name = f"r{abs(hash(request.node.nodeid)) % 10**9}_{len(opened)}"
            with psycopg.connect(server, autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name}")
            url = server.replace("/postgres?", f"/{name}?")
        opened.append(open_store(url, BundledStore(GPUS), create=True))
        return opened[-1]

    yield opener
    for one in opened:
        one.close()


def fill(store: SqlStore) -> None:
    """Two nights with all that can be: full rows, unknown chips, other currencies, what is gone and what is held."""
    full = make_offer(
        "nimbus.full", zone="north-1", variant="host-7", vcpus=8, host_ram_bytes=32 * 2**30, disk_bytes=10**12,
        network_bytes_per_s=1.25e9, gpu_memory_bytes=24 * 2**30, flags=("marketplace", "arm_host"), currency="EUR",
        billing=BillingTerms(increment_s=60, minimum_s=600, charged_when_stopped=True, source="the test"),
        unit_price_nano=1_234_567_891, pricing_model=SPOT,
    )  # fmt: skip
    odd = make_offer("nimbus.odd", gpu=None, gpu_name="Odd 9000", flags=("gpu_unknown",), network_bytes_per_s=0.1)
    put_night(store, full, odd, make_offer("nimbus.one"), make_offer("nimbus.two"), at=NIGHT - DAY)
    jump = held_row(make_offer("nimbus.two", price=80.0), previous=2 * NANO)
    put_night(store, odd, make_offer("nimbus.one", price=2.5), at=NIGHT, held=(jump,))
    put_night(store, make_offer(region="south"), at=NIGHT - DAY)
    put_night(store, scope=scope_of(make_offer(region="south")), at=NIGHT)


ENGINES = [("sqlite", "postgresql"), ("postgresql", "sqlite"), ("sqlite", "sqlite")]


@pytest.mark.parametrize(("here", "there"), ENGINES)
def test_a_plan_there_sees_what_a_plan_here_sees(
    here: str, there: str, open_one: Callable[[str], SqlStore], tmp_path: Path
) -> None:
    one, two = open_one(here), open_one(there)
    fill(one)
    file = tmp_path / "prices.json"
    exported = export_prices(str(file), now=NOW, settings=Settings(), store=one, gpus=GPUS)
    imported = import_prices(str(file), sha256=exported.sha256, now=NOW, settings=Settings(), store=two, gpus=GPUS)
    assert {scope.outcome for scope in imported.scopes} == {"imported"}
    assert imported.skipped_list == exported.offers - 4
    seen = two.snapshot(now=NOW)
    assert seen.sha256 == one.snapshot(now=NOW).sha256
    assert json.loads(file.read_text())["market_sha256"] == seen.sha256
    again = export_prices(str(tmp_path / "again.json"), now=NOW, settings=Settings(), store=two, gpus=GPUS)
    assert again.sha256 == exported.sha256


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_yesterday_is_exported_as_it_was(engine: str, open_one: Callable[[str], SqlStore], tmp_path: Path) -> None:
    one, two = open_one(engine), open_one("sqlite")
    fill(one)
    file, then = str(tmp_path / "prices.json"), NIGHT - DAY / 2
    export_prices(file, now=then, settings=Settings(), store=one, gpus=GPUS)
    import_prices(file, now=NOW, settings=Settings(), store=two, gpus=GPUS)
    assert two.snapshot(now=NOW).sha256 == one.snapshot(now=then).sha256


def test_a_part_of_the_market_leaves_the_rest_alone(open_one: Callable[[str], SqlStore], tmp_path: Path) -> None:
    one, two = open_one("sqlite"), open_one("sqlite")
    fill(one)
    mine = replace(make_offer("mine", region="west"), source="here")
    put_night(two, mine, at=NIGHT - DAY)
    file = str(tmp_path / "prices.json")
    export_prices(
        file, PriceFilter(providers=("nimbus",), pricing_models=("spot",)),
        now=NOW, settings=Settings(), store=one, gpus=GPUS,
    )  # fmt: skip
    import_prices(file, now=NOW, settings=Settings(), store=two, gpus=GPUS)
    found: dict[str, Offer] = {offer.instance_type: offer for offer in two.live_offers()}
    assert set(found) == {"mine", "nimbus.full"}
    assert found["mine"].observed_at == NIGHT - DAY
