"""The one place that reads the clock."""

from __future__ import annotations

from datetime import UTC, datetime

from providers.errors import JobError
from providers.units import MOMENT_ALLOWED, parse_moment


def current_time(override: datetime | str | None = None, *, where: str = "command line", key: str = "now") -> datetime:
    """Return the moment that everything is judged at: aware UTC, whole seconds.

    `override` (`--now`, `TUNEFARE_NOW`) stands in for the clock, so that equal input gives equal bytes. Raises
    JobError for text that is no moment, and for a moment without a zone, which would mean another time elsewhere.
    """
    if override is None:
        moment = datetime.now(UTC)
    elif isinstance(override, datetime):
        if override.tzinfo is None:
            raise JobError(where=where, key=key, value=str(override), allowed=MOMENT_ALLOWED)
        moment = override.astimezone(UTC)
    else:
        try:
            moment = parse_moment(override)
        except ValueError as err:
            raise JobError(where=where, key=key, value=override, allowed=str(err)) from err
    return moment.replace(microsecond=0)


def moment_in_force(override: datetime | str | None, stated: str | None) -> datetime:
    """Return the moment of a use case: `override` (`--now`) wins over `stated` (`TUNEFARE_NOW`), that over the clock.

    Raises JobError as `current_time` does.
    """
    if override is None and stated is not None:
        return current_time(stated, where="environment", key="TUNEFARE_NOW")
    return current_time(override)
