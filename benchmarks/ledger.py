"""What the ledger costs at 100,000 rows: `budget show`, `audit verify`, a reservation. Exit code 1 beyond a goal.

python benchmarks/ledger.py [--rows 100000] [--url postgresql://...]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from contextlib import redirect_stdout
from datetime import timedelta
from io import StringIO
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parents[1]))

from optimizer.app.budgeting import show_budgets
from optimizer.app.settings import Settings
from optimizer.approval.ledger import Ledger, open_ledger
from optimizer.approval.ledger_steps import add_request, consume, reserve, settle
from optimizer.approval.ledger_writing import writing
from optimizer.approval.records import Budget, Period
from optimizer.report.style import Style
from optimizer.report.text_budget import format_budgets
from tests.fixtures.ledger_world import ANN, NOW, make_request

SHOW_S, VERIFY_S = 0.1, 2.0
PER_REQUEST = 4


def fill(ledger: Ledger, rows: int) -> int:
    """Write at least so many audit rows, through the steps that commands use, many to a transaction."""
    ledger.set_budget(Budget(id="org", period=Period.TOTAL, limit_usd_micro=10**15), now=NOW, actor=ANN)
    for team in range(20):
        budget = Budget(id=f"team-{team:02d}", period=Period.MONTH, limit_usd_micro=10**14, parent="org")
        ledger.set_budget(budget, now=NOW, actor=ANN)
    number = 0
    while ledger.anchor().sequence < rows:
        with writing(ledger.database, now=NOW + timedelta(seconds=number), actor=ANN) as here:
            for _ in range(500):
                number += 1
                name = f"r{number}"
                asked = make_request(name, 5, budgets=("org", f"team-{number % 20:02d}"), made_at=here.now,
                                     expires_at=here.now + timedelta(days=20))  # fmt: skip
                add_request(here, asked)
                reserve(here, here.find(name), keys=None, until=None)
                if number % 10:
                    consume(here, here.find(name), action_sha256=None, ends_at=None, launch={})
                    settle(here, here.find(name), 3_141_592, "runtime", by_period=None, note="")
    return number


def seconds(what: object, times: int) -> float:
    taken = []
    for _ in range(times):
        begun = perf_counter()
        what()  # type: ignore[operator]
        taken.append(perf_counter() - begun)
    return statistics.median(taken)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--url")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tunefare-") as folder:
        url = arguments.url or str(Path(folder) / "ledger.db")
        with open_ledger(url, create=True, ledger_id="bench") as ledger:
            begun = perf_counter()
            requests = fill(ledger, arguments.rows)
            rows = ledger.anchor().sequence
            print(f"{rows:,} rows of {requests:,} requests written in {perf_counter() - begun:.1f} s")
            count = iter(range(10**6))

            def one() -> None:
                name = f"more-{next(count)}"
                asked = make_request(name, 1, budgets=("org", "team-00"), expires_at=NOW + timedelta(days=30))
                ledger.add_request(asked, now=NOW, actor=ANN, reserve=True)

            single = seconds(one, 30)
            since = seconds(lambda: ledger.committed_since(ANN.name, ("org",), NOW), 3)
            verified = seconds(lambda: ledger.verify().ok or sys.exit("not whole"), 3)
        stated = Settings(ledger_url=url)

        def show() -> None:
            with redirect_stdout(StringIO()) as out:
                out.write(format_budgets(show_budgets(now=NOW, settings=stated), Style()))

        shown = seconds(show, 7)
    print(f"budget show   {shown:.3f} s warm (goal {SHOW_S} s)")
    print(f"audit verify  {verified:.2f} s (goal {VERIFY_S} s)")
    print(f"one reservation, committed to disk: {1000 * single:.1f} ms; a day's commitments: {1000 * since:.0f} ms")
    return int(shown > SHOW_S or verified > VERIFY_S)


if __name__ == "__main__":
    sys.exit(main())
