"""Episodes of availability drawn from a model, seeded: what a plan is tried on where nobody has watched a zone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .availability import AGE_FROM_H, HOUR_S
from .replay import Market

if TYPE_CHECKING:
    from optimizer.physics.runs import Bools, Floats

    from .availability import AvailabilityModel

_EDGES_S = np.array(AGE_FROM_H) * HOUR_S


def draw_market(
    model: AvailabilityModel,
    *,
    episodes: int,
    span_s: float,
    step_s: float,
    spot_micro_per_s: float,
    seed: int,
) -> Market:
    """Return `episodes` drawn from the model, each `span_s` long in steps of `step_s`, at one price (micro-dollars/s).

    The market is met at a random moment: up or down and at an age as in the long run. A state ends within a step with
    the chance that its hazard gives over the step; it ends at most once a step.
    """
    steps = int(np.ceil(span_s / step_s - 1e-9))
    random = np.random.default_rng(seed)
    up, age_s = _first(model, random.random((3, episodes)))
    first_age_s = age_s
    shown = np.empty((episodes, steps), dtype=np.bool_)
    for step in range(steps):
        shown[:, step] = up
        expected = np.where(
            up,
            _hazard_over(model.loss_per_hour, age_s, step_s),
            _hazard_over(model.return_per_hour, age_s, step_s),
        )
        ended = random.random(episodes) < -np.expm1(-expected)
        age_s = np.where(ended, 0.0, age_s + step_s)
        up = up ^ ended
    return Market(up=shown, spot_micro_per_s=np.full(shown.shape, spot_micro_per_s), step_s=step_s, age_s=first_age_s)


def _first(model: AvailabilityModel, uniform: Floats) -> tuple[Bools, Floats]:
    """Return state and age (seconds) met at a random moment, from uniform numbers of shape (3, n)."""
    met_up, met_down = model.stationary()
    chances = np.concatenate([met_up, met_down])
    edges = np.cumsum(chances)
    # The last edge may fall short of one by rounding; a cell without any chance is never drawn.
    cell = np.searchsorted(edges, uniform[0] * edges[-1], side="right")
    cell = np.minimum(cell, np.flatnonzero(chances)[-1])
    ages = len(AGE_FROM_H)
    up: Bools = cell < ages
    bucket = cell % ages
    rate = np.where(up, model.loss_per_hour[bucket], model.return_per_hour[bucket]) / HOUR_S
    width = np.append(np.diff(_EDGES_S), np.inf)[bucket]
    return up, _EDGES_S[bucket] + _age_within(rate, width, uniform[1])


def _age_within(rate_per_s: Floats, width_s: Floats, uniform: Floats) -> Floats:
    """Return how far into its bucket an age is: the longer a stretch, the fewer are left (truncated exponential)."""
    endless = np.isinf(width_s)
    with np.errstate(divide="ignore", invalid="ignore"):
        gone = -np.expm1(-rate_per_s * width_s)
        inside = -np.log1p(-uniform * gone) / rate_per_s
    flat = np.where(endless, 0.0, uniform * np.where(endless, 0.0, width_s))
    return np.where(rate_per_s > 0.0, inside, flat)


def _hazard_over(rate_per_hour: Floats, age_s: Floats, step_s: float) -> Floats:
    """Return the expected ends of a state within a step, from each age on, shape (n,)."""
    return _cumulative(rate_per_hour, age_s + step_s) - _cumulative(rate_per_hour, age_s)


def _cumulative(rate_per_hour: Floats, age_s: Floats) -> Floats:
    """Return the integral of the hazard from birth to each age."""
    at_edges = np.concatenate([[0.0], np.cumsum(rate_per_hour[:-1] * np.diff(_EDGES_S))]) / HOUR_S
    beyond = np.maximum(age_s - _EDGES_S[-1], 0.0) * rate_per_hour[-1] / HOUR_S
    total: Floats = np.interp(age_s, _EDGES_S, at_edges) + beyond
    return total
