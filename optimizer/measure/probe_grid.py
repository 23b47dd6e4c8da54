"""Runs a grid of cases, each in a process of its own: one that runs out of memory, hangs or dies stops no other."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from providers.errors import JobError

from .probe import failed_run
from .record import MeasuredRun, RunStatus, parse_run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .probe_grid_file import GridCase

CHILD = (sys.executable, "-P", "-m", "optimizer.cli.probe_child")
"""`-P` keeps the working directory off the import path: what lies there must not stand in for our packages."""

LONGEST_REASON = 400
GRACE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GridResult:
    """What came out for one case; `earlier` when it lay there already."""

    name: str
    file: Path
    run: MeasuredRun
    earlier: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GridPlan:
    """How a grid is run: where results go, how long a case may take (s; None: as long as it likes), what is redone.

    `write` puts a document into a file, whole or not at all; `now` gives the moment a case is recorded at; `tell`
    takes one line of talk. `command` starts a process that reads its order as one line of JSON.
    """

    folder: Path
    write: Callable[[Path, Mapping[str, Any]], None]
    now: Callable[[], str]
    tell: Callable[[str], None]
    timeout_s: float | None = None
    redo: bool = False
    redo_failed: bool = False
    command: Sequence[str] = CHILD


def run_grid(cases: Sequence[GridCase], plan: GridPlan) -> list[GridResult]:
    """Return a result for every case, in order, each also in a file `NAME.json` of the folder.

    A result that lies there is taken as it is, unless it is to be redone. An interruption ends the case that runs and
    leaves the results that are there.
    """
    results: list[GridResult] = []
    with tempfile.TemporaryDirectory(prefix="tunefare-probe-") as scratch:
        for at, case in enumerate(cases, start=1):
            file = plan.folder / f"{case.name}.json"
            earlier = _earlier(file, plan)
            run = earlier or _measure(case, file, plan, Path(scratch))
            result = GridResult(name=case.name, file=file, run=run, earlier=earlier is not None)
            plan.tell(f"[{at}/{len(cases)}] {case.name}: {_outcome(result)}")
            results.append(result)
    return results


def _earlier(file: Path, plan: GridPlan) -> MeasuredRun | None:
    """Return the run that lies in the file, or None where it is to be measured (again)."""
    if plan.redo or not file.is_file():
        return None
    run = _read(file)
    if run is None:
        plan.tell(f"{file} holds no run: measured anew")
    elif run.status is RunStatus.ERROR and plan.redo_failed:
        return None
    return run


def _read(file: Path) -> MeasuredRun | None:
    document = _document(file)
    try:
        return None if document is None else parse_run(document, where=str(file))
    except JobError:
        return None


def _document(file: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _measure(case: GridCase, file: Path, plan: GridPlan, scratch: Path) -> MeasuredRun:
    """Return the run that a process of its own recorded, or the record of how that process failed."""
    made_at, handed_over = plan.now(), scratch / "run.json"
    handed_over.unlink(missing_ok=True)
    order = {
        "case": asdict(case.case),
        "where": case.where,
        "made_at": made_at,
        "scratch": str(scratch),
        "output": str(handed_over),
    }
    reason = _run_child(plan, json.dumps(order))
    run, document = _read(handed_over), _document(handed_over)
    if run is None or document is None:
        reason = reason or "it ended without a result"
        result = failed_run(case.case, made_at=made_at, reason=reason, where=case.where)
        run, document = result.run, result.document()
    plan.write(file, document)
    return run


def _run_child(plan: GridPlan, order: str) -> str:
    """Return why the process failed, in one line; empty where it ended well."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as talk:
        # The commands are ours, and no shell reads them.
        child = subprocess.Popen(  # noqa: S603
            list(plan.command), stdin=subprocess.PIPE, stdout=talk, stderr=talk, text=True, encoding="utf-8"
        )
        try:
            code = _finish(child, order, plan.timeout_s)
        finally:
            _end(child)
        if code is None:
            return f"it took longer than {plan.timeout_s:g} s (--timeout) and was ended"
        return "" if code == 0 else _reason(code, talk)


def _finish(child: subprocess.Popen[str], order: str, timeout_s: float | None) -> int | None:
    """Return the exit code of the child, None when its time ran out. stdin stays open as long as the child may run."""
    if child.stdin is not None:
        try:
            child.stdin.write(order + "\n")
            child.stdin.flush()
        except BrokenPipeError:
            pass  # it died before it read: its exit code says so
    try:
        return child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return None


def _end(child: subprocess.Popen[str]) -> None:
    """End the child if it still runs: politely, then not."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    if child.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            child.stdin.close()


def _reason(code: int, talk: IO[str]) -> str:
    """Return how a process ended: by which signal, or with which code; and its last words."""
    talk.seek(0)
    lines = [line.strip() for line in talk if line.strip()]
    words = lines[-1][:LONGEST_REASON] if lines else ""
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = str(-code)
        hint = ", as the system does when the host's memory runs out" if name == "SIGKILL" else ""
        return f"it was killed by {name}{hint}" + (f" ({words})" if words else "")
    return words if code == 2 and words else f"it ended with code {code}" + (f": {words}" if words else "")


def _outcome(result: GridResult) -> str:
    run, again = result.run, " (measured earlier)" if result.earlier else ""
    if run.status is not RunStatus.OK:
        return f"{run.status.value}{again}: {run.error}"
    memory = run.readings.allocated_bytes
    shown = "memory not read" if memory is None else f"{memory / 2**30:.1f} GiB"
    speed = run.readings.tokens_per_s
    return f"ok{again}: {shown}" + ("" if speed is None else f", {speed:,.0f} tokens/s")
