"""A market made ready for scenarios: what can be chosen when prices and speeds turn out differently, and no more.

A scenario moves every run of one GPU model along its own distribution by the same step z (those of different models
are correlated: `scenario_speeds`), every price of one group (a provider's GPU under a pricing model) by the same step
u, and the luck with interruptions by one step w. The time of a row (a recipe on a hardware class) and the price of an
offer then are

    T = (F exp(s_F z) + V exp(s z)) exp(max(0, a + b w))         p = price x exp(sigma u)

with F, V, s as in `physics.duration`: z at its p-quantile gives the p-quantile of the time on machines that stay. a and
b are zero there; on spot a is the logarithm of how much interruptions and waits lengthen the run, b what its interval
leaves beside that of the speed (their logarithms add in quadrature), one for w > 0 and one for w < 0. Under a policy
with a deadline the run goes on-demand in time: T is no more than the deadline, or than the undisturbed run with the
time that the net keeps in reserve.

**The factorisation is exact.** Of the rows of one hardware class and variant (tuning x width) that are billed for the
same share of the time only the smallest T counts: disk, terms and price are the same for all of them. Row b never beats
row a if none of F, V exp(s z) at both ends of z, a + b w at both ends and the middle of w, the reserve and the billed
shares of spot and on-demand is larger for a: the logarithm of V exp(s z) and a + b w are straight lines in z and in
each half of w, and a line that is below another at both ends is below it in between. So the Pareto set over these
columns holds the best row of every scenario. Offers that share a hardware class, a price group, billing terms and disk
differ in price alone, whose logarithm is a straight line in u: the Pareto set over its two ends holds the cheapest of
every scenario (to the micro-dollar: of bills that round to the same, one of the truly cheapest).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optimizer.physics.duration import FIXED_PARTS
from optimizer.physics.throughput import Z90
from providers.offer import PricingModel

from .candidates import allowed_places, budget_micro, rates_at
from .choice import filled
from .constraints import bit
from .pareto import undominated
from .scenario_speeds import common_shares

if TYPE_CHECKING:
    from optimizer.physics.runs import Bools, Floats, Ints
    from providers.offer import Offer

    from .cost import Rates
    from .market import Market

FARTHEST = 8.0
"""Steps end here: a normal step beyond it comes once in 10^15."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowColumns:
    """What the times of m rows depend on, shape (m,): seconds, deviations of logarithms, the index of the GPU.

    `log_stretch`, `luck_up` and `luck_down` are a and b for w > 0 and w < 0 (see above): 0 on machines that stay.
    """

    hardware: Ints
    """Row of the market's hardware."""
    gpu: Ints
    fixed_s: Floats
    variable_s: Floats
    sigma: Floats
    log_stretch: Floats
    luck_up: Floats
    luck_down: Floats
    reserve_s: Floats
    """What the net of a policy keeps beside the undisturbed run; infinite without a net."""
    filled: Floats
    """Share of the memory that is filled: the last tie-break but the order."""

    @property
    def count(self) -> int:
        """Number of rows."""
        return int(self.hardware.shape[0])

    def take(self, rows: Ints) -> RowColumns:
        """Return the given rows."""
        return RowColumns(**{name: getattr(self, name)[rows] for name in self.__slots__})


@dataclass(frozen=True, slots=True, kw_only=True)
class BillColumns:
    """What n bills depend on beside time, shape (n,): as in `cost.Rates`, and the index of the price group."""

    place: Ints
    slot: Ints
    """Hardware class and variant whose quickest row is billed."""
    group: Ints
    price_micro_per_s: Floats
    """For all nodes together."""
    price_sigma: Floats
    increment_s: Floats
    minimum_s: Floats
    disk_micro_per_s: Floats
    other_micro: Floats
    """Egress and the run's share of the hidden costs."""

    @property
    def count(self) -> int:
        """Number of bills."""
        return int(self.place.shape[0])

    def take(self, rows: Ints) -> BillColumns:
        """Return the given bills."""
        return BillColumns(**{name: getattr(self, name)[rows] for name in self.__slots__})


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioMarket:
    """Everything that a scenario is judged by; small enough to be sent to every worker once.

    The rows of slot s are `start[s]` to `start[s + 1]`. `left_s` and `budget_micro` are infinite where the job sets no
    limit. `gpus` and `groups` count the steps that a scenario draws beside the one for interruptions.
    """

    rows: RowColumns
    start: Ints
    bills: BillColumns
    fixed_sigma: float
    left_s: float
    budget_micro: float
    gpus: tuple[str, ...]
    common: Floats
    """Share of the variance of log speed that a GPU model has in common with the others, shape (gpus,)."""
    groups: int

    @property
    def slots(self) -> int:
        """Number of hardware classes times variants."""
        return int(self.start.shape[0] - 1)


