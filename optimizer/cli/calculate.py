"""`tunefare calculate`: the plain budget calculator."""

from __future__ import annotations

from typing import Annotated

import typer

from providers.errors import JobError

from .inputs import COMMAND_LINE
from .options import Json, Output, parse_number

INPUTS = "Inputs"
RENAMED = {"n_samples": "samples", "num_gpus": "gpus"}
"""Arguments of `estimate_cost` whose flags have another name."""


def _input(flag: str, metavar: str, help_text: str) -> object:
    return typer.Option(
        flag, metavar=metavar, help=help_text, rich_help_panel=INPUTS, show_default=False, parser=parse_number
    )


def calculate(
    *,
    tokens_per_sample: Annotated[float, _input("--tokens-per-sample", "N", "mean tokens of a sample")],
    samples: Annotated[float, _input("--samples", "N", "samples in the data")],
    epochs: Annotated[float, _input("--epochs", "N", "passes over the data (default 1)")] = 1.0,
    tps_per_gpu: Annotated[float, _input("--tps-per-gpu", "N", "tokens per second of one GPU")],
    gpus: Annotated[float, _input("--gpus", "N", "GPUs (default 1)")] = 1.0,
    utilization: Annotated[
        float, _input("--utilization", "F", "share of that speed reached, 0 to 1 (default 1)")
    ] = 1.0,
    price_per_gpu_hour: Annotated[float, _input("--price-per-gpu-hour", "USD", "dollars per GPU-hour")],
    as_json: Json = False,
    output: Output = None,
) -> int:
    """The plain budget calculator: tokens, hours, dollars. No set-up, failures, billing steps or storage."""
    from optimizer.report.json_calculate import calculate_text
    from optimizer.report.text_calculate import Calculation, format_calculation
    from optimizer.workload.calculator import estimate_cost

    from .output import deliver

    inputs = {
        "tokens_per_sample": tokens_per_sample,
        "n_samples": samples,
        "epochs": epochs,
        "tps_per_gpu": tps_per_gpu,
        "num_gpus": gpus,
        "utilization": utilization,
        "price_per_gpu_hour": price_per_gpu_hour,
    }
    try:
        answer = estimate_cost(**inputs)
    except JobError as err:
        # The function names its arguments; whoever typed a flag is told the flag.
        key = RENAMED.get(err.key, err.key)
        raise JobError(where=COMMAND_LINE, key=key, value=err.value, allowed=err.allowed) from err
    deliver(
        text=lambda style: format_calculation(Calculation(**inputs, **answer), style),
        document=lambda: calculate_text(inputs, answer),
        as_json=as_json,
        output=output,
    )
    return 0
