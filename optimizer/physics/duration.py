"""Duration of n training jobs: training, and everything that takes time beside it, with exact quantiles.

The total is F exp(s_F z) + V exp(s z) with one standard normal z: fixed parts F (set-up, download, loading) have their
own spread, variable parts V (what scales with the time of training) that of the speed. One z for both (a slow machine
is slow in everything) makes every quantile exact: the p-quantile of the total is its value at the p-quantile of z.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from .flops import PPO, processed_tokens
from .offload_time import holds_whole_state
from .results import Interval
from .throughput import Z90

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optimizer.workload.job import Overheads

    from .results import ThroughputColumns
    from .runs import Floats, MachineColumns, Runs
    from .speed_constants import DurationConstants, SpeedConstants

FIXED_PARTS = ("setup", "download", "load")
DATA_CENTRE_GPUS = 4
"""GPUs of a node from which on it counts as one of a data centre, with local NVMe disks."""
Z_LIMIT = 40.0
"""Beyond 40 standard deviations a probability is 0 or 1 in float64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DurationColumns:
    """Seconds of n jobs, shape (n,). `parts_s` are medians by cause and sum to `total.expected`."""

    total: Interval
    parts_s: Mapping[str, Floats]
    fixed_sigma: float
    variable_sigma: Floats

    def quantile(self, probability: float) -> Floats:
        """Return the seconds within which each job ends with the given probability (strictly between 0 and 1)."""
        if not 0.0 < probability < 1.0:
            raise ValueError(f"probability = {probability}: strictly between 0 and 1")
        return self._at(np.float64(NormalDist().inv_cdf(probability)))

    def probability_within(self, seconds: Floats | float) -> Floats:
        """Return the probability that each job ends within `seconds` (scalar or shape (n,))."""
        fixed, variable = self._split()
        limit = np.broadcast_to(np.asarray(seconds, dtype=np.float64), variable.shape)
        low, high = np.full(variable.shape, -Z_LIMIT), np.full(variable.shape, Z_LIMIT)
        with np.errstate(over="ignore"):
            for _ in range(60):  # bisection to 80 / 2^60: below the spacing of float64
                middle = (low + high) / 2.0
                early = _total(fixed, variable, self.fixed_sigma, self.variable_sigma, middle) <= limit
                low, high = np.where(early, middle, low), np.where(early, high, middle)
        return np.where(np.isnan(variable) | np.isnan(limit), np.nan, normal_cdf(low))

    def _at(self, z: Floats | np.float64) -> Floats:
        fixed, variable = self._split()
        return _total(fixed, variable, self.fixed_sigma, self.variable_sigma, z)

    def _split(self) -> tuple[Floats, Floats]:
        fixed = sum((self.parts_s[name] for name in FIXED_PARTS), start=np.zeros(1))
        variable = sum((part for name, part in self.parts_s.items() if name not in FIXED_PARTS), start=np.zeros(1))
        return fixed, variable


def estimate_duration(
    *, runs: Runs, throughput: ThroughputColumns, tokens: float, overheads: Overheads, constants: SpeedConstants
) -> DurationColumns:
    """Return the seconds of jobs that train on `tokens` real tokens each (every epoch counted), in whole steps.

    Parts: set-up, download (weights as published and data, once per node), load, train, checkpoints, evaluation and
    failed_runs (the share of repeated work). NaN where the speed is unknown.
    """
    times = constants.duration
    train = whole_steps(tokens, tokens_per_step(runs)) / throughput.tokens_per_s.expected
    weights = checkpoint_download_bytes(runs)
    every = checkpoint_interval_s(runs, overheads.checkpoint_every_s, times)
    checkpoints = checkpoint_writes(train, every) * checkpoint_write_s(runs, times)
    evaluation = overheads.eval_fraction * train
    setup = times.setup_s if overheads.setup_s is None else overheads.setup_s
    rate = download_rate(runs.machine, times)
    parts = {
        "setup": np.full(1, setup),
        "download": (weights + overheads.data_bytes) / rate,
        "load": weights / times.load_bytes_per_s,
        "train": train,
        "checkpoints": checkpoints,
        "evaluation": evaluation,
        "failed_runs": (overheads.failed_run_multiplier - 1.0) * (train + checkpoints + evaluation),
    }
    columns = {name: np.broadcast_to(part, train.shape).astype(np.float64) for name, part in parts.items()}
    fixed = sum((columns[name] for name in FIXED_PARTS), start=np.zeros(train.shape))
    expected = np.sum(list(columns.values()), axis=0)
    variable, sigma = expected - fixed, throughput.sigma_log
    return DurationColumns(
        total=Interval(
            low=_total(fixed, variable, times.fixed_sigma, sigma, -Z90),
            expected=expected,
            high=_total(fixed, variable, times.fixed_sigma, sigma, Z90),
        ),
        parts_s=columns,
        fixed_sigma=times.fixed_sigma,
        variable_sigma=sigma,
    )


