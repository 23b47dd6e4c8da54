"""`tunefare settle`: what a launch really cost."""

from __future__ import annotations

from typing import Annotated

import typer

from .ledger_options import Note, Now, RequestId
from .options import Json, Output
from .output import deliver

COST = "What it cost"


def _cost(flag: str, metavar: str, text: str) -> object:
    return typer.Option(flag, metavar=metavar, help=text, rich_help_panel=COST, show_default=False)


def settle(
    request: RequestId,
    *,
    usd: Annotated[str | None, _cost("--usd", "USD", "dollars; 0 where provably nothing was created")] = None,
    months: Annotated[
        list[str] | None, _cost("--in", "MONTH=USD", "what fell into a month, 2026-11=100; repeat")
    ] = None,
    focus: Annotated[str | None, _cost("--focus", "BILL.csv", "sum the run's rows of a bill in FOCUS columns")] = None,
    tag: Annotated[
        str | None, _cost("--tag", "KEY=VALUE", "rows with this tag (default: tunefare_request=REQUEST)")
    ] = None,
    resource: Annotated[str | None, _cost("--resource", "ID", "rows of this resource, instead of a tag")] = None,
    note: Note = "",
    now: Now = None,
    as_json: Json = False,
    output: Output = None,
) -> int:
    """Posts what a launch really cost, in full, and gives back the rest of what was reserved.

    Also beyond the cap and the limit: money that is spent is spent. A launch is settled once.
    """
    from optimizer.app.ledger_settling import settle_request
    from optimizer.report.json_ledger import ended_text
    from optimizer.report.text_ledger import format_ended

    answer = settle_request(
        request, usd=usd, parts=tuple(months or ()), bill=focus, tag=tag, resource=resource, note=note, now=now
    )
    deliver(
        text=lambda style: format_ended(answer, style),
        document=lambda: ended_text(answer),
        as_json=as_json,
        output=output,
    )
    return 0
