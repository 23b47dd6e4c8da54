"""What physics says about n runs, as columns of shape (n,), float64 bytes and seconds unless said otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .axes import Codes
    from .runs import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """10 % quantile, central estimate and 90 % quantile, each of shape (n,), same unit."""

    low: Floats
    expected: Floats
    high: Floats

    def or_larger(self, other: Interval) -> Interval:
        """Return the larger of the two at each end, same unit, shape (n,)."""
        return Interval(
            low=np.maximum(self.low, other.low),
            expected=np.maximum(self.expected, other.expected),
            high=np.maximum(self.high, other.high),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryColumns:
    """Bytes per GPU, itemised. The `parts` sum to `allocated.expected`, whichever moment the peak falls on.

    `load_peak` is initialisation, `allocated` the training peak by torch max_memory_allocated, `reserved` the
    allocator's, `device` what nvidia-smi shows; `required` (allocated + unavoidable fragmentation + context + NCCL)
    is what must fit. `load_required` is the same for the load peak. `host` and `nvme` are bytes per *node*.
    """

    parts: Mapping[str, Floats]
    load_parts: Mapping[str, Floats]
    load_peak: Interval
    load_required: Interval
    allocated: Interval
    reserved: Interval
    device: Interval
    required: Interval
    host: Interval
    nvme: Interval
    basis: Codes
    """Index into `providers.basis.BASES`."""

    @property
    def needed(self) -> Interval:
        """What must fit in the memory of a GPU, in bytes, shape (n,): the larger of training and loading."""
        return self.required.or_larger(self.load_required)


BOUNDS: tuple[str, ...] = (
    "compute", "launch", "memory", "dequantisation", "optimizer", "interconnect", "offload", "generation",
    "data",
)  # fmt: skip
"""What limits the speed of a run; `launch` is the floor of kernel launches per layer and micro-step, `data` what the
loading of rows adds where it is slower than the training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThroughputColumns:
    """Speed of the whole job. `tokens_per_s` counts real tokens (padding excluded) over all GPUs.

    `parts_s` are the seconds of one optimizer step by cause and sum to `step_s`. `sigma_log` is the standard
    deviation of the logarithm of the speed: low and high are expected x exp(-/+ 1.2816 sigma). `mfu` counts 6N (full)
    or 4N (adapters) FLOP per token over the dense peak, recomputation not counted.
    """

    tokens_per_s: Interval
    step_s: Floats
    parts_s: Mapping[str, Floats]
    sigma_log: Floats
    mfu: Floats
    bound: Codes
    basis: Codes
