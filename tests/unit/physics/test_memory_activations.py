"""What the batch of a toy model needs, worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from optimizer.physics.activations import activation_columns
from optimizer.physics.axes import (
    Attention,
    Checkpointing,
    Loss,
    Objective,
    Offload,
    Precision,
    Sharding,
    Stack,
    Tuning,
)
from optimizer.physics.memory_constants import load_memory_constants
from optimizer.physics.switches import switches
from tests.unit.physics.memory_cases import ROUND, TOY, memory_of, parts_of, runs_of

if TYPE_CHECKING:
    from optimizer.workload.model_spec import ModelSpec

FULL, LORA = Tuning.FULL, Tuning.LORA
QV = ("q_proj", "v_proj")
TOKENS = 4
MOE = replace(TOY, name="moe", moe_experts=4, moe_top_k=2, moe_intermediate=16)
PLAIN = replace(TOY, name="plain", mlp_kind="gelu")
KEPT = 92 * 8 + 50 * 16
"""Two norms of 42 a hidden element, four vectors of 8 in attention at 2 bytes, and the gated MLP."""


def batch_of(*, gpus: int = 1, model: ModelSpec = TOY, **recipe: object) -> dict[str, float]:
    runs = runs_of(gpus=gpus, model=model, **recipe)
    columns = activation_columns(runs, switches(runs), ROUND)
    return {name: float(getattr(columns, name)[0]) for name in columns.__slots__}


def test_checkpoints_are_one_input_per_block_and_the_rest_is_one_live_block() -> None:
    batch = batch_of(tuning=FULL)
    assert batch["saved"] == TOKENS * 2 * 2 * 8
    assert batch["live"] == TOKENS * (30 * 8 + 7 * 16)
    assert batch["saved_again"] == batch["saved_scores"] == batch["live_scores"] == batch["away"] == 0


def test_micro_batch_and_length_multiply() -> None:
    assert batch_of(tuning=FULL, micro_batch=3, seq_len=5)["saved"] == 15 * 2 * 2 * 8


@pytest.mark.parametrize(("fused", "per_input"), [(True, 1), (False, 3)])
def test_adapters_keep_their_inputs_in_the_live_block(fused: bool, per_input: int) -> None:
    batch = batch_of(tuning=LORA, target_modules=QV, fused_kernels=fused)
    assert batch["live"] == TOKENS * (30 * 8 + 7 * 16 + per_input * (8 + 8))


def test_mixture_of_experts_counts_the_active_width_with_its_own_factor() -> None:
    assert batch_of(tuning=FULL, model=MOE)["live"] == TOKENS * (30 * 8 + 0.5 * 7 * 32)


def test_kbit_preparation_doubles_checkpoints_and_swells_the_live_block() -> None:
    batch = batch_of(tuning=LORA, bits=4, target_modules=QV, precision=Precision.BF16_MIXED)
    assert batch["saved"] == TOKENS * 4 * 2 * 8
    assert batch["live"] == TOKENS * (30 * 8 + 7 * 16 + 3 * 16) * 1.5


def test_fp32_doubles_all_of_it() -> None:
    batch = batch_of(tuning=FULL, precision=Precision.FP32)
    assert batch["saved"] == TOKENS * 4 * 2 * 8
    assert batch["live"] == TOKENS * (30 * 8 + 7 * 16) * 2


def test_fsdp_with_adapters_holds_on_to_more_in_backward() -> None:
    assert batch_of(tuning=LORA, sharding=Sharding.FSDP, gpus=2)["saved_again"] == 2 * TOKENS * 2 * 2 * 8
    for quiet in (
        {"tuning": FULL, "sharding": Sharding.FSDP, "gpus": 2},
        {"tuning": LORA, "sharding": Sharding.FSDP, "gpus": 1},
        {"tuning": LORA, "sharding": Sharding.ZERO3, "gpus": 2},
        {"tuning": LORA, "bits": 4, "sharding": Sharding.ZERO3, "gpus": 1},
        {"tuning": LORA, "bits": 4, "sharding": Sharding.ZERO2, "gpus": 2},
        {"tuning": LORA, "sharding": Sharding.FSDP, "gpus": 2, "stack": Stack.TORCHTUNE},
        {"tuning": LORA, "sharding": Sharding.FSDP, "gpus": 2, "checkpointing": Checkpointing.NONE},
    ):
        assert batch_of(**quiet)["saved_again"] == 0  # type: ignore[arg-type]


def test_zero3_with_kbit_adapters_holds_on_to_more_in_backward_as_fsdp_does() -> None:
    shape = {"tuning": LORA, "bits": 4, "gpus": 2}
    zero3 = batch_of(sharding=Sharding.ZERO3, **shape)  # type: ignore[arg-type]
    assert zero3["saved_again"] == 2 * TOKENS * 2 * 2 * 8
    assert zero3 == batch_of(sharding=Sharding.FSDP, **shape)  # type: ignore[arg-type]


@pytest.mark.parametrize("sharding", [Sharding.FSDP, Sharding.ZERO2, Sharding.ZERO3])
@pytest.mark.parametrize("offload", [Offload.NONE, Offload.CPU])
def test_on_one_gpu_sharding_and_offload_leave_the_fp32_stream_alone(sharding: Sharding, offload: Offload) -> None:
    shape = {"tuning": LORA, "bits": 4, "precision": Precision.BF16_MIXED, "target_modules": QV}
    batch = batch_of(sharding=sharding, offload=offload, **shape)  # type: ignore[arg-type]
    assert batch["saved"] == TOKENS * 4 * 2 * 8
    assert batch == batch_of(**shape)  # type: ignore[arg-type]
    several = batch_of(gpus=2, sharding=sharding, offload=offload, **shape)  # type: ignore[arg-type]
    assert several["saved"] == TOKENS * 2 * 2 * 8


@pytest.mark.parametrize(
    ("recipe", "factor"),
    [
        ({"tuning": FULL}, 1.0),
        ({"tuning": FULL, "compiled": True}, 0.8),
        ({"tuning": LORA}, 0.9),
        ({"tuning": FULL, "precision": Precision.FP32}, 2.0),
    ],
)
def test_without_checkpointing_every_block_keeps_everything(recipe: dict[str, object], factor: float) -> None:
    batch = batch_of(checkpointing=Checkpointing.NONE, **recipe)
    assert batch["saved"] + batch["live"] == pytest.approx(TOKENS * 2 * KEPT * factor)
    assert batch["waiting"] == batch["live"]
    assert batch["live"] > 0


@pytest.mark.parametrize("compiled", [False, True])
def test_selective_checkpointing_keeps_a_part_compiled_or_not(*, compiled: bool) -> None:
    batch = batch_of(checkpointing=Checkpointing.SELECTIVE, tuning=FULL, compiled=compiled)
    assert batch["saved"] == TOKENS * 2 * KEPT * 0.5
    assert batch["live"] == TOKENS * (30 * 8 + 7 * 16)


NORMS, ATTENTION, SHARED_KEYS = 2 * 42 * 8, 4 * (2 + 2) * 4, 4 * (2 + 1) * 4
"""Two heads of 4 with one head of keys and values, which only the flash kernel shares."""


@pytest.mark.parametrize(
    ("recipe", "per_block"),
    [
        ({}, NORMS + ATTENTION + 50 * 16),
        ({"attention": Attention.EAGER}, NORMS + ATTENTION + 50 * 16),
        ({"attention": Attention.FLASH}, NORMS + SHARED_KEYS + 50 * 16),
        ({"model": PLAIN}, NORMS + ATTENTION + 30 * 16),
        ({"fused_kernels": True}, 2 * 40 * 8 + ATTENTION + 45 * 16),
        ({"stack": Stack.LLM_FOUNDRY}, 2 * 40 * 8 + ATTENTION + 45 * 16),
        ({"stack": Stack.NEMO, "model": PLAIN}, 2 * 40 * 8 + ATTENTION + 30 * 16),
    ],
)
def test_kept_bytes_are_counted_tensor_by_tensor(recipe: dict[str, object], per_block: float) -> None:
    batch = batch_of(**{"checkpointing": Checkpointing.NONE, "tuning": FULL, **recipe})  # type: ignore[arg-type]
    assert batch["saved"] + batch["live"] == pytest.approx(TOKENS * 2 * per_block)


def test_a_mistral_sized_block_keeps_24_hidden_and_8_intermediate_and_a_plain_one_16_and_4() -> None:
    """By the shipped constants: what a count by hand of the tensors of such blocks gives."""
    wide = replace(TOY, layers=1, hidden=4096, heads=32, kv_heads=8, head_dim=128, intermediate=14_336)
    shipped = load_memory_constants()

    def kept(**recipe: object) -> float:
        runs = runs_of(tuning=FULL, checkpointing=Checkpointing.NONE, **recipe)  # type: ignore[arg-type]
        batch = activation_columns(runs, switches(runs), shipped)
        return float((batch.saved + batch.live)[0] / TOKENS)

    assert kept(model=replace(wide, layers=40)) == 40 * (24 * 4096 + 8 * 14_336)
    plain = replace(wide, layers=40, kv_heads=32, intermediate=16_384, mlp_kind="gelu")
    assert kept(model=plain, stack=Stack.LLM_FOUNDRY, attention=Attention.FLASH) == 40 * (16 * 4096 + 4 * 16_384)


def test_the_live_block_of_a_plain_mlp_and_of_a_lean_stack_is_smaller() -> None:
    assert batch_of(tuning=FULL, model=PLAIN)["live"] == TOKENS * (30 * 8 + 4 * 16)
    lean = batch_of(tuning=FULL, stack=Stack.LLM_FOUNDRY)
    assert lean["live"] == TOKENS * ((30 - 2 * (42 - 40)) * 8 + 7 * 16)


def test_nothing_kept_is_less_than_checkpoints_and_a_live_block() -> None:
    shallow = replace(TOY, layers=1)
    # So little that a block in backward alone is more than all that is kept: 2 x 8 + 64 + 16 bytes to 352.
    thrifty = replace(ROUND, activations=replace(ROUND.activations, kept_norm=1, kept_gated=1, kept_selective_factor=0))
    runs = runs_of(model=shallow, tuning=FULL, checkpointing=Checkpointing.NONE)
    batch = activation_columns(runs, switches(runs), thrifty)
    assert batch.saved[0] == TOKENS * 2 * 8
    assert batch.live[0] == TOKENS * (30 * 8 + 7 * 16)


def test_eager_attention_materialises_scores() -> None:
    live = batch_of(tuning=FULL, attention=Attention.EAGER)
    assert live["live_scores"] == TOKENS * 2 * 4 * 11
    assert live["saved_scores"] == live["waiting_scores"] == live["waiting"] == 0
    kept = batch_of(tuning=FULL, attention=Attention.EAGER, checkpointing=Checkpointing.NONE)
    assert kept["saved_scores"] + kept["waiting_scores"] == TOKENS * 2 * 4 * 13 * 2
    assert kept["waiting_scores"] == kept["live_scores"] == TOKENS * 2 * 4 * 11
    for lean in (Attention.SDPA, Attention.FLASH):
        assert batch_of(tuning=FULL, attention=lean)["live_scores"] == 0


@pytest.mark.parametrize(
    ("recipe", "per_token"),
    [
        ({"loss": Loss.STANDARD}, 14 * 100 + 6 * 8),
        ({"loss": Loss.TRITON}, 8 * 100 + 4 * 8),
        ({"loss": Loss.TRITON, "stack": Stack.NEMO}, 5 * 100 + 4 * 8),
        ({"loss": Loss.FUSED}, 2 * 8),
        ({"loss": Loss.FUSED, "stack": Stack.TORCHTUNE}, 3 * 100 + 2 * 8),
        ({"loss": Loss.STANDARD, "stack": Stack.TORCHTUNE}, 14 * 100 + 6 * 8),
        ({"loss": Loss.STANDARD, "precision": Precision.FP32}, (14 * 100 + 6 * 8) * 1.5),
        ({"loss": Loss.STANDARD, "compiled": True}, (14 * 100 + 6 * 8) * 0.5),
    ],
)
def test_logits_by_loss_kind(recipe: dict[str, object], per_token: float) -> None:
    assert batch_of(tuning=FULL, **recipe)["logits"] == TOKENS * per_token


def test_dpo_doubles_the_sequences_and_adds_reference_logits() -> None:
    batch = batch_of(tuning=LORA, objective=Objective.DPO, loss=Loss.STANDARD)
    assert batch["saved"] == 2 * TOKENS * 2 * 2 * 8
    assert batch["logits"] == 2 * TOKENS * (14 * 100 + 6 * 8)
    assert batch["reference_logits"] == 2 * TOKENS * 9 * 100
    assert batch_of(tuning=LORA)["reference_logits"] == 0


def test_a_dequantised_copy_counts_beyond_the_idle_part_of_the_live_block() -> None:
    copy = 2 * 8 * 16
    small = batch_of(tuning=LORA, bits=4, seq_len=1, target_modules=QV)
    assert small["dequantised"] == copy - 0.125 * small["live"]
    assert small["dequantised"] > 0
    assert batch_of(tuning=LORA, bits=8, seq_len=64, target_modules=QV)["dequantised"] == 0
    assert batch_of(tuning=LORA, bits=16, seq_len=1, target_modules=QV)["dequantised"] == 0
    assert batch_of(tuning=LORA, bits=4, model=MOE, seq_len=1)["dequantised"] < copy


def test_dora_adds_weight_copies_and_outputs() -> None:
    dora = batch_of(tuning=Tuning.DORA, target_modules=QV)
    lora = batch_of(tuning=LORA, target_modules=QV)
    assert dora["dora"] == 3 * 2 * 8 * 16
    assert dora["live"] - lora["live"] == TOKENS * 5 * (8 + 4)
    assert lora["dora"] == 0
    kept = {"checkpointing": Checkpointing.NONE, "target_modules": QV}
    dora, lora = batch_of(tuning=Tuning.DORA, **kept), batch_of(tuning=LORA, **kept)
    more = dora["saved"] + dora["live"] - lora["saved"] - lora["live"]
    assert more == pytest.approx(TOKENS * 5 * (8 + 4) * 2)


def test_ppo_generates_with_a_cache() -> None:
    ppo = {"objective": Objective.PPO, "prompt_tokens": 5, "response_tokens": 7, "reward_params": 10}
    batch = batch_of(tuning=LORA, micro_batch=3, **ppo)  # type: ignore[arg-type]
    assert batch["generation"] == 3 * 12 * 2 * 2 * 2 * 1 * 4
    assert batch_of(tuning=LORA)["generation"] == 0


def test_unsloth_moves_checkpoints_to_the_host_and_has_a_lean_block() -> None:
    batch = batch_of(tuning=LORA, stack=Stack.UNSLOTH, target_modules=QV, fused_kernels=True)
    assert batch["saved"] == 0
    assert batch["away"] == TOKENS * 2 * 2 * 8
    assert batch["live"] == TOKENS * (30 * 8 + 7 * 16 + 16) * 0.25
    host = memory_of(tuning=LORA, stack=Stack.UNSLOTH).host.expected[0]
    assert host - memory_of(tuning=LORA, stack=Stack.LITGPT).host.expected[0] == TOKENS * 2 * 2 * 8


def test_ppo_under_zero3_gathers_everything_to_generate() -> None:
    ppo = {"objective": Objective.PPO, "prompt_tokens": 500, "response_tokens": 500, "reward_params": 10}
    parts = parts_of(tuning=LORA, sharding=Sharding.ZERO3, gpus=2, seq_len=1, **ppo)  # type: ignore[arg-type]
    assert parts["gathered"] == 2 * (800 + 800) + 2 * 1_152
    assert parts["generation"] == 1_000 * 2 * 2 * 2 * 4
    assert not {"saved", "live", "logits"} & set(parts)


def test_without_checkpointing_the_loss_finds_every_block() -> None:
    shape = {"tuning": FULL, "checkpointing": Checkpointing.NONE, "loss": Loss.STANDARD, "micro_batch": 50}
    parts = parts_of(attention=Attention.EAGER, **shape)  # type: ignore[arg-type]
    assert parts["saved"] + parts["live"] == 200 * 2 * KEPT
    assert parts["scores"] == 200 * 2 * 4 * 13 * 2
    assert parts["logits"] == 200 * (14 * 100 + 6 * 8)
