"""What a plan says beside its figures: why others lost, and what the reader has to know to trust it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from optimizer.physics.axes import Offload
from optimizer.physics.recipe import caution
from providers.coverage import missing_multi_gpu, multi_gpu_note
from providers.offer import PriceClass, PricingModel

from .constraints import FIXED
from .near_misses import cheaper_than
from .showing import candidate_at
from .wording import age, broken_clause, compared, cost_of, machine_name, method_name, name_of, span

if TYPE_CHECKING:
    from .candidates import Bills
    from .choice import Settlement
    from .market import Market
    from .results import Candidate, NearMiss


def lost_sentences(
    market: Market, bills: Bills, choices: tuple[Candidate, ...], others: tuple[Candidate, ...]
) -> tuple[str, ...]:
    """Return why others lost, one sentence each: the runner-up, the fastest, the other methods, the cheaper ones that
    break a limit."""
    choice = choices[0]
    cost = choice.quote.expected_usd_micro
    said: list[str] = []
    if others:
        said.append(f"{name_of(others[0])} costs {compared(others[0].quote.expected_usd_micro, cost)}.")
    said.extend(_fastest(market, bills, choice))
    said.extend(_methods(market, bills, choice))
    for miss in cheaper_than(market, cost):
        allowed = float("nan") if miss.allowed is None else miss.allowed
        clause = broken_clause(miss.limit, miss.candidate, market.job, needed=miss.required, allowed=allowed)
        joined = " if it fitted: it" if miss.limit in FIXED else ", but"
        said.append(f"{name_of(miss.candidate)} would cost {cost_of(miss.candidate)}{joined} {clause}.")
    return tuple(said)


def plan_notes(
    settled: Settlement, choices: tuple[Candidate, ...], missed: tuple[NearMiss, ...] = ()
) -> tuple[str, ...]:
    """Return what the reader has to know: assumptions behind the choice, or the ways out, that move their figures."""
    market = settled.market
    notes: list[str] = []
    if any(len(variant.tunings) > 1 for variant in market.grid.variants):
        notes.append("rsLoRA scales the adapter's output by another constant and costs what LoRA costs.")
    notes.extend(_sweep(market, choices))
    if settled.lifted:
        notes.append(
            "The method fits this machine without sharding or offload, but then no plan keeps every limit: they are "
            "there for the sake of speed, which makes the estimate less certain."
        )
    for choice in choices:
        notes.extend(_choice_notes(market, choice))
    for candidate in (*choices, *(miss.candidate for miss in missed)):
        if candidate.nodes > 1 and candidate.offer.network_bytes_per_s is None:
            where = f"{candidate.nodes} nodes is unknown ({candidate.offer.instance_type})"
            notes.append(f"The network between {where}: it is assumed, and the time with it.")
    notes.extend(_batch(market, choices))
    notes.extend(_coverage(market))
    if any(choice.recipe.tuning.value == "full" for choice in choices):
        notes.append("Full fine-tuning keeps fp32 master weights (mixed precision); pure 16-bit halves its memory.")
    return tuple(dict.fromkeys(notes))


def _choice_notes(market: Market, choice: Candidate) -> list[str]:
    notes = []
    offer = choice.offer
    if warning := caution(choice.recipe, choice.gpu):
        notes.append(warning)
    if choice.recipe.offload is not Offload.NONE:
        notes.append("Offload: next to no published run stands behind its speed; try a few steps first.")
    if offer.pricing_model is PricingModel.SPOT:
        notes.append(_spot_note(choice))
    if offer.price_class is PriceClass.LIST:
        seen = age((market.now - offer.observed_at).total_seconds())
        notes.append(f"The price of {offer.provider} is a list price observed {seen} ago.")
    if any(item.name == "disk" for item in choice.quote.items):
        notes.append("Disk is priced at an assumed rate; it may be included.")
    return notes


def _sweep(market: Market, choices: tuple[Candidate, ...]) -> list[str]:
    """Return how many GPUs a sweep takes at once: the deadline is met because no run waits for another."""
    if market.job.runs == 1 or not choices:
        return []
    gpus = sum(choice.offer.gpu_count * choice.nodes * choice.runs for choice in choices)
    return [f"All {market.job.runs} runs at once, {gpus} GPUs; at most {market.job.max_gpus} may be used."]


def _batch(market: Market, choices: tuple[Candidate, ...]) -> list[str]:
    """Return that the assumed global batch limits the GPUs, where more of them might have been the better answer."""
    assumed = any(line.startswith("global batch =") for line in market.job.defaults_used)
    strained = not choices or any(choice.recipe.offload is not Offload.NONE for choice in choices)
    if not (assumed and strained):
        return []
    batch = market.job.global_batch
    note = (
        f"A global batch of {batch} sequences (assumed) keeps at most {batch} GPUs busy: a larger --global-batch, "
        "with --max-nodes, lets more of them share the model, and may be faster and cheaper."
    )
    return [note]


def _coverage(market: Market) -> list[str]:
    """Return that machines of several GPUs have no known price, where the job allows only such providers."""
    asked = {name.casefold() for name in market.job.providers}
    missing = missing_multi_gpu(asked, offers=market.offers.offers) if asked else ()
    note = multi_gpu_note(missing) if asked and set(missing) == asked else None
    return [note] if note else []


def _fastest(market: Market, bills: Bills, choice: Candidate) -> list[str]:
    finish = market.hardware.finish_s[bills.hardware]
    at = int(np.lexsort((bills.expected_micro, finish))[0])
    fastest = candidate_at(market, int(bills.place[at]), int(bills.hardware[at]))
    if fastest.finish_s_at_confidence >= choice.finish_s_at_confidence:
        return []
    sentence = (
        f"The fastest{_of_which(market)}, {method_name(fastest)} on {machine_name(fastest)}, ends in "
        f"{span(fastest.duration_s.expected)} instead of {span(choice.duration_s.expected)} "
        f"and costs {compared(fastest.quote.expected_usd_micro, choice.quote.expected_usd_micro)}."
    )
    return [sentence]


def _of_which(market: Market) -> str:
    """Return among what a superlative holds: under a policy only a shortlist of the spot candidates is left."""
    return " of those worked out closely" if market.has_net and market.offers.spot.any() else ""


def _methods(market: Market, bills: Bills, choice: Candidate) -> list[str]:
    """Return the cheapest of each other method in one sentence."""
    parts = []
    variant = market.hardware.variant[bills.hardware]
    for index, one in enumerate(market.grid.variants):
        rows = np.flatnonzero(variant == index)
        if (one.tuning, one.bits) == (choice.recipe.tuning, choice.recipe.bits) or rows.size == 0:
            continue
        at = int(rows[np.argmin(bills.expected_micro[rows])])
        cheapest = candidate_at(market, int(bills.place[at]), int(bills.hardware[at]))
        parts.append(f"{method_name(cheapest)} {cost_of(cheapest)} on {machine_name(cheapest)}")
    return [f"Other methods at their cheapest{_of_which(market)}: {'; '.join(parts)}."] if parts else []


def _spot_note(choice: Candidate) -> str:
    answer = choice.spot
    rate = "Interruptions of spot machines are assumed"
    if answer is not None:
        per_hour = answer.rate_per_hour
        rate += f" at {per_hour.expected:.2g} an hour ({per_hour.low:.2g} to {per_hour.high:.2g})"
        if answer.executor == "none":
            rate += "; nobody acts on them (executor none), so spot has no safety net: the deadline may be missed"
        elif answer.fallback is not None:
            rate += (
                "; the plan relies on on-demand machines being there when the safety net needs them, and on the "
                "launcher saying how long the run turns out to be (`tunefare next --work`): otherwise the net knows "
                "only the work of the plan"
            )
    return f"{rate}."
