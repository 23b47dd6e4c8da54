"""Phrases for machines, places, recipes and amounts that several reports share."""

from __future__ import annotations

from datetime import datetime, timedelta
from shlex import quote
from types import MappingProxyType
from typing import TYPE_CHECKING

from providers.offer import NANO, Offer

from .colour import Meaning
from .figures import (
    UNKNOWN,
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
    round_to_cents,
)
from .table import format_heading, format_paragraph, text_width

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from optimizer.physics.recipe import Recipe
    from optimizer.search.results import (
        CalibrationReport,
        Candidate,
        LineItem,
        MemoryReading,
        Quote,
        SnapshotReport,
    )
    from optimizer.workload.job import Job

    from .style import Style

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
        words.append(f"done by {format_moment(job.deadline_at)}, in {left}, {format_ppm(job.confidence_ppm)} sure")
    if job.budget_usd is not None:
        words.append(f"at most {format_dollars(round(job.budget_usd * 1_000_000))}")
    if job.quality_floor is not None:
        words.append(f"quality {job.quality_floor} or better")
    if job.max_complexity is not None:
        words.append(f"complexity {job.max_complexity} or less")
    places = [*job.providers, *job.regions, *job.gpus]
    if places:
        words.append(f"only {', '.join(places)}")
    return " · ".join(words)


def job_lines(job: Job, now: datetime, style: Style) -> list[str]:
    """Return the title of a report on a job, and its limits under it."""
    limits = describe_limits(job, now)
    return [format_heading(describe_job(job), "", style), *(format_paragraph(limits, style) if limits else [])]


def describe_machine(candidate: Candidate) -> str:
    """Return "1 × RTX-4090-24GB", for several nodes "2 × 8 × H100-SXM-80GB"."""
    return describe_gpus(candidate.offer.gpu_count, candidate.nodes, candidate.gpu.id)


def describe_machine_briefly(candidate: Candidate) -> str:
    """Return the machine for tables: "8×H100-SXM-80GB"."""
    return describe_machine(candidate).replace(" × ", "×")


def describe_gpus(per_node: int, nodes: int, gpu: str) -> str:
    """Return nodes, GPUs of each and their id; one node is not mentioned."""
    machine = f"{per_node} × {gpu}"
    return machine if nodes == 1 else f"{nodes} × {machine}"


def describe_place(offer: Offer) -> str:
    """Return provider and region, the zone in its place where one is known, and the variant."""
    place = offer.zone or (f"region {UNKNOWN}" if offer.region == UNKNOWN else offer.region)
    words = [offer.provider, place]
    return " · ".join([*words, offer.variant] if offer.variant else words)


FLAG_WORDS: Mapping[str, tuple[str, str]] = MappingProxyType({
    "marketplace": ("m", "marketplace host"),
    "form_factor_assumed": ("f", "form factor not stated by the source, the slower assumed"),
    "virtualised_gpu": ("v", "GPU reached over a network"),
    "arm_host": ("a", "ARM host: needs aarch64 builds"),
    "restricted_region": ("r", "restricted region, opened on request"),
    "undocumented_size": ("u", "size not documented by the provider"),
    "clamp_suspected": ("c", "clamp suspected: the spot price looks like a floor"),
    "foreign_currency": ("x", "not priced in USD"),
    "discounted": ("d", "negotiated discount"),
    "own": ("o", "from your own file"),
    "gpu_unknown": ("n", "GPU not in the table"),
    "limited_capacity": ("l", "little capacity left"),
    "price_held": ("h", "held: a newer price is in quarantine"),
})  # fmt: skip
"""Each flag that a reader should see: the mark that tables show, and the words."""


def describe_flags(offer: Offer) -> str:
    """Return what a reader should know of an offer, in words: "marketplace host · ARM host ..."; mostly empty."""
    words = [words for flag, (_, words) in FLAG_WORDS.items() if flag in offer.flags]
    if offer.variant == COMMUNITY:
        words = [COMMUNITY_HOST if word == FLAG_WORDS["marketplace"][1] else word for word in words]
    return " · ".join(words)


COMMUNITY = "community"
"""The variant of a provider that rents out other people's machines beside its own."""
COMMUNITY_HOST = "community host, not the provider's own machine"


