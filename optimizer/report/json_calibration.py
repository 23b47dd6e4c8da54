"""The document `tunefare.calibration/v1` as `tunefare calibrate --json` prints it and `--output` writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.measure.calibration_file import calibration_document

from .json_text import to_text

if TYPE_CHECKING:
    from optimizer.measure.calibration import Calibration


def calibration_text(calibration: Calibration) -> str:
    """Return the calibration as JSON text: equal bytes for equal runs, in whatever order they came.

    Constants, factors and errors are numbers with a fraction, which no other document but the calculator's has.
    """
    return to_text(calibration_document(calibration), floats=True)
