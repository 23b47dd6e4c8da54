"""The use case `estimate --cases`: predictions beside measurements, many rows in one columnar call."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optimizer.physics.memory import estimate_memory
from optimizer.physics.tabulate import tabulate
from optimizer.physics.throughput import estimate_throughput
from optimizer.search.calibrated import calibrated, with_measured_memory, with_measured_speed
from providers.basis import BASES, Basis, weakest
from providers.errors import TunefareError
from providers.units import GIB

from .calibration_in_force import calibrated_tables
from .calibration_notes import reach
from .case_errors import compare_cases, errors_by_reading
from .case_fields import number, text
from .case_file import read_cases, write_cases
from .case_memory import READINGS, case_memory
from .case_models import index_models
from .case_parsing import Case, parse_case

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import TextIO

    from optimizer.measure.errors import Errors
    from optimizer.physics.results import Interval, MemoryColumns, ThroughputColumns

    from .calibration_in_force import InForce
    from .tables import Knowledge

COLUMNS: tuple[str, ...] = (
    "pred_load_peak_gib",
    *(f"pred_{reading}{end}_gib" for reading in READINGS for end in ("", "_low", "_high")),
    "pred_tokens_per_s_per_gpu",
    "pred_tokens_per_s_per_gpu_low",
    "pred_tokens_per_s_per_gpu_high",
    "pred_hours",
    "pred_fits",
    "pred_fits_expected",
    "pred_basis",
    "pred_error",
    "pred_assumed",
)
"""What is written beside each row; `pred_assumed` lists what the row left open and was filled in."""

CALIBRATION = "pred_calibration"
"""One more column where measured runs are named: whether the row lies inside what was measured, and where not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseSummary:
    """How many rows were read and predicted, and why the others were not (reason to count)."""

    rows: int
    predicted: int
    with_speed: int
    reasons: Mapping[str, int]
    unknown_gpus: Mapping[str, int]
    """GPUs as the rows name them that the table does not know: their rows have no speed."""
    errors: Mapping[str, Errors]
    """By reading ("allocated", "tokens/s" ...): how far off the rows came out that measured it."""


def run_cases(path: Path, out: TextIO, *, tables: Knowledge, calibration: InForce | None = None) -> CaseSummary:
    """Write the rows of a CSV file of cases back with `COLUMNS` filled in, in their order; return how it went.

    With a `calibration` the rows of its stacks and cards are estimated with it, and `CALIBRATION` says which. A row
    that cannot be estimated says why in `pred_error` and stops nothing. Raises JobError for a file that cannot be read
    or that lacks the columns every case needs.
    """
    file = read_cases(path)
    rows = file.cells()
    predictions = predict_cases(rows, tables=tables, calibration=calibration)
    for at, more in file.surplus.items():
        lost = f"cells beyond the header left out: {_line(', '.join(more))}"
        predictions[at]["pred_assumed"] = "; ".join(filter(None, (predictions[at].get("pred_assumed"), lost)))
    write_cases(file, out, predictions, COLUMNS if calibration is None else (*COLUMNS, CALIBRATION))
    failed = [prediction["pred_error"] for prediction in predictions if prediction.get("pred_error")]
    return CaseSummary(
        rows=len(rows),
        predicted=len(rows) - len(failed),
        with_speed=sum(bool(prediction.get("pred_tokens_per_s_per_gpu")) for prediction in predictions),
        reasons=dict(Counter(failed).most_common()),
        unknown_gpus=_unknown_gpus(rows, predictions),
        errors=errors_by_reading(compare_cases(rows, predictions)),
    )


def predict_cases(
    rows: Sequence[Mapping[str, str]], *, tables: Knowledge, calibration: InForce | None = None
) -> list[dict[str, str]]:
    """Return the `COLUMNS` of each row as text, "" where unknown; with a `calibration` also `CALIBRATION`."""
    predictions: list[dict[str, str]] = [{} for _ in rows]
    cases: dict[int, Case] = {}
    index = index_models(tables.models)
    for position, row in enumerate(rows):
        try:
            _tokens(row)  # what makes no sense there is said of its row
            cases[position] = parse_case(row, models=index, gpus=tables.gpus)
        except TunefareError as err:
            predictions[position] = {"pred_error": _line(err)}
    if calibration is None:
        _evaluate(cases, rows, predictions, tables)
        return predictions
    # Runs of one stack say nothing of another: each is estimated with its own constants.
    stacks = {position: _measured_stack(case, calibration) for position, case in cases.items()}
    for stack in sorted(set(stacks.values())):
        part = {position: case for position, case in cases.items() if stacks[position] == stack}
        _evaluate(part, rows, predictions, calibrated_tables(tables, calibration, stack or None))
    for position, case in cases.items():
        if not predictions[position].get("pred_error"):
            predictions[position][CALIBRATION] = _reach(case, calibration)
    return predictions


