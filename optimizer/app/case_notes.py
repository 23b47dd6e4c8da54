"""Whole numbers that the notes of a case carry where their column is empty: length, batch, accumulation, rank."""

from __future__ import annotations

import re

_IS = r"\s*(?:is|of|to|=|:|~|≈|≤|<=)?\s*"
_VALUE = r"(\d[\d,]*)(k?)(?!\d*\.\d)(?![\d.]*\s*(?:(?:[/-]|to)\s*\d|gi?b\b|b\b|%))"
"""One number: not the first of "512/1024" or "16-32", no fraction, and no size of memory or model."""

_COUNT = rf"{_VALUE}(?!\s*[km]?\s*tok|\s*[km]\b)"
"""The same for things that are counted: "512k tokens" of a global batch are no sequences."""

_LENGTH = re.compile(
    rf"\b(?:max[ _-]?)?(?:seq(?:uence)?(?:[ _-]?len(?:gth)?)?|cutoff[ _-]?len(?:gth)?|len(?:gth)?"
    rf"|(?:context|ctx)(?:[ _-]?(?:len(?:gth)?|window|size))?|block[ _-]?size){_IS}{_VALUE}"
    rf"|\bmax[ _-]tokens?{_IS}{_VALUE}"
)
_LENGTH_BEFORE = re.compile(
    r"(?<![\d.,/-])(\d[\d,]*)(k?)(?:(?:[ -]?tokens?)?[ -](?:seq(?:uence)?[ _-]?len|context|ctx)"
    r"|[ -]?tokens?[ -](?:seq(?:uence)?s?\b|per (?:sample|sequence|row|example)))"
)
_MICRO_BATCH = re.compile(
    rf"\b(?:per[ _-](?:device|gpu|dp|rank)[ _-](?:train[ _-])?batch(?:[ _-]?size)?|micro[ _-]?batch(?:[ _-]?size)?|mbs"
    rf"|batch(?:[ _-]?size)?(?: per|/) ?(?:dp|gpu|device)){_IS}{_COUNT}"
)
_BATCH_EACH = re.compile(rf"\bbatch(?:[ _-]?size)?{_IS}(\d[\d,]*)()(?!\d) ?(?:per|/) ?(?:gpu|device)")
_BATCH = re.compile(
    rf"(?<!global[ _])(?<!effective[ _])(?<!total[ _])(?<!overall[ _])\b(?:batch(?:[ _]?size)?|bsz?){_IS}{_COUNT}"
)
_GLOBAL_BATCH = re.compile(
    rf"\b(?:gbs|(?:global|effective|total|overall)[ _](?:train[ _])?batch(?:[ _]size)?){_IS}{_COUNT}"
)
_ACCUMULATED = re.compile(rf"\b(?:grad(?:ient)?[ _-]?acc(?:um(?:ulation)?)?(?:[ _-]?steps?)?|gas|ga){_IS}{_COUNT}")
_RANK = re.compile(rf"\b(?:(?:lora[ _-]?)?rank|lora[ _-]?r){_IS}{_COUNT}|\br\s*[=:]\s*{_COUNT}")


def noted_length(notes: str) -> int | None:
    """Return the tokens of a row that lower-case notes state, None where they state none or several."""
    return _found(_LENGTH, notes, least=16) or _found(_LENGTH_BEFORE, notes, least=16)


def noted_micro_batch(notes: str, *, gpus: int) -> int | None:
    """Return the sequences of a micro-batch. A bare "batch size" is that of the whole job where GPUs share it."""
    each = _found(_MICRO_BATCH, notes) or _found(_BATCH_EACH, notes)
    return each or (_found(_BATCH, notes) if gpus == 1 else None)


def noted_global_batch(notes: str) -> int | None:
    """Return the sequences of one optimizer step of the whole job."""
    return _found(_GLOBAL_BATCH, notes)


def noted_accumulation(notes: str) -> int | None:
    """Return the micro-steps of one optimizer step."""
    return _found(_ACCUMULATED, notes)


def noted_rank(notes: str) -> int | None:
    """Return the rank of the adapters; "rank 0" is a process."""
    return _found(_RANK, notes)


def _found(pattern: re.Pattern[str], notes: str, *, least: int = 1) -> int | None:
    """Return the one value that all matches of at least `least` agree on, None where there is none or several."""
    values = set()
    for match in pattern.finditer(notes):
        digits, kilo = next((a, b) for a, b in zip(*[iter(match.groups())] * 2, strict=True) if a)
        value = int(digits.replace(",", "")) * (1024 if kilo else 1)
        if value >= least:
            values.add(value)
    return values.pop() if len(values) == 1 else None
