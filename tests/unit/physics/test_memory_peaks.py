"""Which moment is the peak, what is alive then, the load peak, and the four readings."""

from __future__ import annotations

from dataclasses import replace
from math import exp, sqrt
from typing import TYPE_CHECKING

import numpy as np
import pytest

from optimizer.physics.axes import (
    Attention,
    Checkpointing,
    Loss,
    Objective,
    Offload,
    Optimizer,
    Precision,
    Sharding,
    Tuning,
)
from optimizer.physics.memory import estimate_memory
from optimizer.physics.recipe import Recipe
from optimizer.physics.tabulate import Machine, tabulate
from providers.basis import BASES, Basis
from tests.unit.physics.memory_cases import (
    BLOCK,
    EMBEDDING,
    GPU,
    HEAD,
    ROUND,
    TOTAL,
    TOY,
    memory_of,
    parts_of,
    runs_of,
    with_sigma,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from optimizer.physics.results import MemoryColumns

FULL, LORA = Tuning.FULL, Tuning.LORA
QV = ("q_proj", "v_proj")
ADAPTER = 2 * 2 * ((8 + 8) + (8 + 4))
LIVE = 30 * 8 + 7 * 16
Z = 1.2815515655446004
HALVES = {"prompt_tokens": 2, "response_tokens": 2}
ROLLOUT = {"objective": Objective.PPO, "prompt_tokens": 500, "response_tokens": 500, "reward_params": 10}
MOE = replace(TOY, name="moe", moe_experts=4, moe_top_k=2, moe_intermediate=16)
ALL = (
    "weights", "adapters", "master_weights", "gradients", "optimizer_state", "optimizer_step", "model_copies",
    "value_model", "buckets", "gathered", "saved", "live", "scores", "logits", "dequantised", "dora", "generation",
)  # fmt: skip


def test_a_long_batch_peaks_at_the_loss() -> None:
    parts = parts_of(tuning=FULL, loss=Loss.STANDARD, micro_batch=100)
    assert parts == {
        "weights": 2 * TOTAL,
        "optimizer_state": 4 * TOTAL,
        "saved": 400 * 2 * 2 * 8,
        "logits": 400 * (14 * 100 + 6 * 8),
    }


def test_a_fused_loss_peaks_in_a_block_with_the_gradient_of_the_head() -> None:
    parts = parts_of(tuning=FULL, micro_batch=100)
    assert parts == {
        "weights": 2 * TOTAL,
        "optimizer_state": 4 * TOTAL,
        "gradients": 2 * HEAD,
        "saved": 400 * 2 * 2 * 8,
        "live": 400 * LIVE,
    }


def test_a_tied_head_has_a_gradient_too() -> None:
    tied = replace(TOY, tied_embeddings=True)
    assert parts_of(model=tied, tuning=FULL, micro_batch=100)["gradients"] == 2 * EMBEDDING


def test_all_gradients_replace_the_checkpoints_where_they_weigh_more() -> None:
    parts = parts_of(tuning=FULL, micro_batch=10, optimizer=Optimizer.SGD)
    assert parts == {"weights": 2 * TOTAL, "gradients": 2 * TOTAL, "live": 40 * LIVE}


def test_sharded_adapters_peak_with_twice_kept_checkpoints() -> None:
    parts = parts_of(tuning=LORA, sharding=Sharding.FSDP, gpus=2, target_modules=QV)
    assert parts["saved"] == 3 * 4 * 2 * 2 * 8
    assert parts["gathered"] == 2 * (EMBEDDING + HEAD) + 2 * BLOCK


def test_at_the_loss_only_the_root_is_gathered() -> None:
    parts = parts_of(tuning=LORA, sharding=Sharding.FSDP, gpus=2, target_modules=QV, loss=Loss.STANDARD, micro_batch=9)
    assert parts["gathered"] == 2 * (EMBEDDING + HEAD)
    assert parts["saved"] == 36 * 2 * 2 * 8


def test_parts_sum_to_the_allocated_peak() -> None:
    columns = memory_of(tuning=FULL, loss=Loss.STANDARD)
    assert sum(values[0] for values in columns.parts.values()) == columns.allocated.expected[0]
    assert sum(values[0] for values in columns.load_parts.values()) == columns.load_peak.expected[0]


def test_required_adds_fragmentation_context_and_nccl() -> None:
    one = memory_of(tuning=LORA, target_modules=QV)
    held = 2 * TOTAL + 12 * ADAPTER
    passing = one.allocated.expected[0] - held
    assert one.required.expected[0] == held + passing * 1.125 + 5_000
    several = memory_of(tuning=LORA, target_modules=QV, sharding=Sharding.DDP, gpus=2)
    bucket = 4 * ADAPTER
    moving = several.allocated.expected[0] - held - bucket
    assert several.required.expected[0] == held + bucket + moving * 1.25 + 5_700
    varying = memory_of(tuning=LORA, target_modules=QV, variable_length=True)
    assert varying.required.expected[0] == held + passing * 1.5 + 5_000


@pytest.mark.parametrize(
    ("recipe", "factor"),
    [
        ({"loss": Loss.FUSED}, 1.1),
        ({"loss": Loss.FUSED, "gpus": 2, "sharding": Sharding.DDP}, 1.2),
        ({"loss": Loss.TRITON}, 1.3),
        ({"loss": Loss.TRITON, "gpus": 2, "sharding": Sharding.DDP}, 1.4),
        ({"loss": Loss.TRITON, "model": replace(TOY, vocab=1_000)}, 1.5),
        ({"loss": Loss.TRITON, "model": replace(TOY, vocab=1_000), "gpus": 2, "sharding": Sharding.DDP}, 1.6),
        ({"loss": Loss.STANDARD}, 1.7),
        ({"loss": Loss.STANDARD, "gpus": 2, "sharding": Sharding.DDP}, 1.8),
        ({"loss": Loss.STANDARD, "variable_length": True}, 3.4),
    ],
)
def test_reserved_grows_with_what_is_not_weights(recipe: dict[str, object], factor: float) -> None:
    columns = memory_of(tuning=LORA, target_modules=QV, micro_batch=4, **recipe)  # type: ignore[arg-type]
    allocated, weights = columns.allocated.expected[0], columns.parts["weights"][0]
    assert columns.reserved.expected[0] == pytest.approx(allocated + (factor - 1) * (allocated - weights))
    outside = 5_700 if recipe.get("gpus") else 5_000
    assert columns.device.expected[0] == pytest.approx(columns.reserved.expected[0] + outside)


def test_a_small_vocabulary_has_the_slack_of_the_block() -> None:
    columns = memory_of(model=replace(TOY, vocab=1), tuning=LORA, target_modules=QV, loss=Loss.STANDARD)
    allocated, weights = columns.allocated.expected[0], columns.parts["weights"][0]
    assert columns.reserved.expected[0] == pytest.approx(allocated + 0.1 * (allocated - weights))


def test_full_fine_tuning_reserves_step_and_batch_together() -> None:
    columns = memory_of(tuning=FULL)
    block = 2 * TOTAL + 4 * LIVE
    assert columns.reserved.expected[0] == 10 * TOTAL + block
    sharded = memory_of(tuning=FULL, sharding=Sharding.FSDP, gpus=2, micro_batch=1)
    step = 10 * TOTAL / 2
    backward = 2 * TOTAL / 2 + 2 * (EMBEDDING + HEAD) + 2 * BLOCK + 4 * LIVE
    assert sharded.reserved.expected[0] == 1.25 * (step + backward)


def test_readings_stop_at_usable_memory() -> None:
    columns = memory_of(tuning=FULL, loss=Loss.STANDARD, micro_batch=1_000)
    assert columns.device.expected[0] == GPU.usable_bytes
    assert columns.reserved.high[0] == GPU.usable_bytes - 5_000
    assert columns.required.expected[0] > GPU.usable_bytes


@pytest.mark.parametrize(
    ("sigma", "recipe", "share"),
    [
        ({"weights": 0.1}, {}, "weights"),
        ({"logits": 0.1}, {}, "logits"),
        ({"activations": 0.1}, {}, "saved"),
        ({"model": 0.1}, {}, None),
        ({"unknown_stack": 0.1}, {"stack_known": False}, None),
        ({"unknown_stack": 0.1}, {}, 0),
        ({"sharded": 0.1}, {"gpus": 2, "sharding": Sharding.DDP}, None),
        ({"sharded": 0.1}, {}, 0),
        ({"several_nodes": 0.1}, {"gpus": 2, "nodes": 2, "sharding": Sharding.DDP}, None),
        ({"several_nodes": 0.1}, {"gpus": 2, "sharding": Sharding.DDP}, 0),
        ({"buffers": 0.1}, {}, 0),
        ({"buffers": 0.1}, {"gpus": 2, "sharding": Sharding.DDP}, "buckets"),
    ],
)
def test_intervals_come_from_parts_and_causes(
    sigma: dict[str, float], recipe: dict[str, object], share: str | int | None
) -> None:
    shape = {"tuning": LORA, "loss": Loss.STANDARD, "micro_batch": 9, **recipe}
    columns = memory_of(constants=with_sigma(**sigma), **shape)  # type: ignore[arg-type]
    expected = columns.allocated.expected[0]
    part = expected if share is None else 0 if share == 0 else columns.parts[str(share)][0]
    assert columns.allocated.high[0] == pytest.approx(expected * exp(Z * 0.1 * part / expected))
    assert columns.allocated.low[0] == pytest.approx(expected / exp(Z * 0.1 * part / expected))


@pytest.mark.parametrize(
    ("sigma", "recipe", "parts"),
    [
        ("weights", {"tuning": FULL, "objective": Objective.DPO, **HALVES}, ("weights", "model_copies")),
        ("state", {"tuning": FULL, "micro_batch": 1}, ("gradients", "optimizer_state", "optimizer_step")),
        (
            "state",
            {"tuning": FULL, "sharding": Sharding.ZERO1, "gpus": 2, "micro_batch": 1},
            ("master_weights", "gradients", "optimizer_state", "optimizer_step"),
        ),
        (
            "state",
            {"tuning": FULL, "objective": Objective.PPO, **HALVES, "micro_batch": 99},
            ("optimizer_state", "value_model", "gradients"),
        ),
        ("state", {"tuning": LORA}, ("adapters", "optimizer_state")),
        ("activations", {"tuning": LORA}, ("saved", "live")),
        ("variable_length", {"tuning": LORA, "variable_length": True}, ("saved", "live")),
        ("variable_length", {"tuning": LORA, "variable_length": True, "loss": Loss.STANDARD, "micro_batch": 9}, None),
        ("no_checkpointing", {"tuning": LORA, "checkpointing": Checkpointing.NONE}, ("saved", "live")),
        ("no_checkpointing", {"tuning": LORA}, ()),
        ("selective", {"tuning": LORA, "checkpointing": Checkpointing.SELECTIVE}, ("saved", "live")),
        ("selective", {"tuning": LORA}, ()),
        ("moe", {"tuning": LORA, "model": MOE}, ("saved", "live")),
        ("moe", {"tuning": LORA}, ()),
        ("dora", {"tuning": Tuning.DORA}, ("saved", "live")),
        ("eager", {"tuning": LORA, "attention": Attention.EAGER}, ("scores",)),
        (
            "buffers",
            {"tuning": LORA, "bits": 4, "kbit_preparation": False, "micro_batch": 1},
            ("dequantised",),
        ),
        ("buffers", {"tuning": Tuning.DORA, "seq_len": 1}, ("dora",)),
        ("buffers", {"tuning": LORA, "sharding": Sharding.FSDP, "gpus": 2}, ("gathered",)),
        ("buffers", {"tuning": LORA, "seq_len": 1, **ROLLOUT}, ("generation",)),
        ("offload", {"tuning": FULL, "sharding": Sharding.ZERO2, "gpus": 2, "offload": Offload.CPU}, ALL),
        ("ppo", {"tuning": LORA, **ROLLOUT}, ALL),
        ("ppo", {"tuning": LORA}, ()),
    ],
)
def test_each_cause_acts_on_its_parts(sigma: str, recipe: dict[str, object], parts: tuple[str, ...] | None) -> None:
    shape = {"micro_batch": 50, "target_modules": QV, **recipe}
    columns = memory_of(constants=with_sigma(**{sigma: 0.1}), **shape)  # type: ignore[arg-type]
    expected = columns.allocated.expected[0]
    held = {name: float(values[0]) for name, values in columns.parts.items()}
    if parts is None:
        deviation = sqrt((held["saved"] + held["live"]) ** 2 + held["logits"] ** 2)
    else:
        assert parts == () or all(held[name] for name in parts) or parts is ALL
        deviation = sum(held[name] for name in held if name in parts)
    assert columns.allocated.high[0] == pytest.approx(expected * exp(Z * 0.1 * deviation / expected))


@pytest.mark.parametrize(
    ("sigma", "reading", "base"),
    [
        ("load", "load_peak", lambda c: c.load_peak.expected[0]),
        ("load", "load_required", lambda c: c.load_peak.expected[0]),
        ("host", "host", lambda c: c.host.expected[0]),
        ("host", "nvme", lambda c: c.nvme.expected[0]),
        ("slack", "reserved", lambda c: c.reserved.expected[0] - c.parts["weights"][0]),
        ("slack", "device", lambda c: c.reserved.expected[0] - c.parts["weights"][0]),
        ("context", "required", lambda _: 5_700),
        ("context", "load_required", lambda _: 5_700),
        ("context", "device", lambda _: 5_700),
    ],
)
def test_each_reading_has_its_own_doubt(sigma: str, reading: str, base: Callable[[MemoryColumns], float]) -> None:
    columns = memory_of(
        constants=with_sigma(**{sigma: 0.1}), tuning=FULL, sharding=Sharding.ZERO3, gpus=2, offload=Offload.NVME
    )
    read = getattr(columns, reading)
    assert read.high[0] == pytest.approx(read.expected[0] * exp(Z * 0.1 * base(columns) / read.expected[0]))


def test_eager_scores_count_at_the_peak() -> None:
    parts = parts_of(tuning=LORA, attention=Attention.EAGER, target_modules=QV)
    assert parts["scores"] == 4 * 2 * 4 * 11
    longer = parts_of(tuning=FULL, attention=Attention.EAGER, seq_len=400)
    assert sum(longer.values()) == 6 * TOTAL + 2 * HEAD + 400 * (2 * 2 * 8 + LIVE) + 400 * 2 * 400 * 11
    kept = parts_of(tuning=FULL, attention=Attention.EAGER, seq_len=400, checkpointing=Checkpointing.NONE)
    assert sum(kept.values()) == 6 * TOTAL + 400 * (2 * 8 + 2 * (92 * 8 + 50 * 16)) + 400 * 2 * 400 * 13 * 2


@pytest.mark.parametrize(
    ("architecture", "known"),
    [
        ("ampere", True),
        ("ampere-consumer", True),
        ("hopper", True),
        ("turing", True),
        ("volta", False),
        ("ada", False),
        ("blackwell", False),
        ("cdna3", False),
        ("other", False),
    ],
)
def test_an_architecture_without_a_measured_row_widens_all_but_the_allocated_reading(
    architecture: str, known: bool
) -> None:
    constants = with_sigma(unmeasured_architecture=0.1)
    machine = Machine(gpu=replace(GPU, architecture=architecture))
    recipe = Recipe(tuning=LORA, target_modules=QV, precision=Precision.BF16_PURE, loss=Loss.FUSED, seq_len=4)
    columns = estimate_memory(tabulate([(TOY, recipe, machine)]), constants)
    factor = 1.0 if known else exp(Z * 0.1)
    for name in ("required", "load_required", "reserved", "device"):
        reading = getattr(columns, name)
        assert reading.high[0] == pytest.approx(reading.expected[0] * factor), name
        assert reading.low[0] == pytest.approx(reading.expected[0] / factor), name
    assert columns.allocated.high[0] == columns.allocated.expected[0]
    assert columns.load_peak.high[0] == columns.load_peak.expected[0]
    assert BASES[columns.basis[0]] is (Basis.DERIVED if known else Basis.ASSUMED)


def test_causes_add_in_quadrature() -> None:
    columns = memory_of(
        constants=with_sigma(model=0.03, dpo=0.04),
        tuning=LORA,
        objective=Objective.DPO,
        prompt_tokens=2,
        response_tokens=2,
    )
    ratio = columns.allocated.high[0] / columns.allocated.expected[0]
    assert ratio == pytest.approx(exp(Z * sqrt(0.03**2 + 0.04**2)))


def test_basis_is_assumed_where_no_row_stands_behind_it() -> None:
    assert BASES[memory_of(tuning=LORA).basis[0]] is Basis.DERIVED
    for recipe in (
        {"tuning": Tuning.DORA},
        {"tuning": LORA, "objective": Objective.DPO, "prompt_tokens": 1, "response_tokens": 1},
        {"tuning": LORA, "objective": Objective.PPO, "prompt_tokens": 1, "response_tokens": 1, "reward_params": 1},
        {"tuning": FULL, "sharding": Sharding.ZERO2, "gpus": 2, "offload": Offload.CPU},
    ):
        assert BASES[memory_of(**recipe).basis[0]] is Basis.ASSUMED  # type: ignore[arg-type]


def test_every_column_has_one_value_a_run() -> None:
    runs = runs_of(tuning=LORA, bits=4)
    many = runs.take(np.zeros(3, dtype=np.int64))
    mixed = replace(many, recipe=replace(many.recipe, micro_batch=np.array([1.0, 2.0, 3.0])))
    columns = estimate_memory(mixed, ROUND)
    arrays = [*columns.parts.values(), *columns.load_parts.values(), columns.basis]
    for name in ("load_peak", "load_required", "allocated", "reserved", "device", "required", "host", "nvme"):
        reading = getattr(columns, name)
        arrays += [reading.low, reading.expected, reading.high]
    assert {array.shape for array in arrays} == {(3,)}
    alone = estimate_memory(mixed.take(np.array([1])), ROUND)
    assert alone.required.high[0] == columns.required.high[1]
