"""What a run costs: as float columns over all candidates, and exactly, in Decimal, for the few that are shown.

Expected cost of one run on N instances, T its median duration:
    N x price x billed(T)  +  disk x T  +  egress  +  the run's share of the job's hidden costs
billed(T) is T rounded up to whole seconds, raised to the provider's minimum, rounded up to its increment. The interval
takes the 10 % and 90 % quantiles of T through the same formula and joins them with the uncertainty of the price's age
(`price_age`) as independent lognormal factors: their logarithms add in quadrature. Disk and egress rates are assumed:
they run from nothing to twice the rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from optimizer.physics.throughput import Z90
from providers.errors import SolverFailed

from .results import LineItem, Quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optimizer.physics.runs import Floats
    from optimizer.workload.job import Overheads
    from providers.offer import BillingTerms

    from .tables import StorageRates

GB = 1e9
MONTH_S = 730.0 * 3600.0
MICRO = 1_000_000
NANO_HOURS_PER_MICRO_S = 3_600_000
"""Billionths per hour times seconds, divided by this, are micro-dollars."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seconds:
    """Duration of n runs: 10 % quantile, median and 90 % quantile, each of shape (n,)."""

    low: Floats
    expected: Floats
    high: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What n bills depend on beside time, each of shape (n,): micro-dollars per instance-second, instances, billing
    terms in seconds, the spread of the price's logarithm, disk in micro-dollars per second over all instances, egress
    in micro-dollars. `hidden_micro` is the run's share of costs beside the machines."""

    price_micro_per_s: Floats
    nodes: Floats
    increment_s: Floats
    minimum_s: Floats
    price_sigma: Floats
    disk_micro_per_s: Floats
    egress_micro: Floats
    hidden_micro: int
    high_factor: float


def billed_seconds(seconds: Floats, increment_s: Floats, minimum_s: Floats) -> Floats:
    """Return the seconds that each instance is billed for; whole numbers below 2^53, so nothing is rounded twice."""
    return np.ceil(np.maximum(np.ceil(seconds), minimum_s) / increment_s) * increment_s


def expected_micro(rates: Rates, seconds: Floats) -> Floats:
    """Return the expected cost of each run in whole micro-dollars (float64, exact below 2^53)."""
    storage = rates.disk_micro_per_s * seconds + rates.egress_micro
    return np.rint(_compute(rates, seconds) + storage) + rates.hidden_micro


def high_micro(rates: Rates, expected_s: Floats, high_s: Floats) -> Floats:
    """Return the 90 % quantile of the cost of each run in whole micro-dollars, never below the expected cost."""
    compute = _spread(rates, expected_s, high_s, sign=1.0)
    storage = rates.disk_micro_per_s * high_s + rates.egress_micro
    return np.rint(compute + rates.high_factor * storage) + rates.hidden_micro


def low_micro(rates: Rates, expected_s: Floats, low_s: Floats) -> Floats:
    """Return the 10 % quantile of the cost of each run in whole micro-dollars; disk and egress may be included."""
    return np.rint(_spread(rates, expected_s, low_s, sign=-1.0)) + rates.hidden_micro


def _compute(rates: Rates, seconds: Floats) -> Floats:
    return rates.price_micro_per_s * rates.nodes * billed_seconds(seconds, rates.increment_s, rates.minimum_s)


def _spread(rates: Rates, expected_s: Floats, other_s: Floats, *, sign: float) -> Floats:
    """Return the compute cost at a quantile: the bill of that duration and the price's own spread, in quadrature."""
    central = _compute(rates, expected_s)
    # Equal bills (a minimum, a coarse increment) have ratio 1; the ratio is price-free, so a price of zero is fine.
    billed = billed_seconds(expected_s, rates.increment_s, rates.minimum_s)
    ratio = np.log(billed_seconds(other_s, rates.increment_s, rates.minimum_s) / billed)
    return central * np.exp(sign * np.hypot(ratio, Z90 * rates.price_sigma))


def hidden_share_micro(overheads: Overheads, runs: int) -> int:
    """Return one run's share in micro-dollars of what the job costs beside machines (rounded down for each item)."""
    return sum(_hidden_items(overheads, runs).values())


