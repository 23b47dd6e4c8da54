"""The document `tunefare.calibration/v1`: a calibration as it is written, and as it is read again.

Figures are rounded when they are fitted, so that a calibration that was written and read calculates as it did before.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, Any

from optimizer.physics.axes import Stack
from optimizer.search.calibrated import FACTORS, KINDS, SPANS, CardCalibration, MeasuredRange
from providers.errors import JobError

from .calibration import Calibration, Compared, ReadingError, StackCalibration, UsedRun
from .memory_calibration import FailedRun
from .record_limits import shown
from .run_rows import Skipped
from .speed_calibration import ConstantChange

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    Part = TypeVar("Part")

SCHEMA = "tunefare.calibration/v1"
ENDS = ("before", "after")
MOST = 1e18
"""No figure of a calibration is larger, whatever its unit."""
MOST_COUNT = 10**12
MOST_SIGMA = 2.6
"""Deviation of log speed that covers two runs at opposite bounds of the factor: ln(25) / 1.28."""
MOST_MEMORY_SIGMA = 3.0
MOST_CONSTANT_SIGMA = 2.0
MOST_MOVED = 100.0
"""A constant moves by this factor at most, and by 12 of its deviations."""
FAR = 12.0


def calibration_digest(calibration: Calibration) -> str:
    """Return the SHA-256 of what a calibration says, in canonical JSON; where its runs lay does not count."""
    document = calibration_document(calibration) | {"skipped": [], "out_of_memory": []}
    for stack in document["stacks"]:
        for card in stack["cards"]:
            card["warnings"] = len(card["warnings"])
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def calibration_document(calibration: Calibration) -> dict[str, Any]:
    """Return a calibration as plain types; relative changes and errors are fractions, not per cent."""
    return {
        "schema": SCHEMA,
        "tool_version": calibration.tool_version,
        "model_sha256": calibration.model_sha256,
        "stacks": [_stack_object(stack) for stack in calibration.stacks],
        "runs": [_run_object(run) for run in calibration.runs],
        "skipped": [{"where": one.where, "reason": one.reason} for one in calibration.skipped],
        "out_of_memory": [
            {
                "where": one.where,
                "sha256": one.digest,
                "needed_bytes": {"expected": round(one.needed_expected), "high": round(one.needed_high)},
                "usable_bytes": round(one.usable_bytes),
                "fits_by_the_model": one.fits,
            }
            for one in calibration.failed
        ],
    }


def parse_calibration(document: Mapping[str, Any], *, where: str) -> Calibration:
    """Return the calibration that a document holds. Raises JobError naming file, key, value and what is allowed."""
    read = _Reader(where)
    if document.get("schema") != SCHEMA:
        raise JobError(where=where, key="schema", value=document.get("schema"), allowed=f'"{SCHEMA}"')
    stacks = read.each(document, "stacks", read.stack)
    names = [stack.stack for stack in stacks]
    if not names or len(set(names)) < len(names):
        raise JobError(where=where, key="stacks", value=names, allowed="at least one stack, each once")
    return Calibration(
        stacks=stacks,
        runs=read.each(document, "runs", read.run),
        skipped=read.each(
            document,
            "skipped",
            lambda one, key: Skipped(where=read.text(one, "where", key), reason=read.text(one, "reason", key)),
        ),
        failed=read.each(document, "out_of_memory", read.failed),
        model_sha256=read.text(document, "model_sha256", ""),
        tool_version=read.text(document, "tool_version", ""),
    )


def _stack_object(stack: StackCalibration) -> dict[str, Any]:
    return {
        "stack": stack.stack,
        "speed_constants": [_change_object(one) for one in stack.speed],
        "memory_constants": [_change_object(one) for one in stack.memory],
        "memory_sigma": None if stack.memory_spread is None else dict(zip(ENDS, stack.memory_spread, strict=True)),
        "cards": [
            {
                "gpu": card.gpu,
                "speed_factor": card.factor,
                "speed_sigma": card.sigma,
                "speed_rows": card.speed_rows,
                "memory_rows": card.memory_rows,
                "measured_speed": _range_object(card.speed),
                "measured_memory": _range_object(card.memory),
                "warnings": list(card.warnings),
            }
            for card in stack.cards
        ],
        "errors": [
            {
                "reading": one.reading,
                "rows": one.rows,
                "before": {"median": one.median_before, "worst": one.worst_before},
                "after": {"median": one.median_after, "worst": one.worst_after},
            }
            for one in stack.errors
        ],
    }


def _change_object(one: ConstantChange) -> dict[str, Any]:
    return {
        "name": one.name,
        "before": one.before,
        "after": one.after,
        "change": float(f"{one.change:.4g}"),
        "sigma_before": one.sigma_before,
        "sigma_after": one.sigma_after,
    }


def _range_object(measured: MeasuredRange | None) -> dict[str, Any] | None:
    if measured is None:
        return None
    kinds: dict[str, Any] = {name: list(words) for name, words in measured.kinds.items()}
    return kinds | {name: {"least": least, "most": most} for name, (least, most) in measured.spans.items()}


def _run_object(run: UsedRun) -> dict[str, Any]:
    return {
        "sha256": run.digest,
        "source": run.source,
        "made_at": run.made_at,
        "status": run.status,
        "stack": run.stack,
        "gpu": run.gpu,
        "gpus": run.gpus,
        "model": run.model,
        "method": run.method,
        "micro_batch": run.micro_batch,
        "seq_len": run.seq_len,
        "readings": [
            {"reading": one.reading, "measured": one.measured, "before": one.before, "after": one.after}
            for one in run.readings
        ],
    }


class _Reader:
    """Turns a parsed document into a calibration, naming file and key in every complaint."""

    def __init__(self, where: str) -> None:
        self._where = where

    def stack(self, one: Mapping[str, Any], key: str) -> StackCalibration:
        """Return what a document says of one stack."""
        name = self.word(one, "stack", key, tuple(Stack))
        cards = self.each(one, "cards", lambda card, place: self.card(card, place, name), key)
        gpus = [card.gpu for card in cards]
        if len(set(gpus)) < len(gpus):
            raise self._wrong(_join(key, "cards"), gpus, "each card once")
        return StackCalibration(
            stack=name,
            speed=self.each(one, "speed_constants", self.change, key),
            memory=self.each(one, "memory_constants", self.change, key),
            cards=cards,
            errors=self.each(one, "errors", self.error, key),
            memory_spread=self.spread(one, key),
        )

    def spread(self, one: Mapping[str, Any], key: str) -> tuple[float, float] | None:
        """Return the deviation of memory before and after, None where no memory was read."""
        if one.get("memory_sigma") is None:
            return None
        table = self.table(one, "memory_sigma", key)
        place = _join(key, "memory_sigma")
        before, after = (self.number(table, end, place, least=0.0, most=MOST_MEMORY_SIGMA) for end in ENDS)
        return before, after

    def card(self, one: Mapping[str, Any], key: str, stack: str) -> CardCalibration:
        """Return what a document says of one card."""
        return CardCalibration(
            stack=stack,
            gpu=self.text(one, "gpu", key),
            factor=self.number(one, "speed_factor", key, least=FACTORS[0], most=FACTORS[1]),
            sigma=None if one.get("speed_sigma") is None else self.number(one, "speed_sigma", key, most=MOST_SIGMA),
            speed_rows=self.count(one, "speed_rows", key),
            memory_rows=self.count(one, "memory_rows", key),
            speed=self.measured(one, "measured_speed", key),
            memory=self.measured(one, "measured_memory", key),
            warnings=self.texts(one, "warnings", key),
        )

    def measured(self, one: Mapping[str, Any], name: str, key: str) -> MeasuredRange | None:
        """Return what rows of a card cover, None where there are none."""
        if one.get(name) is None:
            return None
        table, place = self.table(one, name, key), _join(key, name)
        spans = {}
        for span in SPANS:
            ends = self.table(table, span, place)
            least, most = (self.number(ends, end, _join(place, span)) for end in ("least", "most"))
            if least > most:
                raise self._wrong(_join(place, span), ends, "least of at most `most`")
            spans[span] = (least, most)
        return MeasuredRange(
            kinds={name: self.words(table, name, place, kind.words) for name, kind in KINDS.items()}, spans=spans
        )

    def change(self, one: Mapping[str, Any], key: str) -> ConstantChange:
        """Return what became of a constant, which moved as far as a fit can move it at most."""
        before, sigma = self.number(one, "before", key), self.number(one, "sigma_before", key, most=MOST_CONSTANT_SIGMA)
        # A hair more at either end, for what stands in the file is rounded.
        times = min(math.exp(FAR * sigma), MOST_MOVED) * 1.001
        return ConstantChange(
            name=self.text(one, "name", key),
            before=before,
            after=self.number(one, "after", key, least=before / times, most=before * times),
            sigma_before=sigma,
            sigma_after=self.number(one, "sigma_after", key, most=MOST_CONSTANT_SIGMA),
        )

    def error(self, one: Mapping[str, Any], key: str) -> ReadingError:
        """Return how far off a kind of reading was."""
        before, after = self.table(one, "before", key), self.table(one, "after", key)
        return ReadingError(
            reading=self.text(one, "reading", key),
            rows=self.count(one, "rows", key),
            median_before=self.number(before, "median", _join(key, "before"), least=0.0),
            worst_before=self.number(before, "worst", _join(key, "before"), least=0.0),
            median_after=self.number(after, "median", _join(key, "after"), least=0.0),
            worst_after=self.number(after, "worst", _join(key, "after"), least=0.0),
        )

    def run(self, one: Mapping[str, Any], key: str) -> UsedRun:
        """Return a run that took part."""
        return UsedRun(
            digest=self.text(one, "sha256", key),
            source=self.text(one, "source", key),
            made_at=self.text(one, "made_at", key),
            status=self.text(one, "status", key),
            stack=self.text(one, "stack", key),
            gpu=self.text(one, "gpu", key),
            gpus=self.count(one, "gpus", key),
            model=self.text(one, "model", key),
            method=self.text(one, "method", key),
            micro_batch=self.count(one, "micro_batch", key),
            seq_len=self.count(one, "seq_len", key),
            readings=self.each(
                one,
                "readings",
                lambda reading, place: Compared(
                    reading=self.text(reading, "reading", place),
                    measured=self.number(reading, "measured", place),
                    before=self.number(reading, "before", place),
                    after=self.number(reading, "after", place),
                ),
                key,
            ),
        )

    def failed(self, one: Mapping[str, Any], key: str) -> FailedRun:
        """Return a run that ended out of memory."""
        needed = self.table(one, "needed_bytes", key)
        return FailedRun(
            where=self.text(one, "where", key),
            digest=self.text(one, "sha256", key),
            needed_expected=self.number(needed, "expected", _join(key, "needed_bytes")),
            needed_high=self.number(needed, "high", _join(key, "needed_bytes")),
            usable_bytes=self.number(one, "usable_bytes", key),
        )

    def each(
        self, table: Mapping[str, Any], name: str, parse: Callable[[Mapping[str, Any], str], Part], key: str = ""
    ) -> tuple[Part, ...]:
        """Return the objects of a list, each parsed."""
        found = table.get(name)
        place = _join(key, name)
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise self._wrong(place, found, "a list of objects")
        return tuple(parse(one, f"{place}[{at}]") for at, one in enumerate(found))

    def table(self, table: Mapping[str, Any], name: str, key: str) -> dict[str, Any]:
        """Return an object."""
        found = table.get(name)
        if not isinstance(found, dict):
            raise self._wrong(_join(key, name), found, "a JSON object")
        return found

    def text(self, table: Mapping[str, Any], name: str, key: str) -> str:
        """Return a text."""
        found = table.get(name)
        if not isinstance(found, str):
            raise self._wrong(_join(key, name), found, "a text")
        return found

    def word(self, table: Mapping[str, Any], name: str, key: str, allowed: tuple[str, ...]) -> str:
        """Return one of the allowed words."""
        found = self.text(table, name, key)
        if found not in allowed:
            raise self._wrong(_join(key, name), found, f"one of {', '.join(allowed)}")
        return found

    def words(self, table: Mapping[str, Any], name: str, key: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
        """Return a list of allowed words, at least one."""
        found = table.get(name)
        if not isinstance(found, list) or not found or not all(one in allowed for one in found):
            raise self._wrong(_join(key, name), found, f"some of {', '.join(allowed)}")
        return tuple(found)

    def texts(self, table: Mapping[str, Any], name: str, key: str) -> tuple[str, ...]:
        """Return a list of texts; none where the key is lacking."""
        found = table.get(name, [])
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            raise self._wrong(_join(key, name), found, "a list of texts")
        return tuple(found)

    def number(
        self, table: Mapping[str, Any], name: str, key: str, *, least: float | None = None, most: float = MOST
    ) -> float:
        """Return a number above zero, or of at least `least`, and of at most `most`."""
        found = table.get(name)
        if isinstance(found, int | float) and not isinstance(found, bool):
            # Whole numbers of any length compare with a float; not a number compares with nothing.
            low = found > 0 if least is None else found >= least
            if low and found <= most:
                return float(found)
        allowed = "a number above 0" if least is None else f"a number of at least {least:g}"
        raise self._wrong(_join(key, name), found, allowed if most == MOST else f"{allowed} and at most {most:g}")

    def count(self, table: Mapping[str, Any], name: str, key: str) -> int:
        """Return a whole number of at least zero."""
        found = table.get(name)
        if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= MOST_COUNT:
            raise self._wrong(_join(key, name), shown(found), "a whole number of at least 0")
        return found

    def _wrong(self, key: str, value: object, allowed: str) -> JobError:
        return JobError(where=self._where, key=key, value=value, allowed=allowed)


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
