"""Golden files, and an invented plan that no table or fitted constant can move.

Regenerate the files with `TUNEFARE_UPDATE_GOLDEN=1 pytest tests/golden` and read the difference before committing.
"""

from __future__ import annotations

import dataclasses
import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from optimizer.physics.axes import Attention, Checkpointing, Sharding, Tuning
from optimizer.physics.recipe import Recipe
from optimizer.report.answers import EstimateAnswer, PricedOffer, PriceListAnswer
from optimizer.search.results import (
    Candidate,
    Explanation,
    LineItem,
    MemoryReading,
    NearMiss,
    Plan,
    PlanStatus,
    Quote,
    Rival,
    SnapshotReport,
    SolverReport,
    SpeedReading,
)
from optimizer.workload.job import Job, Overheads
from optimizer.workload.models import ModelSpec
from providers.basis import Basis, Estimate
from providers.gpus import Gpu
from providers.offer import Offer, PriceClass, PricingModel

if TYPE_CHECKING:
    from collections.abc import Callable

EXPECTED = Path(__file__).parent / "expected"
NOW = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
GIB = 2**30


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare text with `expected/NAME`; with TUNEFARE_UPDATE_GOLDEN set, write it there instead."""

    def compare(name: str, text: str) -> None:
        path = EXPECTED / name
        if os.environ.get("TUNEFARE_UPDATE_GOLDEN"):
            path.write_bytes(text.encode("utf-8"))
        assert path.is_file(), f"{path} is missing: run with TUNEFARE_UPDATE_GOLDEN=1"
        assert text.encode("utf-8") == path.read_bytes()

    return compare


def invented_gpu() -> Gpu:
    return Gpu(
        id="ZETA-9-64GB", vendor="zeta", chip="ZETA-9", form_factor="SXM", architecture="hopper",
        memory_nameplate_gb=64.0, usable_bytes=60 * GIB, usable_basis=Basis.PUBLISHED,
        memory_bandwidth_bytes_per_s=2e12, bf16_flops_per_s=5e14, fp16_flops_per_s=5e14, fp8_flops_per_s=None,
        int8_ops_per_s=None, tf32_flops_per_s=None, fp32_flops_per_s=None, link_kind="nvlink",
        link_bytes_per_s=3e11, pcie_bytes_per_s=3e10, compute_capability="9.0", supports_bf16=True,
        supports_fp8=False, trainable=True, source="invented", notes="",
    )  # fmt: skip


def invented_model() -> ModelSpec:
    return ModelSpec(
        name="testmodel-1b", hf_id="invented/Testmodel-1B", layers=4, hidden=64, intermediate=128, heads=4,
        kv_heads=2, head_dim=16, vocab=512, tied_embeddings=False, context=4096, source="invented",
    )  # fmt: skip


def invented_job(**changes: object) -> Job:
    values: dict[str, object] = {
        "name": "tëst job", "model": invented_model(), "tokens": 21_280_000, "sequences": 53_200, "seq_len": 512,
        "global_batch": 16, "packing": False, "lengths": None, "runs": 1, "methods": (), "quantization_bits": (),
        "objective": "sft", "lora_rank": 16, "target_modules": ("all-linear",), "optimizer": "adamw", "stack": "hf",
        "stack_known": False, "prompt_tokens": 0, "response_tokens": 0, "reward_model": None,
        "deadline_at": NOW + timedelta(hours=24), "confidence_ppm": 900_000, "budget_usd": Decimal("12.50"),
        "quality_floor": "medium", "max_complexity": None, "providers": (), "regions": ("mars-1",), "gpus": (),
        "exclude_gpus": ("T4-16GB",), "max_gpus": 64, "max_nodes": 1, "pricing_models": (), "max_price_age_s": None,
        "executor": "none", "overheads": Overheads(evaluation_usd=Decimal("1.5")),
        "defaults_used": ("global_batch = 16 (default)",), "basis": "assumed",
    }  # fmt: skip
    return Job(**{**values, **changes})  # type: ignore[arg-type]


def invented_candidate(
    *, instance_type: str = "zeta.2x", provider: str = "nimbus", usd_micro: int = 7_654_321, runs: int = 1
) -> Candidate:
    recipe = Recipe(
        tuning=Tuning.LORA, bits=4, sharding=Sharding.DDP, micro_batch=4, grad_accum=2, seq_len=512,
        checkpointing=Checkpointing.FULL, attention=Attention.SDPA, padding_factor=1.25,
    )  # fmt: skip
    offer = Offer(
        provider=provider, region="mars-1", zone=None, instance_type=instance_type, variant="secure", gpu="ZETA-9-64GB",
        gpu_name="Zeta 9", gpu_count=2, pricing_model=PricingModel.ON_DEMAND, unit_price_nano=3_210_000_000,
        observed_at=NOW - timedelta(days=3, hours=1), source="invented list 2031-05-03", price_class=PriceClass.LIST,
        host_ram_bytes=256 * 10**9, flags=("per_gpu_price",),
    )  # fmt: skip

    def around(value: float, spread: float = 0.1, basis: Basis = Basis.DERIVED) -> Estimate:
        return Estimate(low=value * (1 - spread), expected=value, high=value * (1 + spread), basis=basis)

    parts = {"weights": 5 * GIB, "gradients": GIB // 3, "activations": 2 * GIB + 1}
    memory = MemoryReading(
        usable_bytes=60 * GIB, required=around(9.5 * GIB), load_required=around(7 * GIB), load_peak=around(6 * GIB),
        allocated=around(float(sum(parts.values()))), reserved=around(10 * GIB), device=around(11 * GIB),
        host=around(20 * GIB), nvme=around(0.0), parts_bytes=parts, load_parts_bytes={"weights": 6 * GIB},
        basis=Basis.DERIVED,
    )  # fmt: skip
    speed = SpeedReading(
        tokens_per_s=around(6543.21, 0.2, Basis.PUBLISHED), sigma_log=0.17123456, mfu=0.3345, bound="compute",
        step_s=1.2345678, parts_s={"compute": 1.0000004, "optimizer": 0.2, "interconnect": 0.0345674},
    )  # fmt: skip
    return Candidate(
        offer=offer, gpu=invented_gpu(), nodes=1, recipe=recipe, runs=runs, memory=memory, speed=speed,
        duration_s=around(4000.5, 0.2, Basis.ASSUMED),
        duration_parts_s={"setup": 600.0, "download": 33.3, "load": 20.0, "train": 3252.2, "checkpoints": 95.0},
        finish_s_at_confidence=4800.6, finish_probability_ppm=999_321,
        quote=Quote(
            low_usd_micro=usd_micro - 1_000_000, expected_usd_micro=usd_micro, high_usd_micro=usd_micro + 2_000_000,
            items=(
                LineItem(name="compute", quantity=4001.0, unit="s", usd_micro=usd_micro - 2_000_000),
                LineItem(name="disk", quantity=12.5, unit="GB", usd_micro=500_000),
                LineItem(name="evaluation", quantity=1.0, unit="job", usd_micro=1_500_000),
            ),
            billed_s=4001,
        ),
        quality="med-high", complexity="medium",
        slacks={"deadline": 82399.4, "memory": 49.55 * GIB, "budget": -0.5, "quota": float("inf")},
    )  # fmt: skip


@pytest.fixture
def invented_plan() -> Plan:
    """A feasible plan whose every figure is invented."""
    return Plan(
        status=PlanStatus.OPTIMAL, made_at=NOW, job=invented_job(), choices=(invented_candidate(),),
        runners_up=(invented_candidate(instance_type="zeta.4x", usd_micro=9_000_000),),
        rejected={"memory": 12, "deadline": 3}, near_misses=(),
        rivals=(
            Rival(vendor="Cumulus", model="tiny", method="unknown", low_usd_micro=63_840_000, high_usd_micro=None,
                  tokens=21_280_000, source="invented", source_date="2031-01-01", notes="price per token"),
            Rival(vendor="Stratus", model="huge", method="lora", low_usd_micro=None, high_usd_micro=None,
                  tokens=21_280_000, source="invented", source_date="2031-01-01", notes="no price found"),
        ),
        lost=("zeta.4x at nimbus costs $1.35 more.",),
        solver=SolverReport(status="optimal", gap_ppm=0, candidates=1234, hardware_classes=3, physics_rows=56, kept=7,
                            timings_s={"physics": 0.0123}),
        snapshot=SnapshotReport(sha256="ab" * 32, oldest_observed_at=NOW - timedelta(days=30),
                                newest_observed_at=NOW - timedelta(hours=2), offers=99,
                                unusable={"unknown GPU": 5}),
        notes=("Prices are from a list.",),
    )  # fmt: skip


@pytest.fixture
def invented_infeasible_plan(invented_plan: Plan) -> Plan:
    """The same job with a limit that nothing keeps: no choice, one near miss."""
    miss = NearMiss(
        limit="deadline", required=90_000.4, allowed=86_400.0, unit="s", candidate=invented_candidate(),
        sentence="Allow 1 h more: zeta.2x at nimbus for $7.65.",
    )  # fmt: skip
    return dataclasses.replace(
        invented_plan, status=PlanStatus.INFEASIBLE, choices=(), runners_up=(), near_misses=(miss,), rivals=(), lost=()
    )


@pytest.fixture
def invented_sweep(invented_plan: Plan) -> Plan:
    """Five runs over two offers: three and two."""
    slower = Estimate(low=4_000.0, expected=5_000.0, high=7_000.0, basis=Basis.ASSUMED)
    choices = (
        invented_candidate(runs=3),
        dataclasses.replace(
            invented_candidate(runs=2, instance_type="zeta.8x", provider="cirrus", usd_micro=8_000_000),
            duration_s=slower, duration_parts_s={"setup": 600.0, "train": 4_400.0}, finish_s_at_confidence=7_000.0,
            finish_probability_ppm=987_654,
        ),
    )  # fmt: skip
    return dataclasses.replace(invented_plan, job=invented_job(runs=5), choices=choices)


@pytest.fixture
def invented_estimate(invented_plan: Plan) -> EstimateAnswer:
    """An estimate with the figures of the invented candidate, priced by its offer."""
    one = invented_candidate()
    return EstimateAnswer(
        made_at=NOW, job=invented_job(), recipe=one.recipe, gpu=one.gpu, gpus_per_node=2, nodes=1, memory=one.memory,
        speed=one.speed, duration_s=one.duration_s, duration_parts_s=one.duration_parts_s,
        finish_s_at_confidence=one.finish_s_at_confidence, finish_probability_ppm=one.finish_probability_ppm,
        quote=one.quote, offer=one.offer, price_from="offer", usd_per_gpu_hour_nano=1_605_000_000, quality=one.quality,
        complexity=one.complexity, fits=True, fits_expected=True, host_fits=None, snapshot=invented_plan.snapshot,
        notes=("A note.",),
    )  # fmt: skip


@pytest.fixture
def invented_prices() -> PriceListAnswer:
    """Two invented offers: a known GPU in dollars, an unknown one in another currency."""
    known = invented_candidate().offer
    foreign = dataclasses.replace(
        known, provider="stratus", zone="b", gpu=None, gpu_name="Omega", gpu_count=3, currency="EUR", flags=(),
        pricing_model=PricingModel.SPOT, unit_price_nano=1_000_000_000, host_ram_bytes=None,
    )  # fmt: skip
    return PriceListAnswer(
        made_at=NOW,
        offers=(
            PricedOffer(offer=known, age_s=262_800, freshness="fresh"),
            PricedOffer(offer=foreign, age_s=262_800, freshness="stale"),
        ),
        total=99,
        sha256="cd" * 32,
    )


@pytest.fixture
def invented_explanation() -> Explanation:
    """Something that breaks two limits, against the invented choice."""
    return Explanation(
        spec="Zeta 9 on mars", verdict="infeasible", sentence="It would cost $9.00, but takes 25 h.",
        candidate=invented_candidate(instance_type="zeta.4x", usd_micro=9_000_000), choice=invented_candidate(),
        broken={"deadline": (90_000.4, 86_400.0), "host_memory": (1e11, float("nan"))}, made_at=NOW,
    )  # fmt: skip