def checkpoint_download_bytes(runs: Runs) -> Floats:
    """Return the bytes of the published checkpoint; PPO fetches its reward model too, in 16 bits."""
    model, recipe = runs.model, runs.recipe
    params = model.linear_params + model.embedding_params + model.head_params + model.other_params
    return model.published_bytes_per_param * params + 2.0 * np.where(recipe.objective == PPO, recipe.reward_params, 0.0)


def checkpoint_bytes(runs: Runs, times: DurationConstants) -> Floats:
    """Return the bytes of one training checkpoint: 16-bit trained weights and the state of their optimizer."""
    return (2.0 + times.checkpoint_state_bytes) * runs.recipe.trainable_params


def checkpoint_write_s(runs: Runs, times: DurationConstants) -> Floats:
    """Return the seconds of writing one checkpoint: every node writes its shard, or one node what all hold alike.

    Nodes of `DATA_CENTRE_GPUS` and more have fast local disks; smaller machines write to a network disk.
    """
    machine = runs.machine
    large = machine.gpu_count >= DATA_CENTRE_GPUS
    rate = np.where(large, times.checkpoint_bytes_per_s, times.small_checkpoint_bytes_per_s)
    writers = np.where(holds_whole_state(runs.recipe), 1.0, machine.nodes)
    seconds: Floats = checkpoint_bytes(runs, times) / (rate * writers)
    return seconds


def checkpoint_interval_s(runs: Runs, every_s: float | None, times: DurationConstants) -> Floats:
    """Return the seconds of training between two checkpoints: `every_s` where stated (0: none but the last).

    Otherwise `checkpoint_least_s`, or as long as keeps writing to `checkpoint_share` of the training.
    """
    if every_s is not None:
        return np.full(1, every_s)
    return np.maximum(times.checkpoint_least_s, checkpoint_write_s(runs, times) / times.checkpoint_share)


def checkpoint_writes(train_s: Floats, every_s: Floats) -> Floats:
    """Return the number of checkpoints of a run (a mean, not whole): one per interval, and the last one."""
    between: Floats = np.where(every_s > 0.0, train_s / np.where(every_s > 0.0, every_s, 1.0), 0.0)
    return between + 1.0


def tokens_per_step(runs: Runs) -> Floats:
    """Return the real tokens of one optimizer step over all GPUs, padding excluded."""
    recipe, machine = runs.recipe, runs.machine
    gpus = machine.gpu_count * machine.nodes
    return processed_tokens(recipe) * recipe.grad_accum * gpus / recipe.padding_factor


def whole_steps(tokens: float, per_step: Floats) -> Floats:
    """Return `tokens` rounded up to whole optimizer steps of `per_step` tokens, at least one."""
    steps = np.ceil(tokens / per_step * (1.0 - 1e-12))  # a quotient that rounding lifted above a whole number
    rounded: Floats = np.maximum(steps, 1.0) * per_step
    return rounded


def download_rate(machine: MachineColumns, times: DurationConstants) -> Floats:
    """Return the bytes/s of a download, no more than the node's network carries."""
    known = np.where(np.isnan(machine.network_bytes_per_s), np.inf, machine.network_bytes_per_s)
    return np.minimum(known, times.download_bytes_per_s)


def normal_cdf(z: Floats) -> Floats:
    """Return the standard normal distribution function, absolute error below 1e-14.

    Hart et al. 1968, algorithm 5666, as given by West 2005: a ratio of polynomials below 7.07, a continued fraction
    above.
    """
    x = np.minimum(np.abs(z), Z_LIMIT)
    density = np.exp(-0.5 * x * x)
    near: Floats = density * np.polyval(_HART_NUMERATOR, x) / np.polyval(_HART_DENOMINATOR, x)
    fraction = x + 1.0 / (x + 2.0 / (x + 3.0 / (x + 4.0 / (x + 0.65))))
    upper = np.where(x < _HART_LIMIT, near, density / (fraction * np.sqrt(2.0 * np.pi)))
    below: Floats = np.where(z > 0.0, 1.0 - upper, upper)
    return below


_HART_LIMIT = 7.07106781186547
_HART_NUMERATOR = (
    3.52624965998911e-02, 0.700383064443688, 6.37396220353165, 33.912866078383, 112.079291497871, 221.213596169931,
    220.206867912376,
)  # fmt: skip
_HART_DENOMINATOR = (
    8.83883476483184e-02, 1.75566716318264, 16.064177579207, 86.7807322029461, 296.564248779674, 637.333633378831,
    793.826512519948, 440.413735824752,
)  # fmt: skip


def _total(fixed: Floats, variable: Floats, fixed_sigma: float, sigma: Floats, z: Floats | float) -> Floats:
    total: Floats = fixed * np.exp(fixed_sigma * z) + variable * np.exp(sigma * z)
    return total
