"""`tunefare void`: gives back a reservation that nobody needs any more."""

from __future__ import annotations

from .ledger_options import Note, Now, RequestId
from .options import Json, Output
from .output import deliver


def void(request: RequestId, *, note: Note = "", now: Now = None, as_json: Json = False, output: Output = None) -> int:
    """Ends a request that was not launched, and gives back what it reserved.

    A launch is not voided but settled, with 0 dollars if provably nothing was created.
    """
    from optimizer.app.ledger_settling import void_request
    from optimizer.report.json_ledger import ended_text
    from optimizer.report.text_ledger import format_ended

    answer = void_request(request, note=note, now=now)
    deliver(
        text=lambda style: format_ended(answer, style),
        document=lambda: ended_text(answer),
        as_json=as_json,
        output=output,
    )
    return 0