def lay_out_scenarios(market: Market) -> ScenarioMarket:
    """Return the market as scenarios see it: whatever keeps the limits that no scenario moves.

    Deadline and budget are left to the scenarios: a row that is too slow at the confidence asked for may be in time.
    """
    hardware = market.hardware
    offered = np.zeros(hardware.start.shape[0] - 1, dtype=np.bool_)
    offered[market.places.klass[allowed_places(market)]] = True
    possible = np.flatnonzero(((hardware.broken & ~bit("deadline")) == 0) & offered[hardware.klass])
    variants = len(market.grid.variants)
    slot = hardware.klass[possible] * variants + hardware.variant[possible]
    order = np.argsort(slot, kind="stable")
    possible, slot = possible[order], slot[order]
    rows = rows_of(market, possible)
    kept = undominated(slot, [*_extremes(rows), *_billed_shares(market, possible)], tie=rows.filled)
    rows, slot, first = _slots(market, rows.take(kept), slot[kept])
    gpus = _gpus(market)
    bills = _bills(market, rows, slot[first] // variants, first)
    budget = budget_micro(market.job)
    deadline = market.job.deadline_at
    return ScenarioMarket(
        rows=rows,
        start=np.concatenate([first, [rows.count]]),
        bills=bills,
        fixed_sigma=market.physics.duration.fixed_sigma,
        left_s=np.inf if deadline is None else (deadline - market.now).total_seconds(),
        budget_micro=np.inf if budget is None else float(budget),
        gpus=gpus,
        common=common_shares(market, rows, gpus),
        groups=len(_group_names(market)),
    )


def rows_of(market: Market, hardware: Ints) -> RowColumns:
    """Return what the durations of hardware rows depend on."""
    table, physics = market.hardware, market.physics
    at = table.row[hardware]
    parts = physics.duration.parts_s
    fixed = sum((parts[name] for name in FIXED_PARTS), start=np.zeros(1))
    variable = sum((part for name, part in parts.items() if name not in FIXED_PARTS), start=np.zeros(1))
    sigma = np.broadcast_to(physics.duration.variable_sigma, variable.shape)
    gpus = _gpus(market)
    of_offer = np.array([gpus.index(offer.gpu or "") for offer in market.offers.offers], dtype=np.int64)
    total = physics.duration.total
    netted = market.has_net & _of_class(market, market.offers.spot)[table.klass[hardware]]
    reserve = np.maximum(table.finish_s[hardware] - physics.finish_s[at], 0.0)
    expected = table.expected_s[hardware]
    return RowColumns(
        hardware=hardware,
        gpu=_of_class(market, of_offer)[table.klass[hardware]],
        fixed_s=fixed[at],
        variable_s=variable[at],
        sigma=sigma[at],
        log_stretch=np.maximum(np.log(expected / total.expected[at]), 0.0),
        luck_up=_beside(table.high_s[hardware] / expected, total.high[at] / total.expected[at]),
        luck_down=_beside(expected / table.low_s[hardware], total.expected[at] / total.low[at]),
        reserve_s=np.where(netted, reserve, np.inf),
        filled=filled(market, hardware),
    )


def bills_of(market: Market, place: Ints, hardware: Ints, slot: Ints) -> BillColumns:
    """Return what the bills of places with hardware rows depend on; `slot` is handed on."""
    rates: Rates = rates_at(market, place, hardware)
    names = _group_names(market)
    index = {name: position for position, name in enumerate(names)}
    of_offer = np.array([index[price_group(offer)] for offer in market.offers.offers], dtype=np.int64)
    return BillColumns(
        place=place,
        slot=slot,
        group=of_offer[market.places.offer[place]],
        price_micro_per_s=rates.price_micro_per_s * rates.nodes,
        price_sigma=rates.price_sigma,
        increment_s=rates.increment_s,
        minimum_s=rates.minimum_s,
        disk_micro_per_s=rates.disk_micro_per_s,
        other_micro=rates.egress_micro + float(rates.hidden_micro),
    )


def price_group(offer: Offer) -> tuple[str, ...]:
    """Return what an offer's price moves with: its provider's GPU under its pricing model.

    A provider resets the price of a GPU in all regions at once (of 105 recorded jumps of spot prices 85 were one event,
    in which a family doubled; `price_age`). Spot prices differ by region beside that, and move with it.
    """
    spot = offer.pricing_model is PricingModel.SPOT
    return (offer.provider, offer.pricing_model.value, offer.gpu or "", offer.region if spot else "")


def _group_names(market: Market) -> tuple[tuple[str, ...], ...]:
    return tuple(sorted({price_group(offer) for offer in market.offers.offers}))


def _gpus(market: Market) -> tuple[str, ...]:
    return tuple(sorted({offer.gpu or "" for offer in market.offers.offers}))


def _of_class(market: Market, of_offer: Ints | Bools) -> Ints:
    """Return what all offers of a hardware class share (its GPU, whether it is spot), shape (classes,)."""
    found = np.zeros(market.hardware.start.shape[0] - 1, dtype=np.int64)
    found[market.places.klass] = of_offer[market.places.offer]
    return found


def _beside(whole: Floats, speed: Floats) -> Floats:
    """Return the deviation of a logarithm that an end of an interval (a ratio) has beside that of the speed."""
    logarithm, known = np.log(np.maximum(whole, 1.0)), np.log(np.maximum(speed, 1.0))
    deviation: Floats = np.sqrt(np.maximum(logarithm**2 - known**2, 0.0)) / Z90
    return deviation


def _extremes(rows: RowColumns) -> list[Floats]:
    """Return the columns whose Pareto set holds the quickest row of every scenario (see above)."""
    return [
        rows.fixed_s,
        rows.variable_s * np.exp(-rows.sigma * FARTHEST),
        rows.variable_s * np.exp(rows.sigma * FARTHEST),
        rows.log_stretch,
        rows.log_stretch - rows.luck_down * FARTHEST,
        rows.log_stretch + rows.luck_up * FARTHEST,
        rows.reserve_s,
    ]


def _billed_shares(market: Market, hardware: Ints) -> tuple[Floats, Floats]:
    """Return the shares of the time that are billed at the spot and at the on-demand price."""
    held, spot = market.hardware.held_fraction[hardware], market.hardware.on_spot_fraction[hardware]
    return held * spot, held * (1.0 - spot)


def _slots(market: Market, rows: RowColumns, slot: Ints) -> tuple[RowColumns, Ints, Ints]:
    """Return rows and slots with those together that are billed alike, and where each of these groups begins."""
    shares = _billed_shares(market, rows.hardware)
    order = np.lexsort((*shares, slot))
    parted = np.stack([slot, *shares])[:, order]
    begins = np.concatenate([[True], (parted[:, 1:] != parted[:, :-1]).any(axis=0)])[: order.shape[0]]
    return rows.take(order), slot[order], np.flatnonzero(begins)


def _bills(market: Market, rows: RowColumns, klass: Ints, first: Ints) -> BillColumns:
    """Return the bills of every allowed place with every slot of its class, those that can be the cheapest."""
    places = allowed_places(market)
    sizes = np.bincount(klass, minlength=market.hardware.start.shape[0] - 1)
    begins = np.concatenate([[0], np.cumsum(sizes)])[:-1]
    counts = sizes[market.places.klass[places]]
    ends = np.cumsum(counts)
    slot = np.arange(counts.sum()) - np.repeat(ends - counts - begins[market.places.klass[places]], counts)
    # Disk is the same for all rows of a variant, so any row of the slot stands for it.
    bills = bills_of(market, np.repeat(places, counts), rows.hardware[first[slot]], slot)
    alike = np.stack(
        [bills.slot, bills.group, bills.increment_s, bills.minimum_s, bills.disk_micro_per_s, bills.other_micro]
    )
    if bills.count == 0:
        return bills
    _, kind = np.unique(alike, axis=1, return_inverse=True)
    order = np.argsort(kind.ravel(), kind="stable")
    ordered = bills.take(order)
    reach = ordered.price_sigma * FARTHEST
    ends_of_u = [ordered.price_micro_per_s * np.exp(-reach), ordered.price_micro_per_s * np.exp(reach)]
    return bills.take(np.sort(order[undominated(kind.ravel()[order], ends_of_u)]))
