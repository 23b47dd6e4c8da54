"""`tunefare frontier`: what a job costs against the time it takes and the quality it reaches."""

from __future__ import annotations

from typing import Annotated

import typer

from providers.errors import JobError

from .infeasible import INFEASIBLE
from .options import JOB_FLAGS, OUTPUT, Flags, JobFile, Json, Output, parse_count, takes_flags
from .plots import Plot, check_plot, write_plot

EPILOG = (
    "Exit code 0: a frontier with a plan on it; 7: nothing keeps every limit (the points say which they break); "
    "2: the job is wrong; 9: no prices."
)

Points = Annotated[
    int | None,
    typer.Option(
        "--points",
        metavar="N",
        help="show about N telling points (default 12); JSON holds all",
        rich_help_panel=OUTPUT,
        show_default=False,
        parser=parse_count,
    ),
]
Every = Annotated[bool, typer.Option("--all", help="show every point", rich_help_panel=OUTPUT)]


@takes_flags(JOB_FLAGS, without=frozenset({"top"}))
def frontier(
    *,
    job_file: JobFile = None,
    flags: Flags,
    points: Points = None,
    every: Every = False,
    plot: Plot = None,
    as_json: Json = False,
    output: Output = None,
) -> int:
    """The cost, time and quality Pareto set: what each further dollar buys. Points outside a limit are marked."""
    from optimizer.app.frontier import frontier_job
    from optimizer.report.json_frontier import frontier_text
    from optimizer.report.svg_frontier import svg_frontier
    from optimizer.report.text_frontier import format_frontier
    from optimizer.search.frontier import Frontier
    from optimizer.search.frontier_steps import SHOWN

    from .infeasible import deliver_infeasible
    from .inputs import read_inputs
    from .output import deliver
    from .plan import repeat_flags

    check_plot(plot)
    most = None if every else SHOWN if points is None else points
    if most is not None and most < 1:
        raise JobError(where="command line", key="points", value=points, allowed="at least 1, or --all")
    inputs, given = read_inputs(job_file, flags)
    words = repeat_flags(job_file, flags)
    answer = frontier_job(inputs, flags=given)
    if not isinstance(answer, Frontier):
        return deliver_infeasible(answer, words, as_json=as_json, output=output)
    write_plot(plot, lambda: svg_frontier(answer))
    deliver(
        text=lambda style: format_frontier(answer, style, most=most, words=words),
        document=lambda: frontier_text(answer),
        as_json=as_json,
        output=output,
    )
    return 0 if answer.feasible else INFEASIBLE
