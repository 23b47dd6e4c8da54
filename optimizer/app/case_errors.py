"""Predictions of cases beside what their rows measured: which reading a row holds, and how far off it came out."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optimizer.measure.errors import Compared, Errors, errors

from .case_fields import text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SPEED = "tokens/s"
MEMORY_COLUMNS = (("peak_mem_gib_per_gpu", "mem_measure"), ("mem2_gib_per_gpu", "mem2_measure"))
_HARMLESS = (
    "nodes ", "network ", "num_gpus ", "shape", "gpu A", "gpu H", "gpu V", "parallelism ", "stack ", "attention sdpa",
    "grad_accum ", "target_modules without",
)  # fmt: skip
"""Assumptions that leave the recipe known: how many nodes, the shape of a model by its parameters, a size of chip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseComparison:
    """One measured figure of one row beside its prediction: `reading` is a memory reading or `SPEED`.

    Memory in GiB per GPU, speed in tokens/s per GPU. `recipe_known`: nothing that decides the figure was assumed.
    """

    source: str
    reading: str
    gpus: int
    method: str
    recipe_known: bool
    measured: float
    low: float
    expected: float
    high: float


_FAILED = re.compile(r"oom|out[ _-]of[ _-]memory|fail|(?:does|did) ?n[o']t fit|crash")


def reading_of(stated: str) -> str | None:
    """Return which reading a text like "torch max_memory_reserved" or "nvidia-smi" speaks of; None for an empty one.

    What torch counts as active or peak memory is allocated; a tool that is not torch's, or unknown, shows the device.
    """
    words = stated.lower()
    if not words.strip():
        return None
    if re.search(r"wandb|w&b|nvml", words):
        return "device"  # whose "GPU memory allocated" is what the driver counts
    if "reserved" in words:
        return "reserved"
    if re.search(r"allocated|memory_alloc|\bactive\b|during training|max_memory|torch peak", words):
        return "allocated"
    return "device"


def compare_cases(rows: Sequence[Mapping[str, str]], predictions: Sequence[Mapping[str, str]]) -> list[CaseComparison]:
    """Return every measured figure of the rows that has a prediction; a run that failed measured nothing."""
    found: list[CaseComparison] = []
    for row, prediction in zip(rows, predictions, strict=True):
        if prediction.get("pred_error") or _FAILED.search(text(row, "status").lower()):
            continue
        for column, measure in MEMORY_COLUMNS:
            reading = reading_of(text(row, measure))
            if reading is not None:
                found += _one(row, prediction, column, reading, f"pred_{reading}{{}}_gib")
        found += _one(row, prediction, "tokens_per_s_per_gpu", SPEED, "pred_tokens_per_s_per_gpu{}")
    return found


def as_compared(rows: Sequence[CaseComparison]) -> Compared:
    """Return the figures as columns, by source."""
    return Compared(
        measured=np.array([row.measured for row in rows]),
        low=np.array([row.low for row in rows]),
        expected=np.array([row.expected for row in rows]),
        high=np.array([row.high for row in rows]),
        group=[row.source for row in rows],
    )


def errors_by_reading(rows: Sequence[CaseComparison]) -> dict[str, Errors]:
    """Return the statistics of the figures of each reading, memory first."""
    names = dict.fromkeys(row.reading for row in sorted(rows, key=lambda row: (row.reading == SPEED, row.reading)))
    return {name: errors(as_compared([row for row in rows if row.reading == name])) for name in names}


def _one(
    row: Mapping[str, str], prediction: Mapping[str, str], column: str, reading: str, pattern: str
) -> list[CaseComparison]:
    measured = _figure(row.get(column))
    low, expected, high = (_figure(prediction.get(pattern.format(end))) for end in ("_low", "", "_high"))
    if not measured > 0 or not expected > 0:
        return []
    assumed = [note for note in prediction.get("pred_assumed", "").split("; ") if note]
    return [
        CaseComparison(
            source=text(row, "source") or "unnamed",
            reading=reading,
            gpus=round(max(_figure(row.get("num_gpus")), 1.0)) if row.get("num_gpus") else 1,
            method=text(row, "method"),
            recipe_known=all(note.startswith(_HARMLESS) for note in assumed),
            measured=measured,
            low=low,
            expected=expected,
            high=high,
        )
    ]


def _figure(cell: str | None) -> float:
    """Return the cell as a number, NaN for what is none: a measured column may hold anything."""
    try:
        return float((cell or "").replace(",", ""))
    except ValueError:
        return math.nan
