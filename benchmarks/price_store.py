"""What the price store costs: a night, a lookup, a cold list, a year. Prints seconds and megabytes, and ratios.

    python benchmarks/price_store.py [--nights 365]

20,000 offers in 200 scopes, half of them spot. Per night 0.1 % of the on-demand prices and 8 % of the spot prices
change: published histories show 188 changes in 1,488 on-demand series over years, and 1,551 in 384 spot series in 13
weeks (4 % a night); twice that leaves room.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter

from cache.fetching import Asking
from cache.refresh import RefreshOrder, refresh
from cache.sql_store import SqlStore, open_store
from cache.store import BundledStore
from providers.base import Account, FetchContext, FetchPart, FetchResult, ProviderInfo, Wanted
from providers.bundled import load_bundled_offers
from providers.gpus import load_gpus
from providers.offer import NANO, Offer, PriceClass, PricingModel
from providers.scope import OfferKey, Scope, ScopeBatch

GPUS = load_gpus()
LISTED = load_bundled_offers(GPUS)
CHIPS = (
    "H100-SXM-80GB",
    "A100-SXM-80GB",
    "L4-24GB",
    "T4-16GB",
    "L40S-48GB",
    "A10-24GB",
    "V100-SXM2-16GB",
    "H200-SXM-141GB",
)
SCOPES, PER_SCOPE = 200, 100
START = datetime(2026, 1, 1, 3, tzinfo=UTC)


def market(seed: int) -> dict[Scope, list[Offer]]:
    rng = random.Random(seed)
    found = {}
    for number in range(SCOPES):
        model = PricingModel.SPOT if number % 2 else PricingModel.ON_DEMAND
        scope = Scope(provider=f"cloud{number % 8}", region=f"region-{number // 2}", pricing_model=model)
        found[scope] = [
            Offer(
                provider=scope.provider,
                region=scope.region,
                instance_type=f"type-{index}.{count}x",
                zone=f"zone-{index % 3}" if model is PricingModel.SPOT else None,
                gpu=chip,
                gpu_name=chip,
                gpu_count=count,
                pricing_model=model,
                unit_price_nano=int(rng.uniform(1, 3) * count * NANO),
                observed_at=START,
                source="a benchmark",
                price_class=PriceClass.LIVE,
                vcpus=8 * count,
                host_ram_bytes=64 * count * 2**30,
            )
            for index in range(PER_SCOPE)
            for chip, count in [(CHIPS[index % len(CHIPS)], 2 ** (index % 4))]
        ]
    return found


def moved(offers: list[Offer], rng: random.Random) -> list[Offer]:
    from dataclasses import replace

    share = 0.08 if offers[0].pricing_model is PricingModel.SPOT else 0.001
    return [
        replace(one, unit_price_nano=int(one.unit_price_nano * rng.uniform(0.9, 1.1))) if rng.random() < share else one
        for one in offers
    ]


class Cloud:
    """A source that answers at once."""

    def __init__(self, name: str, offers: dict[Scope, list[Offer]]) -> None:
        self.info = ProviderInfo(
            name=name,
            title=name,
            account=Account.NONE,
            pricing_models=tuple(PricingModel),
            live="-",
            unverified="-",
            homepage="https://example.com",
        )
        self._offers = offers

    def parts(self, wanted: Wanted, context: FetchContext) -> list[FetchPart]:
        return [FetchPart(name="everything")]

    def fetch(self, part: FetchPart, context: FetchContext) -> FetchResult:
        at = context.now()
        return FetchResult(
            batches=tuple(
                ScopeBatch(scope=scope, observed_at=at, offers=tuple(found))
                for scope, found in self._offers.items()
                if scope.provider == self.info.name
            )
        )

    def quote(self, key: OfferKey, context: FetchContext) -> Offer | None:
        raise NotImplementedError


def night(store: SqlStore, offers: dict[Scope, list[Offer]], at: datetime) -> None:
    clouds = [Cloud(f"cloud{number}", offers) for number in range(8)]
    asking = Asking(gpus=GPUS, environment={}, now=lambda: at, wanted=Wanted())
    report = refresh(store, clouds, RefreshOrder(asking=asking), listed=LISTED)
    assert report.exit_code(allow_partial=False) == 0


def best(call: object, times: int = 5) -> float:
    took = []
    for _ in range(times):
        begun = perf_counter()
        call()  # type: ignore[operator]
        took.append(perf_counter() - begun)
    return min(took)


def cold(path: Path, *arguments: str) -> float:
    import os

    program = Path(sys.executable).with_name("tunefare")
    environment = {**os.environ, "TUNEFARE_CACHE_URL": str(path), "COLUMNS": "100"}

    def run() -> None:
        subprocess.run([str(program), *arguments], env=environment, check=True, stdout=subprocess.DEVNULL)

    return best(run)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--nights", type=int, default=365)
    nights = parser.parse_args().nights
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prices.sqlite3"
        store = open_store(str(path), BundledStore(GPUS), create=True)
        offers, rng = market(1), random.Random(2)
        first = best(lambda: night(store, offers, START), times=1)
        took = []
        for number in range(1, nights + 1):
            offers = {scope: moved(found, rng) for scope, found in offers.items()}
            begun = perf_counter()
            night(store, offers, START + timedelta(days=number))
            took.append(perf_counter() - begun)
        plain = best(lambda: sum(1 for _ in range(1_000_000)))
        print(f"reference: a million steps of a Python loop            {plain:8.4f} s")
        print(f"20,000 offers, the first night, gate and store          {first:8.3f} s  {first / plain:8.1f} x")
        print(f"20,000 offers, a later night, median of {nights:<4}            {sorted(took)[len(took) // 2]:8.3f} s")
        latest = best(store.live_offers)
        print(f"latest of all, as offers                                {latest:8.4f} s  {latest / plain:8.2f} x")
        columns = best(store.latest_columns)
        print(f"latest of all, as columns                               {columns:8.4f} s  {columns / plain:8.2f} x")
        for words, filters in (
            ("13 offers: a GPU in a region", {"gpu": "H100-SXM-80GB", "regions": ["region-4"]}),
            ("325 offers: a GPU of a provider", {"gpu": "H100-SXM-80GB", "providers": ["cloud3"]}),
        ):
            lookup = best(lambda filters=filters: store.find(**filters))
            print(f"lookup, {words:<47} {lookup:8.5f} s")
        key = OfferKey(*next(iter(offers.values()))[7].key)
        print(f"one offer by its key                                    {best(lambda: store.offer(key)):8.5f} s")
        whole = best(lambda: store.snapshot(now=START + timedelta(days=nights)))
        print(f"snapshot with digest                                    {whole:8.3f} s")
        past = best(lambda: store.snapshot(now=START + timedelta(days=nights // 2)), times=2)
        print(f"snapshot of half a year ago                             {past:8.3f} s")
        store.close()
        size = sum(file.stat().st_size for file in Path(folder).glob("prices.sqlite3*"))
        print(f"{nights} nights on disk                                     {size / 1e6:8.1f} MB")
        help_s = cold(path, "--help")
        listed = cold(path, "prices", "list", "--gpu", "H100", "--min-gpus", "8")
        print(f"cold: --help                                            {help_s:8.3f} s")
        print(f"cold: prices list --gpu H100 --min-gpus 8               {listed:8.3f} s  {listed / help_s:8.2f} x")
        every = cold(path, "prices", "list")
        print(f"cold: prices list                                       {every:8.3f} s  {every / help_s:8.2f} x")


if __name__ == "__main__":
    main()
