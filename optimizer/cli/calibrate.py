"""`tunefare calibrate`: refit the constants to measured runs, and say what changed."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer

from .inputs import COMMAND_LINE
from .options import HOW, JOB_FLAGS, RECIPE, RECIPE_FLAGS, WHAT, Flags, Json, Output, parse_number, takes_flags

GROUPS = {
    WHAT: JOB_FLAGS[WHAT],
    HOW: tuple(flag for flag in JOB_FLAGS[HOW] if flag.key not in {"loss", "attention"}),
    RECIPE: RECIPE_FLAGS,
}
WITHOUT = frozenset({"calibrate_with", "runs", "usd_per_gpu_hour"})
"""Flags of `estimate` that say nothing of a run that was measured."""

MEASURED = "Measured runs"
EPILOG = """A RUN.json (from a probe) says itself what ran where. For a trainer_state.json and for --tokens-per-s the
flags say it, as they do for `estimate`:

\b
tunefare calibrate --tokens-per-s 640 --model llama-3.1-8b --method lora \\
    --stack hf --gpu L4 --micro-batch 4 --seq-len 1024 --output measured.json

Tokens/s are real tokens (no padding) of the whole job, over all GPUs, while it trains: no evaluation, no start.
"""

Files = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN.json",
        help="measured runs: RUN.json, lists or lines of them, folders, trainer_state.json",
        show_default=False,
    ),
]
JobOption = Annotated[
    str | None,
    typer.Option(
        "--job",
        metavar="JOB.toml",
        help="job file that describes the run, instead of flags; flags win over it",
        rich_help_panel=MEASURED,
        show_default=False,
    ),
]
TokensPerS = Annotated[
    float | None,
    typer.Option(
        "--tokens-per-s",
        metavar="N",
        help="a measured speed: real tokens per second of the whole job",
        parser=parse_number,
        rich_help_panel=MEASURED,
        show_default=False,
    ),
]
PerGpu = Annotated[
    bool | None,
    typer.Option(
        "--per-gpu/--per-job",
        help="the speed is of one GPU, or of all (default: all; train_tokens_per_second of a trainer state: one)",
        rich_help_panel=MEASURED,
        show_default=False,
    ),
]
Padded = Annotated[
    bool | None,
    typer.Option(
        "--padded/--real-tokens",
        help="its tokens count padding, or not (default: real; a trainer state counts padding)",
        rich_help_panel=MEASURED,
        show_default=False,
    ),
]


@takes_flags(GROUPS, without=WITHOUT)
def calibrate(
    *,
    files: Files = None,
    tokens_per_s: TokensPerS = None,
    per_gpu: PerGpu = None,
    padded: Padded = None,
    job_file: JobOption = None,
    flags: Flags,
    as_json: Json = False,
    output: Output = None,
) -> int:
    """Refit the constants to measured runs, per stack and GPU: what changed, by how much, and what it applies to."""
    from optimizer.app.calibrating import Stated, calibrate_files
    from optimizer.app.estimating import RecipeChoice
    from optimizer.report.json_calibration import calibration_text
    from optimizer.report.text_calibration import format_calibration

    from .estimate import one_gpu
    from .inputs import read_inputs
    from .output import deliver

    flags = one_gpu(flags)
    recipe_keys = {field.name for field in fields(RecipeChoice)}
    job, said = read_inputs(job_file, {key: value for key, value in flags.items() if key not in recipe_keys})
    recipe = RecipeChoice(**{key: value for key, value in flags.items() if key in recipe_keys})  # type: ignore[arg-type]  # the kinds of RECIPE_FLAGS are those of RecipeChoice
    answer = calibrate_files(
        [Path(file) for file in files or ()],
        stated=Stated(tokens_per_s=tokens_per_s, per_gpu=per_gpu, padded=padded),
        job_file=job,
        flags=said,
        recipe=recipe,
        where=COMMAND_LINE,
    )
    deliver(
        text=lambda style: format_calibration(answer, style, file=output),
        document=lambda: calibration_text(answer),
        as_json=as_json,
        output=output,
    )
    return 0
