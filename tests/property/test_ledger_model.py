"""The ledger against a model of it, on both engines; thousands of steps are in tests/soak."""

from __future__ import annotations

import itertools
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.fixtures.ledger_model import LedgerMachine
from tests.fixtures.ledger_world import fresh_schema
from tests.fixtures.postgres_server import serve

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.loopback

NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    yield from serve()


@contextmanager
def a_file() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="tunefare-") as folder:
        yield str(Path(folder) / "ledger.db")


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_the_ledger_does_what_the_model_does(engine: str, request: pytest.FixtureRequest) -> None:
    place = a_file
    if engine == "postgresql":
        server = request.getfixturevalue("server")

        def place() -> Iterator[str]:
            return fresh_schema(server, f"m{next(NUMBERS)}")

    machine = type("Machine", (LedgerMachine,), {"place": staticmethod(place)})
    checks = settings(
        max_examples=6, stateful_step_count=40, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(machine, settings=checks)
