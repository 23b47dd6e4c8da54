"""`tunefare prices history`: how prices changed since the first refresh."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from providers.errors import JobError

from .grouped_help import GroupedCommand
from .options import OUTPUT, Json, Output, parse_count
from .output import deliver, tell
from .price_filters import Gpus, PricingModels, Providers, Regions, price_filter

TERMINAL = "terminal"


class PlotCommand(GroupedCommand):
    """A command whose `--plot` takes a file or nothing: alone it stands for a chart in the terminal."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Return what is left of `args` once the options are read."""
        return super().parse_args(ctx, complete_plot(args))


def complete_plot(args: list[str]) -> list[str]:
    """Return the arguments with a value for each `--plot` that has none: a word that follows is one if it is an SVG."""
    done: list[str] = []
    for at, word in enumerate(args):
        if word == "--":
            return done + args[at:]
        follows = args[at + 1] if at + 1 < len(args) else ""
        alone = word == "--plot" and not follows.lower().endswith(".svg")
        done.append(f"--plot={TERMINAL}" if alone else word)
    return done


def _output(flag: str, metavar: str, help_text: str, **more: Any) -> object:
    return typer.Option(flag, metavar=metavar, help=help_text, rich_help_panel=OUTPUT, show_default=False, **more)


def history(
    *,
    key: Annotated[
        str | None,
        typer.Argument(metavar="KEY", help="an offer, or the beginning of its key (prices list --keys)"),
    ] = None,
    provider: Providers = None,
    region: Regions = None,
    zone: Annotated[list[str] | None, price_filter("--zone", "NAME", "this zone")] = None,
    instance_type: Annotated[list[str] | None, price_filter("--instance-type", "NAME", "this instance type")] = None,
    variant: Annotated[list[str] | None, price_filter("--variant", "NAME", "this variant, such as secure")] = None,
    pricing_model: PricingModels = None,
    gpu: Gpus = None,
    since: Annotated[
        str | None, _output("--since", "SPAN|TIME", "what changed within this time, like 90d (default: all of it)")
    ] = None,
    limit: Annotated[
        int | None, _output("--limit", "N", "at most N offers, 0 for all (default 20)", parser=parse_count)
    ] = None,
    plot: Annotated[str | None, _output("--plot", "[FILE.svg]", "draw step charts, here or in FILE.svg")] = None,
    now: Annotated[str | None, _output("--now", "TIME", "as it was known at this moment")] = None,
    as_json: Json = False,
    output: Output = None,
) -> int:
    """Every change of price that a refresh has seen, by offer, those that changed last first."""
    from optimizer.app.price_history import SHOWN, HistoryFilter, read_price_history
    from optimizer.report.json_history import history_text
    from optimizer.report.text_history import format_history

    if plot is not None and plot != TERMINAL and not plot.lower().endswith(".svg"):
        raise JobError(where="command line", key="plot", value=plot, allowed="the name of an SVG file, or nothing")
    answer = read_price_history(
        HistoryFilter(
            key=key,
            providers=tuple(provider or ()),
            regions=tuple(region or ()),
            zones=tuple(zone or ()),
            instance_types=tuple(instance_type or ()),
            variants=tuple(variant or ()),
            pricing_models=tuple(pricing_model or ()),
            gpus=tuple(gpu or ()),
        ),
        since=since,
        limit=SHOWN if limit is None else limit,
        now=now,
    )
    if plot is not None and plot != TERMINAL:
        from optimizer.app.writing import write_file
        from optimizer.report.svg_steps import svg_history

        write_file(Path(plot), svg_history(answer), key="plot")
        tell(f"wrote {plot}")
    deliver(
        text=lambda style: format_history(answer, style, plot=plot == TERMINAL),
        document=lambda: history_text(answer),
        as_json=as_json,
        output=output,
    )
    return 0
