"""The error tables of README and docs, in Markdown: worked out from the shipped rows, never typed.

`python -m optimizer.measure.error_tables` (what `make truth-tables` runs) rewrites the blocks between
`<!-- errors: NAME -->` and `<!-- end -->`; a test holds that they are what it would write. A tool of the repository.
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from optimizer.physics.memory_constants import load_memory_constants
from optimizer.physics.speed_constants import load_speed_constants

from .errors import Compared, Errors, errors
from .memory_errors import compared_memory, required_bytes, without_source
from .memory_fit import PARAMETERS, READINGS
from .memory_table import load_memory_table
from .record import RunStatus
from .speed_fit import leave_out, measured_speeds, predicted, whole_source
from .speed_table import load_speed_table
from .table_rows import tabulate_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from optimizer.physics.memory_constants import MemoryConstants

    from .fit import Parameter
    from .memory_table import PublishedMemory
    from .speed_fit import Judged

NEUTRAL: Mapping[str, float] = {
    "activations.live_hidden": 34.0, "activations.live_adapter_plain": 4.0, "activations.live_adapter_fused": 2.0,
    "activations.live_fp32_factor": 1.5, "activations.live_moe_factor": 1.0, "activations.live_unsloth_factor": 0.8,
    "activations.block_sharded_adapter_factor": 1.0, "activations.kept_adapter_factor": 0.9,
    "activations.kept_compiled_factor": 0.9, "activations.kept_selective_factor": 0.5, "logits.chunked_vocab": 2.0,
    "overhead.slack_fused": 1.2, "overhead.slack_fused_sharded": 1.2, "overhead.slack_triton_small": 1.2,
    "overhead.slack_triton_small_sharded": 1.2, "overhead.slack_triton_large": 1.2,
    "overhead.slack_triton_large_sharded": 1.2, "overhead.slack_standard": 1.2,
    "overhead.slack_standard_sharded": 1.2, "overhead.full_sum": 1.0, "overhead.full_sum_sharded": 1.0,
}  # fmt: skip
"""What somebody would start from who had seen no row: no doubling under FSDP, every slack alike."""

NEUTRAL_SIGMA = 0.25
BLOCK = re.compile(r"(<!-- errors: (?P<name>[\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)

Lines = dict[str, Errors]
"""Statistics by "source|reading|GPUs"."""


def known_rows() -> tuple[PublishedMemory, ...]:
    """Return the rows whose recipe is known: those of the fit, and those kept out of it for an unknown unit only."""
    return tuple(row for row in load_memory_table() if not row.unfitted or "unit" in row.unfitted)


def memory_lines(constants: Callable[[str], MemoryConstants]) -> Lines:
    """Return the errors of the known rows; `constants` says with which constants a source is predicted."""
    rows, found = known_rows(), {}
    for group in sorted({row.run.group for row in rows}):
        chosen = [row for row in rows if row.run.group == group]
        compared, names, several = compared_memory(chosen, constants(group))
        for reading in READINGS:
            for many in (False, True):
                mask = (np.array(names) == reading) & (several == many)
                if mask.any():
                    found[f"{group}|{reading}|{'2 to 8' if many else '1'}"] = errors(compared.of(mask))
    return found


@cache
def shipped_memory() -> Lines:
    """Return the errors with the constants as they ship."""
    constants = load_memory_constants()
    return memory_lines(lambda _: constants)


@cache
def memory_without(group: str, parameters: tuple[Parameter, ...]) -> MemoryConstants:
    """Return the constants of the memory model fitted to the rows of every other source."""
    return without_source(load_memory_table(), group, load_memory_constants(), parameters)


def left_out_memory(parameters: tuple[Parameter, ...] = PARAMETERS) -> Lines:
    """Return the errors of each source with constants that were fitted to the others."""
    return memory_lines(lambda group: memory_without(group, parameters))


@cache
def shipped_speed() -> Lines:
    """Return the errors of tokens/s with the constants as they ship."""
    runs = [row.run for row in load_speed_table()]
    return speed_lines(predicted(tabulate_runs(runs), measured_speeds(runs), load_speed_constants()))


@cache
def judged_left_out() -> Judged:
    """Return the published speeds, each as constants predict it that were fitted to the other sources.

    Where no other source has the stack, a model family, a class of sizes or a card is left out instead.
    """
    return leave_out(load_speed_table(), load_speed_constants())


@cache
def judged_unseen() -> Judged:
    """Return the published speeds of the sources whose stack no other has, left out whole; NaN those of the others."""
    return leave_out(load_speed_table(), load_speed_constants(), whole_source, only=alone_with_their_stack())


def alone_with_their_stack() -> set[str]:
    """Return the sources whose stack no other source has."""
    stacks: dict[str, set[str]] = {}
    for row in load_speed_table():
        stacks.setdefault(row.run.recipe.stack, set()).add(row.run.group)
    return {group for groups in stacks.values() if len(groups) == 1 for group in groups}


def left_out_speed() -> Lines:
    """Return the errors of tokens/s of each source with constants that were fitted to the others."""
    return speed_lines(judged_left_out())


def unseen_speed() -> Lines:
    """Return the errors of the sources whose stack no other has, left out whole."""
    alone = alone_with_their_stack()
    return {key: one for key, one in speed_lines(judged_unseen()).items() if key.partition("|")[0] in alone}


def speed_lines(judged: Judged) -> Lines:
    """Return the errors of the fitted rows by source and number of GPUs."""
    table = load_speed_table()
    middle = np.exp(judged.log_error)
    found = {}
    for group in sorted({row.run.group for row in table}):
        for gpus, counts in (("1", (1, 1)), ("2 to 8", (2, 8)), ("more", (9, 10**6))):
            mask = np.array(
                [
                    row.run.group == group and counts[0] <= row.run.gpus <= counts[1] and not row.unfitted
                    for row in table
                ]
            )
            if mask.any():
                rows = Compared(
                    measured=np.ones(int(mask.sum())),
                    low=(middle * judged.low)[mask],
                    expected=middle[mask],
                    high=(middle * judged.high)[mask],
                    group=[group] * int(mask.sum()),
                )
                found[f"{group}|tokens/s|{gpus}"] = errors(rows)
    return found


def neutral_parameters() -> tuple[Parameter, ...]:
    """Return the free constants with priors that say nothing of what the rows taught."""
    return tuple(
        replace(parameter, prior=NEUTRAL[parameter.name], sigma=max(parameter.sigma, NEUTRAL_SIGMA), low=0.0)
        if parameter.name in NEUTRAL
        else parameter
        for parameter in PARAMETERS
    )


def markdown(lines: Lines) -> str:
    """Return a table of errors, a line for each source and reading."""
    rows = ["| source | reading | GPUs | rows | median | 90 % | bias | worst under | in the 80 % range |"]
    rows.append("|---|---|---|---|---|---|---|---|---|")
    rows += [
        f"| {' | '.join(key.split('|'))} | {one.count} | {percent(one.median)} | {percent(one.p90)} "
        f"| {100 * one.bias:+.1f} % | {100 * one.worst_under:+.1f} % | {percent(one.coverage, 0)} |"
        for key, one in lines.items()
    ]
    return "\n".join(rows) + "\n"


def side_by_side(shipped: Lines, left_out: Lines, unseen: Lines) -> str:
    """Return a table of each source as it is, left out of the fit, and with its whole stack left out."""
    inside = "in the 80 % range"
    heads = ("source", "GPUs", "rows", "fitted: median, 90 %", inside, "left out: median, 90 %, bias", inside)
    rows = [f"| {' | '.join(heads)} | stack unseen: median, 90 % |", "|---|---|---|---|---|---|---|---|"]
    for key, one in shipped.items():
        group, _, gpus = key.split("|")
        other, far = left_out[key], unseen.get(key)
        cells = (
            *(group, gpus, one.count, f"{percent(one.median)}, {percent(one.p90)}", percent(one.coverage, 0)),
            f"{percent(other.median)}, {percent(other.p90)}, {100 * other.bias:+.1f} %",
            *(percent(other.coverage, 0), "" if far is None else f"{percent(far.median)}, {percent(far.p90)}"),
        )
        rows.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(rows) + "\n"


def over_the_sources(shipped: Lines, left_out: Lines) -> str:
    """Return medians over the sources, so that no large, regular source carries the figure."""
    rows = [
        "| median over the sources | as shipped: median | 90 % | left out: median | 90 % |",
        "|---|---|---|---|---|",
    ]
    for title, reading, gpus in (
        ("memory allocated by torch, one GPU", ("allocated",), "1"),
        ("memory, any reading, one GPU", READINGS, "1"),
        ("memory, any reading, 2 to 8 GPUs", READINGS, "2 to 8"),
        ("tokens/s, one GPU", ("tokens/s",), "1"),
        ("tokens/s, 2 to 8 GPUs", ("tokens/s",), "2 to 8"),
        ("tokens/s, more GPUs", ("tokens/s",), "more"),
    ):
        cells = []
        for lines in (shipped, left_out):
            chosen = [one for key, one in lines.items() if key.split("|")[1] in reading and key.split("|")[2] == gpus]
            cells += [percent(float(np.median([getattr(one, name) for one in chosen]))) for name in ("median", "p90")]
        rows.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def fits() -> str:
    """Return in a sentence how many of the runs that completed, and that failed, are judged right."""
    runs = [row.run for row in load_memory_table() if row.run.gpu is not None]
    expected, high, usable = required_bytes(runs, load_memory_constants())
    failed = np.array([run.status is RunStatus.OUT_OF_MEMORY for run in runs])
    right = [int((values[mask] <= usable[mask]).sum()) for mask in (~failed, failed) for values in (expected, high)]
    wrongly = "none does" if not right[3] else f"{right[3]} do"
    return (
        f"Of {(~failed).sum()} runs that completed, {right[0]} fit by the central estimate and {right[1]} at the high "
        f"end, which is what a plan demands; of {failed.sum()} that ran out of memory {failed.sum() - right[2]} do not "
        f"fit by the central estimate, and at the high end {wrongly}.\n"
    )


def percent(share: float, digits: int = 1) -> str:
    """Return a share as "4.2 %"."""
    return f"{100 * share:.{digits}f} %"


def blocks() -> dict[str, Callable[[], str]]:
    """Return what stands in each block of the documents, by its name."""
    return {
        "memory as shipped": lambda: markdown(shipped_memory()),
        "memory left out": lambda: markdown(left_out_memory()),
        "memory neutral": lambda: markdown(left_out_memory(neutral_parameters())),
        "speed": lambda: side_by_side(shipped_speed(), left_out_speed(), unseen_speed()),
        "readme": lambda: over_the_sources(shipped_memory() | shipped_speed(), left_out_memory() | left_out_speed()),
        "fits": fits,
    }


def filled(text: str, made: Mapping[str, Callable[[], str]]) -> str:
    """Return the text with every block as `made` gives it. Raises KeyError for a block that nobody makes."""
    return BLOCK.sub(lambda found: found.group(1) + made[found.group("name")]() + found.group(3), text)


def main(paths: Sequence[str]) -> int:
    """Rewrite the blocks of the named documents in place; say on stderr which changed."""
    made = blocks()
    for name in paths:
        path = Path(name)
        before = path.read_text("utf-8")
        after = filled(before, made)
        path.write_text(after, "utf-8")
        sys.stderr.write(f"{name}: {'unchanged' if after == before else 'rewritten'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
