"""A calibration in force: read once, its constants in the tables, its cards in the search.

A calibration is of stacks and cards. It changes nothing for a job of another stack; on another card of the same stack
the constants carry over, the factor of the card does not (`calibration_notes` says so in the answer).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from optimizer.measure.calibration import Calibration, calibrate, calibrated_memory, calibrated_speed, model_digest
from optimizer.measure.calibration_file import calibration_digest
from optimizer.measure.constant_paths import constant
from optimizer.measure.run_files import read_run_files
from optimizer.search.results import CalibrationReport
from optimizer.workload.job_input import JobInput
from providers.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from optimizer.measure.speed_calibration import ConstantChange
    from optimizer.search.tables import Tables

    from .tables import Knowledge


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """The calibration that answers are made with, and the files that it was read from, as they were named."""

    calibration: Calibration
    files: tuple[str, ...]
    unused: tuple[str, ...] = ()
    """Where the runs lie that were named and are not used; of a calibration its maker was told."""

    def of_job(self, stack: str, *, stack_known: bool) -> bool:
        """Return whether anything of it applies to a job: its stack was measured, and is the one that was named."""
        return stack_known and self.calibration.of(stack) is not None


def read_calibration(files: Sequence[Path], tables: Knowledge) -> InForce | None:
    """Return the calibration that files of runs and of calibrations make together; None for no files.

    Runs are fitted together. Raises JobError for a calibration made with other constants than those of this version,
    for two that speak of the same stack, and for a trainer state, which says nothing of recipe and card.
    """
    if not files:
        return None
    found = read_run_files(files)
    if found.states:
        allowed = "a RUN.json or a calibration: run `tunefare calibrate` on a trainer state, its recipe in flags"
        raise JobError(where=found.states[0].where, key="schema", value="trainer_state", allowed=allowed)
    parts = list(found.calibrations)
    unused = [one.where for one in found.skipped]
    if found.runs:
        search, place = tables.search, str(files[0])
        fitted = calibrate(found.runs, gpus=tables.gpus, memory=search.memory, speed=search.speed, where=place)
        parts.append((found.runs[0].where, fitted))
        unused += [one.where for one in fitted.skipped if not one.again]
    stacks: dict[str, str] = {}
    for where, part in parts:
        _check(part, tables.search, where)
        for stack in part.stacks:
            if stack.stack in stacks:
                allowed = f"one calibration a stack ({stacks[stack.stack]} has it too): name all runs at once"
                raise JobError(where=where, key="stacks", value=stack.stack, allowed=allowed)
            stacks[stack.stack] = where
    joined = parts[0][1]
    for _, part in parts[1:]:
        joined = replace(
            joined,
            stacks=tuple(sorted((*joined.stacks, *part.stacks), key=lambda one: one.stack)),
            runs=tuple(sorted((*joined.runs, *part.runs), key=lambda one: one.digest)),
            skipped=(*joined.skipped, *part.skipped),
            failed=(*joined.failed, *part.failed),
        )
    named = tuple(dict.fromkeys(unused))
    return InForce(calibration=joined, files=tuple(map(str, files)), unused=named)


def calibrated_tables(tables: Knowledge, in_force: InForce | None, stack: str | None) -> Knowledge:
    """Return the tables with the constants and the cards of a stack; `stack` None, or another one, changes nothing."""
    found = None if in_force is None or stack is None else in_force.calibration.of(stack)
    if found is None:
        return tables
    search = replace(
        tables.search,
        speed=calibrated_speed(tables.search.speed, found),
        memory=calibrated_memory(tables.search.memory, found),
        calibration=found.cards,
    )
    return replace(tables, search=search)


def with_measured_stack(inputs: JobInput, in_force: InForce | None) -> tuple[JobInput, str | None]:
    """Return the input with the stack of the calibration where it names none, and the line that lists this default."""
    if in_force is None or inputs.stack is not None or len(in_force.calibration.stacks) != 1:
        return inputs, None
    stack = in_force.calibration.stacks[0].stack
    return inputs.overridden_by(JobInput(stack=stack)), f"stack = {stack} (the one of the calibration)"


def calibration_report(in_force: InForce | None, *, stack: str, stack_known: bool) -> CalibrationReport | None:
    """Return what an answer names: which calibration, from which files, and whether it applies to the job at all."""
    if in_force is None:
        return None
    return CalibrationReport(
        sha256=calibration_digest(in_force.calibration),
        files=in_force.files,
        stacks=tuple(one.stack for one in in_force.calibration.stacks),
        runs=len(in_force.calibration.runs),
        applied=in_force.of_job(stack, stack_known=stack_known),
    )


def _check(part: Calibration, tables: Tables, where: str) -> None:
    """Raise JobError for a calibration of other constants: a factor is measured over modelled speed."""
    if part.model_sha256 != model_digest(tables.memory, tables.speed):
        allowed = (
            f"one of the constants of this version (it was made by {part.tool_version} with others): "
            "run `tunefare calibrate` on its runs again"
        )
        raise JobError(where=where, key="model_sha256", value=part.model_sha256[:12], allowed=allowed)
    for stack in part.stacks:
        for change in stack.speed:
            _check_constant(change, lambda name: constant(tables.speed, name), where)
        for change in stack.memory:
            _check_constant(change, lambda name: constant(tables.memory, name), where)


def _check_constant(change: ConstantChange, value_of: Callable[[str], float], where: str) -> None:
    """Raise JobError for a constant that there is not, starts from another value, or is no share."""
    try:
        shipped = value_of(change.name)
    except KeyError as err:
        allowed = "the name of a constant of the model"
        raise JobError(where=where, key="constants", value=change.name, allowed=allowed) from err
    if not math.isclose(change.before, shipped, rel_tol=1e-4):
        allowed = f"{shipped:.6g}, as in the model that it was fitted to"
        raise JobError(where=where, key=f"{change.name}, before", value=change.before, allowed=allowed)
    if change.name.partition(".")[0].endswith("_efficiency") and change.after > max(1.0, shipped):
        raise JobError(where=where, key=f"{change.name}, after", value=change.after, allowed="a share of at most 1")