def mark_offer(offer: Offer) -> str:
    """Return the marks of an offer for tables: one letter a flag, in the order of `FLAG_WORDS`."""
    return "".join(mark for flag, (mark, _) in FLAG_WORDS.items() if flag in offer.flags)


def explain_marks(offers: Iterable[Offer]) -> str:
    """Return what the marks of a table mean: "m: marketplace host · a: ARM host ..."; empty without any."""
    offers = tuple(offers)
    seen = {flag for offer in offers for flag in offer.flags}
    words = [f"{mark}: {words}" for flag, (mark, words) in FLAG_WORDS.items() if flag in seen]
    if any(offer.variant == COMMUNITY for offer in offers):
        words = [word.replace("marketplace host", "marketplace or community host") for word in words]
    return " · ".join(words)


def describe_place_briefly(offer: Offer) -> str:
    """Return the region for tables, with the variant where there is one: "us-east-1", "secure" where no region is.

    A marketplace is not named again: a mark says it.
    """
    variant = None if offer.variant == "marketplace" else offer.variant
    known = None if offer.region == UNKNOWN else offer.region
    return " ".join(filter(None, (known, variant))) or UNKNOWN


def describe_pricing(offer: Offer) -> str:
    """Return the pricing model in words: on demand, spot, reserved."""
    return offer.pricing_model.value.replace("_", " ")


PAID = {"on_demand": "od", "spot": "spot", "reserved": "res"}
"""Pricing models as tables abbreviate them."""


def describe_price(offer: Offer, nodes: int, now: datetime) -> str:
    """Return price per hour, its class and its age: "$0.40 an hour (list price, 186 days old)"."""
    each = f"{format_hourly(offer.unit_price_nano / NANO)} an hour"
    age = format_age((now - offer.observed_at).total_seconds())
    currency = "" if offer.currency == "USD" else f" {offer.currency}"
    return f"{each}{currency}{' per node' if nodes > 1 else ''} ({offer.price_class.value} price, {age} old)"


def describe_method(recipe: Recipe) -> str:
    """Return method and width of the frozen weights: "qlora 4-bit"."""
    return f"{recipe.method} {recipe.bits}-bit"


def describe_method_briefly(recipe: Recipe) -> str:
    """Return the method for tables, with its width only where it is not the usual one: lora, "lora 8-bit", qlora."""
    usual = 4 if recipe.method == "qlora" else 16
    return recipe.method if recipe.bits == usual else describe_method(recipe)


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
    if recipe.activation_offload:
        words.append("activations offloaded")
    step = " in backward" if recipe.optimizer_in_backward else " fused" if recipe.fused_optimizer else ""
    words.append(f"{recipe.optimizer.value}{step}, {recipe.precision.value}")
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
    ends = _moment_after(now, candidate.duration_s.expected)
    if job.deadline_at is None:
        return ends
    spare = (job.deadline_at - now).total_seconds() - candidate.duration_s.expected
    relation = f"{format_span(abs(spare))} {'before' if spare >= 0 else 'after'} deadline"
    return f"{ends}, {relation} ({format_ppm(candidate.finish_probability_ppm)} sure)"


def _moment_after(now: datetime, seconds: float) -> str:
    try:
        return format_moment(now + timedelta(seconds=seconds))
    except OverflowError:
        return "after the year 9999"


def format_quote_range(quote: Quote) -> str:
    """Return the 10 % and 90 % quantile of the cost: "$2.40 – $4.05"."""
    return format_range(format_dollars(quote.low_usd_micro), format_dollars(quote.high_usd_micro))


def bill_lines(items: Sequence[LineItem], style: Style) -> list[str]:
    """Return a bill to the cent: name, quantity, dollars, and the total under a rule.

    The cents shown add up exactly; lines of less than a cent are left out.
    """
    cents = round_to_cents([item.usd_micro for item in items])
    shown = [(item, amount) for item, amount in zip(items, cents, strict=True) if amount]
    rows = [(item.name.replace("_", " "), format_quantity(item), format_cents(amount)) for item, amount in shown]
    rows.append(("total", "", format_cents(sum(cents))))
    name, quantity, amount = (max(text_width(row[at]) for row in rows) for at in range(3))
    lines = [f"  {row[0]:<{name}}  {row[1]:>{quantity}}  {row[2]:>{amount}}" for row in rows]
    rule = " " * (6 + name + quantity) + style.plain("─") * amount
    return [*lines[:-1], rule, lines[-1]]


