"""`tunefare simulate`: spot policies replayed over availability traces."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import Json, Output

EPILOG = "Exit code 0: an answer; 2: the plan, a trace or a flag is wrong, which the message names."
TRACES = "What is replayed"
RUN = "The run, instead of or over the plan's"

PlanFile = Annotated[
    str | None,
    typer.Argument(metavar="PLAN", help="a plan with a spot policy, as `plan --output` writes it", show_default=False),
]


def _option(flag: str, metavar: str, help_text: str, panel: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        flag, metavar=metavar, help=help_text, rich_help_panel=panel, show_default=False
    )
    return option


def simulate(
    *,
    plan: PlanFile = None,
    trace: Annotated[
        list[str] | None,
        _option("--trace", "FILE", "an availability trace, JSON or CSV (docs/spot.md); repeat", TRACES),
    ] = None,
    ones: Annotated[
        str | None, _option("--ones", "MEANING", "what 1 means in a file of one series: available or lost", TRACES)
    ] = None,
    every: Annotated[
        str | None, _option("--every", "SPAN", "between the starts of two episodes (default 2h)", TRACES)
    ] = None,
    windows: Annotated[
        bool,
        typer.Option(
            "--windows", help="each window of a file is one episode (default: joined, then cut)", rich_help_panel=TRACES
        ),
    ] = False,
    draw: Annotated[
        int | None, _option("--simulate", "N", "draw N episodes from the policy's hazards too", TRACES)
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="of the drawing", rich_help_panel=TRACES)] = 0,
    work: Annotated[str | None, _option("--work", "SPAN", "machine time that the run needs", RUN)] = None,
    deadline: Annotated[str | None, _option("--deadline", "SPAN", "from its start to its deadline", RUN)] = None,
    restart: Annotated[str | None, _option("--restart", "SPAN", "from a start until work goes on", RUN)] = None,
    loss: Annotated[
        str | None, _option("--loss", "SPAN", "work that an interruption destroys (default 0s)", RUN)
    ] = None,
    on_demand_usd: Annotated[
        str | None, _option("--on-demand-usd", "USD", "on-demand price of an instance-hour", RUN)
    ] = None,
    spot_usd: Annotated[
        str | None, _option("--spot-usd", "USD", "spot price of an instance-hour (default: the trace's own)", RUN)
    ] = None,
    hazards_from: Annotated[
        list[str] | None,
        _option("--hazards-from", "FILE", "count hazards in this trace, not the one replayed; repeat", RUN),
    ] = None,
    as_json: Json = False,
    output: Output = None,
) -> int:
    """Replay the plan's policy, greedy, Uniform Progress and on-demand over traces, beside the omniscient bound.

    Without PLAN the run is given by --work, --deadline, --restart and --on-demand-usd.
    """
    from optimizer.app.simulating import simulate_policies
    from optimizer.app.simulation_input import SimulationInput
    from optimizer.report.json_simulate import simulation_text
    from optimizer.report.text_simulate import format_simulation

    from .output import deliver

    answer = simulate_policies(
        SimulationInput(
            plan=plan,
            traces=tuple(trace or ()),
            ones=ones,
            work=work,
            deadline=deadline,
            restart=restart,
            loss=loss,
            on_demand_usd=on_demand_usd,
            spot_usd=spot_usd,
            every=every,
            windows=windows,
            hazards_from=tuple(hazards_from or ()),
            draw=draw,
            seed=seed,
        )
    )
    deliver(
        text=lambda style: format_simulation(answer, style),
        document=lambda: simulation_text(answer),
        as_json=as_json,
        output=output,
    )
    return 0
