"""The use cases `ledger list` and `ledger export`: the requests, for people and for other programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from optimizer.approval.records import RequestState
from optimizer.report.csv_ledger import ledger_csv
from optimizer.report.focus_ledger import focus_ledger_csv
from optimizer.report.json_ledger import records_text
from optimizer.report.ledger_answers import LedgerAnswer, LedgerExport
from providers.errors import JobError

from .budgeting import COMMAND_LINE
from .clock import moment_in_force
from .ledger_place import opened_ledger
from .settings import load_settings
from .writing import write_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from optimizer.approval.ledger import Ledger

    from .settings import Settings

FORMATS = ("csv", "json", "focus")
STDOUT = "-"


def list_requests(
    *,
    states: Sequence[str] = (),
    budgets: Sequence[str] = (),
    requesters: Sequence[str] = (),
    limit: int = 0,
    now: datetime | str | None = None,
    settings: Settings | None = None,
    ledger: Ledger | None = None,
) -> LedgerAnswer:
    """Return the requests that pass the filter, the newest first, at most `limit` (0: all).

    What has expired by now and waits for a writing transaction is shown as it stands. Raises JobError for a state or a
    budget that there is not.
    """
    stated = load_settings() if settings is None else settings
    moment = moment_in_force(now, stated.now)
    wanted = {_state(one) for one in states}
    with opened_ledger(stated, given=ledger) as here:
        known = {one.id for one in here.budgets()}
        for name in budgets:
            if name not in known:
                allowed = f"a budget of the ledger: {', '.join(sorted(known)) or 'there is none yet'}"
                raise JobError(where=COMMAND_LINE, key="budget", value=name, allowed=allowed)
        only = next(iter(wanted)) if len(wanted) == 1 else None
        found = [
            one
            for one in reversed(here.requests(only))
            if (not wanted or one.state in wanted)
            and (not budgets or set(budgets) & set(one.budgets))
            and (not requesters or one.requester.name in requesters)
        ]
        return LedgerAnswer(
            made_at=moment,
            ledger_id=here.ledger_id,
            requests=tuple(found[:limit] if limit else found),
            total=len(found),
        )


def export_ledger(
    file: str,
    *,
    format: str | None = None,  # noqa: A002 - the name of the flag
    now: datetime | str | None = None,
    settings: Settings | None = None,
    ledger: Ledger | None = None,
) -> LedgerExport:
    """Write all requests to `file` ("-" for stdout), whole or not at all, and return what was written.

    csv and json hold every request, focus what was settled, as charges. Raises JobError for a file that cannot be
    written, and for a name that says no format.
    """
    stated = load_settings() if settings is None else settings
    moment = moment_in_force(now, stated.now)
    kind = _format(file, format)
    with opened_ledger(stated, given=ledger) as here:
        records = here.records()
        if kind == "focus":
            records = tuple(one for one in records if one.request.settled_usd_micro is not None)
            text = focus_ledger_csv(records, ledger_id=here.ledger_id)
        elif kind == "csv":
            text = ledger_csv(records)
        else:
            text = records_text(records, ledger_id=here.ledger_id, made_at=moment)
    if file == STDOUT:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        write_file(Path(file), text, key="FILE", mode=0o600)
    return LedgerExport(file="stdout" if file == STDOUT else file, format=kind, rows=len(records))


def _state(text: str) -> RequestState:
    try:
        return RequestState(text)
    except ValueError as err:
        raise JobError(
            where=COMMAND_LINE, key="state", value=text, allowed=f"one of {', '.join(RequestState)}"
        ) from err


def _format(file: str, stated: str | None) -> str:
    by_name = {".csv": "csv", ".json": "json"}.get(Path(file).suffix.lower())
    found = stated or by_name or ("csv" if file == STDOUT else None)
    if found not in FORMATS:
        value = stated or file
        raise JobError(where=COMMAND_LINE, key="format", value=value, allowed=f"one of {', '.join(FORMATS)}")
    return found
