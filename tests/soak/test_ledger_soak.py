"""Races, kills and thousands of steps on the ledger, on both engines; minutes: `make soak`."""

from __future__ import annotations

import itertools
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from optimizer.approval.ledger import open_ledger
from optimizer.approval.records import RequestState
from tests.fixtures.ledger_model import LedgerMachine
from tests.fixtures.ledger_world import ANN, LEDGER_ID, NOW, ORG, TEAM, USD, fresh_schema, furnish, sums
from tests.fixtures.postgres_server import serve

if TYPE_CHECKING:
    from collections.abc import Iterator

KILLS = int(os.environ.get("TUNEFARE_SOAK_LEDGER_KILLS", "150"))
EXAMPLES = int(os.environ.get("TUNEFARE_SOAK_EXAMPLES", "150"))
SCRIPT = Path(__file__).with_name("working_ledger.py")
RACERS, SLOTS = 8, 500

pytestmark = pytest.mark.loopback


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    yield from serve()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield str(tmp_path / "ledger.db")
        return
    with fresh_schema(request.getfixturevalue("server"), f"s{abs(hash(request.node.nodeid)) % 10**12}") as found:
        yield found


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_eight_processes_race_for_five_hundred_slots(url: str) -> None:
    with open_ledger(url, create=True, ledger_id=LEDGER_ID) as ledger:
        furnish(ledger)
        ledger.set_budget(replace(TEAM, limit_usd_micro=SLOTS * USD), now=NOW, actor=ANN)
        racers = [start("race", url, f"p{number}", "100") for number in range(RACERS)]
        for one in racers:
            assert one.stdout is not None
            assert one.stdout.readline() == "ready\n", one.communicate()
        begun = time.perf_counter()
        for one in racers:
            assert one.stdin is not None
            one.stdin.write("\n")
            one.stdin.flush()
        ends = [one.communicate() for one in racers]
        print(
            f"{RACERS * 100} asked in {time.perf_counter() - begun:.1f} s, passed: {[end[0].strip() for end in ends]}"
        )
        assert [end[1] for end in ends] == [""] * RACERS
        assert sum(int(end[0]) for end in ends) == SLOTS
        assert sums(ledger) == {"org": (SLOTS, 0), "team": (SLOTS, 0)}
        assert len(ledger.requests(RequestState.RESERVED)) == SLOTS
        assert ledger.verify().ok


def test_killed_a_hundred_and_fifty_times(url: str) -> None:
    rng = random.Random(7)
    with open_ledger(url, create=True, ledger_id=LEDGER_ID) as ledger:
        furnish(ledger)
        for budget in (ORG, TEAM):
            ledger.set_budget(replace(budget, limit_usd_micro=10**14), now=NOW, actor=ANN)
        anchor = ledger.anchor()
        rows = 0
        for kill in range(1, KILLS + 1):
            process = start("work", url, str(kill))
            assert process.stdout is not None
            first = process.stdout.readline()
            time.sleep(rng.uniform(0.0, 0.08))
            process.send_signal(signal.SIGKILL)
            _, errors = process.communicate()
            assert first, errors
            assert "Traceback" not in errors, errors
            report = ledger.verify(anchor)
            assert report.ok, (kill, report)
            assert report.rows > rows, "nothing was written between two kills"
            anchor, rows = report.head, report.rows
            if ledger.database.dialect == "sqlite":
                with closing(sqlite3.connect(url)) as connection:
                    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        states = {state.value: len(ledger.requests(state)) for state in RequestState}
        print(f"{KILLS} kills, {rows} rows, {states}")


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_thousands_of_steps_against_the_model(engine: str, request: pytest.FixtureRequest) -> None:
    numbers = itertools.count()

    @contextmanager
    def place() -> Iterator[str]:
        if engine == "postgresql":
            with fresh_schema(request.getfixturevalue("server"), f"m{next(numbers)}") as found:
                yield found
            return
        with tempfile.TemporaryDirectory(prefix="tunefare-") as folder:
            yield str(Path(folder) / "ledger.db")

    machine = type("Machine", (LedgerMachine,), {"place": staticmethod(place)})
    checks = settings(
        max_examples=EXAMPLES, stateful_step_count=60, deadline=None, derandomize=False, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(machine, settings=checks)
