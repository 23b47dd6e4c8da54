"""What a calibration does to runs: a card's measured factor on speed, and how far it reaches beyond what was measured.

The factor of a card holds for the whole stack on it; what lies outside the measured rows is less sure, and widens the
interval in the steps below, at most to that of the model. On published rows, calibrated by one
row of the same source, stack and card (docs/calibration.md), 68 % of the errors of log speed lie within 0.07 inside the
range, 0.10 at 2 to 4 times its tokens, 0.14 at 4 to 16 times, 0.12 for another method, 0.16 for another number of GPUs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from optimizer.physics.axes import Attention, Objective, Offload, Precision, Sharding, Stack, Tuning, code
from optimizer.physics.efficiency import has_fused_kernels
from optimizer.physics.flops import processed_tokens, row_tokens
from optimizer.physics.results import Interval
from optimizer.physics.throughput import Z90
from providers.basis import Basis

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from optimizer.physics.results import MemoryColumns, ThroughputColumns
    from optimizer.physics.runs import Bools, Floats, Ints, Runs
    from optimizer.physics.speed_constants import SpeedConstants

Names = NDArray[np.str_]
"""GPU ids, shape (n,) or (1,)."""

_WIDTHS = (16, 8, 4)
_KERNELS = tuple(
    " ".join(word for word, on in zip(("fused", "compiled", "fp8", "eager"), bits, strict=True) if on) or "plain"
    for bits in np.ndindex(2, 2, 2, 2)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A property of a run that is measured or not: its words by code, and the deviation of log speed where it was not.

    Where physics widens for the property itself (`sigma.moe`, `sigma.offload`, ...) nothing is added here.
    """

    title: str
    words: tuple[str, ...]
    of: Callable[[Runs], Ints]
    deviation: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A size of a run: how many times beyond the measured ends it may lie, and the deviation of log speed out there.

    `per_doubling` counts from the measured end; `deviation` is added once.
    """

    title: str
    of: Callable[[Runs], Floats]
    reach: float
    per_doubling: float = 0.0
    deviation: float = 0.0


def _methods(runs: Runs) -> Ints:
    # rsLoRA scales the adapter's output by another constant and runs as LoRA does.
    tuning = np.where(runs.recipe.tuning == code(Tuning.RSLORA), code(Tuning.LORA), runs.recipe.tuning)
    width = (runs.recipe.bits == 8) + 2 * (runs.recipe.bits == 4)
    found: Ints = tuning.astype(np.int64) * len(_WIDTHS) + width
    return found


def _kernels(runs: Runs) -> Ints:
    recipe = runs.recipe
    fused = has_fused_kernels(recipe)
    eager = recipe.attention == code(Attention.EAGER)
    found: Ints = 8 * fused + 4 * recipe.compiled + 2 * (recipe.precision == code(Precision.FP8)) + eager
    return found


KINDS: dict[str, Kind] = {
    "method": Kind(
        title="method",
        words=tuple(f"{tuning}-{bits}bit" for tuning in Tuning for bits in _WIDTHS),
        of=_methods,
        deviation=0.09,
    ),
    "objective": Kind(
        title="objective",
        words=tuple(map(str, Objective)),
        of=lambda runs: runs.recipe.objective.astype(np.int64),
        deviation=0.1,
    ),
    "model_kind": Kind(
        title="model",
        words=("dense", "mixture of experts"),
        of=lambda runs: (runs.model.experts > 0).astype(np.int64),
        deviation=0.1,
    ),
    "sharding": Kind(
        title="sharding",
        words=tuple(map(str, Sharding)),
        of=lambda runs: runs.recipe.sharding.astype(np.int64),
        deviation=0.1,
    ),
    "offload": Kind(
        title="offload",
        words=tuple(map(str, Offload)),
        of=lambda runs: runs.recipe.offload.astype(np.int64),
        deviation=0.1,
    ),
    "kernels": Kind(title="kernels", words=_KERNELS, of=_kernels, deviation=0.09),
}

SPANS: dict[str, Span] = {
    "micro_step_tokens": Span(
        title="tokens per micro-step", of=lambda runs: processed_tokens(runs.recipe), reach=2.0, per_doubling=0.05
    ),
    "row_tokens": Span(title="tokens per row", of=lambda runs: row_tokens(runs.recipe), reach=2.0, per_doubling=0.05),
    "model_params": Span(
        title="parameters",
        of=lambda runs: (
            runs.model.linear_params + runs.model.embedding_params + runs.model.head_params + runs.model.other_params
        ),
        reach=4.0,
        deviation=0.08,
    ),
    "gpus": Span(title="GPUs", of=lambda runs: runs.machine.gpu_count * runs.machine.nodes, reach=1.0, deviation=0.12),
    "nodes": Span(title="nodes", of=lambda runs: runs.machine.nodes, reach=1.0, deviation=0.1),
}
FAR_OFF = 1.8
"""A factor beyond this, or below its inverse, is more often a wrong unit than a fast or a slow machine."""
FACTORS = (0.2, 5.0)
"""Bounds of a card's factor: beyond them a unit is wrong (per GPU or per job, micro-batches or steps)."""
ANOTHER: tuple[str, ...] = (*KINDS, "gpus", "nodes")
"""Properties in which a run outside what was measured is of another kind, not just larger or smaller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredRange:
    """What the measured rows of a card cover: for each of `KINDS` the words, for each of `SPANS` least and most."""

    kinds: Mapping[str, tuple[str, ...]]
    spans: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CardCalibration:
    """One stack on one card: measured over modelled speed, the deviation of its logarithm, and what was measured.

    `speed` and `memory` are None where no row of the card reads the one or the other; then `factor` is 1. `warnings`
    are sentences on runs that contradict each other or the calibration itself: with any, nothing is called measured.
    """

    stack: str
    gpu: str
    factor: float
    sigma: float | None
    speed_rows: int
    memory_rows: int
    speed: MeasuredRange | None
    memory: MeasuredRange | None
    warnings: tuple[str, ...] = ()

    @property
    def far_off(self) -> bool:
        """Whether the factor is so far from 1 that a wrong unit is likelier than a fast or a slow machine."""
        return not 1.0 / FAR_OFF <= self.factor <= FAR_OFF


def range_of(runs: Runs) -> MeasuredRange:
    """Return what n runs cover."""
    return MeasuredRange(
        kinds={
            name: tuple(kind.words[at] for at in sorted({int(one) for one in kind.of(runs)}))
            for name, kind in KINDS.items()
        },
        spans={
            name: (float(f"{sizes.min():.6g}"), float(f"{sizes.max():.6g}"))
            for name, span in SPANS.items()
            for sizes in (span.of(runs),)
        },
    )


def strays(runs: Runs, measured: MeasuredRange) -> dict[str, tuple[Bools, Floats]]:
    """Return for each property of n runs where it lies outside what was measured, and the deviation that this adds."""
    found: dict[str, tuple[Bools, Floats]] = {}
    for name, kind in KINDS.items():
        known = [kind.words.index(word) for word in measured.kinds[name]]
        outside: Bools = ~np.isin(kind.of(runs), known)
        found[name] = (outside, np.where(outside, kind.deviation, 0.0))
    for name, span in SPANS.items():
        least, most = measured.spans[name]
        sizes = span.of(runs)
        times = np.maximum(np.maximum(sizes / most, least / sizes), 1.0)
        beyond: Bools = times > span.reach * (1.0 + 1e-6)
        added = np.sqrt(span.deviation**2 + (span.per_doubling * np.log2(times)) ** 2)
        found[name] = (beyond, np.where(beyond, added, 0.0))
    return found


def is_inside(runs: Runs, measured: MeasuredRange) -> Bools:
    """Return where runs lie inside what was measured in every property."""
    return _is_within(strays(runs, measured))


def _is_within(found: Mapping[str, tuple[Bools, Floats]]) -> Bools:
    outside: Bools = np.any(np.broadcast_arrays(*(where for where, _ in found.values())), axis=0)
    return ~outside


def calibrated(runs: Runs, gpu: Names, cards: Sequence[CardCalibration]) -> Runs:
    """Return the runs with the factors of the cards that were measured; `gpu` names the card of each.

    A card of another stack, and a run whose stack nobody named, are left to the model.
    """
    factor = runs.machine.speed_factor
    for card in cards:
        factor = np.where(_is_card(runs, gpu, card), card.factor, factor)
    return replace(runs, machine=replace(runs.machine, speed_factor=factor)) if cards else runs


def with_measured_speed(
    speed: ThroughputColumns, runs: Runs, gpu: Names, cards: Sequence[CardCalibration], constants: SpeedConstants
) -> ThroughputColumns:
    """Return the speed with the interval that is left on a card after measuring it, and the basis `measured` inside.

    Inside what was measured the deviation is that of the card: the rows show what the model's causes leave open. Beyond
    a size it grows by steps; for another kind of run, or number of GPUs, the model's causes are added again. It grows
    to that of the model at most. Runs that contradict each other measure nothing: the basis stays the model's.
    """
    for card in cards:
        if card.speed is None or card.sigma is None:
            continue
        here = _is_card(runs, gpu, card)
        found = strays(runs, card.speed)
        added = sum((deviation**2 for _, deviation in found.values()), np.zeros(1))
        another = np.any(np.broadcast_arrays(*(found[name][0] for name in ANOTHER)), axis=0)
        stack, chip = constants.stack_sigma[runs.recipe.stack], constants.architecture_sigma[runs.machine.architecture]
        causes = np.maximum(speed.sigma_log**2 - stack**2 - chip**2, 0.0)
        variance = card.sigma**2 + added + np.where(another, causes, 0.0)
        widest = np.maximum(speed.sigma_log, card.sigma)
        sigma = np.where(here, np.minimum(np.sqrt(variance), widest), speed.sigma_log)
        spread, middle = np.exp(Z90 * sigma), speed.tokens_per_s.expected
        inside = here & _is_within(found)
        speed = replace(
            speed,
            tokens_per_s=Interval(low=middle / spread, expected=middle, high=middle * spread),
            sigma_log=sigma,
            basis=speed.basis if card.warnings else np.where(inside, Basis.MEASURED.rank, speed.basis).astype(np.int8),
        )
    return speed


def with_measured_memory(
    memory: MemoryColumns, runs: Runs, gpu: Names, cards: Sequence[CardCalibration]
) -> MemoryColumns:
    """Return the memory with the basis `measured` where a run lies inside what was measured on its card."""
    for card in cards:
        if card.memory is not None:
            inside = _is_card(runs, gpu, card) & is_inside(runs, card.memory)
            memory = replace(memory, basis=np.where(inside, Basis.MEASURED.rank, memory.basis).astype(np.int8))
    return memory


def _is_card(runs: Runs, gpu: Names, card: CardCalibration) -> Bools:
    here: Bools = (gpu == card.gpu) & (runs.recipe.stack == code(Stack(card.stack))) & runs.recipe.stack_known
    return here
