"""`tunefare prices refresh`: asks the price sources, and stores what passes."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import OUTPUT, Json, Output
from .output import deliver, tell
from .progress import showing

WHAT = "What is asked for (repeat for alternatives)"
HOW = "How"
WATCHING = "For whoever watches it"


def _flag(flag: str, metavar: str | None, help_text: str, panel: str) -> object:
    return typer.Option(flag, metavar=metavar, help=help_text, rich_help_panel=panel, show_default=False)


def refresh(
    *,
    provider: Annotated[
        list[str] | None, _flag("--provider", "NAME", "this source (default: all that are configured)", WHAT)
    ] = None,
    region: Annotated[list[str] | None, _flag("--region", "NAME", "this region, as its source calls it", WHAT)] = None,
    pricing_model: Annotated[
        list[str] | None, _flag("--pricing-model", "MODEL", "on_demand, spot or reserved", WHAT)
    ] = None,
    max_age: Annotated[
        str | None, _flag("--max-age", "SPAN", "leave alone what is younger, like 6h (default: ask for all)", HOW)
    ] = None,
    dry_run: Annotated[bool, _flag("--dry-run", None, "ask and judge, store nothing", HOW)] = False,
    allow_partial: Annotated[
        bool, _flag("--allow-partial", None, "exit with 0 as soon as one source succeeds", HOW)
    ] = False,
    timeout: Annotated[
        str | None, _flag("--timeout", "SPAN", "how long one source may take (default 20m)", HOW)
    ] = None,
    metrics_textfile: Annotated[
        str | None,
        _flag("--metrics-textfile", "FILE", "write metrics that Prometheus' node_exporter reads", WATCHING),
    ] = None,
    ping_url: Annotated[
        str | None,
        _flag("--ping-url", "URL", "ask URL when it ends well, URL/fail when not (TUNEFARE_PING_URL)", WATCHING),
    ] = None,
    log_file: Annotated[
        str | None, _flag("--log-file", "FILE", "append what happens as JSON lines; - for stderr", WATCHING)
    ] = None,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", help="no progress on stderr", rich_help_panel=OUTPUT, show_default=False),
    ] = False,
    now: Annotated[str | None, _flag("--now", "TIME", "as if it were this moment: for replays", OUTPUT)] = None,
    as_json: Json = False,
    output: Output = None,
) -> int:
    """Asks the price sources for current prices, and stores what passes the gate.

    Prices are kept in ~/.cache/tunefare/prices.sqlite3, or where TUNEFARE_CACHE_URL says. A source that fails harms no
    other, and an interruption leaves the store as it was.
    """
    from optimizer.app.attending import Attendance, Duties
    from optimizer.app.interruption import Interruption
    from optimizer.app.refreshing import RefreshWish, reading_clock, refresh_prices
    from optimizer.app.settings import load_settings
    from optimizer.app.writing import check_writable
    from optimizer.report.json_refresh import refresh_text
    from optimizer.report.text_refresh import format_refresh

    settings = load_settings()
    wish = RefreshWish(
        providers=tuple(provider or ()),
        regions=tuple(region or ()),
        pricing_models=tuple(pricing_model or ()),
        max_age=max_age,
        timeout=timeout,
        dry_run=dry_run,
        allow_partial=allow_partial,
    )
    duties = Duties(metrics_textfile=metrics_textfile, ping_url=ping_url, log_file=log_file, dry_run=dry_run)
    stop = Interruption()
    with stop.watching():
        clock = reading_clock(now, settings)
        attendance = Attendance(duties, settings=settings, clock=clock, interruption=stop, tell=tell)
        with attendance.around() as ending:
            if output is not None:
                check_writable(output)
            with showing(quiet=quiet or log_file == "-") as watchers:
                answer = refresh_prices(
                    wish, now=now, settings=settings, watchers=(attendance.log, *watchers), interruption=stop
                )
            attendance.log.settled(answer)
            if stop.late and not dry_run:
                tell("the interruption came when everything was fetched: it is stored whole")
            deliver(
                text=lambda style: format_refresh(answer, style),
                document=lambda: refresh_text(answer),
                as_json=as_json,
                output=output,
            )
            ending.code = answer.exit_code
    return answer.exit_code
