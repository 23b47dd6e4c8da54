"""An invented frontier and an invented sensitivity, which no table or fitted constant can move."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from decimal import Decimal

from optimizer.search.deadline_price import DeadlinePrice, DeadlineStretch
from optimizer.search.frontier import Frontier, FrontierPoint
from optimizer.search.results import Candidate, SnapshotReport
from optimizer.search.sensitivity_results import BestThere, Driver, DriverPoint, Sensitivity
from providers.offer import PricingModel
from tests.golden.conftest import GIB, NOW, invented_candidate, invented_job

SNAPSHOT = SnapshotReport(
    sha256="ab" * 32, oldest_observed_at=NOW - timedelta(days=30), newest_observed_at=NOW - timedelta(hours=2),
    offers=99, unusable={},
)  # fmt: skip
PRICE = DeadlinePrice(
    cost_usd_micro=7_654_321, saved_by_one_hour_more_usd_micro=1_250_000, cost_of_one_hour_less_usd_micro=None,
    next_saving_at=NOW + timedelta(hours=24, minutes=20), next_saving_after_s=1200.5, next_saving_usd_micro=1_000_000,
    next_cost_usd_micro=6_654_321,
)  # fmt: skip
STRETCHES = (
    DeadlineStretch(from_s=4800.6, to_s=9000.0, from_usd_micro=40_000_000, to_usd_micro=7_654_321),
    DeadlineStretch(from_s=9000.0, to_s=180_000.0, from_usd_micro=7_654_321, to_usd_micro=6_404_321),
)


def candidate(usd: float, hours: float, *, quality: str = "med-high", bits: int = 4, **offer: object) -> Candidate:
    one = invented_candidate(usd_micro=round(usd * 1e6))
    return dataclasses.replace(
        one,
        offer=dataclasses.replace(one.offer, **offer),  # type: ignore[arg-type]
        recipe=dataclasses.replace(one.recipe, bits=bits),
        finish_s_at_confidence=hours * 3600.0,
        quality=quality,
    )


def point(one: Candidate, *, deadline: bool = True, budget: bool = True, chosen: bool = False) -> FrontierPoint:
    return FrontierPoint(
        candidate=one, keeps_deadline=deadline, keeps_budget=budget, keeps_quality_floor=True, chosen=chosen
    )


def invented_frontier() -> Frontier:
    """Two levels, six points: one too late, two beyond the budget, one the choice."""
    points = (
        point(candidate(2.5, 30.0, quality="medium", bits=16, gpu_count=1), deadline=False),
        point(candidate(7.654321, 20.0, quality="medium", bits=16), chosen=True),
        point(candidate(11.0, 4.0, quality="medium", bits=16, pricing_model=PricingModel.SPOT)),
        point(candidate(20.0, 2.5, quality="medium", bits=16, gpu_count=8, provider="cirrus"), budget=False),
        point(candidate(9.25, 22.0)),
        point(candidate(40.0, 3.5, region="venus-2"), budget=False),
    )
    return Frontier(
        job=invented_job(budget_usd=Decimal("12.50")), made_at=NOW, points=points, candidates=12_345, feasible=True,
        lifted=False, deadline=PRICE, stretches=STRETCHES, snapshot=SNAPSHOT, notes=("A note.",),
    )  # fmt: skip


def driver_point(value: float, usd: float | None, hours: float = 20.0, **changes: object) -> DriverPoint:
    values: dict[str, object] = {
        "value": value, "usd_micro": None if usd is None else round(usd * 1e6), "duration_s": hours * 3000.0,
        "finish_s": hours * 3600.0, "needed_bytes": 10.0 * GIB, "usable_bytes": 60.0 * GIB, "fits": True,
        "in_time": True, "in_budget": True,
    }  # fmt: skip
    return DriverPoint(**{**values, **changes})  # type: ignore[arg-type]


def invented_sensitivity() -> Sensitivity:
    """Four drivers: a wide one, one that does not fit at an end, a senseless one, one without effect."""
    choice = candidate(7.654321, 20.0)
    other = BestThere(
        candidate=candidate(8.0, 9.0, provider="cirrus"), usd_micro=8_000_001, finish_s=32_400.4, same=False
    )
    base = driver_point(6543.21, 7.654321)
    throughput = Driver(
        name="throughput", unit="tokens_per_s", base=base, why="quantiles",
        points=(
            driver_point(5000.0, 11.0, 26.0, in_time=False, sought=True, best=other), base,
            driver_point(8000.0, 5.0, 14.0, sought=True,
                         best=dataclasses.replace(other, same=True, usd_micro=5_000_000)),
        ),
    )  # fmt: skip
    base = driver_point(512, 7.654321)
    length = Driver(
        name="sequence_length", unit="tokens", base=base, why="half and double",
        points=(
            driver_point(256, 5.5, 15.0, detail="38% of the tokens cut off"), base,
            driver_point(1024, 7.7, 20.1, fits=False, needed_bytes=61.5 * GIB, in_budget=False, sought=True),
        ),
    )  # fmt: skip
    base = driver_point(4, 7.654321)
    senseless = DriverPoint(value=8, senseless="LLM.int8 weights cannot be sharded")
    precision = Driver(name="precision", unit="bits", base=base, points=(base, senseless), why="every width")
    base = driver_point(0.1, 7.654321)
    rate = Driver(
        name="interruptions", unit="per_hour", base=base, points=(driver_point(0.02, 7.65), base), why="assumed",
        one_sided="it is the highest there is",
    )  # fmt: skip
    return Sensitivity(
        job=invented_job(), made_at=NOW, choice=choice, drivers=(throughput, length, rate, precision), deadline=PRICE,
        stretches=STRETCHES, snapshot=SNAPSHOT, notes=("A note.",),
    )  # fmt: skip
