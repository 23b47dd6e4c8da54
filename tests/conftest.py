"""What every test starts from: no network, no cloud variables, no configuration of the person running them."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from providers.gpus import GpuTable
    from providers.offer import PriceSnapshot

# The same examples on every run: a law that only sometimes fails belongs into a longer search, not into this suite.
settings.register_profile("suite", derandomize=True, deadline=None)
settings.register_profile("search", derandomize=False, deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))

CLEARED_PREFIXES = (
    "TUNEFARE_", "AWS_", "GOOGLE_", "GCP_", "AZURE_", "OCI_", "RUNPOD_", "VAST_", "LAMBDA_", "VULTR_", "PG",
    "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy",
)  # fmt: skip


def _refuse(*args: Any, **kwargs: Any) -> NoReturn:
    raise AssertionError("a test tried to open a network connection")


def _connect_here(self: socket.socket, address: Any) -> Any:
    """Connect to this machine only: a Unix socket, or a loopback address."""
    if isinstance(address, tuple) and address[0] not in {"127.0.0.1", "::1", "localhost"}:
        raise AssertionError(f"a test tried to open a network connection to {address[0]}")
    return _CONNECT(self, address)


_CONNECT = socket.socket.connect


@pytest.fixture(autouse=True)
def _isolated(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Block sockets, clear cloud variables and point every data directory at an empty folder.

    Tests marked `loopback` talk to servers that they start on this machine, and to nothing else.
    """
    if request.node.get_closest_marker("loopback"):
        monkeypatch.setattr(socket.socket, "connect", _connect_here)
    else:
        monkeypatch.setattr(socket.socket, "connect", _refuse)
        monkeypatch.setattr(socket, "create_connection", _refuse)
    for name in list(os.environ):
        if name.startswith(CLEARED_PREFIXES) and name != "TUNEFARE_UPDATE_GOLDEN":
            monkeypatch.delenv(name)
    home: Path = tmp_path_factory.mktemp("home")
    for variable in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(variable, str(home))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture(scope="session", autouse=True)
def _price_list_read_once() -> Iterator[None]:
    """Read the bundled price list once for all stores of this process: hundreds of tests start with the same rows.

    `load_bundled_snapshot` itself still reads, for the tests of reading.
    """
    from cache import store
    from providers.gpus import load_gpus

    read, kept = store.load_bundled_snapshot, []

    def once(gpus: GpuTable) -> PriceSnapshot:
        if gpus is not load_gpus():
            return read(gpus)
        if not kept:
            kept.append(read(gpus))
        return kept[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "load_bundled_snapshot", once)
        yield


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failing source is asked again at once: for tests of what comes after that."""
    monkeypatch.setattr("providers.pace.BACKOFF_FIRST_S", 0.002)
