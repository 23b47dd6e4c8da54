"""A study of 10,000 scenarios on two engines, which must not differ by a byte. Run it where tunefare is installed:

    python docs/examples/study.py                    # one process, then the processors of this machine
    python docs/examples/study.py threads ray        # any engines; Ray needs `pip install 'tunefare[ray]'`

On a Ray cluster: RAY_ADDRESS=ray://HEAD:10001 python docs/examples/study.py serial ray
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from optimizer import study

JOB = Path(__file__).with_name("llama-ner.toml")
NOW = "2026-11-22T09:00Z"
SCENARIOS = 10_000


def main(engines: list[str]) -> int:
    """Return 0 where every engine gives the same bytes."""
    documents = []
    for engine in engines:
        start = time.perf_counter()
        answer = study(JOB, scenarios=SCENARIOS, engine=engine, now=NOW)
        documents.append(answer.to_json())
        sys.stderr.write(f"{engine}: {SCENARIOS:,} scenarios in {time.perf_counter() - start:.2f} s\n")
    sys.stdout.write(f"{answer}\n")
    same = len(set(documents)) == 1
    sys.stderr.write("all engines give the same bytes\n" if same else "the engines differ\n")
    return 0 if same else 1


# Processes import this file again: what they are not to repeat stands here.
if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:] or ["serial", "processes"]))
