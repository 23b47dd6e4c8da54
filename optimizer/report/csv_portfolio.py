"""A portfolio as a CSV file: a row for every candidate of a job, and one for every job that is not placed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .csv_cells import csv_table, name_cell, number_cell, price_cell

if TYPE_CHECKING:
    from optimizer.search.portfolio.results import PlacedJob, Portfolio, UnplacedJob

COLUMNS: tuple[str, ...] = (
    "job", "priority", "team", "status", "slot", "start_s", "runs", "provider", "region", "zone", "instance_type",
    "variant", "pricing_model", "gpu", "gpus_per_node", "nodes", "method", "quantization_bits", "cost_usd",
    "cost_usd_low", "cost_usd_high", "duration_s", "finish_s", "slack_s", "reason", "limit", "sentence",
)  # fmt: skip
"""Costs are dollars for all runs of the row; seconds count from now; empty where nothing is known."""


def portfolio_csv(answer: Portfolio) -> str:
    """Return the portfolio as CSV text, jobs in the order of the file."""
    rows = {one.job.name: _placed(one) for one in answer.placed}
    rows |= {one.job.name: [_unplaced(one)] for one in answer.unplaced}
    return csv_table(COLUMNS, (row for name in answer.order for row in rows[name]))


def _placed(job: PlacedJob) -> list[list[str]]:
    found = []
    for one, start_s, slot in zip(job.choices, job.starts_s, job.slots, strict=True):
        offer, quote = one.offer, one.quote
        found.append(
            [
                *_head(job),
                "placed",
                name_cell(slot),
                number_cell(round(start_s)),
                str(one.runs),
                name_cell(offer.provider),
                name_cell(offer.region),
                name_cell(offer.zone),
                name_cell(offer.instance_type),
                name_cell(offer.variant),
                offer.pricing_model.value,
                name_cell(one.gpu.id),
                str(offer.gpu_count),
                str(one.nodes),
                one.recipe.method,
                str(one.recipe.bits),
                dollars_cell(quote.expected_usd_micro * one.runs),
                dollars_cell(quote.low_usd_micro * one.runs),
                dollars_cell(quote.high_usd_micro * one.runs),
                number_cell(round(one.duration_s.expected)),
                number_cell(round(start_s + one.duration_s.expected)),
                number_cell(None if "deadline" not in one.slacks else int(one.slacks["deadline"])),
                "",
                "",
                "",
            ]
        )
    return found


def _unplaced(job: UnplacedJob) -> list[str]:
    blank = [""] * (len(COLUMNS) - 7)
    return [*_head(job), "unplaced", *blank, job.reason.value, name_cell(job.limit), name_cell(job.sentence)]


def _head(job: PlacedJob | UnplacedJob) -> list[str]:
    return [name_cell(job.job.name), str(job.priority), name_cell(job.team)]


def dollars_cell(usd_micro: int) -> str:
    """Return micro-dollars as decimal dollars, exactly: 12.5, 0.000001."""
    return price_cell(usd_micro * 1000)