def _unknown_gpus(rows: Sequence[Mapping[str, str]], predictions: Sequence[Mapping[str, str]]) -> dict[str, int]:
    named = [
        text(row, "gpu")
        for row, prediction in zip(rows, predictions, strict=True)
        if prediction.get("pred_required_gib") and not prediction.get("pred_tokens_per_s_per_gpu")
    ]
    return dict(Counter(name or "none stated" for name in named).most_common())


def _measured_stack(case: Case, calibration: InForce) -> str:
    """Return the stack of a case where it was measured, otherwise ""."""
    stack = case.recipe.stack.value
    return stack if calibration.of_job(stack, stack_known=case.recipe.stack_known) else ""


def _reach(case: Case, calibration: InForce) -> str:
    found = calibration.calibration.of(_measured_stack(case, calibration))
    if found is None:
        return "another stack" if case.recipe.stack_known else "no stack named"
    card = next((one for one in found.cards if one.gpu == case.machine.gpu.id and case.gpu_known), None)
    if card is None:
        return "another card"
    return reach(card, tabulate([(case.model, case.recipe, case.machine)]))


def _evaluate(
    cases: Mapping[int, Case],
    rows: Sequence[Mapping[str, str]],
    predictions: list[dict[str, str]],
    tables: Knowledge,
) -> None:
    """Fill in the predictions of all cases in one call; a case that breaks it is found by halving and reported."""
    if not cases:
        return
    positions = list(cases)
    try:
        runs = tabulate([(case.model, case.recipe, case.machine) for case in cases.values()])
        cards, gpu = tables.search.calibration, np.array([_card_name(case) for case in cases.values()])
        runs = calibrated(runs, gpu, cards)
        memory = with_measured_memory(estimate_memory(runs, tables.search.memory), runs, gpu, cards)
        memory = case_memory(list(cases.values()), memory, tables.search.memory)
        speed = estimate_throughput(runs, tables.search.speed)
        speed = with_measured_speed(speed, runs, gpu, cards, tables.search.speed)
    except (TunefareError, ValueError) as err:
        if len(cases) == 1:
            predictions[positions[0]] = {"pred_error": _line(err)}
            return
        middle = len(positions) // 2
        for part in (positions[:middle], positions[middle:]):
            _evaluate({position: cases[position] for position in part}, rows, predictions, tables)
        return
    needed = memory.needed
    for index, position in enumerate(positions):
        predictions[position] = _prediction(rows[position], cases[position], memory, needed, speed, index)


def _card_name(case: Case) -> str:
    """Return the GPU of a case; "" where the row does not say it and another one stands in."""
    return case.machine.gpu.id if case.gpu_known else ""


def _prediction(
    row: Mapping[str, str], case: Case, memory: MemoryColumns, needed: Interval, speed: ThroughputColumns, index: int
) -> dict[str, str]:
    found = {"pred_load_peak_gib": _figure(memory.load_peak.expected[index] / GIB)}
    for reading in READINGS:
        for end, value in _ends(getattr(memory, reading), index):
            found[f"pred_{reading}{end}_gib"] = _figure(value / GIB)
    if not found["pred_allocated_gib"]:
        return {"pred_error": "the memory of this recipe is unknown"}
    bases = [BASES[int(memory.basis[index])], *([Basis.ASSUMED] if case.assumed else [])]
    if case.size_known:
        usable = case.machine.gpu.usable_bytes
        for key, quantile in (("pred_fits", needed.high), ("pred_fits_expected", needed.expected)):
            found[key] = "yes" if quantile[index] <= usable else "no"
    if case.gpu_known and math.isfinite(speed.tokens_per_s.expected[index]):
        bases.append(BASES[int(speed.basis[index])])
        for end, value in _ends(speed.tokens_per_s, index):
            found[f"pred_tokens_per_s_per_gpu{end}"] = _figure(value / case.machine.gpus)
        tokens = _tokens(row)
        found["pred_hours"] = "" if tokens is None else _figure(tokens / speed.tokens_per_s.expected[index] / 3600)
    found["pred_basis"] = weakest(bases).value
    found["pred_assumed"] = "; ".join(case.assumed)
    return found


def _tokens(row: Mapping[str, str]) -> float | None:
    """Return the tokens to train on, "20M" and "1.5B" included; None where the row states none."""
    stated = re.fullmatch(r"([\d.]+)\s*([mb])", text(row, "tokens").lower())
    if stated is None:
        return number(row, "tokens")
    return number({"tokens": stated.group(1)}, "tokens") * {"m": 1e6, "b": 1e9}[stated.group(2)]  # type: ignore[operator]  # digits alone are never unknown


def _ends(interval: Interval, index: int) -> tuple[tuple[str, float], ...]:
    return (
        ("", float(interval.expected[index])),
        ("_low", float(interval.low[index])),
        ("_high", float(interval.high[index])),
    )


def _figure(value: float) -> str:
    """Return five significant digits, "" for what is not a number."""
    return f"{value:.5g}" if math.isfinite(value) else ""


def _line(said: object) -> str:
    """Return a message on one line, as a cell takes it."""
    return " ".join(str(said).split())
