"""Weights, gradients and optimizer state of a toy model, worked out by hand."""

from __future__ import annotations

import pytest

from optimizer.physics.axes import Loss, Objective, Offload, Optimizer, Precision, Sharding, Stack, Tuning
from tests.unit.physics.memory_cases import (
    BLOCK,
    DEEP,
    DEEP_TOTAL,
    EMBEDDING,
    HEAD,
    LINEAR,
    OTHER,
    TOTAL,
    memory_of,
    parts_of,
)

FULL, LORA = Tuning.FULL, Tuning.LORA
REST = EMBEDDING + HEAD + OTHER
QV = ("q_proj", "v_proj")
RANK_2_QV = 2 * 2 * ((8 + 8) + (8 + 4))
"""Two layers x rank 2 x (in + out) of q and v."""


def test_full_pure_takes_ten_bytes_per_parameter_at_the_step() -> None:
    assert parts_of(tuning=FULL) == {
        "weights": 2 * TOTAL,
        "gradients": 2 * TOTAL,
        "optimizer_state": 4 * TOTAL,
        "optimizer_step": 2 * TOTAL,
    }


def test_full_mixed_takes_twenty() -> None:
    assert parts_of(tuning=FULL, precision=Precision.BF16_MIXED) == {
        "weights": 4 * TOTAL,
        "gradients": 4 * TOTAL,
        "optimizer_state": 8 * TOTAL,
        "optimizer_step": 4 * TOTAL,
    }


def test_fsdp_divides_the_twenty_bytes() -> None:
    parts = parts_of(model=DEEP, tuning=FULL, precision=Precision.BF16_MIXED, sharding=Sharding.FSDP, gpus=4)
    assert sum(parts.values()) == 20 * DEEP_TOTAL / 4
    assert "gathered" not in parts


@pytest.mark.parametrize(
    ("sharding", "weights", "gradients"), [(Sharding.ZERO1, 2, 2), (Sharding.ZERO2, 2, 1), (Sharding.ZERO3, 1, 1)]
)
@pytest.mark.parametrize("precision", [Precision.BF16_MIXED, Precision.BF16_PURE])
def test_deepspeed_keeps_fp32_masters_and_spreads_by_stage(
    sharding: Sharding, weights: int, gradients: int, precision: Precision
) -> None:
    parts = parts_of(model=DEEP, tuning=FULL, precision=precision, sharding=sharding, gpus=2)
    assert parts.pop("buckets", 0) == (0 if sharding is Sharding.ZERO3 else 2 * 2 * 1_000)
    assert parts == {
        "weights": weights * DEEP_TOTAL,
        "gradients": gradients * DEEP_TOTAL,
        "master_weights": 4 * DEEP_TOTAL / 2,
        "optimizer_state": 8 * DEEP_TOTAL / 2,
        "optimizer_step": 4 * DEEP_TOTAL / 2,
    }


def test_ddp_holds_a_second_copy_of_the_gradients() -> None:
    assert parts_of(tuning=FULL, sharding=Sharding.DDP, gpus=2)["buckets"] == 2 * TOTAL
    assert "buckets" not in parts_of(tuning=FULL, sharding=Sharding.DDP, gpus=1)


@pytest.mark.parametrize(
    ("optimizer", "state", "step"),
    [
        (Optimizer.ADAMW_8BIT, 2.5 * TOTAL, 2 * 4 * EMBEDDING),
        (Optimizer.PAGED_ADAMW_8BIT, 0, 2 * 4 * EMBEDDING),
        (Optimizer.ADAFACTOR, TOTAL, 2 * 4 * EMBEDDING),
        (Optimizer.SGD, 0, 0),
    ],
)
def test_other_optimizers(optimizer: Optimizer, state: float, step: float) -> None:
    parts = parts_of(tuning=FULL, optimizer=optimizer)
    assert parts.get("optimizer_state", 0) == state
    assert parts.get("optimizer_step", 0) == step


def test_a_fused_step_needs_no_copy() -> None:
    assert "optimizer_step" not in parts_of(tuning=FULL, stack=Stack.TORCHTUNE, optimizer=Optimizer.ADAMW)
    assert parts_of(tuning=FULL, stack=Stack.LITGPT)["optimizer_step"] == 2 * TOTAL


