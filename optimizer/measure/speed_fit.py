"""Fitting the time model to published speeds: which constants are free, what is believed of them before, and the fit.

Priors come from counting bytes, FLOP and kernels and from how the libraries work, never from the rows; they are what
remains of a constant when the rows that bear on it are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optimizer.physics.flops import processed_tokens
from optimizer.physics.throughput import estimate_throughput, step_parts

from .constant_paths import with_constants
from .fit import Fit, Parameter, fit_constants, source_weights
from .table_rows import tabulate_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from optimizer.physics.runs import Bools, Floats, Runs
    from optimizer.physics.speed_constants import SpeedConstants

    from .record import MeasuredRun
    from .speed_table import PublishedSpeed

DEVIATION = 0.12
"""Standard deviation of the logarithm of a published speed around a right model: releases, hosts, clocks."""

ROWS_PER_SOURCE = 40.0
"""A source of more rows counts as so many: a sweep repeats one machine, one release and one author's set-up."""

BEARS_ON = 0.02
"""A row bears on a constant where one unit of its logarithm moves the log speed by this much."""


def _stack(
    name: str, efficiency: float, elementwise: float, launch: float | None, attention: float | None
) -> tuple[Parameter, ...]:
    """Return the constants of a stack; None stays as assumed, where no row is short or long enough to tell."""
    found = [
        Parameter(name=f"matrix_efficiency.{name}", prior=efficiency, sigma=0.1, high=1.0),
        Parameter(name=f"elementwise_bytes.{name}", prior=elementwise, sigma=0.4),
    ]
    if launch is not None:
        found.append(Parameter(name=f"launch_s.{name}", prior=launch, sigma=0.4))
    if attention is not None:
        found.append(Parameter(name=f"attention_weight.{name}", prior=attention, sigma=0.3))
    return tuple(found)


