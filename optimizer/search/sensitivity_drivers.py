"""The drivers of a job's cost that change what is computed: how far each is moved, and the job and recipe it makes.

Intervals are stated, not estimated: half and double for lengths and batches, the widths that there are, ten minutes to
four hours between checkpoints, a tenth more or less data, one epoch more or less.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from optimizer.physics.recipe import WIDTHS

if TYPE_CHECKING:
    from optimizer.physics.recipe import Recipe
    from optimizer.workload.job import Job

    from .results import Candidate

DATA_SHARE = 0.1
"""Share of the data that may be missing or too much: a count is seldom off by more. Assumed."""
OFTEN_S, SELDOM_S = 600.0, 4 * 3600.0
"""Bounds of the time between checkpoints that people use. Assumed."""
ITEMS = {"sft": "samples", "dpo": "pairs", "ppo": "rollouts"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCount:
    """How the amount of data was said: items (samples, pairs, rollouts) of one epoch and epochs; None for tokens."""

    items: int | None = None
    epochs: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """One end of a driver: its value, and the job and recipe that it makes of those of the choice."""

    value: float
    job: Job
    recipe: Recipe
    detail: str = ""
    """What moves along with the value, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverSpan:
    """How far a driver is moved from `base`. `changes_job` says that the best plan may change with it."""

    name: str
    unit: str
    base: float
    ends: tuple[Variation, ...]
    why: str
    """Where the interval comes from."""
    changes_job: bool = True
    one_sided: str = ""
    """Why an end is missing, in a clause; empty where both are there."""


def driver_spans(job: Job, choice: Candidate, data: DataCount) -> list[DriverSpan]:
    """Return the drivers that are computed anew, each with the ends that make sense for this choice."""
    return [
        _sequence_length(job, choice.recipe),
        _global_batch(job, choice.recipe),
        _accumulation(job, choice.recipe),
        _precision(job, choice.recipe),
        _cadence(job, choice),
        *_amount(job, choice.recipe, data),
    ]


