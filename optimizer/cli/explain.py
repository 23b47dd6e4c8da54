"""`tunefare explain`: why an instance, a place or a recipe is not the choice."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import JOB_FLAGS, OUTPUT, Flags, JobFile, Json, Output, takes_flags

EPILOG = (
    "Exit code 0: an answer, whether or not the job has a plan; 2: the job is wrong, or --why-not names nothing known; "
    "9: no prices."
)

WhyNot = Annotated[
    str,
    typer.Option(
        "--why-not",
        metavar="SPEC",
        help="a GPU, provider, region, instance type, method or pricing model, or several: 'H100 in us-east-1'",
        rich_help_panel=OUTPUT,
        show_default=False,
    ),
]


@takes_flags(JOB_FLAGS, without=frozenset({"top"}))
def explain(
    *, job_file: JobFile = None, why_not: WhyNot, flags: Flags, as_json: Json = False, output: Output = None
) -> int:
    """Why an instance, a place or a recipe is not the choice, in sentences with numbers."""
    from optimizer.app.explaining import explain_job
    from optimizer.report.json_explain import explanation_text
    from optimizer.report.text_explain import format_explanation

    from .inputs import read_inputs
    from .output import deliver

    inputs, given = read_inputs(job_file, flags)
    answer = explain_job(inputs, why_not=why_not, flags=given)
    deliver(
        text=lambda style: format_explanation(answer, style),
        document=lambda: explanation_text(answer),
        as_json=as_json,
        output=output,
    )
    return 0
