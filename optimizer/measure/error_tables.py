"""The error tables of README and docs, in Markdown: worked out from the shipped rows, never typed.

`python -m optimizer.measure.error_tables` (what `make truth-tables` runs) rewrites the blocks between
`<!-- errors: NAME -->` and `<!-- end -->`; a test holds that they are what it would write. A tool of the repository.
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from optimizer.physics.memory_constants import load_memory_constants

from .errors import Errors, errors
from .memory_errors import compared_memory, without_source
from .memory_fit import PARAMETERS, READINGS
from .memory_table import load_memory_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from optimizer.physics.memory_constants import MemoryConstants

    from .fit import Parameter
    from .memory_table import PublishedMemory

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


def shipped_memory() -> Lines:
    """Return the errors with the constants as they ship."""
    constants = load_memory_constants()
    return memory_lines(lambda _: constants)


def left_out_memory(parameters: Sequence[Parameter] = PARAMETERS) -> Lines:
    """Return the errors of each source with constants that were fitted to the others."""
    shipped, table = load_memory_constants(), load_memory_table()

    return memory_lines(lambda group: without_source(table, group, shipped, parameters))


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
        f"| {' | '.join(key.split('|'))} | {one.count} | {one.median:.1%} | {one.p90:.1%} | {one.bias:+.1%} "
        f"| {one.worst_under:+.1%} | {one.coverage:.0%} |"
        for key, one in lines.items()
    ]
    return "\n".join(rows).replace("%", " %").replace("80  %", "80 %").replace("90  %", "90 %") + "\n"


def blocks() -> dict[str, Callable[[], str]]:
    """Return what stands in each block of the documents, by its name."""
    return {
        "memory as shipped": lambda: markdown(shipped_memory()),
        "memory left out": lambda: markdown(left_out_memory()),
        "memory neutral": lambda: markdown(left_out_memory(neutral_parameters())),
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
