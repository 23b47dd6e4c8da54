"""The driver that only spot machines have: how often they are taken away, and how long the wait for the next one is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .sensitivity_results import Driver
from .spot_rows import spot_columns

if TYPE_CHECKING:
    from .sensitivity_uncertain import Held
    from .spot.availability import AvailabilityModel
    from .spot_rows import SpotColumns


def interruptions(held: Held) -> Driver:
    """Return the driver: the assumed or observed availability at its low and its high end, the work as planned."""
    market = held.market
    prior = market.offers.priors[int(market.offers.prior[held.offer_at])]
    base = held.point(prior.expected.rate_per_hour)
    planned = _columns(held, prior.expected)
    points = [base]
    for model in (prior.low, prior.high):
        if model.rate_per_hour == prior.expected.rate_per_hour:
            continue
        found = _columns(held, model)
        points.append(
            held.point(
                model.rate_per_hour,
                usd_micro=_cost(held, found),
                duration_s=held.choice.duration_s.expected * float(found.expected_s[0] / planned.expected_s[0]),
                finish_s=held.choice.finish_s_at_confidence * float(found.finish_s[0] / planned.finish_s[0]),
            )
        )
    return Driver(
        name="interruptions",
        unit="per_hour",
        base=base,
        points=tuple(sorted(points, key=lambda point: point.value)),
        why="what is known or assumed of the place, and its interval, waits included",
    )


def _columns(held: Held, model: AvailabilityModel) -> SpotColumns:
    """Return the times of the choice where availability is known to be `model`, arrays of shape (1,)."""
    market, at = held.market, np.array([held.hardware])
    prior = replace(
        market.offers.priors[int(market.offers.prior[held.offer_at])], low=model, expected=model, high=model
    )
    return spot_columns(
        market.job,
        market.physics,
        market.hardware.row[at],
        prior=np.zeros(1, dtype=np.int64),
        priors=[prior],
        regions=np.ones(1, dtype=np.int64),
        left_s=held.left_s,
    )


def _cost(held: Held, found: SpotColumns) -> int:
    hardware = held.market.hardware
    changed = {name: getattr(hardware, name).copy() for name in ("expected_s", "held_fraction", "on_spot_fraction")}
    for name, column in changed.items():
        column[held.hardware] = getattr(found, name)[0]
    return held.cost_in(replace(held.market, hardware=replace(hardware, **changed), answers={}))
