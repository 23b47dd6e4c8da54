"""Works on a ledger: `race URL NAME N` asks for N reservations of a dollar, `work URL SEED` goes on until it is killed.

Prints how many reservations passed, or a line for each round.
"""

from __future__ import annotations

import random
import sys
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from optimizer.approval.errors import BudgetInsufficient
from optimizer.approval.ledger import Ledger, open_ledger
from providers.errors import ApprovalError
from tests.fixtures.ledger_world import ANN, BOB, LEDGER_ID, NOW, USD, make_request, make_statement


def race(ledger: Ledger, name: str, times: int) -> int:
    sys.stdin.readline()
    passed = 0
    for number in range(times):
        try:
            ledger.add_request(make_request(f"{name}-{number}", 1), now=NOW, actor=ANN, reserve=True)
            passed += 1
        except BudgetInsufficient:
            pass
    return passed


def work(ledger: Ledger, seed: int) -> None:
    rng = random.Random(seed)
    number = 0
    while True:
        number += 1
        name = f"w{seed}-{number}"
        now = NOW + timedelta(seconds=seed * 1000 + number)
        asked = make_request(
            name, rng.randrange(1, 9), approvals_needed=1, made_at=now, expires_at=now + timedelta(seconds=30),
            period_keys=("2026-11", "2026-12"),
        )  # fmt: skip
        said = make_statement(asked, not_before=now, expires_at=now + timedelta(minutes=5))
        ledger.add_request(asked, now=now, actor=ANN)
        try:
            if rng.random() < 0.8:
                ledger.add_approval(name, said, BOB, "leads", complete=lambda _: True, now=now, actor=BOB)
            if rng.random() < 0.6:
                ledger.consume(name, now=now, actor=ANN)
            if rng.random() < 0.8:
                ledger.settle(name, rng.randrange(0, 12 * USD), "runtime", now=now, actor=ANN)
            else:
                ledger.void(name, now=now, actor=ANN)
        except (BudgetInsufficient, ApprovalError) as err:
            print(number, type(err).__name__, flush=True)
        except Exception as err:
            if getattr(err, "exit_code", 1) not in {3, 4}:
                raise
        print(number, flush=True)


if __name__ == "__main__":
    with open_ledger(sys.argv[2], create=False, ledger_id=LEDGER_ID) as opened:
        if sys.argv[1] == "race":
            print("ready", flush=True)
            print(race(opened, sys.argv[3], int(sys.argv[4])), flush=True)
        else:
            work(opened, int(sys.argv[3]))
