"""A calibration as a person reads it: what changed and by how much, how far off it was, and what it applies to."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from optimizer.measure.calibration import SPEED
from optimizer.search.calibrated import KINDS, SPANS

from .colour import Meaning
from .describe import command_lines
from .figures import format_gib, format_percent, format_rate, plural
from .table import Column, format_heading, format_list, format_pairs, format_paragraph, format_table, join_sections

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.measure.calibration import Calibration, Compared, ReadingError, StackCalibration, UsedRun
    from optimizer.measure.memory_calibration import FailedRun
    from optimizer.search.calibrated import CardCalibration, MeasuredRange

    from .style import Style

UNCHANGED = 0.005
"""A constant that moved by less than half a per cent is counted, not listed."""
SURE = 1.2815515655446004
"""Standard deviations between the median and either end of an 80 % interval."""
READINGS = {
    SPEED: "tokens/s",
    "allocated_bytes": "allocated",
    "reserved_bytes": "reserved",
    "device_bytes": "device",
}
MOST_RUNS = 20
"""Runs listed one by one; all of them are in the JSON."""


def format_calibration(calibration: Calibration, style: Style, *, file: str | None = None) -> str:
    """Return a calibration as text; `file` is where its JSON was written, for the command that uses it."""
    return join_sections(
        [
            *(lines for stack in calibration.stacks for lines in _stack_sections(stack, style)),
            _runs_section(calibration.runs, style),
            _failed_section(calibration.failed, style),
            _skipped_section(calibration, style),
            _next_section(file, style),
        ]
    )


def _stack_sections(stack: StackCalibration, style: Style) -> list[list[str]]:
    cards = ", ".join(card.gpu for card in stack.cards)
    title = f"Calibration of {stack.stack}" + (f" on {cards}" if cards else "")
    head = [style.paint(style.plain(title), Meaning.HEADING)]
    if not stack.cards:
        head += format_paragraph("No run that completed: nothing is refitted.", style)
    return [
        [*head, *format_pairs([_speed_pair(card) for card in stack.cards if card.speed is not None], style)],
        [line for card in stack.cards for line in _doubt(card, style)],
        _errors_section(stack.errors, style),
        _constants_section(stack, style),
        _range_section(stack, style),
    ]


def _speed_pair(card: CardCalibration) -> tuple[str, str]:
    sigma = 0.0 if card.sigma is None else card.sigma
    low, high = (card.factor * math.exp(SURE * end) for end in (-sigma, sigma))
    spread = f"80 % within {low:.2f} to {high:.2f}"
    return card.gpu, f"{card.factor:.2f} times the model's tokens/s ({spread}), from {plural(card.speed_rows, 'run')}"


def _doubt(card: CardCalibration, style: Style) -> list[str]:
    """Return which runs contradict each other, and what to check where a speed is so far off that a unit may be it."""
    said = [line for text in card.warnings for line in format_paragraph(text, style)]
    if card.far_off:
        text = (
            f"{card.gpu} is far off: check whether the speed is of one GPU or of the job (--per-gpu), counts padding "
            "(--padded), and whether steps are optimizer steps."
        )
        said += format_paragraph(text, style)
    return said


def _errors_section(errors: Sequence[ReadingError], style: Style) -> list[str]:
    if not errors:
        return []
    columns = [
        Column(title="reading"),
        Column(title="rows", right=True),
        Column(title="median before", right=True),
        Column(title="after", right=True),
        Column(title="worst before", right=True),
        Column(title="after", right=True),
    ]
    rows = [
        [
            READINGS.get(one.reading, one.reading),
            str(one.rows),
            _per_cent(one.median_before),
            _per_cent(one.median_after),
            _per_cent(one.worst_before),
            _per_cent(one.worst_after),
        ]
        for one in errors
    ]
    return [
        format_heading("How far off", "of the runs used: no blind test", style),
        *format_table(columns, rows, style),
    ]


def _constants_section(stack: StackCalibration, style: Style) -> list[str]:
    moved = [one for one in (*stack.speed, *stack.memory) if abs(one.change) >= UNCHANGED]
    still = len(stack.speed) + len(stack.memory) - len(moved)
    if not moved and not still:
        return []
    columns = [
        Column(title="constant", shrinks=True, smallest=20),
        Column(title="before", right=True),
        Column(title="after", right=True),
        Column(title="change", right=True),
        Column(title="sure before", right=True),
        Column(title="after", right=True),
    ]
    rows = [
        [
            one.name,
            f"{one.before:.4g}",
            f"{one.after:.4g}",
            f"{100 * one.change:+.1f} %",
            f"± {100 * one.sigma_before:.0f} %",
            f"± {100 * one.sigma_after:.0f} %",
        ]
        for one in sorted(moved, key=lambda one: (-abs(one.change), one.name))
    ]
    rest = [f"{plural(still, 'constant')} that the runs bear on moved by less than half a per cent."] if still else []
    if stack.memory_spread is not None and stack.memory_spread[1] > stack.memory_spread[0]:
        before, after = (f"{100 * SURE * sigma:.0f} %" for sigma in stack.memory_spread)
        rest.append(f"The readings of memory disagree with the model: its interval grows from ± {before} to ± {after}.")
    return [
        format_heading("What changed", "constants of the model, for this stack alone", style),
        *(format_table(columns, rows, style) if rows else []),
        *(line for text in rest for line in format_paragraph(text, style)),
    ]


def _range_section(stack: StackCalibration, style: Style) -> list[str]:
    ranges = [(card.gpu, card.speed or card.memory) for card in stack.cards]
    pairs = [(gpu, _describe_range(measured)) for gpu, measured in ranges if measured is not None]
    if not pairs:
        return []
    beyond = (
        "Beyond it estimates say so, and their interval is wider. On other cards only the constants carry over, "
        "to other software nothing does."
    )
    return [
        format_heading("What was measured", "", style),
        *format_pairs(pairs, style),
        *format_paragraph(beyond, style),
    ]


def _describe_range(measured: MeasuredRange) -> str:
    sizes = []
    for name, span in SPANS.items():
        least, most = measured.spans[name]
        if name == "nodes" and most == 1:
            continue
        ends = _figure(least) if least == most else f"{_figure(least)} – {_figure(most)}"
        title = span.title.removesuffix("s") if least == most == 1 else span.title
        sizes.append(f"{ends} {title}")
    kinds = [
        f"{kind.title} {', '.join(measured.kinds[name])}"
        for name, kind in KINDS.items()
        if name == "method" or measured.kinds[name] != kind.words[:1]
    ]
    return "; ".join((*kinds, *sizes))


def _figure(value: float) -> str:
    return f"{value / 1e9:.3g} billion" if value >= 1e8 else f"{value:,.0f}"


def _runs_section(runs: Sequence[UsedRun], style: Style) -> list[str]:
    columns = [
        Column(title="model", shrinks=True, smallest=10),
        Column(title="machine", shrinks=True, smallest=8),
        Column(title="method", shrinks=True, smallest=8),
        Column(title="batch"),
        Column(title="reading"),
        Column(title="measured", right=True),
        Column(title="was", right=True),
        Column(title="is", right=True),
    ]
    shown = sorted(runs, key=lambda run: (run.stack, run.gpu, run.model, run.method, run.seq_len, run.digest))
    machines = {_machine(run) for run in runs}
    rows = [line for run in shown[:MOST_RUNS] for line in _run_rows(run, _machine(run) if len(machines) > 1 else "")]
    more = len(shown) - MOST_RUNS
    aside = "predicted against measured, before and after"
    rest = format_paragraph(f"{plural(more, 'more run')} in the JSON.", style) if more > 0 else []
    return [format_heading("Runs", aside, style), *format_table(columns, rows, style), *rest]


def _machine(run: UsedRun) -> str:
    return run.gpu if run.gpus == 1 else f"{run.gpus} x {run.gpu}"


def _run_rows(run: UsedRun, machine: str) -> list[list[str]]:
    """Return a line for each reading of a run; `machine` is left out where all runs share it."""
    head = [run.model.rpartition("/")[2], machine, run.method, f"{run.micro_batch} x {run.seq_len:,}"]
    if not run.readings:
        return [[*head, "ran out" if run.status == "oom" else run.status, "", "", ""]]
    found = []
    for at, one in enumerate(run.readings):
        off = [f"{100 * (value / one.measured - 1):+.0f} %" for value in (one.before, one.after)]
        words = READINGS.get(one.reading, one.reading)
        found.append([*(head if at == 0 else [""] * len(head)), words, _measured(one), *off])
    return found


def _measured(one: Compared) -> str:
    return format_rate(one.measured) if one.reading == SPEED else format_gib(one.measured)


def _failed_section(failed: Sequence[FailedRun], style: Style) -> list[str]:
    if not failed:
        return []
    lines = []
    for one in failed:
        need = f"up to {format_gib(one.needed_high)} needed, {format_gib(one.usable_bytes)} usable"
        verdict = "the calibrated model says that it FITS: it is too low there" if one.fits else "as the model says"
        lines.append(f"{one.where}: {need}; {verdict}")
    return [format_heading("Out of memory", "runs that bound what fits", style), *format_list(lines, style)]


def _skipped_section(calibration: Calibration, style: Style) -> list[str]:
    if not calibration.skipped:
        return []
    lines = [f"{one.where}: {one.reason}" for one in calibration.skipped]
    return [format_heading("Not used", "", style), *format_list(lines, style)]


def _next_section(file: str | None, style: Style) -> list[str]:
    keeping = [] if file else [*command_lines(["calibrate", "...", "--output", "measured.json"], style)]
    using = [["estimate", "...", "--calibrate-with"], ["plan", "...", "--calibrate-with"]]
    lines = [line for words in using for line in command_lines([*words, file or "measured.json"], style)]
    return [format_heading("Next", "" if file else "keep it in a file, then use it", style), *keeping, *lines]


def _per_cent(fraction: float) -> str:
    return format_percent(fraction) if fraction >= 0.0995 or fraction == 0 else f"{100 * fraction:.1f} %"
