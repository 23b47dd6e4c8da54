"""Fine-tuning services that charge per training token: rivals of a rented machine.

Only prices per training token are here. Services that charge by the hour (reinforcement fine-tuning), relative prices
("30 % below regional") and services for which no primary price was found stay None: unknown, never converted, never
guessed. Cost is tokens x epochs x price; there are no GPU-hours in it.
"""

from __future__ import annotations

import csv
from decimal import Decimal
from pathlib import Path

from .offer import TokenPrice

_TABLE = Path(__file__).parent / "data" / "token_prices.csv"

NANO_PER_TOKEN = 1000
"""One dollar per million tokens in billionths of a dollar per token."""


def load_token_prices() -> tuple[TokenPrice, ...]:
    """Return the dated token prices, unknown ones included. Raises ValueError, naming the row, for a bad table."""
    text = _TABLE.read_text(encoding="utf-8")
    return tuple(
        TokenPrice(
            vendor=row["vendor"],
            model=row["model"],
            method=row["method"],
            low_nano_per_token=_nano_per_token(row, "low_usd_per_million"),
            high_nano_per_token=_nano_per_token(row, "high_usd_per_million"),
            source=row["source"],
            source_date=row["source_date"],
            notes=row["notes"],
        )
        for row in csv.DictReader(text.splitlines())
    )


def token_cost_micro(price: TokenPrice, tokens: int) -> tuple[int, int] | None:
    """Return what training on `tokens` (every epoch counted) costs, low and high, in micro-dollars rounded up.

    None when the price is unknown.
    """
    if price.low_nano_per_token is None or price.high_nano_per_token is None:
        return None
    return -(-price.low_nano_per_token * tokens // 1000), -(-price.high_nano_per_token * tokens // 1000)


def _nano_per_token(row: dict[str, str], column: str) -> int | None:
    if not row[column]:
        return None
    nano = Decimal(row[column]) * NANO_PER_TOKEN
    if nano < 0 or nano != int(nano):
        raise ValueError(f"token_prices.csv: {row['vendor']} {row['model']}: {column} {row[column]} is out of range")
    return int(nano)
