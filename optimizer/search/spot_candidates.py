"""One spot candidate in full: what losing machines does to it, who acts then, and the policy to follow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from optimizer.physics.duration import normal_cdf
from optimizer.physics.throughput import Z90
from providers.basis import Basis, Estimate

from .candidates import left_of_rentals, rates_at
from .fallbacks import elsewhere_allowed, failover_order
from .spot.answer import CheckpointAdvice, Fallback
from .spot.availability import HOUR_S
from .spot.checkpoint_interval import NOTICE_S, best_interval_s, waste_on_notice, wasted_fraction
from .spot.closed_form import spot_moments
from .spot.problem import SpotProblem
from .spot_met import hazard_of
from .spot_rows import run_shape, spot_times, waits_of
from .spot_simulated import DRAWN_RUNS, Drawn, Draws, drawn_without_net

if TYPE_CHECKING:
    from optimizer.workload.job import Job
    from providers.offer import Offer

    from .market import Market
    from .spot.closed_form import SpotMoments
    from .spot.interruption_classes import SpotPrior
    from .spot_rows import SpotTimes

MOST_FAILOVERS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotRun:
    """A spot candidate as the models take it: where in the market, its times, what is assumed of its availability."""

    market: Market
    place: int
    hardware: int
    times: SpotTimes
    """Columns of shape (1,)."""
    prior: SpotPrior
    regions: int

    @property
    def offer_at(self) -> int:
        """Position of the offer."""
        return int(self.market.places.offer[self.place])

    @property
    def offer(self) -> Offer:
        """The spot offer."""
        return self.market.offers.offers[self.offer_at]

    @property
    def nodes(self) -> int:
        """Instances rented at once."""
        return int(self.market.places.nodes[self.place])

    @property
    def job(self) -> Job:
        """The job that the market is for."""
        return self.market.job

    @property
    def has_net(self) -> bool:
        """Whether a policy keeps the run in time: one is followed, and there is an on-demand machine to go to."""
        return bool(self.market.bounded[self.offer_at])

    @property
    def left_s(self) -> float | None:
        """Seconds to the deadline; None without one."""
        return None if self.job.deadline_at is None else (self.job.deadline_at - self.market.now).total_seconds()


def spot_run(market: Market, place: int, hardware: int) -> SpotRun:
    """Return the spot candidate at a place and a hardware row of its class."""
    offer_at = int(market.places.offer[place])
    prior = market.offers.priors[int(market.offers.prior[offer_at])]
    row = market.hardware.row[hardware : hardware + 1]
    rate = np.array([prior.expected.rate_per_hour])
    return SpotRun(
        market=market,
        place=place,
        hardware=hardware,
        times=spot_times(market.job, market.physics, row, rate / HOUR_S),
        prior=prior,
        regions=int(market.hardware.regions[market.hardware.klass[hardware]]),
    )


def problem_of(run: SpotRun) -> SpotProblem:
    """Return what the policy of a run is worked out for, in whole seconds.

    Raises ValueError without a deadline or an on-demand machine to fall back on.
    """
    market, left_s = run.market, run.left_s
    net_micro = float(market.fallback_micro_per_s[run.offer_at])
    if left_s is None or not np.isfinite(net_micro):
        raise ValueError("a policy needs a deadline and an on-demand machine to fall back on")
    times = run.times
    return SpotProblem(
        work_s=float(times.machine_s[0]),
        deadline_s=left_s,
        restart_s=float(times.fixed_s[0]),
        loss_s=float(times.loss_s[0]),
        spot_micro_per_s=float(market.offers.price_micro_per_s[run.offer_at]) * run.nodes,
        on_demand_micro_per_s=net_micro * run.nodes,
        availability=run.prior.expected,
    ).in_whole_seconds()


def beside_machines_micro(run: SpotRun) -> tuple[float, float]:
    """Return micro-dollars of disk and egress of one run, and of its share of the job's hidden costs."""
    rates = rates_at(run.market, np.array([run.place]), np.array([run.hardware]))
    seconds = float(run.market.hardware.expected_s[run.hardware])
    return float(rates.disk_micro_per_s[0]) * seconds + float(rates.egress_micro[0]), float(rates.hidden_micro)


def rounding_of(run: SpotRun) -> tuple[float, float]:
    """Return what billing by the increment adds to a run under a policy: instance-seconds and micro-dollars, means."""
    seconds, micro = left_of_rentals(run.market, np.array([run.place]), np.array([run.hardware]))
    return float(seconds[0]), float(micro[0])


def moments_of(run: SpotRun, *, end: str = "expected") -> SpotMoments:
    """Return what the closed form says of a run at the low, expected or high end of its prior."""
    model = getattr(run.prior, end)
    wait = waits_of(model, executor=run.job.executor, regions=run.regions)
    shape = run_shape(run.job, run.times, np.array([wait[0]]), np.array([wait[1]]))
    return spot_moments(shape, np.array([model.rate_per_hour / HOUR_S]))


def finish_probability_ppm(run: SpotRun) -> int:
    """Return the chance of ending by the deadline in millionths; 1,000,000 without one.

    Under a policy that of on-demand machines with a restart, a loss and a look at the market to spare; else that of
    runs that are drawn.
    """
    left_s = run.left_s
    if left_s is None:
        return 1_000_000
    if run.has_net:
        spare_s = problem_of(run).net_spot_s
        return round(1e6 * _within(run, left_s - spare_s))
    return drawn_of(run).finish_probability_ppm


