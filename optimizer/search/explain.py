"""Why not that one? The cheapest candidate that matches what is asked, against the choice or the limit it breaks."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .candidates import Bills, broken_of, join
from .choice import Settlement, best_of, settle
from .constraints import LIMITS, SIMPLER, bit, names_of
from .market import survey
from .near_misses import figures_of
from .offers_columns import why_unusable
from .planner import snapshot_report
from .quota_places import within_quotas
from .results import Candidate, Explanation
from .showing import candidate_at
from .spec import Spec, parse_spec
from .spot_vetted import vetted
from .variants import METHODS
from .wording import broken_clause, compared, cost_of, counted, name_of, span

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from optimizer.physics.runs import Bools, Ints
    from optimizer.workload.job import Job
    from providers.offer import Offer, PriceSnapshot

    from .market import Market
    from .solve import Quota
    from .tables import Tables


def why_not(
    job: Job, snapshot: PriceSnapshot, tables: Tables, *, now: datetime, spec: str, quotas: Sequence[Quota] = ()
) -> Explanation:
    """Return in one sentence with numbers why what `spec` names is not the choice.

    `spec` is a GPU, provider, region, instance type, method, width, count, pricing model, or several: "H100 in
    us-east-1", "qlora", "p4d.24xlarge", "8x A100 spot". It is looked for among everything there is, the methods and
    node counts that the job does not allow included. Raises JobError for a word that names nothing known.
    """
    asked = parse_spec(spec, offers=snapshot.offers, gpus=tables.gpus)
    settled = settle(within_quotas(survey(job, snapshot, tables, now=now, wide=True), quotas), quotas)
    market, choice = settled.market, _choice(settled)
    answer = _answer(market, snapshot, asked, choice)
    return replace(answer, snapshot=snapshot_report(market, snapshot))


def _answer(market: Market, snapshot: PriceSnapshot, asked: Spec, choice: Candidate | None) -> Explanation:
    bills = join(market, _rows(market, asked), _places(market, asked))
    if bills.count == 0:
        return Explanation(
            spec=asked.text, verdict="absent", sentence=_absent(market, snapshot, asked), candidate=None, choice=choice,
            broken={},
        )  # fmt: skip
    masks = broken_of(market, bills)
    fit = np.flatnonzero(masks == 0)
    if fit.size == 0:
        return _infeasible(market, asked, bills, masks, choice)
    kept = vetted(market, bills.take(fit))
    if kept.count == 0:
        return _not_sure(market, asked, bills.take(fit), choice)
    at = best_of(market, kept)
    candidate = candidate_at(market, int(kept.place[at]), int(kept.hardware[at]), runs=market.job.runs)
    same = choice is not None and _same(candidate, choice)
    return Explanation(
        spec=asked.text,
        verdict="chosen" if same else "dearer",
        sentence=_chosen(candidate) if same or choice is None else _dearer(candidate, choice),
        candidate=candidate,
        choice=choice,
        broken={},
    )


def _not_sure(market: Market, asked: Spec, bills: Bills, choice: Candidate | None) -> Explanation:
    """Return the answer for spot that is in time by the ranking, but makes the deadline less surely than asked."""
    at = best_of(market, bills)
    candidate = candidate_at(market, int(bills.place[at]), int(bills.hardware[at]), runs=market.job.runs)
    return Explanation(
        spec=asked.text,
        verdict="infeasible",
        sentence=(
            f"{name_of(candidate)} would cost {cost_of(candidate)}, but makes the deadline with only "
            f"{candidate.finish_probability_ppm / 1e4:.0f} % of the runs, and "
            f"{market.job.confidence_ppm / 1e4:g} % are asked for."
        ),
        candidate=candidate,
        choice=choice,
        broken={},
    )


def _choice(settled: Settlement) -> Candidate | None:
    """Return what the plan takes; of a sweep over several offers the cheapest."""
    market, bills = settled.market, settled.bills
    if not settled.solution.chosen:
        return None
    at, _ = min(settled.solution.chosen, key=lambda chosen: float(bills.expected_micro[chosen[0]]))
    return candidate_at(market, int(bills.place[at]), int(bills.hardware[at]), runs=market.job.runs)


def _rows(market: Market, asked: Spec) -> Ints:
    # A variant stands for its twins: LoRA's row answers for rsLoRA.
    named = [
        any(asked.names_method(_method(tuning.value, one.bits), one.bits) for tuning in one.tunings)
        for one in market.grid.variants
    ]
    held = np.array([asked.names_recipe(base) for base in market.grid.bases], dtype=np.bool_)
    rows = market.hardware
    meant = np.array(named, dtype=np.bool_)[rows.variant] & held[market.rows.base[rows.row]]
    return np.flatnonzero(meant & np.isfinite(rows.finish_s))


def _method(tuning: str, bits: int) -> str:
    return "qlora" if tuning == "lora" and bits == 4 else tuning


def _places(market: Market, asked: Spec) -> Ints:
    offers: Bools = np.array([asked.names_offer(offer) for offer in market.offers.offers], dtype=np.bool_)
    places = market.places
    allowed = np.full(places.count, fill_value=True) if asked.nodes is None else places.nodes == asked.nodes
    return np.flatnonzero(offers[places.offer] & allowed)


def _infeasible(market: Market, asked: Spec, bills: Bills, masks: Ints, choice: Candidate | None) -> Explanation:
    """Explain by the candidate that breaks the fewest limits, each the least that any of those does, then the price.

    What is merely not needed says more than a limit that somebody set: one of those goes before the others.
    """
    counts = sum(((masks & bit(limit)) != 0).astype(np.int64) for limit in LIMITS)
    fewest = np.flatnonzero(counts == np.min(counts))
    unneeded = fewest[masks[fewest] == bit(SIMPLER)]
    fewest = unneeded if unneeded.size else fewest
    limits = names_of(int(masks[fewest[np.argmin(bills.expected_micro[fewest])]]))
    alike = bills.take(fewest[masks[fewest] == masks[fewest[np.argmin(bills.expected_micro[fewest])]]])
    needed, allowed = figures_of(market, limits[0], alike)
    over = np.abs(needed - np.nan_to_num(allowed))
    nearest = np.flatnonzero(over == over.min())
    at = int(nearest[np.argmin(alike.expected_micro[nearest])])
    candidate = candidate_at(market, int(alike.place[at]), int(alike.hardware[at]), runs=market.job.runs)
    one = alike.take(np.array([at]))
    broken = {}
    for limit in limits:
        need, have = figures_of(market, limit, one)
        broken[limit] = (float(need[0]), float(have[0]))
    clauses = [
        broken_clause(limit, candidate, market.job, needed=need, allowed=have) for limit, (need, have) in broken.items()
    ]
    against = f"; the choice, {name_of(choice)}, costs {cost_of(choice)}" if choice is not None else ""
    sentence = f"{name_of(candidate)} would cost {cost_of(candidate)}, but {', and it '.join(clauses)}{against}."
    return Explanation(
        spec=asked.text,
        verdict="infeasible",
        sentence=sentence,
        candidate=candidate,
        choice=choice,
        broken=broken,
    )


def _chosen(candidate: Candidate) -> str:
    return f"That is the choice: {name_of(candidate)} costs {cost_of(candidate)}."


def _dearer(candidate: Candidate, choice: Candidate) -> str:
    own, best = candidate.quote.expected_usd_micro, choice.quote.expected_usd_micro
    if own == best:
        return f"{name_of(candidate)} costs {cost_of(candidate)} too, and the tie goes to {name_of(choice)}."
    return (
        f"{name_of(candidate)} costs {compared(own, best)}; the choice, {name_of(choice)}, costs {cost_of(choice)} "
        f"and ends in {span(choice.duration_s.expected)} instead of {span(candidate.duration_s.expected)}."
    )


def _same(candidate: Candidate, choice: Candidate) -> bool:
    return (
        candidate.offer.key == choice.offer.key
        and candidate.nodes == choice.nodes
        and candidate.recipe == choice.recipe
    )


def _absent(market: Market, snapshot: PriceSnapshot, asked: Spec) -> str:
    """Say why nothing matches: no such offer, one that cannot be used, or no recipe for it."""
    if asked.methods and not any(
        asked.names_method(_method(tuning.value, one.bits), one.bits)
        for one in market.grid.variants
        for tuning in one.tunings
    ):
        return f"{asked.text}: no recipe of that method and width makes sense (methods: {', '.join(METHODS)})."
    known = [offer for offer in snapshot.offers if asked.names_offer(offer)]
    if not known:
        return f"{asked.text}: none of the {len(snapshot.offers)} offers matches all of that{_nearly(snapshot, asked)}."
    usable = [offer for offer in market.offers.offers if asked.names_offer(offer)]
    if not usable:
        return _unusable(market, known, asked)
    sizes = sorted({offer.gpu_count for offer in usable})
    match = counted(len(usable), "offer matches", "offers match")
    if any(market.job.global_batch % size == 0 for size in sizes):
        return f"{asked.text}: {match}, but no recipe of that kind makes sense there."
    return (
        f"{asked.text}: {match}, but {' or '.join(map(str, sizes))} GPUs do not divide "
        f"the global batch of {market.job.global_batch} in any recipe that makes sense there."
    )


def _unusable(market: Market, known: list[Offer], asked: Spec) -> str:
    """Say why offers that are known cannot be used: every reason, with how many it takes out."""
    why = [why_unusable(offer, market.tables.gpus, now=market.now) for offer in known]
    reasons = Counter(reason or "replaced by a newer or cheaper price of the same offer" for reason in why)
    match = counted(len(known), "offer matches, and it cannot", "offers match, and none of them can")
    if len(reasons) == 1:
        return f"{asked.text}: {match} be used: {next(iter(reasons))}."
    listed = "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common())
    return f"{asked.text}: {match} be used: {listed}."


def _nearly(snapshot: PriceSnapshot, asked: Spec) -> str:
    """Say which word keeps offers from matching: the one without which most do; nothing where one is not enough."""
    nothing: frozenset[str] = frozenset()
    without = {
        "place": replace(asked, regions=nothing),
        "provider": replace(asked, providers=nothing),
        "GPU": replace(asked, gpus=nothing),
        "instance type": replace(asked, instance_types=nothing),
        "pricing model": replace(asked, pricing_model=None),
        "count": replace(asked, gpu_count=None),
    }
    found = {
        word: [offer for offer in snapshot.offers if wider.names_offer(offer)]
        for word, wider in without.items()
        if wider != asked
    }
    word = max(found, key=lambda one: len(found[one]), default="")
    if not word or not found[word]:
        return ""
    near = min(found[word], key=lambda offer: offer.key)
    where = "" if near.region == "unknown" else f" in {near.region}"
    match = counted(len(found[word]), "does", "do")
    return f"; leaving out the {word} {match}, such as {near.gpu_count}x {near.gpu_name} at {near.provider}{where}"
