"""Refitting the time model to one stack's measured runs: a factor for each card, and the constants that rows bear on.

The factor of a card takes up what a single row shows, however far that is from 1: its prior has heavy tails, so that
far out it pulls with 1 / 0.25 at most, and a row of noise 0.08 with up to 1 / 0.08. Constants have narrower, quadratic
priors, so that it takes rows of different kinds to move them. What each prior allows follows from the deviations of
`speed.toml`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from optimizer.physics.flops import processed_tokens
from optimizer.physics.throughput import step_parts
from optimizer.search.calibrated import FACTORS, CardCalibration, range_of

from .constant_paths import constant, with_constants
from .contradictions import covering_sigma, warnings_of
from .fit import Parameter, fit_constants, robust
from .run_rows import lay_out

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optimizer.physics.runs import Bools, Floats, Runs
    from optimizer.physics.speed_constants import SpeedConstants

    from .run_rows import Row

NOISE = 0.08
"""Standard deviation of log speed between rows of one source, stack and card around the calibrated model: published
rows, docs/calibration.md."""
NOISE_WEIGHT = 4
"""Rows that this figure counts as, when residuals of the user's own rows say another."""
LEAST_NOISE = 0.04
LEAST_SCALE_SIGMA = 0.25
"""Least standard deviation of a card's log factor before any row: releases, clocks, data loading and hosts of the same
name differ by more than the published runs that the deviations of `speed.toml` come from."""
BEARS = 0.004
"""Least change of a log speed, for one standard deviation of a constant, by which a row bears on it."""

