"""How long the command takes to start, cold, and what it loads to do so.

Run with compiled bytecode on an idle machine: `python benchmarks/startup.py`. Prints the best and the median of five
runs of each command, the peak memory of the largest, and the heavy packages that were imported (there should be none
for help).
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time

RUNS = 5
JOB = [
    *("--model", "llama-3.1-8b", "--samples", "13300", "--tokens-per-sample", "400", "--epochs", "4"),
    *("--deadline", "24h"),
]
COMMANDS: tuple[tuple[list[str], float], ...] = (
    (["--help"], 0.15),
    (["--version"], 0.15),
    (["plan", "--help"], 0.30),
    (["estimate", "--help"], 0.30),
    (["explain", "--help"], 0.30),
    (["calculate", "--help"], 0.30),
    (["probe", "--help"], 0.30),
    (["calibrate", "--help"], 0.30),
    (["methods", "--help"], 0.30),
    (["prices", "--help"], 0.30),
    (["prices", "list", "--help"], 0.30),
    (["plan", *JOB], 1.0),
)
HEAVY = ("numpy", "scipy", "pandas", "pydantic", "rich")
LAUNCH = "import sys; from optimizer.cli.main import run; sys.argv = ['tunefare', *sys.argv[1:]]; run()"
PROBE = (
    "import sys, json; from optimizer.cli.main import main; main(sys.argv[1:]); "
    f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]), file=sys.stderr)"
)


def measure(words: list[str]) -> list[float]:
    """Return the wall seconds of each run of `tunefare WORDS`."""
    spans = []
    for _ in range(RUNS):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", LAUNCH, *words], check=True, stdout=subprocess.DEVNULL)
        spans.append(time.perf_counter() - start)
    return spans


def heavy_imports(words: list[str]) -> list[str]:
    """Return the heavy packages that the command has imported when it ends."""
    done = subprocess.run([sys.executable, "-c", PROBE, *words], check=True, capture_output=True, text=True)
    names: list[str] = json.loads(done.stderr.splitlines()[-1])
    return names


def main() -> None:
    """Print one line per command: best and median seconds, the limit, and what heavy was loaded."""
    print(f"{'command':<24}{'best s':>8}{'median s':>10}{'limit s':>9}  heavy imports")
    for words, limit in COMMANDS:
        spans = measure(words)
        verdict = "" if min(spans) <= limit else "  OVER"
        loaded = ", ".join(heavy_imports(words)) or "none"
        name = " ".join(words[:2] if words[1:2] != ["--model"] else ["plan", "(a job)"])
        print(f"{name:<24}{min(spans):>8.3f}{statistics.median(spans):>10.3f}{limit:>9.2f}  {loaded}{verdict}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"peak memory of the largest: {peak:.0f} MiB")


if __name__ == "__main__":
    main()
