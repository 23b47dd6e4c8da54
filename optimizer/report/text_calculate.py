"""The plain budget calculation as a person reads it: tokens, hours, dollars, and the formula with its figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .figures import HOUR, MICRO, format_cents, format_count, format_hourly, format_percent, format_span
from .table import format_heading, format_pairs

if TYPE_CHECKING:
    from .style import Style


@dataclass(frozen=True, slots=True, kw_only=True)
class Calculation:
    """What was asked and what came out: tokens/s per GPU, hours, dollars per GPU-hour."""

    tokens_per_sample: float
    n_samples: float
    epochs: float
    tps_per_gpu: float
    num_gpus: float
    utilization: float
    price_per_gpu_hour: float
    tokens_total: float
    train_hours: float
    cost_usd: float


def format_calculation(sums: Calculation, style: Style) -> str:
    """Return the calculation as text, cost to the cent."""
    gpus = f"{sums.num_gpus:,g} GPU{'' if sums.num_gpus == 1 else 's'}"
    rate = f"{gpus} × {sums.tps_per_gpu:,g} tokens/s at {format_percent(sums.utilization)}"
    pairs = [
        ("Tokens", f"{format_count(sums.tokens_total)} = {_product(sums)}"),
        ("Time", f"{format_span(sums.train_hours * HOUR)} = {format_count(sums.tokens_total)} tokens / ({rate})"),
        ("GPU-hours", f"{sums.train_hours * sums.num_gpus:,.2f}"),
        (
            "Cost",
            f"{format_cents(round(sums.cost_usd * MICRO))} at {format_hourly(sums.price_per_gpu_hour)} per GPU-hour",
        ),
    ]
    aside = "training alone: set-up, failures and billing are for plan"
    return "\n".join([format_heading("Budget", aside, style), *format_pairs(pairs, style)]) + "\n"


def _product(sums: Calculation) -> str:
    return f"{sums.tokens_per_sample:,g} per sample × {sums.n_samples:,g} samples × {sums.epochs:g} epochs"
