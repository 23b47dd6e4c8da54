"""From measured runs to a calibration: per stack the refitted constants, per card a factor, and how far off it was.

Runs of one stack say nothing of another: each stack is fitted alone. Equal runs give an equal calibration, in whatever
order they come, to the last digit.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from optimizer.version import VERSION
from providers.errors import JobError

from .constant_paths import with_constants
from .memory_calibration import check_failed, fit_memory_of_stack, has_reading
from .plausibility import plausible_rows
from .record import RunStatus
from .run_rows import lay_out, usable_rows
from .speed_calibration import ConstantChange, fit_speed, rounded

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from optimizer.physics.memory_constants import MemoryConstants
    from optimizer.physics.runs import Floats
    from optimizer.physics.speed_constants import SpeedConstants
    from optimizer.search.calibrated import CardCalibration
    from providers.gpus import GpuTable

    from .memory_calibration import FailedRun, MemoryFit
    from .run_rows import NamedRun, Row, Skipped
    from .speed_calibration import SpeedFit

SPEED = "tokens_per_s"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingError:
    """How far off a kind of reading was before and after, as absolute relative errors: median and worst of the rows."""

    reading: str
    rows: int
    median_before: float
    worst_before: float
    median_after: float
    worst_after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StackCalibration:
    """What measured runs say of one stack. `speed` and `memory` are constants; errors are those of the runs used."""

    stack: str
    speed: tuple[ConstantChange, ...]
    memory: tuple[ConstantChange, ...]
    cards: tuple[CardCalibration, ...]
    errors: tuple[ReadingError, ...]
    memory_spread: tuple[float, float] | None = None
    """`sigma.model` before and after; None where no memory was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One reading of a run: measured, and predicted before and after. Tokens/s of the whole job, bytes per GPU."""

    reading: str
    measured: float
    before: float
    after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedRun:
    """A run that took part: where it comes from, what it ran, and its readings beside the predictions."""

    digest: str
    source: str
    made_at: str
    status: str
    stack: str
    gpu: str
    gpus: int
    model: str
    method: str
    micro_batch: int
    seq_len: int
    readings: tuple[Compared, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Measured runs turned into constants. `model_sha256` is of the constants that it starts from.

    It can be applied to exactly those: a factor is measured over modelled speed.
    """

    stacks: tuple[StackCalibration, ...]
    runs: tuple[UsedRun, ...]
    skipped: tuple[Skipped, ...]
    failed: tuple[FailedRun, ...]
    model_sha256: str
    tool_version: str = VERSION

    def of(self, stack: str) -> StackCalibration | None:
        """Return what there is on a stack."""
        return next((one for one in self.stacks if one.stack == stack), None)


def calibrate(
    runs: Iterable[NamedRun],
    *,
    gpus: GpuTable,
    memory: MemoryConstants,
    speed: SpeedConstants,
    where: str,
    passed_over: Sequence[Skipped] = (),
) -> Calibration:
    """Return the calibration that `runs` make of the shipped constants.

    Runs that cannot be used are listed with the reason, and so are those that were `passed_over` already. Raises
    JobError, naming `where`, when none can be used; SolverFailed where the model has no value for what was measured.
    """
    known, unknown = usable_rows(runs, gpus)
    rows, wrong = plausible_rows(known, memory, speed)
    skipped = (*passed_over, *unknown, *wrong)
    if not rows:
        reasons = "; ".join(dict.fromkeys(f"{one.where}: {one.reason}" for one in skipped)) or "there is none"
        raise JobError(where=where, key="runs", value=len(skipped), allowed=f"at least one usable run ({reasons})")
    stacks: list[StackCalibration] = []
    used: list[UsedRun] = []
    failed: list[FailedRun] = []
    for stack in sorted({row.stack for row in rows}):
        found = _one_stack(stack, [row for row in rows if row.stack == stack], memory, speed)
        stacks.append(found.calibration)
        used += found.runs
        failed += found.failed
    return Calibration(
        stacks=tuple(stacks),
        runs=tuple(sorted(used, key=lambda run: run.digest)),
        skipped=tuple(sorted(skipped, key=lambda one: (one.where, one.reason))),
        failed=tuple(sorted(failed, key=lambda run: run.digest)),
        model_sha256=model_digest(memory, speed),
    )


