"""Everything behind the figures of a plan, for `--verbose`: parts of memory, time and speed, solver and timings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.search.constraints import UNITS

from .figures import format_gib, format_gib_range, format_in_unit, format_percent, format_small_span, format_span
from .table import Column, format_heading, format_pairs, format_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optimizer.search.results import Candidate, MemoryReading, Plan, SpeedReading

    from .style import Style

READINGS: tuple[tuple[str, str], ...] = (
    ("required", "what must fit to train"),
    ("load_required", "what must fit to load"),
    ("load_peak", "torch peak while loading"),
    ("allocated", "torch peak in training"),
    ("reserved", "held by torch's allocator"),
    ("device", "shown by nvidia-smi"),
)
"""The readings of memory in the order of the table, and what each one is."""


def verbose_sections(plan: Plan, style: Style) -> list[list[str]]:
    """Return the sections behind the figures of a plan, the timings included (they are in no file)."""
    solver = plan.solver
    figures = [
        ("hardware classes", f"{solver.hardware_classes:,}"),
        ("physics rows", f"{solver.physics_rows:,}"),
        ("candidates", f"{solver.candidates:,}"),
        ("given to the solver", f"{solver.kept:,}"),
        ("solver", f"{solver.status}, gap {solver.gap_ppm} ppm"),
    ]
    timings = [(name.replace("_", " "), f"{1000 * seconds:.1f} ms") for name, seconds in solver.timings_s.items()]
    return [
        *(_choice_sections(plan.choices[0], style) if plan.choices else []),
        [format_heading("The search", "", style), *format_pairs(figures, style)],
        [format_heading("Timings", "never in a file", style), *format_pairs(timings, style)] if timings else [],
    ]


def _choice_sections(choice: Candidate, style: Style) -> list[list[str]]:
    slacks = [
        (name.replace("_", " "), format_in_unit(value, UNITS.get(name, "")))
        for name, value in choice.slacks.items()
        if UNITS.get(name)
    ]
    return [
        *memory_sections(choice.memory, style),
        step_section(choice.speed, style),
        time_section(choice.duration_parts_s, choice.duration_s.basis.value, style),
        [format_heading("Room left", "under each limit", style), *format_pairs(slacks, style)] if slacks else [],
    ]


def memory_sections(memory: MemoryReading, style: Style) -> list[list[str]]:
    """Return the readings of memory with their ranges, then what the two peaks are made of."""
    decides = "loading" if memory.load_required.high > memory.required.high else "training"
    columns = [
        Column(title="reading"),
        Column(title="expected", right=True),
        Column(title="80 % within", right=True),
        Column(title="what it is", shrinks=True),
    ]
    readings = [(name, getattr(memory, name), meaning) for name, meaning in READINGS]
    rows = [
        [name.replace("_", " "), format_gib(value.expected), format_gib_range(value.low, value.high), meaning]
        for name, value, meaning in readings
    ]
    title = format_heading("Memory per GPU", f"{decides} decides what must fit; basis {memory.basis.value}", style)
    return [
        [title, *format_table(columns, rows, style)],
        parts_table("training peak", memory.parts_bytes, style),
        parts_table("load peak", memory.load_parts_bytes, style),
    ]


def parts_table(title: str, parts: Mapping[str, int], style: Style) -> list[str]:
    """Return the parts of a peak in descending order with their total; parts of nothing are left out."""
    total = sum(parts.values())
    if not total:
        return []
    ordered = sorted(((name, size) for name, size in parts.items() if size), key=lambda part: (-part[1], part[0]))
    rows = [[name.replace("_", " "), format_gib(size), format_percent(size / total)] for name, size in ordered]
    rows.append(["total", format_gib(total), ""])
    columns = [Column(title=title), Column(title="size", right=True), Column(title="share", right=True)]
    return format_table(columns, rows, style)


def step_section(speed: SpeedReading, style: Style) -> list[str]:
    """Return the seconds of one optimizer step by cause, the largest first; causes of nothing are left out."""
    ordered = sorted(
        ((name, part) for name, part in speed.parts_s.items() if part > 0), key=lambda entry: (-entry[1], entry[0])
    )
    rows = [
        [name.replace("_", " "), format_small_span(part), format_percent(part / speed.step_s)] for name, part in ordered
    ]
    columns = [Column(title="cause"), Column(title="time", right=True), Column(title="share", right=True)]
    aside = f"{format_small_span(speed.step_s)}, MFU {format_percent(speed.mfu)}, bound by {speed.bound}"
    return [format_heading("One optimizer step", aside, style), *format_table(columns, rows, style)]


def time_section(parts_s: Mapping[str, float], basis: str, style: Style) -> list[str]:
    """Return what the expected duration is made of, in the order in which it happens."""
    total = sum(parts_s.values())
    rows = [
        [name.replace("_", " "), format_span(part), format_percent(part / total)]
        for name, part in parts_s.items()
        if part > 0
    ]
    rows.append(["total", format_span(total), ""])
    columns = [Column(title="part"), Column(title="time", right=True), Column(title="share", right=True)]
    return [format_heading("Time", f"basis {basis}", style), *format_table(columns, rows, style)]
