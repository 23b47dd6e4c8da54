from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from optimizer.app.settings import Settings
from providers.gpus import load_gpus
from providers.offer import BillingTerms, Offer, PriceClass, PriceSnapshot, PricingModel
from providers.snapshot import make_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from providers.gpus import GpuTable

NOW = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)


@dataclass(frozen=True)
class FixedStore:
    """A store with exactly the offers that a test gives it."""

    held: PriceSnapshot

    def snapshot(self, *, now: datetime) -> PriceSnapshot:
        assert now.tzinfo is not None
        return self.held


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def no_settings() -> Settings:
    return Settings()


@pytest.fixture
def market_csv() -> Path:
    return Path(__file__).parents[2] / "fixtures" / "market.csv"


@functools.cache
def _gpus() -> GpuTable:
    return load_gpus()


@pytest.fixture
def gpus() -> GpuTable:
    return _gpus()


@pytest.fixture
def store_of() -> Callable[..., FixedStore]:
    def build(*offers: Offer) -> FixedStore:
        return FixedStore(make_snapshot(offers, (), {"nimbus": BillingTerms(source="invented")}))

    return build


@pytest.fixture
def offer_of() -> Callable[..., Offer]:
    def build(**changes: object) -> Offer:
        values: dict[str, object] = {
            "provider": "nimbus", "region": "mars-1", "instance_type": "invented.h100", "gpu": "H100-SXM-80GB",
            "gpu_name": "H100", "gpu_count": 1, "pricing_model": PricingModel.ON_DEMAND,
            "unit_price_nano": 2_000_000_000, "observed_at": datetime(2031, 5, 1, tzinfo=UTC), "source": "invented",
            "price_class": PriceClass.LIST, "host_ram_bytes": 200 * 2**30,
        }  # fmt: skip
        return Offer(**{**values, **changes})  # type: ignore[arg-type]

    return build
