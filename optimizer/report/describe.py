"""Phrases for machines, places, recipes and amounts that several reports share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from optimizer.physics.recipe import Recipe
from optimizer.search.results import Candidate, LineItem, MemoryReading, Quote, SnapshotReport
from optimizer.workload.job import Job
from providers.offer import NANO, Offer

from .colour import Meaning
from .figures import (
    format_age,
    format_age_range,
    format_cents,
    format_count,
    format_dollars,
    format_gib,
    format_hourly,
    format_moment,
    format_percent,
    format_ppm,
    format_range,
    format_span,
    plural,
)
from .style import Style
from .table import text_width

TIGHT_FRACTION = 0.95
"""Memory filled beyond this share of what is usable is shown as tight."""


def describe_job(job: Job) -> str:
    """Return the job in a few words: model, tokens, objective, runs of a sweep."""
    words = [job.model.name, f"{format_count(job.tokens)} tokens", job.objective.upper()]
    if job.runs > 1:
        words.append(plural(job.runs, "run"))
    return " · ".join(words)


def describe_limits(job: Job, now: datetime) -> str:
    """Return the limits that the job sets: deadline, budget, floor, ceiling; empty when it sets none."""
    words = []
    if job.deadline_at is not None:
        left = format_span((job.deadline_at - now).total_seconds())
        words.append(f"by {format_moment(job.deadline_at)} ({left}) with {format_ppm(job.confidence_ppm)}")
    if job.budget_usd is not None:
        words.append(f"for at most {format_dollars(round(job.budget_usd * 1_000_000))}")
    if job.quality_floor is not None:
        words.append(f"quality {job.quality_floor} or better")
    if job.max_complexity is not None:
        words.append(f"complexity {job.max_complexity} or less")
    return ", ".join(words)


def describe_machine(candidate: Candidate) -> str:
    """Return "1 × RTX-4090-24GB", for several nodes "2 × 8 × H100-SXM-80GB"."""
    return describe_gpus(candidate.offer.gpu_count, candidate.nodes, candidate.gpu.id)


def describe_gpus(per_node: int, nodes: int, gpu: str) -> str:
    """Return nodes, GPUs of each and their id; one node is not mentioned."""
    machine = f"{per_node} × {gpu}"
    return machine if nodes == 1 else f"{nodes} × {machine}"


def describe_place(offer: Offer) -> str:
    """Return provider and region, the zone in its place where one is known, and the variant."""
    words = [offer.provider, offer.zone or offer.region]
    return " · ".join([*words, offer.variant] if offer.variant else words)


def describe_pricing(offer: Offer) -> str:
    """Return the pricing model in words: on demand, spot, reserved."""
    return offer.pricing_model.value.replace("_", " ")


def describe_price(offer: Offer, nodes: int, now: datetime) -> str:
    """Return price per hour, its class and its age: "$0.40 an hour (list price, 186 days old)"."""
    each = f"{format_hourly(offer.unit_price_nano / NANO)} an hour"
    age = format_age((now - offer.observed_at).total_seconds())
    currency = "" if offer.currency == "USD" else f" {offer.currency}"
    return f"{each}{currency}{' per node' if nodes > 1 else ''} ({offer.price_class.value} price, {age} old)"


def describe_method(recipe: Recipe) -> str:
    """Return method and width of the frozen weights: "qlora 4-bit"."""
    return f"{recipe.method} {recipe.bits}-bit"


def describe_recipe(recipe: Recipe) -> str:
    """Return how the run is done: method, batch, checkpointing, sharding, offload, optimizer, stack."""
    words = [describe_method(recipe)]
    if recipe.tuning.value != "full":
        words[0] += f" rank {recipe.lora_rank}"
    words.append(f"micro-batch {recipe.micro_batch} × accumulation {recipe.grad_accum}")
    words.append(f"rows of {recipe.seq_len:,} tokens{' (packed)' if recipe.packing else ''}")
    words.append(
        "no checkpointing" if recipe.checkpointing.value == "none" else f"{recipe.checkpointing.value} checkpointing"
    )
    words.append("no sharding" if recipe.sharding.value == "none" else f"sharding {recipe.sharding.value}")
    if recipe.offload.value != "none":
        words.append(f"offload to {recipe.offload.value}")
    words.append(f"{recipe.optimizer.value}, {recipe.precision.value}")
    words.append(f"stack {recipe.stack.value}{'' if recipe.stack_known else ' (assumed)'}")
    return " · ".join(words)


def describe_memory(memory: MemoryReading, style: Style) -> str:
    """Return "17.2 GiB of 23.5 GiB per GPU  [bar]  73 %": the high end of the need against what is usable."""
    fraction = memory.needed.high / memory.usable_bytes
    meaning = Meaning.BROKEN if fraction > 1 else Meaning.TIGHT if fraction > TIGHT_FRACTION else Meaning.GOOD
    amounts = f"{format_gib(memory.needed.high)} of {format_gib(memory.usable_bytes)} per GPU"
    return f"{amounts}  {style.paint(style.bar(fraction), meaning)}  {format_percent(fraction)}"


def describe_finish(candidate: Candidate, job: Job, now: datetime) -> str:
    """Return when the run ends, and how that compares with the deadline."""
    ends = format_moment(now + timedelta(seconds=candidate.duration_s.expected))
    if job.deadline_at is None:
        return ends
    spare = (job.deadline_at - now).total_seconds() - candidate.duration_s.expected
    relation = f"{format_span(abs(spare))} {'before' if spare >= 0 else 'after'} the deadline"
    return f"{ends}, {relation} (in time: {format_ppm(candidate.finish_probability_ppm)})"


def format_quote_range(quote: Quote) -> str:
    """Return the 10 % and 90 % quantile of the cost: "$2.40 – $4.05"."""
    return format_range(format_dollars(quote.low_usd_micro), format_dollars(quote.high_usd_micro))


def bill_lines(items: Sequence[LineItem], total_usd_micro: int, style: Style) -> list[str]:
    """Return a bill: name, quantity, dollars to the cent, and the total under a rule. Lines of $0 are left out."""
    rows = [(item.name.replace("_", " "), format_quantity(item), format_cents(item.usd_micro)) for item in items if item.usd_micro]
    rows.append(("total", "", format_cents(total_usd_micro)))
    name_width = max(text_width(name) for name, _, _ in rows)
    quantity_width = max(text_width(quantity) for _, quantity, _ in rows)
    amount_width = max(text_width(amount) for _, _, amount in rows)
    lines = [f"  {name:<{name_width}}  {quantity:>{quantity_width}}  {amount:>{amount_width}}" for name, quantity, amount in rows]
    rule = " " * (6 + name_width + quantity_width) + style.plain("─") * amount_width
    return [*lines[:-1], rule, lines[-1]]


def format_quantity(item: LineItem) -> str:
    """Return the quantity of a line in people's units; empty for a lump sum."""
    if item.unit == "s":
        return format_span(item.quantity)
    if item.unit in {"byte", "bytes", "B"}:
        return format_gib(item.quantity)
    if item.unit in {"", "usd", "once"}:
        return ""
    return f"{item.quantity:,.4g} {item.unit.replace('_', ' ')}"


def describe_snapshot(snapshot: SnapshotReport, now: datetime) -> str:
    """Return how many prices were seen, how old they are, and the digest that names them."""
    words = [plural(snapshot.offers, "offer")]
    if snapshot.newest_observed_at is not None and snapshot.oldest_observed_at is not None:
        youngest = (now - snapshot.newest_observed_at).total_seconds()
        oldest = (now - snapshot.oldest_observed_at).total_seconds()
        words.append(f"seen {format_age_range(youngest, oldest)} ago")
    words.append(f"snapshot {snapshot.sha256[:12]}")
    return ", ".join(words)


def describe_counts(counts: dict[str, int]) -> str:
    """Return "memory 1,204 · deadline 56", the largest first, zero left out."""
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return " · ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in ordered if count)
