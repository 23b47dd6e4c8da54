"""Something rentable at a price, in a place, under a pricing model."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

NANO = 1_000_000_000

EXCLUDING_FLAGS: Mapping[str, str] = MappingProxyType({
    "fractional": "a slice of a GPU: memory and speed are not those of the whole card",
    "memory_mismatch": "the source's memory contradicts the chip that it names",
    "modified_card": "a card with memory that its maker never sold",
    "gpu_price_only": "the price of the GPU alone: CPU and memory are billed on top, at rates that are not known here",
    "per_gpu_of_node": "the price of one GPU of a machine that is rented whole",
    "not_sold_on_demand": "listed on demand, but rented as spot or by queue only",
    "spot_not_below_on_demand": "a spot price that is not below the on-demand price",
    "confidential": "confidential computing: its slowdown is not modelled",
    "retired": "the provider has withdrawn the type",
    "commitment": "rented for a fixed term, paid in advance",
    "bid_floor": "a minimum bid, which is not a price",
    "placeholder": "a price that stands for unknown",
})  # fmt: skip
"""Flags that keep an offer from being a candidate, each with the reason in words."""

NOTICE_FLAGS: Mapping[str, str] = MappingProxyType({
    "form_factor_assumed": "the source does not state the form factor: the slower one is assumed",
    "marketplace": "a price seen on a marketplace of many hosts: the next host may ask another",
    "virtualised_gpu": "the GPU is reached over a network",
    "arm_host": "the host CPU is ARM",
    "restricted_region": "the provider opens this region on request only",
    "undocumented_size": "the provider's documentation does not describe this size",
    "clamp_suspected": "spot at about a tenth of on-demand, which looks like a floor and not like a market price",
    "foreign_currency": "not priced in USD: kept, never compared",
    "discounted": "the price includes a negotiated discount",
    "own": "from the user's own file",
    "gpu_unknown": "the GPU table does not know the chip",
    "limited_capacity": "the source says that little is left",
    "price_held": "the newest price is in quarantine: the one before it is shown, with its own age",
})  # fmt: skip
"""Flags that a reader should see, without effect on the choice."""


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

    def __post_init__(self) -> None:
        if self.increment_s < 1 or self.minimum_s < 0:
            raise ValueError(
                f"billing terms: increment {self.increment_s} s is below 1 or minimum {self.minimum_s} s below 0"
            )


UNKNOWN_BILLING = BillingTerms(
    increment_s=3600, minimum_s=3600, charged_when_stopped=True, source="assumed: whole hours, because nothing is known"
)
"""The unfavourable assumption for a provider whose terms nobody wrote down."""


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
    gpu_memory_bytes: int | None = None
    """Memory of one GPU as the source states it, None where it states none: the gate holds it against the GPU table."""
    billing: BillingTerms | None = None
    """Terms of this very offer; None: those of its provider (`PriceSnapshot.billing_of`)."""

    def __post_init__(self) -> None:
        if self.gpu_count < 1:
            raise ValueError(f"{self._where}: gpu_count {self.gpu_count} is not at least 1")
        if self.unit_price_nano < 0:
            raise ValueError(f"{self._where}: unit_price_nano {self.unit_price_nano} is negative")
        if self.observed_at.tzinfo is None:
            raise ValueError(f"{self._where}: observed_at {self.observed_at} has no time zone")

    @property
    def _where(self) -> str:
        return f"offer {self.provider}/{self.region}/{self.instance_type}"

    @property
    def excluded_because(self) -> str | None:
        """Why the offer can never be a candidate, in words; None when it can."""
        for flag in self.flags:
            if flag in EXCLUDING_FLAGS:
                return EXCLUDING_FLAGS[flag]
        if self.gpu is None:
            return f"the GPU table does not know {self.gpu_name or 'its GPU'!r}"
        if self.currency != "USD":
            return f"priced in {self.currency}: currencies are never converted"
        return None

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
    billing: Mapping[str, BillingTerms]
    sha256: str

    def billing_of(self, offer: Offer) -> BillingTerms:
        """Return the terms that bill `offer`: its own, its provider's, or whole hours where nobody knows."""
        return offer.billing or self.billing.get(offer.provider, UNKNOWN_BILLING)
