"""How uncertain a price is for its age, and when a spot price counts as fresh."""

from __future__ import annotations

import math

from providers.offer import PriceClass, PricingModel

YEAR_S = 365.0 * 86400.0
SPOT_FRESH_S: dict[PriceClass, float] = {PriceClass.LIVE: 6 * 3600.0, PriceClass.OWN: 86400.0}
"""A spot price older than this is not offered unless spot was asked for; a listed one never is.

The same limits as in `cache.freshness`, which the search may not import; a contract test holds them together.
"""

SIGMA_PER_ROOT_YEAR: dict[PricingModel, float] = {
    PricingModel.ON_DEMAND: 0.10,
    PricingModel.SPOT: 0.75,
    PricingModel.RESERVED: 0.0,
}
"""Standard deviation of the logarithm of a price after one year.

Root of the summed squared log changes over series-years of published price changes, 2022 to 2026: Azure on-demand 0.107
(1,488 series), AWS on-demand 0.050 (105 series), GCP on-demand none, GCP spot 0.73 (387 series, 13 weeks).
"""


def price_sigma(*, price_class: PriceClass, pricing_model: PricingModel, age_s: float) -> float:
    """Return the standard deviation of the logarithm of a price observed `age_s` seconds ago.

    A random walk: it grows with the root of the age. The user's own prices and committed ones are contracts and do not
    drift; a price from the future counts as just observed.
    """
    if price_class is PriceClass.OWN:
        return 0.0
    return SIGMA_PER_ROOT_YEAR[pricing_model] * math.sqrt(max(age_s, 0.0) / YEAR_S)


def spot_is_fresh(*, price_class: PriceClass, age_s: float) -> bool:
    """Return whether a spot price may be used without being asked for: live or the user's own, and young enough."""
    return price_class in SPOT_FRESH_S and age_s <= SPOT_FRESH_S[price_class]
