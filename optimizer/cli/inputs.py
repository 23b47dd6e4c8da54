"""From a job file and flags to what the use cases take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optimizer.workload.job_input import JobInput

    from .options import Flags

COMMAND_LINE = "command line"


def read_inputs(job_file: str | None, flags: Flags) -> tuple[Path | None, JobInput]:
    """Return the job file, if one was named, and the flags as a `JobInput`. Raises JobError for a bad flag."""
    from optimizer.workload.job_input import JobInput

    return (Path(job_file) if job_file else None), JobInput.from_mapping(flags, where=COMMAND_LINE)
