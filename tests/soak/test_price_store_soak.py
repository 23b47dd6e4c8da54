"""Kills and races on the price store; minutes, not seconds: `make soak`."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cache.gate import Judged
from cache.publishing import publish
from cache.sql_store import open_store
from tests.fixtures.offers import NIGHT, NoList, make_batch, make_offer
from tests.fixtures.postgres_server import serve

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = float(os.environ.get("TUNEFARE_SOAK_S", "60"))
KILLS = int(os.environ.get("TUNEFARE_SOAK_KILLS", "100"))
SCRIPT = Path(__file__).with_name("killed_refresh.py")

pytestmark = pytest.mark.loopback


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    yield from serve()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "prices.sqlite3") if request.param == "sqlite" else request.getfixturevalue("server")


def test_a_writer_and_four_readers(url: str) -> None:
    """No error, and no snapshot that shows two nights of one source."""
    open_store(url, NoList(), create=True).close()
    until = time.monotonic() + SECONDS
    failures: list[str] = []
    nights = reads = 0
    guard = threading.Lock()

    def write() -> None:
        nonlocal nights
        store = open_store(url, NoList(), create=True)
        while time.monotonic() < until:
            nights += 1
            at = NIGHT + timedelta(seconds=nights)
            with store.writing() as session:
                for region in range(5):
                    offers = [
                        make_offer(f"n{number}", region=f"r{region}", price=1000.0 + nights) for number in range(100)
                    ]
                    batch = make_batch(*offers, at=at)
                    publish(session, Judged(batch=batch, published=batch.offers), origin="refresh", stored_at=at)
        store.close()

    def read() -> None:
        nonlocal reads
        store = open_store(url, NoList(), create=True)
        while time.monotonic() < until:
            seen = {(offer.unit_price_nano, offer.observed_at) for offer in store.live_offers()}
            with guard:
                reads += 1
                if len(seen) > 1:
                    failures.append(f"a mixed snapshot: {sorted(seen)}")
        store.close()

    def guarded(work: object) -> None:
        try:
            work()  # type: ignore[operator]
        except Exception as err:  # noqa: BLE001 - whatever it is, the test shows it
            failures.append(repr(err))

    threads = [threading.Thread(target=guarded, args=(work,)) for work in (write, read, read, read, read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{nights} nights written, {reads} snapshots read")
    assert failures == []
    assert nights > SECONDS
    assert reads > SECONDS


def test_killed_a_hundred_times(tmp_path: Path) -> None:
    path = tmp_path / "prices.sqlite3"
    rng = random.Random(7)
    done = 0
    for kill in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(path), str(kill * 1000)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(rng.uniform(0.0, 0.35))
        process.send_signal(signal.SIGKILL)
        _, errors = process.communicate()
        assert first, errors
        assert "Traceback" not in errors, errors
        done += "refreshed" in first
        with sqlite3.connect(path) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        store = open_store(str(path), NoList(), create=False)
        prices = {}
        for offer in store.live_offers():
            prices.setdefault(offer.region, set()).add((offer.unit_price_nano, offer.observed_at))
        store.close()
        assert len(prices) == 12
        # All scopes of one source are published together.
        assert len(set.union(*prices.values())) == 1, f"half a batch after kill {kill}: {prices}"
    assert done == KILLS
