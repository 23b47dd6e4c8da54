"""A refresh of all sources against their fakes, each answer delayed by 50 ms: how much of the waiting is done at once.

    python benchmarks/refresh_fakes.py [--delay-ms 50]

Needs the development environment (the fakes are those of the tests). The rate limits of the sources are lifted: against
the real services they, and not the concurrency, are what the slowest ones wait for.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cache.fetching import Asking
from cache.refresh import RefreshOrder, refresh
from cache.sql_store import open_store
from cache.store import BundledStore
from providers.base import Wanted
from providers.bundled import load_bundled_offers
from providers.gpus import load_gpus
from providers.pace import RateLimit

NAMES = ("aws", "azure", "gcp", "lambda", "oci", "runpod", "vast", "vultr")
LIMIT_S = 10.0


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay-ms", type=int, default=50)
    delay_s = parser.parse_args().delay_ms / 1000
    waited = [0.0]
    guard = threading.Lock()

    def wait() -> None:
        with guard:
            waited[0] += delay_s
        time.sleep(delay_s)

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    RateLimit.wait_s = lambda _self: 0.0  # type: ignore[method-assign]
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        fakes = {name: import_module(f"tests.fixtures.fakes.{name}").start(stack) for name in NAMES}
        for fake in fakes.values():
            os.environ.update(fake.environment)
        delay_http(wait)
        delay_boto(wait)
        gpus = load_gpus()
        store = open_store(str(Path(folder) / "prices.sqlite3"), BundledStore(gpus), create=True)
        asking = Asking(
            gpus=gpus,
            environment=dict(os.environ),
            now=lambda: datetime.now(UTC).replace(microsecond=0),
            wanted=Wanted(),
        )
        begun = time.perf_counter()
        report = refresh(
            store,
            [fakes[name].provider for name in NAMES],
            RefreshOrder(asking=asking),
            listed=load_bundled_offers(gpus),
        )
        took = time.perf_counter() - begun
        store.close()
    for one in report.sources:
        print(f"{one.provider:8} {one.outcome.value:10} {one.offers:6} offers  {one.duration_ms / 1000:6.2f} s")
    print(f"all sources {took:6.2f} s (limit {LIMIT_S:.0f} s); waiting one after the other {waited[0]:6.2f} s")
    return 0 if took < LIMIT_S and all(one.offers for one in report.sources) else 1


def delay_http(wait: object) -> None:
    from pytest_httpserver import HTTPServer

    dispatch = HTTPServer.dispatch

    def delayed(self: HTTPServer, request: object) -> object:
        wait()  # type: ignore[operator]
        return dispatch(self, request)  # type: ignore[arg-type]

    HTTPServer.dispatch = delayed  # type: ignore[method-assign,assignment]


def delay_boto(wait: object) -> None:
    from botocore.endpoint import Endpoint

    send = Endpoint._send_request  # noqa: SLF001 - what every operation goes through

    def delayed(self: Endpoint, *arguments: object) -> object:
        wait()  # type: ignore[operator]
        return send(self, *arguments)

    Endpoint._send_request = delayed  # type: ignore[method-assign]  # noqa: SLF001


if __name__ == "__main__":
    sys.exit(main())
