"""Which tunings at which widths a job allows, and which of them cost the same and are worked out only once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from optimizer.physics.axes import Tuning
from providers.errors import JobError

if TYPE_CHECKING:
    from optimizer.workload.job import Job

_WIDTHS: dict[str, tuple[int, ...]] = {
    "full": (16,),
    "lora": (16, 8),
    "qlora": (4,),
    "dora": (16, 8, 4),
    "rslora": (16, 8, 4),
}
"""Widths that a method stands for when none are asked for. LoRA at 4 bits goes by the name of QLoRA."""

METHODS: tuple[str, ...] = tuple(_WIDTHS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A tuning at a width. `tunings` holds every tuning that costs exactly this (rsLoRA beside LoRA), itself first.

    `allowed` is False for a variant that the job does not ask for: it takes part in near misses and explanations only.
    """

    tuning: Tuning
    bits: int
    tunings: tuple[Tuning, ...]
    allowed: bool = True

    @property
    def method(self) -> str:
        """The name people use: `qlora` for LoRA at 4 bits."""
        return "qlora" if self.tuning is Tuning.LORA and self.bits == 4 else self.tuning.value


def variants_of(job: Job) -> tuple[Variant, ...]:
    """Return the variants that a job allows, dearest in memory first. Raises JobError when none makes sense.

    `lora` without a width is 16 and 8 bits (4 is `qlora`); with `quantization = [4]` it is 4 bits. rsLoRA scales the
    adapter's output by another constant and costs what LoRA costs: asked for together they share one variant.
    """
    pairs: set[tuple[Tuning, int]] = set()
    for method in job.methods or METHODS:
        pairs |= {(Tuning("lora" if method == "qlora" else method), bits) for bits in _widths(method, job)}
    if not pairs:
        raise JobError(
            where=job.name or "job",
            key="quantization",
            value=list(job.quantization_bits),
            allowed=_allowed_widths(job.methods),
        )
    return _share(pairs)


def all_variants(job: Job) -> tuple[Variant, ...]:
    """Return every variant there is, those that the job does not ask for marked as not allowed."""
    asked = {(tuning, variant.bits) for variant in variants_of(job) for tuning in variant.tunings}
    everything = {
        (Tuning("lora" if method == "qlora" else method), bits) for method, widths in _WIDTHS.items() for bits in widths
    }
    rest = _share({pair for pair in everything if pair not in asked})
    return variants_of(job) + tuple(
        Variant(tuning=variant.tuning, bits=variant.bits, tunings=variant.tunings, allowed=False) for variant in rest
    )


def _widths(method: str, job: Job) -> tuple[int, ...]:
    if not job.quantization_bits:
        return _WIDTHS[method]
    able = (16, 8, 4) if method == "lora" else _WIDTHS[method]
    return tuple(bits for bits in able if bits in job.quantization_bits)


def _allowed_widths(methods: tuple[str, ...]) -> str:
    reasons = {
        "full": "full fine-tuning trains every weight and needs 16",
        "qlora": "qlora is lora at 4 bits and needs 4",
    }
    named = [reasons[method] for method in methods if method in reasons]
    return "; ".join(named) if named else "16, 8 or 4"


def _share(pairs: set[tuple[Tuning, int]]) -> tuple[Variant, ...]:
    order = list(Tuning)
    found = []
    for tuning, bits in sorted(pairs, key=lambda pair: (order.index(pair[0]), -pair[1])):
        if tuning is Tuning.RSLORA and (Tuning.LORA, bits) in pairs:
            continue
        twin = tuning is Tuning.LORA and (Tuning.RSLORA, bits) in pairs
        found.append(Variant(tuning=tuning, bits=bits, tunings=(tuning, Tuning.RSLORA) if twin else (tuning,)))
    return tuple(found)