OF_THE_STACK: Mapping[str, float] = {
    "matrix_efficiency": 0.08,
    "elementwise_bytes": 0.15,
    "launch_s": 0.25,
    "attention_weight": 0.15,
}
"""Constants of each stack, and the standard deviation of their logarithms."""
OF_ALL: Mapping[str, float] = {
    "dequantisation_bytes": 0.2,
    "fp32_stream_bytes": 0.2,
    "int8_bytes": 0.2,
    "int8_stream_bytes": 0.2,
    "dora_bytes": 0.2,
    "eager_bytes_per_score": 0.2,
    "moe_efficiency": 0.3,
    "fp8_gain": 0.1,
    "nvlink_efficiency": 0.2,
    "pcie_efficiency": 0.4,
    "network_efficiency": 0.3,
    "host_link_efficiency": 0.4,
    "host_update_params_per_s": 0.4,
    "data_tokens_per_s": 0.4,
}
"""Constants that stacks share: refitted for the stack that was measured, and used for that stack alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantChange:
    """A constant before and after, and the standard deviation of its logarithm before and after."""

    name: str
    before: float
    after: float
    sigma_before: float
    sigma_after: float

    @property
    def change(self) -> float:
        """Relative change: 0.1 is 10 % more."""
        return self.after / self.before - 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedFit:
    """What the runs of one stack say of its speed. `before`, `after`: tokens/s of each row, shape (n,)."""

    changes: tuple[ConstantChange, ...]
    cards: tuple[CardCalibration, ...]
    before: Floats
    after: Floats


def fit_speed(
    rows: Sequence[Row], stack: str, constants: SpeedConstants, moved: Sequence[Parameter] | None = None
) -> SpeedFit:
    """Return the speed of one stack calibrated to its rows, which all have a reading of tokens/s.

    `moved` are the constants to fit, where somebody worked them out already (None: `free_constants` of the rows).
    Raises SolverFailed where the model has no speed for a row.
    """
    runs = lay_out(rows)
    measured = np.array([row.run.readings.tokens_per_s for row in rows], dtype=np.float64)
    cards = sorted({row.machine.gpu.id for row in rows})
    card = np.array([cards.index(row.machine.gpu.id) for row in rows])
    before = _speed(runs, constants)
    scales = [_scale(runs, measured / before, card == at, name, constants) for at, name in enumerate(cards)]
    moved = free_constants(runs, stack, constants) if moved is None else moved

    @lru_cache(maxsize=1)
    def parts(*changed: float) -> Mapping[str, Floats]:
        named = {one.name: value for one, value in zip(moved, changed, strict=True)}
        return step_parts(runs, with_constants(constants, named))

    def predict(values: Mapping[str, float]) -> Floats:
        # A fit tries each factor with the constants as they were last: the step is then the one of before.
        factors = np.array([values[scale.name] for scale in scales])[card]
        return _speed_of(runs, parts(*(values[one.name] for one in moved)), factors)

    fit = fit_constants([*scales, *moved], predict, measured, deviation=np.full(len(rows), NOISE))
    values = {name: rounded(value) for name, value in fit.values.items()}
    after = predict(values)
    off = np.log(measured / after)
    noise = _noise(off)
    found = []
    for position, scale in enumerate(scales):
        here = np.flatnonzero(card == position).tolist()
        found.append(_card(scale, [rows[at] for at in here], off[here], stack, values[scale.name], noise))
    return SpeedFit(
        changes=changes_of(moved, values, fit.sigmas),
        cards=tuple(found),
        before=before,
        after=after,
    )


def free_constants(runs: Runs, stack: str, constants: SpeedConstants) -> list[Parameter]:
    """Return the constants that the rows bear on: those that move the speed of at least one of them.

    They follow from what ran and where, not from how fast it was measured to be.
    """
    named = {f"{name}.{stack}": sigma for name, sigma in OF_THE_STACK.items()} | dict(OF_ALL)
    start = np.log(_speed(runs, constants))
    found = []
    for name, sigma in named.items():
        try:
            prior = constant(constants, name)
        except KeyError:
            continue
        # A share of what the chip or the link does is at most all of it.
        high = max(1.0, prior) if name.partition(".")[0].endswith("_efficiency") else math.inf
        ends = (prior * math.exp(-sigma), min(prior * math.exp(sigma), high))
        moves = (np.log(_speed(runs, with_constants(constants, {name: end}))) - start for end in ends)
        if prior > 0 and any(float(np.max(np.abs(move))) >= BEARS for move in moves):
            found.append(Parameter(name=name, prior=prior, sigma=sigma, high=high))
    return found


def changes_of(
    parameters: Sequence[Parameter], values: Mapping[str, float], sigmas: Mapping[str, float]
) -> tuple[ConstantChange, ...]:
    """Return what became of each constant, in the order of their names."""
    return tuple(
        ConstantChange(
            name=one.name,
            before=rounded(one.prior),
            after=values[one.name],
            sigma_before=rounded(one.sigma, 4),
            sigma_after=rounded(min(sigmas[one.name], one.sigma), 4),
        )
        for one in sorted(parameters, key=lambda one: one.name)
    )


def rounded(value: float, digits: int = 6) -> float:
    """Return `value` to so many significant digits: what stands in the file is what is calculated with."""
    return float(f"{value:.{digits}g}")


def _scale(runs: Runs, times: Floats, here: Bools, gpu: str, constants: SpeedConstants) -> Parameter:
    """Return the factor of a card as a parameter; `times` are the rows' measured over modelled speeds, shape (n,).

    The search begins at the median row of the card, so that it finds its way from far off too.
    """
    at = np.flatnonzero(here)[0]
    stack, chip = constants.stack_sigma[runs.recipe.stack[at]], constants.architecture_sigma[runs.machine.architecture]
    sigma = max(LEAST_SCALE_SIGMA, math.hypot(float(stack), float(chip[at])))
    start = float(np.exp(np.median(np.log(times[here]))))
    return Parameter(name=gpu, prior=1.0, sigma=sigma, low=FACTORS[0], high=FACTORS[1], start=start, heavy=True)


def _speed(runs: Runs, constants: SpeedConstants) -> Floats:
    """Return tokens/s of the whole job, shape (n,), on cards that nobody calibrated."""
    return _speed_of(runs, step_parts(runs, constants), np.ones(1))


def _speed_of(runs: Runs, parts: Mapping[str, Floats], factors: Floats) -> Floats:
    """Return tokens/s of the whole job, shape (n,), on cards that are faster by `factors` as a whole.

    `parts` are the seconds of a step. To the last digit what `estimate_throughput` expects, without its interval: a
    fit asks for this at every evaluation.
    """
    recipe, machine = runs.recipe, runs.machine
    step_s = sum((part / factors for part in parts.values()), start=np.zeros(1))
    processed_per_s = processed_tokens(recipe) * recipe.grad_accum * (machine.gpu_count * machine.nodes) / step_s
    speed: Floats = processed_per_s / recipe.padding_factor
    return speed


def _noise(residuals: Floats) -> float:
    """Return the deviation of a row around the calibrated model: the published one, corrected by what is seen.

    Far residuals count as the fit counts them: what does not belong widens the interval of everything else little.
    """
    seen = float(np.sum((NOISE * robust(residuals / NOISE)) ** 2))
    variance = (NOISE_WEIGHT * NOISE**2 + seen) / (NOISE_WEIGHT + len(residuals) - 1)
    return max(LEAST_NOISE, math.sqrt(variance))


def _card(scale: Parameter, rows: list[Row], off: Floats, stack: str, factor: float, noise: float) -> CardCalibration:
    """Return the calibration of one card: what is left is the noise of a row, and what is not known of the factor.

    `off` is ln(measured / calibrated) of its rows, shape (n,). Where rows contradict each other, what is left is as
    much as it takes to cover them, and it is said.
    """
    unsure = 1.0 / math.sqrt(1.0 / scale.sigma**2 + len(rows) / noise**2)
    sigma = covering_sigma(rows, off, math.hypot(noise, unsure))
    return CardCalibration(
        stack=stack,
        gpu=scale.name,
        factor=factor,
        sigma=rounded(sigma, 4),
        speed_rows=len(rows),
        memory_rows=0,
        speed=range_of(lay_out(rows)),
        memory=None,
        warnings=warnings_of(rows, off, sigma),
    )
