"""Answers as tables: plain rows, and pandas frames made of them."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from providers.units import GIB

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import pandas as pd

    from optimizer.report.answers import EstimateAnswer, PriceListAnswer
    from optimizer.report.record_answers import PriceHistoryAnswer
    from optimizer.search.results import Candidate, Plan

HOUR_S = 3600.0
DAY_S = 86_400.0
MICRO = Decimal(1_000_000)
NANO = Decimal(1_000_000_000)

Row = dict[str, object]

PLAN_COLUMNS: tuple[str, ...] = (
    "role", "limit", "provider", "region", "zone", "instance_type", "variant", "pricing_model", "gpu", "gpus", "nodes",
    "runs", "usd_per_hour", "price_age_days", "method", "quantization_bits", "sharding", "offload", "micro_batch",
    "grad_accum", "checkpointing", "quality", "hours_low", "hours", "hours_high", "finish_probability", "cost_usd_low",
    "cost_usd", "cost_usd_high", "memory_needed_gib", "memory_usable_gib", "tokens_per_s", "bound",
)  # fmt: skip


def plan_rows(plan: Plan) -> list[Row]:
    """Return one row a candidate: choices, then runners-up, then near misses, as `role` says.

    Money is in dollars (for all nodes; cost for one run), time in hours, memory in GiB per GPU, `memory_needed_gib` at
    its high end, `gpus` over all nodes. `limit` names what a near miss breaks, otherwise it is None.
    """
    named: list[tuple[str, str | None, Candidate]] = [
        *(("choice", None, candidate) for candidate in plan.choices),
        *(("runner_up", None, candidate) for candidate in plan.runners_up),
        *(("near_miss", miss.limit, miss.candidate) for miss in plan.near_misses),
    ]
    return [{"role": role, "limit": limit, **_candidate_row(one, plan.made_at)} for role, limit, one in named]


def to_frame(plan: Plan) -> pd.DataFrame:
    """Return `plan_rows` as a pandas frame, money as float dollars. Raises ImportError naming the extra to install."""
    return _frame(plan_rows(plan), PLAN_COLUMNS)


def estimate_row(answer: EstimateAnswer) -> Row:
    """Return an estimate as one row, with the columns of a plan that apply; cost None where no price is known."""
    recipe, quote = answer.recipe, answer.quote
    return {
        "gpu": answer.gpu.id,
        "gpus": answer.gpu_count,
        "nodes": answer.nodes,
        "method": recipe.method,
        "quantization_bits": recipe.bits,
        "sharding": recipe.sharding.value,
        "offload": recipe.offload.value,
        "micro_batch": recipe.micro_batch,
        "grad_accum": recipe.grad_accum,
        "checkpointing": recipe.checkpointing.value,
        "fits": answer.fits,
        "fits_expected": answer.fits_expected,
        "memory_needed_gib": answer.memory.needed.high / GIB,
        "memory_usable_gib": answer.memory.usable_bytes / GIB,
        "tokens_per_s": answer.speed.tokens_per_s.expected,
        "bound": answer.speed.bound,
        **_hours(answer.duration_s.low, answer.duration_s.expected, answer.duration_s.high),
        "cost_usd_low": None if quote is None else quote.low_usd_micro / MICRO,
        "cost_usd": None if quote is None else quote.expected_usd_micro / MICRO,
        "cost_usd_high": None if quote is None else quote.high_usd_micro / MICRO,
    }


def estimate_frame(answer: EstimateAnswer) -> pd.DataFrame:
    """Return `estimate_row` as a pandas frame of one row. Raises ImportError naming the extra to install."""
    row = estimate_row(answer)
    return _frame([row], tuple(row))


def prices_frame(answer: PriceListAnswer) -> pd.DataFrame:
    """Return a price list as a pandas frame, one row an offer. Raises ImportError naming the extra to install."""
    rows: list[Row] = [
        {
            "provider": row.offer.provider,
            "region": row.offer.region,
            "zone": row.offer.zone,
            "instance_type": row.offer.instance_type,
            "variant": row.offer.variant,
            "gpu": row.offer.gpu,
            "gpu_name": row.offer.gpu_name,
            "gpus": row.offer.gpu_count,
            "pricing_model": row.offer.pricing_model.value,
            "price_per_hour": row.offer.unit_price_nano / NANO,
            "currency": row.offer.currency,
            "observed_at": row.offer.observed_at,
            "age_days": row.age_s / DAY_S,
            "freshness": row.freshness,
            "source": row.offer.source,
        }
        for row in answer.offers
    ]
    columns = (
        "provider", "region", "zone", "instance_type", "variant", "gpu", "gpu_name", "gpus", "pricing_model",
        "price_per_hour", "currency", "observed_at", "age_days", "freshness", "source",
    )  # fmt: skip
    return _frame(rows, columns)


def history_frame(answer: PriceHistoryAnswer) -> pd.DataFrame:
    """Return price histories as a pandas frame, one row a change; prices are NaN from the moment an offer is gone.

    `change_fraction` is 0.25 where a price rose by a quarter. Raises ImportError naming the extra to install.
    """
    rows: list[Row] = [
        {
            "key": one.key,
            "provider": one.provider,
            "region": one.region,
            "zone": one.zone,
            "instance_type": one.instance_type,
            "variant": one.variant,
            "pricing_model": one.pricing_model,
            "gpu": one.gpu,
            "gpus": one.gpu_count,
            "at": point.at,
            "price_per_hour": _nano(point.price_nano),
            "price_per_gpu_hour": _nano(point.price_nano, one.gpu_count),
            "currency": one.currency,
            "change_fraction": None if point.change_ppm is None else point.change_ppm / MICRO,
            "gone": point.price_nano is None,
        }
        for one in answer.series
        for point in one.points
    ]
    columns = (
        "key", "provider", "region", "zone", "instance_type", "variant", "pricing_model", "gpu", "gpus", "at",
        "price_per_hour", "price_per_gpu_hour", "currency", "change_fraction", "gone",
    )  # fmt: skip
    return _frame(rows, columns)


def _nano(nano: int | None, parts: int = 1) -> Decimal | None:
    return None if nano is None else nano / NANO / parts


def _candidate_row(candidate: Candidate, now: datetime) -> Row:
    offer, recipe, quote = candidate.offer, candidate.recipe, candidate.quote
    duration = candidate.duration_s
    return {
        "provider": offer.provider,
        "region": offer.region,
        "zone": offer.zone,
        "instance_type": offer.instance_type,
        "variant": offer.variant,
        "pricing_model": offer.pricing_model.value,
        "gpu": candidate.gpu.id,
        "gpus": offer.gpu_count * candidate.nodes,
        "nodes": candidate.nodes,
        "runs": candidate.runs,
        "usd_per_hour": offer.unit_price_nano * candidate.nodes / NANO,
        "price_age_days": max(0.0, (now - offer.observed_at).total_seconds()) / DAY_S,
        "method": recipe.method,
        "quantization_bits": recipe.bits,
        "sharding": recipe.sharding.value,
        "offload": recipe.offload.value,
        "micro_batch": recipe.micro_batch,
        "grad_accum": recipe.grad_accum,
        "checkpointing": recipe.checkpointing.value,
        "quality": candidate.quality,
        **_hours(duration.low, duration.expected, duration.high),
        "finish_probability": candidate.finish_probability_ppm / 1e6,
        "cost_usd_low": quote.low_usd_micro / MICRO,
        "cost_usd": quote.expected_usd_micro / MICRO,
        "cost_usd_high": quote.high_usd_micro / MICRO,
        "memory_needed_gib": candidate.memory.needed.high / GIB,
        "memory_usable_gib": candidate.memory.usable_bytes / GIB,
        "tokens_per_s": candidate.speed.tokens_per_s.expected,
        "bound": candidate.speed.bound,
    }


def _hours(low_s: float, expected_s: float, high_s: float) -> Row:
    return {"hours_low": low_s / HOUR_S, "hours": expected_s / HOUR_S, "hours_high": high_s / HOUR_S}


def _frame(rows: Sequence[Row], columns: Sequence[str]) -> pd.DataFrame:
    try:
        import pandas as pd
    except ImportError as err:
        raise ImportError("pandas is not installed: pip install 'tunefare[pandas]'") from err
    plain = [{key: float(value) if isinstance(value, Decimal) else value for key, value in row.items()} for row in rows]
    return pd.DataFrame(plain, columns=list(columns))
