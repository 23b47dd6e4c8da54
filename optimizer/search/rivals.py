"""What managed fine-tuning services ask for the job's tokens, as far as they could stand in for the job."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .results import Rival

if TYPE_CHECKING:
    from optimizer.workload.job import Job
    from providers.offer import PriceSnapshot

BILLION = 1e9
SUPERSEDED = frozenset({"babbage-002", "davinci-002"})
"""Base models that follow no instructions and that their maker has replaced: nobody takes them for this job's model."""
EVERY_SIZE = frozenset({"all", "special models", "global training"})
"""Names of tiers that say nothing about size."""
_UP_TO = re.compile(r"up to (\d+(?:\.\d+)?)\s*b", re.IGNORECASE)
_FROM_TO = re.compile(r"(\d+(?:\.\d+)?)\s*b?\s*(?:to|-|–)\s*(\d+(?:\.\d+)?)\s*b", re.IGNORECASE)
_ABOVE = re.compile(r"(?:over|above|more than)\s+(\d+(?:\.\d+)?)\s*b", re.IGNORECASE)


def rivals_of(job: Job, snapshot: PriceSnapshot) -> tuple[Rival, ...]:
    """Return what managed services ask for the job's tokens, cheapest first, unknown prices last and never zero.

    Services quote per training token, every epoch counted. Those in dollars whose tier could hold the job's model:
    a tier that states sizes must state this one. Left out are services named for another objective ("dpo" for a job
    that is not), from which nothing can be concluded, and superseded models. A price for a model by name is kept, and
    said to be that of another model.
    """
    found = [
        Rival(
            vendor=price.vendor,
            model=price.model,
            method=price.method,
            low_usd_micro=_token_cost_micro(price.low_nano_per_token, job),
            high_usd_micro=_token_cost_micro(price.high_nano_per_token, job),
            tokens=job.tokens * job.runs,
            source=price.source,
            source_date=price.source_date,
            notes=price.notes,
            stands_for=stands_for(price.model),
        )
        for price in snapshot.token_prices
        if price.currency == "USD"
        and not _is_for_another_objective(price.method, job)
        and price.model not in SUPERSEDED
        and _holds(price.model, job.model.total_params / BILLION)
    ]
    return tuple(sorted(found, key=_rival_order))


def sizes_of(tier: str) -> tuple[float, float] | None:
    """Return the sizes, in billions of parameters, that the name of a tier states ("17B to 69B"); None for none."""
    if match := _FROM_TO.search(tier):
        return float(match[1]), float(match[2])
    if match := _UP_TO.search(tier):
        return 0.0, float(match[1])
    if match := _ABOVE.search(tier):
        return float(match[1]), float("inf")
    return None


def stands_for(tier: str) -> str:
    """Return whose price it is: that of models of a stated size, of every size, or of another model by name."""
    if sizes_of(tier) is not None:
        return "models of this size"
    return "every size" if tier in EVERY_SIZE else "another model"


def _holds(tier: str, billions: float) -> bool:
    # Tiers speak of nominal sizes, in whole billions: between "up to 16B" and "17B to 69B" there is no gap.
    sizes = sizes_of(tier)
    return sizes is None or sizes[0] <= round(billions) <= sizes[1]


def _is_for_another_objective(method: str, job: Job) -> bool:
    """Return whether the name of a service's method is that of an objective other than the job's."""
    return method in {"sft", "dpo", "ppo"} and method != job.objective


def _rival_order(rival: Rival) -> tuple[bool, int, str, str, str]:
    return (rival.low_usd_micro is None, rival.low_usd_micro or 0, rival.vendor, rival.model, rival.method)


def _token_cost_micro(nano_per_token: int | None, job: Job) -> int | None:
    return None if nano_per_token is None else -(-nano_per_token * job.tokens * job.runs // 1000)