def _hidden_items(overheads: Overheads, runs: int) -> dict[str, int]:
    stated = {
        "labelling": overheads.labelling_usd,
        "preference_collection": overheads.preference_usd,
        "evaluation_upkeep": overheads.evaluation_usd,
        "oncall": overheads.oncall_usd,
    }
    return {name: int(usd * MICRO) // runs for name, usd in stated.items() if usd}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What one quote is made of: the offer's price and terms, the machine's disk, the run's seconds by cause."""

    unit_price_nano: int
    terms: BillingTerms
    nodes: int
    low_s: float
    expected_s: float
    high_s: float
    parts_s: Mapping[str, float]
    """What a machine is held for; they sum to `held_fraction` of `expected_s`."""
    price_sigma: float
    disk_bytes: float
    """Disk rented apart, per node; 0 when the machine brings its own."""
    pays_egress: bool
    held_fraction: float = 1.0
    """Share of the time in which machines are held: what is waited for spot is not billed."""


def quote(bill: Bill, *, overheads: Overheads, runs: int, storage: StorageRates) -> Quote:
    """Return the quote of one run: exact line items that sum to the expected cost.

    Raises SolverFailed when the exact amount and the float columns disagree by more than the rounding allows.
    """
    rates = rates_of(bill, overheads=overheads, runs=runs, storage=storage)
    billed_s = exact_billed_s(bill.expected_s, bill.terms)
    items = [*_compute_items(bill, billed_s), *items_beside_machines(bill, overheads, runs=runs, storage=storage)]
    exact = sum(item.usd_micro for item in items)
    seconds = {name: np.array([getattr(bill, name)]) for name in ("low_s", "expected_s", "high_s")}
    columns = float(expected_micro(rates, seconds["expected_s"])[0])
    if abs(columns - exact) > 3.0 + 1e-9 * exact:  # every item is rounded once; float sums lose parts in 1e15
        raise SolverFailed(f"cost in columns ({columns:.0f} micro-dollars) and in Decimal ({exact}) disagree")
    low = int(low_micro(rates, seconds["expected_s"], seconds["low_s"])[0])
    high = int(high_micro(rates, seconds["expected_s"], seconds["high_s"])[0])
    return Quote(
        low_usd_micro=min(low, exact),
        expected_usd_micro=exact,
        high_usd_micro=max(high, exact),
        items=tuple(items),
        billed_s=round(billed_s * bill.held_fraction),
    )


def items_beside_machines(bill: Bill, overheads: Overheads, *, runs: int, storage: StorageRates) -> list[LineItem]:
    """Return the lines of disk, egress and the run's share of the hidden costs, in whole micro-dollars."""
    share = "job" if runs == 1 else "share of the job"
    hidden = _hidden_items(overheads, runs).items()
    return [
        *_storage_items(bill, overheads, storage),
        *(LineItem(name=name, quantity=1.0, unit=share, usd_micro=micro) for name, micro in hidden),
    ]


def rates_of(bill: Bill, *, overheads: Overheads, runs: int, storage: StorageRates) -> Rates:
    """Return the rates of one bill as columns of shape (1,)."""

    def column(value: float) -> Floats:
        return np.array([value], dtype=np.float64)

    return Rates(
        price_micro_per_s=column(bill.held_fraction * bill.unit_price_nano / NANO_HOURS_PER_MICRO_S),
        nodes=column(bill.nodes),
        increment_s=column(max(bill.terms.increment_s, 1)),
        minimum_s=column(bill.terms.minimum_s),
        price_sigma=column(bill.price_sigma),
        disk_micro_per_s=column(disk_micro_per_s(bill.disk_bytes * bill.nodes, storage)),
        egress_micro=column(egress_micro(overheads, storage) if bill.pays_egress else 0.0),
        hidden_micro=hidden_share_micro(overheads, runs),
        high_factor=float(storage.high_factor),
    )


def disk_micro_per_s(size_bytes: float, storage: StorageRates) -> float:
    """Return what disk of a size costs in micro-dollars per second."""
    return size_bytes / GB * storage.disk_micro_per_gb_month / MONTH_S


def egress_micro(overheads: Overheads, storage: StorageRates) -> float:
    """Return what taking the results out costs in micro-dollars."""
    return overheads.egress_bytes / GB * storage.egress_micro_per_gb


def exact_billed_s(seconds: float, terms: BillingTerms) -> int:
    """Return the seconds that one instance is billed for, in integers: the exact twin of `billed_seconds`."""
    increment = max(terms.increment_s, 1)
    return -(-max(ceil(seconds), terms.minimum_s) // increment) * increment


def _compute_items(bill: Bill, billed_s: int) -> list[LineItem]:
    """Split the exact amount over the causes: cumulative sums are rounded, so that the items add up to it."""
    items: list[LineItem] = []
    elapsed, charged = Decimal(0), 0
    parts = [(name, seconds) for name, seconds in bill.parts_s.items() if seconds > 0.0]
    for position, (name, seconds) in enumerate(parts):
        # The parts end at the median duration itself: what floats lose in summing must not look like a rounding fee.
        last = position == len(parts) - 1
        elapsed = Decimal(bill.held_fraction * bill.expected_s) if last else elapsed + Decimal(seconds)
        total = _amount_micro(bill, elapsed)
        label = "compute" if name == "train" else name
        items.append(LineItem(name=label, quantity=seconds * bill.nodes, unit="s", usd_micro=total - charged))
        charged = total
    held = Decimal(bill.held_fraction)
    whole = _amount_micro(bill, Decimal(billed_s) * held)
    surplus = max(billed_s - bill.expected_s, 0.0) * bill.held_fraction
    items.append(LineItem(name="billing_rounding", quantity=surplus * bill.nodes, unit="s", usd_micro=whole - charged))
    return items


def _amount_micro(bill: Bill, seconds: Decimal) -> int:
    with localcontext(prec=60):
        return _rounded(Decimal(bill.unit_price_nano) * bill.nodes * seconds / NANO_HOURS_PER_MICRO_S)


def _storage_items(bill: Bill, overheads: Overheads, storage: StorageRates) -> list[LineItem]:
    items = []
    if bill.disk_bytes > 0.0:
        quantity = bill.disk_bytes / GB * bill.nodes * bill.expected_s / MONTH_S
        amount = _rounded(Decimal(quantity) * storage.disk_micro_per_gb_month)
        items.append(LineItem(name="disk", quantity=quantity, unit="GB-month (assumed rate)", usd_micro=amount))
    if bill.pays_egress and overheads.egress_bytes > 0.0:
        quantity = overheads.egress_bytes / GB
        amount = _rounded(Decimal(quantity) * storage.egress_micro_per_gb)
        items.append(LineItem(name="egress", quantity=quantity, unit="GB (assumed rate)", usd_micro=amount))
    return items


def _rounded(amount: Decimal) -> int:
    return int(amount.to_integral_value(rounding=ROUND_HALF_EVEN))