def test_paged_state_lies_on_the_host_and_shows_on_the_device() -> None:
    paged = memory_of(tuning=FULL, optimizer=Optimizer.PAGED_ADAMW_8BIT)
    plain = memory_of(tuning=FULL, optimizer=Optimizer.ADAMW_8BIT)
    assert paged.host.expected[0] - plain.host.expected[0] == 2.5 * TOTAL
    assert paged.device.expected[0] - paged.reserved.expected[0] == 5_000 + 2.5 * TOTAL
    assert plain.device.expected[0] - plain.reserved.expected[0] == 5_000


@pytest.mark.parametrize(
    ("bits", "double", "linear"),
    [(16, True, 2.0), (8, True, 1.0 + 4 / 8), (4, True, 0.5), (4, False, 0.5625)],
)
def test_frozen_weights_by_width(bits: int, double: bool, linear: float) -> None:
    parts = parts_of(tuning=LORA, bits=bits, double_quant=double, target_modules=QV, kbit_preparation=False)
    assert parts["weights"] == linear * LINEAR + 2 * REST
    assert parts["adapters"] == 4 * RANK_2_QV
    assert parts["optimizer_state"] == 8 * RANK_2_QV


@pytest.mark.parametrize(
    ("stack", "precision", "sharding", "asked", "rest"),
    [
        (Stack.HF, Precision.BF16_MIXED, Sharding.NONE, None, 4),
        (Stack.HF, Precision.BF16_MIXED, Sharding.NONE, False, 2),
        (Stack.HF, Precision.BF16_PURE, Sharding.NONE, None, 2),
        (Stack.UNSLOTH, Precision.BF16_MIXED, Sharding.NONE, None, 2),
        (Stack.UNSLOTH, Precision.BF16_MIXED, Sharding.NONE, True, 4),
        (Stack.HF, Precision.BF16_MIXED, Sharding.ZERO2, None, 2),
        (Stack.HF, Precision.BF16_MIXED, Sharding.DDP, None, 4),
    ],
)
def test_kbit_preparation_keeps_the_rest_in_fp32(
    stack: Stack, precision: Precision, sharding: Sharding, asked: bool | None, rest: int
) -> None:
    parts = parts_of(
        tuning=LORA, bits=4, stack=stack, precision=precision, sharding=sharding, kbit_preparation=asked, gpus=2
    )
    assert parts["weights"] == 0.5 * LINEAR + rest * REST


def test_adapters_are_16_bit_in_pure_runs_of_other_stacks() -> None:
    parts = parts_of(tuning=LORA, stack=Stack.TORCHTUNE, target_modules=QV)
    assert (parts["adapters"], parts["optimizer_state"]) == (2 * RANK_2_QV, 4 * RANK_2_QV)
    mixed = parts_of(tuning=LORA, stack=Stack.TORCHTUNE, target_modules=QV, precision=Precision.BF16_MIXED)
    assert (mixed["adapters"], mixed["optimizer_state"]) == (4 * RANK_2_QV, 8 * RANK_2_QV)
    assert mixed["weights"] == 2 * TOTAL


def test_modules_trained_whole_stay_in_the_type_of_the_weights() -> None:
    parts = parts_of(tuning=LORA, target_modules=QV, modules_to_save=("lm_head",))
    assert parts["adapters"] == 4 * RANK_2_QV + 2 * HEAD
    assert parts["optimizer_state"] == 8 * RANK_2_QV + 4 * HEAD


def test_fp32_run_has_four_bytes_everywhere() -> None:
    assert parts_of(tuning=FULL, precision=Precision.FP32)["weights"] == 4 * TOTAL
    assert parts_of(tuning=LORA, precision=Precision.FP32)["weights"] == 4 * TOTAL


def test_sharded_adapters_gather_root_and_block() -> None:
    parts = parts_of(tuning=LORA, bits=16, sharding=Sharding.FSDP, gpus=2, target_modules=QV)
    assert parts["weights"] == TOTAL
    assert parts["gathered"] == 2 * (EMBEDDING + HEAD) + 2 * BLOCK
    quantised = parts_of(tuning=LORA, bits=4, sharding=Sharding.FSDP, gpus=2, target_modules=QV)
    assert quantised["gathered"] == 2 * (EMBEDDING + HEAD) + 0.5 * BLOCK


