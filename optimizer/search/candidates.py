"""Hardware joined with prices. First the exact factorisation, then bills: the only place where the two meet.

Within a hardware class prices do not matter, so of every variant (tuning x width) only the Pareto set over the times
that a bill or a deadline can depend on is ever joined with offers. The cost of an offer never falls when one of those
times grows, so nothing that could be the cheapest is lost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .constraints import BUDGET, bit
from .cost import MICRO, Rates, disk_micro_per_s, egress_micro, expected_micro, hidden_share_micro, high_micro
from .pareto import undominated
from .spot.availability import HOUR_S
from .spot.problem import POLL_S, WASTE_ALLOWED
from .spot_share import OLDER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optimizer.physics.runs import Bools, Floats, Ints
    from optimizer.workload.job import Job

    from .market import Market

UNKNOWN_SPEED = bit("speed_known")
BILLS_AT_ONCE = 200_000
"""Bills that lie in memory at one time where all tuples of a market are billed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bills:
    """Places joined with hardware rows of their class: shape (n,). Costs are whole micro-dollars in float64."""

    place: Ints
    hardware: Ints
    expected_micro: Floats
    high_micro: Floats

    @property
    def count(self) -> int:
        """Number of bills."""
        return int(self.place.shape[0])

    def take(self, rows: Ints | Bools) -> Bills:
        """Return the bills at the given positions, or where a mask is true."""
        return Bills(
            place=self.place[rows],
            hardware=self.hardware[rows],
            expected_micro=self.expected_micro[rows],
            high_micro=self.high_micro[rows],
        )

    def with_expected(self, expected_micro: Floats) -> Bills:
        """Return the bills with other expected costs; the high ends never below them."""
        high = np.maximum(self.high_micro, expected_micro)
        return replace(self, expected_micro=expected_micro, high_micro=high)


def factorise(market: Market, rows: Ints) -> Ints:
    """Return those of the hardware rows (positions, ascending) that no other of the same class and variant beats.

    Less is better in: median, 90 % quantile, and time at the confidence asked for; of equals in memory.
    """
    hardware = market.hardware
    group = hardware.klass[rows] * len(market.grid.variants) + hardware.variant[rows]
    # Disk is the same for all rows of a variant, so the three times are all that a bill depends on.
    times = [hardware.expected_s[rows], hardware.finish_s[rows], hardware.high_s[rows]]
    memory = hardware.slacks.get("memory")
    # Rows of a class have the same usable memory: of equal times the one that needs least has the most headroom.
    return rows[undominated(group, times, tie=None if memory is None else memory.needed[rows])]


def join(market: Market, rows: Ints, places: Ints) -> Bills:
    """Return the bills of every given place with every given hardware row (ascending) of its class."""
    hardware = market.hardware
    sizes = np.bincount(hardware.klass[rows], minlength=hardware.start.shape[0] - 1)
    starts = np.concatenate([[0], np.cumsum(sizes)])[:-1]
    klass = market.places.klass[places]
    counts = sizes[klass]
    ends = np.cumsum(counts)
    offset = np.arange(counts.sum()) - np.repeat(ends - counts - starts[klass], counts)
    return _billed(market, place=np.repeat(places, counts), hardware=rows[offset])


def join_in_parts(market: Market, rows: Ints, places: Ints) -> Iterator[Bills]:
    """Yield the bills of `join` in parts, at most `BILLS_AT_ONCE` and those of one place in each."""
    sizes = np.bincount(market.hardware.klass[rows], minlength=market.hardware.start.shape[0] - 1)
    ends = np.cumsum(sizes[market.places.klass[places]])
    part = ends // BILLS_AT_ONCE
    for one in np.unique(part):
        bills = join(market, rows, places[part == one])
        if bills.count:
            yield bills


