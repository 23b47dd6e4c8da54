"""Invented histories, held back prices and imports for the golden files."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from optimizer.report.record_answers import (
    HeldPrice,
    ImportAnswer,
    ImportedScope,
    PriceHistoryAnswer,
    PricePoint,
    PriceSeries,
    QuarantineAnswer,
)

NOW = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
DAY = timedelta(days=1)
NANO = 1_000_000_000


def point(days: float, price: float | None, change: int | None = None) -> PricePoint:
    return PricePoint(at=NOW - days * DAY, price_nano=None if price is None else round(price * NANO), change_ppm=change)


MOVING = PriceSeries(
    provider="nimbus", region="mars-1", zone="mars-1b", instance_type="zeta.8x", variant=None, pricing_model="spot",
    gpu="ZETA-9-64GB", gpu_name="Zeta 9", gpu_count=8, currency="USD", last_seen_at=NOW - DAY / 6,
    points=(
        point(60, 20.0), point(45, 22.5, 125_000), point(30, 22.4999, -4), point(20, None), point(12, 30.0, 333_337),
        point(2, 12.0, -600_000),
    ),
)  # fmt: skip
STEADY = PriceSeries(
    provider="<cirrus> & co", region="venus", zone=None, instance_type="gamma", variant="host-7",
    pricing_model="on_demand", gpu=None, gpu_name="Omega", gpu_count=3, currency="EUR", last_seen_at=NOW - 8 * DAY,
    points=(point(60, 1.25),), held=True,
)  # fmt: skip
GONE = replace(MOVING, instance_type="zeta.1x", zone=None, points=(point(60, 3.0), point(5, None)),
               last_seen_at=NOW - 5 * DAY, gpu_count=1)  # fmt: skip

HISTORY = PriceHistoryAnswer(made_at=NOW, since=None, series=(MOVING, STEADY, GONE), matching=1_203)

JUMP = HeldPrice(
    number=7, provider="nimbus", region="mars-1", zone="mars-1b", instance_type="zeta.8x", variant=None,
    pricing_model="spot", gpu="ZETA-9-64GB", gpu_count=8, price_nano=80 * NANO, previous_nano=20 * NANO, currency="USD",
    reason="price_jump", words="the price moved by more than the limit since the last batch",
    detail="20 USD to 80 USD", first_seen_at=NOW - 3 * DAY, last_seen_at=NOW - DAY / 6, times=4, state="pending",
)  # fmt: skip
PLACEHOLDER = replace(
    JUMP, number=12, provider="cirrus", zone=None, variant="host-7", gpu=None, price_nano=9_999_999 * NANO,
    previous_nano=None, currency="EUR", reason="placeholder",
    words="far above every price of its class: a figure that stands for unknown", detail="1e+07 EUR", times=1,
    first_seen_at=NOW - DAY, last_seen_at=NOW - DAY, state="rejected", note="they never had one",
)  # fmt: skip
QUARANTINE = QuarantineAnswer(made_at=NOW, rows=(JUMP, PLACEHOLDER))


def scope(provider: str, region: str, outcome: str, **counts: object) -> ImportedScope:
    values = {"pricing_model": "on_demand", "batch_at": NOW - DAY / 3, **counts}
    return ImportedScope(provider=provider, region=region, outcome=outcome, **values)  # type: ignore[arg-type]


IMPORT = ImportAnswer(
    made_at=NOW, file="prices.json", sha256="cd" * 32, exported_at=NOW - DAY / 4, place="/home/me/prices.sqlite3",
    dry_run=False, skipped_list=1_919, skipped_own=1, unknown_gpus=2,
    scopes=(
        scope("nimbus", "mars-1", "imported", offers=1_200, added=2, changed=30, gone=1, quarantined=3),
        scope("nimbus", "mars-2", "older"),
        scope("nimbus", "mars-3", "older"),
        scope("nimbus", "mars-4", "partial"),
        scope("cirrus", "venus", "refused", detail="far fewer offers than in the batch before (1 of 20)"),
        scope("cirrus", "moon", "same"),
    ),
)  # fmt: skip