def test_zero3_keeps_up_to_its_limit_gathered() -> None:
    parts = parts_of(tuning=LORA, bits=16, sharding=Sharding.ZERO3, gpus=2, target_modules=QV)
    assert parts["gathered"] == 2 * (EMBEDDING + HEAD) + 2 * 1_000


def test_fsdp2_stacks_gather_embedding_and_head_in_turn() -> None:
    parts = parts_of(tuning=LORA, sharding=Sharding.FSDP, gpus=2, target_modules=QV, stack=Stack.TORCHTUNE)
    assert parts["gathered"] == 2 * EMBEDDING + 2 * BLOCK


def test_accumulation_under_hf_fsdp_keeps_whole_gradients() -> None:
    shape = {"tuning": FULL, "sharding": Sharding.FSDP, "gpus": 8, "loss": Loss.STANDARD}
    parts = parts_of(grad_accum=2, **shape)  # type: ignore[arg-type]
    assert parts["gradients"] - parts.get("head", 0) >= 2 * TOTAL
    assert parts_of(grad_accum=2, stack=Stack.TORCHTUNE, **shape)["gradients"] < TOTAL  # type: ignore[arg-type]


def test_accumulation_keeps_gradients_through_the_loss() -> None:
    long = {"tuning": FULL, "loss": Loss.STANDARD, "seq_len": 64, "micro_batch": 8}
    assert "gradients" not in parts_of(**long)  # type: ignore[arg-type]
    assert parts_of(grad_accum=2, **long)["gradients"] == 2 * TOTAL  # type: ignore[arg-type]


def test_cpu_offload_of_zero2_moves_state_and_gradients() -> None:
    shape = {"tuning": FULL, "sharding": Sharding.ZERO2, "gpus": 2, "precision": Precision.BF16_MIXED}
    columns = memory_of(offload=Offload.CPU, **shape)  # type: ignore[arg-type]
    parts = {name: float(values[0]) for name, values in columns.parts.items() if values[0]}
    assert parts["weights"] == 2 * TOTAL
    assert not {"master_weights", "optimizer_state", "optimizer_step"} & set(parts)
    away = (4 + 8 + 2) * TOTAL / 2
    processes = 2 * (30_000 + 2_000)
    assert columns.host.expected[0] == processes + 1.5 * 2 * away
    assert columns.nvme.expected[0] == 0


def test_offload_of_sharded_parameters_leaves_only_what_is_gathered() -> None:
    shape = {"tuning": FULL, "sharding": Sharding.ZERO3, "gpus": 2, "precision": Precision.BF16_MIXED}
    columns = memory_of(offload=Offload.NVME, **shape)  # type: ignore[arg-type]
    assert columns.parts["weights"][0] == 0
    assert columns.parts["gathered"][0] == 2 * (EMBEDDING + HEAD) + 2 * 1_000
    assert columns.nvme.expected[0] == 2 * (2 + 2 + 4 + 8) * TOTAL / 2
    assert columns.host.expected[0] == 2 * (30_000 + 2_000) + 9_000


def test_fsdp_reads_the_whole_checkpoint_on_the_host() -> None:
    columns = memory_of(tuning=FULL, sharding=Sharding.FSDP, gpus=2)
    assert columns.host.expected[0] == 2 * (30_000 + 2_000) + 2 * TOTAL


def test_fsdp_reads_a_kbit_checkpoint_once_and_pins_what_it_offloads() -> None:
    shape = {"tuning": LORA, "bits": 4, "target_modules": QV, "sharding": Sharding.FSDP, "gpus": 4}
    copy = 0.5 * LINEAR + 2 * REST
    at_home = memory_of(**shape)  # type: ignore[arg-type]
    assert at_home.host.expected[0] == 4 * 30_000 + 2_000 + copy
    away = memory_of(offload=Offload.CPU, **shape)  # type: ignore[arg-type]
    trained = (4 + 4 + 8) * RANK_2_QV
    expected = 4 * 30_000 + 2_000 + copy + (copy + 4 * RANK_2_QV) + 1.5 * (copy + trained)
    assert away.host.expected[0] == expected


