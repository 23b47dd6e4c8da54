"""`tunefare plan`: the cheapest way to train a model in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.errors import JobError

from .options import PLAN_FLAGS, Flags, JobFile, Json, Output, Verbose, takes_flags
from .plots import Plot, check_plot, write_plot

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from optimizer.workload.job_input import JobInput

INFEASIBLE = 7

EPILOG = (
    "Exit code 0: a plan; 7: nothing fits (the answer says which limit to relax); 2: the job is wrong; 9: no prices."
)


@takes_flags(PLAN_FLAGS)
def plan(
    *,
    job_file: JobFile = None,
    flags: Flags,
    plot: Plot = None,
    as_json: Json = False,
    output: Output = None,
    verbose: Verbose = False,
) -> int:
    """The cheapest way to train a model in time and within memory: instance, recipe, cost, runners-up."""
    from optimizer.app.planning import plan_job
    from optimizer.report.json_plan import is_feasible, plan_text
    from optimizer.report.text_plan import format_plan

    from .inputs import read_inputs
    from .output import deliver

    check_plot(plot)
    inputs, given = read_inputs(job_file, flags)
    answer = plan_job(inputs, flags=given)
    write_plot(plot, lambda: _drawn(inputs, given, answer.made_at))
    deliver(
        text=lambda style: format_plan(answer, style, words=repeat_flags(job_file, flags), verbose=verbose),
        document=lambda: plan_text(answer),
        as_json=as_json,
        output=output,
    )
    return 0 if is_feasible(answer) else INFEASIBLE


def _drawn(inputs: Path | None, given: JobInput, now: datetime) -> str:
    """Return the chart of a plan: its choice on the frontier of cost and time. JobError: there is no point."""
    from optimizer.app.frontier import frontier_job
    from optimizer.report.svg_frontier import svg_frontier
    from optimizer.search.frontier import Frontier

    found = frontier_job(inputs, flags=given, now=now)
    if not isinstance(found, Frontier):
        raise JobError(where="command line", key="plot", value="--plot", allowed="a job that some machine can do")
    return svg_frontier(found)


def repeat_flags(job_file: str | None, flags: Flags) -> list[str]:
    """Return job file and flags as the words that would be typed again."""
    words = [job_file] if job_file else []
    for key, value in flags.items():
        name = "--" + key.replace("_", "-")
        if isinstance(value, bool):
            words.append(name if value else name.replace("--", "--no-", 1))
        else:
            for one in value if isinstance(value, list) else [value]:
                words += [name, f"{one:g}" if isinstance(one, float) else str(one)]
    return words
