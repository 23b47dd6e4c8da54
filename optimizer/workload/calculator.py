"""The plain budget calculator: tokens to hours to dollars, with exactly these inputs and outputs as public API.

Everything else in the project refines it: set-up, checkpoints, interruptions, billing increments, disk, egress.
"""

from __future__ import annotations

from providers.errors import JobError

_WHERE = "calculate"
_SECONDS_PER_HOUR = 3600
_EXACT = 2**53 - 1
"""The largest whole number that a JSON document holds: tokens, seconds and millionths of a dollar stay below."""

MOST: dict[str, int] = {
    "tokens_per_sample": _EXACT,
    "n_samples": _EXACT,
    "epochs": _EXACT,
    "tps_per_gpu": _EXACT,
    "num_gpus": _EXACT,
    "utilization": 1,
    "price_per_gpu_hour": _EXACT,
}
"""The largest value of each input. All but the price are above 0."""


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
    hours, only follows with it. `utilization` is a fraction in (0, 1]; a price of 0 is a machine that costs nothing.
    Raises JobError for anything that is not a number above zero and at most `MOST`, and for a product beyond 2^53.
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
        _require(key, value, most=MOST[key], zero=key == "price_per_gpu_hour")
    tokens_total = tokens_per_sample * n_samples * epochs
    speed = tps_per_gpu * num_gpus * utilization
    # Tiny factors may underflow to a speed of nothing.
    hours = tokens_total / speed / _SECONDS_PER_HOUR if speed else float("inf")
    cost = hours * price_per_gpu_hour * num_gpus
    for key, product, what in (
        ("n_samples", tokens_total, "tokens in all"),
        ("tps_per_gpu", hours * _SECONDS_PER_HOUR, "seconds of training"),
        ("price_per_gpu_hour", cost * 1_000_000, "millionths of a dollar"),
    ):
        if product > _EXACT:
            allowed = f"inputs that make at most {_EXACT} {what}, and these make {product:.4g}"
            raise JobError(where=_WHERE, key=key, value=inputs[key], allowed=allowed)
    return {"tokens_total": tokens_total, "train_hours": hours, "cost_usd": cost}


def gpu_hours(wall_hours: float, num_gpus: int) -> float:
    """Return GPU-hours of `num_gpus` GPUs that ran side by side for `wall_hours`."""
    _require("wall_hours", wall_hours, most=_EXACT)
    _require("num_gpus", num_gpus, most=MOST["num_gpus"])
    return wall_hours * num_gpus


def _require(key: str, value: object, *, most: int, zero: bool = False) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    # NaN compares as neither, so it is refused like everything else out of range.
    if not number or not (value > 0 or (zero and value == 0)) or value > most:  # type: ignore[operator]
        span = f"from 0 to {most}" if zero else f"above 0, at most {most}"
        raise JobError(where=_WHERE, key=key, value=value, allowed=f"a number {span}")
