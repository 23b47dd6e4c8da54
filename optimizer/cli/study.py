"""`tunefare study`: how the plan fares when prices and speeds turn out differently."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import PLAN_FLAGS, Flags, JobFile, Json, Output, Verbose, parse_count, takes_flags
from .plan import INFEASIBLE, repeat_flags

STUDY = "The study"

EPILOG = "Exit code 0: a study; 7: nothing fits, so there is no plan to study; 2: the job is wrong; 9: no prices."

Scenarios = Annotated[
    int | None,
    typer.Option(
        "--scenarios", metavar="N", help="scenarios to draw (default 10000)",
        rich_help_panel=STUDY, show_default=False, parser=parse_count,
    ),
]  # fmt: skip
EngineName = Annotated[
    str,
    typer.Option(
        "--engine", metavar="NAME", help="serial, threads, processes or ray; the answer is the same (default serial)",
        rich_help_panel=STUDY, show_default=False,
    ),
]  # fmt: skip
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", metavar="N", help="threads or processes (default: one a processor)",
        rich_help_panel=STUDY, show_default=False, parser=parse_count,
    ),
]  # fmt: skip


@takes_flags(PLAN_FLAGS, without=frozenset({"top", "simulate"}))
def study(
    *,
    job_file: JobFile = None,
    scenarios: Scenarios = None,
    engine: EngineName = "serial",
    workers: Workers = None,
    flags: Flags,
    as_json: Json = False,
    output: Output = None,
    verbose: Verbose = False,
) -> int:
    """How the plan fares when prices and speeds turn out differently: cost, deadline, regret, what is robust."""
    from optimizer.app.study import DEFAULT_SCENARIOS, study_job
    from optimizer.report.json_study import study_text
    from optimizer.report.text_study import format_study

    from .inputs import read_inputs
    from .output import deliver

    inputs, given = read_inputs(job_file, flags)
    answer = study_job(
        inputs,
        flags=given,
        scenarios=DEFAULT_SCENARIOS if scenarios is None else scenarios,
        engine=engine,
        workers=workers,
    )
    deliver(
        text=lambda style: format_study(answer, style, words=repeat_flags(job_file, flags), verbose=verbose),
        document=lambda: study_text(answer),
        as_json=as_json,
        output=output,
    )
    return 0 if answer.feasible else INFEASIBLE
