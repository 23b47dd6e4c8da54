"""Something rentable at a price, in a place, under a pricing model."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

NANO = 1_000_000_000


class PricingModel(StrEnum):
    """How the machine is paid for. In FOCUS terms: Standard, Dynamic, Committed."""

    ON_DEMAND = "on_demand"
    SPOT = "spot"
    RESERVED = "reserved"


class PriceClass(StrEnum):
    """Where a price comes from: the bundled dated list, a live fetch, or the user's own file."""

    LIST = "list"
    LIVE = "live"
    OWN = "own"


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingTerms:
    """How the provider turns run time into a bill; decides what a short job really costs."""

    increment_s: int = 1
    minimum_s: int = 0
    charged_when_stopped: bool = False
    source: str = "assumed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One row of the market. The price is for the whole instance and one hour.

    `key` identifies it: provider, region, zone, instance type, variant, pricing model.
    `gpu` is a canonical GPU id or None when the table does not know the chip (stored, never a candidate).
    `unit_price_nano` is in billionths of `currency` per instance-hour. `host_ram_bytes`, `vcpus`, `disk_bytes` and
    `network_bytes_per_s` (per node, one direction) are None when unknown.
    """

    provider: str
    region: str
    instance_type: str
    gpu: str | None
    gpu_name: str
    gpu_count: int
    pricing_model: PricingModel
    unit_price_nano: int
    observed_at: datetime
    source: str
    price_class: PriceClass
    zone: str | None = None
    variant: str | None = None
    currency: str = "USD"
    vcpus: int | None = None
    host_ram_bytes: int | None = None
    disk_bytes: int | None = None
    network_bytes_per_s: float | None = None
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        where = f"offer {self.provider}/{self.region}/{self.instance_type}"
        if self.gpu_count < 1:
            raise ValueError(f"{where}: gpu_count {self.gpu_count} is not at least 1")
        if self.unit_price_nano < 0:
            raise ValueError(f"{where}: unit_price_nano {self.unit_price_nano} is negative")
        if self.observed_at.tzinfo is None:
            raise ValueError(f"{where}: observed_at {self.observed_at} has no time zone")

    @property
    def key(self) -> tuple[str, str, str, str, str, str]:
        """The identity of the offer; None becomes "" so that keys sort."""
        return (
            self.provider,
            self.region,
            self.zone or "",
            self.instance_type,
            self.variant or "",
            self.pricing_model.value,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPrice:
    """What a managed fine-tuning service asks per training token.

    Prices in billionths of `currency` per token (1 USD per million tokens is 1000); a range keeps both ends;
    None is unknown, never zero.
    """

    vendor: str
    model: str
    method: str
    low_nano_per_token: int | None
    high_nano_per_token: int | None
    source: str
    source_date: str
    currency: str = "USD"
    notes: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceSnapshot:
    """All offers and token prices that one plan saw, with the digest that names them."""

    offers: tuple[Offer, ...]
    token_prices: tuple[TokenPrice, ...]
    billing: dict[str, BillingTerms]
    sha256: str
