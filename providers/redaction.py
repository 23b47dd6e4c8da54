"""Takes secrets out of what is logged, stored or shown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

REPLACEMENT = "[secret]"
SHORTEST = 6
"""A shorter value would blot out words by chance; no provider hands out such a key."""

_KNOWN_SHAPES = re.compile(
    r"(?i)\b(authorization|x-api-key|api[_-]?key|access[_-]?token|secret|password|bearer)\b"
    r"(\"?\s*[:=]\s*\"?|\s+)(bearer\s+|basic\s+)?[^\s\",;&}]{6,}"
)
_URL_USER = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/@]+@")
_AWS_KEY = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")


class Redactor:
    """Replaces the values of secret variables, and what looks like a credential, wherever they stand."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """`secrets` are values, not names."""
        # The longest first: one may be part of another.
        self._secrets = sorted({value for value in secrets if len(value) >= SHORTEST}, key=len, reverse=True)

    @classmethod
    def of(cls, names: Iterable[str], environment: Mapping[str, str]) -> Redactor:
        """Return a redactor of the values that the variables `names` have."""
        return cls(environment.get(name, "") for name in names)

    def __call__(self, text: str) -> str:
        """Return `text` without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, REPLACEMENT)
        text = _URL_USER.sub(rf"\g<1>{REPLACEMENT}@", text)
        text = _AWS_KEY.sub(REPLACEMENT, text)
        return _KNOWN_SHAPES.sub(lambda found: f"{found[1]}{found[2]}{REPLACEMENT}", text)
