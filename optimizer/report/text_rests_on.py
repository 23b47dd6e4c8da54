"""The last section of an answer, "What this rests on": prices, what was left out, calibration, defaults, notes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .describe import describe_calibration, describe_defaults, describe_left_out
from .table import format_heading, format_list, format_pairs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optimizer.search.results import CalibrationReport
    from optimizer.workload.job import Job

    from .style import Style


def rests_on_section(
    pairs: Sequence[tuple[str, str]],
    style: Style,
    *,
    job: Job,
    calibration: CalibrationReport | None,
    notes: Sequence[str],
    unusable: Mapping[str, int] | None = None,
    verbose: bool = False,
) -> list[str]:
    """Return the section: `pairs` first, then what every answer tells; `unusable` are the offers that were left out."""
    told = list(pairs)
    if unusable and (left_out := describe_left_out(unusable, verbose=verbose)):
        told.append(("Left out", left_out))
    if calibration is not None:
        told.append(("Calibration", describe_calibration(calibration)))
    if job.defaults_used:
        told.append(("Defaults", describe_defaults(job.defaults_used)))
    lines = [format_heading("What this rests on", "", style), *format_pairs(told, style)]
    return [*lines, *format_list(notes, style)]