def test_offload_on_one_gpu_gathers_the_fp32_that_the_preparation_left() -> None:
    shape = {"tuning": LORA, "bits": 4, "target_modules": QV, "sharding": Sharding.FSDP, "offload": Offload.CPU}
    mixed = parts_of(precision=Precision.BF16_MIXED, **shape)  # type: ignore[arg-type]
    assert mixed["gathered"] == 4 * (EMBEDDING + HEAD) + 0.5 * BLOCK
    assert parts_of(**shape)["gathered"] == 2 * (EMBEDDING + HEAD) + 0.5 * BLOCK  # type: ignore[arg-type]


def test_dpo_keeps_a_reference_copy_for_full_and_none_for_adapters() -> None:
    halves = {"objective": Objective.DPO, "prompt_tokens": 2, "response_tokens": 2}
    assert parts_of(tuning=FULL, **halves)["model_copies"] == 2 * TOTAL  # type: ignore[arg-type]
    assert "model_copies" not in parts_of(tuning=LORA, **halves)  # type: ignore[arg-type]
    sharded = parts_of(tuning=FULL, sharding=Sharding.FSDP, gpus=4, **halves)  # type: ignore[arg-type]
    assert sharded["model_copies"] == 2 * TOTAL / 4


def test_ppo_holds_reference_reward_and_value_models() -> None:
    ppo = {"objective": Objective.PPO, "prompt_tokens": 2, "response_tokens": 2, "reward_params": 500}
    full = parts_of(tuning=FULL, **ppo)  # type: ignore[arg-type]
    assert full["model_copies"] == 2 * TOTAL + 2 * 500
    assert full["value_model"] == 8 * TOTAL
    adapters = parts_of(tuning=LORA, **ppo)  # type: ignore[arg-type]
    assert adapters["model_copies"] == 2 * 500
    assert "value_model" not in adapters


def test_value_model_of_deepspeed_has_master_weights_too() -> None:
    ppo = {"objective": Objective.PPO, "prompt_tokens": 2, "response_tokens": 2}
    parts = parts_of(tuning=FULL, sharding=Sharding.ZERO1, gpus=2, **ppo)  # type: ignore[arg-type]
    assert parts["value_model"] == (2 + 2) * TOTAL + (4 + 8) * TOTAL / 2


def test_copies_and_gathered_weights_of_an_fp32_run_are_fp32() -> None:
    halves = {"objective": Objective.DPO, "prompt_tokens": 2, "response_tokens": 2}
    fp32 = {"tuning": FULL, "precision": Precision.FP32, **halves}
    assert parts_of(**fp32)["model_copies"] == 4 * TOTAL  # type: ignore[arg-type]
    parts = parts_of(tuning=LORA, precision=Precision.FP32, sharding=Sharding.FSDP, gpus=2, target_modules=QV)
    assert parts["gathered"] == 4 * (EMBEDDING + HEAD) + 4 * BLOCK


def test_adapters_step_without_copies_of_large_tensors() -> None:
    parts = parts_of(tuning=LORA, optimizer=Optimizer.ADAMW_8BIT, target_modules=QV)
    assert parts["optimizer_state"] == 2.5 * RANK_2_QV
    shape = {"tuning": LORA, "target_modules": QV, "lora_rank": 200, "seq_len": 1}
    assert parts_of(**shape)["optimizer_step"] == 4 * 100 * RANK_2_QV  # type: ignore[arg-type]
    assert "optimizer_step" not in parts_of(optimizer=Optimizer.ADAMW_8BIT, **shape)  # type: ignore[arg-type]


def test_offloaded_copies_are_counted_on_the_host() -> None:
    halves = {"objective": Objective.DPO, "prompt_tokens": 2, "response_tokens": 2}
    shape = {"tuning": FULL, "sharding": Sharding.ZERO3, "gpus": 2, **halves}
    columns = memory_of(offload=Offload.CPU, **shape)  # type: ignore[arg-type]
    away = (2 + 2 + 4 + 8) * TOTAL / 2 + 2 * TOTAL / 2
    assert columns.host.expected[0] == 2 * (30_000 + 2_000) + 1.5 * 2 * away
    assert columns.parts["model_copies"][0] == 0
