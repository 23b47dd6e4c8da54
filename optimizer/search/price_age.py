"""How uncertain a price is for its age, and when a spot price counts as fresh."""

from __future__ import annotations

import functools
import math
from statistics import NormalDist
from types import MappingProxyType
from typing import TYPE_CHECKING

from optimizer.physics.throughput import Z90
from providers.offer import PriceClass, PricingModel

if TYPE_CHECKING:
    from collections.abc import Mapping

DAY_S = 86_400.0
YEAR_S = 365.0 * DAY_S
SPOT_FRESH_S: Mapping[PriceClass, float] = MappingProxyType({PriceClass.LIVE: 6 * 3600.0, PriceClass.OWN: DAY_S})
"""A spot price older than this is not offered unless spot was asked for; a listed one never is.

The default of what the search is handed (`Tables.spot_fresh_s`), and the same limits as in `cache.freshness`, which the
search may not import; a contract test holds them together.
"""

ON_DEMAND_SIGMA = 0.10
"""Standard deviation of the logarithm of an on-demand price after one year; it grows with the root of the age.

Root of the summed squared log changes over series-years of published price changes, 2022 to 2026: Azure 0.107 (1,488
series), AWS 0.050 (105 series), Google Cloud none.
"""

# Spot, from 387 series of Google Cloud spot prices (A2, A3, G2, G4) in ten snapshots from May to July 2026. Prices are
# reset about every second week and stand still in between. 1,446 of 1,551 changes are steps of 2 to 10 %, most of them
# 5 % up; the other 105 are jumps, 85 of them one event, in which a family doubled. A random walk of the same variance
# (0.75 a root year) is more than twice as wide as the moves of the first two weeks: 0.8 % lie beyond its high end
# within nine days, where 10 % are meant. The figures below leave 15 to 17 % beyond the high end at all ages up to 50
# days, and 0 to 2 % beyond the low end: 81 to 86 % inside. That is judged on the series they are fitted on, and how
# often prices jump rests on that one event: from the fifth week on the width is an order of size, not more.
STEP_SIGMA_PER_ROOT_YEAR = 0.24
STEP_DRIFT_PER_YEAR = 0.65
"""Where steps lead is not known ahead, so their drift counts as width, on both sides."""
JUMPS_PER_YEAR = 1.2
JUMP_LOG, JUMP_SIGMA = 0.60, 0.18
"""Mean and deviation of the logarithm of a jump: nearly all went up."""
OBSERVED_S = 83 * DAY_S
"""The longest age at which moves were observed: beyond it the width grows with the root of the age."""


def price_sigma(*, price_class: PriceClass, pricing_model: PricingModel, age_s: float) -> float:
    """Return the standard deviation of the logarithm of a price observed `age_s` seconds ago.

    The user's own prices and committed ones are contracts and do not drift; a price from the future counts as just
    observed. For spot it is the deviation of the lognormal whose 90 % quantile is that of the moves: not their
    standard deviation, which one rare jump decides.
    """
    age_s = max(age_s, 0.0)
    if price_class is PriceClass.OWN or pricing_model is PricingModel.RESERVED:
        return 0.0
    if pricing_model is PricingModel.SPOT:
        return _spot_sigma(age_s)
    return ON_DEMAND_SIGMA * math.sqrt(age_s / YEAR_S)


def spot_is_fresh(
    *, price_class: PriceClass, age_s: float, limits_s: Mapping[PriceClass, float] = SPOT_FRESH_S
) -> bool:
    """Return whether a spot price may be used without being asked for: live or the user's own, and young enough."""
    return price_class in limits_s and age_s <= limits_s[price_class]


@functools.lru_cache(maxsize=4096)
def _spot_sigma(age_s: float) -> float:
    if age_s > OBSERVED_S:
        return _spot_sigma(OBSERVED_S) * math.sqrt(age_s / OBSERVED_S)
    return _move_quantile(age_s / YEAR_S) / Z90 if age_s > 0.0 else 0.0


def _move_quantile(years: float) -> float:
    """Return which logarithm of a price move 90 % of all moves stay below: steps, and jumps on top of some of them."""
    steps = NormalDist(sigma=math.hypot(STEP_SIGMA_PER_ROOT_YEAR * math.sqrt(years), STEP_DRIFT_PER_YEAR * years))
    jumped = NormalDist(mu=JUMP_LOG, sigma=math.hypot(steps.stdev, JUMP_SIGMA))
    jump_probability = 1.0 - math.exp(-JUMPS_PER_YEAR * years)
    low, high = 0.0, 5.0
    for _ in range(50):  # halving 5 until nothing is left of it in a float
        middle = (low + high) / 2.0
        below = (1.0 - jump_probability) * steps.cdf(middle) + jump_probability * jumped.cdf(middle)
        low, high = (middle, high) if below < 0.9 else (low, middle)
    return high
