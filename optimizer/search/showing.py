"""From columns to objects: one candidate with everything known about it, for the few that are shown."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from optimizer.physics.results import BOUNDS
from optimizer.physics.throughput import Z90
from providers.basis import BASES, Basis, Estimate, weakest
from providers.offer import PricingModel

from .candidates import budget_micro, rented_disk_bytes
from .columns import duration_at, memory_at, speed_at
from .constraints import BUDGET
from .cost import Bill, quote
from .results import Candidate, MemoryReading, SpeedReading
from .spot_answers import shown
from .spot_candidates import spot_run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optimizer.physics.results import Interval, MemoryColumns, ThroughputColumns
    from optimizer.physics.runs import Floats

    from .market import Market


def candidate_at(market: Market, place: int, hardware: int, *, runs: int = 1) -> Candidate:
    """Return the candidate of a place and a hardware row of its class, carrying `runs` runs of the job."""
    rows, physics, job = market.hardware, market.physics, market.job
    offer_at = int(market.places.offer[place])
    offer, nodes = market.offers.offers[offer_at], int(market.places.nodes[place])
    row = int(rows.row[hardware])
    at = np.array([row], dtype=np.int64)
    grid_row = market.rows
    recipe = market.grid.recipe(int(grid_row.base[row]), int(grid_row.micro_batch[row]), int(grid_row.grad_accum[row]))
    gpu = market.tables.gpus.by_id[offer.gpu or ""]
    speed = speed_reading(speed_at(physics.speed, at))
    parts_s = {name: float(part[0]) for name, part in duration_at(physics.duration, at).parts_s.items()}
    bill = Bill(
        unit_price_nano=offer.unit_price_nano,
        terms=market.offers.terms[offer_at],
        nodes=nodes,
        low_s=float(rows.low_s[hardware]),
        expected_s=float(rows.expected_s[hardware]),
        high_s=float(rows.high_s[hardware]),
        parts_s=parts_s,
        price_sigma=float(market.offers.price_sigma[offer_at]),
        disk_bytes=_rented_disk(market, hardware, offer_at),
        pays_egress=not bool(market.offers.owned[offer_at]),
        held_fraction=float(rows.held_fraction[hardware]),
    )
    lost = shown(spot_run(market, place, hardware), bill) if offer.pricing_model is PricingModel.SPOT else None
    cost = (
        quote(bill, overheads=job.overheads, runs=job.runs, storage=market.tables.storage)
        if lost is None
        else lost.quote
    )
    bases = [speed.tokens_per_s.basis, Basis(job.basis)]
    duration = Estimate(low=bill.low_s, expected=bill.expected_s, high=bill.high_s, basis=weakest(bases))
    high_micro = cost.high_usd_micro if lost is None else lost.answer.worst_usd_micro or cost.high_usd_micro
    return Candidate(
        offer=offer,
        gpu=gpu,
        nodes=nodes,
        recipe=recipe,
        runs=runs,
        memory=memory_reading(memory_at(physics.memory, at), usable_bytes=gpu.usable_bytes),
        speed=speed,
        duration_s=duration if lost is None else lost.duration_s,
        duration_parts_s=parts_s if lost is None else lost.parts_s,
        finish_s_at_confidence=float(rows.finish_s[hardware]) if lost is None else lost.finish_s,
        finish_probability_ppm=(
            _finish_probability_ppm(market, at) if lost is None else lost.answer.finish_probability_ppm
        ),
        quote=cost,
        quality=market.tables.matrices.quality(recipe.tuning.value, recipe.bits),
        complexity=market.tables.matrices.complexity(recipe.tuning.value, recipe.bits),
        slacks=_slacks(
            market, hardware, offer_at, high_micro=high_micro, finish_s=None if lost is None else lost.finish_s
        ),
        checkpoint_every_s=float(rows.every_s[hardware]),
        spot=None if lost is None else lost.answer,
    )


def memory_reading(memory: MemoryColumns, *, usable_bytes: int) -> MemoryReading:
    """Return a memory estimate of shape (1,) as a reading; whole bytes, the parts sum to `allocated.expected`."""
    basis = BASES[int(memory.basis[0])]
    fits = min(fit_probability(one, usable_bytes) for one in (memory.required, memory.load_required))
    allocated = _whole(memory.allocated, basis)
    return MemoryReading(
        usable_bytes=usable_bytes,
        required=_whole(memory.required, basis),
        load_required=_whole(memory.load_required, basis),
        load_peak=_whole(memory.load_peak, basis),
        allocated=allocated,
        reserved=_whole(memory.reserved, basis),
        device=_whole(memory.device, basis),
        host=_whole(memory.host, basis),
        nvme=_whole(memory.nvme, basis),
        parts_bytes=_whole_parts(memory.parts),
        load_parts_bytes=_whole_parts(memory.load_parts),
        basis=basis,
        fit_probability_ppm=round(fits * 1e6),
    )


def fit_probability(needed: Interval, usable_bytes: float) -> float:
    """Return the chance that a need of shape (1,), lognormal between its ends, is at most `usable_bytes`."""
    expected, high = float(needed.expected[0]), float(needed.high[0])
    if high <= expected:
        return float(expected <= usable_bytes)
    sigma = math.log(high / expected) / Z90
    return NormalDist().cdf(math.log(usable_bytes / expected) / sigma)


def speed_reading(speed: ThroughputColumns) -> SpeedReading:
    """Return a throughput estimate of shape (1,) as a reading."""
    return SpeedReading(
        tokens_per_s=estimate_of(speed.tokens_per_s, BASES[int(speed.basis[0])]),
        sigma_log=float(speed.sigma_log[0]),
        mfu=float(speed.mfu[0]),
        bound=BOUNDS[int(speed.bound[0])],
        step_s=float(speed.step_s[0]),
        parts_s={name: float(part[0]) for name, part in speed.parts_s.items()},
    )


def estimate_of(interval: Interval, basis: Basis) -> Estimate:
    """Return an interval of shape (1,) as an estimate."""
    return Estimate(
        low=float(interval.low[0]), expected=float(interval.expected[0]), high=float(interval.high[0]), basis=basis
    )


def _whole(interval: Interval, basis: Basis) -> Estimate:
    low, expected, high = (float(round(values[0])) for values in (interval.low, interval.expected, interval.high))
    return Estimate(low=low, expected=expected, high=high, basis=basis)


def _whole_parts(parts: Mapping[str, Floats]) -> dict[str, int]:
    """Round cumulative sums, so that the parts add up to the rounded whole."""
    whole: dict[str, int] = {}
    total, given = 0.0, 0
    for name, part in parts.items():
        total += float(part[0])
        whole[name] = round(total) - given
        given += whole[name]
    return whole


def _rented_disk(market: Market, hardware: int, offer: int) -> float:
    rented = rented_disk_bytes(
        market.hardware.disk_bytes[hardware : hardware + 1],
        market.offers.local_disk_bytes[offer : offer + 1],
        owned=market.offers.owned[offer : offer + 1],
    )
    return float(rented[0])


def _finish_probability_ppm(market: Market, at: np.ndarray[tuple[int], np.dtype[np.int64]]) -> int:
    """Return the chance of ending by the deadline in millionths, on machines that stay."""
    if market.job.deadline_at is None:
        return 1_000_000
    left_s = (market.job.deadline_at - market.now).total_seconds()
    return round(float(duration_at(market.physics.duration, at).probability_within(left_s)[0]) * 1e6)


def _slacks(market: Market, hardware: int, offer: int, *, high_micro: int, finish_s: float | None) -> dict[str, float]:
    """Return the slack of every limit; `finish_s` is the finish time of a spot candidate, closer than its column."""
    margins = {name: float(slack.margin[hardware]) for name, slack in market.hardware.slacks.items()}
    margins |= {name: float(slack.margin[offer]) for name, slack in market.places.slacks.items()}
    if finish_s is not None and "deadline" in margins:
        margins["deadline"] = float(market.hardware.slacks["deadline"].allowed[hardware]) - finish_s
    allowed = budget_micro(market.job)
    if allowed is not None:
        margins[BUDGET] = float(allowed - high_micro * market.job.runs)
    return {name: margin for name, margin in margins.items() if not np.isnan(margin)}
