"""Takes secrets out of what is logged, stored or shown."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

REPLACEMENT = "[secret]"
SHORTEST = 6
"""A shorter value would blot out words by chance; no provider hands out such a key."""

_NAMED = re.compile(
    r"(?i)([\w-]*(?:authorization|api[_-]?key|access[_-]?key|private[_-]?key|client[_-]?secret|secret|passw(?:or)?d"
    r"|(?:access|auth|session|security|refresh|id)[_-]?token|signature|credential)[\w-]*"
    # As JSON, a Python dictionary, a header, a query or a setting would write it.
    r"(?:\\?[\"'])?\s*[:=]\s*(?:\\?[\"'])?)(?:(?:bearer|basic|token)\s+)?(?!\[secret\])[^\s\"',;&}\\]{4,}"
)
_SCHEME = re.compile(r"(?i)\b(bearer|basic)\s+(?!\[secret\])[A-Za-z0-9+/=._~-]{12,}")
_QUERY = re.compile(r"(?i)([?&](?:key|sig|token)=)(?!\[secret\])[^\s&\"'#]+")
_URL_USER = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)(?!\[secret\]@)[^\s/\"']+@")
_SHAPES = re.compile(
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|\bAIza[\w-]{35}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
"""Access keys of AWS and of Google, JSON web tokens, private keys."""


class Redactor:
    """Replaces the values of secret variables, and what looks like a credential, wherever they stand."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """`secrets` are values, not names."""
        forms = {form for value in secrets for form in _forms(value)}
        # The longest first: one may be part of another.
        self._secrets = sorted(forms, key=lambda form: (-len(form), form))

    @classmethod
    def of(cls, names: Iterable[str], environment: Mapping[str, str]) -> Redactor:
        """Return a redactor of the values that the variables `names` have."""
        return cls(environment.get(name, "") for name in names)

    def __call__(self, text: str) -> str:
        """Return `text` without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, REPLACEMENT)
        text = _SHAPES.sub(REPLACEMENT, text)
        text = _URL_USER.sub(rf"\g<1>{REPLACEMENT}@", text)
        text = _QUERY.sub(rf"\g<1>{REPLACEMENT}", text)
        text = _SCHEME.sub(rf"\g<1> {REPLACEMENT}", text)
        return _NAMED.sub(rf"\g<1>{REPLACEMENT}", text)


def _forms(secret: str) -> Iterator[str]:
    """Yield the ways in which a secret is written: as it is, in a query, in JSON, as `repr` shows it."""
    value = secret.strip()
    if len(value) >= SHORTEST:
        yield from (value, quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1], repr(value)[1:-1])
