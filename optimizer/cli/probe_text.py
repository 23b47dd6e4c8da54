"""A probe as a person reads it: what was trained, on what, how fast, in how much memory."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from optimizer.measure.record import RunStatus
from optimizer.physics.axes import Checkpointing, Tuning
from optimizer.report.figures import format_count, format_gib, format_rate, format_small_span, plural
from optimizer.report.table import Column, format_heading, format_list, format_pairs, format_table, join_sections

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.measure.probe import ProbeResult
    from optimizer.measure.probe_grid import GridResult
    from optimizer.measure.record import MeasuredRun, Readings
    from optimizer.physics.recipe import Recipe
    from optimizer.report.style import Style

NOT_READ = "not read"


def format_probe(result: ProbeResult, style: Style) -> str:
    """Return one probe as text: recipe, card, speed, memory, notes."""
    run = result.run
    pairs = [
        ("Recipe", describe_recipe(run.recipe)),
        ("Device", run.gpu_name if run.gpu is None else f"{run.gpu} ({run.gpu_name})"),
        ("Speed", _speed(run.readings)),
        ("Load peak", _memory(run.readings.load_peak_bytes)),
        ("Allocated", _memory(run.readings.allocated_bytes)),
        ("Reserved", _memory(run.readings.reserved_bytes)),
        ("On the card", _memory(run.readings.device_bytes)),
        ("Trained", _trained(run)),
    ]
    if run.error:
        pairs.append(("Ended", run.error))
    title = format_heading(f"Probe  {run.model.name}", _STATUS[run.status], style)
    return join_sections([[title, *format_pairs(pairs, style)], format_list(result.notes, style)])


_STATUS = {
    RunStatus.OK: "measured",
    RunStatus.OUT_OF_MEMORY: "out of memory: readings are what was reached",
    RunStatus.ERROR: "failed",
}


def format_grid(results: Sequence[GridResult], style: Style) -> str:
    """Return the cases of a grid as a table, and what went wrong where something did."""
    statuses = [result.run.status for result in results]
    counted = (
        f"{statuses.count(RunStatus.OK)} measured, {statuses.count(RunStatus.OUT_OF_MEMORY)} out of memory, "
        f"{statuses.count(RunStatus.ERROR)} failed"
    )
    columns = [
        Column(title="case", shrinks=True, smallest=20),
        Column(title="status"),
        Column(title="tokens/s", right=True),
        Column(title="load", right=True),
        Column(title="allocated", right=True),
        Column(title="reserved", right=True, shrinks=False, smallest=8),
        Column(title="card", right=True),
    ]
    lines = format_table(columns, [_row(result) for result in results], style)
    failed = [f"{one.name}: {one.run.error}" for one in results if one.run.status is RunStatus.ERROR]
    title = format_heading(plural(len(results), "case"), counted, style)
    return join_sections([[title, *lines], format_list(failed, style)])


def _row(result: GridResult) -> list[str]:
    read = result.run.readings
    memory = (read.load_peak_bytes, read.allocated_bytes, read.reserved_bytes, read.device_bytes)
    return [
        result.name,
        result.run.status.value,
        "" if read.tokens_per_s is None else format_rate(read.tokens_per_s),
        *("" if size is None else format_gib(size) for size in memory),
    ]


def describe_recipe(recipe: Recipe) -> str:
    """Return the recipe in a line: method, width, adapters, batch shape, kernels, optimizer, precision."""
    words = [f"{recipe.method} {recipe.bits}-bit"]
    if recipe.tuning is not Tuning.FULL:
        words.append(f"rank {recipe.lora_rank} on {', '.join(recipe.target_modules)}")
    words += [
        recipe.objective.value,
        f"micro-batch {recipe.micro_batch} × accumulation {recipe.grad_accum}",
        f"rows of {recipe.seq_len:,} tokens",
        "no checkpointing" if recipe.checkpointing is Checkpointing.NONE else "checkpointing",
        f"{recipe.attention} attention",
        f"{recipe.loss} loss",
        f"{recipe.optimizer}, {recipe.precision}",
    ]
    return " · ".join(words)


def _memory(size: int | None) -> str:
    return NOT_READ if size is None else format_gib(size)


def _speed(readings: Readings) -> str:
    if readings.tokens_per_s is None:
        return "not measured"
    steps = readings.step_s
    spread = f"{format_small_span(min(steps))} to {format_small_span(max(steps))}"
    return (
        f"{format_rate(readings.tokens_per_s)} tokens/s (median of {plural(len(steps), 'step')}: "
        f"{format_small_span(median(steps))}, {spread})"
    )


def _trained(run: MeasuredRun) -> str:
    total = format_count(run.model.total_params)
    if run.readings.trained_params is None:
        return f"unknown, of {total} parameters"
    return f"{format_count(run.readings.trained_params)} of {total} parameters"
