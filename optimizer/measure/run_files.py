"""Reading measured runs from files: RUN.json as the probe writes it, lists and lines of them, folders, trainer states.

One file holds one run, a list of runs, one run a line (JSON lines), or the state of Hugging Face's Trainer. A folder
stands for the JSON files in it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from providers.errors import JobError

from . import calibration_file
from .record import SCHEMA, parse_run
from .record_limits import parse_whole
from .run_rows import NamedRun, Skipped
from .trainer_state import is_trainer_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from .calibration import Calibration
    from .record import MeasuredRun

SUFFIXES = frozenset({".json", ".jsonl", ".ndjson"})
MOST_BYTES = 256 * 2**20
"""A file larger than this is no record of runs."""
OURS = ("tunefare.run/", "tunefare.calibration/")
"""Schemas that look like ours: of another version, and not just something else that lies in a folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerState:
    """The state of a Trainer as parsed, and the file that holds it."""

    where: str
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What files hold, in the order in which they were named; `skipped` of a folder, each with the reason."""

    runs: tuple[NamedRun, ...]
    states: tuple[TrainerState, ...]
    calibrations: tuple[tuple[str, Calibration], ...]
    skipped: tuple[Skipped, ...] = ()


def read_run_files(paths: Iterable[Path]) -> Found:
    """Return the runs, trainer states and calibrations that files and folders hold.

    Raises JobError naming the file for one that cannot be read, is no JSON, or holds something else; for a folder
    without any file of runs, whatever else was named.
    """
    runs: list[NamedRun] = []
    states: list[TrainerState] = []
    calibrations: list[tuple[str, Calibration]] = []
    skipped: list[Skipped] = []
    for path in paths:
        before, passed = len(runs) + len(states) + len(calibrations), len(skipped)
        for where, document in (one for file in _files(path) for one in _documents(file)):
            schema = document.get("schema") if isinstance(document, dict) else None
            if is_trainer_state(document):
                states.append(TrainerState(where=where, document=document))
            elif schema == calibration_file.SCHEMA:
                calibrations.append((where, calibration_file.parse_calibration(document, where=where)))
            elif not path.is_dir() or schema == SCHEMA:
                runs.append(NamedRun(where=where, run=_run(document, where)))
            elif isinstance(schema, str) and schema.startswith(OURS):
                skipped.append(Skipped(where=where, reason=f'schema "{schema}": this version reads "{SCHEMA}"'))
        if path.is_dir() and len(runs) + len(states) + len(calibrations) == before:
            raise _nothing_in(path, skipped[passed:])
    return Found(runs=tuple(runs), states=tuple(states), calibrations=tuple(calibrations), skipped=tuple(skipped))


def _nothing_in(folder: Path, skipped: list[Skipped]) -> JobError:
    reasons = "".join(f"; {one.where}: {one.reason}" for one in skipped)
    allowed = f'JSON files with schema "{SCHEMA}"{reasons}'
    return JobError(where="folder", key="path", value=str(folder), allowed=allowed)


def _run(document: object, where: str) -> MeasuredRun:
    if isinstance(document, dict) and not _is_run(document):
        allowed = f'"{SCHEMA}" (a measured run), "{calibration_file.SCHEMA}", or a trainer_state.json with log_history'
        raise JobError(where=where, key="schema", value=document.get("schema"), allowed=allowed)
    return parse_run(document, where=where)


def _is_run(document: object) -> bool:
    return isinstance(document, dict) and document.get("schema") == SCHEMA


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())


def _documents(file: Path) -> list[tuple[str, Any]]:
    """Return the JSON documents of a file, each with the words that name its place."""
    text = _text(file)
    try:
        whole = _parsed(text)
    except (ValueError, RecursionError) as err:
        lines = [(at, line) for at, line in enumerate(text.splitlines(), start=1) if line.strip()]
        if not lines:
            raise _empty(file) from err
        if not _stands_alone(lines[0][1]):
            raise _no_json(file, err) from err
        return [(f"{file}, line {at}", _line(file, at, line)) for at, line in lines]
    if isinstance(whole, list):
        if not whole:
            raise _empty(file)
        return [(f"{file}, run {at}", one) for at, one in enumerate(whole, start=1)]
    return [(str(file), whole)]


def _parsed(text: str) -> Any:
    """Return the JSON of a text. Raises ValueError or RecursionError; a number of any length is one."""
    return json.loads(text, parse_int=parse_whole)


def _stands_alone(line: str) -> bool:
    """Return whether a line is JSON of its own: then the file holds one document a line."""
    try:
        _parsed(line)
    except (ValueError, RecursionError):
        return False
    return True


def _line(file: Path, at: int, line: str) -> Any:
    try:
        return _parsed(line)
    except (ValueError, RecursionError) as err:
        raise _no_json(file, err, line=at) from err


def _empty(file: Path) -> JobError:
    return JobError(where=str(file), key="(whole file)", value="empty", allowed="at least one run")


def _no_json(file: Path, err: Exception, *, line: int | None = None) -> JobError:
    reason = getattr(err, "msg", None) or "nested too deeply"
    place = f"line {line}" if line else f"line {getattr(err, 'lineno', 1)}"
    allowed = "JSON: one run, a list of runs, or one run a line"
    return JobError(where=str(file), key=place, value=f"no JSON ({reason})", allowed=allowed)


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > MOST_BYTES:
            raise JobError(where=str(file), key="(whole file)", value="too large", allowed="a file of measured runs")
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as err:
        raise JobError(where=str(file), key="encoding", value="not UTF-8", allowed="a JSON file in UTF-8") from err
    except (OSError, ValueError) as err:
        reason = getattr(err, "strerror", None) or str(err)
        allowed = f"a readable file ({reason})"
        raise JobError(where="measured runs", key="path", value=str(file), allowed=allowed) from err
