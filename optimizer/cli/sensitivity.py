"""`tunefare sensitivity`: what the cost of a plan hangs on, and what an hour of deadline is worth."""

from __future__ import annotations

from .options import JOB_FLAGS, Flags, JobFile, Json, Output, takes_flags
from .plots import Plot, check_plot, write_plot

EPILOG = "Exit code 0: the drivers of a plan; 7: nothing fits, so there is no plan; 2: the job is wrong; 9: no prices."


@takes_flags(JOB_FLAGS, without=frozenset({"top"}))
def sensitivity(
    *, job_file: JobFile = None, flags: Flags, plot: Plot = None, as_json: Json = False, output: Output = None
) -> int:
    """What the cost of the cheapest plan hangs on: one driver at a time, and the price of the deadline."""
    from optimizer.app.sensitivity import sensitivity_job
    from optimizer.report.json_sensitivity import sensitivity_text
    from optimizer.report.svg_sensitivity import svg_sensitivity
    from optimizer.report.text_sensitivity import format_sensitivity
    from optimizer.search.sensitivity_results import Sensitivity

    from .infeasible import deliver_infeasible
    from .inputs import read_inputs
    from .output import deliver
    from .plan import repeat_flags

    check_plot(plot)
    inputs, given = read_inputs(job_file, flags)
    words = repeat_flags(job_file, flags)
    answer = sensitivity_job(inputs, flags=given)
    if not isinstance(answer, Sensitivity):
        return deliver_infeasible(answer, words, as_json=as_json, output=output)
    write_plot(plot, lambda: svg_sensitivity(answer))
    deliver(
        text=lambda style: format_sensitivity(answer, style, words=words),
        document=lambda: sensitivity_text(answer),
        as_json=as_json,
        output=output,
    )
    return 0
