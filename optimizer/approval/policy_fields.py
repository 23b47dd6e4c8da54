"""The kinds of values in a policy file, each read from TOML with one sentence that says what is allowed."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, TypeAlias

from pydantic import BeforeValidator, WithJsonSchema

from providers.payload import clean_name
from providers.units import parse_duration

from .action import LARGEST_MICRO
from .policy_terms import SCHEMA

MICRO = 1_000_000
PPM = 1_000_000
MOST_APPROVALS = 16
MOST_GPUS = 1_000_000
MODELS = ("on_demand", "spot", "reserved")
BASES = ("measured", "published", "derived", "assumed")
LEVELS = ("advise", "approve", "deny")
ASSURANCES = ("os-user", "ci-oidc", "ssh-signature")
LONGEST_RULE = 2000

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
PATTERN = r"[A-Za-z0-9*][A-Za-z0-9 ._:@/+*()-]{0,127}"
PATH = r"[A-Za-z0-9_][A-Za-z0-9._ -]{0,127}(/[A-Za-z0-9_][A-Za-z0-9._ -]{0,127}){0,15}"
_MONEY = re.compile(r"\d{1,10}(\.\d{1,6})?", re.ASCII)

MONEY_ALLOWED = 'dollars such as "500.00": from 0 to 1000000000, at most six decimals'
SPAN_ALLOWED = 'a span such as "24h", "15m" or "7d", in whole seconds, at most 20 years'
SHARE_ALLOWED = "a share above 0 and at most 1, such as 0.8, at most six decimals"


def money_micro(value: object) -> int:
    """Return dollars, as text or as a number of TOML, in exact micro-dollars. Raises ValueError saying what is allowed.

    No sign, no exponent, no grouping: an amount that could be read in two ways is not read at all.
    """
    amount = _decimal(value)
    if amount is None or not amount.is_finite() or amount.is_signed() or not _MONEY.fullmatch(_plain(amount)):
        raise ValueError(MONEY_ALLOWED)
    micro = int(amount * MICRO)
    if micro > LARGEST_MICRO:
        raise ValueError(MONEY_ALLOWED)
    return micro


def _decimal(value: object) -> Decimal | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return Decimal(value) if _MONEY.fullmatch(value) else None
    return Decimal(value) if isinstance(value, int | Decimal) else None


def _plain(amount: Decimal) -> str:
    """Return the digits of an amount; nothing for one whose digits would fill a page: 1e999999."""
    return f"{amount:f}" if abs(amount.adjusted()) < 20 and len(amount.as_tuple().digits) < 40 else ""


def _share_ppm(value: object) -> int:
    amount = _decimal(value)
    if amount is None or not amount.is_finite() or not 0 < amount <= 1 or not _MONEY.fullmatch(_plain(amount)):
        raise ValueError(SHARE_ALLOWED)
    return int(amount * PPM)


def span_s(value: object) -> int:
    """Return a span such as "24h" in whole seconds. Raises ValueError saying what is allowed."""
    try:
        seconds = parse_duration(value) if isinstance(value, str) and len(value) < 100 else 0.0
    except ValueError as err:
        raise ValueError(SPAN_ALLOWED) from err
    if seconds < 1 or seconds != int(seconds):
        raise ValueError(SPAN_ALLOWED)
    return int(seconds)


def _text(value: object, most: int) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > most or not value.isprintable():
        raise ValueError(f"a text of 1 to {most} printable characters")
    return value


def _member(value: object) -> str:
    if not isinstance(value, str) or not value or clean_name(value) != value:
        raise ValueError("a name such as lead@example.com: printable, at most 200 characters, no blanks around it")
    return value


def _matching(pattern: str, allowed: str) -> BeforeValidator:
    compiled = re.compile(pattern, re.ASCII)

    def read(value: object) -> str:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise ValueError(allowed)
        return value

    return BeforeValidator(read)


def _whole(low: int, high: int) -> BeforeValidator:
    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return value

    return BeforeValidator(read)


def word(*words: str) -> BeforeValidator:
    """Return the reader of a word out of these."""
    allowed = f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]

    def read(value: object) -> str:
        if not isinstance(value, str) or value not in words:
            raise ValueError(allowed)
        return value

    return BeforeValidator(read)


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")  # noqa: TRY004  # pydantic reports ValueError only
    return value


def _rule_text(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > LONGEST_RULE:
        raise ValueError(f"a condition in CEL of at most {LONGEST_RULE} characters")
    return value


_DOLLARS = {"anyOf": [{"type": "string", "pattern": r"^\d{1,10}(\.\d{1,6})?$"}, {"type": "number", "minimum": 0}]}

Money: TypeAlias = Annotated[int, BeforeValidator(money_micro), WithJsonSchema(_DOLLARS)]
"""Micro-dollars."""
Share: TypeAlias = Annotated[
    int, BeforeValidator(_share_ppm), WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": 1})
]
"""Parts per million."""
Span: TypeAlias = Annotated[int, BeforeValidator(span_s), WithJsonSchema({"type": "string"})]
"""Whole seconds."""
Truth: TypeAlias = Annotated[bool, BeforeValidator(_truth)]
Name: TypeAlias = Annotated[
    str,
    _matching(NAME, "a name of letters, digits, '.', '_' and '-', at most 64, that begins with a letter or digit"),
    WithJsonSchema({"type": "string", "pattern": f"^{NAME}$"}),
]
Pattern: TypeAlias = Annotated[
    str,
    _matching(PATTERN, "a name, or a pattern with '*' such as eu-*, at most 128 characters"),
    WithJsonSchema({"type": "string", "pattern": f"^{PATTERN}$"}),
]
FilePath: TypeAlias = Annotated[
    str,
    _matching(PATH, "the path of a file beside the policy or in a folder under it, without '..'"),
    WithJsonSchema({"type": "string", "pattern": f"^{PATH}$"}),
]
Address: TypeAlias = Annotated[
    str,
    _matching(r"https://[A-Za-z0-9.-]+(:\d{1,5})?(/[A-Za-z0-9._~/-]*)?", "an https:// address"),
    WithJsonSchema({"type": "string", "format": "uri"}),
]
Member: TypeAlias = Annotated[str, BeforeValidator(_member), WithJsonSchema({"type": "string", "maxLength": 200})]
Message: TypeAlias = Annotated[
    str, BeforeValidator(lambda value: _text(value, 400)), WithJsonSchema({"type": "string", "maxLength": 400})
]
RuleText: TypeAlias = Annotated[
    str, BeforeValidator(_rule_text), WithJsonSchema({"type": "string", "maxLength": LONGEST_RULE})
]

Bps: TypeAlias = Annotated[
    int, _whole(0, 100_000), WithJsonSchema({"type": "integer", "minimum": 0, "maximum": 100_000})
]
"""Hundredths of a per cent."""
DropBps: TypeAlias = Annotated[
    int, _whole(1, 10_000), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 10_000})
]
Approvals: TypeAlias = Annotated[
    int, _whole(0, MOST_APPROVALS), WithJsonSchema({"type": "integer", "minimum": 0, "maximum": MOST_APPROVALS})
]
Gpus: TypeAlias = Annotated[
    int, _whole(0, MOST_GPUS), WithJsonSchema({"type": "integer", "minimum": 0, "maximum": MOST_GPUS})
]
SchemaWord: TypeAlias = Annotated[str, word(SCHEMA), WithJsonSchema({"const": SCHEMA})]
CurrencyWord: TypeAlias = Annotated[str, word("USD"), WithJsonSchema({"const": "USD"})]
PeriodWord: TypeAlias = Annotated[str, word("month", "total"), WithJsonSchema({"enum": ["month", "total"]})]
LevelWord: TypeAlias = Annotated[str, word(*LEVELS), WithJsonSchema({"enum": list(LEVELS)})]
AssuranceWord: TypeAlias = Annotated[str, word(*ASSURANCES), WithJsonSchema({"enum": list(ASSURANCES)})]
BasisWord: TypeAlias = Annotated[str, word(*BASES), WithJsonSchema({"enum": list(BASES)})]
PricingWord: TypeAlias = Annotated[str, word(*MODELS), WithJsonSchema({"enum": list(MODELS)})]
