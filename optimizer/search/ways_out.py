"""Ways out of an infeasible job as objects: a candidate with the limits it breaks, another machine, another recipe."""

from __future__ import annotations

from dataclasses import replace
from math import isnan
from typing import TYPE_CHECKING

import numpy as np

from optimizer.physics.axes import Loss
from providers.errors import JobError

from .candidates import allowed_rows, budget_micro, factorise, join
from .choice import best_of, settle
from .constraints import UNITS, bit, names_of
from .flags import flags_for
from .market import survey
from .results import NearMiss
from .showing import candidate_at
from .wording import broken_clause, cost_of, name_of, relaxing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from optimizer.workload.job import Job
    from providers.offer import PriceSnapshot

    from .candidates import Bills
    from .market import Market
    from .tables import Tables

RESTRICTIONS = ("provider", "region", "gpu", "exclude_gpu")
"""What a person may have said about where: a machine that is large enough is priced outside it too."""


def near_miss_at(
    market: Market, place: int, hardware: int, figures: Mapping[str, tuple[float, float]], *, kind: str
) -> NearMiss:
    """Return the near miss of one candidate; `figures` are what it needs and what is allowed, by limit (NaN unknown).

    The order of the limits is that of `figures`.
    """
    job = market.job
    candidate = candidate_at(market, place, hardware, runs=job.runs)
    figures = {
        # Spot without a net is ranked by an approximation of its finish time: the deadline must suit what is drawn too.
        limit: (max(needed, candidate.finish_s_at_confidence) if limit == "deadline" else needed, allowed)
        for limit, (needed, allowed) in figures.items()
    }
    clauses = [
        broken_clause(limit, candidate, job, needed=needed, allowed=allowed)
        for limit, (needed, allowed) in figures.items()
    ]
    changes = [relaxing(limit, needed=needed) for limit, (needed, _) in figures.items()]
    # A floor is lowered to what the candidate has; every other limit is raised to what it needs.
    ends = {limit: pair[::-1] if limit == "quality_floor" else pair for limit, pair in figures.items()}
    broken = {limit: enough for limit, (enough, _) in ends.items()}
    allows = {limit: None if isnan(now) else now for limit, (_, now) in ends.items()}
    first, *also = figures
    return NearMiss(
        limit=first,
        required=broken[first],
        allowed=allows[first],
        unit=UNITS[first],
        candidate=candidate,
        sentence=(
            f"{name_of(candidate)} {', and it '.join(clauses)}: {' and '.join(changes)}, "
            f"and a run costs {cost_of(candidate)}."
        ),
        kind=kind,
        also=tuple(also),
        broken=broken,
        allows=allows,
        flags=flags_for(job, candidate, broken),
    )


def too_small(market: Market, nearest: NearMiss) -> NearMiss:
    """Return a near miss of a limit of machines as a way out: the cheapest known machine on which the job fits.

    It keeps every limit except where the job says it must be (provider, region, GPU). Where there is none, the
    candidate stays the machine that is too small, and is not priced: nobody rents it out with more memory.
    """
    said = name_of(nearest.candidate)
    clause = broken_clause(
        nearest.limit, nearest.candidate, market.job, needed=nearest.required, allowed=nearest.allowed or 0.0
    )
    bills = _elsewhere(market)
    if bills.count == 0:
        sentence = f"{said} {clause}: no machine with a known price has it and keeps all other limits."
        return replace(nearest, sentence=sentence, priced=False)
    at = best_of(market, bills)
    place, hardware = int(bills.place[at]), int(bills.hardware[at])
    candidate = candidate_at(market, place, hardware, runs=market.job.runs)
    outside = names_of(int(market.places.broken[place]))
    sentence = (
        f"{said} {clause}: the cheapest known machine that has it lies outside the {_listed(outside)} asked for: "
        f"{name_of(candidate)}, where a run costs {cost_of(candidate)}."
    )
    flags = flags_for(market.job, candidate, dict.fromkeys(outside, 1.0))
    return replace(nearest, candidate=candidate, sentence=sentence, flags=flags)


def another_loss(job: Job, snapshot: PriceSnapshot, tables: Tables, *, now: datetime) -> NearMiss | None:
    """Return the cheapest plan of a job that fits no machine with a cross-entropy that never holds all logits.

    None where the job has it already, or where that is not enough to keep every limit.
    """
    if job.loss == Loss.FUSED.value:
        return None
    try:
        settled = settle(survey(job, snapshot, tables, now=now, loss=Loss.FUSED))
    except JobError:  # the fused loss makes no sense with the rest of the recipe
        return None
    if not settled.solution.chosen:
        return None
    at, runs = settled.solution.chosen[0]
    candidate = candidate_at(settled.market, int(settled.bills.place[at]), int(settled.bills.hardware[at]), runs=runs)
    return NearMiss(
        limit="loss",
        required=1.0,
        allowed=0.0,
        unit="",
        candidate=candidate,
        sentence=(
            f"With a fused cross-entropy (loss fused), which never holds all logits, {name_of(candidate)} fits, "
            f"and a run costs {cost_of(candidate)}."
        ),
        kind="recipe",
        flags=(("--loss", (Loss.FUSED.value,)),),
    )


def _elsewhere(market: Market) -> Bills:
    """Return the bills that keep every limit but those on where, at places that the job does not allow."""
    restrictions = sum(bit(limit) for limit in RESTRICTIONS)
    broken = market.places.broken
    places = np.flatnonzero((broken != 0) & ((broken & ~restrictions) == 0))
    bills = join(market, factorise(market, allowed_rows(market)), places)
    allowed = budget_micro(market.job)
    return bills if allowed is None else bills.take(bills.high_micro * market.job.runs <= allowed)


def _listed(limits: tuple[str, ...]) -> str:
    words = {"provider": "provider", "region": "region", "gpu": "GPU", "exclude_gpu": "GPUs"}
    return " and ".join(dict.fromkeys(words[limit] for limit in limits))