def _billed(market: Market, *, place: Ints, hardware: Ints) -> Bills:
    rates = rates_at(market, place, hardware)
    expected_s, high_s = market.hardware.expected_s[hardware], market.hardware.high_s[hardware]
    expected = expected_micro(rates, expected_s)
    if market.has_net:
        bounded = market.bounded[market.places.offer[place]]
        by_second = replace(rates, increment_s=np.ones(bounded.shape), minimum_s=np.zeros(bounded.shape))
        _, over = left_of_rentals(market, place, hardware)
        expected = np.where(bounded, expected_micro(by_second, expected_s) + np.rint(over), expected)
    high = np.maximum(high_micro(rates, expected_s, high_s), expected)
    if market.has_net:
        worst = np.maximum(worst_micro(market, rates, place, hardware), expected)
        high = np.where(bounded, worst, high)
    return Bills(place=place, hardware=hardware, expected_micro=expected, high_micro=high)


def left_of_rentals(market: Market, place: Ints, hardware: Ints) -> tuple[Floats, Floats]:
    """Return what billing by the increment adds to runs under a policy: instance-seconds and micro-dollars, means.

    Shape (n,), NaN for places without a net. Every rental ends half an increment early on average; one ends with each
    machine that is lost, and one with the run.
    """
    offers, rows, offer = market.offers, market.hardware, market.places.offer[place]
    rate_per_s = np.array([one.expected.rate_per_hour for one in offers.priors])[offers.prior[offer]] / HOUR_S
    on_spot = rows.on_spot_fraction[hardware]
    losses = OLDER * rate_per_s * on_spot * rows.held_fraction[hardware] * rows.expected_s[hardware]
    # By the second nothing is left over: what is paid for is whole seconds anyway.
    left_s = market.places.nodes[place] * (offers.increment_s - 1.0)[offer] / 2.0
    net = np.maximum(market.fallback[offer], 0)
    net_left_s = market.places.nodes[place] * (offers.increment_s - 1.0)[net] / 2.0
    # How much is done on-demand is about how often that is where the run ends.
    spot_s, net_s = (on_spot + losses) * left_s, (1.0 - on_spot) * net_left_s
    return spot_s + net_s, spot_s * offers.price_micro_per_s[offer] + net_s * market.fallback_micro_per_s[offer]


def worst_micro(market: Market, rates: Rates, place: Ints, hardware: Ints) -> Floats:
    """Return the most that runs under a policy cost, whole micro-dollars, shape (n,): all of the run on the on-demand
    machine at its slow end, and a tenth more for what the policy may waste on spot (`WASTE_ALLOWED`)."""
    net = market.fallback[market.places.offer[place]]
    sigma = market.offers.price_sigma[np.maximum(net, 0)]
    net_micro = market.fallback_micro_per_s[market.places.offer[place]]
    row = market.hardware.row[hardware]
    physics = market.physics
    # Two starts more than undisturbed: one that the net is late by, one onto the on-demand machine.
    expected_s, high_s = (total + 2.0 * physics.restart_s[row] + POLL_S for total in _undisturbed(market, row))
    on_demand = high_micro(replace(rates, price_micro_per_s=net_micro, price_sigma=sigma), expected_s, high_s)
    return np.rint(on_demand * (1.0 + WASTE_ALLOWED))


def _undisturbed(market: Market, row: Ints) -> tuple[Floats, Floats]:
    total = market.physics.duration.total
    return total.expected[row], total.high[row]


def rates_at(market: Market, place: Ints, hardware: Ints) -> Rates:
    """Return what the bills of places and hardware rows (both shape (n,)) depend on beside time."""
    offers, overheads, storage = market.offers, market.job.overheads, market.tables.storage
    offer, nodes = market.places.offer[place], market.places.nodes[place].astype(np.float64)
    owned = offers.owned[offer]
    per_byte = disk_micro_per_s(1.0, storage)
    rented = rented_disk_bytes(market.hardware.disk_bytes[hardware], offers.local_disk_bytes[offer], owned=owned)
    return Rates(
        price_micro_per_s=_price_by_the_clock(market, offer, hardware),
        nodes=nodes,
        increment_s=offers.increment_s[offer],
        minimum_s=offers.minimum_s[offer],
        price_sigma=offers.price_sigma[offer],
        disk_micro_per_s=rented * nodes * per_byte,
        egress_micro=np.where(owned, 0.0, egress_micro(overheads, storage)),
        hidden_micro=hidden_share_micro(overheads, market.job.runs),
        high_factor=float(storage.high_factor),
    )


