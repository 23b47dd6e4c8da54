"""The process of one case of a grid: reads the case from stdin, writes its RUN.json, ends.

`tunefare probe --grid` starts it; nobody else should. When the parent dies, stdin closes, and this process ends too:
no card is kept busy by a run that nobody waits for.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import fields
from pathlib import Path
from threading import Thread

from providers.errors import TunefareError

INTERRUPTED = 130


def main() -> int:
    """Return 0 when a result was written, otherwise the exit code of the error, which is one line on stderr."""
    from optimizer.measure.probe import run_probe
    from optimizer.measure.probe_case import ProbeCase

    from .probe_files import write_run

    order = json.loads(sys.stdin.readline())
    Thread(target=_end_with_parent, daemon=True).start()
    said = {field.name: order["case"][field.name] for field in fields(ProbeCase)}
    said["target_modules"] = tuple(said["target_modules"])
    try:
        result = run_probe(
            ProbeCase(**said), made_at=order["made_at"], where=order["where"], scratch=Path(order["scratch"])
        )
        write_run(Path(order["output"]), result.document())
    except TunefareError as err:
        sys.stderr.write(f"{err}\n")
        return err.exit_code
    return 0


def _end_with_parent() -> None:
    # Not sys.stdin.read(): a thread that holds its lock makes the interpreter abort when it ends.
    while os.read(0, 1024):
        pass
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
