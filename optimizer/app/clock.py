"""The one place that reads the clock."""

from __future__ import annotations

from datetime import UTC, datetime

from providers.errors import JobError

_ALLOWED = "an ISO 8601 moment with its offset, like 2026-11-22T09:00Z"


def current_time(override: datetime | str | None = None, *, where: str = "command line") -> datetime:
    """Return the moment that everything is judged at: aware UTC, whole seconds.

    `override` (`--now`, `TUNEFARE_NOW`) stands in for the clock, so that equal input gives equal bytes. Raises
    JobError for text that is no ISO moment and for a moment without an offset, which would mean another time on
    another machine.
    """
    moment = datetime.now(UTC) if override is None else _parse(override, where)
    return moment.astimezone(UTC).replace(microsecond=0)


def _parse(value: datetime | str, where: str) -> datetime:
    if isinstance(value, datetime):
        moment = value
    else:
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError as err:
            raise JobError(where=where, key="now", value=value, allowed=_ALLOWED) from err
    if moment.tzinfo is None:
        raise JobError(where=where, key="now", value=str(value), allowed=_ALLOWED)
    return moment
