"""Everything behind the figures of a plan, for `--verbose`: parts of memory, time and speed, solver and timings."""

from __future__ import annotations

from collections.abc import Mapping

from optimizer.search.results import Candidate, Plan
from providers.basis import Estimate

from .describe import describe_counts
from .figures import format_gib, format_gib_range, format_percent, format_span, plural
from .style import Style
from .table import Column, format_heading, format_pairs, format_table

READINGS: tuple[tuple[str, str], ...] = (
    ("required", "has to fit: allocated + unavoidable fragmentation + context + NCCL"),
    ("load_required", "the same while the model is loaded"),
    ("load_peak", "highest allocation while the model is loaded"),
    ("allocated", "torch max_memory_allocated in training"),
    ("reserved", "torch max_memory_reserved"),
    ("device", "what nvidia-smi shows"),
)


def verbose_lines(plan: Plan, style: Style) -> list[str]:
    """Return the section "Behind the figures" of a plan, the timings included (they are in no file)."""
    lines: list[str] = []
    for choice in plan.choices[:1]:
        lines += _choice(choice, style)
    solver = plan.solver
    pairs = [
        ("Physics", f"{plural(solver.physics_rows, 'row')} over {plural(solver.hardware_classes, 'hardware class')[:-1]}es"),
        ("Solver", f"{solver.status}, gap {solver.gap_ppm} ppm, {solver.kept:,} of {solver.candidates:,} candidates"),
        ("Rejected", describe_counts(dict(plan.rejected)) or "none"),
    ]
    pairs += [(f"Time: {name.replace('_', ' ')}", f"{1000 * seconds:.1f} ms") for name, seconds in solver.timings_s.items()]
    return [*lines, format_heading("The search", "", style), *format_pairs(pairs, style)]


def _choice(choice: Candidate, style: Style) -> list[str]:
    memory, speed = choice.memory, choice.speed
    readings = [(name, getattr(memory, name)) for name, _ in READINGS]
    slacks = [(name, f"{value:,.4g}") for name, value in choice.slacks.items()]
    return [
        format_heading("Memory per GPU", memory.basis.value, style),
        *memory_readings_table(readings, style),
        *parts_table("training peak", memory.parts_bytes, style),
        format_heading("Time", choice.duration_s.basis.value, style),
        *format_pairs([(name.replace("_", " "), format_span(value)) for name, value in choice.duration_parts_s.items()], style),
        format_heading("One optimizer step", f"{format_span(speed.step_s)}, MFU {format_percent(speed.mfu)}", style),
        *format_pairs(step_parts(speed.parts_s, speed.step_s), style),
        format_heading("Slack", "room left under each limit, in its own unit", style),
        *(format_pairs(slacks, style) if slacks else ["  no limit set"]),
    ]


def memory_readings_table(readings: list[tuple[str, Estimate]], style: Style) -> list[str]:
    """Return a table of memory readings: 10 % quantile, central estimate, 90 % quantile."""
    meaning = dict(READINGS)
    columns = [
        Column(title="reading"),
        Column(title="expected", right=True),
        Column(title="80 % within", right=True),
        Column(title="what it is", shrinks=True),
    ]
    rows = [
        [name.replace("_", " "), format_gib(value.expected), format_gib_range(value.low, value.high), meaning.get(name, "")]
        for name, value in readings
    ]
    return format_table(columns, rows, style)


def parts_table(title: str, parts: Mapping[str, int], style: Style) -> list[str]:
    """Return the parts of a peak in descending order with their total, zero parts left out."""
    total = sum(parts.values())
    ordered = sorted(((name, size) for name, size in parts.items() if size), key=lambda part: (-part[1], part[0]))
    rows = [[name.replace("_", " "), format_gib(size), format_percent(size / total)] for name, size in ordered]
    rows.append(["total", format_gib(total), ""])
    columns = [Column(title=title), Column(title="size", right=True), Column(title="share", right=True)]
    return format_table(columns, rows, style)


def step_parts(parts_s: Mapping[str, float], step_s: float) -> list[tuple[str, str]]:
    """Return name and share of each cause of one optimizer step, the largest first, causes of nothing left out."""
    ordered = sorted(((name, part) for name, part in parts_s.items() if part > 0), key=lambda entry: (-entry[1], entry[0]))
    return [
        (name.replace("_", " "), f"{format_small_span(part)}, {format_percent(part / step_s)}") for name, part in ordered
    ]


def format_small_span(seconds: float) -> str:
    """Return seconds of one step: ms below a second."""
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
