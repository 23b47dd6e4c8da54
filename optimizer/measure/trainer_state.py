"""The speed of a run of Hugging Face's Trainer, from the `log_history` of its `trainer_state.json`.

What a log holds depends on the release and on two switches of TrainingArguments; from the surest to the least:

- `include_num_input_tokens_seen`: `num_input_tokens_seen` counts the input tokens of all processes. Newer releases log
  it with `train_runtime` at every logging step, so that the warm-up can be left out; older ones at the end only.
- `include_tokens_per_second`: `train_tokens_per_second` at the end, counted over the batches of one process: per GPU.
- always: `train_samples_per_second` of the whole job, and `train_steps_per_second`: optimizer steps, no micro-batches.

Input tokens count padding, unless `include_num_input_tokens_seen` is "non_padding". `train_runtime` holds evaluation,
checkpoints and the first, slow steps: a short run looks slower than it trains.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

from providers.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LEAST_INTERVALS = 2
"""Intervals between two logs that make a median; the first one holds the warm-up and is left out."""
KEYS = ("num_input_tokens_seen", "train_tokens_per_second", "train_samples_per_second", "train_steps_per_second")


class Counted(StrEnum):
    """What a speed of a log counts per second."""

    TOKENS = "tokens"
    TOKENS_PER_GPU = "tokens per GPU"
    SAMPLES = "samples"
    STEPS = "optimizer steps"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedSpeed:
    """A speed as a log states it: how much of what per second, and from which keys it was taken."""

    per_s: float
    counted: Counted
    origin: str


def is_trainer_state(document: object) -> bool:
    """Return whether a JSON document is the state of a Trainer."""
    return isinstance(document, dict) and "log_history" in document


def logged_speed(document: Mapping[str, Any], *, where: str) -> LoggedSpeed:
    """Return the surest speed that a `trainer_state.json` holds.

    Raises JobError, naming `where`, when the log holds none: a run that was cut off writes no summary.
    """
    history = document.get("log_history")
    if not isinstance(history, list) or not all(isinstance(entry, dict) for entry in history):
        allowed = "the list of logs that Hugging Face's Trainer writes"
        raise JobError(where=where, key="log_history", value=type(history).__name__, allowed=allowed)
    found = _between_logs(history) or _from_summary(history, document)
    if found is None:
        allowed = (
            f"a log with train_runtime and one of {', '.join(KEYS)}, which Trainer.train() writes when it ends; "
            "otherwise say the speed with --tokens-per-s"
        )
        raise JobError(where=where, key="log_history", value=f"{len(history)} logs", allowed=allowed)
    return found


def _between_logs(history: Sequence[Mapping[str, Any]]) -> LoggedSpeed | None:
    """Return the median over intervals of logs that carry both tokens and time, the first interval left out."""
    marks = [
        (seconds, tokens)
        for entry in history
        if "train_loss" not in entry
        and (seconds := _number(entry, "train_runtime")) is not None
        and (tokens := _number(entry, "num_input_tokens_seen")) is not None
    ]
    speeds = [
        (after[1] - before[1]) / (after[0] - before[0])
        for before, after in pairwise(marks)
        if after[0] > before[0] and after[1] > before[1]
    ]
    if len(speeds) < LEAST_INTERVALS:
        return None
    origin = f"num_input_tokens_seen over train_runtime, median of {len(speeds)} intervals"
    return LoggedSpeed(per_s=median(speeds), counted=Counted.TOKENS, origin=origin)


def _from_summary(history: Sequence[Mapping[str, Any]], document: Mapping[str, Any]) -> LoggedSpeed | None:
    """Return the speed of the whole run from the last log that sums it up; a resumed run has one a session."""
    for entry in reversed(history):
        seconds = _number(entry, "train_runtime")
        tokens = _number(entry, "num_input_tokens_seen") or _number(document, "num_input_tokens_seen")
        resumed = sum("train_loss" in one for one in history) > 1
        if seconds is not None and tokens is not None and not resumed:
            origin = "num_input_tokens_seen over train_runtime"
            return LoggedSpeed(per_s=tokens / seconds, counted=Counted.TOKENS, origin=origin)
        for key, counted in (
            ("train_tokens_per_second", Counted.TOKENS_PER_GPU),
            ("train_samples_per_second", Counted.SAMPLES),
            ("train_steps_per_second", Counted.STEPS),
        ):
            speed = _number(entry, key)
            if speed is not None:
                return LoggedSpeed(per_s=speed, counted=counted, origin=key)
    return None


def _number(entry: Mapping[str, Any], key: str) -> float | None:
    """Return a figure above zero; None for anything else: Trainer writes 0 where it did not count, and -1."""
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value) if value > 0 else None
