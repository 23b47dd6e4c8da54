"""Sentences with numbers: how candidates are named, and how a broken limit reads."""

from __future__ import annotations

from math import ceil, isnan
from typing import TYPE_CHECKING

from providers.money import format_usd
from providers.offer import PricingModel
from providers.units import format_bytes, format_duration

if TYPE_CHECKING:
    from optimizer.workload.job import Job

    from .results import Candidate


def machine_name(candidate: Candidate) -> str:
    """Return "2 x 8x H100-SXM-80GB": nodes, GPUs per node, GPU."""
    nodes = f"{candidate.nodes} x " if candidate.nodes > 1 else ""
    return f"{nodes}{candidate.offer.gpu_count}x {candidate.gpu.id}"


def place_name(candidate: Candidate) -> str:
    """Return "aws p5.48xlarge in us-east-1, spot": who rents it out, where, and how it is paid."""
    offer = candidate.offer
    place = offer.zone or offer.region
    where = "" if place in {"", "unknown"} else f" in {place}"
    paid = "" if offer.pricing_model is PricingModel.ON_DEMAND else f", {offer.pricing_model}"
    return f"{offer.provider} {offer.instance_type}{where}{paid}"


def method_name(candidate: Candidate) -> str:
    """Return "lora at 16 bits", "qlora", "full fine-tuning"."""
    recipe = candidate.recipe
    if recipe.method == "qlora":
        return "qlora"
    return "full fine-tuning" if recipe.method == "full" else f"{recipe.method} at {recipe.bits} bits"


def name_of(candidate: Candidate) -> str:
    """Return machine, place and method of a candidate."""
    return f"{method_name(candidate)} on {machine_name(candidate)} ({place_name(candidate)})"


def cost_of(candidate: Candidate) -> str:
    """Return the expected cost of one run."""
    return format_usd(candidate.quote.expected_usd_micro)


def span(seconds: float) -> str:
    """Return a span as a person would say it: whole minutes from an hour on, whole hours from two days on."""
    grain = 3600.0 if seconds >= 2 * 86400.0 else 60.0 if seconds >= 3600.0 else 1.0
    return format_duration(round(seconds / grain) * grain)


def age(seconds: float) -> str:
    """Return how long ago something was: "183 days", below two days as `span`; never less than nothing."""
    days = round(max(seconds, 0.0) / 86400.0)
    return f"{days} days" if days >= 2 else span(max(seconds, 0.0))


def at_least(seconds: float) -> str:
    """Return a span that is long enough: whole minutes, rounded up."""
    return format_duration(ceil(seconds / 60.0) * 60.0)


def counted(count: int, one: str, more: str) -> str:
    """Return a count with the words that go with it: "1 offer matches", "3 offers match"."""
    return f"{count:,} {one if count == 1 else more}"


def compared(cost_micro: int, base_micro: int) -> str:
    """Return a cost against another: "$14.20, 12 % more", "$98.00, 5.1 times as much"."""
    own = format_usd(cost_micro)
    if base_micro <= 0:
        return own
    ratio = cost_micro / base_micro
    if ratio >= 3.0:
        return f"{own}, {ratio:.1f} times as much"
    more = 100.0 * (ratio - 1.0)
    than = "more" if more >= 0.0 else "less"
    return f"{own}, {abs(more):.1f} % {than}" if abs(more) < 9.95 else f"{own}, {abs(more):.0f} % {than}"


