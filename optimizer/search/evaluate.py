"""One recipe on one machine, for `estimate`: the same physics and the same bill as the search, no search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from optimizer.physics.recipe import refusal
from optimizer.physics.tabulate import tabulate
from providers.basis import Basis, Estimate, weakest
from providers.errors import JobError, KnowledgeMissing
from providers.offer import BillingTerms, PriceClass, PricingModel

from .candidates import rented_disk_bytes
from .cost import Bill, quote
from .physics_rows import evaluate_runs
from .price_age import price_sigma
from .results import Evaluation
from .showing import estimate_of, memory_reading, speed_reading
from .spot.availability import HOUR_S
from .spot.interruption_classes import availability_for
from .spot_answers import clock_without_net, held_parts, lost_parts
from .spot_rows import spot_columns, spot_times
from .spot_simulated import DRAWN_RUNS, Draws, drawn_without_net

if TYPE_CHECKING:
    from datetime import datetime

    from optimizer.physics.recipe import Recipe
    from optimizer.physics.tabulate import Machine
    from optimizer.workload.job import Job
    from providers.offer import Offer

    from .physics_rows import PhysicsRows
    from .tables import Tables


def evaluate_one(
    job: Job,
    recipe: Recipe,
    machine: Machine,
    offer: Offer | None,
    tables: Tables,
    now: datetime,
    *,
    terms: BillingTerms | None = None,
) -> Evaluation:
    """Return memory, speed, duration and (with an offer) the cost of one recipe on one machine.

    The offer prices `machine.nodes` instances; `terms` are its provider's billing terms (default: by the second).
    Raises JobError for a mix that makes no sense, KnowledgeMissing where the speed of the chip is unknown.
    """
    reason = refusal(recipe, gpu=machine.gpu, gpus=machine.gpus)
    if reason is not None:
        raise JobError(where=job.name or "job", key="recipe", value=recipe.name, allowed=reason)
    runs = tabulate([(job.model, recipe, machine)])
    physics = evaluate_runs(job, runs, tables, gpu=np.array([machine.gpu.id]))
    if not np.isfinite(physics.finish_s[0]):
        raise KnowledgeMissing(f"the speed of {machine.gpu.id} is unknown: the GPU table lacks its figures")
    spot = offer is not None and offer.pricing_model is PricingModel.SPOT
    lost = _on_spot(job, physics, offer, now) if offer is not None and spot else None
    total = physics.duration.total
    speed = speed_reading(physics.speed)
    basis = weakest([speed.tokens_per_s.basis, Basis(job.basis)])
    stays = estimate_of(total, basis)
    parts_s = {name: float(part[0]) for name, part in physics.duration.parts_s.items()}
    memory = memory_reading(physics.memory, usable_bytes=machine.gpu.usable_bytes)
    host = machine.host_ram_bytes
    return Evaluation(
        gpu=machine.gpu,
        gpus_per_node=machine.gpu_count,
        nodes=machine.nodes,
        recipe=recipe,
        memory=memory,
        speed=speed,
        duration_s=stays if lost is None else lost.duration_s,
        duration_parts_s=parts_s if lost is None else lost.parts_s,
        finish_s_at_confidence=float(physics.finish_s[0]) if lost is None else lost.finish_s,
        finish_probability_ppm=_finish_probability_ppm(job, physics, now) if lost is None else lost.probability_ppm,
        quote=None
        if offer is None
        else quote(
            _bill(
                physics=physics,
                machine=machine,
                offer=offer,
                terms=terms or BillingTerms(),
                duration=stays if lost is None else lost.billed_s,
                parts_s=parts_s if lost is None else lost.parts_s,
                held_fraction=1.0 if lost is None else lost.held_fraction,
                now=now,
            ),
            overheads=job.overheads,
            runs=job.runs,
            storage=tables.storage,
        ),
        quality=tables.matrices.quality(recipe.tuning.value, recipe.bits),
        complexity=tables.matrices.complexity(recipe.tuning.value, recipe.bits),
        fits=memory.needed.high <= memory.usable_bytes,
        fits_expected=max(memory.required.expected, memory.load_required.expected) <= memory.usable_bytes,
        host_fits=None if host is None else memory.host.high <= host,
        checkpoint_every_s=float(physics.checkpoint_every_s[0]) if lost is None else lost.every_s,
    )


def _bill(
    *,
    physics: PhysicsRows,
    machine: Machine,
    offer: Offer,
    terms: BillingTerms,
    duration: Estimate,
    parts_s: dict[str, float],
    held_fraction: float,
    now: datetime,
) -> Bill:
    owned = offer.price_class is PriceClass.OWN
    local = np.nan if offer.disk_bytes is None else float(offer.disk_bytes)
    rented = rented_disk_bytes(physics.disk_bytes[:1], np.array([local]), owned=np.array([owned]))
    return Bill(
        unit_price_nano=offer.unit_price_nano,
        terms=terms,
        nodes=machine.nodes,
        low_s=duration.low,
        expected_s=duration.expected,
        high_s=duration.high,
        parts_s={name: part for name, part in parts_s.items() if name != "waiting"},
        price_sigma=price_sigma(
            price_class=offer.price_class,
            pricing_model=offer.pricing_model,
            age_s=(now - offer.observed_at).total_seconds(),
        ),
        disk_bytes=float(rented[0]),
        pays_egress=not owned,
        held_fraction=held_fraction,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _OnSpot:
    """One run on a spot machine, by the clock, seconds; `billed_s` is what its bill is made from."""

    billed_s: Estimate
    duration_s: Estimate
    parts_s: dict[str, float]
    held_fraction: float
    finish_s: float
    probability_ppm: int | None
    every_s: float


def _on_spot(job: Job, physics: PhysicsRows, offer: Offer, now: datetime) -> _OnSpot:
    """Return one run on a spot machine, without a net: nothing is known of where else it could go."""
    prior = availability_for(provider=offer.provider, region=offer.region, instance_type=offer.instance_type)
    first = np.zeros(1, dtype=np.int64)
    columns = spot_columns(job, physics, first, prior=first, priors=(prior,), regions=first + 1, left_s=None)
    times = spot_times(job, physics, first, np.array([prior.expected.rate_per_hour / HOUR_S]))
    left_s = None if job.deadline_at is None else (job.deadline_at - now).total_seconds()
    drawn = None
    if left_s is not None:
        drawn = drawn_without_net(job, times, prior, Draws(runs=DRAWN_RUNS), left_s=left_s)
    low, expected, high = (float(one[0]) for one in (columns.low_s, columns.expected_s, columns.high_s))
    ranked = Estimate(low=low, expected=expected, high=high, basis=Basis.ASSUMED)
    duration, finish_s = clock_without_net(ranked, float(columns.finish_s[0]), drawn)
    parts = {name: float(part[0]) for name, part in physics.duration.parts_s.items()}
    held = held_parts(parts, times, repeated=job.overheads.failed_run_multiplier)
    held_fraction = float(columns.held_fraction[0])
    return _OnSpot(
        billed_s=ranked,
        duration_s=duration,
        parts_s=lost_parts(held, expected_s=expected, held_fraction=held_fraction),
        held_fraction=held_fraction,
        finish_s=finish_s,
        probability_ppm=None if drawn is None else drawn.finish_probability_ppm,
        every_s=float(columns.every_s[0]),
    )


def _finish_probability_ppm(job: Job, physics: PhysicsRows, now: datetime) -> int | None:
    """Return the chance of ending by the deadline in millionths on machines that stay; None without a deadline."""
    if job.deadline_at is None:
        return None
    left_s = (job.deadline_at - now).total_seconds()
    return round(float(physics.duration.probability_within(left_s)[0]) * 1e6)
