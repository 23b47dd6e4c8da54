"""Spans on the command line that may be zero."""

from __future__ import annotations

import re

from providers.errors import JobError
from providers.units import parse_duration

COMMAND_LINE = "command line"
_ZERO = re.compile(r"0+(\.0+)?(s|m|h|d)?", re.ASCII)


def span_s(text: str, *, key: str) -> float:
    """Return a span of zero or more ("5h", "0s"), in seconds. Raises JobError naming the flag `key`."""
    if _ZERO.fullmatch(text):
        return 0.0
    try:
        return parse_duration(text)
    except ValueError as err:
        raise JobError(where=COMMAND_LINE, key=key, value=text, allowed=f"0s, or {err}") from err
