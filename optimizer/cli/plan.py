"""`tunefare plan`: the cheapest way to train a model in time."""

from __future__ import annotations

from .options import PLAN_FLAGS, Flags, JobFile, Json, Output, Verbose, takes_flags

INFEASIBLE = 7

EPILOG = (
    "Exit code 0: a plan; 7: nothing fits (the answer says which limit to relax); 2: the job is wrong; 9: no prices."
)


@takes_flags(PLAN_FLAGS)
def plan(
    *, job_file: JobFile = None, flags: Flags, as_json: Json = False, output: Output = None, verbose: Verbose = False
) -> int:
    """The cheapest way to train a model in time and within memory: instance, recipe, cost, runners-up."""
    from optimizer.app.planning import plan_job
    from optimizer.report.json_plan import is_feasible, plan_text
    from optimizer.report.text_plan import format_plan

    from .inputs import read_inputs
    from .output import deliver

    inputs, given = read_inputs(job_file, flags)
    answer = plan_job(inputs, flags=given)
    deliver(
        text=lambda style: format_plan(answer, style, words=repeat_flags(job_file, flags), verbose=verbose),
        document=lambda: plan_text(answer),
        as_json=as_json,
        output=output,
    )
    return 0 if is_feasible(answer) else INFEASIBLE


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