def drawn_of(run: SpotRun) -> Drawn:
    """Return what drawn runs without a net come to; the same candidate is drawn once.

    At least 4,000 runs, however few are asked for: the choice hangs on their chance of making the deadline.
    """
    asked = run.market.draws or Draws(runs=DRAWN_RUNS)
    draws = replace(asked, runs=max(asked.runs, DRAWN_RUNS))
    key = ("drawn", run.hardware, int(run.market.offers.prior[run.offer_at]), draws)
    found = run.market.answers.get(key)
    if not isinstance(found, Drawn):
        found = drawn_without_net(run.job, run.times, run.prior, draws, left_s=run.left_s, regions=run.regions)
        run.market.answers[key] = found
    return found


def _within(run: SpotRun, seconds: float) -> float:
    """Return the chance that the run, undisturbed, takes no more than `seconds`."""
    times, fixed_sigma = run.times, run.market.physics.duration.fixed_sigma
    fixed, variable, sigma = float(times.fixed_s[0]), float(times.machine_s[0]), float(times.sigma[0])
    low, high = -40.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2.0
        takes_s = fixed * np.exp(fixed_sigma * middle) + variable * np.exp(sigma * middle)
        low, high = (middle, high) if takes_s <= seconds else (low, middle)
    return float(normal_cdf(np.array([low]))[0])


def interruptions_of(run: SpotRun, expected: float, *, spot_s: float) -> Estimate:
    """Return how many machines a run loses; the ends by the prior's own.

    `spot_s` is its time on spot: with a net, and where spot is scarcer, there is no more of it than can be had.
    """
    ends = [float(moments_of(run, end=end).interruptions[0]) for end in ("low", "expected", "high")]
    scale = expected / ends[1] if ends[1] > 0.0 else 1.0
    if run.has_net and run.left_s is not None:
        worst = run.prior.high
        held_h = min(spot_s, worst.available_fraction * run.left_s) / HOUR_S
        ends[2] = min(ends[2], worst.rate_per_hour * held_h / scale) if scale > 0.0 else ends[2]
    return Estimate(
        low=min(ends[0] * scale, expected), expected=expected, high=max(ends[2] * scale, expected), basis=Basis.ASSUMED
    )


def rate_of(prior: SpotPrior) -> Estimate:
    """Return losses per hour of availability."""
    low, expected, high = _ordered_rates(prior)
    return Estimate(low=low, expected=expected, high=high, basis=prior.basis)


def _ordered_rates(prior: SpotPrior) -> tuple[float, float, float]:
    low, expected, high = (one.rate_per_hour for one in (prior.low, prior.expected, prior.high))
    return min(low, expected), expected, max(high, expected)


def checkpoint_advice(run: SpotRun) -> CheckpointAdvice:
    """Return the checkpoint interval that the figures assume, the best one, and what writing on notice would change."""
    times, model = run.times, run.prior.expected
    every, write, restart = (float(one[0]) for one in (times.every_s, times.write_s, times.fixed_s))
    hazard = hazard_of(model.loss_per_hour)
    notice_s = NOTICE_S.get(run.offer.provider, 0.0)
    gain = waste_on_notice(hazard=hazard, checkpoint_s=write, restart_s=restart, notice_s=notice_s)
    best = float(best_interval_s(np.array([write]), np.array([model.rate_per_hour / HOUR_S]))[0])
    return CheckpointAdvice(
        every_s=every,
        chosen=run.job.overheads.checkpoint_every_s is None,
        best_every_s=min(best, float(times.work_s[0])),
        write_s=write,
        waste_fraction=wasted_fraction(every, hazard=hazard, checkpoint_s=write, restart_s=restart),
        notice_s=notice_s,
        waste_on_notice_fraction=gain.on_notice_waste_fraction if gain.usable and notice_s > 0.0 else None,
    )


def net_of(run: SpotRun) -> Fallback | None:
    """Return the on-demand offer of the net with the most that it may cost: the 90 % quantile of its price by age."""
    at = int(run.market.fallback[run.offer_at])
    if at < 0:
        return None
    offers = run.market.offers
    ceiling = offers.offers[at].unit_price_nano * float(np.exp(Z90 * offers.price_sigma[at]))
    return Fallback(offer=offers.offers[at], ceiling_nano=int(np.ceil(ceiling)))


def failover_of(run: SpotRun) -> tuple[Fallback, ...]:
    """Return where to look for spot machines, in order, each up to the price of the on-demand machine to fall back on.

    Where there is none a price may rise to twice what it is: above that the plan is another one.
    """
    market, offers = run.market, run.market.offers
    allowed = elsewhere_allowed(market.places.slacks, offers)
    found = []
    net = int(market.fallback[run.offer_at])
    for at in failover_order(offers, run.offer_at, allowed, market.fallback)[:MOST_FAILOVERS]:
        price = offers.offers[at].unit_price_nano
        ceiling = offers.offers[net].unit_price_nano if net >= 0 else 2 * price
        found.append(Fallback(offer=offers.offers[at], ceiling_nano=max(ceiling, price)))
    return tuple(found)