def _sequence_length(job: Job, recipe: Recipe) -> DriverSpan:
    """Rows of half and of twice the length: memory goes by it. Samples that are longer are cut, with their tokens."""
    base, context = job.seq_len, job.model.context
    shortest = job.prompt_tokens + job.response_tokens if job.lengths is None else 1
    values = [one for one in (max(base // 2, shortest, 1), min(2 * base, context)) if one != base]
    return DriverSpan(
        name="sequence_length",
        unit="tokens",
        base=base,
        ends=tuple(_of_length(job, recipe, one) for one in values),
        why="half and double, at most the model's context",
        one_sided=_sides(values, base, low="no row can be shorter", high=f"the context ends at {context:,} tokens"),
    )


def _of_length(job: Job, recipe: Recipe, seq_len: int) -> Variation:
    tokens = job.tokens
    if job.lengths is not None:
        kept = job.lengths.truncated_mean(seq_len) / job.lengths.truncated_mean(job.seq_len)
        tokens = max(1, round(job.tokens * kept))
    changed = replace(job, seq_len=seq_len, tokens=tokens)
    cut = f"{1 - tokens / job.tokens:.0%} of the tokens cut off" if tokens < 0.995 * job.tokens else ""
    return Variation(value=seq_len, job=changed, recipe=_batched(changed, replace(recipe, seq_len=seq_len)), detail=cut)


def _global_batch(job: Job, recipe: Recipe) -> DriverSpan:
    """Half and twice the sequences of a step: by accumulation, by the micro-batch where that cannot be halved."""
    ends = []
    if recipe.grad_accum % 2 == 0:
        ends.append((job.global_batch // 2, recipe.micro_batch, recipe.grad_accum // 2))
    elif recipe.micro_batch % 2 == 0:
        ends.append((job.global_batch // 2, recipe.micro_batch // 2, recipe.grad_accum))
    ends.append((2 * job.global_batch, recipe.micro_batch, 2 * recipe.grad_accum))
    variations = []
    for batch, micro, accum in ends:
        changed = replace(job, global_batch=batch)
        shape = f"micro-batch {micro} x accumulation {accum}"
        variations.append(
            Variation(value=batch, job=changed, recipe=_batched(changed, recipe, micro, accum), detail=shape)
        )
    return DriverSpan(
        name="global_batch",
        unit="sequences",
        base=job.global_batch,
        ends=tuple(variations),
        why="half and double",
        one_sided="" if len(ends) == 2 else "every GPU has one sequence a step already",
    )


def _accumulation(job: Job, recipe: Recipe) -> DriverSpan:
    """The same global batch in half and in twice as many passes, with twice and half the micro-batch."""
    micro, accum = recipe.micro_batch, recipe.grad_accum
    shapes = [(2 * micro, accum // 2)] if accum % 2 == 0 else []
    shapes += [(micro // 2, 2 * accum)] if micro % 2 == 0 else []
    reasons = [*([] if accum % 2 == 0 else ["the passes cannot be halved"]),
               *([] if micro % 2 == 0 else ["the micro-batch cannot be halved"])]  # fmt: skip
    return DriverSpan(
        name="gradient_accumulation",
        unit="passes",
        base=accum,
        ends=tuple(
            Variation(value=a, job=job, recipe=_batched(job, recipe, b, a), detail=f"micro-batch {b}")
            for b, a in shapes
        ),
        why="the same global batch with twice and half the micro-batch",
        changes_job=False,
        one_sided=", ".join(reasons),
    )


def _precision(job: Job, recipe: Recipe) -> DriverSpan:
    """The frozen weights at the other widths."""
    full = recipe.tuning.value == "full"
    widths = [] if full else sorted(set(WIDTHS) - {recipe.bits})
    return DriverSpan(
        name="precision",
        unit="bits",
        base=recipe.bits,
        ends=tuple(Variation(value=one, job=job, recipe=replace(recipe, bits=one)) for one in widths),
        why="every width of the frozen weights",
        changes_job=False,
        one_sided="full fine-tuning trains every weight and needs 16 bits" if full else "",
    )


def _cadence(job: Job, choice: Candidate) -> DriverSpan:
    base = choice.checkpoint_every_s or 0.0
    values = [one for one in (min(OFTEN_S, base) if base else OFTEN_S, max(SELDOM_S, base)) if one != base]
    return DriverSpan(
        name="checkpoint_every",
        unit="s",
        base=base,
        ends=tuple(
            Variation(
                value=one,
                job=replace(job, overheads=replace(job.overheads, checkpoint_every_s=one)),
                recipe=choice.recipe,
            )
            for one in values
        ),
        why="ten minutes to four hours",
        one_sided="they are written more often already" if 0.0 < base < OFTEN_S else "",
    )


def _amount(job: Job, recipe: Recipe, data: DataCount) -> list[DriverSpan]:
    """The data, a tenth less and more, and one epoch less and more where epochs were said."""
    items = data.items
    base = job.tokens if items is None else items
    values = [
        one for one in (round(base * (1 - DATA_SHARE)), round(base * (1 + DATA_SHARE))) if one > 0 and one != base
    ]
    spans = [
        DriverSpan(
            name="tokens" if items is None else ITEMS[job.objective],
            unit="tokens" if items is None else ITEMS[job.objective],
            base=base,
            ends=tuple(_of_amount(job, recipe, one, base) for one in values),
            why="a tenth less and more",
        )
    ]
    epochs = data.epochs
    if epochs is None:
        return spans
    counts = [one for one in (epochs - 1, epochs + 1) if one > 0]
    return [
        *spans,
        DriverSpan(
            name="epochs",
            unit="epochs",
            base=epochs,
            ends=tuple(_of_amount(job, recipe, one, epochs) for one in counts),
            why="one less and one more",
            one_sided="" if len(counts) == 2 else "there is one epoch already",
        ),
    ]


def _of_amount(job: Job, recipe: Recipe, value: int, base: int) -> Variation:
    tokens = max(1, round(job.tokens * value / base))
    sequences = max(1, round(job.sequences * value / base))
    return Variation(value=value, job=replace(job, tokens=tokens, sequences=sequences), recipe=recipe)


def _batched(job: Job, recipe: Recipe, micro_batch: int | None = None, grad_accum: int | None = None) -> Recipe:
    """Return the recipe at a batch shape (default: its own), padded as the job's rows are then."""
    micro = recipe.micro_batch if micro_batch is None else micro_batch
    return replace(
        recipe,
        micro_batch=micro,
        grad_accum=recipe.grad_accum if grad_accum is None else grad_accum,
        padding_factor=job.padding_factor(micro),
        row_tokens=job.row_tokens(micro),
    )


def _sides(values: list[int], base: int, *, low: str, high: str) -> str:
    """Return why an end is missing."""
    missing = [
        *([] if any(one < base for one in values) else [low]),
        *([] if any(one > base for one in values) else [high]),
    ]
    return ", ".join(missing)