def _price_by_the_clock(market: Market, offer: Ints, hardware: Ints) -> Floats:
    """Return what a second of the run costs an instance, in micro-dollars: waits are free, and under a policy a part of
    the work is done on on-demand machines."""
    spot_micro = market.offers.price_micro_per_s[offer]
    fallback_micro = market.fallback_micro_per_s[offer]
    share = market.hardware.on_spot_fraction[hardware]
    # Without a machine to fall back on (near misses look at such spot) all of it is spot.
    both = share * spot_micro + (1.0 - share) * fallback_micro
    mixed = np.where((share < 1.0) & market.bounded[offer], both, spot_micro)
    price: Floats = mixed * market.hardware.held_fraction[hardware]
    return price


def rented_disk_bytes(needed_bytes: Floats, local_bytes: Floats, *, owned: Bools) -> Floats:
    """Return the disk rented apart, per node: none where the machine is owned or brings enough of its own."""
    brings = owned | (local_bytes >= needed_bytes)
    return np.where(brings, 0.0, needed_bytes)


def allowed_rows(market: Market, mask: int = 0) -> Ints:
    """Return the hardware rows that break exactly the limits in `mask` (none: those that fit)."""
    return np.flatnonzero(market.hardware.broken == mask)


def allowed_places(market: Market, mask: int = 0) -> Ints:
    """Return the places that break exactly the limits in `mask`."""
    return np.flatnonzero(market.places.broken == mask)


def affordable_bills(market: Market) -> tuple[Bills, Bills]:
    """Return the bills that keep every limit, and those that break the budget alone."""
    bills = join(market, factorise(market, allowed_rows(market)), allowed_places(market))
    over = over_budget(market.job, bills)
    return bills.take(~over), bills.take(over)


def over_budget(job: Job, bills: Bills) -> Bools:
    """Return where the high end of a bill cannot be part of any assignment of the runs within the budget.

    One run: its high end exceeds the budget. A sweep of R runs: so does this run with R - 1 of the cheapest.
    """
    allowed = budget_micro(job)
    if allowed is None or bills.count == 0:
        return np.zeros(bills.count, dtype=np.bool_)
    others = (job.runs - 1) * bills.high_micro.min()
    over: Bools = bills.high_micro + others > allowed
    return over


def rejected_by_budget(market: Market) -> int:
    """Return how many (offer, nodes, recipe) tuples break the budget, whatever else they break: all are billed."""
    allowed = budget_micro(market.job)
    if allowed is None:
        return 0
    known = np.flatnonzero((market.hardware.broken & UNKNOWN_SPEED) == 0)
    count = 0
    for bills in join_in_parts(market, known, np.arange(market.places.count)):
        broken = bills.high_micro * market.job.runs > allowed
        count += int(market.hardware.copies[bills.hardware[broken]].sum())
    return count


def budget_micro(job: Job) -> int | None:
    """Return the budget of the whole job in micro-dollars, rounded down; None without one."""
    return None if job.budget_usd is None else int(job.budget_usd * MICRO)


def broken_of(market: Market, bills: Bills) -> Ints:
    """Return the mask of broken limits of each bill, the budget (for all runs of the job alike) included."""
    mask = market.hardware.broken[bills.hardware] | market.places.broken[bills.place]
    allowed = budget_micro(market.job)
    if allowed is None:
        return mask
    return mask | np.where(bills.high_micro * market.job.runs > allowed, bit(BUDGET), 0)
