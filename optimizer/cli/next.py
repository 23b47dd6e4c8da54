"""`tunefare next`: the next action under a plan's spot policy, for any launcher that asks."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import OUTPUT, Json, Output

EPILOG = "The first line is one word: spot, on_demand, wait or done. Exit code 0: an answer; 2: plan or flag wrong."
STATE = "How the run stands"

PlanFile = Annotated[
    str, typer.Argument(metavar="PLAN", help="a plan with a spot policy, as `plan --output` writes it")
]
Elapsed = Annotated[
    str | None,
    typer.Option(
        "--elapsed",
        metavar="SPAN",
        help="since the plan was made (default: by the clock)",
        rich_help_panel=STATE,
        show_default=False,
    ),
]
Done = Annotated[
    str, typer.Option("--done", metavar="SHARE", help="of the work, kept: 0.3 or 30%", rich_help_panel=STATE)
]
Running = Annotated[
    str, typer.Option("--mode", metavar="MODE", help="what runs: idle, spot or on_demand", rich_help_panel=STATE)
]
SpotUp = Annotated[
    bool,
    typer.Option("--spot-up/--no-spot-up", help="whether a spot machine can be had, or is held", rich_help_panel=STATE),
]
Age = Annotated[str, typer.Option("--age", metavar="SPAN", help="for how long that has been so", rich_help_panel=STATE)]
Starting = Annotated[
    str | None,
    typer.Option(
        "--starting",
        metavar="SPAN",
        help="what is left of the machine's start (default 0s)",
        rich_help_panel=STATE,
        show_default=False,
    ),
]
Starts = Annotated[
    int | None,
    typer.Option(
        "--starts",
        metavar="N",
        help="machines started so far: ends spot when waste nears its limit",
        rich_help_panel=STATE,
        show_default=False,
    ),
]
Work = Annotated[
    str | None,
    typer.Option(
        "--work",
        metavar="SPAN",
        help="machine time of the whole run as measured (default: as planned)",
        rich_help_panel=STATE,
        show_default=False,
    ),
]
Now = Annotated[
    str | None,
    typer.Option(
        "--now",
        metavar="TIME",
        help="stands in for the clock: 2026-11-22T09:00Z",
        rich_help_panel=OUTPUT,
        show_default=False,
    ),
]


def next(  # noqa: A001 - the command is called so
    *,
    plan: PlanFile,
    done: Done,
    mode: Running,
    spot_up: SpotUp,
    age: Age = "0s",
    elapsed: Elapsed = None,
    starting: Starting = None,
    starts: Starts = None,
    work: Work = None,
    now: Now = None,
    as_json: Json = False,
    output: Output = None,
) -> int:
    """What to run next under a plan's spot policy: for a launcher to ask at every look at the market."""
    from optimizer.app.next_action import next_action
    from optimizer.report.json_next import next_text
    from optimizer.report.text_next import format_next

    from .output import deliver

    answer = next_action(
        plan,
        done=done,
        mode=mode,
        spot_up=spot_up,
        age=age,
        elapsed=elapsed,
        starting=starting,
        starts=starts,
        work=work,
        now=now,
    )
    deliver(
        text=lambda style: format_next(answer, style),
        document=lambda: next_text(answer),
        as_json=as_json,
        output=output,
    )
    return 0
