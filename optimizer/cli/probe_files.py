"""The files of a probe: one RUN.json a case, written whole or not at all, and the summary of a grid."""

from __future__ import annotations

import json
import tempfile
from typing import TYPE_CHECKING, Any

from providers.errors import JobError

from .inputs import COMMAND_LINE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from optimizer.measure.probe_grid import GridResult

GRID_SCHEMA = "tunefare.probe-grid/v1"


def run_text(document: Mapping[str, Any]) -> str:
    """Return the text of a RUN.json, seconds and tokens/s as they were measured."""
    from optimizer.report.json_text import to_text

    return to_text(dict(document), floats=True)


def write_run(path: Path, document: Mapping[str, Any]) -> None:
    """Write one RUN.json to `path`. Raises JobError naming the path when it cannot be written."""
    from optimizer.app.writing import write_file

    write_file(path, run_text(document), key="output_dir")


def grid_text(results: Sequence[GridResult]) -> str:
    """Return the JSON of a grid: how many ended how, and every case with its file and the document in it."""
    statuses = [result.run.status.value for result in results]
    cases = [
        {
            "name": result.name,
            "file": str(result.file),
            "earlier": result.earlier,
            "run": json.loads(result.file.read_text(encoding="utf-8")),
        }
        for result in results
    ]
    counts = {status: statuses.count(status) for status in ("ok", "oom", "error")}
    return run_text({"schema": GRID_SCHEMA, "counts": counts, "cases": cases})


def open_folder(folder: Path) -> None:
    """Make the folder for results where it is missing. Raises JobError (exit 2) where it cannot be made or used."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(prefix=".tunefare.", suffix=".tmp", dir=folder):
            pass
    except OSError as err:
        allowed = f"a folder that this user may make and write in ({err.strerror})"
        raise JobError(where=COMMAND_LINE, key="output_dir", value=str(folder), allowed=allowed) from err
