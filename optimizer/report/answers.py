"""What the use cases hand to reports beside a `Plan`: one estimate, a price list. Data only, no formatting."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from optimizer.physics.recipe import Recipe
    from optimizer.search.results import CalibrationReport, MemoryReading, Quote, SnapshotReport, SpeedReading
    from optimizer.workload.job import Job
    from providers.basis import Estimate
    from providers.gpus import Gpu
    from providers.offer import Offer


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimateAnswer:
    """One recipe on one GPU type, no search.

    `quote` is None where no price is known; then `price_from` is "unknown". With a price, `price_from` says where it
    comes from: "given" (`--usd-per-gpu-hour`) or "offer" (the cheapest offer of that machine, in `offer`).
    `fits` compares the high end of what is needed with usable memory, `fits_expected` the central estimate.
    """

    made_at: datetime
    job: Job
    recipe: Recipe
    gpu: Gpu
    gpus_per_node: int
    nodes: int
    memory: MemoryReading
    speed: SpeedReading
    duration_s: Estimate
    duration_parts_s: Mapping[str, float]
    finish_s_at_confidence: float
    finish_probability_ppm: int | None
    """Chance of finishing by the deadline; None without one."""
    quote: Quote | None
    offer: Offer | None
    price_from: str
    usd_per_gpu_hour_nano: int | None
    quality: str
    complexity: str
    fits: bool
    fits_expected: bool
    host_fits: bool | None
    """Whether the memory of the node suffices at the high end; None where the machine's is unknown."""
    snapshot: SnapshotReport | None
    notes: tuple[str, ...]
    calibration: CalibrationReport | None = None
    """The measured runs that the figures are calibrated with; None without any."""

    @property
    def gpu_count(self) -> int:
        """GPUs over all nodes."""
        return self.gpus_per_node * self.nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedOffer:
    """One row of a price list: the offer, and how old its price is at the moment of asking."""

    offer: Offer
    age_s: int
    freshness: str
    """fresh | stale | expired, judged by price class and pricing model."""

    @property
    def unit_price_per_gpu_nano(self) -> int:
        """Billionths of the currency per GPU-hour, rounded down."""
        return self.offer.unit_price_nano // self.offer.gpu_count


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceListAnswer:
    """Offers that pass the filters, cheapest per GPU-hour first, and the snapshot that they come from."""

    made_at: datetime
    offers: tuple[PricedOffer, ...]
    total: int
    """Offers known before the filters."""
    sha256: str | None
    """The digest of everything known; None where nobody asked for it."""
    more: int = 0
    """Offers that pass the filters beyond those listed."""

    def first(self, limit: int) -> PriceListAnswer:
        """Return the list cut to its first `limit` offers; 0 for all of them."""
        if not limit or limit >= len(self.offers):
            return self
        return replace(self, offers=self.offers[:limit], more=self.more + len(self.offers) - limit)

    @property
    def oldest_observed_at(self) -> datetime | None:
        """When the oldest price listed was observed; None for an empty list."""
        return min((row.offer.observed_at for row in self.offers), default=None)

    @property
    def newest_observed_at(self) -> datetime | None:
        """When the newest price listed was observed; None for an empty list."""
        return max((row.offer.observed_at for row in self.offers), default=None)