def format_quantity(item: LineItem) -> str:
    """Return the quantity of a line in people's units; empty for a lump sum."""
    if item.unit == "s":
        return format_span(item.quantity)
    if item.unit in {"byte", "bytes", "B"}:
        return format_gib(item.quantity)
    if item.unit in {"", "usd", "once"}:
        return ""
    return f"{item.quantity:,.3g} {item.unit.replace('_', ' ')}"


def describe_snapshot(snapshot: SnapshotReport, now: datetime) -> str:
    """Return how many prices were seen, how old they are, and the digest that names them."""
    words = [plural(snapshot.offers, "offer")]
    if snapshot.newest_observed_at is not None and snapshot.oldest_observed_at is not None:
        youngest = (now - snapshot.newest_observed_at).total_seconds()
        oldest = (now - snapshot.oldest_observed_at).total_seconds()
        words.append(f"seen {format_age_range(youngest, oldest)} ago")
    words.append(f"snapshot {snapshot.sha256[:12]}")
    return ", ".join(words)


def describe_calibration(report: CalibrationReport) -> str:
    """Return which measured runs an answer is calibrated with, by files and digest, and whether they apply."""
    runs = f"{plural(report.runs, 'measured run')} of {', '.join(report.stacks)}"
    words = f"{runs} from {', '.join(report.files)}, calibration {report.sha256[:12]}"
    return words if report.applied else f"{words}: not applied"


def describe_counts(counts: Mapping[str, int]) -> str:
    """Return "memory 1,204 · deadline 56", the largest first, zero left out."""
    return " · ".join(f"{describe_limit(name)} {count:,}" for name, count in _largest_first(counts))


def describe_defaults(defaults: Sequence[str]) -> str:
    """Return the defaults used, under a label that says so: "packing = no; GPUs = 64 (at most)"."""
    return "; ".join(text.replace(" (default)", "").replace("(default, ", "(") for text in defaults)


MOST_REASONS = 3
"""Reasons for leaving offers out that a report names unless it is verbose."""


def describe_left_out(counts: Mapping[str, int], *, verbose: bool) -> str:
    """Return why offers were left out, the largest first; unless verbose the first few, without their explanations."""
    ordered = _largest_first(counts)
    if not ordered:
        return ""
    shown = ordered if verbose else ordered[:MOST_REASONS]
    words = [f"{describe_limit(name if verbose else name.partition(':')[0])} {count:,}" for name, count in shown]
    if rest := sum(count for _, count in ordered[len(shown) :]):
        words.append(f"other reasons {rest:,}")
    return f"{plural(sum(count for _, count in ordered), 'offer')}: {' · '.join(words)}"


def _largest_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return [(name, count) for name, count in ordered if count]


LIMIT_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "nvme": "NVMe",
        "simpler": "a simpler recipe fits",
        "spot_price": "spot no cheaper than on-demand",
        "fallback": "no on-demand machine to fall back on",
    }
)
"""Names of limits that do not read as words."""


def describe_limit(name: str) -> str:
    """Return the name of a limit, or of a reason, in words: "max GPUs"."""
    return LIMIT_WORDS.get(name) or name.replace("_", " ").replace("gpu", "GPU")


def command_lines(words: Sequence[str], style: Style) -> list[str]:
    """Return a command to type, quoted for a shell; a long one goes on, after a backslash, on further lines."""
    lines = ["  $ tunefare"]
    for part in _flags_with_values(words):
        # Two columns are kept for the backslash.
        if len(lines[-1]) + 1 + len(part) > style.width - 2:
            lines[-1] += " \\"
            lines.append("     ")
        lines[-1] += f" {part}"
    return lines


def _flags_with_values(words: Sequence[str]) -> list[str]:
    """Return the words, quoted, each flag joined with the value behind it."""
    parts: list[str] = []
    for word in words:
        if parts and parts[-1].startswith("--") and " " not in parts[-1] and not word.startswith("--"):
            parts[-1] += f" {quote(word)}"
        else:
            parts.append(quote(word))
    return parts
