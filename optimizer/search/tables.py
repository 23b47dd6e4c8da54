"""The tables that the search takes as arguments: GPUs, fitted constants, matrices, and what storage costs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .price_age import SPOT_FRESH_S

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optimizer.physics.memory_constants import MemoryConstants
    from optimizer.physics.speed_constants import SpeedConstants
    from optimizer.workload.matrices import Matrices
    from providers.gpus import GpuTable
    from providers.offer import PriceClass

    from .calibrated import CardCalibration


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageRates:
    """What disk and egress cost beside the instance, in micro-dollars per 10^9 bytes. Basis: assumed.

    No price source that ships with the project holds these figures, so one assumed rate stands in for every provider
    that rents storage apart, and the interval of a quote runs from nothing (many GPU clouds include both) to
    `high_factor` times the rate.
    """

    disk_micro_per_gb_month: int = 100_000
    egress_micro_per_gb: int = 90_000
    high_factor: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """Everything the search knows beside the job and the prices. Loaded by `app`, never read from disk here."""

    gpus: GpuTable
    memory: MemoryConstants
    speed: SpeedConstants
    matrices: Matrices
    storage: StorageRates = StorageRates()
    calibration: tuple[CardCalibration, ...] = ()
    """Cards on which runs of the job's stack were measured; the constants above are calibrated already."""
    spot_fresh_s: Mapping[PriceClass, float] = field(default_factory=lambda: SPOT_FRESH_S)
    """Up to which age a spot price is used without being asked for, by where it comes from; not named: at none."""
