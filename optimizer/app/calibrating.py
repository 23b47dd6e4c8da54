"""The use case `calibrate`: measured runs, from files or from a stated speed, to a calibration."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from optimizer.measure.calibration import Calibration, calibrate
from optimizer.measure.record import MeasuredRun, Readings
from optimizer.measure.run_files import read_run_files
from optimizer.measure.run_rows import NamedRun
from optimizer.measure.trainer_state import Counted, logged_speed
from optimizer.physics.flops import processed_tokens
from optimizer.physics.tabulate import recipe_columns
from providers.errors import JobError

from .estimating import recipe_on_machine
from .recipe_choice import RecipeChoice
from .tables import Knowledge, load_tables

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from optimizer.measure.run_files import Found, TrainerState
    from optimizer.physics.recipe import Recipe
    from optimizer.workload.job_input import JobInput
    from optimizer.workload.models import ModelSpec

    from .settings import Settings


MEASURED = "measured runs"
"""Where an error lies that is of the runs as a whole: no flag names them."""


MOST_TOKENS_PER_S = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """A speed that a person or a trainer state says, of a run whose recipe and machine the flags describe.

    Tokens/s of the whole job unless `per_gpu`; real ones unless `padded`. None is "as the source counts by itself".
    """

    tokens_per_s: float | None = None
    per_gpu: bool | None = None
    padded: bool | None = None


def calibrate_files(
    files: Sequence[Path],
    *,
    stated: Stated,
    job_file: Path | None = None,
    flags: JobInput | None = None,
    recipe: RecipeChoice | None = None,
    now: datetime | str | None = None,
    settings: Settings | None = None,
    tables: Knowledge | None = None,
    where: str,
) -> Calibration:
    """Return the calibration of measured runs: RUN.json files and folders, trainer states, and one stated speed.

    A trainer state and a stated speed need `flags`, `recipe` or `job_file` to say what ran on which card; RUN.json says
    it itself. Raises JobError for runs that cannot be read or used, and as `estimate` does for flags that are wrong.
    """
    known = load_tables() if tables is None else tables
    found = _read(files)
    runs = list(found.runs)
    if stated.tokens_per_s is not None and not 0 < stated.tokens_per_s < MOST_TOKENS_PER_S:
        allowed = f"a number above 0, below {MOST_TOKENS_PER_S:g}"
        raise JobError(where=where, key="tokens_per_s", value=stated.tokens_per_s, allowed=allowed)
    if found.states or stated.tokens_per_s is not None:
        chosen = RecipeChoice() if recipe is None else recipe
        model, ran, machine = recipe_on_machine(
            job_file, flags=flags, recipe=chosen, now=now, settings=settings, tables=known, where=where
        )
        base = MeasuredRun(
            model=model, recipe=ran, gpu=machine.gpu.id, gpus_per_node=machine.gpu_count, nodes=machine.nodes
        )
        runs += _described(found.states, base, stated, where)
    else:
        _refuse_description(job_file, flags, recipe, stated, where)
    if not runs:
        allowed = "files of measured runs (RUN.json, trainer_state.json), or --tokens-per-s with the recipe in flags"
        raise JobError(where=MEASURED, key="runs", value=None, allowed=allowed)
    search = known.search
    return calibrate(
        runs, gpus=known.gpus, memory=search.memory, speed=search.speed, where=MEASURED, passed_over=found.skipped
    )


def _read(files: Sequence[Path]) -> Found:
    found = read_run_files(files)
    if found.calibrations:
        place, _ = found.calibrations[0]
        allowed = "measured runs: a calibration is a result, and its runs may be named again"
        raise JobError(where=place, key="schema", value="tunefare.calibration/v1", allowed=allowed)
    return found


def _described(states: Sequence[TrainerState], base: MeasuredRun, stated: Stated, where: str) -> list[NamedRun]:
    runs = [_of_state(state, base, stated) for state in states]
    return runs if stated.tokens_per_s is None else [*runs, _of_words(base, stated, where)]


def _of_state(state: TrainerState, base: MeasuredRun, stated: Stated) -> NamedRun:
    """Return the run that a trainer state and the flags describe together."""
    logged = logged_speed(state.document, where=state.where)
    recipe = base.recipe
    _refuse_other_batch(state, base)
    rows_per_s = logged.per_s
    if logged.counted is Counted.STEPS:
        rows_per_s *= recipe.micro_batch * recipe.grad_accum * base.gpus
    if logged.counted in {Counted.STEPS, Counted.SAMPLES}:
        # Rows carry what the recipe says of their length, padding left out.
        tokens_per_s, padded = rows_per_s * _real_row_tokens(recipe, base.model), False
    else:
        per_gpu = logged.counted is Counted.TOKENS_PER_GPU if stated.per_gpu is None else stated.per_gpu
        tokens_per_s = logged.per_s * (base.gpus if per_gpu else 1)
        padded = True if stated.padded is None else stated.padded
    speed = tokens_per_s / (recipe.padding_factor if padded else 1.0)
    run = replace(base, readings=Readings(tokens_per_s=speed), source=f"{Path(state.where).name}: {logged.origin}")
    return NamedRun(where=state.where, run=run)


def _refuse_other_batch(state: TrainerState, base: MeasuredRun) -> None:
    """Raise JobError where the trainer state itself says another micro-batch, of one process or of all."""
    document = state.document
    logged = document.get("train_batch_size") if isinstance(document, dict) else None
    said = base.recipe.micro_batch
    if isinstance(logged, int) and logged > 0 and logged not in {said, said * base.gpus}:
        allowed = f"the micro-batch that was said ({said}): one of the two is not of this run"
        raise JobError(where=state.where, key="train_batch_size", value=logged, allowed=allowed)


def _of_words(base: MeasuredRun, stated: Stated, where: str) -> NamedRun:
    """Return the run whose speed was stated in plain words."""
    speed = (stated.tokens_per_s or 0.0) * (base.gpus if stated.per_gpu else 1)
    speed /= base.recipe.padding_factor if stated.padded else 1.0
    return NamedRun(where=where, run=replace(base, readings=Readings(tokens_per_s=speed), source="--tokens-per-s"))


def _real_row_tokens(recipe: Recipe, model: ModelSpec) -> float:
    """Return the real tokens of one row as the Trainer counts rows: a DPO pair is one of them, and two sequences."""
    columns = recipe_columns([(recipe, model)])
    return float(processed_tokens(columns)[0]) / recipe.micro_batch / recipe.padding_factor


def _refuse_description(
    job_file: Path | None, flags: JobInput | None, recipe: RecipeChoice | None, stated: Stated, where: str
) -> None:
    """Raise JobError for flags that describe a run where every run describes itself: nobody would notice."""
    given: dict[str, object] = {} if job_file is None else {"job": str(job_file)}
    given |= {} if flags is None else flags.said()
    if recipe is not None:
        given |= {key: getattr(recipe, key) for key in recipe.__dataclass_fields__}
    given |= {"per_gpu": stated.per_gpu, "padded": stated.padded}
    for key, value in given.items():
        if value is not None and key != "now":
            allowed = "only with --tokens-per-s or a trainer_state.json: a RUN.json says itself what ran"
            raise JobError(where=where, key=key, value=value, allowed=allowed)