PARAMETERS: tuple[Parameter, ...] = (
    # The products of a step are less square than the best one: nine tenths of it. Bytes of a gated block, counted in
    # eager PyTorch: norms through fp32 192, residuals 24, RoPE 90 per hidden, activation 28 per intermediate element,
    # over 2 hidden + intermediate 75 to 80, by kernels at three quarters of the bandwidth that others stream at: 100.
    # About 60 kernels forward and 140 backward, 20 us of host each: 4 ms a layer, less where Python does less.
    *_stack("hf", 0.9, 100.0, 0.004, 1.0),
    *_stack("torchtune", 0.9, 90.0, 0.003, 1.0),
    *_stack("unsloth", 0.9, 100.0, None, None),  # what its kernels save is in the shares of fused kernels
    *_stack("nemo", 0.95, 40.0, 0.0015, 0.65),  # Transformer Engine: fused norms, cuDNN attention made for Hopper
    *_stack("llm-foundry", 0.9, 70.0, None, 1.3),  # fused norms; attention with biases (ALiBi)
    *_stack("torchtitan", 0.9, 80.0, None, 1.0),
    # Newer chips have more arithmetic for each byte and launch around it.
    Parameter(name="architecture_factor.hopper", prior=0.9, sigma=0.15),
    Parameter(name="architecture_factor.blackwell", prior=0.9, sigma=0.15),
    Parameter(name="architecture_factor.ada", prior=0.95, sigma=0.15),
    Parameter(name="architecture_factor.ada-consumer", prior=1.0, sigma=0.15),
    Parameter(name="architecture_factor.ampere-consumer", prior=1.0, sigma=0.15),
    # Dao 2023 (FlashAttention-2), figures 5 and 7: forward and backward, causal, 2k to 16k.
    Parameter(name="attention_share.ampere", prior=0.55, sigma=0.15, high=0.72),
    Parameter(name="attention_share.hopper", prior=0.32, sigma=0.15, high=0.6),
    Parameter(name="fp8_gain", prior=1.5, sigma=0.15, low=1.0, high=2.0),  # 2 for the product, less scaling and casting
    Parameter(name="moe_efficiency", prior=0.85, sigma=0.2, high=1.0),  # gathers and scatters around it
    Parameter(name="plain_block_share", prior=0.5, sigma=0.3, high=1.0),  # no gate, no RoPE, LayerNorm in one kernel
    Parameter(name="fused_elementwise_share", prior=0.45, sigma=0.3, high=1.0),  # norms 4 reads for 9, RoPE 1 for 4
    Parameter(name="compiled_elementwise_share", prior=0.5, sigma=0.3, high=1.0),  # every chain read and written once
    Parameter(name="fp32_stream_bytes", prior=60.0, sigma=0.5),  # the stream's tensors twice as wide, and casts
    Parameter(name="eager_bytes_per_score", prior=60.0, sigma=0.4),  # scores, mask, fp32 softmax 28, backward 32
    Parameter(name="full_launch_share", prior=1.5, sigma=0.4, low=1.0),  # a third product and an accumulation a weight
    # A unit costs the host about 0.35 ms a pass; four adapted layers make eight more units of a block.
    Parameter(name="fsdp_launch_share", prior=1.35, sigma=0.3, low=1.0),
    Parameter(name="fsdp_adapter_launch_share", prior=3.1, sigma=0.4, low=1.0),
    Parameter(name="zero3_launch_share", prior=1.35, sigma=0.3, low=1.0),
    Parameter(name="expert_launch_share", prior=0.2, sigma=0.5),  # some twelve of a layer's sixty kernels
    Parameter(name="dequantisation_bytes", prior=14.0, sigma=0.4),  # 3 moved, by kernels at a quarter of the bandwidth
    Parameter(name="adapter_bytes", prior=18.0, sigma=0.4),  # two thin products, scaling and adding, there and back
    Parameter(name="adapter_cast_bytes", prior=36.0, sigma=0.4),  # to fp32 and back, three times
    Parameter(name="nvlink_efficiency", prior=0.5, sigma=0.3, high=0.9),
    Parameter(name="pcie_efficiency", prior=0.3, sigma=0.4, high=0.9),
    Parameter(name="overlap", prior=0.7, sigma=0.2, high=0.95),  # prefetch of the next layer
    Parameter(name="row_spread", prior=0.6, sigma=0.4),  # of instruction data: lognormal, longest over mean 7
    Parameter(name="host_update_params_per_s", prior=6e9, sigma=0.5),  # 28 bytes each at half of 300 GB/s a node
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Rows as some constants predict them, beside what was published.

    Arrays of shape (n,): `log_error` is ln(predicted / published), `inside` whether the published speed lies in the
    interval, `low` and `high` the ends of the interval over its middle, `unit` what was left out of the fit with each
    row.
    """

    log_error: Floats
    inside: Bools
    low: Floats
    high: Floats
    unit: tuple[str, ...]

    @property
    def relative(self) -> Floats:
        """Predicted over published, less one."""
        result: Floats = np.expm1(self.log_error)
        return result


def fit_speed(
    runs: Sequence[MeasuredRun], constants: SpeedConstants, parameters: Sequence[Parameter] = PARAMETERS
) -> Fit:
    """Return the constants of the time model fitted to the tokens/s of `runs`; the others stay as in `constants`.

    Raises SolverFailed where a constant leaves the range in which the model has a value.
    """
    weight = source_weights([run.group for run in runs], ROWS_PER_SOURCE)
    return _fit(tabulate_runs(runs), measured_speeds(runs), weight, constants, parameters)


def leave_out(
    table: Sequence[PublishedSpeed],
    constants: SpeedConstants,
    unit: Callable[[PublishedSpeed, Sequence[PublishedSpeed]], str] | None = None,
    only: Collection[str] | None = None,
) -> Judged:
    """Return every row of `table` as predicted without its own unit: by default its source (`left_out_with`).

    Rows that take no part in the fit are predicted like the others of their unit; `only` names the sources to leave out
    (the rows of others are NaN and outside).
    """
    runs, measured = tabulate_runs([row.run for row in table]), measured_speeds([row.run for row in table])
    groups = [row.run.group for row in table]
    named = tuple((unit or left_out_with)(row, table) for row in table)
    fitted = np.array([not row.unfitted for row in table])
    error, low, high = (np.full(len(table), np.nan) for _ in range(3))
    inside = np.zeros(len(table), dtype=np.bool_)
    for left in sorted({name for name, group in zip(named, groups, strict=True) if only is None or group in only}):
        here = np.array([name == left for name in named])
        kept = np.flatnonzero(fitted & ~here)
        weight = source_weights([groups[row] for row in kept], ROWS_PER_SOURCE)
        found = _fit(runs.take(kept), measured[kept], weight, constants, PARAMETERS)
        seen = predicted(runs, measured, with_constants(constants, found.values), named)
        for whole, part in ((error, seen.log_error), (low, seen.low), (high, seen.high)):
            whole[here] = part[here]
        inside[here] = seen.inside[here]
    return Judged(log_error=error, inside=inside, low=low, high=high, unit=named)


def predicted(runs: Runs, measured: Floats, constants: SpeedConstants, unit: tuple[str, ...] = ()) -> Judged:
    """Return the runs as the constants predict them, beside the measured tokens/s, shape (n,)."""
    speed = estimate_throughput(runs, constants).tokens_per_s
    return Judged(
        log_error=np.log(speed.expected / measured),
        inside=(speed.low <= measured) & (measured <= speed.high),
        low=speed.low / speed.expected,
        high=speed.high / speed.expected,
        unit=unit,
    )


def left_out_with(row: PublishedSpeed, table: Sequence[PublishedSpeed]) -> str:
    """Return what is left out together with a row: its source, or its source and model family.

    The family, where no other source has the stack: the whole stack would be unseen otherwise, which is a harder
    question than that of a stack that is known. MPT is one family of eight sizes, and torchtitan has one model: there
    a class of sizes and the card stand for the family.
    """
    own = {one.run.recipe.stack for one in table if one.run.group == row.run.group}
    if any(one.run.group != row.run.group and one.run.recipe.stack in own for one in table):
        return row.run.group
    families = {one.family for one in table if one.run.group == row.run.group}
    models = {one.run.model.name for one in table if one.run.group == row.run.group}
    part = row.family if len(families) > 1 else _size(row) if len(models) > 1 else row.run.gpu
    return f"{row.run.group}, {part}"


def _size(row: PublishedSpeed) -> str:
    """Return the class of sizes that a model belongs to: MPT 125m to 760m, 1b to 7b, 13b to 70b."""
    billions = row.run.model.total_params / 1e9
    return "below 1B" if billions < 1.0 else "1B to 10B" if billions < 10.0 else "above 10B"


def whole_source(row: PublishedSpeed, table: Sequence[PublishedSpeed]) -> str:
    """Return the source of a row: the hard question, where its stack may be unseen."""
    del table
    return row.run.group


def bearing(runs: Runs, constants: SpeedConstants, values: Mapping[str, float]) -> dict[str, Bools]:
    """Return which rows bear on each constant of `values`, boolean of shape (n,): those whose speed it moves.

    Both ways: a share that is capped at the peak of the chip moves nothing upward.
    """
    start = np.log(speeds(runs, with_constants(constants, values)))
    step = 0.05

    def moved(name: str, factor: float) -> Floats:
        changed = {**values, name: values[name] * factor}
        result: Floats = np.abs(np.log(speeds(runs, with_constants(constants, changed))) - start)
        return result

    return {
        name: np.maximum(moved(name, 1.0 + step), moved(name, 1.0 / (1.0 + step))) >= BEARS_ON * step for name in values
    }


def measured_speeds(runs: Sequence[MeasuredRun]) -> Floats:
    """Return the measured tokens/s of whole jobs, shape (n,); NaN where none was read."""
    return np.array([np.nan if run.readings.tokens_per_s is None else run.readings.tokens_per_s for run in runs])


def speeds(runs: Runs, constants: SpeedConstants) -> Floats:
    """Return the expected tokens/s of whole jobs, shape (n,), without intervals: what a fit evaluates."""
    step_s = sum(step_parts(runs, constants).values(), start=np.zeros(1))
    gpus = runs.machine.gpu_count * runs.machine.nodes
    real = processed_tokens(runs.recipe) * runs.recipe.grad_accum * gpus / runs.recipe.padding_factor
    result: Floats = real / step_s
    return result


def _fit(
    runs: Runs, measured: Floats, weight: Floats, constants: SpeedConstants, parameters: Sequence[Parameter]
) -> Fit:
    def predict(values: Mapping[str, float]) -> Floats:
        return speeds(runs, with_constants(constants, values))

    return fit_constants(
        parameters, predict, measured, deviation=np.full(len(measured), DEVIATION), weight=weight
    )  # fmt: skip