def model_digest(memory: MemoryConstants, speed: SpeedConstants) -> str:
    """Return the SHA-256 of all constants of both models: a calibration counts for the constants it was made with."""

    def plain(value: object) -> object:
        if isinstance(value, np.ndarray):
            return [float(one) for one in value]
        return {key: plain(inner) for key, inner in value.items()} if isinstance(value, dict) else value

    text = json.dumps([plain(asdict(memory)), plain(asdict(speed))], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def calibrated_speed(constants: SpeedConstants, stack: StackCalibration) -> SpeedConstants:
    """Return the constants of the time model for a stack that was measured. Raises KeyError for an unknown name."""
    return with_constants(constants, {one.name: one.after for one in stack.speed})


def calibrated_memory(constants: MemoryConstants, stack: StackCalibration) -> MemoryConstants:
    """Return the constants of the memory model for a stack that was measured. Raises KeyError for an unknown name."""
    changed = {one.name: one.after for one in stack.memory}
    spread = {} if stack.memory_spread is None else {"sigma.model": stack.memory_spread[1]}
    return with_constants(constants, changed | spread)


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfStack:
    calibration: StackCalibration
    runs: list[UsedRun]
    failed: tuple[FailedRun, ...]


def _one_stack(stack: str, rows: list[Row], memory: MemoryConstants, speed: SpeedConstants) -> _OfStack:
    with_speed = [row for row in rows if row.run.status is RunStatus.OK and row.run.readings.tokens_per_s]
    with_memory = [row for row in rows if has_reading(row)]
    fast = fit_speed(with_speed, stack, speed) if with_speed else None
    held = fit_memory_of_stack(with_memory, memory) if with_memory else None
    compared = _compared(with_speed, fast, with_memory, held)
    calibration = StackCalibration(
        stack=stack,
        speed=() if fast is None else fast.changes,
        memory=() if held is None else held.changes,
        cards=_cards(stack, () if fast is None else fast.cards, with_memory),
        errors=_errors(compared),
        memory_spread=None if held is None else (held.spread_before, held.spread_after),
    )
    return _OfStack(
        calibration=calibration,
        runs=[_used(row, compared.get(row.digest, [])) for row in rows],
        failed=check_failed(rows, calibrated_memory(memory, calibration)),
    )


def _compared(
    with_speed: Sequence[Row], fast: SpeedFit | None, with_memory: Sequence[Row], held: MemoryFit | None
) -> dict[str, list[Compared]]:
    found: dict[str, list[Compared]] = {}
    if fast is not None:
        for at, row in enumerate(with_speed):
            read = row.run.readings.tokens_per_s or 0.0
            found.setdefault(row.digest, []).append(_reading(SPEED, read, fast.before[at], fast.after[at]))
    if held is not None:
        for at, (row_at, name) in enumerate(zip(held.row, held.reading, strict=True)):
            found.setdefault(with_memory[row_at].digest, []).append(
                _reading(f"{name}_bytes", float(held.measured[at]), held.before[at], held.after[at])
            )
    return found


def _reading(name: str, measured: float, before: Floats, after: Floats) -> Compared:
    return Compared(
        reading=name, measured=rounded(measured), before=rounded(float(before)), after=rounded(float(after))
    )


def _errors(compared: Mapping[str, Sequence[Compared]]) -> tuple[ReadingError, ...]:
    by_reading: dict[str, list[Compared]] = {}
    for readings in compared.values():
        for one in readings:
            by_reading.setdefault(one.reading, []).append(one)
    found = []
    for name in sorted(by_reading, key=lambda name: (name != SPEED, name)):
        rows = by_reading[name]
        before = np.array([abs(one.before / one.measured - 1.0) for one in rows])
        after = np.array([abs(one.after / one.measured - 1.0) for one in rows])
        found.append(
            ReadingError(
                reading=name,
                rows=len(rows),
                median_before=rounded(float(np.median(before)), 4),
                worst_before=rounded(float(before.max()), 4),
                median_after=rounded(float(np.median(after)), 4),
                worst_after=rounded(float(after.max()), 4),
            )
        )
    return tuple(found)


def _cards(stack: str, fast: Sequence[CardCalibration], with_memory: Sequence[Row]) -> tuple[CardCalibration, ...]:
    """Return one entry a card: what was measured of its speed, and of its memory."""
    from optimizer.search.calibrated import CardCalibration, range_of

    cards = {card.gpu: card for card in fast}
    for gpu in sorted({row.machine.gpu.id for row in with_memory}):
        rows = [row for row in with_memory if row.machine.gpu.id == gpu]
        card = cards.get(gpu) or CardCalibration(
            stack=stack, gpu=gpu, factor=1.0, sigma=None, speed_rows=0, memory_rows=0, speed=None, memory=None
        )
        cards[gpu] = replace(card, memory_rows=len(rows), memory=range_of(lay_out(rows)))
    return tuple(cards[gpu] for gpu in sorted(cards))


def _used(row: Row, compared: Sequence[Compared]) -> UsedRun:
    run, recipe = row.run, row.run.recipe
    return UsedRun(
        digest=row.digest,
        source=run.source,
        made_at=run.made_at,
        status=run.status.value,
        stack=row.stack,
        gpu=row.machine.gpu.id,
        gpus=run.gpus,
        model=run.model.hf_id or run.model.name,
        method=f"{recipe.method}-{recipe.bits}bit" if recipe.method != "qlora" else "qlora-4bit",
        micro_batch=recipe.micro_batch,
        seq_len=recipe.seq_len,
        readings=tuple(compared),
    )
