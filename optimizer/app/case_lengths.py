"""How long the rows of a case are: stated, a limit that was stated, or assumed from the kind of data.

Where batches vary in length the longest row sets the peak of memory and the mean sets the speed. Nothing here reads a
column that was measured: a length worked out from a row's own speeds would let the row predict itself.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optimizer.workload.lengths import spread_around

from .case_fields import text, whole
from .case_notes import noted_length
from .case_words import says
from .case_words import stated as stated_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optimizer.workload.models import ModelSpec

DEFAULT_SEQ_LEN = 2048
MEAN_ROW = 290
"""Mean tokens of a row of instruction data (OpenOrca by Mistral's tokenizer: 280 to 290)."""

LONGEST_OVER_MEAN = 7
"""The longest of some thousand rows of instruction data over their mean: the peaks of padded OpenOrca runs imply it."""

PROMPT_LONGEST_OVER_MEAN = 1.5
"""The same for prompts of one task (named entities: 208 tokens for a mean of 138 fit FinLoRA's memory table)."""

_DATA: tuple[tuple[str, int, int], ...] = (
    (r"(?<!long)alpaca", 120, 512),
    (r"laion", 60, 256),
    (r"self-cognition", 60, 128),
    (r"advertisegen", 120, 256),
    (r"stsb", 40, 128),
    (r"emoji", 300, 1024),
)
"""Mean and longest row in tokens of public sets of short rows, templates included; assumed."""

_VARIABLE = re.compile(
    r"longest|dynamic|variable|group(?:ed)?[ _-]by[ _-]length|length[ _-]group|padding[- _]free|varlen"
)
_DATA_NAMED = re.compile(r"dataset|^(un)?padded$")
_FIXED = re.compile(r"fixed|synthetic|mock|dummy|random|to max|max[ _]length|to_max")
"""Texts of batches whose rows vary: a stated length is then the limit of a row. "padded/fixed length" is none."""

_PADDING_FREE = re.compile(r"padding[- _]free|varlen")
_VARIABLE_IN_NOTES = re.compile(
    r"dynamic padding|group(?:ed)?[ _]by[ _]length|pad(?:ded|ding)? to (?:the )?longest|padding[- _]free"
)

_DOUBT_OF_LENGTH = 0.6
_DOUBT_OF_PROMPT = 0.15
"""Standard deviations of the logarithm of an assumed length (a factor of 2.2 either way at 80 %); assumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseLengths:
    """Tokens of the rows of a case.

    `in_memory` is the mean length of the rows of the largest micro-batch, `processed` the mean over all
    micro-batches with their padding (None: as in memory), `limit` what a row cannot pass. `doubt` is the standard
    deviation of the logarithm of `in_memory`, zero where the row states it.
    """

    in_memory: int
    processed: float | None
    variable: bool
    limit: int
    doubt: float
    assumed: tuple[str, ...]


def read_lengths(
    row: Mapping[str, str], notes: str, model: ModelSpec, *, micro_batch: int, packed: bool
) -> CaseLengths:
    """Return the lengths of a case. A stated length is that of every row, or a limit where batches vary in length."""
    packing = stated_in(row, "packing") or text(row, "packing").lower()
    stated = whole(row, "seq_len") or noted_length(notes)
    variable = not packed and _varies(packing, notes)
    if variable:
        return _varying(packing, notes, stated or model.context, micro_batch, known=stated is not None)
    if stated is not None:
        return CaseLengths(in_memory=stated, processed=None, variable=False, limit=stated, doubt=0.0, assumed=())
    length = min(DEFAULT_SEQ_LEN, model.context)
    return CaseLengths(
        in_memory=length,
        processed=None,
        variable=False,
        limit=model.context,
        doubt=_DOUBT_OF_LENGTH,
        assumed=(f"seq_len {length}",),
    )


def _varies(packing: str, notes: str) -> bool:
    """Return whether the rows of a batch vary in length: by the column, or by the notes where it says nothing."""
    if not packing:
        return bool(says(notes, _VARIABLE_IN_NOTES))
    return bool(_VARIABLE.search(packing)) or bool(_DATA_NAMED.search(packing) and not _FIXED.search(packing))


def _varying(packing: str, notes: str, limit: int, micro_batch: int, *, known: bool) -> CaseLengths:
    """Return the lengths of batches that vary: padded to their longest row, or laid end to end without padding."""
    mean, longest, doubt = _usual_rows(packing, notes)
    longest = min(longest, limit)
    mean = min(mean, longest)
    if _PADDING_FREE.search(packing):
        in_memory, processed = round(mean + (longest - mean) / micro_batch), float(mean)
    else:
        in_memory, processed = longest, _padded_mean(mean, longest, micro_batch)
    ceiling = f" (limit {limit})" if known else ""
    return CaseLengths(
        in_memory=in_memory,
        processed=processed,
        variable=True,
        limit=limit,
        doubt=doubt,
        assumed=(f"rows of {mean} tokens, the longest {longest}{ceiling}",),
    )


@functools.lru_cache(maxsize=256)
def _padded_mean(mean: int, longest: int, micro_batch: int) -> float:
    """Return the mean length in tokens of micro-batches that are padded to their longest row."""
    spread = spread_around(mean, count=1000, seq_len=longest)
    return min(mean * spread.padding_factor(micro_batch, longest), float(longest))


def _usual_rows(packing: str, notes: str) -> tuple[int, int, float]:
    """Return mean and longest row in tokens and how sure: by the stated mean prompt, by the data set, by the kind."""
    prompt = re.search(r"prompt ~?(\d+) tok", packing)
    if prompt is not None:
        mean = int(prompt.group(1))
        return mean, -(-round(PROMPT_LONGEST_OVER_MEAN * mean) // 16) * 16, _DOUBT_OF_PROMPT
    for pattern, mean, longest in _DATA:
        if re.search(pattern, f"{packing} {notes}"):
            return mean, longest, _DOUBT_OF_LENGTH
    return MEAN_ROW, -(-LONGEST_OVER_MEAN * MEAN_ROW // 128) * 128, _DOUBT_OF_LENGTH
