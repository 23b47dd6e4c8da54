"""The drivers that are uncertain in themselves: the price by its age, the throughput, interruptions of spot machines.

Their intervals are the 10 % and 90 % quantiles of the plan. Nothing physical changes: columns of the market are moved,
bills joined anew, and the best of them taken, which takes a millisecond or two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from optimizer.physics.duration import FIXED_PARTS
from optimizer.physics.throughput import Z90
from providers.offer import PricingModel

from .candidates import budget_micro, join
from .choice import settle
from .columns import duration_at
from .constraints import bit
from .cost import NANO_HOURS_PER_MICRO_S
from .sensitivity_replan import best_settled
from .sensitivity_results import Driver, DriverPoint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.physics.duration import DurationColumns
    from optimizer.physics.runs import Bools
    from providers.offer import BillingTerms

    from .choice import Settlement
    from .market import Market
    from .results import Candidate
    from .solve import Quota

DEADLINE = "deadline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The choice that is held while drivers move: where it stands in the market that was settled."""

    market: Market
    settled: Settlement
    place: int
    hardware: int
    choice: Candidate
    quotas: Sequence[Quota] = ()

    @property
    def offer_at(self) -> int:
        """Position of its offer."""
        return int(self.market.places.offer[self.place])

    @property
    def terms(self) -> BillingTerms:
        """Billing terms of its provider."""
        return self.market.offers.terms[self.offer_at]

    @property
    def left_s(self) -> float | None:
        """Seconds until the deadline; None without one."""
        deadline_at = self.market.job.deadline_at
        return None if deadline_at is None else (deadline_at - self.market.now).total_seconds()

    def cost_in(self, market: Market) -> int:
        """Return the cost of the choice in a changed market: as planned, and what the change adds, in micro-dollars."""
        row, place = np.array([self.hardware]), np.array([self.place])
        planned, changed = (join(one, row, place).expected_micro[0] for one in (self.market, market))
        return self.choice.quote.expected_usd_micro + round(float(changed - planned))

    def with_best(self, point: DriverPoint, market: Market) -> DriverPoint:
        """Return a point with the best plan of its market; as it is where spot policies would be worked out anew."""
        if market.has_net:
            return point
        return replace(point, sought=True, best=best_settled(settle(market, self.quotas), self.choice))

    def point(
        self,
        value: float,
        *,
        usd_micro: int | None = None,
        duration_s: float | None = None,
        finish_s: float | None = None,
    ) -> DriverPoint:
        """Return the choice at a value of a driver: as planned, but for the cost and the times that are given."""
        choice, left_s = self.choice, self.left_s
        finish = choice.finish_s_at_confidence if finish_s is None else finish_s
        cost = choice.quote.expected_usd_micro if usd_micro is None else usd_micro
        allowed = budget_micro(self.market.job)
        # The high end as planned; a cost beyond it (never within one interval) counts itself.
        high = max(choice.quote.high_usd_micro, cost)
        return DriverPoint(
            value=value,
            usd_micro=cost,
            duration_s=choice.duration_s.expected if duration_s is None else duration_s,
            finish_s=finish,
            needed_bytes=choice.memory.needed.high,
            usable_bytes=float(choice.memory.usable_bytes),
            fits=True,
            in_time=None if left_s is None else finish <= left_s,
            in_budget=None if allowed is None else high * self.market.job.runs <= allowed,
        )


def uncertain_drivers(held: Held) -> list[Driver]:
    """Return price and throughput, and the rate of interruptions where the choice can be taken away."""
    spot = held.choice.offer.pricing_model is PricingModel.SPOT
    if not spot:
        return [_price(held), _throughput(held)]
    from .sensitivity_spot import interruptions

    return [_price(held), _throughput(held), interruptions(held)]


def _price(held: Held) -> Driver:
    """The price of the choice at the ends of its interval, that of all other offers as it is."""
    offer = held.choice.offer
    sigma = float(held.market.offers.price_sigma[held.offer_at])
    base = held.point(_per_hour_micro(offer.unit_price_nano))
    points = [base]
    for sign in (-1.0, 1.0) if sigma > 0.0 else ():
        nano = round(offer.unit_price_nano * np.exp(sign * Z90 * sigma))
        market = _at_price(held, nano)
        point = held.point(_per_hour_micro(nano), usd_micro=held.cost_in(market))
        points.append(held.with_best(point, market))
    return Driver(
        name="price",
        unit="usd_micro_per_hour",
        base=base,
        points=tuple(sorted(points, key=lambda point: point.value)),
        why="what a price of that age may have become" if sigma else "",
        one_sided="" if sigma else "it was just observed, or agreed on",
    )