def broken_clause(limit: str, candidate: Candidate, job: Job, *, needed: float, allowed: float) -> str:
    """Return one clause that says by how much `candidate` breaks `limit`; `allowed` is NaN where it is unknown."""
    if isnan(allowed):
        return _unknown_clause(limit, needed=needed)
    clauses = {
        "memory": f"needs {format_bytes(needed)} of GPU memory (high end), and {format_bytes(allowed)} are usable",
        "host_memory": (
            f"needs {format_bytes(needed)} of host memory (high end), and the node has {format_bytes(allowed)}"
        ),
        "nvme": f"needs {format_bytes(needed)} of local NVMe, and the node has {format_bytes(allowed)}",
        "speed_known": "has no known speed",
        "deadline": (
            f"needs {span(needed)} (at {job.confidence_ppm / 1e4:g} % confidence), "
            f"and the deadline leaves {span(allowed) if allowed > 0 else 'nothing'}"
        ),
        "quality_floor": f"reaches quality {candidate.quality}, and the floor is {job.quality_floor}",
        "max_complexity": (f"is of complexity {candidate.complexity}, and the ceiling is {job.max_complexity}"),
        "method": "was not asked for",
        "max_gpus": f"uses {needed:.0f} GPUs{_at_once(job)}, and the limit is {allowed:.0f}",
        "max_nodes": f"uses {needed:.0f} nodes, and the limit is {allowed:.0f}",
        "provider": f"is at {candidate.offer.provider}, and only {', '.join(job.providers)} may be used",
        "region": f"is in {candidate.offer.region}, and only {', '.join(job.regions)} may be used",
        "gpu": f"is a {candidate.gpu.id}, and only {', '.join(job.gpus)} may be used",
        "exclude_gpu": f"is a {candidate.gpu.id}, which is excluded",
        "pricing_model": _pricing_clause(candidate, job),
        "max_price_age": f"has a price {age(needed)} old, and at most {span(allowed)} are accepted",
        "spot_price": "costs no less as spot than on-demand in the same place",
        "fallback": "has no on-demand machine of its kind to fall back on, and the policy needs one",
        "quota": f"needs {counted(round(needed), 'GPU', 'GPUs')} at once, and a quota allows {allowed:.0f}",
        "budget": f"may cost {format_usd(round(needed))} (high end), and the budget is {format_usd(round(allowed))}",
        "simpler": f"is not needed: without {_burden(candidate)} the method fits that machine too",
    }
    return clauses[limit]


def relaxing(limit: str, *, needed: float) -> str:
    """Return what a person would have to change to let a candidate through."""
    changes = {
        "memory": "use a GPU with more memory",
        "host_memory": "use a node whose host memory is known to suffice",
        "nvme": "use a node whose NVMe is known to suffice",
        "speed_known": "measure its speed",
        "deadline": f"set the deadline to {at_least(needed)} or later",
        "quality_floor": "lower the quality floor",
        "max_complexity": "raise the complexity ceiling",
        "method": "allow this method",
        "max_gpus": f"allow {needed:.0f} GPUs",
        "max_nodes": f"allow {needed:.0f} nodes",
        "provider": "allow this provider",
        "region": "allow this region",
        "gpu": "allow this GPU",
        "exclude_gpu": "do not exclude this GPU",
        "pricing_model": "allow this pricing model",
        "max_price_age": f"accept prices {age_of_at_least(needed)} old, or refresh them",
        "spot_price": "use on-demand there",
        "fallback": "use another executor, or on-demand",
        "quota": f"have every quota on it raised to {counted(round(needed), 'GPU', 'GPUs')}",
        "budget": f"raise the budget to {dollars_of(needed)}",
    }
    return changes[limit]


def dollars_of(micro: float) -> str:
    """Return an amount of micro-dollars rounded up to whole cents: "$0.52"."""
    return format_usd(ceil(micro / 10_000.0) * 10_000)


def age_of_at_least(seconds: float) -> str:
    """Return an age that is old enough: whole days, below two days whole minutes."""
    days = ceil(seconds / 86400.0)
    return f"{days} days" if days > 2 else at_least(max(seconds, 1.0))


def _unknown_clause(limit: str, *, needed: float) -> str:
    kind = "host memory (high end), and the memory of the node is unknown"
    if limit == "nvme":
        kind = "local NVMe, and the node's disk is unknown"
    return f"needs {format_bytes(needed)} of {kind}"


def _at_once(job: Job) -> str:
    return f" ({job.runs} runs at once)" if job.runs > 1 else ""


def _burden(candidate: Candidate) -> str:
    """Return what makes a recipe more complicated than it needs to be."""
    recipe = candidate.recipe
    return "offload" if recipe.offload.value != "none" else recipe.sharding.value.upper().replace("ZERO", "ZeRO-")


def _pricing_clause(candidate: Candidate, job: Job) -> str:
    model = candidate.offer.pricing_model.value
    if job.pricing_models:
        return f"is {model}, and only {', '.join(job.pricing_models)} may be used"
    return f"is {model}, which was not asked for and whose price is not fresh"
