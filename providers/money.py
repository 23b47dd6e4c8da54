"""Exact dollars: amounts, prices per hour, and their integer forms in files.

Amounts are Decimal dollars; files hold integers, micro-dollars for amounts and billionths ("nano") for unit prices.
Nothing here goes through a float.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal, localcontext

MICRO = 1_000_000
NANO = 1_000_000_000
MAX_USD = Decimal(10) ** 12
"""A trillion dollars: a larger amount is a typing error."""

USD_ALLOWED = "an amount in dollars of at least 0, such as 500, 1234.50 or $1,234.50"
_PRICE = re.compile(r"\s*(\d{1,9})(?:\.(\d{0,9})0*)?\s*", re.ASCII)
_USD = re.compile(r"\s*\$?\s*(\d{1,3}(?:,\d{3})+|\d{1,15})(\.\d{1,18})?\s*", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Usd:
    """An amount of US dollars, exact. Never negative zero, never NaN; may be negative (a saving)."""

    amount: Decimal

    def __post_init__(self) -> None:
        _check(self.amount)

    def __add__(self, other: Usd) -> Usd:
        return Usd(_exact_sum(self.amount, other.amount))

    def __sub__(self, other: Usd) -> Usd:
        return Usd(_exact_sum(self.amount, -other.amount))

    def __mul__(self, factor: int | Decimal) -> Usd:
        return Usd(_exact_product(self.amount, Decimal(factor)))

    __rmul__ = __mul__

    def __str__(self) -> str:
        return format_usd(self.micro)

    @property
    def micro(self) -> int:
        """The amount in micro-dollars, half to even."""
        return _scaled(self.amount, MICRO, rounding=ROUND_HALF_EVEN)

    @property
    def micro_up(self) -> int:
        """The amount in micro-dollars, rounded up: for limits and bills that must not be understated."""
        return _scaled(self.amount, MICRO, rounding=ROUND_CEILING)

    @classmethod
    def from_micro(cls, micro: int) -> Usd:
        """Return `micro` millionths of a dollar as an amount."""
        return cls(Decimal(micro).scaleb(-6))


@dataclass(frozen=True, slots=True, order=True)
class UsdPerHour:
    """What one instance costs per hour, in US dollars, exact; at least 0 (an owned machine may be free)."""

    amount: Decimal

    def __post_init__(self) -> None:
        _check(self.amount)
        if self.amount < 0:
            raise ValueError(f"price {self.amount} per hour is negative")

    def __str__(self) -> str:
        return f"{_grouped(self.amount)}/h"

    @property
    def nano(self) -> int:
        """The price in billionths of a dollar per hour, half to even."""
        return _scaled(self.amount, NANO, rounding=ROUND_HALF_EVEN)

    @classmethod
    def from_nano(cls, nano: int) -> UsdPerHour:
        """Return `nano` billionths of a dollar per hour as a price."""
        return cls(Decimal(nano).scaleb(-9))

    def cost(self, seconds: int | Decimal, *, instances: int = 1) -> Usd:
        """Return what `instances` cost for so many billed seconds each."""
        with localcontext(prec=60):
            return Usd(self.amount * instances * Decimal(seconds) / 3600)


def parse_usd(text: str) -> Usd:
    """Return the amount that a person wrote: `500`, `1234.50`, `$1,234.50`. Raises ValueError with what is allowed."""
    match = _USD.fullmatch(text)
    if match is None:
        raise ValueError(USD_ALLOWED)
    amount = Decimal(match[1].replace(",", "") + (match[2] or ""))
    if amount > MAX_USD:
        raise ValueError(f"{USD_ALLOWED}, at most a trillion")
    return Usd(amount)


def format_usd(micro: int, *, digits: int = 2) -> str:
    """Return micro-dollars for a reader: "$1,234.50", "-$0.26"; half to even at `digits` decimals."""
    with localcontext(prec=60):
        amount = Decimal(micro).scaleb(-6).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_EVEN)
    sign = "-" if amount < 0 else ""
    return f"{sign}${abs(amount):,f}"


def format_unit_price(nano: int, *, currency: str = "USD") -> str:
    """Return billionths per hour for a reader, at least two decimals and no trailing zeros beyond: "$3.673385/h"."""
    amount = Decimal(nano).scaleb(-9)
    return f"{_grouped(amount)}/h" if currency == "USD" else f"{_grouped(amount).removeprefix('$')} {currency}/h"


def parse_nano(text: str) -> int:
    """Return a decimal price ("3.06") as billionths, exactly. Raises ValueError for anything but digits and a point:
    a sign, an exponent, NaN, a billion or more, or more than nine decimals that are not zero."""
    match = _PRICE.fullmatch(text)
    if match is None:
        raise ValueError("a number of at least 0 and below a billion with at most nine decimals, such as 3.06")
    whole, decimals = match.groups("")
    return int(whole) * NANO + int(decimals.ljust(9, "0"))


def _check(amount: Decimal) -> None:
    if not isinstance(amount, Decimal):
        raise TypeError(f"money must be a Decimal, not {type(amount).__name__}")
    if not amount.is_finite():
        raise ValueError(f"amount {amount} is not a finite number")


def _scaled(amount: Decimal, scale: int, *, rounding: str) -> int:
    with localcontext(prec=60):
        return int((amount * scale).to_integral_value(rounding=rounding))


def _exact_sum(left: Decimal, right: Decimal) -> Decimal:
    with localcontext(prec=60):
        return left + right


def _exact_product(left: Decimal, right: Decimal) -> Decimal:
    with localcontext(prec=60):
        return left * right


def _grouped(amount: Decimal) -> str:
    text = f"{amount:,f}"
    whole, _, decimals = text.partition(".")
    return f"${whole}.{decimals.rstrip('0').ljust(2, '0')}"
