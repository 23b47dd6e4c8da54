"""The plain budget calculator: tokens to hours to dollars, with exactly these inputs and outputs as public API.

Everything else in the project refines it: set-up, checkpoints, interruptions, billing increments, disk, egress.
"""

from __future__ import annotations

import math

from providers.errors import JobError

_WHERE = "calculate"
_SECONDS_PER_HOUR = 3600


def estimate_cost(  # noqa: PLR0917 the published signature, called by position
    tokens_per_sample: float,
    n_samples: float,
    epochs: float,
    tps_per_gpu: float,
    num_gpus: float,
    utilization: float,
    price_per_gpu_hour: float,
) -> dict[str, float]:
    """Return `tokens_total`, `train_hours` and `cost_usd` of a training run.

    tokens_total = tokens_per_sample x n_samples x epochs
    train_hours = tokens_total / (tps_per_gpu x num_gpus x utilization) / 3600, with `tps_per_gpu` in tokens/s
    cost_usd = train_hours x price_per_gpu_hour x num_gpus

    The document that the formula comes from leaves out the 3600 and so calls seconds hours; its cost table, in real
    hours, only follows with it. `utilization` is a fraction in (0, 1]. Raises JobError for anything that is not a
    finite number above zero, and for a utilization above 1.
    """
    inputs = {
        "tokens_per_sample": tokens_per_sample,
        "n_samples": n_samples,
        "epochs": epochs,
        "tps_per_gpu": tps_per_gpu,
        "num_gpus": num_gpus,
        "utilization": utilization,
        "price_per_gpu_hour": price_per_gpu_hour,
    }
    for key, value in inputs.items():
        _require_positive(key, value)
    if utilization > 1:
        raise JobError(where=_WHERE, key="utilization", value=utilization, allowed="a fraction above 0, at most 1")
    tokens_total = tokens_per_sample * n_samples * epochs
    hours = tokens_total / (tps_per_gpu * num_gpus * utilization) / _SECONDS_PER_HOUR
    cost = hours * price_per_gpu_hour * num_gpus
    if not all(map(math.isfinite, (tokens_total, hours, cost))):
        raise JobError(where=_WHERE, key="cost_usd", value=cost, allowed="inputs whose product stays finite")
    return {"tokens_total": tokens_total, "train_hours": hours, "cost_usd": cost}


def gpu_hours(wall_hours: float, num_gpus: int) -> float:
    """Return GPU-hours of `num_gpus` GPUs that ran side by side for `wall_hours`."""
    _require_positive("wall_hours", wall_hours)
    _require_positive("num_gpus", num_gpus)
    return wall_hours * num_gpus


def _require_positive(key: str, value: object) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value <= 0:  # type: ignore[arg-type,operator]
        raise JobError(where=_WHERE, key=key, value=value, allowed="a finite number above 0")
