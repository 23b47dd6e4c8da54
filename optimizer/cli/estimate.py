"""`tunefare estimate`: one recipe on one GPU type, many of them from a file, or the list of models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer

from providers.errors import JobError

from .inputs import COMMAND_LINE
from .options import (
    HOW,
    JOB_FLAGS,
    LIMITS,
    OUTPUT,
    OVERHEADS,
    PRICES,
    RECIPE,
    RECIPE_FLAGS,
    WHAT,
    Flags,
    JobFile,
    Json,
    Output,
    takes_flags,
)

GROUPS = {
    WHAT: JOB_FLAGS[WHAT],
    # Loss and attention kernel belong to the recipe here.
    HOW: tuple(flag for flag in JOB_FLAGS[HOW] if flag.key not in {"loss", "attention"}),
    RECIPE: RECIPE_FLAGS,
    # Exactly one GPU here, which belongs to the recipe.
    LIMITS: tuple(flag for flag in JOB_FLAGS[LIMITS] if flag.key != "gpu"),
    PRICES: JOB_FLAGS[PRICES],
    OVERHEADS: JOB_FLAGS[OVERHEADS],
    OUTPUT: JOB_FLAGS[OUTPUT],
}
SEARCH_ONLY = frozenset(
    {
        "top",
        "exclude_gpu",
        "max_gpus",
        "max_nodes",
        "quality_floor",
        "max_complexity",
        "executor",
        "runs",
        "budget",
    }
)
"""Job flags that only a search has a use for."""

INSTEAD = "Instead of a job"

Cases = Annotated[
    str | None,
    typer.Option(
        "--cases",
        metavar="FILE.csv",
        help="estimate every row of a CSV file, and write the rows back with pred_ columns",
        rich_help_panel=INSTEAD,
        show_default=False,
    ),
]
ListModels = Annotated[
    bool,
    typer.Option("--list-models", help="list the models known by name, and their aliases", rich_help_panel=INSTEAD),
]


@takes_flags(GROUPS, without=SEARCH_ONLY)
def estimate(
    *,
    job_file: JobFile = None,
    flags: Flags,
    cases: Cases = None,
    list_models: ListModels = False,
    as_json: Json = False,
    output: Output = None,
) -> int:
    """Memory, speed, time and cost of one recipe on one GPU type, without a search."""
    if list_models:
        _refuse_beside("--list-models", job_file, flags, {"cases": cases})
        return _list_models(as_json=as_json, output=output)
    if cases is not None:
        rest = {key: value for key, value in flags.items() if key != "calibrate_with"}
        _refuse_beside("--cases", job_file, rest, {"json": as_json or None})
        return _run_cases(cases, output, calibrate_with=flags.get("calibrate_with"))
    return _estimate(job_file, flags, as_json=as_json, output=output)


def _refuse_beside(alone: str, job_file: str | None, flags: Flags, others: Mapping[str, object]) -> None:
    """Raise JobError for the first thing that was said beside a flag that has no use for it."""
    given = {"JOB.toml": job_file, **others, **flags}
    for key, value in given.items():
        if value is not None:
            does = "reads its own file, and writes CSV" if alone == "--cases" else "takes --json and --output only"
            raise JobError(where=COMMAND_LINE, key=key, value=value, allowed=f"not with {alone}, which {does}")


def one_gpu(flags: Flags) -> Flags:
    """Return the flags with the one GPU as a word. Raises JobError when several were named."""
    names = flags.get("gpu")
    if not isinstance(names, list):
        return flags
    if len(names) != 1:
        raise JobError(where=COMMAND_LINE, key="gpu", value=names, allowed="one GPU: nothing is searched here")
    return {**flags, "gpu": names[0]}


def _estimate(job_file: str | None, flags: Flags, *, as_json: bool, output: str | None) -> int:
    from optimizer.app.estimating import RecipeChoice, estimate_recipe
    from optimizer.report.json_estimate import estimate_text
    from optimizer.report.text_estimate import format_estimate

    from .inputs import read_inputs
    from .output import deliver

    flags = one_gpu(flags)
    recipe_keys = {field.name for field in fields(RecipeChoice)}
    inputs, job_flags = read_inputs(job_file, {key: value for key, value in flags.items() if key not in recipe_keys})
    recipe = RecipeChoice(**{key: value for key, value in flags.items() if key in recipe_keys})  # type: ignore[arg-type]  # the kinds of RECIPE_FLAGS are those of RecipeChoice
    answer = estimate_recipe(inputs, recipe=recipe, flags=job_flags)
    deliver(
        text=lambda style: format_estimate(answer, style),
        document=lambda: estimate_text(answer),
        as_json=as_json,
        output=output,
    )
    return 0


def _run_cases(cases: str, output: str | None, *, calibrate_with: object) -> int:
    from io import StringIO

    from optimizer.app.calibration_in_force import read_calibration
    from optimizer.app.cases import run_cases
    from optimizer.app.tables import load_tables
    from optimizer.app.writing import write_file
    from optimizer.workload.job_input import JobInput

    from .output import tell, write

    rows = StringIO()
    tables = load_tables()
    measured = JobInput.from_mapping({"calibrate_with": calibrate_with}, where=COMMAND_LINE).calibrate_with
    calibration = read_calibration([Path(file) for file in measured or ()], tables)
    try:
        summary = run_cases(Path(cases), rows, tables=tables, calibration=calibration)
    except JobError as err:
        if err.key != "--cases":
            raise
        raise JobError(where=COMMAND_LINE, key="cases", value=cases, allowed=err.allowed) from err
    if output is None:
        write(rows.getvalue())
    else:
        write_file(Path(output), rows.getvalue())
        tell(f"wrote {output}")
    tell(f"{summary.predicted} of {summary.rows} rows estimated, {summary.with_speed} of them with a speed")
    for reason, count in summary.reasons.items():
        tell(f"{count} not: {reason}")
    for gpu, count in summary.unknown_gpus.items():
        tell(f"{count} without a speed: GPU {gpu!r} is not in the table, or is not to be judged by")
    for reading, found in summary.errors.items():
        tell(
            f"{reading}: {found.count} measured, median error {100 * found.median:.1f} %, nine in ten within "
            f"{100 * found.p90:.1f} %, {100 * found.coverage:.0f} % inside the 80 % range"
        )
    return 0


def _list_models(*, as_json: bool, output: str | None) -> int:
    from optimizer.report.json_models import models_text
    from optimizer.report.text_models import format_models
    from optimizer.workload.models import load_models

    from .output import deliver

    models = load_models()
    deliver(
        text=lambda style: format_models(models, style),
        document=lambda: models_text(models),
        as_json=as_json,
        output=output,
    )
    return 0
