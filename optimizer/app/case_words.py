"""What a text says of a thing: that it is on, that it is off, or nothing at all."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_OFF_BEFORE = re.compile(
    r"(?:\b(?:no|not|non|without|w/o|disabl\w+|minus)[\s:=-]+(?:(?:using|use|used|any|with|the|hf|a)[\s-]+)*\w*"
    r"|\b(?:un|non))$"
)
"""What stands before a word that is denied: "no ", "without ", "not using use_", "un"."""

_OFF_AFTER = re.compile(
    r"[\w.+-]*(?:\s+kernels?)?\s*"
    r"(?:[=:]\s*(?:$|[;,|]|(?:false|no|off|0(?![.\d])|none|disabled|unused|not used)\b)"
    r"|\(\s*(?:false|no|off|disabled|unused|not used)\s*[),]"
    r"|(?:is\s+|was\s+)?(?:off|disabled|false)\b)"
)
"""What stands behind: "=false", ": off", " disabled", and a flag without a value ("liger=;")."""

_UNSTATED = frozenset(
    (
        "-", "?", "n/a", "na", "n.a.", "nan", "null", "unknown", "unstated", "unspecified", "default", "defaults",
        "auto", "varies", "various", "variable", "dynamic", "tbd", "unclear", "unk", "not stated", "not reported",
        "not given", "not specified", "not mentioned", "hf default", "stack default",
    )
)  # fmt: skip


def says(text: str, what: re.Pattern[str]) -> bool | None:
    """Return whether a lower-case text says that `what` is there: None where it does not speak of it.

    One mention that is not denied is enough: "baseline without liger; this row: liger" has it.
    """
    found: bool | None = None
    for match in what.finditer(text):
        if not _OFF_BEFORE.search(text[: match.start()]) and not _OFF_AFTER.match(text, match.end()):
            return True
        found = False
    return found


def unstated(stated: str) -> bool:
    """Return whether a lower-case cell says nothing: it is empty, "?", "n/a", "default", "not stated" and the like."""
    return not stated or stated in _UNSTATED


def stated(row: Mapping[str, str], key: str) -> str:
    """Return the cell in lower case without surrounding blanks; "" where it says nothing."""
    cell = (row.get(key) or "").strip().lower()
    return "" if unstated(cell) else cell
