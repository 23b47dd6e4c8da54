"""Fitting constants to measured runs: robust least squares on logarithms, with a prior for every constant.

What is minimised is the negative logarithm of a posterior: for every reading the pseudo-Huber loss of its residual
(scipy's `soft_l1`: quadratic near zero, linear for what does not belong), for every constant the square of its
distance to the prior, all in standard deviations. One measured row moves the constants a little, hundreds decide them.
A heavy-tailed constant, such as the factor of a card, has the same loss for its prior: far out the prior pulls with no
more than one standard deviation does, and so less than a single reading.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from providers.errors import SolverFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from optimizer.physics.runs import Floats

MOST_EVALUATIONS = 60
_FAR = 12.0
"""Bound on a constant, in standard deviations of its prior: a guard against overflow, far outside any answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A constant to fit: its name, what it is believed to be before, and how surely.

    `sigma` is the standard deviation of the constant's logarithm; `low` and `high` bound the value itself. `start` is
    where the search begins (None: the prior), `heavy` a prior with heavy tails: what is far from it is believed.
    """

    name: str
    prior: float
    sigma: float
    low: float = 0.0
    high: float = float("inf")
    start: float | None = None
    heavy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What came out: the value of each constant, and the standard deviation of its logarithm.

    `residuals` are ln(predicted / measured) of the readings, shape (n,); `started` those before the fit.
    """

    values: Mapping[str, float]
    sigmas: Mapping[str, float]
    residuals: Floats
    started: Floats
    evaluations: int


def fit_constants(
    parameters: Sequence[Parameter],
    predict: Callable[[Mapping[str, float]], Floats],
    measured: Floats,
    *,
    deviation: Floats,
    weight: Floats | None = None,
) -> Fit:
    """Return the constants that explain `measured` best.

    `predict` returns the readings, shape (n,), for values of the constants by name; `deviation` is the standard
    deviation of ln(measured) around a right model, shape (n,); `weight` counts a reading as so many (default 1).
    Raises SolverFailed where a prediction is no positive number.
    """
    from scipy.optimize import least_squares

    priors, target = _Priors(parameters), np.log(measured)
    scale = np.sqrt(np.ones_like(target) if weight is None else weight)

    def errors(logs: Floats) -> Floats:
        found = predict(priors.named(logs))
        if not np.all(found > 0):
            raise SolverFailed("a constant left the range in which the model has a value: check the runs to fit")
        result: Floats = np.log(found) - target
        return result

    def residuals(logs: Floats) -> Floats:
        return np.concatenate([scale * robust(errors(logs) / deviation), priors.pull(logs)])

    before, sigmas = priors.within(priors.middle), priors.sigma.tolist()
    if not parameters or not len(target):
        nothing = errors(before) if len(target) else target
        return Fit(values=priors.named(before), sigmas=dict(zip(priors.names, sigmas, strict=True)), residuals=nothing,
                   started=nothing, evaluations=0)  # fmt: skip
    found = least_squares(
        residuals, priors.within(priors.start), bounds=(priors.lowest, priors.highest), x_scale=priors.sigma,
        max_nfev=MOST_EVALUATIONS, ftol=1e-7, xtol=1e-7,
    )  # fmt: skip
    slopes = np.asarray(found.jac, dtype=np.float64)
    spread = np.sqrt(np.diag(np.linalg.inv(slopes.T @ slopes)))
    return Fit(
        values=priors.named(found.x),
        sigmas=dict(zip(priors.names, spread.tolist(), strict=True)),
        residuals=errors(found.x),
        started=errors(before),
        evaluations=int(found.nfev),
    )


class _Priors:
    """What is believed of the constants before: columns over them, all of their logarithms."""

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self.names = [one.name for one in parameters]
        self.middle: Floats = np.log([one.prior for one in parameters])
        self.start: Floats = np.log([one.prior if one.start is None else one.start for one in parameters])
        self.sigma = np.array([one.sigma for one in parameters])
        self._heavy = np.array([one.heavy for one in parameters], dtype=np.bool_)
        with np.errstate(divide="ignore"):
            self.lowest = np.maximum(np.log([one.low for one in parameters]), self.middle - _FAR * self.sigma)
            self.highest = np.minimum(np.log([one.high for one in parameters]), self.middle + _FAR * self.sigma)

    def within(self, logs: Floats) -> Floats:
        """Return the constants, strictly inside their bounds."""
        inside: Floats = np.clip(logs, self.lowest + 1e-9, self.highest - 1e-9)
        return inside

    def named(self, logs: Floats) -> dict[str, float]:
        """Return the values by name."""
        return dict(zip(self.names, np.exp(logs).tolist(), strict=True))

    def pull(self, logs: Floats) -> Floats:
        """Return the residuals of the priors."""
        away = (logs - self.middle) / self.sigma
        return np.where(self._heavy, robust(away), away)


def robust(z: Floats) -> Floats:
    """Return the residual whose square is twice scipy's `soft_l1` of z: like z near zero, like a root far out.

    Readings pass through it, and priors with heavy tails; other priors stay quadratic, which one loss for all
    residuals would not leave them. Written without the difference of two numbers that are nearly equal.
    """
    shrunk: Floats = z * np.sqrt(2.0 / (np.sqrt(1.0 + z**2) + 1.0))
    return shrunk


def source_weights(groups: Sequence[str], most: float) -> Floats:
    """Return how much each row counts, so that one large, regular source does not carry the fit.

    A source of up to `most` rows counts as it is; a larger one as `most` rows.
    """
    sizes: dict[str, int] = {}
    for group in groups:
        sizes[group] = sizes.get(group, 0) + 1
    return np.array([min(1.0, most / sizes[group]) for group in groups])
