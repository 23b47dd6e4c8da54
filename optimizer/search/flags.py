"""What to say to `plan` to let a candidate in that breaks limits: flags and values, rounded to the generous side."""

from __future__ import annotations

from math import ceil, isfinite
from typing import TYPE_CHECKING

from providers.units import MAX_SECONDS

from .constraints import FIXED, QUOTA

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optimizer.workload.job import Job

    from .results import Candidate

Flag = tuple[str, tuple[str, ...]]
"""A flag and the values that it must have, in the place of all that it had; no values: the flag goes."""
HOUR, DAY = 3600.0, 86400.0
CENT_MICRO = 10_000


def flags_for(job: Job, candidate: Candidate, broken: Mapping[str, float]) -> tuple[Flag, ...]:
    """Return the flags that relax every limit in `broken` (limit to the value that lets `candidate` in).

    Empty where no flags do: nobody can relax memory, and a quota is asked of a provider.
    """
    if not broken or any(limit in FIXED or limit == QUOTA or not isfinite(value) for limit, value in broken.items()):
        return ()
    if broken.get("deadline", 0.0) > MAX_SECONDS - HOUR:
        return ()
    return tuple(flag for limit, value in broken.items() for flag in _flags(limit, value, job, candidate))


def _flags(limit: str, value: float, job: Job, candidate: Candidate) -> tuple[Flag, ...]:
    offer, recipe = candidate.offer, candidate.recipe
    single = {
        "deadline": lambda: span_flag(value),
        "budget": lambda: dollars_flag(value),
        "max_price_age": lambda: f"{max(ceil(value / DAY), 1)}d",
        "max_gpus": lambda: f"{ceil(value)}",
        "max_nodes": lambda: f"{ceil(value)}",
        "quality_floor": lambda: candidate.quality,
        "max_complexity": lambda: candidate.complexity,
    }
    if limit in single:
        return (("--" + limit.replace("_", "-"), (single[limit](),)),)
    if limit == "method":
        method = (("--method", _with(job.methods, recipe.method)),) if job.methods else ()
        width = (("--quantization", _with(tuple(map(str, job.quantization_bits)), str(recipe.bits))),)
        return (*method, *(width if job.quantization_bits else ()))
    widened = {
        "provider": ("--provider", _with(job.providers, offer.provider)),
        "region": ("--region", _with(job.regions, offer.region)),
        "gpu": ("--gpu", _with(job.gpus, candidate.gpu.id)),
        "exclude_gpu": ("--exclude-gpu", tuple(gpu for gpu in job.exclude_gpus if gpu != candidate.gpu.id)),
        "pricing_model": ("--pricing-model", _with(job.pricing_models or ("on_demand",), offer.pricing_model.value)),
    }
    return (widened[limit],)


def span_flag(seconds: float) -> str:
    """Return a span that is long enough, as a flag takes it: whole minutes, from ten hours on whole hours."""
    return f"{ceil(seconds / HOUR)}h" if seconds > 10 * HOUR else f"{max(ceil(seconds / 60.0), 1)}m"


def dollars_flag(micro: float) -> str:
    """Return an amount that is large enough, as a flag takes it: dollars and cents."""
    cents = -(-ceil(micro) // CENT_MICRO)
    return f"{cents // 100}.{cents % 100:02d}"


def _with(said: tuple[str, ...], more: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*said, more)))
