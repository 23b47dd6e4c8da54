"""What the use cases on recorded prices hand to reports: histories, transfers, quarantine. Data only, no formatting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

PPM = 1_000_000


def key_text(key: Sequence[str]) -> str:
    """Return the key of an offer (in the order of `Offer.key`) as one word that commands take.

    provider/region/type/pricing_model, then the zone and the variant where there is one; a variant without a zone has
    "-" in its place.
    """
    provider, region, zone, instance_type, variant, pricing_model = key
    place = [zone or "-", variant] if variant else [zone] if zone else []
    return "/".join([provider, region, instance_type, pricing_model, *place])


@dataclass(frozen=True, slots=True, kw_only=True)
class PricePoint:
    """A price from a moment on, in billionths of the currency per instance-hour; None: the offer is gone.

    `change_ppm` is the change since the last price before it, in parts per million; None for the first one.
    """

    at: datetime
    price_nano: int | None
    change_ppm: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceSeries:
    """The price of one offer over time: every change since it was first seen, or since the window began.

    The first point is the price in force when the window began, with its own moment. `last_seen_at` is when the source
    last stated the price of today (or when the offer was found gone). `held` says that a newer price is in quarantine.
    """

    provider: str
    region: str
    zone: str | None
    instance_type: str
    variant: str | None
    pricing_model: str
    gpu: str | None
    gpu_name: str
    gpu_count: int
    currency: str
    points: tuple[PricePoint, ...]
    last_seen_at: datetime
    held: bool = False

    @property
    def key(self) -> str:
        """The key of the offer, as commands take it."""
        return key_text(
            (self.provider, self.region, self.zone or "", self.instance_type, self.variant or "", self.pricing_model)
        )

    def per_gpu_nano(self, point: PricePoint) -> int | None:
        """Return billionths of the currency per GPU-hour, rounded down; None where the offer is gone."""
        return None if point.price_nano is None else point.price_nano // self.gpu_count


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceHistoryAnswer:
    """The histories that were asked for, those that changed last first; `matching` counts those left out too."""

    made_at: datetime
    since: datetime | None
    series: tuple[PriceSeries, ...]
    matching: int

    @property
    def more(self) -> int:
        """How many offers pass the filters and are not shown."""
        return self.matching - len(self.series)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedScope:
    """What became of one scope of a snapshot file.

    `outcome` is imported, same (the store holds a batch of that moment already), older (the store holds a newer one),
    partial (the file holds a part of the scope only) or refused (by the gate; `detail` says why).
    """

    provider: str
    region: str
    pricing_model: str
    batch_at: datetime
    outcome: str
    offers: int = 0
    added: int = 0
    changed: int = 0
    gone: int = 0
    quarantined: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportAnswer:
    """What an import did. `skipped_list` and `skipped_own` count rows of the file that are never imported."""

    made_at: datetime
    file: str
    sha256: str
    exported_at: datetime
    place: str
    dry_run: bool
    scopes: tuple[ImportedScope, ...]
    skipped_list: int
    skipped_own: int
    unknown_gpus: int

    def count(self, outcome: str) -> int:
        """Return how many scopes had this outcome."""
        return sum(scope.outcome == outcome for scope in self.scopes)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportAnswer:
    """What an export wrote. `scopes` counts live ones, `sha256` is the digest of a JSON snapshot, else None."""

    file: str
    format: str
    offers: int
    scopes: int
    partial_scopes: int
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldPrice:
    """One row in quarantine: what the gate held back, why, and what became of it.

    Prices in billionths of `currency` per instance-hour. `reason` is a code, `words` says it, `detail` has the figures.
    `state` is pending, released, rejected or resolved (the source came back to a price that passes).
    """

    number: int
    provider: str
    region: str
    zone: str | None
    instance_type: str
    variant: str | None
    pricing_model: str
    gpu: str | None
    gpu_count: int
    price_nano: int
    previous_nano: int | None
    currency: str
    reason: str
    words: str
    detail: str
    first_seen_at: datetime
    last_seen_at: datetime
    times: int
    state: str
    note: str = ""

    @property
    def key(self) -> str:
        """The key of the offer, as commands take it."""
        return key_text(
            (self.provider, self.region, self.zone or "", self.instance_type, self.variant or "", self.pricing_model)
        )

    @property
    def factor_ppm(self) -> int | None:
        """The price over the one before, in parts per million; None where there is none."""
        return self.price_nano * PPM // self.previous_nano if self.previous_nano else None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineAnswer:
    """Rows in quarantine, the newest first. `done` is released or rejected after a decision, None for a list."""

    made_at: datetime
    rows: tuple[HeldPrice, ...]
    done: str | None = None
