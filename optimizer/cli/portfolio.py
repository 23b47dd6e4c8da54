"""`tunefare portfolio`: many jobs under shared quotas and budgets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from providers.errors import JobError

from .options import OUTPUT, PRICES, Json, Verbose

if TYPE_CHECKING:
    from optimizer.search.portfolio.results import Portfolio

INFEASIBLE = 7
FORMATS = ("table", "json", "csv")
EPILOG = (
    "Exit code 0: every job is placed; 7: some are not (the answer says why); 2: the file is wrong; 9: no prices. "
    "docs/portfolio.md describes the file; docs/examples/portfolio.toml is one."
)

JobsFile = Annotated[str, typer.Argument(metavar="JOBS.toml", help="the jobs, quotas, budgets and start slots")]
TimeLimit = Annotated[
    str | None,
    typer.Option(
        "--time-limit",
        metavar="SPAN",
        help="most time for the solver, like 20s or 0 (default 20s); then the best so far, with its gap",
        rich_help_panel=OUTPUT,
        show_default=False,
    ),
]
Format = Annotated[
    str | None,
    typer.Option("--format", metavar="KIND", help="table, json or csv (default table)", rich_help_panel=OUTPUT),
]
OutputFile = Annotated[
    str | None,
    typer.Option(
        "--output",
        metavar="FILE",
        help="write the JSON (with --format csv the CSV) to FILE, whole or not at all",
        rich_help_panel=OUTPUT,
        show_default=False,
    ),
]
Now = Annotated[
    str | None,
    typer.Option(
        "--now",
        metavar="TIME",
        help="judge as if it were this moment: 2026-11-22T09:00Z",
        rich_help_panel=OUTPUT,
        show_default=False,
    ),
]
Offers = Annotated[
    str | None,
    typer.Option(
        "--offers",
        metavar="FILE.csv",
        help="own, negotiated or owned machines, beside the price list, for every job",
        rich_help_panel=PRICES,
        show_default=False,
    ),
]
OnlyOffers = Annotated[
    bool, typer.Option("--only-offers", help="use --offers alone", rich_help_panel=PRICES, show_default=False)
]


def portfolio(
    *,
    jobs_file: JobsFile,
    offers: Offers = None,
    only_offers: OnlyOffers = False,
    time_limit: TimeLimit = None,
    now: Now = None,
    as_json: Json = False,
    kind: Format = None,
    output: OutputFile = None,
    verbose: Verbose = False,
) -> int:
    """Many jobs at the least cost: shared quotas, budgets of teams, priorities, start slots."""
    from optimizer.app.portfolio import TIME_LIMIT_S, plan_jobs
    from optimizer.workload.job_input import JobInput

    chosen = _format(kind, as_json=as_json)
    flags = JobInput.from_mapping({"offers": offers, "only_offers": only_offers or None}, where="command line")
    limit_s = TIME_LIMIT_S if time_limit is None else parse_time_limit(time_limit)
    answer = plan_jobs(jobs_file, flags=flags, now=now, time_limit_s=limit_s)
    _deliver(answer, chosen, output, verbose=verbose)
    return INFEASIBLE if answer.unplaced else 0


def parse_time_limit(text: str) -> float:
    """Return a span in seconds; 0 is one too. Raises JobError for anything else."""
    from providers.units import DURATION_ALLOWED, parse_duration

    if text.strip().lower() in {"0", "0s", "0m", "0h"}:
        return 0.0
    try:
        return parse_duration(text)
    except ValueError as err:
        allowed = f"0, or {DURATION_ALLOWED}"
        raise JobError(where="command line", key="time-limit", value=text, allowed=allowed) from err


def _format(kind: str | None, *, as_json: bool) -> str:
    wanted = (kind or "table").lower()
    if wanted not in FORMATS:
        raise JobError(where="command line", key="format", value=kind, allowed=", ".join(FORMATS))
    if as_json and kind is not None and wanted != "json":
        raise JobError(where="command line", key="format", value=kind, allowed="json, where --json is given too")
    return "json" if as_json else wanted


def _deliver(answer: Portfolio, kind: str, output: str | None, *, verbose: bool) -> None:
    """Write the answer: with `output` the JSON or CSV goes to that file, and stdout keeps the table unless `--json`."""
    from optimizer.report.csv_portfolio import portfolio_csv
    from optimizer.report.json_portfolio import portfolio_text
    from optimizer.report.text_portfolio import format_portfolio

    from .output import choose_style, tell, write

    document = portfolio_csv if kind == "csv" else portfolio_text
    if output is not None:
        from optimizer.app.writing import write_file

        write_file(Path(output), document(answer))
        tell(f"wrote {output}")
    if kind == "table":
        write(format_portfolio(answer, choose_style(piped_width=120), verbose=verbose))
    elif output is None:
        write(document(answer))