def _per_hour_micro(nano: int) -> float:
    return nano / 1000.0


def _at_price(held: Held, nano: int) -> Market:
    """Return the market in which the offer of the choice costs `nano` an hour and every other what it costs."""
    market, at = held.market, held.offer_at
    offers = list(market.offers.offers)
    offers[at] = replace(offers[at], unit_price_nano=nano)
    prices = market.offers.price_micro_per_s.copy()
    prices[at] = nano / NANO_HOURS_PER_MICRO_S
    columns = replace(market.offers, offers=tuple(offers), price_micro_per_s=prices)
    return replace(market, offers=columns, answers={})


def _throughput(held: Held) -> Driver:
    """The throughput at its quantiles, of every machine with that GPU alike; the time is then known to that extent."""
    speed = held.choice.speed.tokens_per_s
    base = held.point(speed.expected)
    points = [base]
    for value in (speed.low, speed.high) if speed.low < speed.expected else ():
        market = _at_speed(held, value / speed.expected)
        hardware, planned = market.hardware, held.market.hardware
        longer, later = (
            float(moved[held.hardware] / before[held.hardware])
            for moved, before in (
                (hardware.expected_s, planned.expected_s),
                (hardware.finish_s, planned.finish_s),
            )
        )
        point = held.point(
            value,
            usd_micro=held.cost_in(market),
            duration_s=held.choice.duration_s.expected * longer,
            finish_s=held.choice.finish_s_at_confidence * later,
        )
        points.append(held.with_best(point, market))
    return Driver(
        name="throughput",
        unit="tokens_per_s",
        base=base,
        points=tuple(sorted(points, key=lambda point: point.value)),
        why="its 10 % and 90 % quantiles, of every machine with that GPU alike",
    )


def _at_speed(held: Held, factor: float) -> Market:
    """Return the market in which every machine with the GPU of the choice is `factor` times as fast, and surely so.

    What interruptions add to a run on spot machines keeps its share.
    """
    market = held.market
    hardware = market.hardware
    rows = np.flatnonzero(_on_gpu(market, held.choice.gpu.id) & np.isfinite(hardware.finish_s))
    planned = duration_at(market.physics.duration, hardware.row[rows])
    scaled = _scaled(planned, factor)
    confidence = market.job.confidence_ppm / 1e6
    expected_s, high_s, finish_s = (one.copy() for one in (hardware.expected_s, hardware.high_s, hardware.finish_s))
    expected_s[rows] *= scaled.total.expected / planned.total.expected
    high_s[rows] *= scaled.quantile(0.9) / planned.total.high
    finish_s[rows] *= scaled.quantile(confidence) / planned.quantile(confidence)
    broken = hardware.broken
    if held.left_s is not None:
        broken = (broken & ~bit(DEADLINE)) | np.where(finish_s > held.left_s, bit(DEADLINE), 0)
    changed = replace(hardware, expected_s=expected_s, high_s=high_s, finish_s=finish_s, broken=broken)
    return replace(market, hardware=changed, answers={})


def _scaled(duration: DurationColumns, factor: float) -> DurationColumns:
    """Return durations with everything that goes with the time of training `factor` times as fast, and certain."""
    parts = {name: part if name in FIXED_PARTS else part / factor for name, part in duration.parts_s.items()}
    expected = sum(parts.values(), start=np.zeros(1))
    return replace(
        duration,
        parts_s=parts,
        total=replace(duration.total, expected=expected),
        variable_sigma=np.zeros_like(duration.variable_sigma),
    )


def _on_gpu(market: Market, gpu: str) -> Bools:
    """Return which hardware rows are on machines with a GPU, shape (m,)."""
    of_machine = np.array([machine.gpu.id == gpu for machine in market.offers.machines], dtype=np.bool_)
    of_class = np.zeros(market.hardware.start.shape[0] - 1, dtype=np.bool_)
    of_class[market.places.klass] = of_machine[market.offers.machine[market.places.offer]]
    return of_class[market.hardware.klass]
